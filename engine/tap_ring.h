/* SPDX-License-Identifier: MIT */
/*
 * A ring of bytes from one worker to who reads a tap: records of any length, each in one piece, so that they can be read where
 * they are.
 *
 * `head` and `tail` count bytes since the start, and a record begins at a multiple of 8. Where one does not fit between the head
 * and the end of the memory, a record without content fills that up. So each begins with its size, and a filler has TAP_FILLER in it.
 *
 * Who may call: make room and publish the worker; look and take the reader; the two at the same time.
 *
 * Why it is right. The worker publishes records by a store to `head` (W1: release), the reader's load of it (R1: acquire) pairs
 * with that: what it finds is complete. The reader gives room back by a store to `tail` (R2: release), which pairs with the worker's
 * load (W2: acquire): nothing is written over that is still read.
 */
#ifndef VERDICT_ENGINE_TAP_RING_H
#define VERDICT_ENGINE_TAP_RING_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/ring/spsc.h"
#include <verdict/engine.h>

#define TAP_FILLER 0x80000000u

struct tap_record {
	uint32_t size; /* of all of it, a multiple of 8 */
	struct vd_engine_tap_packet packet; /* its bytes are behind this; time_ns is on the monotonic clock */
};

struct tap_ring {
	uint8_t *bytes;
	uint64_t size; /* a power of two */

	/* the worker's */
	_Alignas(VD_CACHE_LINE) _Atomic uint64_t head;
	uint64_t next;	    /* where it will be when what is written is published */
	uint64_t tail_seen; /* as it was, at least */
	uint64_t dice;
	uint32_t skip; /* matching packets until one is drawn */
	struct vd_engine_tap_stats stats; /* tallies, but `read` */

	/* the reader's */
	_Alignas(VD_CACHE_LINE) _Atomic uint64_t tail;
	uint64_t at;	    /* of the next record */
	uint64_t head_seen;
};

static inline struct tap_record *tap_ring_at(const struct tap_ring *ring, uint64_t position)
{
	return (struct tap_record *)(ring->bytes + (position & (ring->size - 1)));
}

static inline bool tap_ring_has(struct tap_ring *ring, uint64_t end)
{
	if (end - ring->tail_seen <= ring->size)
		return true;
	/* W2: acquire, pairs with R2 */
	ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
	return end - ring->tail_seen <= ring->size;
}

/* Room for a record with `length` bytes of a packet; NULL: there is none now. It is published with the next tap_ring_publish(). */
static inline struct tap_record *tap_ring_make(struct tap_ring *ring, uint32_t length)
{
	uint32_t size = (uint32_t)(sizeof(struct tap_record) + length + 7) & ~7u;
	uint64_t to_end = ring->size - (ring->next & (ring->size - 1));
	uint64_t filler = to_end < size ? to_end : 0;
	struct tap_record *record;

	if (!tap_ring_has(ring, ring->next + filler + size))
		return NULL;
	if (filler)
		tap_ring_at(ring, ring->next)->size = (uint32_t)filler | TAP_FILLER;
	record = tap_ring_at(ring, ring->next + filler);
	record->size = size;
	ring->next += filler + size;
	return record;
}

static inline void tap_ring_publish(struct tap_ring *ring)
{
	/* W1: release, pairs with R1 */
	atomic_store_explicit(&ring->head, ring->next, memory_order_release);
}

/* From here on tap_ring_look() finds what was published up to now. */
static inline void tap_ring_refresh(struct tap_ring *ring)
{
	/* R1: acquire, pairs with W1 */
	ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
}

/* The oldest record; NULL: there is none. */
static inline struct tap_record *tap_ring_look(struct tap_ring *ring)
{
	while (ring->at != ring->head_seen) {
		struct tap_record *record = tap_ring_at(ring, ring->at);

		if (!(record->size & TAP_FILLER))
			return record;
		ring->at += record->size & ~TAP_FILLER;
	}
	return NULL;
}

/* Passes the record that tap_ring_look() found; it stays until tap_ring_give_back(). */
static inline void tap_ring_pass(struct tap_ring *ring, const struct tap_record *record)
{
	ring->at += record->size;
}

/* All that was passed can be written over. */
static inline void tap_ring_give_back(struct tap_ring *ring)
{
	/* R2: release, pairs with W2 */
	atomic_store_explicit(&ring->tail, ring->at, memory_order_release);
}

#endif
