/* SPDX-License-Identifier: MIT */
/*
 * A thousand small runs through the whole engine over simulated queues, whatever happens (test/support/sim_run.h). Those in which packets are
 * held are in test_sim_held.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/support/sim_run.h"

#ifdef __SANITIZE_THREAD__
#define RUNS 667
#else
#define RUNS 1000
#endif

static void whatever_happens_each_packet_is_answered_once_and_in_order(void **state)
{
	struct sim_met met;

	(void)state;
	if (!sim_run_many(NULL, RUNS, &met))
		return;
	assert_true(met.queue_dropped && met.socket_dropped && met.flushed && met.refused);
	assert_true(met.left_accepted && met.left_dropped && met.on_the_spot && met.dispatched && met.rejected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_each_packet_is_answered_once_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
