/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: what it reads from its options, when packets are due, the histogram of latencies, and what many rounds say
 * together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/support/random.h"
#include "tools/bench/result.c"
#include "tools/bench/values.c"
#include "tools/payload.h"

/* ---- lists ---- */

static void assert_list(const char *text, bool has_max, unsigned count, const uint64_t *values)
{
	struct bench_list list = {0};

	assert_true(bench_read_list("--list", text, 10, 2000000, has_max, &list));
	assert_int_equal(list.count, count);
	assert_memory_equal(list.values, values, count * sizeof *values);
}

static void lists_are_read(void **state)
{
	(void)state;
	assert_list("10", false, 1, (const uint64_t[]){10});
	assert_list("10,20,2000000", false, 3, (const uint64_t[]){10, 20, 2000000});
	assert_list("1k,2M,max,15", true, 4, (const uint64_t[]){1000, 2000000, 0, 15});
	assert_list("10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25", false, 16,
		    (const uint64_t[]){10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25});
}

static void wrong_lists_are_refused(void **state)
{
	static const char *const texts[] = {
		"", ",", "10,", ",10", "10,,20", "9", "0", "2000001", "3M", "-10", "+10", " 10", "10 ", "10kk", "10K", "1.5k", "max",
		"10,max", "ten", "0x10", "99999999999999999999", "18446744073709551615M",
		"10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26",
	};
	struct bench_list list = {.count = 1, .values = {77}};

	(void)state;
	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (bench_read_list("--list", texts[i], 10, 2000000, false, &list))
			fail_msg("'%s' was taken", texts[i]);
		assert_int_equal(list.count, 1);
		assert_int_equal(list.values[0], 77);
	}
	assert_false(bench_read_list("--list", "max,maximum", 10, 2000000, true, &list));
}

static void seconds_and_programs_are_read(void **state)
{
	static const char *const wrong_seconds[] = {"", "0", "0.01", "3601", "-1", "1s", "nan", "inf", "1e9"};
	static const char *const wrong_programs[] = {"", "non", "nones", "none,", ",none", "verdict,yardsticks", "Verdict"};
	bool has[BENCH_PROGRAM_COUNT];
	uint64_t nanoseconds = 7;

	(void)state;
	assert_true(bench_read_seconds("--seconds", "0.2", &nanoseconds));
	assert_int_equal(nanoseconds, 200000000);
	assert_true(bench_read_seconds("--seconds", "3600", &nanoseconds));
	assert_int_equal(nanoseconds, 3600ull * BENCH_SECOND_NS);
	for (unsigned i = 0; i < sizeof wrong_seconds / sizeof *wrong_seconds; i++)
		if (bench_read_seconds("--seconds", wrong_seconds[i], &nanoseconds))
			fail_msg("'%s' was taken", wrong_seconds[i]);
	assert_int_equal(nanoseconds, 3600ull * BENCH_SECOND_NS);

	assert_true(bench_read_programs("--compare", "none", has));
	assert_true(has[BENCH_VERDICT] && has[BENCH_NONE] && !has[BENCH_YARDSTICK]);
	assert_true(bench_read_programs("--compare", "yardstick,none", has));
	assert_true(has[BENCH_VERDICT] && has[BENCH_NONE] && has[BENCH_YARDSTICK]);
	assert_true(bench_read_programs("--compare", "verdict", has));
	assert_true(has[BENCH_VERDICT] && !has[BENCH_NONE] && !has[BENCH_YARDSTICK]);
	for (unsigned i = 0; i < sizeof wrong_programs / sizeof *wrong_programs; i++)
		if (bench_read_programs("--compare", wrong_programs[i], has))
			fail_msg("'%s' was taken", wrong_programs[i]);
}

/* ---- the schedule ---- */

/* A packet is due when it is counted as due, and not a nanosecond before. */
static void due_times_and_counts_agree(void **state)
{
	uint64_t random = bytes_seed("schedule");

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t rate = 1 + bytes_random_below(&random, i % 2 ? 1000 : BENCH_RATE_MAX);
		uint64_t start = bytes_random(&random) >> 8, index = bytes_random(&random) >> 30;
		uint64_t due = bench_due_ns(rate, start, index, 0);

		/* the time is rounded down: the count may say so one nanosecond later */
		assert_true(bench_due_count(rate, start, due + 1) > index);
		if (index)
			assert_true(due == start || bench_due_count(rate, start, due - 1) <= index);
		assert_true(bench_due_ns(rate, start, index + rate, 0) == due + BENCH_SECOND_NS);
	}
	assert_int_equal(bench_due_count(1000, 5, 5), 1); /* the first is due at once */
	assert_true(bench_due_ns(0, 5, 1000, 77) == 77);
	assert_true(bench_due_count(0, 5, 77) == UINT64_MAX);
}

/* ---- the histogram ---- */

static struct histogram one, other;

static void quantiles_have_three_digits(void **state)
{
	static const unsigned quantiles[] = {1, 10000, 500000, 900000, 990000, 999000, 999990, 1000000};

	(void)state;
	for (unsigned shift = 0; shift < 40; shift += 3) {
		one = (struct histogram){0};
		for (uint64_t value = 1; value <= 100000; value++)
			histogram_add(&one, value << shift);
		for (unsigned i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
			uint64_t exact = ((uint64_t)quantiles[i] * 100000 + 999999) / 1000000 << shift;
			uint64_t seen = histogram_quantile(&one, quantiles[i]);

			assert_true(seen >= exact && seen - exact <= exact / 1000 + 1);
		}
		assert_int_equal(histogram_quantile(&one, 1000000), one.max);
	}
	one = (struct histogram){0};
	assert_int_equal(histogram_quantile(&one, 500000), 0);
	histogram_add(&one, UINT64_MAX);
	histogram_add(&one, 0);
	assert_int_equal(histogram_quantile(&one, 500000), 0);
	assert_true(histogram_quantile(&one, 1000000) == UINT64_MAX);
}

static void merged_histograms_are_one(void **state)
{
	static struct histogram both;
	uint64_t random = bytes_seed("histogram");

	(void)state;
	one = other = both = (struct histogram){0};
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t value = bytes_random(&random) >> bytes_random_below(&random, 64);

		histogram_add(i % 3 ? &one : &other, value);
		histogram_add(&both, value);
	}
	histogram_merge(&one, &other);
	assert_memory_equal(&one, &both, sizeof one);
}

/* ---- payloads ---- */

static void damage_is_seen(void **state)
{
	static const size_t sizes[] = {20, 21, 27, 28, 36, 1472};
	uint64_t buffer[184];
	struct payload *payload = (struct payload *)buffer;

	(void)state;
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		*payload = (struct payload){.flow = 5, .sequence = 77, .time_ns = 123456789};
		payload_fill(payload, sizes[i]);
		assert_true(payload_check(payload, sizes[i]));
		/* the smallest has nothing that sequence and time could contradict */
		for (size_t at = sizes[i] == 20 ? 20 : 0; at < sizes[i]; at++) {
			/* one byte of pattern may be right by chance */
			bool is_certain = sizes[i] >= 28 || at >= 20;

			((uint8_t *)buffer)[at] ^= 0x40;
			if (is_certain)
				assert_false(payload_check(payload, sizes[i]));
			((uint8_t *)buffer)[at] ^= 0x40;
		}
		if (sizes[i] != 21) /* without a pattern there is no size in it either */
			assert_false(payload_check(payload, sizes[i] - 1));
	}
}

/* ---- many rounds ---- */

static void rounds_are_summed_up(void **state)
{
	static struct bench_case tested;
	static const uint64_t delivered[] = {90, 50, 100, 70};
	struct bench_summary summary;
	struct bench_spread ratio;

	(void)state;
	assert_false(bench_ratio(&tested, &ratio));
	summary = bench_summarize(&tested.series[BENCH_VERDICT]);
	assert_int_equal(summary.sent, 0);
	assert_true(summary.loss == 0 && !summary.is_noisy);
	for (unsigned i = 0; i < 4; i++) {
		tested.series[BENCH_VERDICT].rounds[i] = (struct bench_round){
			.sent = 100, .delivered = delivered[i], .dropped_by_verdict = 10, .send_seconds = 0.5, .seconds = 1,
			.program = {.user = 35, .system = 70}, .sender = {.user = 100, .system = 200},
		};
		tested.series[BENCH_YARDSTICK].rounds[i] = (struct bench_round){.sent = 100, .delivered = 50, .seconds = 1};
	}
	tested.series[BENCH_VERDICT].count = 4;
	tested.series[BENCH_YARDSTICK].count = 3; /* it was interrupted */
	summary = bench_summarize(&tested.series[BENCH_VERDICT]);
	assert_int_equal(summary.sent, 400);
	assert_int_equal(summary.delivered, 310);
	assert_int_equal(summary.lost, 90);
	assert_true(summary.rate.median == 80 && summary.rate.min == 50 && summary.rate.max == 100);
	assert_true(summary.sent_rate.median == 200);
	assert_true(summary.is_noisy);
	assert_true(summary.program.user == 0.4 && summary.program.system == 0.8); /* for each of 350 decided */
	assert_true(summary.sender.user == 1 && summary.sender.system == 2);
	assert_true(bench_ratio(&tested, &ratio));
	assert_true(ratio.median == 1.8 && ratio.min == 1 && ratio.max == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(wrong_lists_are_refused),
		cmocka_unit_test(seconds_and_programs_are_read),
		cmocka_unit_test(due_times_and_counts_agree),
		cmocka_unit_test(quantiles_have_three_digits),
		cmocka_unit_test(merged_histograms_are_one),
		cmocka_unit_test(damage_is_seen),
		cmocka_unit_test(rounds_are_summed_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
