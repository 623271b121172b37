/* SPDX-License-Identifier: MIT */
/*
 * A bounded ring of 32-bit numbers for one producer and one consumer at a time.
 *
 * Who may call: push_burst() the one that holds the producer's role, pop_burst() the one that holds the consumer's. The
 * roles may move from thread to thread if taking over happens after the last call of the previous holder (a lock's
 * acquire and release do that). is_empty() and count() anyone, for a hint.
 *
 * The ring holds no pointers: it may lie in memory that several processes map at different addresses.
 *
 * Why it is right. `head` counts what was ever pushed, `tail` what was ever popped; both wrap at 2^32, and since the
 * capacity is a power of two up to 2^31, head - tail is the number of entries at any time, across the wrap too. An entry is
 * written before head is released (P1), and read after head was acquired (C1): the consumer sees whole entries. It is
 * read before tail is released (C2), and overwritten only after tail was acquired (P2): the producer never writes
 * under a reader. Each side keeps a stale copy of the other's counter (`*_seen`) next to its own, so that a burst costs at
 * most one transfer of a cache line, and none while the stale copy is good enough: a stale tail only makes the ring
 * look fuller, a stale head only emptier.
 */
#ifndef VERDICT_RING_SPSC_H
#define VERDICT_RING_SPSC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VD_CACHE_LINE 64

struct vd_ring_spsc {
	struct {
		_Alignas(VD_CACHE_LINE) _Atomic uint32_t head;
		uint32_t tail_seen;
	} producer;
	struct {
		_Alignas(VD_CACHE_LINE) _Atomic uint32_t tail;
		uint32_t head_seen;
	} consumer;
	_Alignas(VD_CACHE_LINE) uint32_t mask;
	_Alignas(VD_CACHE_LINE) uint32_t entries[];
};

/* Bytes that a ring of this capacity needs, at an address aligned to VD_CACHE_LINE. */
static inline size_t vd_ring_spsc_size(uint32_t capacity)
{
	size_t size = sizeof(struct vd_ring_spsc) + (size_t)capacity * sizeof(uint32_t);

	return (size + VD_CACHE_LINE - 1) & ~(size_t)(VD_CACHE_LINE - 1);
}

/* capacity: a power of two, 1 to 2^31. Returns false, and touches nothing, for any other. */
static inline bool vd_ring_spsc_init(struct vd_ring_spsc *ring, uint32_t capacity)
{
	if (!capacity || (capacity & (capacity - 1)))
		return false;
	atomic_init(&ring->producer.head, 0);
	ring->producer.tail_seen = 0;
	atomic_init(&ring->consumer.tail, 0);
	ring->consumer.head_seen = 0;
	ring->mask = capacity - 1;
	return true;
}

/* Pushes as many of `count` entries as fit, in order; returns how many. */
static inline uint32_t vd_ring_spsc_push_burst(struct vd_ring_spsc *ring, const uint32_t *entries, uint32_t count)
{
	/* relaxed: only this side writes head */
	uint32_t head = atomic_load_explicit(&ring->producer.head, memory_order_relaxed);
	uint32_t room = ring->mask + 1 - (head - ring->producer.tail_seen);

	if (room < count) {
		/* P2: acquire, pairs with C2: what is overwritten below has been read */
		ring->producer.tail_seen = atomic_load_explicit(&ring->consumer.tail, memory_order_acquire);
		room = ring->mask + 1 - (head - ring->producer.tail_seen);
		if (room < count)
			count = room;
	}
	for (uint32_t i = 0; i < count; i++)
		ring->entries[(head + i) & ring->mask] = entries[i];
	/* P1: release, pairs with C1: the entries come before the count of them */
	atomic_store_explicit(&ring->producer.head, head + count, memory_order_release);
	return count;
}

/* Pops up to `count` entries, in order; returns how many. */
static inline uint32_t vd_ring_spsc_pop_burst(struct vd_ring_spsc *ring, uint32_t *entries, uint32_t count)
{
	/* relaxed: only this side writes tail */
	uint32_t tail = atomic_load_explicit(&ring->consumer.tail, memory_order_relaxed);
	uint32_t there = ring->consumer.head_seen - tail;

	if (there < count) {
		/* C1: acquire, pairs with P1: the entries up to head are whole */
		ring->consumer.head_seen = atomic_load_explicit(&ring->producer.head, memory_order_acquire);
		there = ring->consumer.head_seen - tail;
		if (there < count)
			count = there;
	}
	for (uint32_t i = 0; i < count; i++)
		entries[i] = ring->entries[(tail + i) & ring->mask];
	/* C2: release, pairs with P2: the entries have been read, their places are free */
	atomic_store_explicit(&ring->consumer.tail, tail + count, memory_order_release);
	return count;
}

/* How many entries there are: exact for a caller that holds both roles, a hint for any other. */
static inline uint32_t vd_ring_spsc_count(const struct vd_ring_spsc *ring)
{
	/* acquire: a consumer that sees entries here also finds them when it pops */
	uint32_t tail = atomic_load_explicit(&ring->consumer.tail, memory_order_acquire);

	return atomic_load_explicit(&ring->producer.head, memory_order_acquire) - tail;
}

static inline bool vd_ring_spsc_is_empty(const struct vd_ring_spsc *ring)
{
	return vd_ring_spsc_count(ring) == 0;
}

#endif
