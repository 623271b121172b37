/* SPDX-License-Identifier: MIT */
/*
 * A lane: a port, the slots that its packets lie in, the role of reading it, and its shards.
 *
 * Grouped by who writes, a cache line or more each: what never changes, what the reader's role holds, what threads add
 * to when they finish packets.
 */
#ifndef VERDICT_ENGINE_LANE_H
#define VERDICT_ENGINE_LANE_H

#include "engine/duty.h"
#include "engine/latency.h"
#include "engine/port.h"
#include "engine/slots.h"
#include "lib/ring/spsc.h"

/* What a lane's memory for slots may come to, and how many slots are useful. */
#define VD_LANE_SLOT_BYTES (24u << 20)
#define VD_LANE_SLOTS_MAX 512u
#define VD_LANE_SLOTS_MIN 128u

struct vd_lane_settings {
	struct vd_port_settings port; /* also with what the lane has for itself */
	unsigned shards;
	bool has_writers;
	uint64_t hash_key;
};

struct vd_lane {
	/* never changes while packets flow */
	struct vd_port *port;
	unsigned index;
	unsigned shard_count;
	uint64_t hash_key;
	struct vd_ring_spsc **waiting; /* by shard: dispatched, not decided */
	struct vd_ring_spsc **decided; /* by shard: for the dedicated writers; NULL: there are none */
	struct vd_held_flows *held_flows; /* by shard: held.h */
	struct vd_slots slots;
	_Atomic bool is_open;
	uint32_t copy_range; /* these two: a reload may change them; relaxed */
	uint32_t maxlen;
	struct vd_queue_options options; /* as given: maxlen and copy_range may be 0 */

	/* the reader's role, and what belongs to its holder */
	_Alignas(VD_CACHE_LINE) _Atomic bool reading;
	_Atomic bool readable;	 /* may have packets: nobody has seen it empty since the last sign of them */
	_Atomic bool held;	 /* nobody is to read, for a while: reload.c */
	_Atomic bool ended;	 /* will never have packets again */
	unsigned free_count;	 /* slots ready to be received into ... */
	unsigned free_holes;	 /* ... of which the first ones were used up by the last burst */
	unsigned want;		 /* packets that the next receive call should ask for */
	unsigned asked;		 /* that the last one asked for */
	uint64_t answered_ns;	 /* when the last burst had been decided on the spot */
	struct vd_moment moment; /* of the last burst */
	uint64_t dispatched;	 /* packets that were handed to shards */
	uint64_t received;	 /* tallies */
	uint64_t bytes;
	uint64_t malformed;
	uint64_t reads;
	uint64_t on_the_spot;
	struct vd_packet *free[VD_PORT_BURST_MAX];

	_Alignas(VD_CACHE_LINE) _Atomic uint32_t holding; /* packets that functions hold */
	_Atomic uint32_t flows_waiting;			  /* behind one of them */

	_Alignas(VD_CACHE_LINE) struct vd_duty duty;
	_Alignas(VD_CACHE_LINE) _Atomic uint64_t finished; /* dispatched packets whose verdict has been sent */
	_Atomic bool starving;				   /* a worker sleeps until writers have finished some */
	_Atomic uint32_t cost_ns;			   /* deciding and answering one packet, smoothed */
};

/* Whether it reads this queue of the kernel. */
bool vd_lane_is_queue(const struct vd_lane *lane, unsigned queue);

/* Makes a reader that waits for packets return. Async-signal-safe. */
void vd_lane_wake(struct vd_lane *lane);

int vd_lane_init(struct vd_lane *lane, unsigned index, struct vd_port *port, const struct vd_queue_options *options);

/* Makes slots and shards. 0 or -ENOMEM. */
int vd_lane_prepare(struct vd_lane *lane, const struct vd_lane_settings *settings);
void vd_lane_fini(struct vd_lane *lane);

/* Bytes that a slot needs for packets of which so much is copied. */
uint32_t vd_lane_room_for(const struct vd_lane *lane, uint32_t copied);

/* Makes slots with so much room instead of those that there are; nothing is in any of them, and nobody looks. 0 or -ENOMEM. */
int vd_lane_enlarge(struct vd_lane *lane, uint32_t room);

/* Takes the reader's role if it is free. */
static inline bool vd_lane_take_reading(struct vd_lane *lane)
{
	/* relaxed look first, so that threads that will not get it leave the line alone */
	return !atomic_load_explicit(&lane->reading, memory_order_relaxed) &&
	       /* acquire, pairs with the release below: what the last reader left behind is seen */
	       !atomic_exchange_explicit(&lane->reading, true, memory_order_acquire);
}

static inline void vd_lane_release_reading(struct vd_lane *lane)
{
	/* release, pairs with the acquire above */
	atomic_store_explicit(&lane->reading, false, memory_order_release);
}

/* Packets that were dispatched and not answered. Exact for the reader, a hint for others. */
static inline uint64_t vd_lane_in_flight(struct vd_lane *lane)
{
	/*
	 * Acquire, pairs with the release in vd_lane_finish(): nothing of a finished packet is still to come. Sequentially
	 * consistent (on x86 the same instruction) for `starving`: see vd_lane_is_starving().
	 */
	uint64_t finished = atomic_load_explicit(&lane->finished, memory_order_seq_cst);

	return __atomic_load_n(&lane->dispatched, __ATOMIC_RELAXED) - finished;
}

static inline void vd_lane_finish(struct vd_lane *lane, unsigned count)
{
	atomic_fetch_add_explicit(&lane->finished, count, memory_order_seq_cst);
}

/*
 * With dedicated writers all workers may sleep because too much is in flight; then a writer has to wake one. A worker says so
 * before it looks at what is finished for the last time, and a writer looks for that after it has finished some; all four
 * steps are sequentially consistent, so at least one of the two sees the other.
 */
static inline void vd_lane_starve(struct vd_lane *lane)
{
	atomic_store_explicit(&lane->starving, true, memory_order_seq_cst);
}

static inline bool vd_lane_is_starving(struct vd_lane *lane)
{
	return atomic_load_explicit(&lane->starving, memory_order_seq_cst) &&
	       atomic_exchange_explicit(&lane->starving, false, memory_order_seq_cst);
}

/*
 * Acquire, pairs with the releases in held_burst.c and held_thread.c: who sees none knows that all verdicts were sent. That some
 * are held, whoever has one of them in hand sees, and a reader with nothing in flight.
 */
static inline bool vd_lane_is_holding(struct vd_lane *lane)
{
	return atomic_load_explicit(&lane->holding, memory_order_acquire);
}

static inline bool vd_lane_has_flows(struct vd_lane *lane)
{
	return atomic_load_explicit(&lane->flows_waiting, memory_order_acquire);
}

/* When this many packets are in flight, reading stops, and goes on when they are half of it. */
static inline uint64_t vd_lane_full(const struct vd_lane *lane)
{
	return lane->slots.count - VD_PORT_BURST_MAX;
}

static inline unsigned vd_lane_shard_of(const struct vd_lane *lane, uint32_t flow_hash)
{
	return (unsigned)((uint64_t)flow_hash * lane->shard_count >> 32);
}

/* One sample of what a packet costs: a quarter of it counts, and one that is far off counts as eight times the usual. */
static inline void vd_lane_learn_cost(struct vd_lane *lane, uint64_t burst_ns, unsigned packets)
{
	/* relaxed: an estimate; when two threads write at once, one sample is lost */
	uint32_t usual = atomic_load_explicit(&lane->cost_ns, memory_order_relaxed);
	uint64_t sample = burst_ns / packets;

	if (sample > 8ull * usual + 100)
		sample = 8ull * usual + 100;
	atomic_store_explicit(&lane->cost_ns, (uint32_t)((3ull * usual + sample) / 4), memory_order_relaxed);
}

#endif
