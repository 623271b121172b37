/* SPDX-License-Identifier: MIT */
#include "engine/lane.h"

#include "engine/held.h"

#include <stdlib.h>
#include <string.h>

/* Before the first packet: what a plain accept costs on a usual machine. */
#define COST_NS_AT_START 2000

int vd_lane_init(struct vd_lane *lane, unsigned index, struct vd_port *port, const struct vd_queue_options *options)
{
	memset(lane, 0, sizeof *lane);
	lane->index = index;
	lane->port = port;
	lane->options = *options;
	atomic_init(&lane->readable, true);
	atomic_init(&lane->cost_ns, COST_NS_AT_START);
	return 0;
}

bool vd_lane_is_queue(const struct vd_lane *lane, unsigned queue)
{
	return !strcmp(lane->port->operations->kind, "queue") && lane->port->queue == queue;
}

void vd_lane_wake(struct vd_lane *lane)
{
	if (atomic_load_explicit(&lane->is_open, memory_order_acquire) && lane->port->operations->wake)
		lane->port->operations->wake(lane->port);
}

static struct vd_ring_spsc **make_rings(unsigned count, uint32_t capacity)
{
	struct vd_ring_spsc **rings = calloc(count, sizeof *rings);

	for (unsigned i = 0; rings && i < count; i++) {
		rings[i] = aligned_alloc(VD_CACHE_LINE, vd_ring_spsc_size(capacity));
		if (!rings[i]) {
			while (i)
				free(rings[--i]);
			free(rings);
			return NULL;
		}
		vd_ring_spsc_init(rings[i], capacity);
	}
	return rings;
}

static void free_rings(struct vd_ring_spsc **rings, unsigned count)
{
	for (unsigned i = 0; rings && i < count; i++)
		free(rings[i]);
	free(rings);
}

static uint32_t power_of_two_at_least(uint32_t number)
{
	uint32_t power = 1;

	while (power < number)
		power *= 2;
	return power;
}

uint32_t vd_lane_room_for(const struct vd_lane *lane, uint32_t copied)
{
	return (uint32_t)lane->port->message_room + copied + VD_ROOM;
}

static int make_slots(struct vd_lane *lane, uint32_t room)
{
	size_t count = VD_LANE_SLOT_BYTES / (room + VD_SLOT_ROOM);

	if (count > VD_LANE_SLOTS_MAX)
		count = VD_LANE_SLOTS_MAX;
	if (count < VD_LANE_SLOTS_MIN)
		count = VD_LANE_SLOTS_MIN;
	lane->free_count = lane->free_holes = VD_PORT_BURST_MAX; /* all holes: the first receive fills them */
	return vd_slots_init(&lane->slots, (uint32_t)count, room);
}

int vd_lane_enlarge(struct vd_lane *lane, uint32_t room)
{
	struct vd_slots before = lane->slots;
	unsigned free_count = lane->free_count, free_holes = lane->free_holes;
	int result = make_slots(lane, room);

	if (result) {
		lane->slots = before;
		lane->free_count = free_count;
		lane->free_holes = free_holes;
		return result;
	}
	vd_slots_fini(&before);
	return 0;
}

int vd_lane_prepare(struct vd_lane *lane, const struct vd_lane_settings *settings)
{
	uint32_t copied = settings->port.copy_range, capacity;

	if (copied < lane->port->copied_before)
		copied = lane->port->copied_before;
	if (make_slots(lane, vd_lane_room_for(lane, copied)))
		return -ENOMEM;
	lane->copy_range = settings->port.copy_range;
	lane->maxlen = settings->port.maxlen;
	lane->hash_key = settings->hash_key;
	lane->shard_count = settings->shards;
	/* a ring holds every slot there is: it is never full, and the reader stops when it has no slots. Larger ones are fewer */
	capacity = power_of_two_at_least(lane->slots.count);
	lane->waiting = make_rings(lane->shard_count, capacity);
	lane->decided = settings->has_writers ? make_rings(lane->shard_count, capacity) : NULL;
	lane->held_flows = calloc(lane->shard_count, sizeof *lane->held_flows);
	return lane->waiting && (lane->decided || !settings->has_writers) && lane->held_flows ? 0 : -ENOMEM;
}

void vd_lane_fini(struct vd_lane *lane)
{
	free_rings(lane->waiting, lane->shard_count);
	free_rings(lane->decided, lane->shard_count);
	lane->waiting = lane->decided = NULL;
	for (unsigned shard = 0; lane->held_flows && shard < lane->shard_count; shard++)
		vd_held_flows_fini(&lane->held_flows[shard]);
	free(lane->held_flows);
	lane->held_flows = NULL;
	vd_slots_fini(&lane->slots);
	if (lane->port)
		lane->port->operations->destroy(lane->port);
	lane->port = NULL;
}
