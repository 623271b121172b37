/* SPDX-License-Identifier: MIT */
/*
 * The histogram of latencies: its buckets, its quantiles against a sorted list, and that drawing one packet of a burst for all
 * gives the distribution of all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/latency.h"
#include "test/support/random.h"

#define VALUES 20000u

static uint64_t seed;

/* Any size of number, each as likely. */
static uint64_t some_ns(void)
{
	return bytes_random(&seed) >> bytes_random_below(&seed, 64);
}

static void a_value_is_in_its_bucket(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t value = some_ns();
		unsigned bucket = vd_latency_bucket(value);

		assert_in_range(bucket, 0, VD_LATENCY_BUCKETS - 1);
		assert_true(value >= vd_latency_edge_ns(bucket));
		if (bucket < VD_LATENCY_BUCKETS - 1)
			assert_true(value < vd_latency_edge_ns(bucket + 1));
	}
	assert_int_equal(vd_latency_bucket(0), 0);
	assert_int_equal(vd_latency_bucket(UINT64_MAX), VD_LATENCY_BUCKETS - 1);
}

static void buckets_are_an_eighth_wide_at_most(void **state)
{
	(void)state;
	assert_int_equal(vd_latency_edge_ns(0), 0);
	assert_int_equal(vd_latency_edge_ns(VD_LATENCY_BUCKETS), 1ull << 36);
	for (unsigned bucket = 0; bucket < VD_LATENCY_BUCKETS; bucket++) {
		uint64_t edge = vd_latency_edge_ns(bucket), width = vd_latency_edge_ns(bucket + 1) - edge;

		assert_true(width > 0);
		assert_true(width <= 64 || width * 8 <= edge);
	}
}

static void add(struct vd_latency *latency, uint64_t value, unsigned count)
{
	vd_latency_add(latency, value, count);
	latency->count += count;
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static void quantiles_are_those_of_the_values(void **state)
{
	static const double shares[] = {0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
	static uint64_t values[VALUES];
	struct vd_latency latency = {0};
	uint64_t sum = 0;

	(void)state;
	for (unsigned i = 0; i < VALUES; i++) {
		values[i] = some_ns() >> 28;
		sum += values[i];
		add(&latency, values[i], 1);
	}
	qsort(values, VALUES, sizeof *values, compare);
	for (unsigned i = 0; i < sizeof shares / sizeof *shares; i++) {
		double rank = shares[i] * VALUES;
		uint64_t exact = values[rank > 1 ? (unsigned)(rank + 0.5) - 1 : 0];
		uint64_t found = vd_latency_quantile_ns(&latency, shares[i]);

		assert_true(found >= exact || found + 64 >= exact);
		assert_true(found <= exact + exact / 8 + 64);
	}
	assert_int_equal(latency.sum_ns, sum);
	assert_int_equal(latency.max_ns, values[VALUES - 1]);
	assert_int_equal(vd_latency_quantile_ns(&latency, 1), latency.max_ns);
}

static void nothing_has_no_quantile(void **state)
{
	struct vd_latency latency = {0};

	(void)state;
	assert_int_equal(vd_latency_quantile_ns(&latency, 0.5), 0);
	add(&latency, 3000, 7);
	assert_int_equal(vd_latency_quantile_ns(&latency, 0), 3000);
	assert_int_equal(vd_latency_quantile_ns(&latency, 0.5), 3000);
	assert_int_equal(latency.sum_ns, 21000);
}

/*
 * Bursts of all sizes, in which each eight packets waited twice as long as those before: every position must come to its share. What
 * is drawn at random may be off by a few standard deviations, and the seed is printed.
 */
static void a_draw_is_fair(void **state)
{
	static struct vd_slot slots[VD_BURST_MAX];
	struct vd_packet *packets[VD_BURST_MAX];
	struct vd_latency all = {0};
	struct vd_latencies drawn = {{{0}}};
	uint64_t dice = bytes_random(&seed), count = 0;

	(void)state;
	for (unsigned i = 0; i < VD_BURST_MAX; i++)
		packets[i] = &slots[i].packet;
	for (unsigned burst = 0; burst < 200000; burst++) {
		unsigned size = 1 + bytes_random_below(&seed, VD_BURST_MAX);

		for (unsigned i = 0; i < size; i++) {
			slots[i].received_ns = 10000000 - (1000ull << (i / 8));
			slots[i].arrived_ns = burst % 2 ? slots[i].received_ns - 500 : 0;
			add(&all, 10000000 - slots[i].received_ns, 1);
		}
		vd_latency_add_mixed(&drawn, packets, size, 10000000, &dice);
		count += size;
	}
	for (unsigned bucket = 0; bucket < VD_LATENCY_BUCKETS; bucket++) {
		double expected = (double)all.buckets[bucket], found = (double)drawn.since[VD_SINCE_RECEIVED].buckets[bucket];

		drawn.since[VD_SINCE_RECEIVED].count += drawn.since[VD_SINCE_RECEIVED].buckets[bucket];
		drawn.since[VD_SINCE_ARRIVED].count += drawn.since[VD_SINCE_ARRIVED].buckets[bucket];
		if (found < expected * 0.95 - 3000 || found > expected * 1.05 + 3000)
			fail_msg("bucket %u has %.0f packets, and %.0f were drawn for it", bucket, expected, found);
	}
	assert_int_equal(drawn.since[VD_SINCE_RECEIVED].count, count);
	assert_in_range(drawn.since[VD_SINCE_ARRIVED].count, count * 48 / 100, count * 52 / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_in_its_bucket),
		cmocka_unit_test(buckets_are_an_eighth_wide_at_most),
		cmocka_unit_test(quantiles_are_those_of_the_values),
		cmocka_unit_test(nothing_has_no_quantile),
		cmocka_unit_test(a_draw_is_fair),
	};

	seed = bytes_seed("test_latency");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
