/* SPDX-License-Identifier: MIT */
/*
 * DPDK's ring, of 4-byte elements, with one producer and one consumer. Its headers are enough: rte_ring_init(), which is in a
 * library that wants the whole environment of DPDK, is done by hand.
 */
#if HAS_DPDK
#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>
#include <rte_ring_elem.h>

static inline uint32_t push(struct rte_ring *ring, const uint32_t *entries, uint32_t count)
{
	return rte_ring_sp_enqueue_burst_elem(ring, entries, sizeof *entries, count, NULL);
}

static inline uint32_t pop(struct rte_ring *ring, uint32_t *entries, uint32_t count)
{
	return rte_ring_sc_dequeue_burst_elem(ring, entries, sizeof *entries, count, NULL);
}

#include "ring_loops.h"

static void *make(uint32_t capacity)
{
	size_t size = sizeof(struct rte_ring) + capacity * sizeof(uint32_t);
	struct rte_ring *ring = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(size, RTE_CACHE_LINE_SIZE));

	if (!ring)
		return NULL;
	memset(ring, 0, sizeof *ring);
	ring->flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
	ring->prod.sync_type = ring->cons.sync_type = RTE_RING_SYNC_ST;
	ring->size = capacity;
	ring->mask = ring->capacity = capacity - 1;
	return ring;
}

const struct ring_kind ring_rte = {"rte_ring", make, pass, consume, produce};
#endif
