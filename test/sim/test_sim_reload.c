/* SPDX-License-Identifier: MIT */
/*
 * Reloads while simulated queues are read, at moments that nobody chose: each packet is decided by the functions of one
 * generation; no function is called that is not open; a flow's packets meet one table, in order, whichever generation has
 * it; and the tables and statistics, handed on from generation to generation, know of every packet at the end.
 *
 * VD_SIM_SEED=N repeats the run of that seed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

#define RUNS 60
#define RUN_SECONDS_MAX 20
#define LANES_MAX 3
#define FLOWS_MAX 32

/* What a flow's state refers to; it is handed on. */
struct table {
	uint64_t packets;
	bool is_known[LANES_MAX][FLOWS_MAX];
	uint32_t last[LANES_MAX][FLOWS_MAX];
};

/* What one open() gave. */
struct instance {
	unsigned generation;
	_Atomic bool is_open;
};

struct state {
	struct instance *instance;
	struct table *table; /* NULL: somebody else has it now */
};

static struct {
	uint64_t seed, random;
	struct vd_engine *engine;
	struct vd_engine_options options;
	struct vd_port *ports[LANES_MAX];
	unsigned lane_count;
	bool migrates; /* or each generation has tables of its own */
	_Atomic bool has_ended;
	_Atomic unsigned complaints;
	char first_complaint[256];
	_Atomic uint64_t packets_in_tables; /* when they are freed */
	_Atomic int open_instances, open_states;
	unsigned reloads, refusals;
	struct vd_error error;
} run;

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list arguments;

	if (atomic_fetch_add(&run.complaints, 1))
		return;
	va_start(arguments, format);
	vsnprintf(run.first_complaint, sizeof run.first_complaint, format, arguments);
	va_end(arguments);
}

static unsigned up_to(unsigned most)
{
	return (unsigned)(vd_sim_random(&run.random) % (most + 1));
}

/* ---- functions ---- */

static int open_instance(struct vd_open *open, void **shared)
{
	struct instance *instance;

	if (!strcmp(open->arguments, "refuse"))
		return vd_open_error(open, "it was told to refuse");
	instance = calloc(1, sizeof *instance);
	instance->generation = (unsigned)atoi(open->arguments);
	atomic_store(&instance->is_open, true);
	atomic_fetch_add(&run.open_instances, 1);
	*shared = instance;
	return 0;
}

static void close_instance(void *shared)
{
	atomic_store(&((struct instance *)shared)->is_open, false);
	atomic_fetch_sub(&run.open_instances, 1);
	free(shared);
}

static int open_state(void *shared, void **state)
{
	struct state *own = calloc(1, sizeof *own);

	own->instance = shared;
	own->table = calloc(1, sizeof *own->table);
	atomic_fetch_add(&run.open_states, 1);
	*state = own;
	return 0;
}

static void close_state(void *shared, void *state)
{
	struct state *own = state;

	(void)shared;
	if (own->table)
		atomic_fetch_add(&run.packets_in_tables, own->table->packets);
	atomic_fetch_sub(&run.open_states, 1);
	free(own->table);
	free(own);
}

static int take_over(void *shared, void *state, void *old_shared, void *old_state)
{
	struct state *own = state, *old = old_state;

	if (((struct instance *)old_shared)->generation >= ((struct instance *)shared)->generation)
		complain("the older one takes over");
	if (!own != !old)
		complain("half of a pair");
	if (!own)
		return 0;
	free(own->table);
	own->table = old->table;
	old->table = NULL;
	return 0;
}

/* First in the chain: says which generation this packet is of. */
static enum vd_verdict track(struct vd_packet *packet, void *state)
{
	struct state *own = state;
	uint32_t flow = vd_sim_packet_flow(packet), index = vd_sim_packet_index(packet);

	if (!own->table) {
		complain("a state is used that was taken over");
		return VD_NEXT;
	}
	own->table->packets++;
	vd_packet_set_mark(packet, own->instance->generation);
	if (flow >= FLOWS_MAX)
		return VD_NEXT;
	if (own->table->is_known[packet->queue][flow] && own->table->last[packet->queue][flow] >= index)
		complain("flow %u of queue %u: packet %u comes after packet %u", flow, packet->queue, index,
			 own->table->last[packet->queue][flow]);
	own->table->is_known[packet->queue][flow] = true;
	own->table->last[packet->queue][flow] = index;
	return VD_NEXT;
}

static enum vd_verdict compare(struct vd_packet *packet, void *state)
{
	const struct instance *instance = state;

	if (!atomic_load(&instance->is_open))
		complain("a function decides that is closed");
	if (vd_packet_mark(packet) != instance->generation)
		complain("a packet of generation %u is decided by generation %u", vd_packet_mark(packet), instance->generation);
	vd_count(packet, 0, 1);
	return vd_sim_packet_index(packet) % 5 ? VD_ACCEPT : VD_DROP;
}

static const char *const COUNTERS[] = {"compared", NULL};

static const struct vd_function TRACK = {
	.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "track", .usage = "GENERATION",
	.scope = VD_SCOPE_FLOW, .open = open_instance, .close = close_instance, .open_state = open_state,
	.close_state = close_state, .decide = track, .migrate = take_over, .state_format = 7};
static const struct vd_function COMPARE = {
	.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "compare", .usage = "GENERATION",
	.counters = COUNTERS, .open = open_instance, .close = close_instance, .decide = compare};

/* Functions of that generation; 0: one of them will refuse. */
static void add_functions(struct vd_engine *engine, unsigned generation)
{
	struct vd_function track_function = TRACK;
	struct vd_error error;
	char number[16];

	if (!run.migrates)
		track_function.state_format = 0;
	snprintf(number, sizeof number, "%u", generation);
	assert_int_equal(vd_engine_add_function(engine, &track_function, generation ? number : "1", &error), 0);
	assert_int_equal(vd_engine_add_function(engine, &COMPARE, generation ? number : "refuse", &error), 0);
}

/* ---- a run ---- */

static void choose(uint64_t seed)
{
	bool sleepy;

	memset(&run, 0, sizeof run);
	run.seed = seed;
	run.random = seed;
	sleepy = up_to(2) == 0;
	run.migrates = up_to(1);
	run.options = (struct vd_engine_options)VD_ENGINE_OPTIONS_INIT;
	run.options.workers = 1 + up_to(3);
	run.options.writers = up_to(2);
	run.options.batch = up_to(2) ? 0 : 1 + up_to(63);
	assert_int_equal(vd_engine_create(&run.engine, &run.options, &run.error), 0);
	run.lane_count = 1 + up_to(LANES_MAX - 1);
	for (unsigned i = 0; i < run.lane_count; i++) {
		struct vd_sim_options lane = VD_SIM_OPTIONS_INIT;

		lane.seed = vd_sim_random(&run.random);
		lane.queue = i;
		lane.packets = 500 + up_to(4000);
		lane.flows = 1 + up_to(FLOWS_MAX - 1);
		lane.arrive_max = 1 + up_to(100);
		lane.idle_percent = up_to(60);
		lane.sleepy = sleepy;
		lane.sleep_us_max = 1 + up_to(100);
		assert_int_equal(vd_port_sim_create(&run.ports[i], &lane), 0);
		assert_int_equal(vd_engine_add_port(run.engine, run.ports[i], &run.error), 0);
	}
	add_functions(run.engine, 1);
}

static void *reload_all_the_time(void *unused)
{
	unsigned generation = 1;

	while (!atomic_load(&run.has_ended)) {
		bool is_refused = up_to(4) == 0;
		struct vd_engine *next;
		struct vd_error error;
		int result;

		nanosleep(&(struct timespec){.tv_nsec = up_to(500) * 1000}, NULL);
		run.options.batch = up_to(63) + 1;
		if (vd_engine_create(&next, &run.options, &error))
			break;
		add_functions(next, is_refused ? 0 : generation + 1);
		result = vd_engine_reload(run.engine, next, &error);
		if (is_refused && result == -EINVAL)
			run.refusals++;
		else if (result && result != -ECANCELED)
			complain("a reload is refused: %s", error.text);
		else if (!result)
			run.reloads++;
		generation += !result;
		vd_engine_destroy(next);
	}
	return unused;
}

static void audit(void)
{
	struct vd_queue_stats queues[LANES_MAX];
	struct vd_function_stats functions[2];
	uint64_t received = 0;

	assert_int_equal(vd_engine_queue_stats(run.engine, queues, LANES_MAX), run.lane_count);
	assert_int_equal(vd_engine_function_stats(run.engine, functions, 2), 2);
	for (unsigned i = 0; i < run.lane_count; i++) {
		struct vd_sim_report report;

		vd_port_sim_report(run.ports[i], &report);
		if (report.violations)
			fail_msg("seed %llu: %s", (unsigned long long)run.seed, report.first_violation);
		received += queues[i].received;
		assert_int_equal(report.handed_up, report.answered);
	}
	if (run.complaints)
		fail_msg("seed %llu: %u complaints, the first: %s", (unsigned long long)run.seed, run.complaints, run.first_complaint);
	for (unsigned i = 0; i < 2; i++)
		if (functions[i].packets != received)
			fail_msg("seed %llu: function %s counted %llu of %llu packets", (unsigned long long)run.seed, functions[i].name,
				 (unsigned long long)functions[i].packets, (unsigned long long)received);
	assert_int_equal(functions[1].counters[0], received);
	vd_engine_destroy(run.engine);
	assert_int_equal(run.open_instances, 0);
	assert_int_equal(run.open_states, 0);
	if (run.packets_in_tables != received)
		fail_msg("seed %llu: the tables know of %llu packets of %llu", (unsigned long long)run.seed,
			 (unsigned long long)run.packets_in_tables, (unsigned long long)received);
}

static void run_once(uint64_t seed, unsigned *reloads, unsigned *refusals)
{
	pthread_t thread;
	int result;

	choose(seed);
	assert_int_equal(pthread_create(&thread, NULL, reload_all_the_time, NULL), 0);
	result = vd_engine_run(run.engine, &run.error);
	atomic_store(&run.has_ended, true);
	pthread_join(thread, NULL);
	if (result)
		fail_msg("seed %llu: %s", (unsigned long long)seed, run.error.text);
	audit();
	*reloads += run.reloads;
	*refusals += run.refusals;
}

static void every_packet_is_of_one_generation(void **state)
{
	const char *given = getenv("VD_SIM_SEED");
	unsigned reloads = 0, refusals = 0, runs = 0;
	time_t start = time(NULL);

	(void)state;
	for (; runs < (given ? 1 : RUNS) && time(NULL) - start < RUN_SECONDS_MAX; runs++)
		run_once(given ? strtoull(given, NULL, 0) : (uint64_t)start * 1000 + runs, &reloads, &refusals);
	printf("# seeds from %llu: %u runs, %u reloads, %u refused\n", (unsigned long long)start * 1000, runs, reloads, refusals);
	assert_true(given || (reloads > runs && refusals > 0));
}

/* ---- what cannot be changed ---- */

static enum vd_verdict stay(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_NEXT;
}

static const struct vd_function STAY = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "stay", .decide = stay};

static void *run_engine(void *unused)
{
	vd_engine_run(run.engine, &run.error);
	return unused;
}

static void expect_refused(const struct vd_engine_options *options, int result, const char *sentence)
{
	struct vd_engine *next;
	struct vd_error error;

	assert_int_equal(vd_engine_create(&next, options, &error), 0);
	assert_int_equal(vd_engine_add_function(next, &STAY, "", &error), 0);
	assert_int_equal(vd_engine_reload(run.engine, next, &error), result);
	assert_string_equal(error.text, sentence);
	vd_engine_destroy(next);
}

static void what_cannot_change_is_refused(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_sim_options lane = VD_SIM_OPTIONS_INIT;
	struct vd_queue_stats stats;
	struct vd_port *port;
	unsigned cpu = 0;
	pthread_t thread;

	(void)state;
	memset(&run, 0, sizeof run);
	lane.sleepy = lane.silent_at_end = true;
	options.workers = 2;
	assert_int_equal(vd_engine_create(&run.engine, &options, &run.error), 0);
	assert_int_equal(vd_port_sim_create(&port, &lane), 0);
	assert_int_equal(vd_engine_add_port(run.engine, port, &run.error), 0);
	expect_refused(&options, -ECANCELED, "it does not run");
	assert_int_equal(pthread_create(&thread, NULL, run_engine, NULL), 0);
	while (!vd_engine_queue_stats(run.engine, &stats, 1) || !stats.received)
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);

	options.workers = 3;
	expect_refused(&options, -ENOTSUP, "the number of workers cannot change while it runs: restart it for that");
	options.workers = 2;
	options.writers = 1;
	expect_refused(&options, -ENOTSUP, "the number of writers cannot change while it runs: restart it for that");
	options.writers = 0;
	options.netns = "another";
	expect_refused(&options, -ENOTSUP, "the network namespace cannot change while it runs: restart it for that");
	options.netns = NULL;
	options.cpus = &cpu;
	options.cpu_count = 1;
	expect_refused(&options, -ENOTSUP, "the CPUs of its threads cannot change while it runs: restart it for that");
	options.cpu_count = 0;
	options.packets_max = 10;
	expect_refused(&options, -ENOTSUP, "after how many packets it stops cannot change while it runs: restart it for that");

	vd_engine_stop(run.engine);
	pthread_join(thread, NULL);
	options.packets_max = 0;
	expect_refused(&options, -ECANCELED, "it does not run");
	vd_engine_destroy(run.engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_packet_is_of_one_generation),
		cmocka_unit_test(what_cannot_change_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
