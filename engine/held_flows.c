/* SPDX-License-Identifier: MIT */
/*
 * Flows that wait behind a held packet: a table for each shard, which only the shard's holder touches, so it needs no lock.
 *
 * The thread never touches the table: it takes what waits, and when nothing does, it closes the flow, in one exchange. Its packets
 * have all been sent then, so whoever finds it closed may let the next ones go on. Closed ones are freed when the table's owner
 * comes across them, and all of them before the table grows.
 *
 * A worker that has found a flow that is not closed makes it busy, and the thread does not close it until the worker has added its
 * packet: so it knows that the packet waits before it has done anything about it.
 */
#include "engine/held.h"

#include <stdlib.h>

#define SIZE_MIN 64u

static bool is_closed(struct vd_held_flow *flow)
{
	/* acquire, pairs with the release in vd_held_flow_close(): all was sent */
	return atomic_load_explicit(&flow->waiting, memory_order_acquire) == VD_FLOW_CLOSED;
}

static struct vd_held_flow **bucket_of(struct vd_held_flows *flows, uint32_t hash)
{
	return &flows->buckets[hash & (flows->size - 1)];
}

static void remove_closed(struct vd_held_flows *flows)
{
	for (uint32_t i = 0; i < flows->size; i++)
		for (struct vd_held_flow **link = &flows->buckets[i], *flow; (flow = *link);) {
			if (is_closed(flow)) {
				*link = flow->next;
				flows->count--;
				free(flow);
			} else {
				link = &flow->next;
			}
		}
}

static int resize(struct vd_held_flows *flows, uint32_t size)
{
	struct vd_held_flows before = *flows;

	flows->buckets = calloc(size, sizeof(struct vd_held_flow *));
	if (!flows->buckets) {
		flows->buckets = before.buckets;
		return -ENOMEM;
	}
	flows->size = size;
	for (uint32_t i = 0; i < before.size; i++)
		for (struct vd_held_flow *flow = before.buckets[i], *next; flow; flow = next) {
			struct vd_held_flow **bucket = bucket_of(flows, flow->hash);

			next = flow->next;
			flow->next = *bucket;
			*bucket = flow;
		}
	free(before.buckets);
	return 0;
}

/* Without memory for a larger table the one that there is gets slower. */
static int make_room(struct vd_held_flows *flows)
{
	if (!flows->size)
		return resize(flows, SIZE_MIN);
	if (flows->count < flows->size)
		return 0;
	remove_closed(flows);
	if (flows->count > flows->size / 2)
		resize(flows, 2 * flows->size);
	return 0;
}

struct vd_held_flow *vd_held_flow_create(struct vd_held_flows *flows, struct vd_lane *lane, uint32_t hash)
{
	struct vd_held_flow *flow = make_room(flows) ? NULL : malloc(sizeof *flow);

	if (!flow)
		return NULL;
	*flow = (struct vd_held_flow){.lane = lane, .hash = hash};
	return flow;
}

void vd_held_flows_add(struct vd_held_flows *flows, struct vd_held_flow *flow)
{
	struct vd_held_flow **bucket = bucket_of(flows, flow->hash);

	flow->next = *bucket;
	*bucket = flow;
	flows->count++;
}

/* False: it is closed. */
static bool make_busy(struct vd_held_flow *flow)
{
	uintptr_t waiting = atomic_load_explicit(&flow->waiting, memory_order_relaxed);

	do {
		if (waiting == VD_FLOW_CLOSED)
			return is_closed(flow), false;
		/* relaxed: what is added comes later */
	} while (!atomic_compare_exchange_weak_explicit(&flow->waiting, &waiting, waiting | VD_FLOW_BUSY, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

struct vd_held_flow *vd_held_flows_enter(struct vd_held_flows *flows, uint32_t hash)
{
	if (!flows->size)
		return NULL;
	for (struct vd_held_flow **link = bucket_of(flows, hash), *flow; (flow = *link);) {
		if (flow->hash == hash && make_busy(flow))
			return flow;
		if (flow->hash == hash) {
			*link = flow->next;
			flows->count--;
			free(flow);
		} else {
			link = &flow->next;
		}
	}
	return NULL;
}

void vd_held_flow_add(struct vd_held_flow *flow, struct vd_held *held)
{
	uintptr_t waiting = atomic_load_explicit(&flow->waiting, memory_order_relaxed);

	do {
		held->next_arrived = (struct vd_held *)(waiting & ~VD_FLOW_BUSY);
		/* release, pairs with the acquire in vd_held_flow_take(): the copy */
	} while (!atomic_compare_exchange_weak_explicit(&flow->waiting, &waiting, (uintptr_t)held, memory_order_release,
							memory_order_relaxed));
}

void vd_held_flow_leave(struct vd_held_flow *flow)
{
	atomic_fetch_and_explicit(&flow->waiting, ~VD_FLOW_BUSY, memory_order_relaxed);
}

void vd_held_flows_fini(struct vd_held_flows *flows)
{
	for (uint32_t i = 0; i < flows->size; i++)
		for (struct vd_held_flow *flow = flows->buckets[i], *next; flow; flow = next) {
			next = flow->next;
			free(flow);
		}
	free(flows->buckets);
	*flows = (struct vd_held_flows){0};
}

/* ---- the thread's ---- */

struct vd_held *vd_held_flow_take(struct vd_held_flow *flow)
{
	struct vd_held *held, *first = NULL, *next;

	/* acquire, pairs with the release in vd_held_flow_add() */
	held = (struct vd_held *)(atomic_fetch_and_explicit(&flow->waiting, VD_FLOW_BUSY, memory_order_acquire) & ~VD_FLOW_BUSY);
	for (; held; held = next) {
		next = held->next_arrived;
		held->next_arrived = first;
		first = held;
	}
	return first;
}

bool vd_held_flow_close(struct vd_held_flow *flow)
{
	uintptr_t nothing = 0;

	/* release, pairs with the acquire in is_closed() */
	return atomic_compare_exchange_strong_explicit(&flow->waiting, &nothing, VD_FLOW_CLOSED, memory_order_release,
						       memory_order_relaxed);
}
