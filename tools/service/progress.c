/* SPDX-License-Identifier: MIT */
#include "tools/service/progress.h"

/* With effect or without. */
static uint64_t answered(const struct vd_queue_stats *stats)
{
	uint64_t sum = stats->flushed + stats->refused;

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		sum += stats->verdicts[verdict];
	return sum;
}

/*
 * What the kernel refused a verdict for stays in its queue, and nobody can do anything about it. What a function holds stays there
 * too, and waits for somebody else.
 */
static bool has_packets(const struct vd_queue_stats *stats)
{
	return stats->in_flight || stats->waiting > stats->refused + stats->held;
}

/* What it was at the last look; false: it was not there. Queues mostly stay where they are in the list. */
static bool find(const struct vd_progress *progress, unsigned queue, unsigned likely, uint64_t *before)
{
	for (unsigned i = 0; i < progress->count; i++) {
		unsigned at = (likely + i) % progress->count;

		if (progress->queues[at].queue == queue) {
			*before = progress->queues[at].answered;
			return true;
		}
	}
	return false;
}

bool vd_progress_look(struct vd_progress *progress, const struct vd_queue_stats *stats, unsigned count)
{
	struct vd_progress now = {.count = count < VD_ENGINE_QUEUES_MAX ? count : VD_ENGINE_QUEUES_MAX};
	bool gets_on = true;

	for (unsigned i = 0; i < now.count; i++) {
		uint64_t before;

		now.queues[i].queue = stats[i].queue;
		now.queues[i].answered = answered(&stats[i]);
		if (has_packets(&stats[i]) && find(progress, stats[i].queue, i, &before) && before == now.queues[i].answered)
			gets_on = false;
	}
	*progress = now;
	return gets_on;
}
