/* SPDX-License-Identifier: MIT */
/*
 * Each verdict, through the whole engine and the real kernel: what arrives on the far side, what the rules behind the queue
 * counted, and that the engine's own accounts say the same to the packet.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/nfq/nfq.h"
#include "test/support/scene.h"

#define OTHER_QUEUE 6

/* ---- accept and drop ---- */

static void accept_arrives_in_order(void **state)
{
	static const char *const silent[] = {"missing", "entered-twice", "disordered", "strayed"};

	(void)state;
	scene_set_up("filter", "");
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);

		engine_host_load(host, "test/scopes");
		engine_host_load(host, "accept");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_start(host);
		scene_send_through(host, SCENE_PACKETS);
		scene_expect_all(host, VD_ACCEPT);
		assert_int_equal(scene_counted("filter", "queued"), (i + 1) * SCENE_PACKETS);
		assert_int_equal(engine_host_stats(host, SCENE_QUEUE).by_default, 0);
		assert_int_equal(engine_host_stats(host, SCENE_QUEUE).bytes, SCENE_PACKETS * (100 + 28));
		assert_int_equal(engine_host_counter(host, "scopes", "sequenced"), SCENE_PACKETS);
		for (unsigned j = 0; j < sizeof silent / sizeof *silent; j++)
			assert_int_equal(engine_host_counter(host, "scopes", silent[j]), 0);
		engine_host_destroy(host);
	}
}

static void drop_does_not_arrive(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	vd_net_enter_far(&scene_net);
	vd_net_command("iptables-legacy -t mangle -A PREROUTING -p udp -m comment --comment arrived");
	vd_net_enter_near(&scene_net);
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *host = scene_start(&options, "drop");

		scene_send_through(host, 0);
		scene_expect_all(host, VD_DROP);
		traffic_sleep_ms(20);
		assert_int_equal(traffic_rule_packets(scene_net.far, "iptables-legacy", "mangle", "arrived"), 0);
		engine_host_destroy(host);
	}
}

/* ---- drops that wait for an older packet ---- */

static _Atomic bool is_released;

/* Every other flow is dropped; the very first packet takes its time. */
static enum vd_verdict decide_by_flow(struct vd_packet *packet, void *state)
{
	unsigned flow = vd_packet_source_port(packet) - TRAFFIC_PORT_FIRST;

	(void)state;
	for (unsigned ms = 0; vd_packet_id(packet) == 1 && !is_released && ms < 5000; ms++)
		traffic_sleep_ms(1);
	return flow % 2 ? VD_DROP : VD_ACCEPT;
}

static const struct vd_function BY_FLOW = {.abi = VD_FUNCTION_ABI, .size = sizeof BY_FLOW, .name = "by-flow",
					   .bytes = VD_HEADERS, .decide = decide_by_flow};

/* Others are decided and answered meanwhile, and in the end nobody has got another's verdict. */
static void a_slow_packet_holds_up_nobody_elses_verdict(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	for (unsigned i = 1; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);
		struct traffic_receiver *receiver = traffic_receiver_start(scene_net.far, AF_INET, SCENE_PORT);
		struct traffic_flows flows;

		is_released = SCENE_SHAPES[i].workers == 1; /* then everything waits for it */
		engine_host_add(host, &BY_FLOW, "");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_start(host);
		traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
		traffic_flows_send(&flows, 1, 0);
		if (!is_released)
			traffic_sleep_ms(50); /* it is held; what comes now has to be read by another */
		traffic_flows_send(&flows, SCENE_ROUNDS - 1, 0);
		is_released = true;
		engine_host_settle(host, SCENE_QUEUE, SCENE_PACKETS);
		engine_host_stop(host);
		assert_int_equal(traffic_receiver_wait(receiver, SCENE_PACKETS / 2, 2000), SCENE_PACKETS / 2);
		traffic_receiver_stop(receiver);
		assert_int_equal(engine_host_stats(host, SCENE_QUEUE).verdicts[VD_ACCEPT], SCENE_PACKETS / 2);
		assert_int_equal(engine_host_stats(host, SCENE_QUEUE).verdicts[VD_DROP], SCENE_PACKETS / 2);
		for (unsigned flow = 0; flow < SCENE_FLOWS; flow++) {
			assert_int_equal(receiver->flows[flow].received, flow % 2 ? 0 : SCENE_ROUNDS);
			assert_int_equal(receiver->flows[flow].disordered + receiver->flows[flow].duplicates, 0);
		}
		traffic_flows_close(&flows);
		traffic_receiver_free(receiver);
		engine_host_destroy(host);
	}
}

static void default_decides_both_ways(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	for (unsigned drops = 0; drops < 2; drops++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[1]);
		struct engine_host *host;

		options.default_verdict = drops ? VD_DROP : VD_ACCEPT;
		host = scene_start(&options, drops ? "mark:7" : NULL); /* with a function that has no opinion, and without any */
		scene_send_through(host, drops ? 0 : SCENE_PACKETS);
		scene_expect_all(host, drops ? VD_DROP : VD_ACCEPT);
		assert_int_equal(engine_host_stats(host, SCENE_QUEUE).by_default, SCENE_PACKETS);
		engine_host_destroy(host);
	}
}

/* ---- a function that is faulty ---- */

static void fault_gets_the_fault_verdict(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	scene_count_behind("mangle", "POSTROUTING", "-m mark --mark 7", "marked");
	for (unsigned drops = 0; drops < 2; drops++)
		for (unsigned every = 1; every <= 4; every += 3) {
			struct vd_engine_options options = scene_options(&SCENE_SHAPES[2]);
			enum vd_verdict verdict = drops ? VD_DROP : VD_ACCEPT, other = drops ? VD_ACCEPT : VD_DROP;
			uint64_t faults = SCENE_PACKETS / every;
			struct engine_host *host;
			char function[32];

			options.fault_verdict = verdict;
			options.default_verdict = other; /* so that the two can be told from each other */
			host = engine_host_create(&options);
			snprintf(function, sizeof function, "test/fault:%u", every);
			engine_host_load(host, "mark:7"); /* what was changed before the fault is not carried out */
			engine_host_load(host, function);
			engine_host_queue(host, SCENE_QUEUE);
			engine_host_start(host);
			scene_send_through(host, drops ? SCENE_PACKETS - faults : faults);
			assert_int_equal(engine_host_stats(host, SCENE_QUEUE).faults, faults);
			assert_int_equal(engine_host_stats(host, SCENE_QUEUE).by_default, SCENE_PACKETS - faults);
			assert_int_equal(engine_host_stats(host, SCENE_QUEUE).verdicts[verdict], faults);
			assert_int_equal(engine_host_stats(host, SCENE_QUEUE).verdicts[other], SCENE_PACKETS - faults);
			assert_int_equal(engine_host_function_stats(host, "fault").faults, faults);
			engine_host_destroy(host);
		}
	/* accepted and marked: by default only, in the second round of "drops": 3 of 4 */
	assert_int_equal(scene_counted("mangle", "marked"), SCENE_PACKETS - SCENE_PACKETS / 4);
}

/* ---- repeat ---- */

static enum vd_verdict repeat_with_mark(struct vd_packet *packet, void *state)
{
	(void)state;
	vd_packet_set_mark(packet, 7);
	return VD_REPEAT;
}

static const struct vd_function REPEAT_ONCE = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "repeat-once",
					       .bytes = VD_HEADERS, .decide = repeat_with_mark};

static void repeat_runs_the_hook_again(void **state)
{
	(void)state;
	vd_net_setup(&scene_net);
	vd_net_enter_far(&scene_net);
	vd_net_keep_order(VD_NET_FAR_DEVICE);
	vd_net_enter_near(&scene_net);
	vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %1$d -m comment --comment all;"
		       "iptables-legacy -A OUTPUT -p udp --dport %1$d -m mark --mark 7 -m comment --comment again -j ACCEPT;"
		       "iptables-legacy -A OUTPUT -p udp --dport %1$d -m comment --comment queued -j NFQUEUE --queue-num %2$d",
		       SCENE_PORT, SCENE_QUEUE);
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);

		engine_host_add(host, &REPEAT_ONCE, "");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_start(host);
		scene_send_through(host, SCENE_PACKETS);
		scene_expect_all(host, VD_REPEAT);
		assert_int_equal(scene_counted("filter", "all"), (i + 1) * 2 * SCENE_PACKETS);
		assert_int_equal(scene_counted("filter", "again"), (i + 1) * SCENE_PACKETS);
		assert_int_equal(scene_counted("filter", "queued"), (i + 1) * SCENE_PACKETS);
		engine_host_destroy(host);
	}
}

#define REPEATS 3

static enum vd_verdict repeat_until_marked(struct vd_packet *packet, void *state)
{
	(void)state;
	if (vd_packet_mark(packet) == REPEATS)
		return VD_ACCEPT;
	vd_packet_set_mark(packet, vd_packet_mark(packet) + 1);
	return VD_REPEAT;
}

static const struct vd_function REPEAT_OFTEN = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "repeat-often",
						.bytes = VD_HEADERS, .decide = repeat_until_marked};

/* Repeated packets come back to the same queue, with new ids, while it is being read. */
static void repeat_comes_back_to_the_queue(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	scene_count_behind("mangle", "POSTROUTING", "-m mark --mark 3", "marked");
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);
		struct traffic_flows flows;
		int receiver = traffic_udp_open(scene_net.far, AF_INET, SCENE_PORT);

		engine_host_add(host, &REPEAT_OFTEN, "");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_start(host);
		traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
		traffic_flows_send(&flows, SCENE_ROUNDS, 0);
		traffic_flows_close(&flows);
		engine_host_settle(host, SCENE_QUEUE, SCENE_PACKETS * (REPEATS + 1));
		engine_host_stop(host);
		assert_int_equal(engine_host_offered(host, SCENE_QUEUE), SCENE_PACKETS * (REPEATS + 1));
		assert_int_equal(engine_host_stats(host, SCENE_QUEUE).verdicts[VD_REPEAT], SCENE_PACKETS * REPEATS);
		assert_int_equal(engine_host_stats(host, SCENE_QUEUE).verdicts[VD_ACCEPT], SCENE_PACKETS);
		assert_int_equal(scene_counted("filter", "queued"), (i + 1) * SCENE_PACKETS * (REPEATS + 1));
		assert_int_equal(scene_counted("mangle", "marked"), (i + 1) * SCENE_PACKETS);
		assert_int_equal(traffic_drain(receiver, 50), SCENE_PACKETS);
		engine_host_destroy(host);
		close(receiver);
	}
}

/* ---- queue ---- */

static void requeue_is_answered_by_another_engine(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *second = engine_host_create(&options), *host;

		engine_host_load(second, "accept");
		engine_host_queue(second, OTHER_QUEUE);
		engine_host_start(second);
		host = scene_start(&options, "requeue:6");
		scene_send_through(host, SCENE_PACKETS);
		scene_expect_all(host, VD_QUEUE);
		engine_host_settle(second, OTHER_QUEUE, SCENE_PACKETS);
		engine_host_stop(second);
		assert_int_equal(engine_host_offered(second, OTHER_QUEUE), SCENE_PACKETS);
		assert_int_equal(engine_host_stats(second, OTHER_QUEUE).verdicts[VD_ACCEPT], SCENE_PACKETS);
		engine_host_destroy(host);
		engine_host_destroy(second);
	}
}

/* One engine that reads both queues. */
static void requeue_is_answered_by_the_same_engine(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct traffic_receiver *receiver = traffic_receiver_start(scene_net.far, AF_INET, SCENE_PORT);
		struct engine_host *host = engine_host_create(&options);
		struct traffic_flows flows;

		engine_host_load(host, "requeue:6");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_queue(host, OTHER_QUEUE);
		engine_host_start(host);
		traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
		traffic_flows_send(&flows, SCENE_ROUNDS, 0);
		traffic_flows_close(&flows);
		engine_host_settle(host, SCENE_QUEUE, SCENE_PACKETS);
		engine_host_settle(host, OTHER_QUEUE, SCENE_PACKETS);
		engine_host_stop(host);
		scene_expect_all(host, VD_QUEUE);
		assert_int_equal(engine_host_stats(host, OTHER_QUEUE).verdicts[VD_ACCEPT], SCENE_PACKETS);
		assert_int_equal(engine_host_stats(host, OTHER_QUEUE).by_default, SCENE_PACKETS);
		assert_int_equal(traffic_receiver_wait(receiver, SCENE_PACKETS, 2000), SCENE_PACKETS);
		traffic_receiver_stop(receiver);
		assert_int_equal(traffic_receiver_sum(receiver).received, SCENE_PACKETS);
		assert_int_equal(traffic_receiver_sum(receiver).disordered, 0);
		traffic_receiver_free(receiver);
		engine_host_destroy(host);
	}
}

static void requeue_to_nobody_drops_or_bypasses(void **state)
{
	(void)state;
	scene_set_up("filter", "");
	for (unsigned bypass = 0; bypass < 2; bypass++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[1]);
		struct engine_host *host = scene_start(&options, bypass ? "requeue:99,bypass" : "requeue:99");

		scene_send_through(host, bypass ? SCENE_PACKETS : 0);
		scene_expect_all(host, VD_QUEUE);
		engine_host_destroy(host);
	}
}

/* ---- stop ---- */

static enum vd_verdict always_stop(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_STOP;
}

static const struct vd_function STOP = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "stop",
					.bytes = VD_HEADERS, .decide = always_stop};

/*
 * NF_STOP leaves out the tables behind the queue's in the same hook, here filter behind mangle: even one that drops. Later
 * hooks see the packet. (The rest of the queue's own chain is left out by any verdict: the rule's -j ended it.)
 */
static void stop_skips_the_rest_of_the_hook(void **state)
{
	(void)state;
	scene_set_up("mangle", "");
	scene_count_behind("mangle", "OUTPUT", "", "same-chain");
	scene_count_behind("filter", "OUTPUT", "", "same-hook");
	scene_count_behind("mangle", "POSTROUTING", "", "next-hook");
	for (unsigned stops = 0; stops < 2; stops++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[1]);
		struct engine_host *host = engine_host_create(&options);

		if (stops)
			engine_host_add(host, &STOP, "");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_start(host);
		scene_send_through(host, SCENE_PACKETS);
		scene_expect_all(host, stops ? VD_STOP : VD_ACCEPT);
		assert_int_equal(scene_counted("mangle", "same-chain"), 0);
		assert_int_equal(scene_counted("filter", "same-hook"), SCENE_PACKETS); /* of the first time: not stopped */
		assert_int_equal(scene_counted("mangle", "next-hook"), (stops + 1) * SCENE_PACKETS);
		engine_host_destroy(host);
		vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %d -j DROP", SCENE_PORT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(accept_arrives_in_order, scene_tear_down),
		cmocka_unit_test_teardown(drop_does_not_arrive, scene_tear_down),
		cmocka_unit_test_teardown(a_slow_packet_holds_up_nobody_elses_verdict, scene_tear_down),
		cmocka_unit_test_teardown(default_decides_both_ways, scene_tear_down),
		cmocka_unit_test_teardown(fault_gets_the_fault_verdict, scene_tear_down),
		cmocka_unit_test_teardown(repeat_runs_the_hook_again, scene_tear_down),
		cmocka_unit_test_teardown(repeat_comes_back_to_the_queue, scene_tear_down),
		cmocka_unit_test_teardown(requeue_is_answered_by_another_engine, scene_tear_down),
		cmocka_unit_test_teardown(requeue_is_answered_by_the_same_engine, scene_tear_down),
		cmocka_unit_test_teardown(requeue_to_nobody_drops_or_bypasses, scene_tear_down),
		cmocka_unit_test_teardown(stop_skips_the_rest_of_the_hook, scene_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
