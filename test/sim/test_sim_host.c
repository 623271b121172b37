/* SPDX-License-Identifier: MIT */
/*
 * Functions in processes of their own (test/support/isolated.h): what a function does on a packet costs this packet. Those that do harm
 * to the memory of their process, or to others, are in test_sim_host_wild.c.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/isolated.h"
#include "test/support/isolated_options.h"

static void functions_run_elsewhere(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 3; workers++) {
		struct vd_engine_options options = isolated_options();

		options.workers = workers;
		options.writers = workers == 3;
		isolated_make(&options, DEED_NOTHING, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS);
		isolated_go(ISOLATED_PACKETS);
		isolated_audit(0, 0, 0);
		assert_true(isolated.host.is_isolated);
		assert_int_equal(isolated.host.restarts, 0);
		assert_int_equal(atomic_load(&isolated_common->opened), 1);
		assert_int_equal(atomic_load(&isolated_common->closed), 1);
		assert_true(atomic_load(&isolated_common->states_closed) > 0);
		assert_int_not_equal(atomic_load(&isolated_common->opener), getpid());
		assert_int_not_equal(atomic_load(&isolated_common->host), getpid());
		assert_int_not_equal(atomic_load(&isolated_common->host), (int)atomic_load(&isolated_common->opener));
		isolated_end();
	}
}

static void crash(enum deed deed, const struct vd_function *function, uint64_t packets, bool hangs, const char *said)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		struct vd_engine_options options = isolated_options();
		uint64_t bad = packets / ISOLATED_EVERY;

		options.workers = workers;
		if (hangs)
			options.deadline_us = 1000000;
		isolated_make(&options, deed, function, packets);
		isolated_go(packets);
		assert_int_equal(isolated.queue.received, packets); /* the queue is long enough */
		isolated_audit(bad, hangs ? 0 : bad, hangs ? bad : 0);
		if (!strstr(isolated.line, said))
			fail_msg("it says '%s', not '%s'", isolated.line, said);
		assert_true(isolated.host.restarts >= bad);
		isolated_end();
	}
}

static void crashes_cost_one_packet(void **state)
{
	(void)state;
	crash(DEED_SEGFAULT, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS, false, "function deed crashed (Segmentation fault)");
	crash(DEED_ABORT, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS, false, "function deed crashed (Aborted)");
	crash(DEED_TRAP, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS, false, "function deed crashed (");
	crash(DEED_DIVIDE, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS, false, "function deed crashed (");
	crash(DEED_RAISE_BUS, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS, false, "function deed crashed (Bus error)");
	crash(DEED_RAISE_TRAP, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS, false, "function deed crashed (Trace/breakpoint trap)");
	crash(DEED_OVERFLOW, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS, false, "function deed crashed (Segmentation fault)");
}

static void an_exit_costs_one_packet(void **state)
{
	(void)state;
	crash(DEED_EXIT, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS, false, "function deed ended its process (exit code 3)");
}

static void a_hang_costs_one_packet(void **state)
{
	(void)state;
	crash(DEED_HANG, &ISOLATED_ONE_BY_ONE, 2 * ISOLATED_EVERY, true, "function deed gave no answer within 1 s");
}

static void in_bursts_too(void **state)
{
	(void)state;
	crash(DEED_SEGFAULT, &ISOLATED_IN_BURSTS, ISOLATED_PACKETS, false, "function deeds crashed (Segmentation fault)");
	crash(DEED_EXIT, &ISOLATED_IN_BURSTS, ISOLATED_PACKETS, false, "function deeds ended its process (exit code 3)");
	crash(DEED_HANG, &ISOLATED_IN_BURSTS, 1 * ISOLATED_EVERY, true, "function deeds gave no answer within 1 s");
}

static void no_verdict_is_a_fault_as_ever(void **state)
{
	struct vd_engine_options options = isolated_options();

	(void)state;
	isolated_make(&options, DEED_NO_VERDICT, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS);
	isolated_go(ISOLATED_PACKETS);
	isolated_audit(ISOLATED_PACKETS / ISOLATED_EVERY, 0, 0);
	assert_int_equal(isolated.host.restarts, 0);
	isolated_end();
}

/* With every packet: hosts come more and more seldom, and packets do not wait for them. */
static void there_is_no_hurry_with_hopeless_functions(void **state)
{
	struct vd_engine_options options = isolated_options();
	struct vd_sim_report report;
	const struct vd_function_stats *deed = &isolated.functions[1];

	(void)state;
	isolated_make(&options, DEED_ABORT, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS);
	isolated.all_are_bad = true;
	isolated_go(ISOLATED_PACKETS);
	vd_port_sim_report(isolated.port, &report);
	assert_int_equal(report.verdicts[VD_ACCEPT], ISOLATED_PACKETS);
	assert_int_equal(isolated.queue.faults + isolated.queue.without_host, ISOLATED_PACKETS);
	assert_int_equal(isolated.queue.faults, deed->crashes);
	assert_true(isolated.queue.without_host > ISOLATED_PACKETS / 2);
	assert_int_equal(isolated.queue.drops[VD_CAUSE_NO_HOST] + isolated.queue.drops[VD_CAUSE_FAULT], 0);
	isolated_end();
	options.fault_verdict = VD_DROP;
	isolated_make(&options, DEED_ABORT, &ISOLATED_ONE_BY_ONE, ISOLATED_PACKETS);
	isolated.all_are_bad = isolated.faults_are_drops = true;
	isolated_go(ISOLATED_PACKETS);
	assert_int_equal(isolated.queue.drops[VD_CAUSE_NO_HOST], isolated.queue.without_host);
	assert_int_equal(isolated.queue.drops[VD_CAUSE_FAULT], isolated.queue.faults);
	assert_int_equal(isolated.queue.without_host + isolated.queue.faults, ISOLATED_PACKETS);
	isolated_end();
}

static void *kill_hosts(void *argument)
{
	(void)argument;
	while (!atomic_load(&isolated.has_ended)) {
		int host = atomic_exchange(&isolated_common->host, 0);

		if (host)
			kill(host, SIGKILL);
		nanosleep(&(struct timespec){.tv_nsec = host ? 200000000 : 1000000}, NULL);
	}
	return NULL;
}

/* From outside, at any moment: nobody is guilty, as long as there is time between two of them. */
static void killed_processes_cost_nothing(void **state)
{
	struct vd_engine_options options = isolated_options();
	const uint64_t packets = 400000;
	pthread_t killer;

	(void)state;
	isolated_make(&options, DEED_NOTHING, &ISOLATED_ONE_BY_ONE, packets);
	assert_int_equal(pthread_create(&killer, NULL, kill_hosts, NULL), 0);
	isolated_go(packets);
	atomic_store(&isolated.has_ended, true);
	pthread_join(killer, NULL);
	isolated_audit(0, 0, 0);
	assert_true(isolated.host.restarts > 0);
	isolated_end();
}

static int crash_in_open(struct vd_open *open, void **shared)
{
	(void)open;
	(void)shared;
	_exit(5);
}

static int refuse_to_open(struct vd_open *open, void **shared)
{
	(void)shared;
	return vd_open_error(open, "not today");
}

static int start_a_thread(struct vd_open *open, void **shared)
{
	static pthread_t thread;

	(void)open;
	(void)shared;
	return -pthread_create(&thread, NULL, kill_hosts, NULL);
}

/* What fails, fails before the first packet, with a sentence, and leaves nothing behind. */
static void what_cannot_open_says_why(void **state)
{
	static const struct vd_function WRONG[] = {ISOLATED_FUNCTION("exits", .open = crash_in_open, .decide = isolated_decide),
						   ISOLATED_FUNCTION("refuses", .open = refuse_to_open, .decide = isolated_decide),
						   ISOLATED_FUNCTION("threads", .open = start_a_thread, .decide = isolated_decide),
						   ISOLATED_FUNCTION("holds", .needs = VD_NEEDS_HOLD, .decide = isolated_decide)};
	static const char *const SENTENCES[] = {"a function ended its process while it was opened (exit code 5)", "function refuses: not today",
						"a function starts threads when it is opened",
						"function holds holds packets, which cannot be done from a process of its own"};

	(void)state;
	for (unsigned i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
		struct vd_engine_options options = isolated_options();

		isolated_make(&options, DEED_NOTHING, &WRONG[i], 10);
		assert_int_not_equal(vd_engine_run(isolated.engine, &isolated.error), 0);
		if (!strstr(isolated.error.text, SENTENCES[i]))
			fail_msg("it says '%s', not '%s'", isolated.error.text, SENTENCES[i]);
		isolated_end();
	}
}

static void options_have_ranges(void **state)
{
	static const uint32_t WRONG[] = {1, VD_ENGINE_DEADLINE_MIN_US - 1, VD_ENGINE_DEADLINE_MAX_US + 1};
	struct vd_engine_options options = isolated_options();

	(void)state;
	for (unsigned i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
		options.deadline_us = WRONG[i];
		assert_int_equal(vd_engine_create(&isolated.engine, &options, &isolated.error), -EINVAL);
	}
	options = isolated_options();
	options.isolation = (enum vd_isolation)2;
	assert_int_equal(vd_engine_create(&isolated.engine, &options, &isolated.error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_run_elsewhere),
		cmocka_unit_test(crashes_cost_one_packet),
		cmocka_unit_test(an_exit_costs_one_packet),
		cmocka_unit_test(a_hang_costs_one_packet),
		cmocka_unit_test(in_bursts_too),
		cmocka_unit_test(no_verdict_is_a_fault_as_ever),
		cmocka_unit_test(there_is_no_hurry_with_hopeless_functions),
		cmocka_unit_test(killed_processes_cost_nothing),
		cmocka_unit_test(what_cannot_open_says_why),
		cmocka_unit_test(options_have_ranges),
	};

	return cmocka_run_group_tests(tests, isolated_set_up, NULL);
}
