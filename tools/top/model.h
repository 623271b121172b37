/* SPDX-License-Identifier: MIT */
/*
 * What `verdict top` shows, made of three snapshots: what happened between the last two, and since the baseline. Pure functions:
 * no clock, no socket, no terminal.
 */
#ifndef VERDICT_TOOLS_TOP_MODEL_H
#define VERDICT_TOOLS_TOP_MODEL_H

#include "tools/stats.h"

struct vd_top_queue {
	struct vd_queue_stats now;  /* whose waiting and in_flight are of this moment */
	struct vd_queue_stats step; /* how much more than before */
};

struct vd_top_function {
	const struct vd_function_stats *now;
	struct vd_function_stats step;
	struct vd_function_stats since;
};

struct vd_top_model {
	double step_seconds;  /* between the last two snapshots */
	double since_seconds; /* since the baseline */
	unsigned queue_count;
	unsigned function_count;
	struct vd_top_queue queues[VD_ENGINE_QUEUES_MAX];
	struct vd_top_queue all;
	struct vd_queue_stats since; /* of all queues */
	struct vd_top_function functions[VD_ENGINE_FUNCTIONS_MAX];
};

/*
 * The model refers to `now`. A queue or a function that was not there before begins at 0, as everything does with a baseline or
 * a snapshot before that is empty; a count that has become less, as of verdicts that the kernel refused, has not moved.
 */
void vd_top_model_make(struct vd_top_model *model, const struct vd_snapshot *baseline, const struct vd_snapshot *before,
		       const struct vd_snapshot *now);

/* A second. */
double vd_top_rate(const struct vd_top_model *model, uint64_t step);

/* Packets that were lost, whatever the cause. */
uint64_t vd_top_lost(const struct vd_queue_stats *stats);

/* Verdicts that are neither accept, drop nor reject. */
uint64_t vd_top_other(const uint64_t verdicts[VD_VERDICT_COUNT]);

#endif
