/* SPDX-License-Identifier: MIT */
/*
 * Workers that have been woken may use all CPUs: what is taken from them while they are parked (engine/apart.h) comes back. What it is good
 * for is measured by bench/net/drain.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/engine.h"
#include "engine/port_sim.h"

#define RUNS_MAX 500
#define SHARED_RUNS 3
#define PACKETS 2000
#define WORKERS 3
#define WORK_NS 20000u

static cpu_set_t all;
static _Atomic uint64_t seen_free, seen_bound;

/* Each takes its time, so that workers are called for help. */
static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	uint64_t until = vd_clock_ns() + WORK_NS;
	cpu_set_t mine;

	(void)packet;
	(void)state;
	sched_getaffinity(0, sizeof mine, &mine);
	if (CPU_EQUAL(&mine, &all))
		seen_free++;
	else
		seen_bound++;
	while (vd_clock_ns() < until)
		;
	return VD_ACCEPT;
}

static const struct vd_function function = {
	.abi = VD_FUNCTION_ABI, .size = sizeof function, .name = "looks", .bytes = VD_HEADERS, .decide = decide};

/* Returns how many workers had packets. */
static unsigned run(void)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_sim_options sim = VD_SIM_OPTIONS_INIT;
	struct vd_worker_stats workers[WORKERS];
	struct vd_engine *engine;
	struct vd_error error;
	struct vd_port *port;
	unsigned busy = 0;

	sim.packets = PACKETS;
	sim.arrive_max = 256;
	sim.sleepy = true;
	sim.sleep_us_max = 5000; /* so that they park in between */
	options.workers = WORKERS;
	assert_int_equal(vd_port_sim_create(&port, &sim), 0);
	assert_int_equal(vd_engine_create(&engine, &options, &error), 0);
	assert_int_equal(vd_engine_add_function(engine, &function, "", &error), 0);
	assert_int_equal(vd_engine_add_port(engine, port, &error), 0);
	assert_int_equal(vd_engine_run(engine, &error), 0);
	assert_int_equal(vd_engine_worker_stats(engine, workers, WORKERS), WORKERS);
	for (unsigned i = 0; i < WORKERS; i++)
		busy += workers[i].packets > 0;
	vd_engine_destroy(engine);
	return busy;
}

static void who_is_awake_may_use_all_cpus(void **state)
{
	unsigned shared = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
	if (CPU_COUNT(&all) < 2) {
		print_message("skip: a machine with one CPU\n");
		skip();
	}
	/* in most runs one does it all */
	for (unsigned i = 0; i < RUNS_MAX && shared < SHARED_RUNS; i++)
		shared += run() > 1;
	assert_int_equal(shared, SHARED_RUNS);
	/* one whose CPU is taken away in the moment in which it wakes gets it back in the next one */
	assert_in_range(seen_bound, 0, seen_free / 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_awake_may_use_all_cpus)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
