/* SPDX-License-Identifier: MIT */
/*
 * The text that metrics are shown in: escapes, numbers, and that everything there is stands in its family, with its help and type,
 * and no series stands there twice. What is scraped from a running engine is test/command/metrics.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/metrics/exposition.h"
#include "tools/stats.h"

static char *text;
static size_t text_size;
static FILE *shown;

static int set_up(void **state)
{
	(void)state;
	shown = open_memstream(&text, &text_size);
	return !shown;
}

static int tear_down(void **state)
{
	(void)state;
	fclose(shown);
	free(text);
	text = NULL;
	return 0;
}

/* What was written since the test began. */
static const char *written(void)
{
	fflush(shown);
	return text;
}

/* ---- lines ---- */

static void labels_are_escaped(void **state)
{
	(void)state;
	vd_exposition_count(shown, 1, "a_total", NULL);
	vd_exposition_count(shown, UINT64_MAX, "a_total", "one", "x", "two", "", NULL);
	vd_exposition_count(shown, 2, "a_total", "one", "a\"b\\c\nd", NULL);
	vd_exposition_count(shown, 3, "a_total", "one", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9d", NULL);
	assert_string_equal(written(), "a_total 1\n"
				       "a_total{one=\"x\",two=\"\"} 18446744073709551615\n"
				       "a_total{one=\"a\\\"b\\\\c\\nd\"} 2\n"
				       "a_total{one=\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9d\"} 3\n");
}

/* A byte that is no character, an end in the midst of one, an overlong form, a surrogate, beyond the last one. */
static void what_is_no_utf8_is_shown_as_such(void **state)
{
	static const struct {
		const char *value, *shown;
	} cases[] = {{"a\xff", "a?"}, {"\xc3", "?"}, {"\xe2\x82", "??"}, {"\xc0\xaf", "??"}, {"\xe0\x80\x80", "???"},
		     {"\xed\xa0\x80", "???"}, {"\xf4\x90\x80\x80", "????"}, {"\x80z", "?z"}, {"\xf0\x9f\x90", "???"}};

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		char wanted[64];

		snprintf(wanted, sizeof wanted, "a{one=\"%s\"} 0\n", cases[i].shown);
		rewind(shown);
		vd_exposition_count(shown, 0, "a", "one", cases[i].value, NULL);
		fputc('\0', shown);
		assert_string_equal(written(), wanted);
	}
}

static void numbers_and_families(void **state)
{
	(void)state;
	vd_exposition_family(shown, "a_seconds", "gauge", "One \\ two\nthree \"four\".");
	vd_exposition_number(shown, 0.5, "a_seconds", NULL);
	vd_exposition_number(shown, 1795469981, "a_seconds", "b", "c", NULL);
	vd_exposition_number(shown, 1e-9, "a_seconds", NULL);
	assert_string_equal(written(), "# HELP a_seconds One \\\\ two\\nthree \"four\".\n# TYPE a_seconds gauge\n"
				       "a_seconds 0.5\na_seconds{b=\"c\"} 1795469981\na_seconds 1e-09\n");
}

/* ---- families ---- */

static struct vd_snapshot filled;

/* Each number is another one, so that none can stand where another should. */
static void fill_snapshot(void)
{
	static const char *const counters[] = {"seen", "gone"};
	uint64_t number = 1000;

	memset(&filled, 0, sizeof filled);
	filled.queue_count = filled.function_count = filled.worker_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct vd_queue_stats *queue = &filled.queues[i];
		struct vd_function_stats *function = &filled.functions[i];
		struct vd_worker_stats *worker = &filled.workers[i];
		uint64_t *const numbers[] = {&queue->received, &queue->bytes, &queue->socket_passed, &queue->flushed, &queue->refused,
					     &queue->by_default, &queue->faults, &queue->edits_refused, &queue->rewritten,
					     &queue->held_ever, &queue->held_behind, &queue->held_expired, &queue->held_dropped,
					     &queue->held_refused, &queue->malformed, &queue->reads, &queue->sends, &queue->on_the_spot,
					     &queue->maybe_flushed, &queue->answered, &queue->answers_limited, &queue->answers_none,
					     &queue->answers_failed, &queue->inherited_accepted,
					     &queue->inherited_dropped, &function->packets, &function->faults, &function->counters[0],
					     &function->counters[1], &worker->packets, &worker->bursts, &worker->sleeps,
					     &function->crashes, &function->hangs, &queue->without_host};

		for (unsigned j = 0; j < sizeof numbers / sizeof *numbers; j++)
			*numbers[j] = number++;
		for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
			queue->drops[cause] = number++;
		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++) {
			queue->sent[verdict] = verdict && verdict != VD_HELD ? number++ : 0;
			function->verdicts[verdict] = number++;
		}
		queue->queue = i ? 65535 : 0;
		queue->waiting = (uint32_t)number++;
		queue->maxlen = (uint32_t)number++;
		queue->in_flight = (uint32_t)number++;
		queue->in_rings = (uint32_t)number++;
		queue->held = (uint32_t)number++;
		queue->receive_buffer = (uint32_t)number++;
		queue->copy_range = (uint32_t)number++;
		function->name = "same";
		function->counter_count = 2;
		function->counter_names = counters;
		worker->is_writer = i;
		worker->index = i;
		worker->cpu_ns = number++ * 1000000000u;
	}
	filled.ruled.count = 2; /* of the second range nobody knows what passed */
	for (unsigned i = 0; i < 2; i++)
		filled.ruled.ranges[i] = (struct vd_ruled_range){.first = (uint16_t)(10 * i), .last = (uint16_t)(13 * i),
								 .packets = number++, .offered = number++, .queue_passed = number++,
								 .resets = (uint32_t)number++,
								 .doubt = i ? VD_RULED_COMPUTED : VD_RULED_SURE};
	filled.host = (struct vd_host_stats){.is_isolated = true, .restarts = number++};
}

#define SERIES_MAX 400

/* Whether a family of that name was begun last, and is the sample's. */
static void every_sample_is_in_its_family(const char *all)
{
	static char series[SERIES_MAX][200], numbers[SERIES_MAX][32];
	char family[100] = "", type[32] = "";
	unsigned count = 0;
	bool is_helped = false;

	for (const char *line = all; *line; line = strchr(line, '\n') + 1) {
		if (sscanf(line, "# HELP %99s", family) == 1) {
			is_helped = true;
			continue;
		}
		if (sscanf(line, "# TYPE %*s %31s", type) == 1) {
			assert_true(is_helped && !strncmp(line + 7, family, strlen(family)));
			assert_true(!strcmp(type, "counter") == (strlen(family) > 6 && !strcmp(family + strlen(family) - 6, "_total")));
			is_helped = false;
			continue;
		}
		assert_true(count < SERIES_MAX);
		assert_int_equal(sscanf(line, "%199s %31s", series[count], numbers[count]), 2);
		if (strncmp(line, family, strlen(family)) || !strchr("{ ", line[strlen(family)]))
			fail_msg("%s is in the family of %s", series[count], family);
		for (unsigned i = 0; i < count; i++) {
			if (!strcmp(series[i], series[count]))
				fail_msg("%s is there twice", series[i]);
			if (strcmp(numbers[i], "0") && !strcmp(numbers[i], numbers[count]))
				fail_msg("%s and %s have one number", series[i], series[count]);
		}
		count++;
	}
	/* of a queue 19 counters, 7 gauges, 1 of doubt, 6 verdicts, 12 causes, 4 answers, 2 inherited; of a function 1, 8, 3, 2; of a
	   thread 4; of processes 2; of rules 4 and 2, and 1 of all */
	assert_int_equal(count, 2 * (19 + 7 + 1 + 6 + 12 + 4 + 2 + 14 + 4) + 2 + 4 + 2 + 1);
}

static void every_number_is_there_once(void **state)
{
	static const char *const lines[] = {"verdict_queue_packets_received_total{queue=\"0\"} 1000\n",
					    "verdict_function_events_total{function=\"same\",place=\"0\",counter=\"gone\"} 1028\n",
					    "verdict_queue_drops_total{queue=\"0\",cause=\"function\"} 1035\n",
					    "verdict_queue_drops_total{queue=\"0\",cause=\"left\"} 1046\n",
					    "verdict_queue_verdicts_total{queue=\"0\",verdict=\"accept\"} 1048\n"};

	(void)state;
	fill_snapshot();
	vd_metrics_write_queues(shown, &filled);
	vd_metrics_write_rules(shown, &filled);
	vd_metrics_write_functions(shown, &filled);
	vd_metrics_write_hosts(shown, &filled);
	vd_metrics_write_workers(shown, &filled);
	every_sample_is_in_its_family(written());
	for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
		if (!strstr(written(), lines[i]))
			fail_msg("there is no %s in\n%s", lines[i], written());
	assert_non_null(strstr(written(), "{worker=\"worker-0\"}"));
	assert_non_null(strstr(written(), "{worker=\"writer-1\"}"));
	assert_non_null(strstr(written(), "{queue=\"65535\"}"));
	assert_non_null(strstr(written(), "verdict_rules_queue_passed_total{queues=\"0\"}"));
	assert_non_null(strstr(written(), "verdict_rules_packets_total{queues=\"10-13\"}"));
	assert_null(strstr(written(), "verdict_rules_queue_passed_total{queues=\"10-13\"}"));
}

/* ---- latency ---- */

static struct vd_latency latencies[VD_SINCE_COUNT];

/* In the place of the engine's. */
static int remember_latency(struct vd_engine *engine, unsigned place, enum vd_since since, struct vd_latency *latency)
{
	(void)engine;
	assert_int_equal(place, 0);
	*latency = latencies[since];
	return 0;
}

#define vd_engine_queue_latency remember_latency
#include "tools/metrics/latency.c"

static void the_histogram_adds_up(void **state)
{
	uint64_t below = 0;

	(void)state;
	memset(&filled, 0, sizeof filled);
	filled.queue_count = 1;
	filled.queues[0].queue = 3;
	for (unsigned bucket = 0; bucket < VD_LATENCY_BUCKETS; bucket++) {
		latencies[VD_SINCE_RECEIVED].buckets[bucket] = bucket + 1;
		latencies[VD_SINCE_RECEIVED].count += bucket + 1;
	}
	latencies[VD_SINCE_RECEIVED].sum_ns = 2500000000u;
	vd_metrics_write_latency(shown, NULL, &filled);
	for (unsigned bucket = 0; bucket < VD_LATENCY_BUCKETS; bucket++) {
		uint64_t edge_ns = vd_latency_edge_ns(bucket + 1);
		char line[200];

		below += bucket + 1;
		if (edge_ns & (edge_ns - 1) || edge_ns < 1024 || edge_ns > 1ull << 34)
			continue;
		snprintf(line, sizeof line, "verdict_queue_latency_seconds_bucket{queue=\"3\",since=\"received\",le=\"%.12g\"} %llu\n",
			 (double)edge_ns / 1e9, (unsigned long long)below);
		if (!strstr(written(), line))
			fail_msg("there is no %s in\n%s", line, written());
	}
	assert_non_null(strstr(written(), "since=\"received\",le=\"+Inf\"} 25200\n"));
	assert_non_null(strstr(written(), "verdict_queue_latency_seconds_sum{queue=\"3\",since=\"received\"} 2.5\n"));
	assert_non_null(strstr(written(), "verdict_queue_latency_seconds_count{queue=\"3\",since=\"received\"} 25200\n"));
	assert_non_null(strstr(written(), "verdict_queue_latency_seconds_count{queue=\"3\",since=\"arrived\"} 0\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(labels_are_escaped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_utf8_is_shown_as_such, set_up, tear_down),
		cmocka_unit_test_setup_teardown(numbers_and_families, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_number_is_there_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_histogram_adds_up, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
