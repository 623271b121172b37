/* SPDX-License-Identifier: MIT */
/* Showing an engine's statistics, as text and as JSON. */
#ifndef VERDICT_TOOLS_STATS_H
#define VERDICT_TOOLS_STATS_H

#include <jansson.h>
#include <stdio.h>

#include <verdict/engine.h>

#include "tools/ruled/ruled.h"

/* Of how long packets waited; all 0 when none did. */
struct vd_waits {
	uint64_t count, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};

#define VD_STATS_WORKERS_MAX (VD_ENGINE_WORKERS_MAX + VD_ENGINE_WRITERS_MAX)

/* Everything the engine counts, at one time. */
struct vd_snapshot {
	double seconds; /* since the start */
	unsigned queue_count;
	unsigned function_count;
	struct vd_queue_stats queues[VD_ENGINE_QUEUES_MAX];
	struct vd_function_stats functions[VD_ENGINE_FUNCTIONS_MAX];
	struct vd_host_stats host;
	unsigned worker_count;
	struct vd_worker_stats workers[VD_STATS_WORKERS_MAX];
	struct vd_waits waits[VD_ENGINE_QUEUES_MAX][VD_SINCE_COUNT];
	struct vd_ruled_stats ruled; /* filled by who reads rules; otherwise empty */
};

void vd_snapshot_take(struct vd_snapshot *snapshot, struct vd_engine *engine, double seconds);

/* The sum of all queues. */
struct vd_queue_stats vd_snapshot_total(const struct vd_snapshot *snapshot);

/* Packets that rules sent to the queue: the sum of everything that became of them. */
uint64_t vd_stats_offered(const struct vd_queue_stats *stats);

/* The queues of a range: "7", "0-3". Returns `room`. */
#define VD_STATS_QUEUES_SIZE 16
const char *vd_stats_queues(char room[VD_STATS_QUEUES_SIZE], const struct vd_ruled_range *range);

/* One word for each, as in JSON and metrics. */
const char *vd_stats_verdict_word(enum vd_verdict verdict);
const char *vd_stats_cause_word(enum vd_cause cause);
const char *vd_stats_since_word(enum vd_since since);
const char *vd_stats_doubt_word(enum vd_ruled_doubt doubt);

/* One line: what happened between the two. */
void vd_stats_text_line(FILE *file, const struct vd_snapshot *before, const struct vd_snapshot *now);

/* 12345 as "12.3k": at most five characters. Returns `room`. */
const char *vd_stats_brief(char room[16], double number);

/* "up 2 d 3 h", "up 12.3 s": how long a daemon has been running. Returns `room`. */
const char *vd_stats_uptime(char room[48], double seconds);

/* What one function said and counted. */
void vd_stats_text_function(FILE *file, const struct vd_function_stats *stats);

/* The accounts at the end. */
void vd_stats_text_summary(FILE *file, const struct vd_snapshot *snapshot);

/* One line of JSON; is_last: at the end. */
void vd_stats_json_line(FILE *file, const struct vd_snapshot *snapshot, bool is_last);

/* The same as members of an object, and any object as such a line. */
void vd_stats_json(json_t *object, const struct vd_snapshot *snapshot, bool is_last);
void vd_stats_json_dump(FILE *file, const json_t *object);

/* To the microsecond: a number to be written, also after a month. */
double vd_stats_json_seconds(double seconds);

/* Read from such an object: names are its own, so it has to be kept as long. */
struct vd_stats_read {
	struct vd_snapshot snapshot;
	const char *names[VD_ENGINE_FUNCTIONS_MAX][VD_ENGINE_COUNTERS_MAX];
};

/* -EPROTO: it is something else. Checksums of captures are left out. */
int vd_stats_json_read(struct vd_stats_read *read, const json_t *object);

#endif
