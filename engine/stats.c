/* SPDX-License-Identifier: MIT */
/*
 * Statistics: the sums of what the threads, the lanes and the ports counted.
 */
#include "engine/state.h"

/* Before the run has made its threads there is nothing to count. */
static bool is_counting(struct vd_engine *engine)
{
	return atomic_load_explicit(&engine->is_counting, memory_order_acquire);
}

static void add_sender(struct vd_queue_stats *stats, const struct vd_sender *sender, unsigned lane)
{
	const struct vd_lane_tally *tally;

	tally = &sender->tallies[lane];
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		stats->verdicts[verdict] += vd_tally_read(&tally->verdicts[verdict]);
	stats->by_default += vd_tally_read(&tally->by_default);
	stats->faults += vd_tally_read(&tally->faults);
	stats->rewritten += vd_tally_read(&tally->rewritten);
	stats->edits_refused += vd_tally_read(&tally->edits_refused);
	stats->answered += vd_tally_read(&tally->answers[VD_ANSWER_SENT]);
	stats->answers_limited += vd_tally_read(&tally->answers[VD_ANSWER_LIMITED]);
	stats->answers_none += vd_tally_read(&tally->answers[VD_ANSWER_NONE]);
	stats->answers_failed += vd_tally_read(&tally->answers[VD_ANSWER_FAILED]);
	stats->sends += vd_tally_read(&tally->sends);
}

/* Of verdicts that were refused, and nobody knows which they were, the most frequent ones were most of them. */
static void take_unsaid(struct vd_queue_stats *stats, uint64_t unsaid)
{
	while (unsaid) {
		uint64_t *most = stats->verdicts, part;

		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			if (stats->verdicts[verdict] > *most)
				most = &stats->verdicts[verdict];
		part = *most < unsaid ? *most : unsaid;
		if (!part)
			return;
		*most -= part;
		unsaid -= part;
	}
}

/* Takes up to `count` off one verdict; how many that were. */
static uint64_t take(struct vd_queue_stats *stats, enum vd_verdict verdict, uint64_t count)
{
	uint64_t taken = count < stats->verdicts[verdict] ? count : stats->verdicts[verdict];

	stats->verdicts[verdict] -= taken;
	return taken;
}

static void add_port(struct vd_queue_stats *stats, struct vd_port *port)
{
	struct vd_port_counters counters = {0};

	port->operations->counters(port, &counters);
	/* a verdict that came back had no effect; right after it was sent, it may be known here before it is counted there */
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++) {
		uint64_t taken = take(stats, (enum vd_verdict)verdict, counters.refused_verdicts[verdict]);

		if (verdict == VD_DROP) /* to the kernel a rejected packet is a dropped one */
			take(stats, VD_REJECT, counters.refused_verdicts[VD_DROP] - taken);
	}
	take_unsaid(stats, counters.unsaid);
	stats->queue_dropped = counters.queue_dropped;
	stats->socket_dropped = counters.socket_dropped;
	stats->flushed = counters.flushed;
	stats->maybe_flushed = counters.maybe_flushed;
	stats->refused = counters.refused;
	stats->left_accepted = counters.left_accepted;
	stats->left_dropped = counters.left_dropped;
	stats->inherited_accepted = counters.inherited_accepted;
	stats->inherited_dropped = counters.inherited_dropped;
	stats->checksums_checked = counters.checksums_checked;
	stats->checksums_wrong_before = counters.checksums_wrong_before;
	stats->checksums_unknown = counters.checksums_unknown;
	stats->checksums_wrong_after = counters.checksums_wrong_after;
	stats->waiting = counters.waiting;
	stats->receive_buffer = counters.receive_buffer;
	stats->verified = counters.verified;
}

static void fill(struct vd_engine *engine, struct vd_lane *lane, struct vd_queue_stats *stats)
{
	uint64_t finished = atomic_load_explicit(&lane->finished, memory_order_relaxed);
	uint64_t dispatched = vd_tally_read(&lane->dispatched);

	*stats = (struct vd_queue_stats){
		.queue = lane->port->queue,
		.received = vd_tally_read(&lane->received),
		.bytes = vd_tally_read(&lane->bytes),
		.malformed = vd_tally_read(&lane->malformed),
		.reads = vd_tally_read(&lane->reads),
		.on_the_spot = vd_tally_read(&lane->on_the_spot),
		.in_flight = dispatched > finished ? (uint32_t)(dispatched - finished) : 0,
		.copy_range = __atomic_load_n(&lane->copy_range, __ATOMIC_RELAXED),
		.ended = atomic_load_explicit(&lane->ended, memory_order_relaxed),
	};
	for (unsigned i = 0; i < engine->worker_count; i++)
		add_sender(stats, &engine->workers[i].sender, lane->index);
	for (unsigned i = 0; i < engine->writer_count; i++)
		add_sender(stats, &engine->writers[i].sender, lane->index);
	add_port(stats, lane->port);
}

unsigned vd_engine_queue_stats(struct vd_engine *engine, struct vd_queue_stats *stats, unsigned size)
{
	const struct vd_plan *plan = vd_engine_visit(engine);
	unsigned count = plan && is_counting(engine) ? plan->lane_count : 0;

	for (unsigned i = 0; i < count && i < size; i++)
		fill(engine, plan->lanes[i], &stats[i]);
	vd_engine_end_visit(engine);
	return count;
}

unsigned vd_engine_function_stats(struct vd_engine *engine, struct vd_function_stats *stats, unsigned size)
{
	const struct vd_plan *plan = vd_engine_visit(engine);
	unsigned count = plan && is_counting(engine) ? plan->chain->count : 0;

	for (unsigned i = 0; i < count && i < size; i++)
		vd_chain_stats(plan->chain, &plan->chain->links[i], &stats[i]);
	vd_engine_end_visit(engine);
	return count;
}
