/* SPDX-License-Identifier: MIT */
/*
 * What `verdict dump` writes, read back: by libpcap, and block by block, as the format says; and passing it on in pieces of any size.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include <cmocka.h>

#include "engine/port_sim.h" /* the dice */
#include "tools/dump/blocks.h"
#include "tools/dump/pcapng.h"

#define TIME_NS 1700000000123456789u

static uint8_t file[1u << 22];

static struct vd_engine_tap_packet make_packet(const uint8_t *data, uint32_t length)
{
	return (struct vd_engine_tap_packet){.data = data, .length = length, .wire_length = length + 100, .time_ns = TIME_NS,
					     .function = "no-icmp", .verdict = VD_DROP, .queue = 7, .ethertype = 0x0800, .hook = 1,
					     .indev = 5, .outdev = 9};
}

static pcap_t *open_file(size_t length)
{
	char why[PCAP_ERRBUF_SIZE];
	FILE *stream = fmemopen(file, length, "rb");
	pcap_t *pcap;

	assert_non_null(stream);
	pcap = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!pcap)
		fail_msg("%s", why);
	return pcap;
}

static void libpcap_reads_it(void **state)
{
	uint8_t data[65535];
	struct vd_engine_tap_stats stats = {.decided = 5, .matched = 4, .sampled = 4, .missed = 1, .read = 3};
	uint64_t random = 1;
	size_t length = vd_pcapng_begin(file, "verdict 1", "a place", "all", 0);
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	unsigned count = 0;
	pcap_t *pcap;
	int result;

	(void)state;
	assert_in_range(length, 1, VD_PCAPNG_OTHER_MAX);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)vd_sim_random(&random);
	for (uint32_t size = 0; size <= sizeof data; size += size < 70 ? 1 : 5113) {
		struct vd_engine_tap_packet packet = make_packet(data, size);
		size_t written;

		packet.time_ns += size;
		packet.ethertype = size % 2 ? 0x86dd : 0x0806;
		if (size % 3 == 0) {
			packet.hook = 3; /* leaves */
			packet.hardware_address_length = 6;
			memcpy(packet.hardware_address, "\1\2\3\4\5\6", 6);
		}
		written = vd_pcapng_packet(file + length, &packet);
		assert_in_range(written, size, VD_PCAPNG_PACKET_MAX);
		assert_int_equal(written % 4, 0);
		length += written;
		if (size == 10) /* in the midst, too */
			length += vd_pcapng_statistics(file + length, &stats, TIME_NS, TIME_NS, false);
	}
	length += vd_pcapng_statistics(file + length, &stats, TIME_NS, TIME_NS + 1, true);
	pcap = open_file(length);
	assert_int_equal(pcap_datalink(pcap), 276);
	assert_string_equal(pcap_datalink_val_to_name(pcap_datalink(pcap)), "LINUX_SLL2");
	for (uint32_t size = 0; (result = pcap_next_ex(pcap, &header, &bytes)) == 1; size += size < 70 ? 1 : 5113) {
		bool leaves = size % 3 == 0;
		const uint8_t cooked[] = {size % 2 ? 0x86 : 0x08, size % 2 ? 0xdd : 0x06, 0, 0, 0, 0, 0, leaves ? 9 : 5,
					  leaves ? 0 : 0xff, leaves ? 1 : 0xfe, leaves ? 4 : 0, leaves ? 6 : 0,
					  leaves ? 1 : 0, leaves ? 2 : 0, leaves ? 3 : 0, leaves ? 4 : 0, leaves ? 5 : 0, leaves ? 6 : 0, 0, 0};

		assert_int_equal(header->caplen, size + 20);
		assert_int_equal(header->len, size + 120);
		assert_int_equal(header->ts.tv_sec, 1700000000);
		assert_int_equal(header->ts.tv_usec, 123456789 + size);
		assert_memory_equal(bytes, cooked, sizeof cooked);
		assert_memory_equal(bytes + 20, data, size);
		count++;
	}
	assert_int_equal(result, PCAP_ERROR_BREAK);
	assert_int_equal(count, 70 + 1 + (65535 - 70) / 5113);
	pcap_close(pcap);
}

/* An option of the block at `block`: its value, or NULL. `fixed`: bytes of the block in front of its options. */
static const uint8_t *find(const uint8_t *block, uint32_t fixed, unsigned wanted, unsigned *length)
{
	uint32_t size, at = fixed;

	memcpy(&size, block + 4, sizeof size);
	while (at + 4 <= size - 4) {
		uint16_t code, bytes;

		memcpy(&code, block + at, 2);
		memcpy(&bytes, block + at + 2, 2);
		if (code == wanted) {
			*length = bytes;
			return block + at + 4;
		}
		if (!code) {
			assert_int_equal(bytes, 0);
			assert_int_equal(at + 4, size - 4);
			return NULL;
		}
		at += 4 + ((bytes + 3u) & ~3u);
	}
	fail_msg("options have no end");
	return NULL;
}

static void expect_text(const uint8_t *block, uint32_t fixed, unsigned code, const char *text)
{
	unsigned length = 0;
	const uint8_t *value = find(block, fixed, code, &length);

	assert_non_null(value);
	assert_int_equal(length, strlen(text));
	assert_memory_equal(value, text, length);
}

static void expect_number(const uint8_t *block, uint32_t fixed, unsigned code, uint64_t number, unsigned size)
{
	unsigned length = 0;
	const uint8_t *value = find(block, fixed, code, &length);

	assert_non_null(value);
	assert_int_equal(length, size);
	assert_memory_equal(value, &number, size); /* on a machine with the lower end first */
}

static void options_are_there(void **state)
{
	static const uint8_t data[] = {0x45, 0, 0};
	struct vd_engine_tap_stats stats = {.decided = 50, .matched = 40, .sampled = 30, .missed = 10, .read = 20};
	struct vd_engine_tap_packet packet = make_packet(data, sizeof data);
	uint32_t size;
	unsigned length;
	const uint8_t *value;

	(void)state;
	length = (unsigned)vd_pcapng_begin(file, "verdict 1", "a place", "dropped", 96);
	assert_in_range(length, 1, VD_PCAPNG_OTHER_MAX);
	expect_text(file, 24, 4, "verdict 1");
	memcpy(&size, file + 4, sizeof size);
	assert_int_equal(file[size], VD_PCAPNG_INTERFACE);
	assert_int_equal(file[size + 12], 96 + 20);
	expect_text(file + size, 16, 2, "verdict");
	expect_text(file + size, 16, 3, "a place");
	expect_number(file + size, 16, 9, 9, 1);
	value = find(file + size, 16, 11, &length);
	assert_int_equal(length, 8);
	assert_memory_equal(value, "\0dropped", 8);

	vd_pcapng_packet(file, &packet);
	expect_text(file, 28 + 24, 1, "drop by no-icmp (queue 7)");
	expect_number(file, 28 + 24, 2, 1, 4); /* came */
	expect_number(file, 28 + 24, 6, 7, 4);
	packet.hook = 4;
	vd_pcapng_packet(file, &packet);
	expect_number(file, 28 + 24, 2, 2, 4); /* goes */

	vd_pcapng_statistics(file, &stats, TIME_NS, TIME_NS + 5, false);
	assert_null(find(file, 20, 3, &length));
	expect_number(file, 20, 4, 50, 8);
	expect_number(file, 20, 5, 10, 8);
	expect_number(file, 20, 6, 40, 8);
	expect_number(file, 20, 8, 20, 8);
	vd_pcapng_statistics(file, &stats, TIME_NS, TIME_NS + 5, true);
	assert_non_null(find(file, 20, 3, &length));
}

static void comments(void **state)
{
	static const struct {
		struct vd_engine_tap_packet packet;
		const char *comment;
	} cases[] = {
		{{.verdict = VD_ACCEPT, .queue = 0}, "accept by default (queue 0)"},
		{{.verdict = VD_REJECT, .function = "web", .queue = 65535}, "reject by web (queue 65535)"},
		{{.verdict = VD_QUEUE, .function = "ids", .requeue = 9, .queue = 1}, "queue to 9 by ids (queue 1)"},
		{{.verdict = VD_STOP, .function = "nat", .is_edited = true, .is_marked = true, .mark = 0x1f},
		 "stop by nat (queue 0), edited, mark 0x1f"},
		{{.verdict = VD_DROP, .function = "bad", .is_fault = true}, "drop, by a fault of bad (queue 0)"},
		{{.verdict = VD_ACCEPT, .function = "ttl", .is_edit_refused = true, .is_taken_back = true},
		 "accept, as an edit was refused (queue 0), without its changes"},
	};
	struct vd_engine_tap_packet packet = {.verdict = VD_DROP, .is_edited = true, .is_marked = true, .is_taken_back = true};
	char comment[VD_PCAPNG_COMMENT_SIZE], name[1000];

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		vd_pcapng_comment(comment, &cases[i].packet);
		assert_string_equal(comment, cases[i].comment);
	}
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	packet.function = name;
	packet.data = file; /* nothing of it */
	vd_pcapng_comment(comment, &packet);
	assert_string_equal(comment + 8 + 128, " (queue 0), edited, mark 0x0, without its changes");
	vd_pcapng_packet(file, &packet);
	expect_text(file, 28 + 20, 1, comment);
}

/* In pieces: the same blocks, and the same counts. */
static void blocks_are_taken(void **state)
{
	static const uint8_t data[1500];
	struct vd_engine_tap_stats stats = {.missed = 3};
	size_t length = vd_pcapng_begin(file, "verdict 1", "", "", 0);
	uint64_t random = 7;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct vd_engine_tap_packet packet = make_packet(data, (uint32_t)(vd_sim_random(&random) % sizeof data));

		length += vd_pcapng_packet(file + length, &packet);
		if (i % 10 == 0)
			length += vd_pcapng_statistics(file + length, &stats, 1, 2, false);
	}
	stats.missed = 12345678901u;
	length += vd_pcapng_statistics(file + length, &stats, 1, 2, true);
	for (unsigned round = 0; round < 200; round++) {
		struct vd_blocks blocks = {0};
		size_t begin = 0, end = 0;

		while (end < length) {
			long taken;

			end += 1 + vd_sim_random(&random) % (round % 2 ? 5 : 3000);
			end = end < length ? end : length;
			taken = vd_blocks_take(&blocks, file + begin, end - begin);
			assert_true(taken >= 0);
			begin += (size_t)taken;
			assert_int_equal(blocks.has_end, begin == length);
		}
		assert_int_equal(begin, length);
		assert_int_equal(blocks.packets, 200);
		assert_int_equal(blocks.missed, 12345678901u);
	}
}

/* Bytes that are damaged are refused or not, but never read beyond their end (the heap is watched by AddressSanitizer). */
static void damage_does_no_harm(void **state)
{
	struct vd_engine_tap_stats stats = {.missed = 3};
	uint64_t random = 3;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		size_t length = vd_pcapng_statistics(file, &stats, 1, 2, true), part;
		struct vd_blocks blocks = {0};
		uint8_t *copy;
		long taken;

		for (unsigned i = vd_sim_random(&random) % 4; i; i--)
			file[vd_sim_random(&random) % (vd_sim_random(&random) % 2 ? 40 : length)] = (uint8_t)vd_sim_random(&random);
		part = round % 4 ? length : vd_sim_random(&random) % (length + 1);
		copy = malloc(part ? part : 1);
		assert_non_null(copy);
		memcpy(copy, file, part);
		taken = vd_blocks_take(&blocks, copy, part);
		assert_true(taken == -EPROTO || (taken >= 0 && (size_t)taken <= part));
		free(copy);
	}
	for (uint32_t size = 0; size < 12; size++) {
		struct vd_blocks blocks = {0};
		uint32_t block[3] = {VD_PCAPNG_PACKET, size, size};

		assert_int_equal(vd_blocks_take(&blocks, (uint8_t *)block, sizeof block), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libpcap_reads_it), cmocka_unit_test(options_are_there), cmocka_unit_test(comments),
		cmocka_unit_test(blocks_are_taken), cmocka_unit_test(damage_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
