/* SPDX-License-Identifier: MIT */
/*
 * libipq's checksums for rewritten packets: the pieces of the message are the program's bytes, but for the fields that have
 * to be made; those are right; and the program's buffer is only read. What is right, vd_packet_verify() says, which scapy
 * has judged (test/command/scapy.sh); the kernel judges in test/kernel/test_ipq_checksums.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "lib/ipq/ipq.h"
#include "test/support/bytes.h"
#include "test/support/guarded.h"

#define IP 0x0800
#define IPV6 0x86dd

/* Headers whose lengths are set and payloads appended; `field` is where the transport checksum is, 0: none may be made. */
struct kind {
	const char *name;
	const char *hex;
	uint32_t field;
	uint32_t field_size;
	uint32_t udp_length; /* where a length is */
	uint32_t header;     /* of IPv4: its checksum has to be made */
};

#define V4(protocol) "4500 0000 0001 0000 40" protocol "abcd 0a000001 0a000002 "
#define V6(next) "60000000 0000" next "40 fd000000000000000000000000000001 fd000000000000000000000000000002 "
#define TCP "03e80050 00000001 00000002 5010ffff dead0000 "
#define UDP "03e80035 0000 dead "

static const struct kind kinds[] = {
	{"TCP", V4("06") TCP, 36, 2, 0, 20},
	{"TCP with IP options", "4600 0000 0001 0000 4006 abcd 0a000001 0a000002 01010100 " TCP, 40, 2, 0, 24},
	{"TCP with a source route", "4700 0000 0001 0000 4006 abcd 0a000001 0a000002 0183070414000001 " TCP, 44, 2, 0, 28},
	{"UDP", V4("11") UDP, 26, 2, 24, 20},
	{"UDP without a checksum", V4("11") "03e80035 0000 0000 ", 0, 0, 24, 20},
	{"UDP-Lite", V4("88") "03e80035 0008 dead ", 26, 2, 0, 20},
	{"UDP-Lite over all", V4("88") "03e80035 0000 dead ", 26, 2, 0, 20},
	{"UDP-Lite over nothing", V4("88") "03e80035 0001 dead ", 0, 0, 0, 20},
	{"ICMP", V4("01") "0800dead 00010002 ", 22, 2, 0, 20},
	{"SCTP", V4("84") "03e80050 00000001 deadbeef ", 28, 4, 0, 20},
	{"DCCP", V4("21") "03e80050 0400dead 00000001 00000000 ", 26, 2, 0, 20},
	{"GRE", V4("2f") "00000800 ", 0, 0, 0, 20},
	{"GRE with a checksum", V4("2f") "80000800 dead0000 ", 24, 2, 0, 20},
	{"another protocol", V4("59") "02010000 dead ", 0, 0, 0, 20},
	{"first fragment", "4500 0000 0001 2000 4011 abcd 0a000001 0a000002 " UDP, 0, 0, 24, 20},
	{"later fragment", "4500 0000 0001 0008 4011 abcd 0a000001 0a000002 ", 0, 0, 0, 20},
	{"TCP over IPv6", V6("06") TCP, 56, 2, 0, 0},
	{"TCP behind destination options", V6("3c") "0600010400000000 " TCP, 64, 2, 0, 0},
	{"UDP over IPv6", V6("11") UDP, 46, 2, 44, 0},
	{"UDP over IPv6 that needs one", V6("11") "03e80035 0000 0000 ", 46, 2, 44, 0},
	{"ICMPv6", V6("3a") "8000dead 00010002 ", 42, 2, 0, 0},
	{"SCTP over IPv6", V6("84") "03e80050 00000001 deadbeef ", 48, 4, 0, 0},
	{"ICMP over IPv6", V6("01") "0800dead 00010002 ", 0, 0, 0, 0},
	{"fragment over IPv6", V6("2c") "1100000100000001 " UDP, 0, 0, 0, 0},
	{"behind a routing header of an unknown type", V6("2b") "0600090100000000 " TCP, 0, 0, 0, 0},
	{"a length too short", "4400 0000 0001 0000 4006 abcd 0a000001 0a000002 " TCP, 0, 0, 0, 0},
};

static struct bytes bytes;
static struct guarded guarded;
static uint8_t joined[UINT16_MAX];

static int set_up(void **state)
{
	(void)state;
	guarded = guarded_make(UINT16_MAX);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	guarded_free(guarded);
	return 0;
}

/* What is sent of a packet that lies at the very end of what may be read. */
static void complete(uint8_t family)
{
	uint8_t *payload = guarded.end - bytes.used;
	struct ipq_completed completed;
	uint32_t length = 0;

	memcpy(payload, bytes.data, bytes.used);
	memset(&completed, 0xee, sizeof completed);
	ipq_complete(&completed, family, payload, bytes.used);
	assert_memory_equal(payload, bytes.data, bytes.used);
	assert_in_range(completed.count, 1, 4);
	for (unsigned i = 0; i < completed.count; i++) {
		assert_true(completed.pieces[i].iov_len > 0 && completed.pieces[i].iov_len <= bytes.used - length);
		memcpy(joined + length, completed.pieces[i].iov_base, completed.pieces[i].iov_len);
		length += (uint32_t)completed.pieces[i].iov_len;
	}
	assert_int_equal(length, bytes.used);
}

static void make(const struct kind *kind, uint64_t *random, uint32_t payload)
{
	bytes_reset(&bytes);
	bytes_put_hex(&bytes, kind->hex);
	bytes_fill_random(random, bytes.data + bytes.used, payload);
	bytes.used += payload;
	bytes_end_ip(&bytes);
	if (kind->udp_length)
		bytes_set_be16(&bytes, kind->udp_length, (uint16_t)(bytes.used - kind->udp_length + 4));
	if (kind->header) /* set by bytes_end_ip() perhaps: it has to be made here */
		bytes_set_be16(&bytes, 10, 0xabcd);
}

static bool may_differ(const struct kind *kind, uint32_t at)
{
	return (kind->header && (at == 10 || at == 11)) || (at >= kind->field && at < kind->field + kind->field_size);
}

/* RFC 1071, byte by byte: 0xffff if a checksum among them is right. */
static uint32_t sum(const uint8_t *data, uint32_t length)
{
	uint32_t sum = 0;

	for (uint32_t at = 0; at < length; at++)
		sum += at % 2 ? data[at] : (uint32_t)data[at] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void check(const struct kind *kind)
{
	bool is_six = bytes.data[0] >> 4 == 6;
	struct vd_packet *packet;

	complete(is_six ? AF_INET6 : AF_INET);
	for (uint32_t at = 0; at < bytes.used; at++)
		if (joined[at] != bytes.data[at] && !may_differ(kind, at))
			fail_msg("%s, %u bytes: byte %u changed", kind->name, bytes.used, at);
	if (kind->header && sum(joined, kind->header) != 0xffff)
		fail_msg("%s, %u bytes: the IPv4 header's checksum is wrong", kind->name, bytes.used);
	packet = bytes_packet(joined, bytes.used, bytes.used, bytes.used, is_six ? IPV6 : IP, 0);
	if (kind->field && vd_packet_verify(packet))
		fail_msg("%s, %u bytes: %d", kind->name, bytes.used, vd_packet_verify(packet));
	free(packet);
}

static void fields_are_made_and_nothing_else(void **state)
{
	uint64_t random = bytes_seed("ipq_checksums");

	(void)state;
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
		for (uint32_t payload = 0; payload < 1500; payload += payload < 70 ? 1 : 101) {
			make(&kinds[i], &random, payload);
			check(&kinds[i]);
		}
}

/* In `bytes` and as it is sent. */
static void expect_as_it_is(uint8_t family)
{
	complete(family);
	assert_memory_equal(joined, bytes.data, bytes.used);
}

static void what_makes_no_sense_is_sent_as_it_is(void **state)
{
	uint64_t random = bytes_seed("ipq_checksums_malformed");

	(void)state;
	make(&kinds[0], &random, 30);
	expect_as_it_is(AF_INET6); /* of the other family */
	bytes_set_be16(&bytes, 2, (uint16_t)(bytes.used + 1));
	expect_as_it_is(AF_INET);
	bytes_set_be16(&bytes, 2, 39);
	expect_as_it_is(AF_INET);
	make(&kinds[3], &random, 30);
	bytes_set_be16(&bytes, 24, 39);
	expect_as_it_is(AF_INET);
}

/* Bytes behind the packet's own end belong to nobody, and are sent. */
static void what_is_behind_the_packet_is_not_covered(void **state)
{
	uint64_t random = bytes_seed("ipq_checksums_behind");
	uint16_t alone;

	(void)state;
	make(&kinds[0], &random, 31);
	complete(AF_INET);
	memcpy(&alone, joined + 36, sizeof alone);
	bytes_put_fill(&bytes, 'b', 9);
	complete(AF_INET);
	assert_memory_equal(joined + 36, &alone, sizeof alone);
	assert_memory_equal(joined + 71, "bbbbbbbbb", 9);
}

/* Whatever a program sends. */
static void any_bytes_can_be_sent(void **state)
{
	uint64_t random = bytes_seed("ipq_checksums_any");

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		const struct kind *kind = &kinds[bytes_random_below(&random, sizeof kinds / sizeof *kinds)];
		uint32_t changes = bytes_random_below(&random, 4);

		make(kind, &random, bytes_random_below(&random, 40));
		while (changes--)
			bytes.data[bytes_random_below(&random, bytes.used)] = (uint8_t)bytes_random(&random);
		if (bytes.used > 40)
			bytes.used = 40 + bytes_random_below(&random, bytes.used - 40);
		complete(bytes.used >= 40 && bytes_random_below(&random, 2) ? AF_INET6 : AF_INET);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_made_and_nothing_else),
		cmocka_unit_test(what_makes_no_sense_is_sent_as_it_is),
		cmocka_unit_test(what_is_behind_the_packet_is_not_covered),
		cmocka_unit_test(any_bytes_can_be_sent),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
