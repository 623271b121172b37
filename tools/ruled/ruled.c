/* SPDX-License-Identifier: MIT */
/*
 * What rules have counted, set against what their queues were offered. In this order:
 *
 *	offered, before		what the queues had taken or dropped; the rules had counted all of it
 *	packets			the rules' counts
 *	offered			more may have come meanwhile
 *
 * So packets - offered is at most what had passed when the rules were read, and exact when nothing comes. Only a packet that is on
 * its way from its rule to the queue would be taken for one that passed: where more seem to have passed than before, the queues are
 * read once more, a moment later.
 *
 * If packets - offered (before) is less than what has passed already, or the rules' counts went down, these were set back: a rule was
 * deleted, made again, zeroed. Then counting begins anew with what is there, and what had passed stays. But whoever adds any rule with
 * iptables-legacy replaces the table, and gives the counts back with a second call. So what looks like that is looked at again first.
 *
 * The kernel's own counts of a queue have 32 bits, so differences are made modulo 2^32: right, as long as no more than 2^31 packets
 * pass from one reading to the next.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "engine/clock.h"
#include "tools/ruled/private.h"

#define ON_ITS_WAY_NS 5000000	/* from a rule to the queue */
#define REPLACED_NS 20000000	/* from one call of iptables-legacy to the next, */
#define REPLACED_LOOKS 10	/* so often */
#define BEGIN_NS 2000000	/* the same, where packets wait for us */
#define SHARE 50		/* reading takes one part of so many of the time, */
#define YOUNG_NS 1000000000u	/* or is done again after this time */

/* A range that was seen. */
struct range {
	struct vd_ruled_range shown;
	bool is_there;	  /* now it has rules, */
	bool is_followed; /* and its numbers are those of the last reading */
	bool passes;	  /* as they were then: */
	uint64_t packets;
	uint32_t offered;
	int64_t missing;  /* packets - offered since the beginning, as far as it was followed; queue_passed is its highest */
};

struct vd_ruled {
	pthread_mutex_t lock;
	struct vd_ruled_sources sources;
	bool has_begun, is_over;
	uint64_t read_ns, cost_ns;
	unsigned range_count;
	struct range ranges[VD_RULED_MAX];
	struct vd_ruled_look last, now;
};

static void wait_ns(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- what belongs to a range ---- */

static const struct vd_ruled_queue *find_queue(const struct vd_ruled_queue *queues, unsigned count, unsigned number)
{
	for (unsigned i = 0; i < count; i++)
		if (queues[i].number == number)
			return &queues[i];
	return NULL;
}

/* What its queues were offered, modulo 2^32. */
static uint32_t offered(const struct vd_ruled_queue *queues, unsigned count, const struct vd_ruled_range_sum *sum)
{
	uint32_t all = 0;

	for (unsigned i = 0; i < count; i++)
		if (queues[i].number >= sum->first && queues[i].number <= sum->last)
			all += queues[i].offered;
	return all;
}

static bool passes(const struct vd_ruled_look *look, const struct vd_ruled_range_sum *sum)
{
	for (unsigned i = 0; i < look->queue_count; i++)
		if (look->queues[i].number >= sum->first && look->queues[i].number <= sum->last && look->queues[i].passes)
			return true;
	return false;
}

static enum vd_ruled_doubt doubt(const struct vd_ruled_look *look, const struct vd_ruled_range_sum *sum)
{
	bool is_cut = false;

	if (look->has_computed)
		return VD_RULED_COMPUTED;
	if (sum->uncounted)
		return VD_RULED_UNCOUNTED;
	for (unsigned number = sum->first; number <= sum->last; number++) {
		const struct vd_ruled_queue *queue = find_queue(look->queues, look->queue_count, number);

		if (!queue || !queue->is_bound)
			return VD_RULED_OTHER;
		is_cut |= queue->is_cut;
	}
	return is_cut ? VD_RULED_SEGMENTS : VD_RULED_SURE;
}

static struct range *find_range(struct vd_ruled *ruled, uint16_t first, uint16_t last)
{
	for (unsigned i = 0; i < ruled->range_count; i++)
		if (ruled->ranges[i].shown.first == first && ruled->ranges[i].shown.last == last)
			return &ruled->ranges[i];
	return NULL;
}

/* When there are too many of them, one without rules is forgotten: with rules there are never more than our queues. */
static struct range *add_range(struct vd_ruled *ruled, const struct vd_ruled_range_sum *sum)
{
	struct range *range = NULL;

	if (ruled->range_count < VD_RULED_MAX)
		range = &ruled->ranges[ruled->range_count++];
	for (unsigned i = 0; i < ruled->range_count && !range; i++)
		if (!ruled->ranges[i].is_there)
			range = &ruled->ranges[i];
	if (range)
		*range = (struct range){.shown = {.first = sum->first, .last = sum->last}};
	return range;
}

/* How many more have passed, or fewer were counted, since the last reading. */
static int64_t step(const struct range *range, uint64_t packets, uint32_t now)
{
	return (int32_t)((uint32_t)(packets - range->packets) - (now - range->offered));
}

/* Its rules count less than their queues have seen. */
static bool is_set_back(const struct range *range, const struct vd_ruled_look *look, const struct vd_ruled_range_sum *sum)
{
	return sum->packets < range->packets ||
	       range->missing + step(range, sum->packets, offered(look->before, look->queue_count, sum)) <
		       (int64_t)range->shown.queue_passed;
}

/* Whether rules that are followed are gone, or count less than before: they may have been replaced just now. */
static bool has_changed(struct vd_ruled *ruled, const struct vd_ruled_look *look)
{
	for (unsigned i = 0; i < ruled->range_count; i++) {
		const struct range *range = &ruled->ranges[i];
		const struct vd_ruled_range_sum *sum = NULL;

		for (unsigned j = 0; j < look->sum_count && !sum; j++)
			if (look->sums[j].first == range->shown.first && look->sums[j].last == range->shown.last)
				sum = &look->sums[j];
		if (range->is_followed && range->passes && (!sum || sum->packets < range->packets))
			return true;
	}
	return false;
}

/* Whether more seem to have passed. */
static bool has_passed(struct vd_ruled *ruled, const struct vd_ruled_look *look)
{
	for (unsigned i = 0; i < look->sum_count; i++) {
		const struct vd_ruled_range_sum *sum = &look->sums[i];
		const struct range *range = find_range(ruled, sum->first, sum->last);

		if (passes(look, sum) && range && range->is_followed &&
		    range->missing + step(range, sum->packets, offered(look->queues, look->queue_count, sum)) >
			    (int64_t)range->shown.queue_passed)
			return true;
	}
	return false;
}

/* ---- setting the one against the other ---- */

/* Whether nothing of any rule went to these queues at the last reading, so that one which is new has begun at 0 since. */
static bool were_without_rules(const struct vd_ruled_look *last, const struct vd_ruled_range_sum *sum)
{
	if (last->has_computed)
		return false;
	for (unsigned i = 0; i < last->sum_count; i++)
		if (last->sums[i].first <= sum->last && last->sums[i].last >= sum->first)
			return false;
	return true;
}

/* The queue is the one that it was at the last reading, too. */
static bool were_ours(const struct vd_ruled_look *last, const struct vd_ruled_look *look, const struct vd_ruled_range_sum *sum)
{
	for (unsigned number = sum->first; number <= sum->last; number++) {
		const struct vd_ruled_queue *before = find_queue(last->queues, last->queue_count, number);
		const struct vd_ruled_queue *now = find_queue(look->queues, look->queue_count, number);

		if (!before || !now || !before->is_bound || before->portid != now->portid)
			return false;
	}
	return true;
}

/* From here on, with what has passed already. */
static void begin(struct range *range, uint64_t packets, uint32_t now)
{
	range->packets = packets;
	range->offered = now;
	range->missing = (int64_t)range->shown.queue_passed;
}

static void follow(struct vd_ruled *ruled, struct range *range, const struct vd_ruled_range_sum *sum)
{
	const struct vd_ruled_look *last = &ruled->last, *look = &ruled->now;
	struct vd_ruled_range *shown = &range->shown;
	uint32_t before = offered(look->before, look->queue_count, sum), now = offered(look->queues, look->queue_count, sum);
	bool were_same = were_ours(last, look, sum), may_pass = passes(look, sum);
	int64_t more;

	if (!ruled->has_begun || !were_same) {
		begin(range, sum->packets, before);
		shown->packets_before = sum->packets;
	} else if (!range->is_followed && were_without_rules(last, sum)) {
		begin(range, 0, offered(last->queues, last->queue_count, sum));
	} else if (!range->is_followed || is_set_back(range, look, sum)) {
		if (range->is_followed)
			shown->offered += (uint32_t)(before - range->offered);
		else if (!shown->offered) /* that is where it begins */
			shown->packets_before = sum->packets;
		begin(range, sum->packets, before);
		shown->resets += may_pass;
	}
	more = step(range, sum->packets, now);
	shown->offered += sum->packets - range->packets - (uint64_t)more;
	range->missing += more;
	if (!may_pass && !range->passes) /* what is missing has not passed: the kernel had no memory, or has thrown it away */
		range->missing = (int64_t)shown->queue_passed;
	if (range->missing > (int64_t)shown->queue_passed)
		shown->queue_passed = (uint64_t)range->missing;
	range->packets = sum->packets;
	range->offered = now;
	range->passes = may_pass;
}

static void take_sum(struct vd_ruled *ruled, const struct vd_ruled_range_sum *sum)
{
	struct range *range = find_range(ruled, sum->first, sum->last);

	if (!range)
		range = add_range(ruled, sum);
	if (!range)
		return;
	range->is_there = true;
	range->shown.rules = sum->rules;
	range->shown.has_bypass = sum->has_bypass;
	range->shown.packets = sum->packets;
	range->shown.doubt = doubt(&ruled->now, sum);
	if (range->shown.doubt == VD_RULED_SURE)
		follow(ruled, range, sum);
	range->is_followed = range->shown.doubt == VD_RULED_SURE;
}

/* Their rules are gone, and with them what had passed since the last reading. */
static void take_leave(struct range *range)
{
	range->is_there = false;
	range->shown.resets += range->is_followed && range->passes;
	range->shown.rules = 0;
	range->shown.packets = 0;
	range->shown.has_bypass = false;
	range->is_followed = false;
}

static void set_off(struct vd_ruled *ruled)
{
	const struct vd_ruled_look *look = &ruled->now;

	for (unsigned i = 0; i < ruled->range_count; i++) {
		bool is_there = false;

		for (unsigned j = 0; j < look->sum_count && !is_there; j++)
			is_there = look->sums[j].first == ruled->ranges[i].shown.first && look->sums[j].last == ruled->ranges[i].shown.last;
		if (!is_there)
			take_leave(&ruled->ranges[i]);
	}
	for (unsigned i = 0; i < look->sum_count; i++)
		take_sum(ruled, &look->sums[i]);
	ruled->last = *look;
	ruled->has_begun = true;
}

/* ---- one reading ---- */

static void choose_queues(struct vd_ruled_look *look, const struct vd_queue_stats *queues, unsigned count)
{
	look->queue_count = count < VD_RULED_MAX ? count : VD_RULED_MAX;
	for (unsigned i = 0; i < look->queue_count; i++)
		look->queues[i] = (struct vd_ruled_queue){.number = (uint16_t)queues[i].queue,
							  .passes = queues[i].fail_open,
							  .is_cut = queues[i].segments};
}

static bool are_same(const struct vd_ruled_look *one, const struct vd_ruled_look *other)
{
	if (one->queue_count != other->queue_count)
		return false;
	for (unsigned i = 0; i < one->queue_count; i++)
		if (one->queues[i].number != other->queues[i].number || one->queues[i].passes != other->queues[i].passes ||
		    one->queues[i].is_cut != other->queues[i].is_cut)
			return false;
	return true;
}

/* The first one. A table that is just being replaced has lost its counts, and gets them back in a moment. */
static void begin_all(struct vd_ruled *ruled)
{
	bool may_pass = false;

	for (unsigned i = 0; i < ruled->now.sum_count; i++)
		may_pass |= passes(&ruled->now, &ruled->now.sums[i]);
	if (!may_pass)
		return;
	wait_ns(BEGIN_NS);
	vd_ruled_look_take(&ruled->sources, &ruled->now);
}

static void read_all(struct vd_ruled *ruled)
{
	uint64_t start_ns = vd_clock_ns();

	vd_ruled_look_take(&ruled->sources, &ruled->now);
	ruled->cost_ns = vd_clock_ns() - start_ns;
	if (!ruled->has_begun)
		begin_all(ruled);
	for (unsigned looks = 0; looks < REPLACED_LOOKS && !ruled->now.error && has_changed(ruled, &ruled->now); looks++) {
		wait_ns(REPLACED_NS);
		vd_ruled_look_take(&ruled->sources, &ruled->now);
		ruled->cost_ns = vd_clock_ns() - start_ns;
	}
	if (!ruled->now.error && has_passed(ruled, &ruled->now)) {
		wait_ns(ON_ITS_WAY_NS);
		ruled->now.error = vd_ruled_look_queues(&ruled->sources, ruled->now.queues, ruled->now.queue_count);
	}
	if (!ruled->now.error)
		set_off(ruled);
	ruled->read_ns = vd_clock_ns();
}

static bool is_young(const struct vd_ruled *ruled)
{
	uint64_t age_ns = vd_clock_ns() - ruled->read_ns;

	return age_ns < YOUNG_NS && age_ns < SHARE * ruled->cost_ns;
}

/* Of our queues, as far as there is something to say. */
static void show(const struct vd_ruled *ruled, struct vd_ruled_stats *stats)
{
	stats->is_unread = ruled->now.error;
	for (unsigned i = 0; i < ruled->range_count; i++) {
		const struct vd_ruled_range *shown = &ruled->ranges[i].shown;
		unsigned place = stats->count;

		if (!vd_ruled_has_ours(&ruled->last, shown->first, shown->last))
			continue;
		for (; place && stats->ranges[place - 1].first > shown->first; place--)
			stats->ranges[place] = stats->ranges[place - 1];
		stats->ranges[place] = *shown;
		stats->count++;
	}
}

void vd_ruled_read(struct vd_ruled *ruled, enum vd_ruled_when when, const struct vd_queue_stats *queues, unsigned queue_count,
		   struct vd_ruled_stats *stats)
{
	if (stats)
		stats->count = 0;
	if (stats)
		stats->is_unread = false;
	if (!ruled)
		return;
	pthread_mutex_lock(&ruled->lock);
	if (!ruled->is_over && queue_count) {
		choose_queues(&ruled->now, queues, queue_count);
		if (when != VD_RULED_LATELY || !ruled->has_begun || !are_same(&ruled->now, &ruled->last) || !is_young(ruled))
			read_all(ruled);
		ruled->is_over = when == VD_RULED_LAST;
	}
	if (stats)
		show(ruled, stats);
	pthread_mutex_unlock(&ruled->lock);
}

/* ---- life ---- */

struct vd_ruled *vd_ruled_open(const char *netns)
{
	struct vd_ruled *ruled = calloc(1, sizeof *ruled);

	if (!ruled)
		return NULL;
	if (vd_ruled_sources_open(&ruled->sources, netns)) {
		free(ruled);
		return NULL;
	}
	pthread_mutex_init(&ruled->lock, NULL);
	return ruled;
}

void vd_ruled_close(struct vd_ruled *ruled)
{
	if (!ruled)
		return;
	vd_ruled_sources_close(&ruled->sources);
	pthread_mutex_destroy(&ruled->lock);
	free(ruled);
}
