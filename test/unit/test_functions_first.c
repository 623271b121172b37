/* SPDX-License-Identifier: MIT */
/*
 * first: its arguments, what it takes for a flow, and its table: full, overfull, aged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <malloc.h>

#include "test/support/bytes.h"
#include "test/support/function_host.h"

#define SYN 0x02
#define SYN_ACK 0x12
#define ACK 0x10

static struct bytes bytes;

static void expect_refused(const char *arguments, const char *named)
{
	struct function_host host;

	if (function_host_open(&host, "first", arguments, 1) != -EINVAL)
		fail_msg("first:%s should be refused", arguments);
	if (!*host.error || !strstr(host.error, named))
		fail_msg("first:%s: '%s' does not name \"%s\"", arguments, host.error, named);
}

static void test_wrong_arguments_are_refused(void **cmocka)
{
	(void)cmocka;
	expect_refused("", "first:N");
	expect_refused("0", "'0'");
	expect_refused("-1", "'-1'");
	expect_refused("x", "'x'");
	expect_refused("8x", "'8x'");
	expect_refused("1000001", "'1000001'");
	expect_refused("99999999999999999999999", "'99999999999999999999999'");
	expect_refused("8,", "''");
	expect_refused("8,nonsense=1", "'nonsense=1'");
	expect_refused("8,mark=", "''");
	expect_refused("8,mark=1/", "'1/'");
	expect_refused("8,mark=1/2/3", "'1/2/3'");
	expect_refused("8,mark=0x100000000", "'0x100000000'");
	expect_refused("8,mark=z,flows=8", "'z'");
	expect_refused("8,flows=0", "'0'");
	expect_refused("8,flows=16777217", "'16777217'");
	expect_refused("8,flows=10k", "'10k'");
	expect_refused("8,idle=0", "'0'");
	expect_refused("8,idle=86401", "'86401'");
	expect_refused("8,idle=1.5", "'1.5'");
	expect_refused("8,idle=10,", "''");
}

static void put_udp(uint32_t source, uint16_t source_port, uint32_t destination, uint16_t destination_port)
{
	bytes_reset(&bytes);
	bytes_put_ipv4(&bytes, source, destination, IPPROTO_UDP, 0);
	bytes_put_udp(&bytes, source_port, destination_port, 0);
	bytes_end_ip(&bytes);
}

static enum vd_verdict decide(struct function_host *host)
{
	struct vd_packet *packet = bytes_packet_of(&bytes);
	enum vd_verdict verdict;

	packet->mark = 0xf0;
	verdict = function_host_decide(host, packet, 0);
	assert_int_equal(packet->changed, verdict == VD_ACCEPT ? VD_CHANGED_MARK : 0);
	if (verdict == VD_ACCEPT)
		assert_int_equal(packet->mark, 0xf1);
	free(packet);
	return verdict;
}

static void test_marks(void **cmocka)
{
	static const struct {
		const char *arguments;
		uint32_t before, after;
	} right[] = {{"1", 0xff00, 0xff01},
		     {"1,mark=2", 0xff00, 2},
		     {"1,mark=0x20/0xf0", 0xffff, 0xff2f},
		     {"1,mark=0x20/0xf0,flows=100,idle=5", 0, 0x20},
		     {"1,idle=86400,flows=1,mark=3/3", 0, 3}};

	(void)cmocka;
	for (unsigned i = 0; i < sizeof right / sizeof *right; i++) {
		struct vd_packet *packet;
		struct function_host host;

		put_udp(1, 1000, 2, 2000);
		packet = bytes_packet_of(&bytes);
		packet->mark = right[i].before;
		assert_int_equal(function_host_open(&host, "first", right[i].arguments, 1), 0);
		assert_int_equal(host.bytes, VD_HEADERS);
		assert_int_equal(host.function->scope, VD_SCOPE_FLOW);
		assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
		assert_int_equal(packet->mark, right[i].before);
		assert_int_equal(function_host_decide(&host, packet, 0), VD_ACCEPT);
		assert_int_equal(packet->mark, right[i].after);
		function_host_close(&host);
		free(packet);
	}
}

static void test_both_directions_are_one_flow(void **cmocka)
{
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "4", 1), 0);
	for (unsigned version = 4; version <= 6; version += 2)
		for (unsigned i = 0; i < 8; i++) {
			bool back = i % 2;

			bytes_reset(&bytes);
			if (version == 4)
				bytes_put_ipv4(&bytes, back ? 2 : 1, back ? 1 : 2, IPPROTO_UDP, 0);
			else
				bytes_put_ipv6(&bytes, back ? 2 : 1, back ? 1 : 2, IPPROTO_UDP);
			bytes_put_udp(&bytes, back ? 2000 : 1000, back ? 1000 : 2000, 0);
			bytes_end_ip(&bytes);
			assert_int_equal(decide(&host), i < 4 ? VD_NEXT : VD_ACCEPT);
		}
	assert_int_equal(function_host_counter(&host, "flows"), 2);
	assert_int_equal(function_host_counter(&host, "passed"), 8);
	function_host_close(&host);
}

/* Each part of the key makes another flow; also ports that belong to the other address. */
static void test_flows_are_told_apart(void **cmocka)
{
	static const struct {
		uint32_t source, destination;
		uint16_t source_port, destination_port;
	} flows[] = {{1, 2, 1000, 2000}, {3, 2, 1000, 2000}, {1, 3, 1000, 2000}, {1, 2, 1001, 2000},
		     {1, 2, 1000, 2001}, {1, 2, 2000, 1000}, {1, 1, 1000, 2000}};
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "1", 1), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < sizeof flows / sizeof *flows; i++) {
			put_udp(flows[i].source, flows[i].source_port, flows[i].destination, flows[i].destination_port);
			assert_int_equal(decide(&host), round ? VD_ACCEPT : VD_NEXT);
		}
		bytes_reset(&bytes); /* same ends, another protocol */
		bytes_put_ipv4(&bytes, 1, 2, IPPROTO_TCP, 0);
		bytes_put_tcp(&bytes, 1000, 2000, ACK);
		bytes_end_ip(&bytes);
		assert_int_equal(decide(&host), round ? VD_ACCEPT : VD_NEXT);
	}
	put_udp(1, 2000, 1, 1000); /* an end that is its own other: the answer to the last flow */
	assert_int_equal(decide(&host), VD_ACCEPT);
	assert_int_equal(function_host_counter(&host, "flows"), sizeof flows / sizeof *flows + 1);
	function_host_close(&host);
}

/* Flows whose hashes collide: the key decides, not the hash. */
static void test_equal_hashes_are_not_equal_flows(void **cmocka)
{
	struct vd_packet *packets[4];
	enum vd_verdict verdict;
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "1", 1), 0);
	for (unsigned i = 0; i < 4; i++) {
		bytes_reset(&bytes);
		bytes_put_ipv4(&bytes, i == 1 ? 3 : 1, 2, i == 2 ? IPPROTO_TCP : IPPROTO_UDP, 0);
		if (i == 2)
			bytes_put_tcp(&bytes, 1000, 2000, 0x10);
		else
			bytes_put_udp(&bytes, i == 3 ? 1001 : 1000, 2000, 0);
		bytes_end_ip(&bytes);
		packets[i] = bytes_packet_of(&bytes);
		packets[i]->context = &host.context;
		packets[i]->flow_hash = 0; /* and 0 is a hash like any other */
	}
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 4; i++) {
			host.function->decide_burst(&packets[i], &verdict, 1, host.states[0]);
			assert_int_equal(verdict, round ? VD_ACCEPT : VD_NEXT);
		}
	for (unsigned i = 0; i < 4; i++)
		free(packets[i]);
	function_host_close(&host);
}

static void put_tcp(uint8_t flags)
{
	bytes_reset(&bytes);
	bytes_put_ipv4(&bytes, 1, 2, IPPROTO_TCP, 0);
	bytes_put_tcp(&bytes, 1000, 443, flags);
	bytes_end_ip(&bytes);
}

static void test_a_connection_that_opens_again_is_new(void **cmocka)
{
	static const struct {
		uint8_t flags;
		enum vd_verdict verdict;
	} packets[] = {{SYN, VD_NEXT},  {SYN_ACK, VD_NEXT}, {ACK, VD_ACCEPT},	  {ACK, VD_ACCEPT},
		       {SYN, VD_NEXT},	{ACK, VD_NEXT},	    {SYN_ACK, VD_ACCEPT}, {ACK, VD_ACCEPT}};
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "2", 1), 0);
	for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
		put_tcp(packets[i].flags);
		assert_int_equal(decide(&host), packets[i].verdict);
	}
	assert_int_equal(function_host_counter(&host, "flows"), 2);
	assert_int_equal(function_host_counter(&host, "evicted"), 0);
	function_host_close(&host);
}

static void test_pings_are_flows_by_their_identifier(void **cmocka)
{
	static const struct {
		const char *icmp;
		bool back;
		enum vd_verdict verdict;
	} packets[] = {
		{"0800 0000 0001 0001", false, VD_NEXT},   {"0000 0000 0001 0001", true, VD_NEXT},
		{"0800 0000 0002 0001", false, VD_NEXT},   {"0800 0000 0001 0002", false, VD_ACCEPT},
		{"0300 0000 0000 0000", true, VD_NEXT},    {"0300 0000 0000 0000", true, VD_NEXT},
		{"0300 0000 0000 0000", true, VD_NEXT}, /* errors are never counted */
	};
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "2", 1), 0);
	for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
		bytes_reset(&bytes);
		bytes_put_ipv4(&bytes, packets[i].back ? 2 : 1, packets[i].back ? 1 : 2, IPPROTO_ICMP, 0);
		bytes_put_hex(&bytes, packets[i].icmp);
		bytes_end_ip(&bytes);
		assert_int_equal(decide(&host), packets[i].verdict);
	}
	function_host_close(&host);
}

static void expect_next_always(struct function_host *host)
{
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(decide(host), VD_NEXT);
}

static void test_packets_without_a_flow_are_left_alone(void **cmocka)
{
	struct vd_packet *packet;
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "1", 1), 0);
	for (unsigned i = 0; i < 2; i++) { /* the first fragment, which has ports, and a later one */
		bytes_reset(&bytes);
		bytes_put_ipv4(&bytes, 1, 2, IPPROTO_UDP, i ? 0x0010 : 0x2000);
		bytes_put_udp(&bytes, 1000, 2000, 100);
		bytes_end_ip(&bytes);
		expect_next_always(&host);
	}
	put_udp(1, 1000, 2, 2000);
	bytes_set_be16(&bytes, 2, 999); /* longer than it is */
	expect_next_always(&host);
	bytes_reset(&bytes);
	bytes_put_hex(&bytes, "45");
	expect_next_always(&host);
	put_udp(1, 1000, 2, 2000);
	packet = bytes_packet(bytes.data, 22, bytes.used, 0, 0x0800, 0); /* not all of the ports were copied */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	free(packet);
	packet = bytes_packet("\x00\x01\x08\x00", 4, 4, 0, 0x0806, 0); /* ARP */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	free(packet);
	assert_int_equal(function_host_counter(&host, "flows"), 0);
	function_host_close(&host);
}

/* One bucket of 8: the ninth flow takes the place of the one that was quiet for the longest time. */
static void test_the_quietest_flow_is_evicted(void **cmocka)
{
	struct timespec tick = {.tv_nsec = 20000000}; /* a few of the coarse clock's */
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "1,flows=8", 1), 0);
	for (uint16_t i = 0; i < 8; i++) {
		put_udp(1, (uint16_t)(1000 + i), 2, 2000);
		assert_int_equal(decide(&host), VD_NEXT);
	}
	assert_int_equal(function_host_counter(&host, "evicted"), 0);
	nanosleep(&tick, NULL);
	for (uint16_t i = 0; i < 8; i++)
		if (i != 5) {
			put_udp(1, (uint16_t)(1000 + i), 2, 2000);
			assert_int_equal(decide(&host), VD_ACCEPT);
		}
	nanosleep(&tick, NULL);
	put_udp(1, 3000, 2, 2000);
	assert_int_equal(decide(&host), VD_NEXT);
	assert_int_equal(function_host_counter(&host, "evicted"), 1);
	for (uint16_t i = 0; i < 8; i++)
		if (i != 5) {
			put_udp(1, (uint16_t)(1000 + i), 2, 2000);
			assert_int_equal(decide(&host), VD_ACCEPT);
		}
	put_udp(1, 1005, 2, 2000);
	assert_int_equal(decide(&host), VD_NEXT); /* begins anew */
	function_host_close(&host);
}

static void test_a_quiet_flow_begins_anew(void **cmocka)
{
	struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "1,idle=1,flows=8", 1), 0);
	put_udp(1, 1000, 2, 2000);
	assert_int_equal(decide(&host), VD_NEXT);
	assert_int_equal(decide(&host), VD_ACCEPT);
	nanosleep(&pause, NULL);
	assert_int_equal(decide(&host), VD_NEXT);
	assert_int_equal(decide(&host), VD_ACCEPT);
	nanosleep(&pause, NULL);
	for (uint16_t i = 0; i < 8; i++) { /* the old one's place is free: nobody is evicted for the eighth */
		put_udp(1, (uint16_t)(2000 + i), 2, 2000);
		assert_int_equal(decide(&host), VD_NEXT);
	}
	assert_int_equal(function_host_counter(&host, "flows"), 10);
	assert_int_equal(function_host_counter(&host, "evicted"), 0);
	function_host_close(&host);
}

/*
 * A million flows through a table of 65,536 in 8 states: it stays as large as it was made, and goes on working. Whichever bits
 * of the hash choose the state, the table is filled evenly.
 */
static void pass_many_flows(bool by_high_bits)
{
	enum { COUNT = 1000000, STATES = 8 };
	struct function_host host;
	struct vd_packet *packet;
	struct mallinfo2 before;
	uint8_t *source;

	assert_int_equal(function_host_open(&host, "first", "2", STATES), 0);
	put_udp(0x0a000000, 0, 2, 443);
	packet = bytes_packet_of(&bytes);
	source = (uint8_t *)(packet + 1) + 12;
	before = mallinfo2();
	for (uint32_t i = 0; i < COUNT; i++) {
		enum vd_verdict verdict = VD_NEXT;
		uint32_t hash;

		memcpy(source, &i, 4);
		hash = vd_packet_compute_flow_hash(packet, 0x0123456789abcdef);
		packet->flow_hash = hash;
		packet->context = &host.context;
		host.function->decide_burst(&packet, &verdict, 1, host.states[by_high_bits ? hash >> 29 : hash % STATES]);
		assert_int_equal(verdict, VD_NEXT);
	}
	assert_int_equal(mallinfo2().uordblks + mallinfo2().hblkhd, before.uordblks + before.hblkhd);
	assert_int_equal(function_host_counter(&host, "flows"), COUNT);
	assert_true(function_host_counter(&host, "evicted") >= COUNT - 65536);
	assert_true(function_host_counter(&host, "evicted") < COUNT - 65536 * 9 / 10);
	free(packet);
	function_host_close(&host);
}

static void test_many_flows_do_not_grow(void **cmocka)
{
	(void)cmocka;
	pass_many_flows(false);
	pass_many_flows(true);
}

/* With 8 places in a bucket, few flows are lost to uneven buckets. */
static void test_a_table_at_half_its_size_forgets_nearly_nothing(void **cmocka)
{
	struct function_host host;
	unsigned passed = 0;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "1,flows=8192", 1), 0);
	for (unsigned round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 4096; i++) {
			put_udp(0x0a000000 + i, 1000, 2, 443);
			passed += decide(&host) == VD_ACCEPT;
		}
	assert_true(passed > 4096 * 95 / 100);
	function_host_close(&host);
}

/* The burst form decides as single packets do, also several packets of one flow in a burst. */
static void test_a_burst_is_in_order(void **cmocka)
{
	struct vd_packet *packets[VD_BURST_MAX];
	enum vd_verdict verdicts[VD_BURST_MAX];
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "first", "5", 1), 0);
	for (unsigned i = 0; i < VD_BURST_MAX; i++) {
		put_udp(1, (uint16_t)(1000 + i % 4), 2, 2000);
		packets[i] = bytes_packet_of(&bytes);
	}
	function_host_decide_burst(&host, packets, verdicts, VD_BURST_MAX, 0);
	for (unsigned i = 0; i < VD_BURST_MAX; i++) {
		assert_int_equal(verdicts[i], i < 5 * 4 ? VD_NEXT : VD_ACCEPT);
		free(packets[i]);
	}
	function_host_close(&host);
}

/* A reload: the flows that the one before knew are known, whatever the size of the table. */
static void test_a_successor_knows_the_flows(void **cmocka)
{
	static const char *const successors[] = {"2,flows=4096", "2,flows=1024", "2,flows=65536"};
	enum { FLOWS = 100 };

	(void)cmocka;
	for (unsigned i = 0; i < sizeof successors / sizeof *successors; i++) {
		struct function_host old, new;

		assert_int_equal(function_host_open(&old, "first", "1,flows=4096", 1), 0);
		for (uint16_t flow = 0; flow < FLOWS; flow++) {
			put_udp(1, (uint16_t)(1000 + flow), 2, 2000);
			assert_int_equal(decide(&old), VD_NEXT);
		}
		assert_int_equal(function_host_open(&new, "first", successors[i], 1), 0);
		assert_int_not_equal(new.function->state_format, 0);
		assert_int_equal(new.function->migrate(new.shared, NULL, old.shared, NULL), 0);
		assert_int_equal(new.function->migrate(new.shared, new.states[0], old.shared, old.states[0]), 0);
		function_host_close(&old);
		for (uint16_t flow = 0; flow < FLOWS; flow++) { /* of two that pass, one has */
			put_udp(1, (uint16_t)(1000 + flow), 2, 2000);
			assert_int_equal(decide(&new), VD_NEXT);
			assert_int_equal(decide(&new), VD_ACCEPT);
		}
		assert_int_equal(function_host_counter(&new, "flows"), 0);
		function_host_close(&new);
	}
}

/* Into a table that is too small: those that were seen last are kept. */
static void test_a_smaller_successor_keeps_the_latest(void **cmocka)
{
	struct timespec tick = {.tv_nsec = 20000000}; /* a few of the coarse clock's */
	struct function_host old, new;

	(void)cmocka;
	assert_int_equal(function_host_open(&old, "first", "1,flows=4096", 1), 0);
	for (uint16_t flow = 0; flow < 16; flow++) {
		put_udp(1, (uint16_t)(1000 + flow), 2, 2000);
		decide(&old);
		if (flow == 7)
			nanosleep(&tick, NULL);
	}
	assert_int_equal(function_host_open(&new, "first", "1,flows=8", 1), 0);
	assert_int_equal(new.function->migrate(new.shared, new.states[0], old.shared, old.states[0]), 0);
	for (uint16_t flow = 8; flow < 16; flow++) {
		put_udp(1, (uint16_t)(1000 + flow), 2, 2000);
		assert_int_equal(decide(&new), VD_ACCEPT);
	}
	function_host_close(&old);
	function_host_close(&new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_arguments_are_refused),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_both_directions_are_one_flow),
		cmocka_unit_test(test_flows_are_told_apart),
		cmocka_unit_test(test_equal_hashes_are_not_equal_flows),
		cmocka_unit_test(test_a_connection_that_opens_again_is_new),
		cmocka_unit_test(test_pings_are_flows_by_their_identifier),
		cmocka_unit_test(test_packets_without_a_flow_are_left_alone),
		cmocka_unit_test(test_the_quietest_flow_is_evicted),
		cmocka_unit_test(test_a_quiet_flow_begins_anew),
		cmocka_unit_test(test_many_flows_do_not_grow),
		cmocka_unit_test(test_a_table_at_half_its_size_forgets_nearly_nothing),
		cmocka_unit_test(test_a_burst_is_in_order),
		cmocka_unit_test(test_a_successor_knows_the_flows),
		cmocka_unit_test(test_a_smaller_successor_keeps_the_latest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
