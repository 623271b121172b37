/* SPDX-License-Identifier: MIT */
/*
 * Concurrency Kit's ring, of 4-byte elements, with one producer and one consumer. It knows no bursts: each entry is a call.
 */
#if HAS_CK
#include <stdlib.h>

#include <ck_ring.h>

struct entry {
	uint32_t number;
};

CK_RING_PROTOTYPE(entry, entry)

struct entries {
	struct ck_ring ring;
	_Alignas(64) struct entry entries[];
};

static inline uint32_t push(struct entries *ring, const uint32_t *entries, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct entry entry = {entries[i]};

		if (!ck_ring_enqueue_spsc_entry(&ring->ring, ring->entries, &entry))
			return i;
	}
	return count;
}

static inline uint32_t pop(struct entries *ring, uint32_t *entries, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct entry entry;

		if (!ck_ring_dequeue_spsc_entry(&ring->ring, ring->entries, &entry))
			return i;
		entries[i] = entry.number;
	}
	return count;
}

#include "ring_loops.h"

static void *make(uint32_t capacity)
{
	struct entries *ring = aligned_alloc(64, (sizeof *ring + capacity * sizeof *ring->entries + 63) / 64 * 64);

	if (ring)
		ck_ring_init(&ring->ring, capacity);
	return ring;
}

const struct ring_kind ring_ck = {"ck_ring", make, pass, consume, produce};
#endif
