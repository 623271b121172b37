/* SPDX-License-Identifier: MIT */
/*
 * Functions in processes of their own (test/support/isolated.h) that harm more than themselves: they write over memory, answer what is
 * no answer, or end a process in which others' packets are. And what keeps processes apart from each other.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/host_private.h"
#include "engine/state.h"
#include "test/support/isolated.h"
#include "test/support/isolated_options.h"

/* A process that writes over all that it reaches may spoil its burst; nothing else, and the engine never. */
static void scribbling_harms_nobody_else(void **state)
{
	struct vd_engine_options options = isolated_options();

	(void)state;
	options.fault_verdict = VD_ACCEPT;
	options.culprit = NULL;
	isolated_make(&options, DEED_SCRIBBLE, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS);
	isolated_go(ISOLATED_PACKETS);
	assert_true(isolated.queue.faults >= ISOLATED_PACKETS / ISOLATED_EVERY);
	assert_true(isolated.queue.faults <= ISOLATED_PACKETS / ISOLATED_EVERY * 4);
	assert_true(isolated.host.restarts > 0);
	isolated_end();
}

/*
 * Also over all of the mailbox: what that says of where it crashed is not believed. The packet is found by asking for each alone, with the
 * next process, and no other packet pays for it.
 */
static void scribbling_over_a_mailbox_costs_one_packet(void **state)
{
	struct vd_engine_options options = isolated_options();

	(void)state;
	for (options.workers = 1; options.workers <= 2; options.workers++) {
		isolated_make(&options, DEED_SCRIBBLE_BACK, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS);
		isolated_go(ISOLATED_PACKETS);
		assert_int_equal(isolated.queue.faults, ISOLATED_PACKETS / ISOLATED_EVERY);
		assert_int_equal(isolated.queue.without_host, 0);
		assert_int_equal(isolated.host.restarts, 2 * (ISOLATED_PACKETS / ISOLATED_EVERY));
		isolated_end();
	}
}

/* An answer that cannot be believed is the last one of its process; the packet is found by asking for each alone. */
static void a_lie_costs_one_packet(void **state)
{
	const uint64_t bad = ISOLATED_PACKETS / ISOLATED_EVERY;

	(void)state;
	for (unsigned workers = 1; workers <= 2; workers++) {
		struct vd_engine_options options = isolated_options();
		const struct vd_function_stats *table = &isolated.functions[0];

		options.workers = workers;
		isolated_make(&options, DEED_LIE, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS);
		isolated_go(ISOLATED_PACKETS);
		assert_int_equal(isolated.queue.faults, bad);
		assert_int_equal(isolated.queue.without_host, 0);
		assert_int_equal(table->crashes, bad);
		assert_int_equal(atomic_load(&isolated.culprits), bad);
		assert_int_equal(atomic_load(&isolated.wrong_culprits), 0);
		if (!strstr(isolated.line, "function table or one behind it wrote over what is not its own"))
			fail_msg("it says '%s'", isolated.line);
		assert_true(isolated.host.restarts >= 2 * bad);
		isolated_end();
	}
}

/*
 * Two workers' packets are in a process when one of them ends it, and nobody says which: the other one is not guilty. Nor is it when
 * it is tried, and the first worker has the next bad packet.
 */
static void who_was_only_there_is_not_guilty(void **state)
{
	struct vd_engine_options options = isolated_options();
	struct vd_sim_options sim = VD_SIM_OPTIONS_INIT;
	struct vd_queue_stats queues[2];
	struct vd_sim_report report;
	struct vd_port *innocent;

	(void)state;
	isolated_make(&options, DEED_EXIT_IN_COMPANY, &ISOLATED_ONE_BY_ONE, 3 * ISOLATED_EVERY);
	sim.queue = ISOLATED_INNOCENT_QUEUE;
	sim.packets = 3 * ISOLATED_EVERY;
	sim.flows = ISOLATED_FLOWS;
	sim.expect = isolated_expect;
	assert_int_equal(vd_port_sim_create(&innocent, &sim), 0);
	assert_int_equal(vd_engine_add_port(isolated.engine, innocent, &isolated.error), 0);
	if (vd_engine_run(isolated.engine, &isolated.error))
		fail_msg("%s", isolated.error.text);
	assert_int_equal(vd_engine_queue_stats(isolated.engine, queues, 2), 2);
	for (unsigned i = 0; i < 2; i++) {
		vd_port_sim_report(i ? innocent : isolated.port, &report);
		if (report.violations)
			fail_msg("%s", report.first_violation);
		assert_int_equal(report.handed_up, report.answered);
		assert_int_equal(queues[i].faults, i ? 0 : 6);
		assert_int_equal(queues[i].without_host, 0);
	}
	assert_int_equal(atomic_load(&isolated.culprits), 6);
	assert_int_equal(atomic_load(&isolated.wrong_culprits), 0);
	assert_true(atomic_load(&isolated_common->met) > 0);
	isolated_end();
}

/* Memory that processes share: of what there is when functions open, hosts do not have the page by which the nursery is told. */
static unsigned count_shared_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned count = 0;

	while (maps && fgets(line, sizeof line, maps))
		count += strstr(line, "/dev/zero (deleted)") != NULL;
	if (maps)
		fclose(maps);
	return count;
}

static unsigned mappings_at_open;

static int count_at_open(struct vd_open *open, void **shared)
{
	(void)open;
	(void)shared;
	mappings_at_open = count_shared_mappings();
	return 0;
}

static enum vd_verdict count_in_host(struct vd_packet *packet, void *state)
{
	(void)state;
	if (!atomic_load(&isolated_common->shared_mappings))
		atomic_store(&isolated_common->shared_mappings, mappings_at_open - count_shared_mappings());
	return isolated_right_verdict(packet);
}

static void the_control_page_is_out_of_reach(void **state)
{
	static const struct vd_function COUNTS = ISOLATED_FUNCTION("counts", .open = count_at_open, .decide = count_in_host);
	struct vd_engine_options options = isolated_options();

	(void)state;
	options.workers = 1;
	isolated_make(&options, DEED_NOTHING, &COUNTS, 10);
	isolated_go(10);
	assert_int_equal(atomic_load(&isolated_common->shared_mappings), 1);
	isolated_end();
}

/* ---- late ---- */

static enum vd_verdict know_who_decides(struct vd_packet *packet, void *state)
{
	int nobody = 0;

	(void)state;
	if (!atomic_compare_exchange_strong(&isolated_common->host, &nobody, getpid()) && nobody != getpid())
		atomic_fetch_add(&isolated_common->strangers, 1);
	atomic_fetch_add(&isolated_common->decided, 1);
	return isolated_right_verdict(packet);
}

static void *run_it(void *unused)
{
	(void)unused;
	isolated.result = vd_engine_run(isolated.engine, &isolated.error);
	return NULL;
}

/*
 * A worker that looked who serves, and was then held up until that process was dead and the spare one there, which sleeps on the same
 * word: its burst is not for that one, which otherwise decides on it as well, and answers over the answer of the one that serves.
 */
static void a_spare_process_leaves_bursts_alone(void **state)
{
	static const struct vd_function KNOWS = ISOLATED_FUNCTION("knows", .decide = know_who_decides);
	struct vd_engine_options options = isolated_options();
	struct vd_sim_options sim = VD_SIM_OPTIONS_INIT;
	const struct vd_host *host;
	struct vd_mailbox *mailbox;
	pthread_t thread;
	uint32_t serving;

	(void)state;
	sim.packets = 100;
	sim.sleepy = sim.silent_at_end = true;
	sim.expect = isolated_expect;
	options.workers = 1;
	isolated_make_over(&options, DEED_NOTHING, &KNOWS, &sim);
	assert_int_equal(pthread_create(&thread, NULL, run_it, NULL), 0);
	while (atomic_load(&isolated_common->decided) < sim.packets)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	host = vd_engine_plan(isolated.engine)->chain->host;
	mailbox = vd_host_mailbox(host, 0);
	serving = atomic_load(&host->control->serving);
	for (uint32_t i = 0; i < 20; i++) {
		atomic_store(&mailbox->asked[(serving + 1) % 2], vd_burst_name(serving - 1, 1000 + i));
		vd_host_wake(&mailbox->asked[(serving + 1) % 2]);
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	vd_engine_stop(isolated.engine);
	pthread_join(thread, NULL);
	assert_int_equal(isolated.result, 0);
	assert_int_equal(atomic_load(&isolated_common->strangers), 0);
	assert_int_equal(atomic_load(&isolated_common->decided), sim.packets);
	isolated_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scribbling_harms_nobody_else),
		cmocka_unit_test(scribbling_over_a_mailbox_costs_one_packet),
		cmocka_unit_test(a_lie_costs_one_packet),
		cmocka_unit_test(who_was_only_there_is_not_guilty),
		cmocka_unit_test(the_control_page_is_out_of_reach),
		cmocka_unit_test(a_spare_process_leaves_bursts_alone),
	};

	return cmocka_run_group_tests(tests, isolated_set_up, NULL);
}
