/* SPDX-License-Identifier: MIT */
/*
 * Whether an engine gets on: what a watchdog is fed by. A timer that feeds it would also do so when every worker hangs in a
 * function; here packets have to be answered, or there have to be none.
 */
#ifndef VERDICT_TOOLS_SERVICE_PROGRESS_H
#define VERDICT_TOOLS_SERVICE_PROGRESS_H

#include <stdbool.h>

#include <verdict/engine.h>

struct vd_progress {
	unsigned count;
	struct {
		unsigned queue;
		uint64_t answered;
	} queues[VD_ENGINE_QUEUES_MAX];
};

/*
 * True if in each queue packets were answered since the last look, or none waits there now. A queue that was not there at the
 * last look gets on.
 */
bool vd_progress_look(struct vd_progress *progress, const struct vd_queue_stats *stats, unsigned count);

#endif
