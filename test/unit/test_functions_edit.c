/* SPDX-License-Identifier: MIT */
/*
 * The stock functions that change packets: ttl, dscp, mss, replace. nat has a file of its own. What comes out is looked at
 * byte by byte, with checksums that are made another way than the library's.
 */
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

#define SYN 0x02
#define ACK 0x10

static struct bytes bytes;

static void put_ip(unsigned version, uint8_t protocol)
{
	bytes_reset(&bytes);
	if (version == 4)
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, protocol, 0);
	else
		bytes_put_ipv6(&bytes, 1, 2, protocol);
}

static struct vd_packet *make_udp(unsigned version, const void *payload, uint32_t length)
{
	put_ip(version, IPPROTO_UDP);
	bytes_put_udp(&bytes, 1000, 2000, (uint16_t)length);
	bytes_put(&bytes, payload, length);
	return sums_packet(&bytes);
}

/* A frame that carries no IP: IP's fields are not there to be set. */
static struct vd_packet *make_arp(void)
{
	bytes_reset(&bytes);
	bytes_put_hex(&bytes, "0001 0800 0604 0001 0200 0000 0902 0a09 0002 0000 0000 0000 0a09 0001");
	return bytes_packet(bytes.data, bytes.used, bytes.used, bytes.used, 0x0806, 0);
}

static void expect_refused(const char *name, const char *arguments, const char *named)
{
	struct function_host host;

	if (function_host_open(&host, name, arguments, 1) != -EINVAL)
		fail_msg("%s:%s should be refused", name, arguments);
	if (!*host.error || !strstr(host.error, named))
		fail_msg("%s:%s: '%s' does not name '%s'", name, arguments, host.error, named);
}

/* Completes its checksums, as the engine does behind the last function, and looks at them. */
static void expect_right(struct vd_packet *packet)
{
	const char *fault;

	vd_packet_complete(packet);
	fault = sums_fault(vd_packet_data(packet), vd_packet_length(packet));
	if (fault)
		fail_msg("%s", fault);
	assert_int_equal(packet->edit_refused, 0);
}

/* What a function says of a packet; it wants all of it. */
static enum vd_verdict decide(struct function_host *host, const char *name, const char *arguments, struct vd_packet *packet)
{
	int result = function_host_open(host, name, arguments, 1);

	if (result)
		fail_msg("%s:%s: %s", name, arguments, host->error);
	assert_int_equal(host->bytes, VD_WHOLE);
	return function_host_decide(host, packet, 0);
}

/* It says "next", and this packet stays as it is. Frees it. */
static void expect_left_alone(const char *name, const char *arguments, struct vd_packet *packet)
{
	uint32_t length = packet->length;
	uint8_t *before = malloc(length + 1);
	struct function_host host;

	memcpy(before, vd_packet_data(packet), length);
	assert_int_equal(decide(&host, name, arguments, packet), VD_NEXT);
	assert_int_equal(packet->changed, 0);
	assert_int_equal(packet->edit_refused, 0);
	assert_int_equal(packet->length, length);
	assert_memory_equal(before, vd_packet_data(packet), length);
	function_host_close(&host);
	free(before);
	free(packet);
}

/* ---- ttl ---- */

static void test_ttl_sets_raises_and_lowers(void **cmocka)
{
	static const struct {
		const char *arguments;
		unsigned before, after;
		bool expires;
	} cases[] = {
		{"64", 1, 64, false},	{"0", 64, 0, false},	 {"255", 0, 255, false},   {"64", 64, 64, false},
		{"+1", 63, 64, false},	{"+10", 250, 255, false}, {"+255", 255, 255, false}, {"+0", 9, 9, false},
		{"-1", 64, 63, false},	{"-1", 2, 1, false},	 {"-1", 1, 1, true},	   {"-1", 0, 0, true},
		{"-10", 10, 10, true},	{"-10", 11, 1, false},	 {"-255", 255, 255, true}, {"-0", 5, 5, false},
	};

	(void)cmocka;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		for (unsigned version = 4; version <= 6; version += 2) {
			struct vd_packet *packet = make_udp(version, "ttl", 3);
			struct function_host host;
			bool changes = cases[i].before != cases[i].after;

			bytes.data[version == 4 ? 8 : 7] = (uint8_t)cases[i].before;
			free(packet);
			packet = sums_packet(&bytes);
			assert_int_equal(decide(&host, "ttl", cases[i].arguments, packet), cases[i].expires ? VD_DROP : VD_NEXT);
			assert_int_equal(vd_packet_ttl(packet), cases[i].after);
			assert_int_equal(packet->changed, changes ? VD_CHANGED_DATA : 0);
			assert_int_equal(function_host_counter(&host, "changed"), changes);
			assert_int_equal(function_host_counter(&host, "expired"), cases[i].expires);
			expect_right(packet);
			function_host_close(&host);
			free(packet);
		}
}

static void test_ttl_leaves_alone_what_has_none(void **cmocka)
{
	struct vd_packet *packet;
	struct function_host host;

	(void)cmocka;
	expect_left_alone("ttl", "64", make_arp());
	expect_left_alone("ttl", "-1", make_arp());
	packet = make_udp(4, "x", 1);
	free(packet);
	expect_left_alone("ttl", "-64", bytes_packet(bytes.data, 15, 15, 15, 0x0800, 0)); /* malformed */

	/* a packet that was not copied whole: a limit that cannot be set is a fault */
	packet = bytes_packet(bytes.data, 20, bytes.used, 20, 0x0800, 0);
	assert_int_equal(decide(&host, "ttl", "7", packet), VD_NEXT);
	assert_int_equal(packet->edit_refused, ENODATA);
	assert_int_equal(function_host_counter(&host, "changed"), 0);
	function_host_close(&host);
	free(packet);
}

static void test_ttl_refuses_what_is_no_number(void **cmocka)
{
	(void)cmocka;
	expect_refused("ttl", "", "ttl:N");
	expect_refused("ttl", "+", "''");
	expect_refused("ttl", "256", "'256'");
	expect_refused("ttl", "+256", "'256'");
	expect_refused("ttl", "--1", "'-1'");
	expect_refused("ttl", "+-1", "'-1'");
	expect_refused("ttl", " 1", "' 1'");
	expect_refused("ttl", "1 ", "'1 '");
	expect_refused("ttl", "0x10", "'0x10'");
	expect_refused("ttl", "99999999999999999999", "'99999999999999999999'");
}

/* ---- dscp ---- */

static void test_dscp_sets_numbers_and_names(void **cmocka)
{
	static const struct {
		const char *name;
		unsigned dscp;
	} cases[] = {
		{"0", 0},     {"63", 63},   {"cs0", 0},	  {"cs1", 8},	{"cs2", 16},  {"cs3", 24},  {"cs4", 32},  {"cs5", 40},
		{"cs6", 48},  {"cs7", 56},  {"af11", 10}, {"af12", 12}, {"af13", 14}, {"af21", 18}, {"af22", 20}, {"af23", 22},
		{"af31", 26}, {"af32", 28}, {"af33", 30}, {"af41", 34}, {"af42", 36}, {"af43", 38}, {"ef", 46},	  {"le", 1},
		{"va", 44},   {"EF", 46},
	};

	(void)cmocka;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		for (unsigned version = 4; version <= 6; version += 2) {
			struct vd_packet *packet = make_udp(version, "dscp", 4);
			struct function_host host;

			/* another DSCP before, ECN 2, and in IPv6 a flow label, which all stay */
			if (version == 4) {
				bytes.data[1] = 50 << 2 | 2;
			} else {
				bytes.data[0] = 0x60 | (50 << 2 | 2) >> 4;
				bytes.data[1] = (uint8_t)((50 << 2 | 2) << 4 | 0xb);
			}
			free(packet);
			packet = sums_packet(&bytes);
			assert_int_equal(decide(&host, "dscp", cases[i].name, packet), VD_NEXT);
			assert_int_equal(vd_packet_dscp(packet), cases[i].dscp);
			assert_int_equal(vd_packet_ecn(packet), 2);
			if (version == 6)
				assert_int_equal(vd_packet_data(packet)[1] & 0x0f, 0xb);
			assert_int_equal(function_host_counter(&host, "changed"), 1);
			expect_right(packet);
			function_host_close(&host);
			free(packet);
		}
}

static void test_dscp_lives_without_the_edit(void **cmocka)
{
	struct vd_packet *packet;
	struct function_host host;

	(void)cmocka;
	expect_left_alone("dscp", "ef", make_arp());
	expect_left_alone("dscp", "cs0", make_udp(4, "has it", 6));
	free(make_udp(4, "x", 1));
	packet = bytes_packet(bytes.data, 20, bytes.used, 20, 0x0800, 0);
	assert_int_equal(decide(&host, "dscp", "ef", packet), VD_NEXT);
	assert_int_equal(packet->edit_refused, 0);
	assert_int_equal(packet->changed, 0);
	assert_int_equal(function_host_counter(&host, "uneditable"), 1);
	assert_int_equal(function_host_counter(&host, "changed"), 0);
	function_host_close(&host);
	free(packet);
}

static void test_dscp_refuses_what_is_no_code_point(void **cmocka)
{
	(void)cmocka;
	expect_refused("dscp", "", "dscp:NAME");
	expect_refused("dscp", "64", "'64'");
	expect_refused("dscp", "-1", "'-1'");
	expect_refused("dscp", "cs8", "'cs8'");
	expect_refused("dscp", "af14", "'af14'");
	expect_refused("dscp", "ef ", "'ef '");
	expect_refused("dscp", "0x2e", "'0x2e'");
}

/* ---- mss ---- */

/* A SYN whose option stands behind two no-operations, at an odd place with one more. */
static struct vd_packet *make_syn(unsigned version, uint8_t flags, unsigned mss, bool is_odd)
{
	put_ip(version, IPPROTO_TCP);
	bytes_put_tcp(&bytes, 1000, 80, flags);
	bytes.data[bytes.used - 8] = 0x70;
	bytes_put_hex(&bytes, is_odd ? "01 0204" : "0101 0204");
	bytes_put_number(&bytes, mss, 2);
	bytes_put_hex(&bytes, is_odd ? "0101 01" : "0101");
	return sums_packet(&bytes);
}

static unsigned mss_of(const struct vd_packet *packet)
{
	uint32_t length;
	const uint8_t *value = vd_packet_tcp_option(packet, 2, &length);

	assert_non_null(value);
	assert_int_equal(length, 2);
	return (unsigned)value[0] << 8 | value[1];
}

static void test_mss_lowers_and_never_raises(void **cmocka)
{
	(void)cmocka;
	for (unsigned odd = 0; odd < 2; odd++)
		for (unsigned ack = 0; ack < 2; ack++)
			for (unsigned version = 4; version <= 6; version += 2) {
				uint8_t flags = SYN | (ack ? ACK : 0);
				struct vd_packet *packet = make_syn(version, flags, 1460, odd);
				struct function_host host;

				assert_int_equal(decide(&host, "mss", "1200", packet), VD_NEXT);
				assert_int_equal(mss_of(packet), 1200);
				assert_int_equal(function_host_counter(&host, "clamped"), 1);
				expect_right(packet);
				function_host_close(&host);
				free(packet);
				expect_left_alone("mss", "1200", make_syn(version, flags, 1200, odd));
				expect_left_alone("mss", "1200", make_syn(version, flags, 536, odd));
				expect_left_alone("mss", "65535", make_syn(version, flags, 65535, odd));
				expect_left_alone("mss", "1200", make_syn(version, ACK, 1460, odd));
			}
	expect_left_alone("mss", "1200", make_udp(4, "no TCP", 6));
	expect_left_alone("mss", "1200", make_arp());
	put_ip(4, IPPROTO_TCP);
	bytes_put_tcp(&bytes, 1000, 80, SYN);
	expect_left_alone("mss", "1200", sums_packet(&bytes)); /* announces none */
}

static void test_mss_lives_without_the_edit(void **cmocka)
{
	struct vd_packet *packet;
	struct function_host host;

	(void)cmocka;
	free(make_syn(4, SYN, 1460, false));
	packet = bytes_packet(bytes.data, bytes.used, bytes.used + 100, bytes.used, 0x0800, 0);
	assert_int_equal(decide(&host, "mss", "1200", packet), VD_NEXT);
	function_host_close(&host);
	free(packet);
	put_ip(4, IPPROTO_TCP);
	bytes_put_tcp(&bytes, 1000, 80, SYN);
	bytes.data[32] = 0x60;
	bytes_put_hex(&bytes, "020405b4 00112233");
	free(sums_packet(&bytes));
	packet = bytes_packet(bytes.data, bytes.used - 4, bytes.used, bytes.used, 0x0800, 0); /* the SYN's data was not copied */
	assert_int_equal(decide(&host, "mss", "1200", packet), VD_NEXT);
	assert_int_equal(packet->changed, 0);
	assert_int_equal(packet->edit_refused, 0);
	assert_int_equal(function_host_counter(&host, "uneditable"), 1);
	assert_int_equal(function_host_counter(&host, "clamped"), 0);
	function_host_close(&host);
	free(packet);
}

static void test_mss_refuses_what_is_no_size(void **cmocka)
{
	(void)cmocka;
	expect_refused("mss", "", "mss:pmtu");
	expect_refused("mss", "0", "'0'");
	expect_refused("mss", "65536", "'65536'");
	expect_refused("mss", "-1", "'-1'");
	expect_refused("mss", "pmtu,1", "'pmtu,1'");
	expect_refused("mss", "PMTU", "'PMTU'");
	expect_refused("mss", "1400 ", "'1400 '");
}

/* ---- replace ---- */

static void expect_replaced(const char *arguments, const void *before, uint32_t length, const void *after, unsigned count)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		struct vd_packet *packet = make_udp(version, before, length);
		struct function_host host;
		uint32_t there;
		const uint8_t *payload;

		assert_int_equal(decide(&host, "replace", arguments, packet), VD_NEXT);
		payload = vd_packet_payload(packet, &there);
		assert_int_equal(there, length);
		if (length)
			assert_memory_equal(payload, after, length);
		assert_int_equal(function_host_counter(&host, "replaced"), count);
		assert_int_equal(packet->changed, count ? VD_CHANGED_DATA : 0);
		expect_right(packet);
		function_host_close(&host);
		free(packet);
	}
}

static void test_replace_finds_all_from_left_to_right(void **cmocka)
{
	(void)cmocka;
	expect_replaced("cat=dog", "cat", 3, "dog", 1);
	expect_replaced("cat=dog", "a cat, a cat and a ca", 21, "a dog, a dog and a ca", 2);
	expect_replaced("cat=dog", "xcatcatx", 8, "xdogdogx", 2);
	expect_replaced("cat=dog", "", 0, "", 0);
	expect_replaced("cat=dog", "ca", 2, "ca", 0);
	expect_replaced("aa=bc", "aaaaa", 5, "bcbca", 2);    /* overlapping: left to right */
	expect_replaced("ab=aa", "abb", 3, "aab", 1);	     /* what was put in is not looked at again */
	expect_replaced("a=b", "aaaa", 4, "bbbb", 4);
	expect_replaced("a=a", "a", 1, "a", 1);
	expect_replaced("\\x00\\xFf=\\\\\\=", "1\0\xff\0", 4, "1\\=\0", 1);
	expect_replaced("\\=\\\\=\\x00\\x0a", "=\\ and =\\", 9, "\0\n and \0\n", 2);
	expect_replaced("odd=ODD", "1odd", 4, "1ODD", 1);
}

static void test_replace_looks_at_payload_only(void **cmocka)
{
	struct vd_packet *packet;
	struct function_host host;

	(void)cmocka;
	expect_left_alone("replace", "\\x07\\xd0=\\x00\\x00", make_udp(4, "x", 1)); /* its port */
	expect_left_alone("replace", "x=y", make_arp());
	put_ip(4, IPPROTO_TCP);
	bytes_put_tcp(&bytes, 1000, 80, ACK);
	bytes_put(&bytes, "GET /", 5);
	packet = sums_packet(&bytes);
	assert_int_equal(decide(&host, "replace", "GET=PUT", packet), VD_NEXT);
	assert_memory_equal(vd_packet_data(packet) + 40, "PUT /", 5);
	expect_right(packet);
	function_host_close(&host);
	free(packet);

	/* a later fragment has no payload that could be told from a header */
	bytes_reset(&bytes);
	bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_UDP, 100);
	bytes_put(&bytes, "cat cat cat cat ", 16);
	bytes_end_ip(&bytes);
	expect_left_alone("replace", "cat=dog", bytes_packet_of(&bytes));
}

/* A large packet that is full of it, and text at its very end. */
static void test_replace_in_large_packets(void **cmocka)
{
	static uint8_t before[60000], after[60000];

	(void)cmocka;
	memset(before, 'a', sizeof before);
	memset(after, 'b', sizeof after);
	expect_replaced("a=b", before, sizeof before, after, sizeof before);
	expect_replaced("aaaa=bbbb", before, sizeof before, after, sizeof before / 4);
	memset(before, '-', sizeof before);
	memset(after, '-', sizeof after);
	memcpy(before, "cat", 3);
	memcpy(after, "dog", 3);
	memcpy(before + sizeof before - 3, "cat", 3);
	memcpy(after + sizeof after - 3, "dog", 3);
	expect_replaced("cat=dog", before, sizeof before, after, 2);
}

/* To let it pass as it is would be to let pass what was to be replaced. */
static void test_replace_has_to_be_done(void **cmocka)
{
	struct vd_packet *packet;
	struct function_host host;

	(void)cmocka;
	free(make_udp(4, "a cat and more", 14));
	packet = bytes_packet(bytes.data, bytes.used - 4, bytes.used, bytes.used, 0x0800, 0);
	assert_int_equal(decide(&host, "replace", "cat=dog", packet), VD_NEXT);
	assert_int_equal(packet->edit_refused, ENODATA);
	assert_int_equal(function_host_counter(&host, "replaced"), 0);
	function_host_close(&host);
	free(packet);
}

static void test_replace_refuses_what_it_cannot_read(void **cmocka)
{
	static char longer[2100];

	(void)cmocka;
	expect_refused("replace", "", "replace:OLD=NEW");
	expect_refused("replace", "cat", "'cat'");
	expect_refused("replace", "=", "'='");
	expect_refused("replace", "=dog", "'=dog'");
	expect_refused("replace", "cat=", "OLD has 3 bytes, NEW has 0");
	expect_refused("replace", "cat=horse", "OLD has 3 bytes, NEW has 5");
	expect_refused("replace", "\\x00=ab", "OLD has 1 bytes, NEW has 2");
	expect_refused("replace", "a=b=", "'='");
	expect_refused("replace", "a==", "second '='");
	expect_refused("replace", "\\n=x", "'n=x'");
	expect_refused("replace", "\\x0=xx", "'x0='");
	expect_refused("replace", "a\\=b", "replace:OLD=NEW");
	expect_refused("replace", "a=\\", "NEW");
	memset(longer, 'a', sizeof longer - 1);
	expect_refused("replace", longer, "longer than 1024");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ttl_sets_raises_and_lowers),
		cmocka_unit_test(test_ttl_leaves_alone_what_has_none),
		cmocka_unit_test(test_ttl_refuses_what_is_no_number),
		cmocka_unit_test(test_dscp_sets_numbers_and_names),
		cmocka_unit_test(test_dscp_lives_without_the_edit),
		cmocka_unit_test(test_dscp_refuses_what_is_no_code_point),
		cmocka_unit_test(test_mss_lowers_and_never_raises),
		cmocka_unit_test(test_mss_lives_without_the_edit),
		cmocka_unit_test(test_mss_refuses_what_is_no_size),
		cmocka_unit_test(test_replace_finds_all_from_left_to_right),
		cmocka_unit_test(test_replace_looks_at_payload_only),
		cmocka_unit_test(test_replace_in_large_packets),
		cmocka_unit_test(test_replace_has_to_be_done),
		cmocka_unit_test(test_replace_refuses_what_it_cannot_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
