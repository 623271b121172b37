/* SPDX-License-Identifier: MIT */
/*
 * Taps on a whole engine over a simulated queue: each packet is shown at most once, with its verdict and the function that decided,
 * a flow's in order; and what was shown and what was missed is what was asked for, to the packet. Also while others open and close taps
 * all the time, and while nobody reads.
 *
 *	SIM_SEED=n	instead of 1
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

#define PACKETS 20000u
#define QUEUE 7u
#define FLOWS 64u

/* What becomes of a packet, by its number. */
enum fate { FATE_ACCEPT, FATE_DROP, FATE_REJECT, FATE_FAULT, FATE_DEFAULT, FATE_MARK, FATE_COUNT };

static uint64_t seed = 1;
static uint32_t flow_of[PACKETS + 1];
static uint32_t order_of[PACKETS + 1]; /* of its flow */
static uint32_t flow_count[FLOWS];

static enum fate fate_of(uint32_t id)
{
	return (enum fate)(id * 2654435761u >> 8) % FATE_COUNT;
}

/* It is the first one, and sees each packet once; a flow is with one thread at a time. */
static enum vd_verdict decide_first(struct vd_packet *packet, void *state)
{
	uint32_t id = vd_packet_id(packet), flow = vd_sim_packet_flow(packet);

	(void)state;
	assert_in_range(id, 1, PACKETS);
	flow_of[id] = flow;
	if (flow != VD_SIM_NO_FLOW)
		order_of[id] = ++flow_count[flow];
	switch (fate_of(id)) {
	case FATE_ACCEPT:
		return VD_ACCEPT;
	case FATE_DROP:
		return VD_DROP;
	case FATE_REJECT:
		return vd_packet_reject(packet, VD_REJECT_CLOSED);
	default:
		return VD_NEXT;
	}
}

static enum vd_verdict decide_second(struct vd_packet *packet, void *state)
{
	(void)state;
	switch (fate_of(vd_packet_id(packet))) {
	case FATE_FAULT:
		vd_packet_set_priority(packet, 1);
		return (enum vd_verdict)99;
	case FATE_MARK:
		vd_packet_set_mark(packet, vd_packet_id(packet));
		return VD_STOP;
	default:
		return VD_NEXT;
	}
}

struct scene {
	struct vd_engine *engine;
	struct vd_port *port;
	struct vd_error error;
	pthread_t thread;
	_Atomic bool has_ended;
	int result;
};

static void scene_open(struct scene *scene, unsigned workers, bool sleepy)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_sim_options sim = VD_SIM_OPTIONS_INIT;
	struct vd_function first = {.abi = VD_FUNCTION_ABI, .size = sizeof first, .name = "first", .bytes = VD_HEADERS,
				    .needs = VD_NEEDS_REJECT, .decide = decide_first};
	struct vd_function second = {.abi = VD_FUNCTION_ABI, .size = sizeof second, .name = "second", .bytes = VD_HEADERS,
				     .decide = decide_second};

	*scene = (struct scene){0};
	memset(flow_count, 0, sizeof flow_count);
	options.workers = workers;
	options.maxlen = VD_ENGINE_MAXLEN_MAX; /* however slow this machine is: all of them are decided */
	sim.seed = seed;
	sim.queue = QUEUE;
	sim.packets = PACKETS;
	sim.flows = FLOWS;
	sim.ipv6_percent = 30;
	sim.sleepy = sleepy;
	sim.sleep_us_max = 20;
	assert_int_equal(vd_engine_create(&scene->engine, &options, &scene->error), 0);
	assert_int_equal(vd_port_sim_create(&scene->port, &sim), 0);
	assert_int_equal(vd_engine_add_port(scene->engine, scene->port, &scene->error), 0);
	assert_int_equal(vd_engine_add_function(scene->engine, &first, "", &scene->error), 0);
	assert_int_equal(vd_engine_add_function(scene->engine, &second, "", &scene->error), 0);
}

static void *run_engine(void *argument)
{
	struct scene *scene = argument;

	scene->result = vd_engine_run(scene->engine, &scene->error);
	atomic_store(&scene->has_ended, true);
	return NULL;
}

static void scene_start(struct scene *scene)
{
	assert_int_equal(pthread_create(&scene->thread, NULL, run_engine, scene), 0);
}

/* Whatever the taps did, the engine has done what it should. */
static void scene_end(struct scene *scene)
{
	struct vd_sim_report report;

	vd_port_sim_report(scene->port, &report);
	assert_int_equal(scene->result, 0);
	assert_string_equal(report.first_violation, "");
	assert_int_equal(report.answered, report.handed_up);
	vd_engine_destroy(scene->engine);
}

/* ---- what one tap has shown ---- */

struct seen {
	uint32_t what;
	uint64_t count;
	uint8_t ids[PACKETS + 1]; /* how often */
	uint32_t last[FLOWS];
	uint64_t last_ns;
};

static uint32_t what_is(uint32_t id)
{
	switch (fate_of(id)) {
	case FATE_DROP:
		return VD_TAP_DROPPED;
	case FATE_REJECT:
		return VD_TAP_REJECTED;
	case FATE_FAULT: /* the fault verdict is to drop */
		return VD_TAP_FAULTED | VD_TAP_DROPPED;
	default:
		return VD_TAP_ACCEPTED;
	}
}

static void look_at(struct seen *seen, const struct vd_engine_tap_packet *packet)
{
	static const enum vd_verdict verdicts[] = {VD_ACCEPT, VD_DROP, VD_REJECT, VD_DROP, VD_ACCEPT, VD_STOP};
	static const char *const names[] = {"first", "first", "first", "second", NULL, "second"};
	enum fate fate = fate_of(packet->id);
	uint32_t flow;

	assert_in_range(packet->id, 1, PACKETS);
	flow = flow_of[packet->id];
	assert_int_equal(seen->ids[packet->id]++, 0);
	seen->count++;
	assert_true(what_is(packet->id) & seen->what);
	assert_int_equal(packet->verdict, verdicts[fate]);
	if (names[fate])
		assert_string_equal(packet->function, names[fate]);
	else
		assert_null(packet->function);
	assert_int_equal(packet->is_fault, fate == FATE_FAULT);
	assert_int_equal(packet->is_taken_back, fate == FATE_FAULT);
	assert_int_equal(packet->is_marked, fate == FATE_MARK);
	if (fate == FATE_MARK)
		assert_int_equal(packet->mark, packet->id);
	assert_int_equal(packet->queue, QUEUE);
	assert_true(packet->length && packet->length <= packet->wire_length);
	assert_int_equal(packet->data[0] >> 4, packet->ethertype == 0x0800 ? 4 : 6);
	if (flow != VD_SIM_NO_FLOW) {
		assert_true(order_of[packet->id] > seen->last[flow]);
		seen->last[flow] = order_of[packet->id];
	}
}

static uint64_t read_all(struct vd_engine_tap *tap, struct seen *seen)
{
	const struct vd_engine_tap_packet *packet;
	uint64_t before = seen->count;

	while ((packet = vd_engine_tap_read(tap)))
		look_at(seen, packet);
	return seen->count - before;
}

static uint64_t asked_for(uint32_t what)
{
	uint64_t count = 0;

	for (uint32_t id = 1; id <= PACKETS; id++)
		count += (what_is(id) & what) != 0;
	return count;
}

static struct seen *seen_new(uint32_t what)
{
	struct seen *seen = calloc(1, sizeof *seen);

	assert_non_null(seen);
	seen->what = what;
	return seen;
}

/* ---- the tests ---- */

/* One worker, everything into the rings, then read: each kind of packets. */
static void test_what(void **unused)
{
	static const uint32_t whats[] = {VD_TAP_ALL,	  VD_TAP_ACCEPTED, VD_TAP_DROPPED,
					 VD_TAP_REJECTED, VD_TAP_FAULTED,  VD_TAP_ACCEPTED | VD_TAP_FAULTED};

	(void)unused;
	for (unsigned i = 0; i < sizeof whats / sizeof *whats; i++) {
		struct vd_engine_tap_options options = {.what = whats[i], .queue = -1, .room = 64u << 20, .snap = 40};
		struct seen *seen = seen_new(whats[i]);
		struct vd_engine_tap_stats stats;
		struct vd_engine_tap *tap;
		struct scene scene;

		scene_open(&scene, 1, false);
		assert_int_equal(vd_engine_tap_open(scene.engine, &tap, &options, &scene.error), 0);
		run_engine(&scene);
		read_all(tap, seen);
		vd_engine_tap_stop(tap);
		assert_int_equal(read_all(tap, seen), 0);
		vd_engine_tap_stats(tap, &stats);
		assert_int_equal(stats.decided, PACKETS);
		assert_int_equal(stats.matched, asked_for(whats[i]));
		assert_int_equal(stats.sampled, stats.matched);
		assert_int_equal(stats.missed, 0);
		assert_int_equal(stats.read, stats.matched);
		assert_int_equal(seen->count, stats.matched);
		vd_engine_tap_close(tap);
		scene_end(&scene);
		free(seen);
	}
}

static void test_function_and_queue(void **unused)
{
	static const struct {
		int queue;
		const char *function;
		enum fate fates[FATE_COUNT];
		unsigned fate_count;
	} cases[] = {
		{-1, "first", {FATE_ACCEPT, FATE_DROP, FATE_REJECT}, 3},
		{QUEUE, "second", {FATE_FAULT, FATE_MARK}, 2},
		{QUEUE + 1, "second", {0}, 0},
		{-1, "none", {0}, 0},
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vd_engine_tap_options options = {.queue = cases[i].queue, .function = cases[i].function, .room = 64u << 20,
							.snap = 40};
		struct seen *seen = seen_new(VD_TAP_ALL);
		struct vd_engine_tap *tap;
		struct scene scene;
		uint64_t wanted = 0;

		for (uint32_t id = 1; id <= PACKETS; id++)
			for (unsigned j = 0; j < cases[i].fate_count; j++)
				wanted += fate_of(id) == cases[i].fates[j];
		scene_open(&scene, 1, false);
		assert_int_equal(vd_engine_tap_open(scene.engine, &tap, &options, &scene.error), 0);
		run_engine(&scene);
		assert_int_equal(read_all(tap, seen), wanted);
		vd_engine_tap_close(tap);
		scene_end(&scene);
		free(seen);
	}
}

/* Nobody reads: what has room is there in the end, the rest is missed. */
static void test_missed(void **unused)
{
	struct vd_engine_tap_options options = {.queue = -1, .room = 1, .snap = 40};
	struct seen *seen = seen_new(VD_TAP_ALL);
	struct vd_engine_tap_stats stats;
	struct vd_engine_tap *tap;
	struct scene scene;

	(void)unused;
	scene_open(&scene, 1, false);
	assert_int_equal(vd_engine_tap_open(scene.engine, &tap, &options, &scene.error), 0);
	run_engine(&scene);
	read_all(tap, seen);
	vd_engine_tap_stats(tap, &stats);
	assert_int_equal(stats.matched, PACKETS);
	assert_int_equal(stats.missed + seen->count, PACKETS);
	assert_true(stats.missed > 0 && seen->count > 100);
	for (uint32_t id = 1; id <= seen->count; id++) /* one worker, and it begins with room */
		assert_int_equal(seen->ids[id], 1);
	vd_engine_tap_close(tap);
	scene_end(&scene);
	free(seen);
}

static void test_sample(void **unused)
{
	struct vd_engine_tap_options options = {.queue = -1, .room = 64u << 20, .sample = 10, .snap = 40};
	struct seen *seen = seen_new(VD_TAP_ALL);
	struct vd_engine_tap_stats stats;
	struct vd_engine_tap *tap;
	struct scene scene;
	unsigned odd = 0;

	(void)unused;
	scene_open(&scene, 1, false);
	assert_int_equal(vd_engine_tap_open(scene.engine, &tap, &options, &scene.error), 0);
	run_engine(&scene);
	read_all(tap, seen);
	vd_engine_tap_stats(tap, &stats);
	assert_int_equal(stats.matched, PACKETS);
	assert_int_equal(stats.sampled, seen->count);
	/* 2000 gaps, evenly from 1 to 19: ten times the deviation of their sum is a quarter */
	assert_in_range(seen->count, PACKETS / 10 * 3 / 4, PACKETS / 10 * 4 / 3);
	for (uint32_t id = 1; id <= PACKETS; id += 2)
		odd += seen->ids[id];
	assert_in_range(odd, seen->count / 3, seen->count * 2 / 3);
	vd_engine_tap_close(tap);
	scene_end(&scene);
	free(seen);
}

/* Several workers, a reader meanwhile, and others that open and close taps all the time. */
static void *come_and_go(void *argument)
{
	struct scene *scene = argument;
	struct vd_error error;
	uint64_t *times = calloc(1, sizeof *times);

	while (!atomic_load(&scene->has_ended)) {
		struct vd_engine_tap_options options = {.queue = -1, .room = 1, .sample = *times % 3, .snap = 64};
		const struct vd_engine_tap_packet *packet;
		struct vd_engine_tap *tap;

		assert_int_equal(vd_engine_tap_open(scene->engine, &tap, &options, &error), 0);
		for (unsigned i = 0; i < 50; i++)
			while ((packet = vd_engine_tap_read(tap)))
				assert_in_range(packet->id, 1, PACKETS);
		vd_engine_tap_close(tap);
		++*times;
	}
	return times;
}

static void test_live(void **unused)
{
	struct vd_engine_tap_options options = {.queue = -1, .snap = 60, .room = 16u << 20};

	(void)unused;
	for (unsigned round = 0; round < 4; round++, seed++) {
		struct seen *seen = seen_new(VD_TAP_ALL);
		struct vd_engine_tap_stats stats;
		struct vd_engine_tap *tap;
		struct scene scene;
		pthread_t others[2];
		uint64_t times = 0;
		void *result;

		scene_open(&scene, 3, round % 2);
		assert_int_equal(vd_engine_tap_open(scene.engine, &tap, &options, &scene.error), 0);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&others[i], NULL, come_and_go, &scene), 0);
		scene_start(&scene);
		while (!atomic_load(&scene.has_ended)) {
			read_all(tap, seen);
			sched_yield();
		}
		pthread_join(scene.thread, NULL);
		for (unsigned i = 0; i < 2; i++) {
			pthread_join(others[i], &result);
			times += *(uint64_t *)result;
			free(result);
		}
		vd_engine_tap_stop(tap);
		read_all(tap, seen);
		vd_engine_tap_stats(tap, &stats);
		assert_int_equal(stats.decided, PACKETS);
		assert_int_equal(stats.sampled, PACKETS);
		assert_int_equal(seen->count + stats.missed, PACKETS);
		assert_int_equal(seen->count, stats.read);
		assert_true(seen->count > 0 && times > 0);
		vd_engine_tap_close(tap);
		scene_end(&scene);
		free(seen);
	}
}

static void test_limits(void **unused)
{
	struct vd_engine_tap_options options = VD_ENGINE_TAP_OPTIONS_INIT;
	struct vd_engine_tap *taps[VD_ENGINE_TAPS_MAX + 1];
	struct vd_error error;
	struct scene scene;

	(void)unused;
	scene_open(&scene, 2, false);
	for (unsigned i = 0; i < VD_ENGINE_TAPS_MAX; i++)
		assert_int_equal(vd_engine_tap_open(scene.engine, &taps[i], &options, &error), 0);
	assert_int_equal(vd_engine_tap_open(scene.engine, &taps[VD_ENGINE_TAPS_MAX], &options, &error), -EBUSY);
	assert_string_equal(error.text, "packets are shown to 4 already, which is the limit");
	assert_null(taps[VD_ENGINE_TAPS_MAX]);
	vd_engine_tap_close(taps[VD_ENGINE_TAPS_MAX]);
	vd_engine_tap_stop(taps[1]); /* from the midst of the list */
	assert_int_equal(vd_engine_tap_open(scene.engine, &taps[VD_ENGINE_TAPS_MAX], &options, &error), 0);
	run_engine(&scene);
	for (unsigned i = 0; i <= VD_ENGINE_TAPS_MAX; i++) {
		struct vd_engine_tap_stats stats;

		vd_engine_tap_stats(taps[i], &stats);
		assert_int_equal(stats.decided, i == 1 ? 0 : PACKETS);
		vd_engine_tap_close(taps[i]);
	}
	options.what = VD_TAP_ALL + 1;
	assert_int_equal(vd_engine_tap_open(scene.engine, taps, &options, &error), -EINVAL);
	options = (struct vd_engine_tap_options){.queue = 65536};
	assert_int_equal(vd_engine_tap_open(scene.engine, taps, &options, &error), -EINVAL);
	options = (struct vd_engine_tap_options){.sample = VD_ENGINE_TAP_SAMPLE_MAX + 1};
	assert_int_equal(vd_engine_tap_open(scene.engine, taps, &options, &error), -EINVAL);
	options = (struct vd_engine_tap_options){.room = VD_ENGINE_TAP_ROOM_MAX + 1};
	assert_int_equal(vd_engine_tap_open(scene.engine, taps, &options, &error), -EINVAL);
	assert_null(taps[0]);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what),   cmocka_unit_test(test_function_and_queue), cmocka_unit_test(test_missed),
		cmocka_unit_test(test_sample), cmocka_unit_test(test_live),		  cmocka_unit_test(test_limits),
	};

	if (getenv("SIM_SEED"))
		seed = strtoull(getenv("SIM_SEED"), NULL, 0);
	printf("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
