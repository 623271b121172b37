/* SPDX-License-Identifier: MIT */
/*
 * What `verdict top` makes of snapshots: differences, rates and totals; what happens when queues and functions come and go; the
 * lines that are shown; and that JSON is read back as what it was written from.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/random.h"
#include "tools/top/frame.h"

static struct vd_snapshot nothing, baseline, before, now; /* too large for the stack of a sanitizer */
static struct vd_top_model model;
static struct vd_top_frame frame;
static struct vd_top_view view;
static struct vd_top_about about;

static int set_up(void **state)
{
	(void)state;
	memset(&baseline, 0, sizeof baseline);
	memset(&before, 0, sizeof before);
	memset(&now, 0, sizeof now);
	view = (struct vd_top_view){.width = 80, .interval_ms = 1000};
	about = (struct vd_top_about){.version = "verdict 1.2.3", .pid = 4711, .uptime = 75};
	return 0;
}

static struct vd_queue_stats *add_queue(struct vd_snapshot *snapshot, unsigned queue)
{
	struct vd_queue_stats *stats = &snapshot->queues[snapshot->queue_count++];

	*stats = (struct vd_queue_stats){.queue = queue};
	return stats;
}

static struct vd_function_stats *add_function(struct vd_snapshot *snapshot, const char *name, uint64_t packets)
{
	struct vd_function_stats *stats = &snapshot->functions[snapshot->function_count++];

	*stats = (struct vd_function_stats){.name = name, .packets = packets};
	return stats;
}

static void show(void)
{
	vd_top_model_make(&model, &baseline, &before, &now);
	vd_top_frame_make(&frame, &view, &about, &model);
}

/* The words of line `i`, with one space between them. */
static const char *words(unsigned i)
{
	static char text[VD_TOP_WIDTH_MAX + 1];
	size_t used = 0;

	assert_true(i < frame.count);
	for (const char *c = frame.lines[i].text; *c; c++)
		if (*c != ' ' || (used && text[used - 1] != ' '))
			text[used++] = *c;
	text[used] = '\0';
	return text;
}

/* ---- the model ---- */

static void rates_are_what_came_in_between(void **state)
{
	struct vd_queue_stats *stats;

	(void)state;
	before.seconds = 10;
	stats = add_queue(&before, 3);
	stats->received = 1000;
	stats->verdicts[VD_ACCEPT] = 900;
	stats->queue_dropped = 7;
	now.seconds = 12.5;
	stats = add_queue(&now, 3);
	stats->received = 6000;
	stats->verdicts[VD_ACCEPT] = 3400;
	stats->verdicts[VD_DROP] = 50;
	stats->queue_dropped = 7;
	stats->flushed = 5;
	stats->waiting = 12;
	vd_top_model_make(&model, &nothing, &before, &now);
	assert_int_equal(model.queue_count, 1);
	assert_true(fabs(vd_top_rate(&model, model.queues[0].step.received) - 2000) < 1e-9);
	assert_true(fabs(vd_top_rate(&model, model.queues[0].step.verdicts[VD_ACCEPT]) - 1000) < 1e-9);
	assert_true(fabs(vd_top_rate(&model, model.queues[0].step.verdicts[VD_DROP]) - 20) < 1e-9);
	assert_int_equal(vd_top_lost(&model.queues[0].step), 5);
	assert_int_equal(vd_top_lost(&model.since), 12);
	assert_int_equal(model.queues[0].now.waiting, 12);
	assert_int_equal(model.since.received, 6000);

	vd_top_model_make(&model, &before, &now, &now); /* no time has passed */
	assert_true(fabs(vd_top_rate(&model, 5) - 0) < 1e-9);
	assert_int_equal(model.since.received, 5000);
	assert_true(fabs(model.since_seconds - 2.5) < 1e-9);
}

/* Queues are known by their number; one that is new begins at 0, and one that is gone is not in the sum. */
static void queues_come_and_go(void **state)
{
	(void)state;
	now.seconds = 1;
	add_queue(&before, 1)->received = 100;
	add_queue(&before, 2)->received = 200;
	add_queue(&now, 5)->received = 50;
	add_queue(&now, 2)->received = 230;
	vd_top_model_make(&model, &before, &before, &now);
	assert_int_equal(model.queues[0].step.received, 50);
	assert_int_equal(model.queues[1].step.received, 30);
	assert_int_equal(model.all.step.received, 80);
	assert_int_equal(model.since.received, 80);
	assert_int_equal(model.all.now.received, 280);
}

static void functions_are_told_apart(void **state)
{
	static const char *const counters[] = {"a", "b"};
	struct vd_function_stats *stats;

	(void)state;
	now.seconds = 1;
	stats = add_function(&before, "match", 100);
	stats->counter_count = 1;
	stats->counters[0] = 7;
	add_function(&before, "mark", 100);
	add_function(&before, "accept", 100);
	stats = add_function(&now, "match", 130);
	stats->counter_count = 2;
	stats->counter_names = counters;
	stats->counters[0] = 9;
	stats->counters[1] = 4;
	stats->verdicts[VD_DROP] = 3;
	add_function(&now, "drop", 120);  /* in the place of another */
	add_function(&now, "accept", 90); /* loaded anew */
	add_function(&now, "more", 10);
	vd_top_model_make(&model, &before, &before, &now);
	assert_int_equal(model.functions[0].step.packets, 30);
	assert_int_equal(model.functions[0].step.verdicts[VD_DROP], 3);
	assert_int_equal(model.functions[0].step.counters[0], 2);
	assert_int_equal(model.functions[0].since.counters[1], 4);
	assert_int_equal(model.functions[1].step.packets, 120);
	assert_int_equal(model.functions[2].step.packets, 0);
	assert_int_equal(model.functions[3].step.packets, 10);
}

/* Whatever two snapshots say, nothing runs backwards. */
static void nothing_runs_backwards(void **state)
{
	uint64_t random = bytes_seed("top");

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		memset(&before, 0, sizeof before);
		memset(&now, 0, sizeof now);
		for (unsigned i = 0; i < 20; i++) {
			add_queue(&before, i)->verdicts[VD_ACCEPT] = bytes_random_below(&random, 100);
			add_queue(&now, i)->verdicts[VD_ACCEPT] = bytes_random_below(&random, 100);
		}
		vd_top_model_make(&model, &before, &before, &now);
		for (unsigned i = 0; i < model.queue_count; i++)
			assert_true(model.queues[i].step.verdicts[VD_ACCEPT] < 100);
		assert_true(model.all.step.verdicts[VD_ACCEPT] < 2000);
		show();
	}
}

/* ---- the frame ---- */

static void shows_every_number_in_its_column(void **state)
{
	static const char *const counters[] = {"matched"};
	struct vd_queue_stats *stats;
	struct vd_function_stats *function;

	(void)state;
	now.seconds = 2;
	stats = add_queue(&now, 65535);
	stats->waiting = 101;
	stats->in_flight = 102;
	stats->received = 2 * 103;
	stats->bytes = 2 * 104;
	stats->verdicts[VD_ACCEPT] = 2 * 105;
	stats->verdicts[VD_DROP] = 2 * 106;
	stats->verdicts[VD_REJECT] = 2 * 107;
	stats->verdicts[VD_REPEAT] = 2 * 1;
	stats->verdicts[VD_QUEUE] = 2 * 2;
	stats->verdicts[VD_STOP] = 2 * 105;
	stats->faults = 2 * 109;
	stats->queue_dropped = 2 * 110;
	stats->socket_dropped = 2 * 111;
	stats->flushed = 2 * 112;
	stats->refused = 2 * 113;
	stats->by_default = 2 * 114;
	stats->edits_refused = 2 * 115;
	stats->malformed = 116;
	stats->answered = 117;
	stats->held = 118;
	function = add_function(&now, "match", 2 * 201);
	function->verdicts[VD_NEXT] = 2 * 202;
	function->verdicts[VD_ACCEPT] = 2 * 203;
	function->verdicts[VD_DROP] = 2 * 204;
	function->verdicts[VD_REJECT] = 2 * 205;
	function->verdicts[VD_STOP] = 2 * 206;
	function->faults = 2 * 207;
	function->crashes = 2 * 209;
	function->hangs = 2 * 210;
	function->counter_count = 1;
	function->counter_names = counters;
	function->counters[0] = 2 * 208;
	view.width = 200;
	show();
	assert_string_equal(words(0), "verdict 1.2.3, pid 4711, up 1 min 15 s, every 1 s");
	assert_string_equal(words(1), "103 packets/s 832 bit/s waiting 101 in flight 102 lost 446/s");
	assert_string_equal(words(2), "since the start:");
	assert_string_equal(words(3), "received 206 accepted 210 dropped 212 rejected 214 other 216");
	assert_string_equal(words(4), "by default 228 faults 218 edits refused 230 malformed 116 answered 117");
	assert_string_equal(words(5), "lost: queue full 220 buffer full 222 flushed 224 refused 226");
	assert_string_equal(words(6), "");
	assert_string_equal(words(7), "QUEUE WAIT FLIGHT IN/s ACCEPT DROP REJECT OTHER FAULT QFULL BFULL FLUSH REFUS DEFAULT UNEDIT REPEAT "
				      "REQUEUE STOP bit/s HELD");
	assert_string_equal(words(8), "65535 101 102 103 105 106 107 108 109 110 111 112 113 114 115 1 2 105 832 118");
	assert_int_equal(frame.lines[8].style, VD_TOP_ALERT);
	assert_int_equal(frame.head_count, 8);
	assert_string_equal(words(10), "FUNCTION PACKET/s NEXT ACCEPT DROP REJECT OTHER FAULT");
	assert_string_equal(words(11), "match 201 202 203 204 205 206 207");
	assert_string_equal(words(12), "crashes and hangs 419 in all 418 and 420");
	assert_int_equal(frame.lines[12].style, VD_TOP_ALERT);
	assert_string_equal(words(13), "matched 208 in all 416");
	assert_int_equal(frame.count, 14);

	view.is_zeroed = view.is_paused = true;
	view.message = "the daemon has gone";
	about.config = "/etc/a\x1b[31m.conf"; /* what is shown is not what a terminal obeys */
	baseline.seconds = 0.5;
	show();
	assert_string_equal(words(0), "verdict 1.2.3, pid 4711, up 1 min 15 s, every 1 s, paused, /etc/a?[31m.conf");
	assert_string_equal(words(2), "in 1.5 s, since z was pressed:");
	assert_string_equal(words(6), "the daemon has gone");
}

/* No line is wider than the screen, and columns end under their titles. */
static void fits_every_width(void **state)
{
	(void)state;
	now.seconds = 1;
	for (unsigned queue = 0; queue < 3; queue++) {
		struct vd_queue_stats *stats = add_queue(&now, 65000 + queue);

		stats->received = 123456;
		stats->bytes = UINT64_MAX / 16;
		stats->refused = 1;
		stats->waiting = 1048576;
	}
	add_function(&now, "a-function-with-a-name-that-is-longer-than-its-column-is-wide-and-still-longer", UINT64_MAX);
	for (view.width = 1; view.width <= VD_TOP_WIDTH_MAX; view.width++)
		for (view.sort = 0; view.sort < 20; view.sort++) {
			show();
			for (unsigned i = 0; i < frame.count; i++) {
				const struct vd_top_line *line = &frame.lines[i];

				assert_true(strlen(line->text) <= view.width);
				assert_true(!line->mark_length || view.width < 5 || line->mark + line->mark_length <= view.width);
			}
			if (view.width >= 80)
				assert_int_equal(strlen(frame.lines[8].text), strlen(frame.lines[7].text));
		}
	assert_int_equal(vd_top_columns(80), 13);
	assert_int_equal(vd_top_columns(79), 12);
}

static void sorts_by_any_column(void **state)
{
	static const struct {
		unsigned sort;
		bool is_reversed;
		const char *order;
	} CASES[] = {{0, false, "2 3 9 "}, {0, true, "9 3 2 "}, {1, false, "3 2 9 "}, {1, true, "2 9 3 "}, {3, false, "9 2 3 "}, {99, false, "2 3 9 "}};

	(void)state;
	now.seconds = 1;
	add_queue(&now, 9)->received = 500;
	add_queue(&now, 2)->received = 30;
	add_queue(&now, 3)->waiting = 4; /* the others have none, and go by number, also backwards */
	for (unsigned i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		char order[64] = "";

		view.sort = CASES[i].sort;
		view.is_reversed = CASES[i].is_reversed;
		show();
		for (unsigned line = 8; line < 11; line++) {
			unsigned queue;

			assert_int_equal(sscanf(frame.lines[line].text, "%u", &queue), 1);
			snprintf(order + strlen(order), sizeof order - strlen(order), "%u ", queue);
		}
		assert_string_equal(order, CASES[i].order);
		assert_string_equal(words(11), "all 4 0 530 0 0 0 0 0 0 0 0 0");
	}
	view.sort = 3;
	show();
	assert_int_equal(frame.lines[7].mark_length, 4);
	assert_memory_equal(frame.lines[7].text + frame.lines[7].mark, "IN/s", 4);
}

static void holds_all_that_there_can_be(void **state)
{
	static char names[VD_ENGINE_COUNTERS_MAX][16];
	static const char *pointers[VD_ENGINE_COUNTERS_MAX];

	(void)state;
	for (unsigned i = 0; i < VD_ENGINE_COUNTERS_MAX; i++) {
		snprintf(names[i], sizeof names[i], "counter%u", i);
		pointers[i] = names[i];
	}
	for (unsigned i = 0; i < VD_ENGINE_QUEUES_MAX; i++)
		add_queue(&now, i);
	for (unsigned i = 0; i < VD_ENGINE_FUNCTIONS_MAX; i++) {
		struct vd_function_stats *function = add_function(&now, "f", i);

		function->counter_count = VD_ENGINE_COUNTERS_MAX;
		function->counter_names = pointers;
	}
	show();
	assert_int_equal(frame.dropped, 0);
	assert_string_equal(words(frame.count - 1), "counter63 0 in all 0");
	vd_top_frame_help(&frame);
	for (unsigned i = 0; i < frame.count; i++)
		assert_true(strlen(frame.lines[i].text) <= 80);
	assert_true(frame.count <= 23);
}

/* ---- JSON, there and back ---- */

static void json_is_read_back(void **state)
{
	static const char *const counters[] = {"one", "two", "three"};
	static struct vd_stats_read read;
	uint64_t random = bytes_seed("top");
	char *text;
	json_t *object = json_object(), *again;

	(void)state;
	now.seconds = 86400.0 * 365 + 0.123456; /* a year, and still to the microsecond */
	for (unsigned i = 0; i < 5; i++) {
		uint64_t *numbers = &add_queue(&now, 10 * i)->received;
		struct vd_queue_stats *stats = &now.queues[i];

		for (; (void *)numbers <= (void *)&stats->on_the_spot; numbers++)
			*numbers = bytes_random(&random) >> 16;
		stats->verdicts[VD_NEXT] = stats->sent[VD_NEXT] = 0;
		stats->verdicts[VD_HELD] = stats->sent[VD_HELD] = 0;
		stats->held_ever = bytes_random(&random) >> 16;
		stats->held = (uint32_t)bytes_random(&random);
		stats->waiting = (uint32_t)bytes_random(&random);
		stats->in_flight = (uint32_t)bytes_random(&random);
		stats->receive_buffer = (uint32_t)bytes_random(&random);
		stats->copy_range = (uint32_t)bytes_random(&random);
	}
	for (unsigned i = 0; i < 3; i++) {
		struct vd_function_stats *function = add_function(&now, "f\"x", i);

		function->faults = 7 + i;
		function->crashes = 3 + i;
		function->hangs = 4;
		function->counter_count = i;
		function->counter_names = counters;
		for (unsigned j = 0; j < VD_VERDICT_COUNT; j++)
			function->verdicts[j] = bytes_random(&random) >> 16;
		for (unsigned j = 0; j < i; j++)
			function->counters[j] = bytes_random(&random) >> 16;
	}
	now.ruled.is_unread = true;
	now.ruled.count = VD_RULED_DOUBTS + 1;
	for (unsigned i = 0; i < now.ruled.count; i++)
		now.ruled.ranges[i] = (struct vd_ruled_range){.first = (uint16_t)(1000 * i), .last = (uint16_t)(1000 * i + 7),
							      .rules = 3 + i, .has_bypass = i % 2, .packets = bytes_random(&random) >> 16,
							      .packets_before = bytes_random(&random) >> 16,
							      .offered = bytes_random(&random) >> 16,
							      .queue_passed = i % VD_RULED_DOUBTS ? 0 : bytes_random(&random) >> 16,
							      .resets = i, .doubt = (enum vd_ruled_doubt)(i % VD_RULED_DOUBTS)};
	vd_stats_json(object, &now, false);
	text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
	again = json_loads(text, 0, NULL);
	assert_int_equal(vd_stats_json_read(&read, again), 0);
	assert_true(fabs(read.snapshot.seconds - now.seconds) < 1e-6); /* cmocka compares floats */
	assert_int_equal(read.snapshot.queue_count, 5);
	assert_memory_equal(read.snapshot.queues, now.queues, 5 * sizeof *now.queues);
	assert_true(read.snapshot.ruled.is_unread);
	assert_int_equal(read.snapshot.ruled.count, now.ruled.count);
	assert_memory_equal(read.snapshot.ruled.ranges, now.ruled.ranges, now.ruled.count * sizeof *now.ruled.ranges);
	assert_int_equal(read.snapshot.function_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct vd_function_stats *function = &read.snapshot.functions[i];

		assert_string_equal(function->name, "f\"x");
		assert_int_equal(function->packets, i);
		assert_int_equal(function->faults, 7 + i);
		assert_int_equal(function->crashes, 3 + i);
		assert_int_equal(function->hangs, 4);
		assert_memory_equal(function->verdicts, now.functions[i].verdicts, sizeof function->verdicts);
		assert_int_equal(function->counter_count, i);
		for (unsigned j = 0; j < i; j++) {
			assert_string_equal(function->counter_names[j], counters[j]);
			assert_int_equal(function->counters[j], now.functions[i].counters[j]);
		}
	}
	free(text);
	json_decref(again);
	json_decref(object);
}

static void other_json_is_refused(void **state)
{
	static const char *const wrong[] = {"{}", "[]", "{\"queues\":[]}", "{\"queues\":{},\"functions\":[]}", "{\"queues\":[],\"functions\":[{}]}",
					    "{\"queues\":[],\"functions\":[{\"function\":7}]}"};
	static const char *const odd[] = {"{\"queues\":[],\"functions\":[]}", "{\"queues\":[7],\"functions\":[]}",
					  "{\"queues\":[{\"queue\":\"x\",\"verdicts\":3}],\"functions\":[{\"function\":\"a\",\"counters\":[1]}]}"};
	static struct vd_stats_read read;

	(void)state;
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		json_t *object = json_loads(wrong[i], 0, NULL);

		if (!vd_stats_json_read(&read, object))
			fail_msg("%s is taken", wrong[i]);
		json_decref(object);
	}
	for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) { /* a daemon would not say so; nothing bad may come of it */
		json_t *object = json_loads(odd[i], 0, NULL);

		assert_int_equal(vd_stats_json_read(&read, object), 0);
		vd_top_model_make(&model, &nothing, &nothing, &read.snapshot);
		vd_top_frame_make(&frame, &view, &about, &model);
		json_decref(object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rates_are_what_came_in_between, set_up),
		cmocka_unit_test_setup(queues_come_and_go, set_up),
		cmocka_unit_test_setup(functions_are_told_apart, set_up),
		cmocka_unit_test_setup(nothing_runs_backwards, set_up),
		cmocka_unit_test_setup(shows_every_number_in_its_column, set_up),
		cmocka_unit_test_setup(fits_every_width, set_up),
		cmocka_unit_test_setup(sorts_by_any_column, set_up),
		cmocka_unit_test_setup(holds_all_that_there_can_be, set_up),
		cmocka_unit_test_setup(json_is_read_back, set_up),
		cmocka_unit_test_setup(other_json_is_refused, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
