/* SPDX-License-Identifier: MIT */
#include "tools/stats.h"

void vd_snapshot_take(struct vd_snapshot *snapshot, struct vd_engine *engine, double seconds)
{
	snapshot->seconds = seconds;
	snapshot->queue_count = vd_engine_queue_stats(engine, snapshot->queues, VD_ENGINE_QUEUES_MAX);
	snapshot->function_count = vd_engine_function_stats(engine, snapshot->functions, VD_ENGINE_FUNCTIONS_MAX);
}

struct vd_queue_stats vd_snapshot_total(const struct vd_snapshot *snapshot)
{
	struct vd_queue_stats total = {0};

	for (unsigned i = 0; i < snapshot->queue_count; i++) {
		const struct vd_queue_stats *queue = &snapshot->queues[i];

		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			total.verdicts[verdict] += queue->verdicts[verdict];
		total.received += queue->received;
		total.bytes += queue->bytes;
		total.by_default += queue->by_default;
		total.faults += queue->faults;
		total.rewritten += queue->rewritten;
		total.edits_refused += queue->edits_refused;
		total.answered += queue->answered;
		total.answers_limited += queue->answers_limited;
		total.answers_none += queue->answers_none;
		total.answers_failed += queue->answers_failed;
		total.malformed += queue->malformed;
		total.queue_dropped += queue->queue_dropped;
		total.socket_dropped += queue->socket_dropped;
		total.flushed += queue->flushed;
		total.maybe_flushed += queue->maybe_flushed;
		total.refused += queue->refused;
		total.left_accepted += queue->left_accepted;
		total.left_dropped += queue->left_dropped;
		total.inherited_accepted += queue->inherited_accepted;
		total.inherited_dropped += queue->inherited_dropped;
		total.checksums_checked += queue->checksums_checked;
		total.checksums_wrong_before += queue->checksums_wrong_before;
		total.checksums_unknown += queue->checksums_unknown;
		total.checksums_wrong_after += queue->checksums_wrong_after;
		total.reads += queue->reads;
		total.sends += queue->sends;
		total.on_the_spot += queue->on_the_spot;
		total.waiting += queue->waiting;
		total.in_flight += queue->in_flight;
	}
	return total;
}

uint64_t vd_stats_offered(const struct vd_queue_stats *stats)
{
	uint64_t offered = stats->queue_dropped + stats->socket_dropped + stats->flushed + stats->refused +
			   stats->left_accepted + stats->left_dropped;

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		offered += stats->verdicts[verdict];
	return offered;
}
