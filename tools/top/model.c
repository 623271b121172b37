/* SPDX-License-Identifier: MIT */
#include "tools/top/model.h"

#include <stddef.h>
#include <string.h>

static uint64_t more(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void more_verdicts(uint64_t *step, const uint64_t *now, const uint64_t *before)
{
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		step[verdict] = more(now[verdict], before[verdict]);
}

static struct vd_queue_stats more_of_queue(const struct vd_queue_stats *now, const struct vd_queue_stats *before)
{
	struct vd_queue_stats step = {.queue = now->queue};

	more_verdicts(step.verdicts, now->verdicts, before->verdicts);
	step.received = more(now->received, before->received);
	step.bytes = more(now->bytes, before->bytes);
	step.by_default = more(now->by_default, before->by_default);
	step.faults = more(now->faults, before->faults);
	step.without_host = more(now->without_host, before->without_host);
	step.rewritten = more(now->rewritten, before->rewritten);
	step.edits_refused = more(now->edits_refused, before->edits_refused);
	step.answered = more(now->answered, before->answered);
	step.held_ever = more(now->held_ever, before->held_ever);
	step.malformed = more(now->malformed, before->malformed);
	step.queue_dropped = more(now->queue_dropped, before->queue_dropped);
	step.socket_dropped = more(now->socket_dropped, before->socket_dropped);
	step.flushed = more(now->flushed, before->flushed);
	step.refused = more(now->refused, before->refused);
	step.left_accepted = more(now->left_accepted, before->left_accepted);
	step.left_dropped = more(now->left_dropped, before->left_dropped);
	return step;
}

static struct vd_function_stats more_of_function(const struct vd_function_stats *now, const struct vd_function_stats *before)
{
	struct vd_function_stats step = {.name = now->name, .packets = more(now->packets, before->packets),
					 .faults = more(now->faults, before->faults),
					 .crashes = more(now->crashes, before->crashes), .hangs = more(now->hangs, before->hangs),
					 .counter_count = now->counter_count,
					 .counter_names = now->counter_names};

	more_verdicts(step.verdicts, now->verdicts, before->verdicts);
	for (unsigned i = 0; i < now->counter_count; i++)
		step.counters[i] = more(now->counters[i], i < before->counter_count ? before->counters[i] : 0);
	return step;
}

/* The same queue in another snapshot; one of zeros if there is none. */
static struct vd_queue_stats queue_of(const struct vd_snapshot *snapshot, unsigned queue)
{
	for (unsigned i = 0; i < snapshot->queue_count; i++)
		if (snapshot->queues[i].queue == queue)
			return snapshot->queues[i];
	return (struct vd_queue_stats){.queue = queue};
}

/* Functions are the same if they stand in the same place of the chain and have the same name. */
static struct vd_function_stats function_of(const struct vd_snapshot *snapshot, unsigned place, const char *name)
{
	if (place < snapshot->function_count && !strcmp(snapshot->functions[place].name, name))
		return snapshot->functions[place];
	return (struct vd_function_stats){0};
}

void vd_top_model_make(struct vd_top_model *model, const struct vd_snapshot *baseline, const struct vd_snapshot *before,
		       const struct vd_snapshot *now)
{
	struct vd_snapshot steps = {.queue_count = 0}; /* its sum is what all queues did */

	model->step_seconds = now->seconds - before->seconds;
	model->since_seconds = now->seconds - baseline->seconds;
	model->queue_count = now->queue_count;
	model->function_count = now->function_count;
	for (unsigned i = 0; i < now->queue_count; i++) {
		struct vd_queue_stats earlier = queue_of(before, now->queues[i].queue);

		model->queues[i].now = now->queues[i];
		model->queues[i].step = more_of_queue(&now->queues[i], &earlier);
		steps.queues[steps.queue_count++] = model->queues[i].step;
	}
	model->all.now = vd_snapshot_total(now);
	model->all.step = vd_snapshot_total(&steps);
	for (unsigned i = 0; i < now->queue_count; i++) {
		struct vd_queue_stats first = queue_of(baseline, now->queues[i].queue);

		steps.queues[i] = more_of_queue(&now->queues[i], &first);
	}
	model->since = vd_snapshot_total(&steps);
	for (unsigned i = 0; i < now->function_count; i++) {
		const struct vd_function_stats *stats = &now->functions[i];
		struct vd_function_stats earlier = function_of(before, i, stats->name), first = function_of(baseline, i, stats->name);

		model->functions[i].now = stats;
		model->functions[i].step = more_of_function(stats, &earlier);
		model->functions[i].since = more_of_function(stats, &first);
	}
}

double vd_top_rate(const struct vd_top_model *model, uint64_t step)
{
	return model->step_seconds > 0 ? (double)step / model->step_seconds : 0;
}

uint64_t vd_top_lost(const struct vd_queue_stats *stats)
{
	return stats->queue_dropped + stats->socket_dropped + stats->flushed + stats->refused;
}

uint64_t vd_top_other(const uint64_t verdicts[VD_VERDICT_COUNT])
{
	return verdicts[VD_REPEAT] + verdicts[VD_QUEUE] + verdicts[VD_STOP] + verdicts[VD_HELD];
}
