/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "tools/stats.h"

static void take_waits(struct vd_waits *waits, struct vd_engine *engine, unsigned place, enum vd_since since)
{
	struct vd_latency latency;

	vd_engine_queue_latency(engine, place, since, &latency);
	*waits = (struct vd_waits){.count = latency.count,
				   .p50_ns = vd_latency_quantile_ns(&latency, 0.5),
				   .p90_ns = vd_latency_quantile_ns(&latency, 0.9),
				   .p99_ns = vd_latency_quantile_ns(&latency, 0.99),
				   .p999_ns = vd_latency_quantile_ns(&latency, 0.999),
				   .max_ns = latency.max_ns};
}

void vd_snapshot_take(struct vd_snapshot *snapshot, struct vd_engine *engine, double seconds)
{
	snapshot->seconds = seconds;
	snapshot->queue_count = vd_engine_queue_stats(engine, snapshot->queues, VD_ENGINE_QUEUES_MAX);
	snapshot->function_count = vd_engine_function_stats(engine, snapshot->functions, VD_ENGINE_FUNCTIONS_MAX);
	vd_engine_host_stats(engine, &snapshot->host);
	snapshot->ruled.is_unread = false;
	snapshot->ruled.count = 0;
	snapshot->worker_count = vd_engine_worker_stats(engine, snapshot->workers, VD_STATS_WORKERS_MAX);
	for (unsigned i = 0; i < snapshot->queue_count; i++)
		for (unsigned since = 0; since < VD_SINCE_COUNT; since++)
			take_waits(&snapshot->waits[i][since], engine, i, (enum vd_since)since);
}

struct vd_queue_stats vd_snapshot_total(const struct vd_snapshot *snapshot)
{
	struct vd_queue_stats total = {0};

	for (unsigned i = 0; i < snapshot->queue_count; i++) {
		const struct vd_queue_stats *queue = &snapshot->queues[i];

		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			total.verdicts[verdict] += queue->verdicts[verdict];
		for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
			total.drops[cause] += queue->drops[cause];
		total.received += queue->received;
		total.bytes += queue->bytes;
		total.by_default += queue->by_default;
		total.faults += queue->faults;
		total.without_host += queue->without_host;
		total.rewritten += queue->rewritten;
		total.edits_refused += queue->edits_refused;
		total.answered += queue->answered;
		total.answers_limited += queue->answers_limited;
		total.answers_none += queue->answers_none;
		total.answers_failed += queue->answers_failed;
		total.held_ever += queue->held_ever;
		total.held_behind += queue->held_behind;
		total.held_expired += queue->held_expired;
		total.held_dropped += queue->held_dropped;
		total.held_refused += queue->held_refused;
		total.malformed += queue->malformed;
		total.queue_dropped += queue->queue_dropped;
		total.socket_dropped += queue->socket_dropped;
		total.socket_passed += queue->socket_passed;
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
		total.in_rings += queue->in_rings;
		total.held += queue->held;
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

const char *vd_stats_verdict_word(enum vd_verdict verdict)
{
	static const char *const WORDS[VD_VERDICT_COUNT] = {"next", "accept", "drop", "repeat", "queue", "stop", "reject", "held"};

	return WORDS[verdict];
}

const char *vd_stats_cause_word(enum vd_cause cause)
{
	static const char *const WORDS[VD_CAUSE_COUNT] = {
		[VD_CAUSE_FUNCTION] = "function",	[VD_CAUSE_DEFAULT] = "default",
		[VD_CAUSE_FAULT] = "fault",		[VD_CAUSE_EDIT] = "edit",
		[VD_CAUSE_DEADLINE] = "deadline",	[VD_CAUSE_HELD_FULL] = "held_full",
		[VD_CAUSE_NO_HOST] = "no_host",
		[VD_CAUSE_QUEUE_FULL] = "queue_full",	[VD_CAUSE_BUFFER_FULL] = "buffer_full",
		[VD_CAUSE_FLUSHED] = "flushed",		[VD_CAUSE_REFUSED] = "refused",
		[VD_CAUSE_LEFT] = "left",
	};

	return WORDS[cause];
}

const char *vd_stats_queues(char room[VD_STATS_QUEUES_SIZE], const struct vd_ruled_range *range)
{
	int used = snprintf(room, VD_STATS_QUEUES_SIZE, "%u", range->first);

	if (range->last != range->first)
		snprintf(room + used, VD_STATS_QUEUES_SIZE - (size_t)used, "-%u", range->last);
	return room;
}

const char *vd_stats_doubt_word(enum vd_ruled_doubt doubt)
{
	static const char *const WORDS[VD_RULED_DOUBTS] = {
		[VD_RULED_SURE] = "",
		[VD_RULED_COMPUTED] = "computed",
		[VD_RULED_UNCOUNTED] = "uncounted",
		[VD_RULED_OTHER] = "other",
		[VD_RULED_SEGMENTS] = "segments",
	};

	return WORDS[doubt];
}

const char *vd_stats_since_word(enum vd_since since)
{
	return since == VD_SINCE_ARRIVED ? "arrived" : "received";
}
