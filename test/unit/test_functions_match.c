/* SPDX-License-Identifier: MIT */
/*
 * match: its arguments, what it matches, and that the bytes it asks for are enough: a packet of which only these were
 * copied has to be decided as the whole one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/support/bytes.h"
#include "test/support/function_host.h"

static struct bytes bytes;

static void expect_refused(const char *arguments, const char *named)
{
	struct function_host host;

	if (function_host_open(&host, "match", arguments, 1) != -EINVAL)
		fail_msg("match:%s should be refused", arguments);
	if (!*host.error || !strstr(host.error, named))
		fail_msg("match:%s: '%s' does not name \"%s\"", arguments, host.error, named);
}

static void test_wrong_arguments_are_refused(void **cmocka)
{
	(void)cmocka;
	expect_refused("", "EXPR=VERDICT");
	expect_refused("udp port 53", "'udp port 53'");
	expect_refused("=drop", "'=drop'");
	expect_refused("udp=", "''");
	expect_refused("udp=reject", "'reject'");
	expect_refused("udp=drop ", "'drop '");
	expect_refused("ip[0] = 5", "' 5'");
	expect_refused("udp=queue:", "'queue:'");
	expect_refused("udp=queue:65536", "'queue:65536'");
	expect_refused("udp=queue:7,bypass", "'queue:7,bypass'");
	expect_refused("udp=queue:-1", "'queue:-1'");
	expect_refused("udp prot 53=drop", "'udp prot 53'");
	expect_refused("udp prot 53=drop", "syntax error"); /* libpcap's own word */
	expect_refused("ether host 1:2:3:4:5:6=drop", "ether");
	expect_refused("port 99999=drop", "99999");
	expect_refused("ip and not ip=drop", "rejects all packets");
}

enum { V4_DNS, V4_DNS_ANSWER, V4_SYN, V4_SYN_OPTIONS, V4_ACK, V4_PING, V4_LATER_FRAGMENT, V4_LARGE, V4_GET, V6_DNS, V6_SYN, KINDS };

static void make(unsigned kind)
{
	bytes_reset(&bytes);
	switch (kind) {
	case V4_DNS:
	case V4_DNS_ANSWER:
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_UDP, 0);
		bytes_put_udp(&bytes, kind == V4_DNS ? 40000 : 53, kind == V4_DNS ? 53 : 40000, 20);
		bytes_put_fill(&bytes, 'd', 20);
		break;
	case V4_SYN:
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_TCP, 0);
		bytes_put_tcp(&bytes, 40000, 443, 0x02);
		break;
	case V4_SYN_OPTIONS: /* 60 bytes of IP header: everything behind it has moved */
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_TCP, 0);
		bytes.data[0] = 0x4f;
		bytes_put_fill(&bytes, 1, 40);
		bytes_put_tcp(&bytes, 40000, 443, 0x02);
		break;
	case V4_ACK:
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_TCP, 0);
		bytes_put_tcp(&bytes, 40000, 443, 0x10);
		break;
	case V4_PING:
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_ICMP, 0);
		bytes_put_hex(&bytes, "0800 0000 1234 0001");
		break;
	case V4_LATER_FRAGMENT: /* would be a packet to port 53, were this a transport header */
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_UDP, 0x0010);
		bytes_put_udp(&bytes, 40000, 53, 20);
		bytes_put_fill(&bytes, 'd', 20);
		break;
	case V4_LARGE:
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_UDP, 0);
		bytes_put_udp(&bytes, 40000, 9000, 1000);
		bytes_put_fill(&bytes, 'l', 1000);
		break;
	case V4_GET:
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_TCP, 0);
		bytes_put_tcp(&bytes, 40000, 80, 0x18);
		bytes_put(&bytes, "GET / HTTP/1.1\r\n\r\n", 18);
		break;
	case V6_DNS:
		bytes_put_ipv6(&bytes, 1, 2, IPPROTO_UDP);
		bytes_put_udp(&bytes, 40000, 53, 20);
		bytes_put_fill(&bytes, 'd', 20);
		break;
	case V6_SYN:
		bytes_put_ipv6(&bytes, 1, 2, IPPROTO_TCP);
		bytes_put_tcp(&bytes, 40000, 443, 0x02);
		break;
	}
	bytes_end_ip(&bytes);
}

#define BIT(kind) (1u << (kind))
#define ALL (BIT(KINDS) - 1)
#define V4 (BIT(V6_DNS) - 1)
#define GET "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420"

/* What libpcap makes of the ports of IPv6 is known only without extension headers: pcap-filter(7) says so. */
static const struct {
	const char *expression;
	unsigned matched; /* kinds */
	uint32_t bytes;
} cases[] = {
	{"udp port 53", BIT(V4_DNS) | BIT(V4_DNS_ANSWER) | BIT(V6_DNS), VD_HEADERS},
	{"udp dst port 53", BIT(V4_DNS) | BIT(V6_DNS), VD_HEADERS},
	{"tcp[tcpflags] & tcp-syn != 0", BIT(V4_SYN) | BIT(V4_SYN_OPTIONS), VD_HEADERS},
	{"tcp[13] = 2", BIT(V4_SYN) | BIT(V4_SYN_OPTIONS), VD_HEADERS},
	{"tcp dst port 443", BIT(V4_SYN) | BIT(V4_SYN_OPTIONS) | BIT(V4_ACK) | BIT(V6_SYN), VD_HEADERS},
	{"ip6", BIT(V6_DNS) | BIT(V6_SYN), VD_HEADERS},
	{"ip", V4, VD_HEADERS},
	{"greater 500", BIT(V4_LARGE), VD_HEADERS},
	{"less 500", ALL & ~BIT(V4_LARGE), VD_HEADERS},
	{"len >= 28 and len <= 28", BIT(V4_PING), VD_HEADERS},
	{"host 10.0.0.1 and not tcp", BIT(V4_DNS) | BIT(V4_DNS_ANSWER) | BIT(V4_PING) | BIT(V4_LATER_FRAGMENT) | BIT(V4_LARGE),
	 VD_HEADERS},
	{"src net 2001:db8::/32", BIT(V6_DNS) | BIT(V6_SYN), VD_HEADERS},
	{"icmp[icmptype] = icmp-echo", BIT(V4_PING), VD_HEADERS},
	{"ip[6:2] & 0x1fff != 0", BIT(V4_LATER_FRAGMENT), VD_HEADERS},
	{"ip[0] & 0xf > 5", BIT(V4_SYN_OPTIONS), VD_HEADERS},
	{GET, BIT(V4_GET), VD_HEADERS}, /* 60 + 60 + 4 */
	{"ip[2:2] > 1000 and ip[1000] = 0x6c", BIT(V4_LARGE), 1001},
	{"udp[500] = 0x6c", BIT(V4_LARGE), 561},
	{"udp[0:2] != 9 and udp[500] = 0x6c", BIT(V4_LARGE), 561}, /* X comes through a branch not taken */
	{"udp[udp[4:2] / 2] = 0x6c", BIT(V4_LARGE), 60 + 32767 + 1},
	{"udp[udp[4:2] - 1] = 0x6c", BIT(V4_LARGE), VD_WHOLE}, /* might be below zero */
	{"udp[udp[4:2] * 2 - udp[4:2] - 1] = 0x6c", BIT(V4_LARGE), VD_WHOLE},
	{"ip6 protochain 6", BIT(V6_SYN), VD_WHOLE}, /* a loop */
};

static enum vd_verdict decide_cut(struct function_host *host, const void *data, uint32_t length, uint32_t wire_length)
{
	uint16_t ethertype = wire_length && ((const uint8_t *)data)[0] >> 4 == 6 ? 0x86dd : 0x0800;
	struct vd_packet *packet = bytes_packet(data, length, wire_length, 0, ethertype, 0);
	enum vd_verdict verdict = function_host_decide(host, packet, 0);

	free(packet);
	return verdict;
}

static void test_expressions_match_what_they_say(void **cmocka)
{
	(void)cmocka;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct function_host host;
		char arguments[200];
		uint64_t matched = 0;

		snprintf(arguments, sizeof arguments, "%s=drop", cases[i].expression);
		if (function_host_open(&host, "match", arguments, 1))
			fail_msg("%s: %s", arguments, host.error);
		if (host.bytes != cases[i].bytes)
			fail_msg("%s: needs %u bytes, not %u", arguments, cases[i].bytes, host.bytes);
		for (unsigned kind = 0; kind < KINDS; kind++) {
			bool wanted = cases[i].matched & BIT(kind);

			make(kind);
			if (decide_cut(&host, bytes.data, bytes.used, bytes.used) != (wanted ? VD_DROP : VD_NEXT))
				fail_msg("%s: packet %u is decided wrongly", arguments, kind);
			matched += wanted;
		}
		assert_int_equal(function_host_counter(&host, "matched"), matched);
		function_host_close(&host);
	}
}

static void test_verdicts(void **cmocka)
{
	static const struct {
		const char *arguments;
		enum vd_verdict verdict;
	} verdicts[] = {{"udp=accept", VD_ACCEPT}, {"udp=drop", VD_DROP},   {"udp=repeat", VD_REPEAT},
			{"udp=stop", VD_STOP},     {"udp=queue:9", VD_QUEUE}, {"tcp=drop", VD_NEXT}};

	(void)cmocka;
	make(V4_DNS);
	for (unsigned i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		struct vd_packet *packet = bytes_packet_of(&bytes);
		struct function_host host;

		assert_int_equal(function_host_open(&host, "match", verdicts[i].arguments, 1), 0);
		assert_int_equal(function_host_decide(&host, packet, 0), verdicts[i].verdict);
		if (verdicts[i].verdict == VD_QUEUE)
			assert_int_equal(packet->requeue, 9);
		function_host_close(&host);
		free(packet);
	}
}

/* A packet that has some sense in its headers, and chance in the rest. */
static void make_random(uint64_t *random)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT};
	uint32_t length = 1 + bytes_random_below(random, 1400);

	bytes_reset(&bytes);
	for (uint32_t i = 0; i < length; i++)
		bytes_put_number(&bytes, bytes_random_below(random, 4) ? bytes_random(random) : 0, 1);
	if (length < 80 || !bytes_random_below(random, 8))
		return;
	bytes.data[0] = (uint8_t)(bytes_random_below(random, 3) ? 0x40 | (5 + bytes_random_below(random, 11)) : 0x60);
	bytes.data[bytes.data[0] >> 4 == 4 ? 9 : 6] = protocols[bytes_random_below(random, sizeof protocols)];
	if (bytes.data[0] >> 4 == 4) {
		if (bytes_random_below(random, 4))
			bytes_set_be16(&bytes, 6, 0);
		bytes_set_be16(&bytes, 2, (uint16_t)length);
		bytes_set_be16(&bytes, (bytes.data[0] & 15u) * 4 + 2, bytes_random_below(random, 2) ? 53 : 443);
	} else {
		bytes_set_be16(&bytes, 42, bytes_random_below(random, 2) ? 53 : 443);
	}
}

/* The promise of `.bytes`: what lies behind them does not matter. */
static void test_the_declared_bytes_are_enough(void **cmocka)
{
	uint64_t random = bytes_seed("match");
	unsigned cut = 0, differing = 0;

	(void)cmocka;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct function_host host;
		char arguments[200];

		snprintf(arguments, sizeof arguments, "%s=drop", cases[i].expression);
		assert_int_equal(function_host_open(&host, "match", arguments, 1), 0);
		for (unsigned round = 0; round < 5000; round++) {
			uint32_t length;
			enum vd_verdict whole;

			make_random(&random);
			whole = decide_cut(&host, bytes.data, bytes.used, bytes.used);
			length = host.bytes && host.bytes < bytes.used ? host.bytes : bytes.used;
			if (decide_cut(&host, bytes.data, length, bytes.used) != whole)
				fail_msg("%s: decided otherwise with %u of %u bytes", arguments, length, bytes.used);
			cut += length < bytes.used;
			/* and that this test could fail: with too few bytes the decision does differ */
			length = length < 40 ? length : 40;
			differing += decide_cut(&host, bytes.data, length, bytes.used) != whole;
		}
		function_host_close(&host);
	}
	assert_true(cut > 50000);
	assert_true(differing > 300);
}

static void test_packets_without_bytes_do_not_match(void **cmocka)
{
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "match", "ip=drop", 1), 0);
	assert_int_equal(decide_cut(&host, "", 0, 0), VD_NEXT);
	assert_int_equal(decide_cut(&host, "E", 0, 1500), VD_NEXT);
	assert_int_equal(decide_cut(&host, "E", 1, 1500), VD_DROP);
	function_host_close(&host);
	assert_int_equal(function_host_open(&host, "match", "greater 1000=drop", 1), 0);
	assert_int_equal(decide_cut(&host, "", 0, 1500), VD_DROP); /* the length on the wire */
	function_host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_arguments_are_refused),
		cmocka_unit_test(test_expressions_match_what_they_say),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_the_declared_bytes_are_enough),
		cmocka_unit_test(test_packets_without_bytes_do_not_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
