/* SPDX-License-Identifier: MIT */
/*
 * The engine's accounts, held to the packet against what the kernel counted and what arrived.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/nfq/nfq.h"
#include "test/support/scene.h"

/* ---- accounts ---- */

enum { ALL, ODD, BYTES };
static const char *const COUNTERS[] = {[ALL] = "all", [ODD] = "odd", [BYTES] = "bytes", NULL};

static void count_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	(void)state;
	for (unsigned i = 0; i < count; i++) {
		bool is_odd = vd_packet_source_port(packets[i]) % 2;

		vd_count(packets[i], ALL, 1);
		vd_count(packets[i], ODD, is_odd);
		vd_count(packets[i], BYTES, vd_packet_wire_length(packets[i]));
		vd_count(packets[i], 3, 1); /* not declared: counts nothing */
		if (is_odd)
			verdicts[i] = VD_DROP;
	}
}

static const struct vd_function COUNT = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "count",
					 .bytes = VD_HEADERS, .counters = COUNTERS, .decide_burst = count_burst};

static const struct vd_function COUNT_REST = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "count-rest",
					      .bytes = VD_HEADERS, .counters = COUNTERS, .decide_burst = count_burst};

static void counters_are_right_to_the_packet(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);
		struct vd_function_stats stats;

		engine_host_add(host, &COUNT, "");
		engine_host_add(host, &COUNT_REST, "");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_start(host);
		scene_send_through(host, SCENE_PACKETS / 2);
		assert_int_equal(engine_host_counter(host, "count", "all"), SCENE_PACKETS);
		assert_int_equal(engine_host_counter(host, "count", "odd"), SCENE_PACKETS / 2);
		assert_int_equal(engine_host_counter(host, "count", "bytes"), SCENE_PACKETS * 128);
		assert_int_equal(engine_host_counter(host, "count-rest", "all"), SCENE_PACKETS / 2);
		assert_int_equal(engine_host_counter(host, "count-rest", "odd"), 0);
		assert_int_equal(engine_host_counter(host, "count-rest", "bytes"), SCENE_PACKETS / 2 * 128);
		stats = engine_host_function_stats(host, "count");
		assert_int_equal(stats.packets, SCENE_PACKETS);
		assert_int_equal(stats.verdicts[VD_DROP], SCENE_PACKETS / 2);
		assert_int_equal(stats.verdicts[VD_NEXT], SCENE_PACKETS / 2);
		assert_int_equal(engine_host_stats(host, SCENE_QUEUE).by_default, SCENE_PACKETS / 2);
		engine_host_destroy(host);
	}
}

/* A stop in the midst of it: what was not read gets the fault verdict, and nothing is lost or counted twice. */
static void stop_settles_what_waits(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	for (unsigned drops = 0; drops < 2; drops++)
		for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
			struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
			struct traffic_receiver *receiver = traffic_receiver_start(scene_net.far, AF_INET, SCENE_PORT);
			struct engine_host *host;
			struct vd_queue_stats stats;
			struct traffic_flows flows;
			uint32_t expected;

			options.fault_verdict = drops ? VD_DROP : VD_ACCEPT;
			host = scene_start(&options, "test/slow:500,sleep");
			traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
			traffic_flows_send(&flows, 3 * SCENE_ROUNDS, 0);
			traffic_flows_close(&flows);
			engine_host_stop(host);
			stats = engine_host_stats(host, SCENE_QUEUE);
			assert_int_equal(engine_host_offered(host, SCENE_QUEUE), 3 * SCENE_PACKETS);
			assert_true((drops ? stats.left_dropped : stats.left_accepted) > 0);
			assert_int_equal(drops ? stats.left_accepted : stats.left_dropped, 0);
			expected = (uint32_t)(stats.verdicts[VD_ACCEPT] + stats.left_accepted);
			assert_int_equal(traffic_receiver_wait(receiver, expected, 2000), expected);
			traffic_receiver_stop(receiver);
			assert_int_equal(traffic_receiver_sum(receiver).received, expected);
			assert_int_equal(traffic_receiver_sum(receiver).duplicates, 0);
			assert_int_equal(traffic_receiver_sum(receiver).disordered, 0);
			traffic_receiver_free(receiver);
			engine_host_destroy(host);
		}
}

/* A queue that is too short: every loss is counted, by the kernel and by us. */
static void a_full_queue_is_counted(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *host;
		struct vd_queue_stats stats;
		struct traffic_flows flows;
		int receiver = traffic_udp_open(scene_net.far, AF_INET, SCENE_PORT);

		options.maxlen = 50;
		host = scene_start(&options, "test/slow:200,sleep");
		traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
		traffic_flows_send(&flows, SCENE_ROUNDS, 0);
		traffic_flows_close(&flows);
		engine_host_settle(host, SCENE_QUEUE, 50);
		engine_host_stop(host);
		stats = engine_host_stats(host, SCENE_QUEUE);
		assert_int_equal(engine_host_offered(host, SCENE_QUEUE), SCENE_PACKETS);
		assert_true(stats.queue_dropped > 0);
		assert_int_equal(stats.socket_dropped, 0);
		assert_int_equal(stats.verdicts[VD_ACCEPT] + stats.queue_dropped, SCENE_PACKETS);
		assert_int_equal(traffic_drain(receiver, 50), stats.verdicts[VD_ACCEPT]);
		engine_host_destroy(host);
		close(receiver);
	}
}

/* With fail open, they pass instead, and nobody counts them. */
static void fail_open_lets_pass(void **state)
{
	struct vd_engine_options options = scene_options(&SCENE_SHAPES[1]);
	struct engine_host *host;
	struct vd_queue_stats stats;
	struct traffic_flows flows;
	int receiver;

	(void)state;
	scene_set_up("filter", "");
	receiver = traffic_udp_open(scene_net.far, AF_INET, SCENE_PORT);
	options.maxlen = 50;
	options.fail_open = true;
	host = scene_start(&options, "test/slow:200,sleep");
	traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
	traffic_flows_send(&flows, SCENE_ROUNDS, 0);
	traffic_flows_close(&flows);
	engine_host_settle(host, SCENE_QUEUE, 50);
	engine_host_stop(host);
	stats = engine_host_stats(host, SCENE_QUEUE);
	assert_true(stats.received < SCENE_PACKETS);
	assert_int_equal(stats.queue_dropped, 0);
	assert_int_equal(stats.verdicts[VD_ACCEPT], stats.received);
	assert_int_equal(traffic_drain(receiver, 50), SCENE_PACKETS);
	close(receiver);
}

/*
 * The kernel throws the queue away under our hands: late verdicts are "flushed", not errors, and the engine goes on. What was accepted
 * is counted by a rule behind the queue: a device that is about to go down drops without a word what it is given.
 */
static void a_flushed_queue_is_counted(void **state)
{
	static const struct {
		const char *command, *repair;
	} causes[] = {
		{"ip link set near0 down", "ip link set near0 up; ip -6 addr replace fd00:9::1/64 dev near0 nodad;"
					   "ip neigh replace 10.9.0.2 dev near0 lladdr 02:00:00:00:09:02 nud permanent"},
		{"nft add table ip t; nft add chain ip t c '{ type filter hook input priority 5; }'; nft delete table ip t", "true"},
	};

	(void)state;
	scene_set_up("filter", "");
	scene_count_behind("mangle", "POSTROUTING", "", "behind");
	for (unsigned cause = 0; cause < 2; cause++)
		for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
			struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
			int receiver = traffic_udp_open(scene_net.far, AF_INET, SCENE_PORT);
			struct engine_host *host;
			struct vd_queue_stats stats;
			struct traffic_flows flows;
			uint64_t behind = scene_counted("mangle", "behind");

			if (cause && vd_net_try("command -v nft")) {
				print_message("nft is not installed: only half of the test has run\n");
				close(receiver);
				return;
			}
			host = scene_start(&options, "test/slow:1000,sleep");
			traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
			traffic_flows_send(&flows, SCENE_ROUNDS, 0);
			vd_net_command("%s", causes[cause].command);
			engine_host_settle(host, SCENE_QUEUE, SCENE_PACKETS);
			vd_net_command("%s", causes[cause].repair);
			traffic_flows_send(&flows, 1, 0); /* it works on */
			traffic_flows_close(&flows);
			engine_host_settle(host, SCENE_QUEUE, SCENE_PACKETS + SCENE_FLOWS);
			engine_host_stop(host);
			stats = engine_host_stats(host, SCENE_QUEUE);
			assert_true(stats.flushed > 0);
			assert_int_equal(stats.refused, 0);
			assert_int_equal(stats.verdicts[VD_ACCEPT] + stats.flushed, SCENE_PACKETS + SCENE_FLOWS);
			/* where a flush ended in a run is told in bounds */
			behind = scene_counted("mangle", "behind") - behind;
			assert_in_range(stats.verdicts[VD_ACCEPT] - behind, 0, stats.maybe_flushed);
			assert_true(traffic_drain(receiver, 50) >= SCENE_FLOWS);
			engine_host_destroy(host);
			close(receiver);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(counters_are_right_to_the_packet, scene_tear_down),
		cmocka_unit_test_teardown(stop_settles_what_waits, scene_tear_down),
		cmocka_unit_test_teardown(a_full_queue_is_counted, scene_tear_down),
		cmocka_unit_test_teardown(fail_open_lets_pass, scene_tear_down),
		cmocka_unit_test_teardown(a_flushed_queue_is_counted, scene_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
