/* SPDX-License-Identifier: MIT */
/*
 * Statistics: the sums of what the threads, the lanes and the ports counted.
 */
#include "engine/held.h"
#include "engine/host.h"
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
	for (unsigned cause = 0; cause < VD_CAUSES_DECIDED; cause++)
		stats->drops[cause] += vd_tally_read(&tally->drops[cause]);
	stats->by_default += vd_tally_read(&tally->by_default);
	stats->faults += vd_tally_read(&tally->faults);
	stats->without_host += vd_tally_read(&tally->without_host);
	stats->rewritten += vd_tally_read(&tally->rewritten);
	stats->edits_refused += vd_tally_read(&tally->edits_refused);
	stats->answered += vd_tally_read(&tally->answers[VD_ANSWER_SENT]);
	stats->answers_limited += vd_tally_read(&tally->answers[VD_ANSWER_LIMITED]);
	stats->answers_none += vd_tally_read(&tally->answers[VD_ANSWER_NONE]);
	stats->answers_failed += vd_tally_read(&tally->answers[VD_ANSWER_FAILED]);
	stats->sends += vd_tally_read(&tally->sends);
	stats->held_ever += vd_tally_read(&tally->held_ever);
	stats->held_behind += vd_tally_read(&tally->held_behind);
	stats->held_expired += vd_tally_read(&tally->held_expired);
	stats->held_dropped += vd_tally_read(&tally->held_dropped);
	stats->held_refused += vd_tally_read(&tally->held_refused);
}

/*
 * Of verdicts that were refused, and nobody knows which they were, the most frequent ones were most of them. How many were to
 * go on.
 */
static uint64_t take_unsaid(struct vd_queue_stats *stats, uint64_t unsaid)
{
	uint64_t going = unsaid;

	while (unsaid) {
		uint64_t *most = stats->verdicts, part;

		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			if (stats->verdicts[verdict] > *most)
				most = &stats->verdicts[verdict];
		part = *most < unsaid ? *most : unsaid;
		if (!part)
			break;
		*most -= part;
		unsaid -= part;
		if (most == &stats->verdicts[VD_DROP] || most == &stats->verdicts[VD_REJECT])
			going -= part;
	}
	return going;
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
	uint64_t unsaid_going;

	memcpy(stats->sent, stats->verdicts, sizeof stats->sent);
	port->operations->counters(port, &counters);
	/* a verdict that came back had no effect; right after it was sent, it may be known here before it is counted there */
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++) {
		uint64_t taken = take(stats, (enum vd_verdict)verdict, counters.refused_verdicts[verdict]);

		if (verdict == VD_DROP) /* to the kernel a rejected packet is a dropped one */
			take(stats, VD_REJECT, counters.refused_verdicts[VD_DROP] - taken);
	}
	unsaid_going = take_unsaid(stats, counters.unsaid);
	stats->drops[VD_CAUSE_QUEUE_FULL] = counters.queue_dropped;
	stats->drops[VD_CAUSE_BUFFER_FULL] = counters.socket_dropped - counters.socket_passed;
	stats->drops[VD_CAUSE_FLUSHED] = counters.flushed_going + unsaid_going;
	stats->drops[VD_CAUSE_REFUSED] = counters.refused_going;
	stats->drops[VD_CAUSE_LEFT] = counters.left_dropped;
	stats->socket_passed = counters.socket_passed;
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
	stats->fail_open = counters.fail_open;
	stats->segments = counters.segments;
	stats->verified = counters.verified;
}

static uint32_t in_rings(const struct vd_lane *lane)
{
	uint32_t packets = 0;

	for (unsigned shard = 0; shard < lane->shard_count; shard++) {
		packets += vd_ring_spsc_count(lane->waiting[shard]);
		if (lane->decided)
			packets += vd_ring_spsc_count(lane->decided[shard]);
	}
	return packets;
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
		.in_rings = in_rings(lane),
		.held = atomic_load_explicit(&lane->holding, memory_order_relaxed),
		.maxlen = __atomic_load_n(&lane->maxlen, __ATOMIC_RELAXED),
		.copy_range = __atomic_load_n(&lane->copy_range, __ATOMIC_RELAXED),
		.ended = atomic_load_explicit(&lane->ended, memory_order_relaxed),
	};
	for (unsigned i = 0; i < engine->worker_count; i++)
		add_sender(stats, &engine->workers[i].sender, lane->index);
	for (unsigned i = 0; i < engine->writer_count; i++)
		add_sender(stats, &engine->writers[i].sender, lane->index);
	if (atomic_load_explicit(&engine->holder->has_thread, memory_order_acquire))
		add_sender(stats, &engine->holder->sender, lane->index);
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

/* A reload makes what came before grow by what the one before has counted, a moment after it has gone. */
void vd_engine_host_stats(struct vd_engine *engine, struct vd_host_stats *stats)
{
	const struct vd_plan *plan = vd_engine_visit(engine);

	*stats = (struct vd_host_stats){0};
	if (plan && is_counting(engine)) {
		stats->is_isolated = plan->chain->host != NULL;
		stats->restarts = vd_tally_read(&plan->chain->restarts_before) + (plan->chain->host ? vd_host_restarts(plan->chain->host) : 0);
	}
	vd_engine_end_visit(engine);
}

static void fill_worker(struct vd_sender *sender, bool is_writer, unsigned index, struct vd_worker_stats *stats)
{
	*stats = (struct vd_worker_stats){.is_writer = is_writer,
					  .index = index,
					  .packets = vd_tally_read(&sender->packets),
					  .bursts = vd_tally_read(&sender->bursts)};
	vd_account_read(&sender->account, &stats->sleeps, &stats->cpu_ns);
}

unsigned vd_engine_worker_stats(struct vd_engine *engine, struct vd_worker_stats *stats, unsigned size)
{
	unsigned count = 0;

	if (!is_counting(engine))
		return 0;
	for (unsigned i = 0; i < engine->worker_count && count < size; i++)
		fill_worker(&engine->workers[i].sender, false, i, &stats[count++]);
	for (unsigned i = 0; i < engine->writer_count && count < size; i++)
		fill_worker(&engine->writers[i].sender, true, i, &stats[count++]);
	return engine->worker_count + engine->writer_count;
}

static void add_latency(struct vd_latency *latency, const struct vd_sender *sender, unsigned index, enum vd_since since)
{
	const struct vd_latency *more = &sender->latencies[index].since[since];
	uint64_t max_ns = vd_tally_read(&more->max_ns);

	latency->sum_ns += vd_tally_read(&more->sum_ns);
	if (max_ns > latency->max_ns)
		latency->max_ns = max_ns;
	for (unsigned bucket = 0; bucket < VD_LATENCY_BUCKETS; bucket++)
		latency->buckets[bucket] += vd_tally_read(&more->buckets[bucket]);
}

static void add_latencies(struct vd_engine *engine, unsigned index, enum vd_since since, struct vd_latency *latency)
{
	for (unsigned i = 0; i < engine->worker_count; i++)
		add_latency(latency, &engine->workers[i].sender, index, since);
	for (unsigned i = 0; i < engine->writer_count; i++)
		add_latency(latency, &engine->writers[i].sender, index, since);
	/* their sum, and not a tally of its own: a reader sees a histogram that adds up, also while it grows */
	for (unsigned bucket = 0; bucket < VD_LATENCY_BUCKETS; bucket++)
		latency->count += latency->buckets[bucket];
}

int vd_engine_queue_latency(struct vd_engine *engine, unsigned place, enum vd_since since, struct vd_latency *latency)
{
	const struct vd_plan *plan = vd_engine_visit(engine);
	bool is_there = plan && is_counting(engine) && place < plan->lane_count;

	*latency = (struct vd_latency){0};
	if (is_there)
		add_latencies(engine, plan->lanes[place]->index, since, latency);
	vd_engine_end_visit(engine);
	return is_there ? 0 : -ENOENT;
}
