/* SPDX-License-Identifier: MIT */
/* Statistics as JSON, and back: one table of names for both. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "tools/stats.h"

static const char *const VERDICTS[VD_VERDICT_COUNT] = {"next", "accept", "drop", "repeat", "queue", "stop", "reject"};

/* Numbers of a queue whose names are those of their members. */
struct number {
	const char *name;
	size_t offset;
	size_t size;
};
#define NUMBER(member) {#member, offsetof(struct vd_queue_stats, member), sizeof(((struct vd_queue_stats *)0)->member)}
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct number FIRST[] = {NUMBER(received), NUMBER(bytes)};
static const struct number NUMBERS[] = {
	NUMBER(by_default),	NUMBER(faults),		    NUMBER(rewritten),	       NUMBER(edits_refused),
	NUMBER(answered),	NUMBER(answers_limited),    NUMBER(answers_none),      NUMBER(answers_failed),
	NUMBER(malformed),	NUMBER(queue_dropped),	    NUMBER(socket_dropped),    NUMBER(flushed),
	NUMBER(maybe_flushed),	NUMBER(refused),	    NUMBER(left_accepted),     NUMBER(left_dropped),
	NUMBER(inherited_accepted), NUMBER(inherited_dropped), NUMBER(reads),	       NUMBER(sends),
	NUMBER(on_the_spot),	NUMBER(waiting),	    NUMBER(in_flight),	       NUMBER(receive_buffer),
	NUMBER(copy_range),
};
static const struct number CHECKSUMS[] = {NUMBER(checksums_checked), NUMBER(checksums_wrong_before), NUMBER(checksums_unknown),
					  NUMBER(checksums_wrong_after)};

/* ---- out ---- */

static void set_number(json_t *object, const char *name, uint64_t number)
{
	json_object_set_new(object, name, json_integer((json_int_t)number));
}

static json_t *verdicts(const uint64_t *counts, unsigned first)
{
	json_t *object = json_object();

	for (unsigned verdict = first; verdict < VD_VERDICT_COUNT; verdict++)
		set_number(object, VERDICTS[verdict], counts[verdict]);
	return object;
}

static void set_numbers(json_t *object, const struct vd_queue_stats *stats, const struct number *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *member = (const char *)stats + numbers[i].offset;
		uint32_t small;
		uint64_t large;

		if (numbers[i].size == sizeof small) {
			memcpy(&small, member, sizeof small);
			large = small;
		} else {
			memcpy(&large, member, sizeof large);
		}
		set_number(object, numbers[i].name, large);
	}
}

static json_t *queue(const struct vd_queue_stats *stats)
{
	json_t *object = json_object();

	set_number(object, "queue", stats->queue);
	set_number(object, "offered", vd_stats_offered(stats));
	set_numbers(object, stats, FIRST, COUNT(FIRST));
	json_object_set_new(object, "verdicts", verdicts(stats->verdicts, VD_ACCEPT));
	set_numbers(object, stats, NUMBERS, COUNT(NUMBERS));
	if (stats->verified)
		set_numbers(object, stats, CHECKSUMS, COUNT(CHECKSUMS));
	return object;
}

static json_t *function(const struct vd_function_stats *stats)
{
	json_t *object = json_pack("{s:s, s:I, s:I}", "function", stats->name, "packets", (json_int_t)stats->packets, "faults",
				   (json_int_t)stats->faults);
	json_t *counters = json_object();

	json_object_set_new(object, "verdicts", verdicts(stats->verdicts, VD_NEXT));
	for (unsigned i = 0; i < stats->counter_count; i++)
		set_number(counters, stats->counter_names[i], stats->counters[i]);
	json_object_set_new(object, "counters", counters);
	return object;
}

double vd_stats_json_seconds(double seconds)
{
	return round(seconds * 1e6) / 1e6;
}

void vd_stats_json(json_t *object, const struct vd_snapshot *snapshot, bool is_last)
{
	json_t *queues = json_array(), *functions = json_array();

	for (unsigned i = 0; i < snapshot->queue_count; i++)
		json_array_append_new(queues, queue(&snapshot->queues[i]));
	for (unsigned i = 0; i < snapshot->function_count; i++)
		json_array_append_new(functions, function(&snapshot->functions[i]));
	json_object_set_new(object, "seconds", json_real(vd_stats_json_seconds(snapshot->seconds)));
	json_object_set_new(object, "final", json_boolean(is_last));
	json_object_set_new(object, "queues", queues);
	json_object_set_new(object, "functions", functions);
}

void vd_stats_json_dump(FILE *file, const json_t *object)
{
	json_dumpf(object, file, JSON_COMPACT | JSON_REAL_PRECISION(15));
	fputc('\n', file);
	fflush(file);
}

void vd_stats_json_line(FILE *file, const struct vd_snapshot *snapshot, bool is_last)
{
	json_t *line = json_object();

	vd_stats_json(line, snapshot, is_last);
	vd_stats_json_dump(file, line);
	json_decref(line);
}

/* ---- and back; a number that is missing is 0, as of an older version ---- */

static uint64_t get_number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void get_verdicts(const json_t *object, uint64_t *counts)
{
	const json_t *from = json_object_get(object, "verdicts");

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		counts[verdict] = get_number(from, VERDICTS[verdict]);
}

static void get_numbers(const json_t *object, struct vd_queue_stats *stats, const struct number *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *member = (char *)stats + numbers[i].offset;
		uint64_t large = get_number(object, numbers[i].name);
		uint32_t small = (uint32_t)large;

		if (numbers[i].size == sizeof small)
			memcpy(member, &small, sizeof small);
		else
			memcpy(member, &large, sizeof large);
	}
}

static bool get_function(const json_t *object, struct vd_function_stats *stats, const char **names)
{
	json_t *counters = json_object_get(object, "counters"), *value;
	const char *name;

	*stats = (struct vd_function_stats){.name = json_string_value(json_object_get(object, "function")),
					    .packets = get_number(object, "packets"),
					    .faults = get_number(object, "faults"),
					    .counter_names = names};
	get_verdicts(object, stats->verdicts);
	json_object_foreach(counters, name, value) {
		if (stats->counter_count == VD_ENGINE_COUNTERS_MAX)
			break;
		names[stats->counter_count] = name;
		stats->counters[stats->counter_count++] = (uint64_t)json_integer_value(value);
	}
	return stats->name;
}

int vd_stats_json_read(struct vd_stats_read *read, const json_t *object)
{
	const json_t *queues = json_object_get(object, "queues"), *functions = json_object_get(object, "functions");
	struct vd_snapshot *snapshot = &read->snapshot;
	size_t queue_count = json_array_size(queues), function_count = json_array_size(functions);

	if (!json_is_array(queues) || !json_is_array(functions) || queue_count > VD_ENGINE_QUEUES_MAX ||
	    function_count > VD_ENGINE_FUNCTIONS_MAX)
		return -EPROTO;
	snapshot->seconds = json_number_value(json_object_get(object, "seconds"));
	snapshot->queue_count = (unsigned)queue_count;
	snapshot->function_count = (unsigned)function_count;
	for (unsigned i = 0; i < queue_count; i++) {
		const json_t *from = json_array_get(queues, i);

		snapshot->queues[i] = (struct vd_queue_stats){.queue = (unsigned)get_number(from, "queue")};
		get_verdicts(from, snapshot->queues[i].verdicts);
		get_numbers(from, &snapshot->queues[i], FIRST, COUNT(FIRST));
		get_numbers(from, &snapshot->queues[i], NUMBERS, COUNT(NUMBERS));
	}
	for (unsigned i = 0; i < function_count; i++)
		if (!get_function(json_array_get(functions, i), &snapshot->functions[i], read->names[i]))
			return -EPROTO;
	return 0;
}
