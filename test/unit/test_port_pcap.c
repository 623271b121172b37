/* SPDX-License-Identifier: MIT */
/*
 * The pcap port: what functions see of a capture, which captures are read, and what is said of those that are not.
 * What comes out is compared byte by byte; test_port_pcap_out.c has more of that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/support/captures.h"

static void expect_refused(const char *in, int code, const char *said)
{
	struct rig rig;
	int result = rig_create(&rig, in, NULL, NULL);

	if (result != code)
		fail_msg("%s: %d instead of %d", in, result, code);
	if (!strstr(rig.error.text, said))
		fail_msg("%s: '%s' does not say \"%s\"", in, rig.error.text, said);
	assert_null(rig.port);
}

/* ---- what functions see ---- */

static void each_link_type_is_taken_apart(void **state)
{
	static const struct {
		uint32_t link_type;
		const char *header;
		uint32_t length;
		uint16_t ethertype;
		const char *address;
	} cases[] = {
		{RAW, "", 0, 0x0800, ""},
		{RAW, "", 0, 0x86dd, ""},
		{IPV4, "", 0, 0x0800, ""},
		{IPV6, "", 0, 0x86dd, ""},
		{ETHERNET, MACS "0800", 14, 0x0800, "\2\0\0\0\0\1"},
		{ETHERNET, MACS "86dd", 14, 0x86dd, "\2\0\0\0\0\1"},
		{ETHERNET, MACS "8100 0007 0800", 18, 0x0800, "\2\0\0\0\0\1"},
		{ETHERNET, MACS "88a8 0008 0800", 18, 0x0800, "\2\0\0\0\0\1"},
		{ETHERNET, MACS "88a8 0008 8100 0007 86dd", 22, 0x86dd, "\2\0\0\0\0\1"},
		{COOKED, "0000 0001 0006 0200000000010000 0800", 16, 0x0800, "\2\0\0\0\0\1"},
		{COOKED, "0004 0001 0006 0200000000010000 86dd", 16, 0x86dd, "\2\0\0\0\0\1"},
		{COOKED, "0000 0001 0006 0200000000010000 8100 0007 0800", 20, 0x0800, "\2\0\0\0\0\1"},
		{COOKED, "0000 fffe 0000 0000000000000000 0800", 16, 0x0800, ""},
		{COOKED2, "0800 0000 00000002 0001 00 06 0200000000010000", 20, 0x0800, "\2\0\0\0\0\1"},
		{COOKED2, "86dd 0000 00000002 0001 00 09 0200000000010000", 20, 0x86dd, ""},
		{NONE, "02000000", 4, 0x0800, ""},
		{NONE, "00000002", 4, 0x0800, ""},
		{NONE, "0a000000", 4, 0x86dd, ""},
		{NONE, "18000000", 4, 0x86dd, ""},
		{NONE, "1c000000", 4, 0x86dd, ""},
		{NONE, "0000001e", 4, 0x86dd, ""},
		{LOOP, "00000002", 4, 0x0800, ""},
		{LOOP, "0000001c", 4, 0x86dd, ""},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vd_packet *packet;
		struct rig rig;
		const uint8_t *address;
		uint32_t length;

		if (cases[i].ethertype == 0x0800)
			frame_make_udp(cases[i].header, 1, 8);
		else
			frame_make_udp6(cases[i].header);
		file_begin_usual(&file_input, cases[i].link_type);
		file_add_frame(&file_input);
		file_save("in", &file_input);
		rig_start(&rig, "in", "out", NULL);
		assert_int_equal(rig_receive(&rig, rig.slots, 4), 1);
		packet = rig.slots[0];
		assert_int_equal(packet->link_length, cases[i].length);
		assert_int_equal(vd_packet_ethertype(packet), cases[i].ethertype);
		assert_int_equal(vd_packet_length(packet), frame_bytes.used - cases[i].length);
		assert_int_equal(vd_packet_wire_length(packet), frame_bytes.used - cases[i].length);
		assert_memory_equal(vd_packet_data(packet) - packet->link_length, frame_bytes.data, frame_bytes.used);
		assert_int_equal(vd_packet_destination_port(packet), 53);
		assert_false(vd_packet_is_malformed(packet));
		assert_int_equal(vd_packet_id(packet), 1);
		assert_int_equal(packet->original_length, packet->length);
		assert_true(packet->room >= packet->length + VD_ROOM);
		assert_int_equal((uintptr_t)vd_packet_data(packet) % 4, 0);
		assert_true(vd_packet_timestamp_ns(packet) == 1700000000123456000);
		address = vd_packet_hardware_address(packet, &length);
		assert_int_equal(length, *cases[i].address ? 6 : 0);
		if (length)
			assert_memory_equal(address, cases[i].address, length);
		assert_null(bytes_accessor_fault(packet));
		assert_int_equal(rig_answer(&rig, rig.slots, 1, VD_ACCEPT), 0);
		assert_int_equal(rig_receive(&rig, rig.slots, 4), VD_PORT_ENDED);
		rig_stop(&rig);
		assert_file_is("out", &file_input);
	}
}

static void padding_is_not_seen_and_comes_out(void **state)
{
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, ETHERNET);
	frame_make_udp(MACS "0800", 1, 4); /* 46 bytes */
	bytes_put_fill(&frame_bytes, 0, 14);
	file_add_frame(&file_input);
	frame_make_udp6(MACS "86dd");
	bytes_put_fill(&frame_bytes, 0xff, 3);
	file_add_frame(&file_input);
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", NULL);
	assert_int_equal(rig_receive(&rig, rig.slots, 4), 2);
	assert_int_equal(vd_packet_length(rig.slots[0]), 32);
	assert_int_equal(vd_packet_wire_length(rig.slots[0]), 32);
	assert_int_equal(vd_packet_length(rig.slots[1]), 52);
	assert_int_equal(vd_packet_wire_length(rig.slots[1]), 52);
	assert_int_equal(rig_answer(&rig, rig.slots, 2, VD_ACCEPT), 0);
	rig_stop(&rig);
	assert_file_is("out", &file_input);
}

static void a_cut_packet_is_seen_cut(void **state)
{
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, ETHERNET);
	frame_make_udp(MACS "0800", 1, 1000);
	file_add_record(&file_input, false, 1, 2, &frame_bytes, 14 + 40, frame_bytes.used);
	file_add_record(&file_input, false, 1, 2, &frame_bytes, 14 + 10, frame_bytes.used); /* within the IP header */
	file_add_record(&file_input, false, 1, 2, &frame_bytes, 14, frame_bytes.used);
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", NULL);
	assert_int_equal(rig_receive(&rig, rig.slots, 4), 3);
	for (unsigned i = 0; i < 3; i++) {
		static const uint32_t lengths[] = {40, 10, 0};

		assert_int_equal(vd_packet_length(rig.slots[i]), lengths[i]);
		assert_int_equal(vd_packet_wire_length(rig.slots[i]), 1028);
		assert_true(vd_packet_is_truncated(rig.slots[i]));
		assert_false(vd_packet_is_malformed(rig.slots[i]));
		assert_int_equal(vd_packet_replace(rig.slots[i], frame_bytes.data + 14, 1028), -ENODATA);
	}
	assert_int_equal(rig_answer(&rig, rig.slots, 3, VD_ACCEPT), 0);
	rig_stop(&rig);
	assert_file_is("out", &file_input);
}

static void a_length_below_what_was_captured_is_not_believed(void **state)
{
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, ETHERNET);
	frame_make_udp(MACS "0800", 1, 100);
	bytes_set_be16(&frame_bytes, 14 + 2, 0xffff); /* nor is that of its IP header */
	file_add_record(&file_input, false, 1, 2, &frame_bytes, frame_bytes.used, 3);
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", NULL);
	assert_int_equal(rig_receive(&rig, rig.slots, 4), 1);
	assert_int_equal(vd_packet_length(rig.slots[0]), 128);
	assert_int_equal(vd_packet_wire_length(rig.slots[0]), 128);
	assert_true(vd_packet_is_malformed(rig.slots[0]));
	assert_int_equal(rig_answer(&rig, rig.slots, 1, VD_ACCEPT), 0);
	rig_stop(&rig);
	assert_file_is("out", &file_input);
}

static void a_copy_range_cuts_what_is_seen_but_not_what_is_written(void **state)
{
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, ETHERNET);
	frame_make_udp(MACS "0800", 1, 60000);
	file_add_frame(&file_input);
	file_save("in", &file_input);
	assert_int_equal(rig_create(&rig, "in", NULL, "dropped"), 0);
	assert_int_equal(rig_open(&rig, 20), 0);
	assert_int_equal(rig_receive(&rig, rig.slots, 4), 1);
	assert_int_equal(vd_packet_length(rig.slots[0]), 20);
	assert_int_equal(vd_packet_wire_length(rig.slots[0]), 60028);
	assert_int_equal(rig_answer(&rig, rig.slots, 1, VD_DROP), 0);
	rig_stop(&rig);
	assert_file_is("dropped", &file_input);
}

static void what_is_not_ip_passes_in_its_place(void **state)
{
	struct rig rig;
	int end;

	(void)state;
	file_begin_usual(&file_input, ETHERNET);
	frame_make_arp();
	file_add_frame(&file_input);
	frame_make_udp(MACS "0800", 1, 4);
	file_add_frame(&file_input);
	frame_make_udp(MACS "8100 0001 8100 0002 8100 0003 0800", 1, 4); /* a tag too many */
	file_add_frame(&file_input);
	frame_make_udp(MACS "0800", 2, 4);
	file_add_frame(&file_input);
	file_add_record(&file_input, false, 1, 2, &frame_bytes, 13, frame_bytes.used);
	file_add_record(&file_input, false, 1, 2, &frame_bytes, 0, frame_bytes.used);
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", NULL);
	assert_int_equal(rig_run(&rig, VD_ACCEPT, &end), 2);
	assert_int_equal(vd_packet_id(rig.slots[0]), 4); /* as other programs count */
	rig.port->operations->close(rig.port);
	assert_int_equal(rig.lines, 1);
	assert_non_null(strstr(rig.line, ": 4 packets were not IP and passed undecided"));
	rig_destroy(&rig);
	assert_file_is("out", &file_input);
}

static void a_long_run_of_other_protocols_comes_to_its_end(void **state)
{
	struct rig rig;
	int result;

	(void)state;
	file_begin_usual(&file_input, ETHERNET);
	frame_make_arp();
	for (unsigned i = 0; i < 3000; i++)
		file_add_frame(&file_input);
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", "dropped");
	while (!(result = rig_receive(&rig, rig.slots, 64)))
		;
	assert_int_equal(result, VD_PORT_ENDED);
	rig_stop(&rig);
	assert_file_is("out", &file_input);
	file_begin_usual(&file_expected, ETHERNET);
	assert_file_is("dropped", &file_expected);
}

/* ---- formats ---- */

static void a_capture_without_packets_makes_outputs_without_packets(void **state)
{
	(void)state;
	file_begin_usual(&file_input, RAW);
	file_save("in", &file_input);
	expect_run("in", "out", "dropped", VD_ACCEPT, 0);
	assert_file_is("out", &file_input);
	assert_file_is("dropped", &file_input);
}

static void byte_orders_and_precisions(void **state)
{
	static const uint32_t magics[] = {MICROSECONDS, NANOSECONDS};

	(void)state;
	frame_make_udp("", 1, 4);
	for (unsigned i = 0; i < 4; i++) {
		bool big_endian = i & 1;

		file_begin(&file_input, magics[i / 2], big_endian, 65535, RAW);
		file_add_record(&file_input, big_endian, 1234567890, 999999, &frame_bytes, frame_bytes.used, frame_bytes.used);
		file_save("in", &file_input);
		expect_run("in", "out", NULL, VD_ACCEPT, 1);
		file_begin(&file_expected, magics[i / 2], false, 262144, RAW);
		file_add_record(&file_expected, false, 1234567890, 999999, &frame_bytes, frame_bytes.used, frame_bytes.used);
		assert_file_is("out", &file_expected);
	}
}

static void old_numbers_of_raw_ip(void **state)
{
	static const uint32_t numbers[] = {12, 14};

	(void)state;
	frame_make_udp("", 1, 4);
	for (unsigned i = 0; i < 2; i++) {
		file_begin_usual(&file_input, numbers[i]);
		file_add_frame(&file_input);
		file_save("in", &file_input);
		expect_run("in", "out", NULL, VD_ACCEPT, 1);
		file_begin_usual(&file_expected, RAW);
		file_add_frame(&file_expected);
		assert_file_is("out", &file_expected);
	}
}

/* A section header, an interface (with nanoseconds if told), and the frame in an enhanced packet block. */
static void make_pcapng(bool nanoseconds, uint64_t time)
{
	bytes_reset(&file_input);
	bytes_put_hex(&file_input, "0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000");
	if (nanoseconds)
		bytes_put_hex(&file_input, "01000000 20000000 6500 0000 00000400 0900 0100 09000000 0000 0000 20000000");
	else
		bytes_put_hex(&file_input, "01000000 14000000 6500 0000 00000400 14000000");
	assert_int_equal(frame_bytes.used % 4, 0);
	file_put(&file_input, 6, 4, false);
	file_put(&file_input, 32 + frame_bytes.used, 4, false);
	file_put(&file_input, 0, 4, false);
	file_put(&file_input, time >> 32, 4, false);
	file_put(&file_input, time, 4, false);
	file_put(&file_input, frame_bytes.used, 4, false);
	file_put(&file_input, frame_bytes.used, 4, false);
	bytes_put(&file_input, frame_bytes.data, frame_bytes.used);
	file_put(&file_input, 32 + frame_bytes.used, 4, false);
}

static void pcapng_comes_out_with_nanoseconds(void **state)
{
	(void)state;
	frame_make_udp("", 1, 4);
	for (unsigned nanoseconds = 0; nanoseconds < 2; nanoseconds++) {
		make_pcapng(nanoseconds, nanoseconds ? 1700000000123456789 : 1700000000123456);
		file_save("in", &file_input);
		expect_run("in", "out", NULL, VD_ACCEPT, 1);
		file_begin(&file_expected, NANOSECONDS, false, 262144, RAW);
		file_add_record(&file_expected, false, 1700000000, nanoseconds ? 123456789 : 123456000, &frame_bytes, frame_bytes.used,
			   frame_bytes.used);
		assert_file_is("out", &file_expected);
	}
}

/* ---- bad captures ---- */

static void expect_cut(const char *in, const char *said, unsigned packets)
{
	struct rig rig;
	unsigned count;
	int end;

	rig_start(&rig, in, "out", "dropped");
	count = rig_run(&rig, VD_ACCEPT, &end);
	if (count != packets || end != -EBADMSG || !strstr(rig.port->failure, said))
		fail_msg("%u packets, then %d: '%s' instead of \"%s\"", count, end, rig.port->failure, said);
	assert_int_equal(rig_receive(&rig, rig.slots, 1), -EBADMSG);
	assert_int_equal(rig.lines, 0); /* it is told once */
	rig_stop(&rig);
	assert_file_is("out", &file_expected);
	file_begin_usual(&file_expected, RAW);
	assert_file_is("dropped", &file_expected);
}

static void a_capture_that_is_cut_short_is_decided_up_to_there(void **state)
{
	uint32_t record, whole;
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, RAW);
	for (unsigned i = 0; i < 3; i++) {
		frame_make_udp("", i, 4);
		file_add_frame(&file_input);
	}
	whole = file_input.used;
	record = 16 + frame_bytes.used;
	for (uint32_t cut = 1; cut < record; cut++) {
		file_input.used = whole - cut;
		file_save("in", &file_input);
		file_expected = file_input;
		file_expected.used = whole - record;
		expect_cut("in", "is cut short behind packet 2:", 2);
	}
	file_begin_usual(&file_expected, RAW);
	file_input.used = 24 + 5;
	file_save("in", &file_input);
	expect_cut("in", "is cut short behind packet 0:", 0);

	for (uint32_t length = 1; length < 24; length++) {
		file_input.used = length;
		file_save("in", &file_input);
		expect_refused("in", -EINVAL, "ends within its header");
	}
	/* its packets come first when several are asked for */
	file_input.used = whole - 1;
	file_save("in", &file_input);
	rig_start(&rig, "in", NULL, NULL);
	assert_int_equal(rig_receive(&rig, rig.slots, 64), 2);
	assert_string_equal(rig.port->failure, "");
	assert_int_equal(rig_receive(&rig, rig.slots, 64), -EBADMSG);
	rig_stop(&rig);
}

static void a_pcapng_that_is_cut_short(void **state)
{
	struct rig rig;
	int end;

	(void)state;
	frame_make_udp("", 1, 4);
	make_pcapng(true, 1700000000123456789);
	file_input.used -= 5;
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", NULL);
	assert_int_equal(rig_run(&rig, VD_ACCEPT, &end), 0);
	assert_int_equal(end, -EBADMSG);
	assert_non_null(strstr(rig.port->failure, "is cut short behind packet 0:"));
	rig_stop(&rig);
	file_begin(&file_expected, NANOSECONDS, false, 262144, RAW);
	assert_file_is("out", &file_expected);
}

static void a_damaged_record_is_no_cut(void **state)
{
	(void)state;
	file_begin_usual(&file_input, RAW);
	frame_make_udp("", 1, 4);
	file_add_frame(&file_input);
	file_expected = file_input;
	file_put(&file_input, 0, 8, false);
	file_put(&file_input, 0x7fffffff, 4, false); /* so many bytes */
	file_put(&file_input, 0x7fffffff, 4, false);
	bytes_put_fill(&file_input, 0xaa, 100);
	file_save("in", &file_input);
	expect_cut("in", "is damaged (", 1);
}

static void what_is_no_capture_is_refused(void **state)
{
	(void)state;
	expect_refused("none/such", -ENOENT, "No such file");
	expect_refused(".", -EISDIR, "is a directory");
	bytes_reset(&file_input);
	file_save("in", &file_input);
	expect_refused("in", -EINVAL, "is empty");
	bytes_put_fill(&file_input, 'x', 100);
	file_save("in", &file_input);
	expect_refused("in", -EINVAL, "is not a capture");
	bytes_reset(&file_input);
	bytes_put_hex(&file_input, "1f8b0800 00000000 0003");
	file_save("in", &file_input);
	expect_refused("in", -EINVAL, "is compressed: unpack it with gzip");
	file_begin_usual(&file_input, 127);
	file_save("in", &file_input);
	expect_refused("in", -ENOTSUP, "link type 127 (802.11 plus radiotap header)");
	file_begin_usual(&file_input, 65000);
	file_save("in", &file_input);
	expect_refused("in", -ENOTSUP, "link type 65000 (unknown)");
	file_save("a-name-so-long-that-a-sentence-has-no-room-for-all-of-it-because-people-put-the-date-and-the-host-in-front",
	     &file_input);
	expect_refused("a-name-so-long-that-a-sentence-has-no-room-for-all-of-it-because-people-put-the-date-and-the-host-in-front",
		       -ENOTSUP, "'...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_link_type_is_taken_apart),
		cmocka_unit_test(padding_is_not_seen_and_comes_out),
		cmocka_unit_test(a_cut_packet_is_seen_cut),
		cmocka_unit_test(a_length_below_what_was_captured_is_not_believed),
		cmocka_unit_test(a_copy_range_cuts_what_is_seen_but_not_what_is_written),
		cmocka_unit_test(what_is_not_ip_passes_in_its_place),
		cmocka_unit_test(a_long_run_of_other_protocols_comes_to_its_end),
		cmocka_unit_test(a_capture_without_packets_makes_outputs_without_packets),
		cmocka_unit_test(byte_orders_and_precisions),
		cmocka_unit_test(old_numbers_of_raw_ip),
		cmocka_unit_test(pcapng_comes_out_with_nanoseconds),
		cmocka_unit_test(a_capture_that_is_cut_short_is_decided_up_to_there),
		cmocka_unit_test(a_pcapng_that_is_cut_short),
		cmocka_unit_test(a_damaged_record_is_no_cut),
		cmocka_unit_test(what_is_no_capture_is_refused),
	};

	return cmocka_run_group_tests(tests, captures_make_directory, captures_remove_directory);
}
