/* SPDX-License-Identifier: MIT */
/* Statistics as JSON, and back: one table of names for both. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "tools/stats.h"

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
	NUMBER(by_default),	NUMBER(faults),		    NUMBER(without_host),
	NUMBER(rewritten),	NUMBER(edits_refused),
	NUMBER(answered),	NUMBER(answers_limited),    NUMBER(answers_none),      NUMBER(answers_failed),
	NUMBER(held_ever),	NUMBER(held_behind),	    NUMBER(held_expired),      NUMBER(held_dropped),
	NUMBER(held_refused),
	NUMBER(malformed),	NUMBER(queue_dropped),	    NUMBER(socket_dropped),    NUMBER(socket_passed),
	NUMBER(flushed),
	NUMBER(maybe_flushed),	NUMBER(refused),	    NUMBER(left_accepted),     NUMBER(left_dropped),
	NUMBER(inherited_accepted), NUMBER(inherited_dropped), NUMBER(reads),	       NUMBER(sends),
	NUMBER(on_the_spot),	NUMBER(waiting),	    NUMBER(in_flight),	       NUMBER(in_rings),
	NUMBER(held),
	NUMBER(maxlen),		NUMBER(receive_buffer),
	NUMBER(copy_range),
};
static const struct number CHECKSUMS[] = {NUMBER(checksums_checked), NUMBER(checksums_wrong_before), NUMBER(checksums_unknown),
					  NUMBER(checksums_wrong_after)};

/* ---- out ---- */

static void set_number(json_t *object, const char *name, uint64_t number)
{
	json_object_set_new(object, name, json_integer((json_int_t)number));
}

/* From the first to before the last. */
static json_t *verdicts(const uint64_t *counts, unsigned first, unsigned end)
{
	json_t *object = json_object();

	for (unsigned verdict = first; verdict < end; verdict++)
		set_number(object, vd_stats_verdict_word((enum vd_verdict)verdict), counts[verdict]);
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

static json_t *drops(const uint64_t *counts)
{
	json_t *object = json_object();

	for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
		set_number(object, vd_stats_cause_word((enum vd_cause)cause), counts[cause]);
	return object;
}

static json_t *latency(const struct vd_waits *all)
{
	json_t *object = json_object();

	for (unsigned since = 0; since < VD_SINCE_COUNT; since++) {
		const struct vd_waits *waits = &all[since];
		json_t *one = json_object();

		set_number(one, "packets", waits->count);
		set_number(one, "p50", waits->p50_ns);
		set_number(one, "p90", waits->p90_ns);
		set_number(one, "p99", waits->p99_ns);
		set_number(one, "p999", waits->p999_ns);
		set_number(one, "max", waits->max_ns);
		json_object_set_new(object, vd_stats_since_word((enum vd_since)since), one);
	}
	return object;
}

static json_t *worker(const struct vd_worker_stats *stats)
{
	json_t *object = json_object();

	set_number(object, stats->is_writer ? "writer" : "worker", stats->index);
	set_number(object, "packets", stats->packets);
	set_number(object, "bursts", stats->bursts);
	set_number(object, "sleeps", stats->sleeps);
	set_number(object, "cpu_ns", stats->cpu_ns);
	return object;
}

static json_t *queue(const struct vd_queue_stats *stats, const struct vd_waits *waits)
{
	json_t *object = json_object();

	set_number(object, "queue", stats->queue);
	set_number(object, "offered", vd_stats_offered(stats));
	set_numbers(object, stats, FIRST, COUNT(FIRST));
	json_object_set_new(object, "verdicts", verdicts(stats->verdicts, VD_ACCEPT, VD_HELD));
	json_object_set_new(object, "sent", verdicts(stats->sent, VD_ACCEPT, VD_HELD));
	json_object_set_new(object, "drops", drops(stats->drops));
	json_object_set_new(object, "latency_ns", latency(waits));
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

	set_number(object, "crashes", stats->crashes);
	set_number(object, "hangs", stats->hangs);
	json_object_set_new(object, "verdicts", verdicts(stats->verdicts, VD_NEXT, VD_VERDICT_COUNT));
	for (unsigned i = 0; i < stats->counter_count; i++)
		set_number(counters, stats->counter_names[i], stats->counters[i]);
	json_object_set_new(object, "counters", counters);
	return object;
}

/* How many have passed is null, and `unknown` says why, where nobody knows. */
static json_t *rules(const struct vd_ruled_range *range)
{
	json_t *object = json_object();

	set_number(object, "first", range->first);
	set_number(object, "last", range->last);
	set_number(object, "rules", range->rules);
	json_object_set_new(object, "bypass", json_boolean(range->has_bypass));
	set_number(object, "packets", range->packets);
	set_number(object, "packets_before", range->packets_before);
	set_number(object, "offered", range->offered);
	if (range->doubt) {
		json_object_set_new(object, "queue_passed", json_null());
		json_object_set_new(object, "unknown", json_string(vd_stats_doubt_word(range->doubt)));
	} else {
		set_number(object, "queue_passed", range->queue_passed);
	}
	set_number(object, "resets", range->resets);
	return object;
}

double vd_stats_json_seconds(double seconds)
{
	return round(seconds * 1e6) / 1e6;
}

void vd_stats_json(json_t *object, const struct vd_snapshot *snapshot, bool is_last)
{
	json_t *queues = json_array(), *ranges = json_array(), *functions = json_array(), *workers = json_array();

	for (unsigned i = 0; i < snapshot->queue_count; i++)
		json_array_append_new(queues, queue(&snapshot->queues[i], snapshot->waits[i]));
	for (unsigned i = 0; i < snapshot->ruled.count; i++)
		json_array_append_new(ranges, rules(&snapshot->ruled.ranges[i]));
	for (unsigned i = 0; i < snapshot->function_count; i++)
		json_array_append_new(functions, function(&snapshot->functions[i]));
	for (unsigned i = 0; i < snapshot->worker_count; i++)
		json_array_append_new(workers, worker(&snapshot->workers[i]));
	json_object_set_new(object, "seconds", json_real(vd_stats_json_seconds(snapshot->seconds)));
	json_object_set_new(object, "final", json_boolean(is_last));
	json_object_set_new(object, "queues", queues);
	json_object_set_new(object, "rules", ranges);
	json_object_set_new(object, "rules_unread", json_boolean(snapshot->ruled.is_unread));
	json_object_set_new(object, "functions", functions);
	json_object_set_new(object, "host", json_pack("{s:b, s:I}", "isolated", snapshot->host.is_isolated, "restarts",
						     (json_int_t)snapshot->host.restarts));
	json_object_set_new(object, "workers", workers);
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

static void get_verdicts(const json_t *object, const char *name, uint64_t *counts)
{
	const json_t *from = json_object_get(object, name);

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		counts[verdict] = get_number(from, vd_stats_verdict_word((enum vd_verdict)verdict));
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

static void get_drops(const json_t *object, uint64_t *counts)
{
	const json_t *from = json_object_get(object, "drops");

	for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
		counts[cause] = get_number(from, vd_stats_cause_word((enum vd_cause)cause));
}

static void get_latency(const json_t *object, struct vd_waits *all)
{
	const json_t *from = json_object_get(object, "latency_ns");

	for (unsigned since = 0; since < VD_SINCE_COUNT; since++) {
		const json_t *one = json_object_get(from, vd_stats_since_word((enum vd_since)since));

		all[since] = (struct vd_waits){.count = get_number(one, "packets"), .p50_ns = get_number(one, "p50"),
					       .p90_ns = get_number(one, "p90"), .p99_ns = get_number(one, "p99"),
					       .p999_ns = get_number(one, "p999"), .max_ns = get_number(one, "max")};
	}
}

static void get_worker(const json_t *object, struct vd_worker_stats *stats)
{
	bool is_writer = json_object_get(object, "writer") != NULL;

	*stats = (struct vd_worker_stats){.index = (unsigned)get_number(object, is_writer ? "writer" : "worker"),
					  .is_writer = is_writer,
					  .packets = get_number(object, "packets"),
					  .bursts = get_number(object, "bursts"),
					  .sleeps = get_number(object, "sleeps"),
					  .cpu_ns = get_number(object, "cpu_ns")};
}

static bool get_function(const json_t *object, struct vd_function_stats *stats, const char **names)
{
	json_t *counters = json_object_get(object, "counters"), *value;
	const char *name;

	*stats = (struct vd_function_stats){.name = json_string_value(json_object_get(object, "function")),
					    .packets = get_number(object, "packets"),
					    .faults = get_number(object, "faults"),
					    .crashes = get_number(object, "crashes"),
					    .hangs = get_number(object, "hangs"),
					    .counter_names = names};
	get_verdicts(object, "verdicts", stats->verdicts);
	json_object_foreach(counters, name, value) {
		if (stats->counter_count == VD_ENGINE_COUNTERS_MAX)
			break;
		names[stats->counter_count] = name;
		stats->counters[stats->counter_count++] = (uint64_t)json_integer_value(value);
	}
	return stats->name;
}

static void get_rules(const json_t *object, struct vd_ruled_range *range)
{
	const char *unknown = json_string_value(json_object_get(object, "unknown"));

	*range = (struct vd_ruled_range){.first = (uint16_t)get_number(object, "first"),
					 .last = (uint16_t)get_number(object, "last"),
					 .rules = (uint32_t)get_number(object, "rules"),
					 .has_bypass = json_is_true(json_object_get(object, "bypass")),
					 .packets = get_number(object, "packets"),
					 .packets_before = get_number(object, "packets_before"),
					 .offered = get_number(object, "offered"),
					 .queue_passed = get_number(object, "queue_passed"),
					 .resets = (uint32_t)get_number(object, "resets")};
	for (unsigned doubt = 0; unknown && doubt < VD_RULED_DOUBTS; doubt++)
		if (!strcmp(unknown, vd_stats_doubt_word((enum vd_ruled_doubt)doubt)))
			range->doubt = (enum vd_ruled_doubt)doubt;
}

int vd_stats_json_read(struct vd_stats_read *read, const json_t *object)
{
	const json_t *queues = json_object_get(object, "queues"), *functions = json_object_get(object, "functions");
	const json_t *workers = json_object_get(object, "workers"), *ranges = json_object_get(object, "rules");
	struct vd_snapshot *snapshot = &read->snapshot;
	size_t queue_count = json_array_size(queues), function_count = json_array_size(functions);

	if (!json_is_array(queues) || !json_is_array(functions) || queue_count > VD_ENGINE_QUEUES_MAX ||
	    function_count > VD_ENGINE_FUNCTIONS_MAX || json_array_size(workers) > VD_STATS_WORKERS_MAX ||
	    json_array_size(ranges) > VD_RULED_MAX)
		return -EPROTO;
	snapshot->seconds = json_number_value(json_object_get(object, "seconds"));
	snapshot->queue_count = (unsigned)queue_count;
	snapshot->function_count = (unsigned)function_count;
	for (unsigned i = 0; i < queue_count; i++) {
		const json_t *from = json_array_get(queues, i);

		snapshot->queues[i] = (struct vd_queue_stats){.queue = (unsigned)get_number(from, "queue")};
		get_verdicts(from, "verdicts", snapshot->queues[i].verdicts);
		get_verdicts(from, "sent", snapshot->queues[i].sent);
		get_numbers(from, &snapshot->queues[i], FIRST, COUNT(FIRST));
		get_numbers(from, &snapshot->queues[i], NUMBERS, COUNT(NUMBERS));
		get_drops(from, snapshot->queues[i].drops);
		get_latency(from, snapshot->waits[i]);
	}
	snapshot->ruled.is_unread = json_is_true(json_object_get(object, "rules_unread"));
	snapshot->ruled.count = (unsigned)json_array_size(ranges);
	for (unsigned i = 0; i < snapshot->ruled.count; i++)
		get_rules(json_array_get(ranges, i), &snapshot->ruled.ranges[i]);
	snapshot->host.is_isolated = json_is_true(json_object_get(json_object_get(object, "host"), "isolated"));
	snapshot->host.restarts = get_number(json_object_get(object, "host"), "restarts");
	snapshot->worker_count = (unsigned)json_array_size(workers);
	for (unsigned i = 0; i < snapshot->worker_count; i++)
		get_worker(json_array_get(workers, i), &snapshot->workers[i]);
	for (unsigned i = 0; i < function_count; i++)
		if (!get_function(json_array_get(functions, i), &snapshot->functions[i], read->names[i]))
			return -EPROTO;
	return 0;
}
