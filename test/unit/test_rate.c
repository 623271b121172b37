/* SPDX-License-Identifier: MIT */
/*
 * The limit of so many a second: on a clock of the test's own, and by several threads at once on the machine's.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/rate.h"
#include "test/support/random.h"

#define SECOND 1000000000ull
#define THREADS 4

static unsigned take_all(struct vd_rate *rate, uint64_t now)
{
	unsigned taken = 0;

	while (vd_rate_take(rate, now))
		taken++;
	return taken;
}

static void a_burst_then_the_rate(void **state)
{
	static const struct {
		uint32_t rate, burst;
	} limits[] = {{1, 10}, {7, 10}, {99, 10}, {100, 10}, {110, 11}, {1000, 100}, {1000000, 100000}};

	(void)state;
	for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
		uint64_t now = 5 * SECOND, interval = (SECOND + limits[i].rate - 1) / limits[i].rate;
		struct vd_rate rate;

		vd_rate_init(&rate, limits[i].rate, 10);
		assert_int_equal(take_all(&rate, now), limits[i].burst);
		assert_int_equal(take_all(&rate, now + interval - 1), 0);
		assert_int_equal(take_all(&rate, now + interval), 1);
		assert_int_equal(take_all(&rate, now + 4 * interval), 3);
		now += 1000 * SECOND; /* a long silence saves up no more than the burst */
		assert_int_equal(take_all(&rate, now), limits[i].burst);
	}
}

static void never_more_than_burst_and_rate(void **state)
{
	uint64_t random = bytes_seed("rate");

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		uint32_t per_second = 1 + bytes_random_below(&random, 1000000);
		uint32_t burst = per_second / 10 > 10 ? per_second / 10 : 10;
		uint64_t start = bytes_random(&random) >> 16, now = start, taken = 0;
		struct vd_rate rate;

		vd_rate_init(&rate, per_second, 10);
		for (unsigned i = 0; i < 2000; i++) {
			now += bytes_random_below(&random, 2 * (uint32_t)rate.interval_ns);
			for (unsigned tries = bytes_random_below(&random, 4); tries; tries--)
				taken += vd_rate_take(&rate, now);
			assert_true(taken <= burst + (now - start) / rate.interval_ns + 1);
		}
		assert_true(taken * 10 >= 2000 * 7);
	}
}

struct taker {
	struct vd_rate *rate;
	uint64_t end;
	uint64_t taken;
};

static void *take_until_the_end(void *argument)
{
	struct taker *taker = argument;
	uint64_t now;

	while ((now = vd_clock_ns()) < taker->end)
		taker->taken += vd_rate_take(taker->rate, now);
	return NULL;
}

static void threads_share_one_limit(void **state)
{
	uint64_t start = vd_clock_ns(), taken = 0, allowed;
	struct taker takers[THREADS];
	pthread_t threads[THREADS];
	struct vd_rate rate;

	(void)state;
	vd_rate_init(&rate, 100000, 10);
	for (unsigned i = 0; i < THREADS; i++) {
		takers[i] = (struct taker){.rate = &rate, .end = start + SECOND / 5};
		assert_int_equal(pthread_create(&threads[i], NULL, take_until_the_end, &takers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		taken += takers[i].taken;
	}
	allowed = 10000 + SECOND / 5 / rate.interval_ns + 1;
	assert_true(taken <= allowed);
	assert_true(taken > allowed / 2); /* somebody always had the CPU */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_then_the_rate),
		cmocka_unit_test(never_more_than_burst_and_rate),
		cmocka_unit_test(threads_share_one_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
