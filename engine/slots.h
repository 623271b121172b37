/* SPDX-License-Identifier: MIT */
/*
 * The slots of a lane: places for packets from receive to verdict, in one area, addressed by index.
 *
 * A slot is struct vd_slot, then the room that the port receives into. Slots that were freed last are taken first: a
 * lane that is not backed up works in a few warm ones.
 *
 * Who may call: take() and keep() the reader (its role); give_back() any thread.
 *
 * Slots are given back in bundles: the first one's room, which nobody needs any more, holds the numbers of the others. The
 * reader so looks at a few cache lines of another thread's, not at one for each slot.
 *
 * Why it is right. Bundles form a list that threads push onto (G1: release) and that only the reader takes, all at once by an
 * exchange (T1: acquire, pairs with G1): nobody ever pops a single element off it, so the ABA problem cannot
 * arise, and what the reader takes was completely given back.
 */
#ifndef VERDICT_ENGINE_SLOTS_H
#define VERDICT_ENGINE_SLOTS_H

#include <stdatomic.h>
#include <stdint.h>
#include <stddef.h>

#include "lib/ring/spsc.h"
#include <verdict/function.h>

#define VD_DECIDED_BY 0xffu
#define VD_DECIDED_FAULT 0x100u		/* what was said is no verdict */
#define VD_DECIDED_REFUSED 0x200u	/* an edit was refused; by whom is not known */
#define VD_DECIDED_TAKEN_BACK 0x400u	/* so what was changed does not go on */

struct vd_held;

struct vd_slot {
	_Alignas(VD_CACHE_LINE) struct vd_packet packet; /* first: a packet's address is its slot's */
	uint32_t index;
	uint32_t shard;
	uint32_t decided; /* VD_DECIDED_*, and who: 0 nobody, it got the default; else the link of the chain + 1 */
	uint32_t holding_place;
	uint64_t received_ns; /* see engine/latency.h */
	uint64_t arrived_ns;
	struct vd_held *held; /* this, and its place, if the verdict is VD_HELD: engine/held.h */
};

/* Where a port's room in a slot begins. */
#define VD_SLOT_ROOM ((sizeof(struct vd_slot) + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE)

static inline struct vd_slot *vd_slot_of(const struct vd_packet *packet)
{
	return (struct vd_slot *)(uintptr_t)packet;
}

#define VD_SLOT_NONE UINT32_MAX

/* In the room of a bundle's first slot. */
struct vd_slot_bundle {
	uint32_t next; /* the first slot of the next bundle */
	uint32_t count;
	uint32_t indices[VD_BURST_MAX]; /* all of the bundle, the first included */
};

struct vd_slots {
	uint8_t *area;
	size_t area_size;
	size_t stride;
	uint32_t count;
	uint32_t room;	      /* bytes behind VD_SLOT_ROOM */
	uint32_t kept_count;  /* the reader's own stack of free slots */
	uint32_t *kept;
	_Alignas(VD_CACHE_LINE) _Atomic uint32_t given_back; /* first slot of the first bundle; VD_SLOT_NONE: none */
};

/* `count` slots with `room` bytes each. 0 or -ENOMEM. The memory is touched when it is used. */
int vd_slots_init(struct vd_slots *slots, uint32_t count, uint32_t room);
void vd_slots_fini(struct vd_slots *slots);

static inline struct vd_packet *vd_slots_packet(const struct vd_slots *slots, uint32_t index)
{
	return (struct vd_packet *)(slots->area + index * slots->stride);
}

/* Another CPU has filled it: its lines, and those where the headers are, begin to come over. */
static inline void vd_slot_prefetch(const struct vd_packet *packet)
{
	for (size_t line = 0; line <= VD_SLOT_ROOM; line += VD_CACHE_LINE)
		__builtin_prefetch((const uint8_t *)packet + line, 1);
}

/* Up to `count` free slots, warmest first; returns how many. */
unsigned vd_slots_take(struct vd_slots *slots, struct vd_packet **packets, unsigned count);

/* The reader gives slots back to its own stack. */
void vd_slots_keep(struct vd_slots *slots, struct vd_packet *const *packets, unsigned count);

/* Any thread gives slots back, 1 to VD_BURST_MAX. */
void vd_slots_give_back(struct vd_slots *slots, struct vd_packet *const *packets, unsigned count);

#endif
