/* SPDX-License-Identifier: MIT */
/*
 * What becomes of queues in a reload: which stay, come and go; and what the kernel is told of those that stay. It gives all that the
 * old functions and the new ones need while either may decide, and afterwards no more than the new ones do.
 */
#include <time.h>

#include "engine/clock.h"
#include "engine/grace.h"
#include "engine/reload.h"

/* How long packets that came with less are waited for: a queue that is full of them takes a moment. */
#define CATCH_UP_NS_MAX 3000000000u
#define LOOK_NS 50000

/* ---- which ---- */

static struct vd_lane *find_lane(const struct vd_engine *engine, const struct vd_lane *wanted)
{
	for (unsigned i = 0; i < engine->lane_count; i++)
		if (vd_lane_is_queue(engine->lanes[i], wanted->port->queue))
			return engine->lanes[i];
	return NULL;
}

void vd_reload_sort_queues(struct reload *reload)
{
	const struct vd_plan *before = reload->before;
	bool is_kept[UINT16_MAX + 1] = {false}; /* by queue */

	for (unsigned i = 0; i < before->lane_count; i++) {
		struct vd_lane *lane = before->lanes[i], *other = NULL;
		bool is_queue = !strcmp(lane->port->operations->kind, "queue");

		if (is_queue)
			other = find_lane(reload->next, lane);
		if (is_queue && !other) {
			reload->removed[reload->removed_count++] = lane;
			continue;
		}
		reload->kept_options[reload->kept_count] = other ? other->options : lane->options;
		reload->kept[reload->kept_count++] = lane;
		reload->has_lane[lane->index] = true;
		if (other)
			is_kept[other->port->queue] = true;
		if (lane->index >= reload->lane_limit)
			reload->lane_limit = lane->index + 1;
	}
	for (unsigned i = 0; i < reload->next->lane_count; i++)
		if (!is_kept[reload->next->lanes[i]->port->queue])
			reload->added[reload->added_count++] = reload->next->lanes[i];
}

int vd_reload_choose_indices(struct reload *reload)
{
	unsigned index = 0;

	for (unsigned i = 0; i < reload->added_count; i++, index++) {
		while (index < VD_ENGINE_QUEUES_MAX && reload->engine->lanes[index])
			index++;
		if (index == VD_ENGINE_QUEUES_MAX)
			return vd_error_set(reload->error, -E2BIG, "there would be more than %u queues, while old ones go and new "
					    "ones come", VD_ENGINE_QUEUES_MAX);
		reload->added[i]->index = index;
		if (index >= reload->lane_limit)
			reload->lane_limit = index + 1;
	}
	return 0;
}

/* ---- the kernel's side of queues that stay ---- */

void vd_reload_choose_settings(struct reload *reload)
{
	struct vd_lane_settings settings;

	for (unsigned i = 0; i < reload->kept_count; i++) {
		struct vd_lane *lane = reload->kept[i];

		vd_choose_settings(reload->engine, reload->before->chain, lane, &lane->options, &settings);
		reload->kept_before[i] = settings.port;
		vd_choose_settings(reload->engine, reload->next->chain, lane, &reload->kept_options[i], &settings);
		reload->kept_after[i] = settings.port;
	}
}

static bool is_same(const struct vd_port_settings *one, const struct vd_port_settings *other)
{
	return one->maxlen == other->maxlen && one->copy_range == other->copy_range && one->needs == other->needs &&
	       one->fail_open == other->fail_open && one->fault_verdict == other->fault_verdict;
}

/* What both the functions before and those that come can work with. */
static struct vd_port_settings for_both(const struct reload *reload, unsigned kept)
{
	const struct vd_port_settings *before = &reload->kept_before[kept];
	struct vd_port_settings both = reload->kept_after[kept];

	if (before->copy_range > both.copy_range)
		both.copy_range = before->copy_range;
	both.needs |= before->needs;
	return both;
}

/* The caller holds the lane. */
static int configure(struct vd_lane *lane, struct vd_port_settings *settings)
{
	settings->slot_room = lane->slots.room;
	return lane->port->operations->reconfigure(lane->port, settings);
}

static int enlarge(struct reload *reload, struct vd_lane *lane, uint32_t copied)
{
	uint32_t room = vd_lane_room_for(lane, copied);

	if (room <= lane->slots.room)
		return 0;
	vd_grace_wait(); /* who had not seen it held may still look at its slots */
	if (vd_lane_enlarge(lane, room))
		return vd_error_set(reload->error, -ENOMEM, "out of memory for the packets of queue %u", lane->port->queue);
	return 0;
}

static int change_settings(struct reload *reload, struct vd_lane *lane, struct vd_port_settings *settings)
{
	int result = vd_lane_hold(reload->engine, lane, reload->error);

	if (result)
		return result;
	result = enlarge(reload, lane, settings->copy_range);
	if (!result) {
		result = configure(lane, settings);
		if (result)
			vd_error_set(reload->error, result, "queue %u cannot be configured: %s", lane->port->queue, strerror(-result));
	}
	vd_lane_let_go(reload->engine, lane);
	return result;
}

/*
 * Until packets that had come with less are answered: when all are received, those that somebody still has are waited for. If it
 * takes too long until they are received, they are decided as they are.
 */
static int wait_for_the_rest(struct reload *reload, struct vd_lane *lane)
{
	uint64_t end = vd_clock_ns() + CATCH_UP_NS_MAX;
	int result;

	while (!lane->port->operations->has_caught_up(lane->port) && !vd_engine_is_stopping(reload->engine) && vd_clock_ns() < end)
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
	result = vd_lane_hold(reload->engine, lane, reload->error);
	if (!result)
		vd_lane_let_go(reload->engine, lane);
	return result;
}

int vd_reload_prepare_queues(struct reload *reload)
{
	int result = 0;

	for (unsigned i = 0; i < reload->kept_count && !result; i++) {
		struct vd_lane *lane = reload->kept[i];
		struct vd_port_settings both = for_both(reload, i);

		if (!lane->port->operations->reconfigure || is_same(&reload->kept_before[i], &both))
			continue;
		result = change_settings(reload, lane, &both);
		if (!result)
			result = wait_for_the_rest(reload, lane);
	}
	return result;
}

void vd_reload_settle_queues(struct reload *reload, bool is_undone)
{
	struct vd_error unheard;
	struct vd_error *error = reload->error;

	reload->error = &unheard; /* it works with more than it needs, too */
	for (unsigned i = 0; i < reload->kept_count; i++) {
		struct vd_lane *lane = reload->kept[i];
		struct vd_port_settings both = for_both(reload, i);
		struct vd_port_settings *wanted = is_undone ? &reload->kept_before[i] : &reload->kept_after[i];

		if (lane->port->operations->reconfigure && !is_same(&both, wanted))
			change_settings(reload, lane, wanted);
		if (!is_undone) {
			lane->options = reload->kept_options[i];
			__atomic_store_n(&lane->copy_range, wanted->copy_range, __ATOMIC_RELAXED); /* for statistics */
			__atomic_store_n(&lane->maxlen, wanted->maxlen, __ATOMIC_RELAXED);
		}
	}
	reload->error = error;
}
