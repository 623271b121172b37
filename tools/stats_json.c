/* SPDX-License-Identifier: MIT */
#include <jansson.h>

#include "tools/stats.h"

static const char *const VERDICTS[VD_VERDICT_COUNT] = {"next", "accept", "drop", "repeat", "queue", "stop", "reject"};

static json_t *verdicts(const uint64_t *counts, unsigned first)
{
	json_t *object = json_object();

	for (unsigned verdict = first; verdict < VD_VERDICT_COUNT; verdict++)
		json_object_set_new(object, VERDICTS[verdict], json_integer((json_int_t)counts[verdict]));
	return object;
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
	json_object_set_new(object, name, json_integer((json_int_t)number));
}

static json_t *queue(const struct vd_queue_stats *stats)
{
	json_t *object = json_pack("{s:i, s:I, s:I, s:I}", "queue", (int)stats->queue, "offered",
				   (json_int_t)vd_stats_offered(stats), "received", (json_int_t)stats->received, "bytes",
				   (json_int_t)stats->bytes);
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{"by_default", stats->by_default},	 {"faults", stats->faults},
		{"rewritten", stats->rewritten},	 {"edits_refused", stats->edits_refused},
		{"answered", stats->answered},		 {"answers_limited", stats->answers_limited},
		{"answers_none", stats->answers_none},	 {"answers_failed", stats->answers_failed},
		{"malformed", stats->malformed},
		{"queue_dropped", stats->queue_dropped}, {"socket_dropped", stats->socket_dropped},
		{"flushed", stats->flushed},		 {"maybe_flushed", stats->maybe_flushed},
		{"refused", stats->refused},
		{"left_accepted", stats->left_accepted}, {"left_dropped", stats->left_dropped},
		{"inherited_accepted", stats->inherited_accepted}, {"inherited_dropped", stats->inherited_dropped},
		{"reads", stats->reads},		 {"sends", stats->sends},
		{"on_the_spot", stats->on_the_spot},	 {"waiting", stats->waiting},
		{"in_flight", stats->in_flight},	 {"receive_buffer", stats->receive_buffer},
		{"copy_range", stats->copy_range},
	};

	json_object_set_new(object, "verdicts", verdicts(stats->verdicts, VD_ACCEPT));
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		set_number(object, numbers[i].name, numbers[i].value);
	if (stats->verified) {
		set_number(object, "checksums_checked", stats->checksums_checked);
		set_number(object, "checksums_wrong_before", stats->checksums_wrong_before);
		set_number(object, "checksums_unknown", stats->checksums_unknown);
		set_number(object, "checksums_wrong_after", stats->checksums_wrong_after);
	}
	return object;
}

static json_t *function(const struct vd_function_stats *stats)
{
	json_t *object = json_pack("{s:s, s:I, s:I}", "function", stats->name, "packets", (json_int_t)stats->packets, "faults",
				   (json_int_t)stats->faults);
	json_t *counters = json_object();

	json_object_set_new(object, "verdicts", verdicts(stats->verdicts, VD_NEXT));
	for (unsigned i = 0; i < stats->counter_count; i++)
		json_object_set_new(counters, stats->counter_names[i], json_integer((json_int_t)stats->counters[i]));
	json_object_set_new(object, "counters", counters);
	return object;
}

void vd_stats_json_line(FILE *file, const struct vd_snapshot *snapshot, bool is_last)
{
	json_t *line = json_object(), *queues = json_array(), *functions = json_array();

	for (unsigned i = 0; i < snapshot->queue_count; i++)
		json_array_append_new(queues, queue(&snapshot->queues[i]));
	for (unsigned i = 0; i < snapshot->function_count; i++)
		json_array_append_new(functions, function(&snapshot->functions[i]));
	json_object_set_new(line, "seconds", json_real(snapshot->seconds));
	json_object_set_new(line, "final", json_boolean(is_last));
	json_object_set_new(line, "queues", queues);
	json_object_set_new(line, "functions", functions);
	json_dumpf(line, file, JSON_COMPACT | JSON_REAL_PRECISION(6));
	fputc('\n', file);
	fflush(file);
	json_decref(line);
}
