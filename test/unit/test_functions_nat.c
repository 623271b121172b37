/* SPDX-License-Identifier: MIT */
/*
 * The stock function nat: what it takes, and what it makes of packets one by one. Checksums of what comes out, and of what ICMP
 * errors quote, are looked at with sums that are made another way.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/support/function_host.h"
#include "test/support/sums.h"

enum { PREROUTING = 0, INPUT = 1, FORWARD = 2, OUTPUT = 3, POSTROUTING = 4, CAPTURE = 9 };

static struct bytes bytes, inner;

/* ---- packets ---- */

static void put_address(struct bytes *to, const char *text)
{
	uint8_t address[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	assert_int_equal(inet_pton(family, text, address), 1);
	bytes_put(to, address, family == AF_INET ? 4 : 16);
}

static void put_ip(struct bytes *to, const char *source, const char *destination, uint8_t protocol, uint16_t fragment)
{
	bytes_reset(to);
	if (strchr(source, ':')) {
		bytes_put_ipv6(to, 0, 0, protocol);
		to->used = 8;
	} else {
		bytes_put_ipv4(to, 0, 0, protocol, fragment);
		to->used = 12;
	}
	put_address(to, source);
	put_address(to, destination);
}

static void put_udp(struct bytes *to, const char *source, unsigned source_port, const char *destination, unsigned destination_port)
{
	put_ip(to, source, destination, IPPROTO_UDP, 0);
	bytes_put_udp(to, (uint16_t)source_port, (uint16_t)destination_port, 5);
	bytes_put(to, "hello", 5);
	bytes_end_ip(to);
	sums_make(to->data, to->used);
}

static void put_tcp(struct bytes *to, const char *source, unsigned source_port, const char *destination, unsigned destination_port)
{
	put_ip(to, source, destination, IPPROTO_TCP, 0);
	bytes_put_tcp(to, (uint16_t)source_port, (uint16_t)destination_port, 0x10);
	bytes_put(to, "hello", 5);
	bytes_end_ip(to);
	sums_make(to->data, to->used);
}

static void put_ping(struct bytes *to, const char *source, const char *destination)
{
	bool is_ipv4 = !strchr(source, ':');

	put_ip(to, source, destination, is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);
	bytes_put_hex(to, is_ipv4 ? "0800 0000 0001 0002" : "8000 0000 0001 0002");
	bytes_put(to, "ping", 4);
	bytes_end_ip(to);
	sums_make(to->data, to->used);
}

/* The whole of `inner` in an error of this type, or only its first bytes. */
static void put_error(const char *source, const char *destination, uint8_t type, uint32_t quoted)
{
	bool is_ipv4 = !strchr(source, ':');

	put_ip(&bytes, source, destination, is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);
	bytes_put_number(&bytes, type, 1);
	bytes_put_hex(&bytes, "04 0000 00000500");
	bytes_put(&bytes, inner.data, quoted < inner.used ? quoted : inner.used);
	bytes_end_ip(&bytes);
	sums_make(bytes.data, bytes.used);
}

static struct vd_packet *packet_at(unsigned hook)
{
	struct vd_packet *packet = bytes_packet_of(&bytes);

	if (hook == CAPTURE)
		return packet;
	packet->hook = (uint8_t)hook;
	packet->indev = hook != OUTPUT ? 2 : 0;
	packet->outdev = hook != PREROUTING && hook != INPUT ? 3 : 0;
	return packet;
}

/* ---- what is expected ---- */

static void expect_refused(const char *arguments, const char *named)
{
	struct function_host host;

	if (function_host_open(&host, "nat", arguments, 1) != -EINVAL)
		fail_msg("nat:%s should be refused", arguments);
	if (!*host.error || !strstr(host.error, named))
		fail_msg("nat:%s: '%s' does not name '%s'", arguments, host.error, named);
}

static struct function_host host;

static void open_nat(const char *arguments)
{
	if (function_host_open(&host, "nat", arguments, 1))
		fail_msg("nat:%s: %s", arguments, host.error);
	assert_int_equal(host.bytes, VD_WHOLE);
}

static void expect_address(const uint8_t *address, const char *text)
{
	uint8_t wanted[16];
	char there[INET6_ADDRSTRLEN];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	assert_int_equal(inet_pton(family, text, wanted), 1);
	if (memcmp(address, wanted, family == AF_INET ? 4 : 16))
		fail_msg("%s, and not %s", inet_ntop(family, address, there, sizeof there), text);
}

/* What is in `bytes` goes through at that hook, and is then from and to these. The packet, with its checksums. */
static struct vd_packet *expect(unsigned hook, const char *source, unsigned source_port, const char *destination,
				unsigned destination_port)
{
	struct vd_packet *packet = packet_at(hook);
	const char *fault;

	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(packet->edit_refused, 0);
	vd_packet_complete(packet);
	expect_address(vd_packet_source(packet), source);
	expect_address(vd_packet_destination(packet), destination);
	assert_int_equal(vd_packet_source_port(packet), source_port);
	assert_int_equal(vd_packet_destination_port(packet), destination_port);
	fault = sums_fault(vd_packet_data(packet), vd_packet_length(packet));
	if (fault)
		fail_msg("%s", fault);
	return packet;
}

static void expect_and_free(unsigned hook, const char *source, unsigned source_port, const char *destination,
			    unsigned destination_port)
{
	free(expect(hook, source, source_port, destination, destination_port));
}

static void expect_dropped(unsigned hook)
{
	struct vd_packet *packet = packet_at(hook);

	assert_int_equal(function_host_decide(&host, packet, 0), VD_DROP);
	free(packet);
}

/* ---- addresses ---- */

static void test_addresses_both_ways(void **cmocka)
{
	static const struct {
		const char *arguments, *outside, *inside, *other;
	} cases[] = {
		{"203.0.113.7=10.0.0.9", "203.0.113.7", "10.0.0.9", "192.0.2.1"},
		{"203.0.113.0/24=10.1.2.0/24", "203.0.113.200", "10.1.2.200", "192.0.2.1"},
		{"203.0.113.64/27=10.1.2.32/27", "203.0.113.77", "10.1.2.45", "192.0.2.1"},
		{"128.0.0.0/2=0.0.0.0/2", "138.1.2.3", "10.1.2.3", "192.0.2.1"},
		{"2001:db8::7=fd00::9", "2001:db8::7", "fd00::9", "2001:db8:ff::1"},
		{"2001:db8:1::/48=fd00:1:2::/48", "2001:db8:1:8::7", "fd00:1:2:8::7", "2001:db8:ff::1"},
		{"2001:db8:1:1200::/55=fd00:1:2:3400::/55", "2001:db8:1:13ff::7", "fd00:1:2:35ff::7", "2001:db8:ff::1"},
		/* 2001 + 0db8 + cf50 is fd00 + 0009, so that no transport checksum changes */
		{"2001:db8:cf50::/48=fd00:9:0::/48", "2001:db8:cf50::1", "fd00:9::1", "2001:db8:ff::1"},
	};
	static void (*const put[])(struct bytes *, const char *, unsigned, const char *, unsigned) = {put_udp, put_tcp};

	(void)cmocka;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		open_nat(cases[i].arguments);
		for (unsigned j = 0; j < 2; j++) {
			put[j](&bytes, cases[i].other, 1000, cases[i].outside, 80);
			expect_and_free(PREROUTING, cases[i].other, 1000, cases[i].inside, 80);
			put[j](&bytes, cases[i].inside, 80, cases[i].other, 1000);
			expect_and_free(POSTROUTING, cases[i].outside, 80, cases[i].other, 1000);
			put[j](&bytes, cases[i].other, 1000, cases[i].other, 80);
			expect_and_free(CAPTURE, cases[i].other, 1000, cases[i].other, 80);
		}
		put_ping(&bytes, cases[i].other, cases[i].outside);
		expect_and_free(OUTPUT, cases[i].other, 0, cases[i].inside, 0);
		put_ping(&bytes, cases[i].inside, cases[i].other);
		expect_and_free(INPUT, cases[i].outside, 0, cases[i].other, 0);
		assert_int_equal(function_host_counter(&host, "destinations"), 3);
		assert_int_equal(function_host_counter(&host, "sources"), 3);
		assert_int_equal(function_host_counter(&host, "errors"), 0);
		assert_int_equal(function_host_counter(&host, "fragments"), 0);
		function_host_close(&host);
	}
}

static void test_prefixes_end_where_they_end(void **cmocka)
{
	(void)cmocka;
	open_nat("203.0.113.64/27=10.1.2.32/27");
	put_udp(&bytes, "10.1.2.64", 1, "203.0.113.96", 2);
	expect_and_free(CAPTURE, "10.1.2.64", 1, "203.0.113.96", 2);
	put_udp(&bytes, "10.1.2.31", 1, "203.0.113.63", 2);
	expect_and_free(CAPTURE, "10.1.2.31", 1, "203.0.113.63", 2);
	put_udp(&bytes, "10.1.2.63", 1, "203.0.113.95", 2);
	expect_and_free(CAPTURE, "203.0.113.95", 1, "10.1.2.63", 2);
	function_host_close(&host);
}

/* Destinations before the packet's way is chosen, sources behind. */
static void test_hooks_choose_what_is_done(void **cmocka)
{
	static const struct {
		unsigned hook;
		bool destination, source;
	} hooks[] = {{PREROUTING, true, false}, {OUTPUT, true, false}, {INPUT, false, true},
		     {POSTROUTING, false, true}, {FORWARD, true, true}, {CAPTURE, true, true}};

	(void)cmocka;
	open_nat("203.0.113.0/24=10.0.0.0/24");
	for (unsigned i = 0; i < sizeof hooks / sizeof *hooks; i++) {
		put_udp(&bytes, "10.0.0.1", 1, "203.0.113.2", 2);
		expect_and_free(hooks[i].hook, hooks[i].source ? "203.0.113.1" : "10.0.0.1", 1,
				hooks[i].destination ? "10.0.0.2" : "203.0.113.2", 2);
	}
	function_host_close(&host);
}

static void test_the_first_mapping_wins(void **cmocka)
{
	(void)cmocka;
	open_nat("tcp/203.0.113.7:80=10.0.0.1:8080,203.0.113.7=10.0.0.2,203.0.113.0/24=10.0.3.0/24,203.0.113.7=10.0.0.4");
	put_tcp(&bytes, "192.0.2.1", 1, "203.0.113.7", 80);
	expect_and_free(PREROUTING, "192.0.2.1", 1, "10.0.0.1", 8080);
	put_tcp(&bytes, "192.0.2.1", 1, "203.0.113.7", 81);
	expect_and_free(PREROUTING, "192.0.2.1", 1, "10.0.0.2", 81);
	put_udp(&bytes, "192.0.2.1", 1, "203.0.113.7", 80);
	expect_and_free(PREROUTING, "192.0.2.1", 1, "10.0.0.2", 80);
	put_udp(&bytes, "192.0.2.1", 1, "203.0.113.8", 80);
	expect_and_free(PREROUTING, "192.0.2.1", 1, "10.0.3.8", 80);
	function_host_close(&host);
}

/* ---- ports ---- */

static void test_ports_both_ways(void **cmocka)
{
	static const struct {
		const char *arguments, *outside, *inside, *other;
	} cases[] = {{"203.0.113.7:80=10.0.0.9:8080", "203.0.113.7", "10.0.0.9", "192.0.2.1"},
		     {"[2001:db8::7]:80=[fd00::9]:8080", "2001:db8::7", "fd00::9", "2001:db8:ff::1"}};

	(void)cmocka;
	for (unsigned i = 0; i < 2; i++) {
		open_nat(cases[i].arguments);
		put_tcp(&bytes, cases[i].other, 1000, cases[i].outside, 80);
		expect_and_free(PREROUTING, cases[i].other, 1000, cases[i].inside, 8080);
		put_udp(&bytes, cases[i].other, 80, cases[i].outside, 80);
		expect_and_free(PREROUTING, cases[i].other, 80, cases[i].inside, 8080);
		put_tcp(&bytes, cases[i].inside, 8080, cases[i].other, 1000);
		expect_and_free(POSTROUTING, cases[i].outside, 80, cases[i].other, 1000);
		/* other ports, the ports of the other side, and what has none */
		put_tcp(&bytes, cases[i].other, 80, cases[i].outside, 8080);
		expect_and_free(PREROUTING, cases[i].other, 80, cases[i].outside, 8080);
		put_tcp(&bytes, cases[i].inside, 80, cases[i].other, 8080);
		expect_and_free(POSTROUTING, cases[i].inside, 80, cases[i].other, 8080);
		put_ping(&bytes, cases[i].other, cases[i].outside);
		expect_and_free(PREROUTING, cases[i].other, 0, cases[i].outside, 0);
		function_host_close(&host);
	}
	open_nat("udp/203.0.113.7:80=10.0.0.9:8080");
	put_tcp(&bytes, "192.0.2.1", 1, "203.0.113.7", 80);
	expect_and_free(PREROUTING, "192.0.2.1", 1, "203.0.113.7", 80);
	put_udp(&bytes, "192.0.2.1", 1, "203.0.113.7", 80);
	expect_and_free(PREROUTING, "192.0.2.1", 1, "10.0.0.9", 8080);
	function_host_close(&host);
}

/* Its sender made no checksum, so there is none to correct. */
static void test_udp_without_a_checksum_stays_without(void **cmocka)
{
	struct vd_packet *packet;

	(void)cmocka;
	open_nat("203.0.113.7:80=10.0.0.9:8080");
	put_udp(&bytes, "192.0.2.1", 1, "203.0.113.7", 80);
	bytes_set_be16(&bytes, 26, 0);
	packet = expect(PREROUTING, "192.0.2.1", 1, "10.0.0.9", 8080);
	assert_int_equal(vd_packet_data(packet)[26] << 8 | vd_packet_data(packet)[27], 0);
	free(packet);
	function_host_close(&host);
}

/* ---- fragments ---- */

static void put_fragment(const char *source, const char *destination, uint8_t protocol, uint16_t fragment)
{
	put_ip(&bytes, source, destination, protocol, fragment);
	if (fragment & 0x1fff)
		bytes_put_fill(&bytes, 'f', 16);
	else
		bytes_put_udp(&bytes, 80, 80, 40);
	if (!(fragment & 0x1fff))
		bytes_put_fill(&bytes, 'f', 16);
	bytes_end_ip(&bytes);
	bytes_set_be16(&bytes, 10, (uint16_t)~sums_add(0, bytes.data, 20));
}

static void expect_fragment(unsigned hook, const char *source, const char *destination)
{
	struct vd_packet *packet = packet_at(hook);

	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(packet->edit_refused, 0);
	vd_packet_complete(packet);
	expect_address(vd_packet_source(packet), source);
	expect_address(vd_packet_destination(packet), destination);
	assert_int_equal(sums_add(0, vd_packet_data(packet), 20), 0xffff);
	free(packet);
}

static void test_all_fragments_get_the_address(void **cmocka)
{
	static const uint16_t fragments[] = {0x2000, 0x2003, 0x0003};

	(void)cmocka;
	open_nat("203.0.113.7=10.0.0.9");
	for (unsigned i = 0; i < 3; i++) {
		put_fragment("192.0.2.1", "203.0.113.7", IPPROTO_UDP, fragments[i]);
		expect_fragment(PREROUTING, "192.0.2.1", "10.0.0.9");
		put_fragment("10.0.0.9", "192.0.2.1", IPPROTO_UDP, fragments[i]);
		expect_fragment(POSTROUTING, "203.0.113.7", "192.0.2.1");
	}
	assert_int_equal(function_host_counter(&host, "fragments"), 0);
	function_host_close(&host);
}

static void test_no_fragment_goes_through_a_port(void **cmocka)
{
	static const uint16_t fragments[] = {0x2000, 0x2003, 0x0003};

	(void)cmocka;
	open_nat("udp/203.0.113.7:80=10.0.0.9:80,203.0.113.7=10.0.0.8");
	for (unsigned i = 0; i < 3; i++) {
		put_fragment("192.0.2.1", "203.0.113.7", IPPROTO_UDP, fragments[i]);
		expect_dropped(PREROUTING);
		put_fragment("10.0.0.9", "192.0.2.1", IPPROTO_UDP, fragments[i]);
		expect_dropped(POSTROUTING);
	}
	assert_int_equal(function_host_counter(&host, "fragments"), 6);
	/* fragments of another protocol, or of another address, or that say another port, are not meant */
	put_fragment("192.0.2.1", "203.0.113.7", IPPROTO_ESP, 0x2003);
	expect_fragment(PREROUTING, "192.0.2.1", "10.0.0.8");
	put_fragment("192.0.2.1", "203.0.113.9", IPPROTO_UDP, 0x2003);
	expect_fragment(PREROUTING, "192.0.2.1", "203.0.113.9");
	put_fragment("192.0.2.1", "203.0.113.7", IPPROTO_UDP, 0x2000);
	bytes_set_be16(&bytes, 22, 81);
	expect_fragment(PREROUTING, "192.0.2.1", "10.0.0.8");
	assert_int_equal(function_host_counter(&host, "fragments"), 6);
	function_host_close(&host);
}

/* ---- what ICMP errors quote ---- */

/* The quoted packet's own checksums are right, and it is from and to these. All of it was quoted. */
static void expect_quoted(struct vd_packet *packet, const char *source, unsigned source_port, const char *destination,
			  unsigned destination_port)
{
	uint32_t length, is_ipv4 = vd_packet_ip_version(packet) == 4, transport = is_ipv4 ? 20 : 40;
	const uint8_t *quoted = vd_packet_payload(packet, &length);
	const char *fault = sums_fault(quoted, length);

	if (fault)
		fail_msg("quoted: %s", fault);
	expect_address(quoted + (is_ipv4 ? 12 : 8), source);
	expect_address(quoted + (is_ipv4 ? 16 : 24), destination);
	if (source_port) {
		assert_int_equal(quoted[transport] << 8 | quoted[transport + 1], source_port);
		assert_int_equal(quoted[transport + 2] << 8 | quoted[transport + 3], destination_port);
	}
	free(packet);
}

static const struct family {
	const char *arguments, *outside, *inside;
	const char *second; /* the outside address for other ports */
	const char *client, *router, *other_router;
	uint8_t unreachable, exceeded;
} FAMILIES[] = {
	{"203.0.113.7:80=10.0.0.9:8080,203.0.113.0/24=10.0.0.0/24", "203.0.113.7", "10.0.0.9", "203.0.113.9",
	 "192.0.2.1", "172.16.0.1", "198.51.100.1", 3, 11},
	{"[2001:db8:1::7]:80=[fd00::9]:8080,2001:db8:1::/64=fd00::/64", "2001:db8:1::7", "fd00::9", "2001:db8:1::9",
	 "2001:db8:ff::1", "fd01::1", "2001:db8:fe::1", 1, 3},
};
#define FOR_EACH_FAMILY(family) for (const struct family *family = FAMILIES; family < FAMILIES + 2; family++)

static void test_errors_from_inside(void **cmocka)
{
	static void (*const put[])(struct bytes *, const char *, unsigned, const char *, unsigned) = {put_udp, put_tcp};

	(void)cmocka;
	FOR_EACH_FAMILY(family) {
		const char *client = family->client, *router = family->router, *second = family->second;

		open_nat(family->arguments);
		for (unsigned i = 0; i < 2; i++) {
			/* the host itself, and a router on the way to it, whose address nobody translates */
			put[i](&inner, client, 1000, family->inside, 8080);
			put_error(family->inside, client, family->unreachable, UINT32_MAX);
			expect_quoted(expect(POSTROUTING, family->outside, 0, client, 0), client, 1000, family->outside, 80);
			put_error(router, client, family->exceeded, UINT32_MAX);
			expect_quoted(expect(POSTROUTING, router, 0, client, 0), client, 1000, family->outside, 80);
		}
		put_udp(&inner, client, 1000, family->inside, 53);
		put_error(family->inside, client, family->unreachable, UINT32_MAX);
		expect_quoted(expect(CAPTURE, second, 0, client, 0), client, 1000, second, 53);
		assert_int_equal(function_host_counter(&host, "errors"), 5);
		function_host_close(&host);
	}
}

static void test_errors_from_outside(void **cmocka)
{
	(void)cmocka;
	FOR_EACH_FAMILY(family) {
		const char *client = family->client, *router = family->other_router, *inside = family->inside;

		open_nat(family->arguments);
		put_tcp(&inner, family->outside, 80, client, 1000);
		put_error(client, family->outside, family->unreachable, UINT32_MAX);
		expect_quoted(expect(PREROUTING, client, 0, inside, 0), inside, 8080, client, 1000);
		put_error(router, family->outside, family->exceeded, UINT32_MAX);
		expect_quoted(expect(PREROUTING, router, 0, inside, 0), inside, 8080, client, 1000);
		/* pings have checksums, too, and in IPv6 addresses in them */
		put_ping(&inner, family->second, client);
		put_error(router, family->second, family->exceeded, UINT32_MAX);
		expect_quoted(expect(PREROUTING, router, 0, inside, 0), inside, 0, client, 0);
		assert_int_equal(function_host_counter(&host, "errors"), 3);
		function_host_close(&host);
	}
}

/* An error may cut what it quotes anywhere. Its own checksum is right, and nothing is read or written behind the end. */
static void test_errors_that_quote_little(void **cmocka)
{
	(void)cmocka;
	FOR_EACH_FAMILY(family) {
		uint32_t header = strchr(family->inside, ':') ? 40 : 20;

		open_nat(family->arguments);
		put_tcp(&inner, family->client, 1000, family->inside, 8080);
		for (uint32_t quoted = 0; quoted <= inner.used; quoted++) {
			struct vd_packet *packet;
			uint32_t length;

			put_error(family->router, family->client, family->unreachable, quoted);
			packet = expect(POSTROUTING, family->router, 0, family->client, 0);
			assert_int_equal(packet->changed, quoted >= header ? VD_CHANGED_DATA : 0);
			if (quoted >= header + 4) {
				const uint8_t *there = vd_packet_payload(packet, &length);

				expect_address(there + (header == 20 ? 16 : 24), family->outside);
				assert_int_equal(there[header + 2] << 8 | there[header + 3], 80);
			}
			free(packet);
		}
		function_host_close(&host);
	}
}

/* What is no error quotes nothing, whatever it carries. */
static void test_other_messages_quote_nothing(void **cmocka)
{
	static const uint8_t types[2][4] = {{0, 5, 8, 13}, {128, 129, 135, 137}};
	struct vd_packet *packet;

	(void)cmocka;
	for (unsigned i = 0; i < 2; i++) {
		const struct family *family = &FAMILIES[i];

		open_nat(family->arguments);
		put_udp(&inner, family->client, 1000, family->inside, 8080);
		for (unsigned j = 0; j < 4; j++) {
			put_error(family->router, family->client, types[i][j], UINT32_MAX);
			packet = expect(CAPTURE, family->router, 0, family->client, 0);
			assert_int_equal(packet->changed, 0);
			free(packet);
		}
		assert_int_equal(function_host_counter(&host, "errors"), 0);
		function_host_close(&host);
	}
}

/* Behind extension headers, as far as they are there. */
static void test_errors_that_quote_extension_headers(void **cmocka)
{
	const struct family *family = &FAMILIES[1];

	(void)cmocka;
	open_nat(family->arguments);
	for (uint32_t quoted = 40; quoted <= 40 + 8 + 16 + 20; quoted++) {
		const uint8_t *there;
		struct vd_packet *packet;
		uint32_t length;

		put_ip(&inner, family->client, family->inside, IPPROTO_HOPOPTS, 0);
		bytes_put_hex(&inner, "2c00 010400000000 0600 0001 00000007"); /* hop-by-hop, and the first fragment of many */
		bytes_put_tcp(&inner, 1000, 8080, 0x10);
		put_error(family->router, family->client, family->unreachable, quoted);
		packet = expect(POSTROUTING, family->router, 0, family->client, 0);
		there = vd_packet_payload(packet, &length);
		if (quoted >= 56 + 4) {
			expect_address(there + 24, family->outside);
			assert_int_equal(there[56 + 2] << 8 | there[56 + 3], 80);
		} else {
			expect_address(there + 24, "2001:db8:1::9"); /* as far as is known, it may be any protocol */
		}
		free(packet);
	}
	function_host_close(&host);
}

/* Whatever stands in it: nothing is read or written beyond the end, and the error's own checksum is right. */
static void test_errors_that_quote_nonsense(void **cmocka)
{
	static const uint8_t nexts[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS, IPPROTO_UDP, IPPROTO_TCP};
	uint64_t random = bytes_seed("errors that quote nonsense");

	(void)cmocka;
	FOR_EACH_FAMILY(family) {
		bool is_ipv4 = !strchr(family->inside, ':');

		open_nat(family->arguments);
		for (unsigned i = 0; i < 20000; i++) {
			struct vd_packet *packet;

			put_udp(&inner, i % 2 ? family->client : family->outside, 80, i % 2 ? family->inside : family->client, 8080);
			bytes_put_fill(&inner, 0, bytes_random_below(&random, 300));
			for (unsigned flips = bytes_random_below(&random, 8); flips; flips--)
				inner.data[1 + bytes_random_below(&random, inner.used - 1)] = (uint8_t)bytes_random(&random);
			if (!is_ipv4)
				inner.data[6] = nexts[bytes_random_below(&random, sizeof nexts)];
			put_error(family->router, family->client, family->unreachable, bytes_random_below(&random, inner.used + 1));
			packet = packet_at(bytes_random_below(&random, 2) ? CAPTURE : POSTROUTING);
			assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
			assert_int_equal(packet->length, bytes.used);
			vd_packet_complete(packet);
			assert_null(sums_fault(vd_packet_data(packet), packet->length));
			free(packet);
		}
		assert_in_range(function_host_counter(&host, "errors"), 5000, 20000);
		function_host_close(&host);
	}
}

/* ---- what cannot be done ---- */

static void test_a_packet_is_not_translated_by_half(void **cmocka)
{
	struct vd_packet *packet;

	(void)cmocka;
	open_nat("203.0.113.7=10.0.0.9");
	put_udp(&bytes, "192.0.2.1", 1, "203.0.113.7", 80);
	packet = bytes_packet(bytes.data, 28, bytes.used, 28, 0x0800, 0);
	packet->indev = 1;
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(packet->edit_refused, ENODATA); /* the engine gives it the fault verdict */
	free(packet);
	function_host_close(&host);

	/* also where the port is not even seen: it could be the one */
	open_nat("203.0.113.7:80=10.0.0.9:80");
	packet = bytes_packet(bytes.data, 20, bytes.used, 20, 0x0800, 0);
	packet->indev = 1;
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(packet->edit_refused, ENODATA);
	assert_int_equal(function_host_counter(&host, "fragments"), 0);
	free(packet);

	bytes_reset(&bytes);
	bytes_put_hex(&bytes, "0001 0800 0604 0001 0200 0000 0902 0a09 0002 0000 0000 0000 0a09 0001");
	packet = bytes_packet(bytes.data, bytes.used, bytes.used, bytes.used, 0x0806, 0);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(packet->changed, 0);
	free(packet);
	function_host_close(&host);
}

static void test_refuses_what_it_cannot_read(void **cmocka)
{
	static char many[257 * 20 + 1];

	(void)cmocka;
	expect_refused("", "nat:OUTSIDE=INSIDE");
	expect_refused("203.0.113.7", "'203.0.113.7'");
	expect_refused("203.0.113.7=", "not ''");
	expect_refused("=10.0.0.1", "not ''");
	expect_refused("203.0.113.7=10.0.0.1,", "nat:OUTSIDE=INSIDE");
	expect_refused("203.0.113.256=10.0.0.1", "'203.0.113.256'");
	expect_refused("host.example=10.0.0.1", "'host.example'");
	expect_refused("203.0.113.7=fd00::1", "same IP version");
	expect_refused("203.0.113.0/24=10.0.0.0/25", "same length");
	expect_refused("203.0.113.0/24=10.0.0.1", "same length");
	expect_refused("203.0.113.7/32=10.0.0.1", "same length");
	expect_refused("203.0.113.7/24=10.0.0.0/24", "bits behind");
	expect_refused("203.0.113.0/24=10.0.0.1/24", "'10.0.0.1/24'");
	expect_refused("203.0.113.0/33=10.0.0.0/33", "1 to 32");
	expect_refused("203.0.113.0/0=10.0.0.0/0", "1 to 32");
	expect_refused("2001:db8::/129=fd00::/129", "1 to 128");
	expect_refused("203.0.113.7:80=10.0.0.1", "a port, or none");
	expect_refused("203.0.113.7=10.0.0.1:80", "a port, or none");
	expect_refused("203.0.113.7:0=10.0.0.1:80", "1 to 65535");
	expect_refused("203.0.113.7:65536=10.0.0.1:80", "'203.0.113.7:65536'");
	expect_refused("203.0.113.7:80x=10.0.0.1:80", "'203.0.113.7:80x'");
	expect_refused("203.0.113.0:80/24=10.0.0.0:80/24", "single address");
	expect_refused("[2001:db8::7]=[fd00::1]", "[ADDRESS]");
	expect_refused("[2001:db8::7]:80=fd00::1", "a port, or none");
	expect_refused("sctp/203.0.113.7=10.0.0.1", "'sctp/203.0.113.7'");
	expect_refused("203.0.113.7=tcp/10.0.0.1", "'tcp/10.0.0.1'");
	expect_refused("203.0.113.7=10.0.0.1=10.0.0.2", "'10.0.0.1=10.0.0.2'");
	for (unsigned i = 0; i < 257; i++)
		strcat(many, i ? ",192.0.2.1=10.0.0.1" : "192.0.2.1=10.0.0.1");
	expect_refused(many, "256");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_both_ways),
		cmocka_unit_test(test_prefixes_end_where_they_end),
		cmocka_unit_test(test_hooks_choose_what_is_done),
		cmocka_unit_test(test_the_first_mapping_wins),
		cmocka_unit_test(test_ports_both_ways),
		cmocka_unit_test(test_udp_without_a_checksum_stays_without),
		cmocka_unit_test(test_all_fragments_get_the_address),
		cmocka_unit_test(test_no_fragment_goes_through_a_port),
		cmocka_unit_test(test_errors_from_inside),
		cmocka_unit_test(test_errors_from_outside),
		cmocka_unit_test(test_errors_that_quote_little),
		cmocka_unit_test(test_errors_that_quote_extension_headers),
		cmocka_unit_test(test_errors_that_quote_nonsense),
		cmocka_unit_test(test_other_messages_quote_nothing),
		cmocka_unit_test(test_a_packet_is_not_translated_by_half),
		cmocka_unit_test(test_refuses_what_it_cannot_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
