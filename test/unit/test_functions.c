/* SPDX-License-Identifier: MIT */
/*
 * The simple stock functions (accept, drop, mark, reject, requeue) and the functions that only tests use. The others have
 * files of their own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "test/support/bytes.h"
#include "test/support/function_host.h"

static struct bytes bytes;

static struct vd_packet *make_udp(const char *payload, uint32_t room)
{
	uint16_t length = (uint16_t)strlen(payload);

	bytes_reset(&bytes);
	bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_UDP, 0);
	bytes_put_udp(&bytes, 1000, 2000, length);
	bytes_put(&bytes, payload, length);
	bytes_end_ip(&bytes);
	return bytes_packet(bytes.data, bytes.used, bytes.used, bytes.used + room, 0x0800, 0);
}

static void expect_refused(const char *name, const char *arguments, const char *named)
{
	struct function_host host;

	if (function_host_open(&host, name, arguments, 1) != -EINVAL)
		fail_msg("%s:%s should be refused", name, arguments);
	if (!*host.error || !strstr(host.error, named))
		fail_msg("%s:%s: '%s' does not name '%s'", name, arguments, host.error, named);
}

static void test_accept_and_drop_fill_the_burst(void **cmocka)
{
	static const struct {
		const char *name;
		enum vd_verdict verdict;
	} functions[] = {{"accept", VD_ACCEPT}, {"drop", VD_DROP}};

	(void)cmocka;
	for (unsigned i = 0; i < 2; i++) {
		struct vd_packet *packets[VD_BURST_MAX];
		enum vd_verdict verdicts[VD_BURST_MAX];
		struct function_host host;

		assert_int_equal(function_host_open(&host, functions[i].name, "", 1), 0);
		assert_int_equal(host.bytes, VD_HEADERS);
		assert_null(host.function->usage);
		for (unsigned j = 0; j < VD_BURST_MAX; j++)
			packets[j] = make_udp("x", 0);
		function_host_decide_burst(&host, packets, verdicts, VD_BURST_MAX, 0);
		for (unsigned j = 0; j < VD_BURST_MAX; j++) {
			assert_int_equal(verdicts[j], functions[i].verdict);
			assert_int_equal(packets[j]->changed, 0);
			free(packets[j]);
		}
		function_host_close(&host);
	}
}

static void expect_mark(const char *arguments, uint32_t before, uint32_t after)
{
	struct vd_packet *packet = make_udp("x", 0);
	struct function_host host;

	packet->mark = before;
	assert_int_equal(function_host_open(&host, "mark", arguments, 1), 0);
	assert_int_equal(host.bytes, VD_HEADERS);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(packet->mark, after);
	assert_int_equal(packet->changed, VD_CHANGED_MARK);
	function_host_close(&host);
	free(packet);
}

static void test_mark_sets_the_bits_of_its_mask(void **cmocka)
{
	(void)cmocka;
	expect_mark("7", 0xffffffff, 7);
	expect_mark("0x10/0xf0", 0xabcdefab, 0xabcdef1b);
	expect_mark("012", 0, 10);
	expect_mark("0xffffffff", 0, 0xffffffff);
	expect_mark("4294967295/0x80000000", 1, 0x80000001);
	expect_mark("0/0", 5, 5);
	expect_mark("0xff/0x0f", 0, 0x0f);
}

static void test_mark_refuses_what_is_no_number(void **cmocka)
{
	(void)cmocka;
	expect_refused("mark", "", "mark:VALUE");
	expect_refused("mark", "x", "'x'");
	expect_refused("mark", "-1", "'-1'");
	expect_refused("mark", " 1", "' 1'");
	expect_refused("mark", "0x100000000", "'0x100000000'");
	expect_refused("mark", "99999999999999999999999", "'99999999999999999999999'");
	expect_refused("mark", "08", "'08'");
	expect_refused("mark", "1 ", "'1 '");
	expect_refused("mark", "1,2", "'1,2'");
	expect_refused("mark", "1/", "''");
	expect_refused("mark", "1/-2", "'-2'");
	expect_refused("mark", "1/2/3", "'2/3'");
	expect_refused("mark", "1/0x1ffffffff", "'0x1ffffffff'");
	expect_refused("mark", "/1", "VALUE");
}

static void test_requeue(void **cmocka)
{
	static const struct {
		const char *arguments;
		unsigned queue;
		bool bypass;
	} right[] = {{"7", 7, false}, {"7,bypass", 7, true}, {"1", 1, false}, {"65535,bypass", 65535, true}};

	(void)cmocka;
	for (unsigned i = 0; i < sizeof right / sizeof *right; i++) {
		struct vd_packet *packet = make_udp("x", 0);
		struct function_host host;

		assert_int_equal(function_host_open(&host, "requeue", right[i].arguments, 1), 0);
		assert_int_equal(host.bytes, VD_HEADERS);
		assert_int_equal(function_host_decide(&host, packet, 0), VD_QUEUE);
		assert_int_equal(packet->requeue, right[i].queue);
		assert_int_equal(packet->requeue_bypass, right[i].bypass);

		packet->queue = (uint16_t)right[i].queue; /* is there already */
		assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
		function_host_close(&host);
		free(packet);
	}
}

static void test_requeue_refuses_what_is_no_queue(void **cmocka)
{
	(void)cmocka;
	expect_refused("requeue", "", "requeue:QUEUE");
	expect_refused("requeue", "x", "'x'");
	expect_refused("requeue", "-1", "'-1'");
	expect_refused("requeue", "65536", "'65536'");
	expect_refused("requeue", "99999999999999999999", "'99999999999999999999'");
	expect_refused("requeue", "7bypass", "'7bypass'");
	expect_refused("requeue", "7,", "','");
	expect_refused("requeue", "7,pass", "',pass'");
	expect_refused("requeue", "7,bypass,", "',bypass,'");
	expect_refused("requeue", ",bypass", "''");
}

static void test_reject(void **cmocka)
{
	static const struct {
		const char *arguments;
		enum vd_reject how;
		unsigned code;
	} right[] = {
		{"", VD_REJECT_CLOSED, 0},		     {"closed", VD_REJECT_CLOSED, 0},
		{"tcp-reset", VD_REJECT_TCP_RESET, 0},	     {"port-unreachable", VD_REJECT_PORT, 0},
		{"host-unreachable", VD_REJECT_HOST, 0},     {"no-route", VD_REJECT_NETWORK, 0},
		{"admin-prohibited", VD_REJECT_PROHIBITED, 0}, {"code:0", VD_REJECT_CODE, 0},
		{"code:15", VD_REJECT_CODE, 15},	     {"code:07", VD_REJECT_CODE, 7},
	};

	(void)cmocka;
	for (unsigned i = 0; i < sizeof right / sizeof *right; i++) {
		struct vd_packet *packet = make_udp("x", 0);
		struct function_host host;

		assert_int_equal(function_host_open(&host, "reject", right[i].arguments, 1), 0);
		assert_int_equal(host.bytes, VD_HEADERS);
		assert_int_equal(host.needs, VD_NEEDS_REJECT);
		assert_int_equal(function_host_decide(&host, packet, 0), VD_REJECT);
		assert_int_equal(packet->reject, right[i].how);
		if (right[i].how == VD_REJECT_CODE)
			assert_int_equal(packet->reject_code, right[i].code);
		assert_int_equal(packet->changed, 0);
		function_host_close(&host);
		free(packet);
	}
}

static void test_reject_refuses_what_is_no_kind(void **cmocka)
{
	(void)cmocka;
	expect_refused("reject", "x", "'x'");
	expect_refused("reject", "closed ", "'closed '");
	expect_refused("reject", "Closed", "'Closed'");
	expect_refused("reject", "code", "'code'");
	expect_refused("reject", "code:", "'code:'");
	expect_refused("reject", "code:16", "'code:16'");
	expect_refused("reject", "code:-1", "'code:-1'");
	expect_refused("reject", "code: 1", "'code: 1'");
	expect_refused("reject", "code:1x", "'code:1x'");
	expect_refused("reject", "code:0x1", "'code:0x1'");
	expect_refused("reject", "code:4294967296", "'code:4294967296'");
	expect_refused("reject", "tcp-reset,port-unreachable", "closed, tcp-reset, port-unreachable");
}

/* ---- the functions of test/functions ---- */

static void test_fault_returns_no_verdict(void **cmocka)
{
	struct vd_packet *packet = make_udp("x", 0);
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "test/fault", "3", 1), 0);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(function_host_decide(&host, packet, 0), 99);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	function_host_close(&host);
	assert_int_equal(function_host_open(&host, "test/fault", "", 1), 0);
	assert_int_equal(function_host_decide(&host, packet, 0), 99);
	function_host_close(&host);
	expect_refused("test/fault", "0", "'0'");
	free(packet);
}

static void test_the_unloadable_ones_are_what_they_say(void **cmocka)
{
	const struct vd_function *function;
	void *library;

	(void)cmocka;
	function = function_host_load("test/wrong_abi", &library);
	assert_int_equal(function->abi, 999);
	dlclose(library);
	function = function_host_load("test/no_decide", &library);
	assert_int_equal(function->abi, VD_FUNCTION_ABI);
	assert_true(!function->decide && !function->decide_burst);
	dlclose(library);
	assert_null(function_host_load("test/not_a_function", &library));
	dlclose(library);
}

static void test_args_and_state_fail(void **cmocka)
{
	struct function_host host;

	(void)cmocka;
	expect_refused("test/args", "no", "'no'");
	expect_refused("test/args", "", "''");
	assert_int_equal(function_host_open(&host, "test/args", "yes", 1), 0);
	function_host_close(&host);
	assert_int_equal(function_host_open(&host, "test/state_fail", "", 4), -ENOMEM);
	assert_int_equal(function_host_open(&host, "test/state_fail", "3", 4), -ENOMEM);
	assert_int_equal(function_host_open(&host, "test/state_fail", "4", 4), 0);
	function_host_close(&host);
}

static void test_slow_takes_its_time(void **cmocka)
{
	static const char *const arguments[] = {"2000", "2000,sleep"};
	struct vd_packet *packet = make_udp("x", 0);

	(void)cmocka;
	for (unsigned i = 0; i < 2; i++) {
		struct timespec begin, end;
		struct function_host host;

		assert_int_equal(function_host_open(&host, "test/slow", arguments[i], 1), 0);
		clock_gettime(CLOCK_MONOTONIC, &begin);
		assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
		clock_gettime(CLOCK_MONOTONIC, &end);
		assert_true((end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000 >= 1999);
		function_host_close(&host);
	}
	expect_refused("test/slow", "", "''");
	expect_refused("test/slow", "1s", "'1s'");
	free(packet);
}

static void test_conntrack_functions_live_without_conntrack(void **cmocka)
{
	struct vd_packet *packet = make_udp("x", 0);
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "test/needs_conntrack", "", 1), 0);
	assert_int_equal(host.needs, VD_NEEDS_CONNTRACK);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(function_host_counter(&host, "without"), 1);
	assert_int_equal(function_host_counter(&host, "with-id"), 0);
	function_host_close(&host);

	assert_int_equal(function_host_open(&host, "test/ct_mark", "0x20", 1), 0);
	assert_int_equal(host.needs, VD_NEEDS_CONNTRACK);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(function_host_counter(&host, "without"), 1);
	vd_packet_set_conntrack_mark(packet, 7); /* as if the kernel, or a function before this one, had said */
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(function_host_counter(&host, "had-another"), 1);
	assert_int_equal(packet->conntrack_mark, 0x20);
	function_host_close(&host);
	expect_refused("test/ct_mark", "", "''");
	free(packet);
}

/* RFC 1071, computed another way than rewrite.c does: byte by byte, the carry added at once. */
static uint16_t checksum(const uint8_t *pseudo, unsigned pseudo_length, const uint8_t *data, unsigned length)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < pseudo_length + length; i++) {
		unsigned at = i < pseudo_length ? i : i - pseudo_length;
		uint32_t byte = i < pseudo_length ? pseudo[i] : data[at];

		sum += at % 2 ? byte : byte << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

static void expect_rewritten(const char *arguments, const char *payload, const char *rewritten)
{
	struct vd_packet *packet = make_udp(payload, VD_ROOM);
	uint32_t length, udp_length;
	const uint8_t *data, *found;
	uint8_t pseudo[12] = {0};
	struct function_host host;

	assert_int_equal(function_host_open(&host, "test/rewrite", arguments, 1), 0);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(function_host_counter(&host, "rewritten"), 1);
	assert_int_equal(packet->changed, VD_CHANGED_DATA);
	found = vd_packet_payload(packet, &length);
	assert_int_equal(length, strlen(rewritten));
	assert_memory_equal(found, rewritten, length);

	data = vd_packet_data(packet);
	udp_length = vd_packet_length(packet) - 20;
	assert_int_equal(checksum(NULL, 0, data, 20), 0xffff);
	memcpy(pseudo, data + 12, 8);
	pseudo[9] = IPPROTO_UDP;
	pseudo[10] = (uint8_t)(udp_length >> 8);
	pseudo[11] = (uint8_t)udp_length;
	assert_int_equal(checksum(pseudo, 12, data + 20, udp_length), 0xffff);
	function_host_close(&host);
	free(packet);
}

static void test_rewrite_makes_right_packets(void **cmocka)
{
	struct vd_packet *packet;
	struct function_host host;

	(void)cmocka;
	expect_rewritten("same", "Hello, World", "hELLO, wORLD");
	expect_rewritten("same", "odd", "ODD");
	expect_rewritten("shorter", "Hello, World", "Hello, W");
	expect_rewritten("shorter", "abc", "");
	expect_rewritten("longer", "abc", "abc++++++++++++++++");
	expect_rewritten("longer", "", "++++++++++++++++");
	expect_refused("test/rewrite", "", "''");

	packet = make_udp("no room", 15);
	assert_int_equal(function_host_open(&host, "test/rewrite", "longer", 1), 0);
	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
	assert_int_equal(function_host_counter(&host, "refused"), 1);
	assert_int_equal(packet->changed, 0);
	function_host_close(&host);
	free(packet);
}

static struct vd_packet *make_sequenced(uint32_t flow, uint32_t sequence, bool back)
{
	bytes_reset(&bytes);
	bytes_put_ipv4(&bytes, back ? 2 : 1, back ? 1 : 2, IPPROTO_UDP, 0);
	bytes_put_udp(&bytes, back ? 2000 : 1000, back ? 1000 : 2000, 12);
	bytes_put(&bytes, "vdtt", 4);
	bytes_put_number(&bytes, flow, 4);
	bytes_put_number(&bytes, sequence, 4);
	bytes_end_ip(&bytes);
	return bytes_packet_of(&bytes);
}

/* The watcher has to be seen to bark. */
static void test_scopes_sees_what_it_watches_for(void **cmocka)
{
	static const struct {
		uint32_t flow, sequence;
		bool back;
		unsigned state;
		uint64_t missing, disordered, strayed;
	} steps[] = {
		{5, 1, false, 0, 0, 0, 0}, {5, 1, true, 0, 0, 0, 0},  {5, 2, false, 0, 0, 0, 0}, {5, 5, false, 0, 2, 0, 0},
		{5, 2, true, 0, 2, 0, 0},  {5, 4, false, 0, 2, 1, 0}, {5, 5, false, 0, 2, 2, 0}, {6, 1, false, 1, 2, 2, 0},
		{5, 1, false, 1, 2, 2, 1}, {9999, 1, false, 0, 2, 2, 1},
	};
	struct function_host host;

	(void)cmocka;
	assert_int_equal(function_host_open(&host, "test/scopes", "", 2), 0);
	for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct vd_packet *packet = make_sequenced(steps[i].flow, steps[i].sequence, steps[i].back);

		assert_int_equal(function_host_decide(&host, packet, steps[i].state), VD_NEXT);
		assert_int_equal(function_host_counter(&host, "packets"), i + 1);
		assert_int_equal(function_host_counter(&host, "missing"), steps[i].missing);
		assert_int_equal(function_host_counter(&host, "disordered"), steps[i].disordered);
		assert_int_equal(function_host_counter(&host, "strayed"), steps[i].strayed);
		free(packet);
	}
	assert_int_equal(function_host_counter(&host, "sequenced"), sizeof steps / sizeof *steps - 1);
	assert_int_equal(function_host_counter(&host, "entered-twice"), 0);
	function_host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept_and_drop_fill_the_burst),
		cmocka_unit_test(test_mark_sets_the_bits_of_its_mask),
		cmocka_unit_test(test_mark_refuses_what_is_no_number),
		cmocka_unit_test(test_requeue),
		cmocka_unit_test(test_requeue_refuses_what_is_no_queue),
		cmocka_unit_test(test_reject),
		cmocka_unit_test(test_reject_refuses_what_is_no_kind),
		cmocka_unit_test(test_fault_returns_no_verdict),
		cmocka_unit_test(test_the_unloadable_ones_are_what_they_say),
		cmocka_unit_test(test_args_and_state_fail),
		cmocka_unit_test(test_slow_takes_its_time),
		cmocka_unit_test(test_conntrack_functions_live_without_conntrack),
		cmocka_unit_test(test_rewrite_makes_right_packets),
		cmocka_unit_test(test_scopes_sees_what_it_watches_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
