/* SPDX-License-Identifier: MIT */
/*
 * When CPUs count as crowded: on clocks of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/crowd.h"

#define MS 1000000ull

struct thread {
	struct vd_crowd_watch watch;
	uint64_t clock_ns, cpu_ns;
};

/* Works for so many milliseconds, and gets `percent` of a CPU. */
static void work(struct vd_crowd *crowd, struct thread *thread, unsigned ms, unsigned percent)
{
	for (unsigned i = 0; i < ms; i++) {
		thread->clock_ns += MS;
		thread->cpu_ns += MS * percent / 100;
		if (vd_crowd_is_due(&thread->watch, thread->clock_ns))
			vd_crowd_watch(crowd, &thread->watch, thread->clock_ns, thread->cpu_ns);
	}
}

static void a_thread_that_gets_its_time_is_not_in_a_crowd(void **state)
{
	struct vd_crowd crowd = {0};
	struct thread thread = {.clock_ns = 7000 * MS};

	(void)state;
	work(&crowd, &thread, 1000, 80);
	assert_false(vd_crowd_is_crowded(&crowd));
}

static void a_thread_that_waits_for_a_cpu_is(void **state)
{
	struct vd_crowd crowd = {0};
	struct thread thread = {.clock_ns = 7000 * MS};

	(void)state;
	work(&crowd, &thread, VD_CROWD_WINDOW_NS / MS, 66);
	assert_false(vd_crowd_is_crowded(&crowd)); /* not for a moment */
	work(&crowd, &thread, 2, 66);
	assert_true(vd_crowd_is_crowded(&crowd));
}

static void sleep_is_no_waiting(void **state)
{
	struct vd_crowd crowd = {0};
	struct thread thread = {.clock_ns = 7000 * MS};

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		work(&crowd, &thread, 3, 100);
		vd_crowd_look_away(&thread.watch);
		thread.clock_ns += 50 * MS;
	}
	assert_false(vd_crowd_is_crowded(&crowd));
}

static void it_ends_and_is_tried_again_less_and_less_often(void **state)
{
	struct vd_crowd crowd = {0};
	struct thread thread = {.clock_ns = 7000 * MS};
	uint64_t pause_ns = VD_CROWD_PAUSE_MIN_NS;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		while (!vd_crowd_is_crowded(&crowd))
			work(&crowd, &thread, 1, 50);
		vd_crowd_expire(&crowd, thread.clock_ns + pause_ns - 1);
		assert_true(vd_crowd_is_crowded(&crowd));
		thread.clock_ns += pause_ns;
		vd_crowd_look_away(&thread.watch);
		vd_crowd_expire(&crowd, thread.clock_ns);
		assert_false(vd_crowd_is_crowded(&crowd));
		pause_ns = 2 * pause_ns < VD_CROWD_PAUSE_MAX_NS ? 2 * pause_ns : VD_CROWD_PAUSE_MAX_NS;
	}
	work(&crowd, &thread, 2 * VD_CROWD_WINDOW_NS / MS + 2, 100); /* the others have gone */
	assert_false(vd_crowd_is_crowded(&crowd));
	while (!vd_crowd_is_crowded(&crowd))
		work(&crowd, &thread, 1, 50);
	vd_crowd_expire(&crowd, thread.clock_ns + VD_CROWD_PAUSE_MIN_NS);
	assert_false(vd_crowd_is_crowded(&crowd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_that_gets_its_time_is_not_in_a_crowd),
		cmocka_unit_test(a_thread_that_waits_for_a_cpu_is),
		cmocka_unit_test(sleep_is_no_waiting),
		cmocka_unit_test(it_ends_and_is_tried_again_less_and_less_often),
	};

	return cmocka_run_group_tests_name("crowd", tests, NULL, NULL);
}
