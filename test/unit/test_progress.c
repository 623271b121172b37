/* SPDX-License-Identifier: MIT */
/* tools/service/progress.c: what feeds a watchdog, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/service/progress.h"

static struct vd_progress progress;
static struct vd_queue_stats queues[3];

/* Three queues without packets, looked at once. */
static int begin(void **state)
{
	(void)state;
	memset(&progress, 0, sizeof progress);
	memset(queues, 0, sizeof queues);
	for (unsigned i = 0; i < 3; i++)
		queues[i].queue = 10 * i;
	assert_true(vd_progress_look(&progress, queues, 3));
	return 0;
}

static bool look(void)
{
	return vd_progress_look(&progress, queues, 3);
}

static void idle_queues_get_on(void **state)
{
	(void)state;
	assert_true(look());
	assert_true(look());
	assert_true(vd_progress_look(&progress, NULL, 0));
}

static void packets_that_wait_have_to_be_answered(void **state)
{
	(void)state;
	queues[1].waiting = 5;
	assert_false(look());
	assert_false(look());
	queues[1].verdicts[VD_ACCEPT]++;
	assert_true(look());
	assert_false(look());
	queues[1].verdicts[VD_DROP]++;
	assert_true(look());
	queues[1].flushed++;
	assert_true(look());
	queues[1].waiting = 0;
	assert_true(look());
}

static void so_do_those_that_were_read(void **state)
{
	(void)state;
	queues[2].in_flight = 1;
	assert_false(look());
	queues[2].verdicts[VD_REJECT]++;
	assert_true(look());
	assert_false(look());
}

static void losses_are_no_answers(void **state)
{
	(void)state;
	queues[0].waiting = 1;
	queues[0].queue_dropped = queues[0].socket_dropped = queues[0].received = 7;
	assert_false(look());
}

static void one_queue_that_hangs_is_enough(void **state)
{
	(void)state;
	queues[0].waiting = 1;
	queues[1].waiting = queues[2].waiting = 1;
	for (unsigned i = 0; i < 3; i++) {
		queues[1].verdicts[VD_ACCEPT]++;
		queues[2].verdicts[VD_ACCEPT]++;
		assert_false(look());
	}
}

static void what_the_kernel_refused_waits_for_nobody(void **state)
{
	(void)state;
	queues[0].waiting = queues[0].refused = 2;
	assert_true(look());
	assert_true(look());
	queues[0].waiting = 3;
	assert_false(look());
}

/* A queue in which functions hold packets for longer than it is looked at; others of it are still to get on. */
static void what_functions_hold_waits_for_somebody_else(void **state)
{
	(void)state;
	queues[0].waiting = queues[0].held = 2;
	assert_true(look());
	assert_true(look());
	queues[0].waiting = 3;
	assert_false(look());
}

static void queues_come_and_go(void **state)
{
	(void)state;
	queues[0].waiting = queues[2].waiting = 1;
	queues[2].verdicts[VD_ACCEPT] = 9;
	assert_false(look());
	assert_false(vd_progress_look(&progress, queues + 1, 2)); /* 20 hangs, wherever it stands */
	queues[0].queue = 77;
	queues[2].verdicts[VD_ACCEPT] = 10;
	assert_true(look()); /* 77 is new */
	queues[2].waiting = 0;
	assert_false(look());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(idle_queues_get_on, begin),
		cmocka_unit_test_setup(packets_that_wait_have_to_be_answered, begin),
		cmocka_unit_test_setup(so_do_those_that_were_read, begin),
		cmocka_unit_test_setup(losses_are_no_answers, begin),
		cmocka_unit_test_setup(one_queue_that_hangs_is_enough, begin),
		cmocka_unit_test_setup(what_the_kernel_refused_waits_for_nobody, begin),
		cmocka_unit_test_setup(what_functions_hold_waits_for_somebody_else, begin),
		cmocka_unit_test_setup(queues_come_and_go, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
