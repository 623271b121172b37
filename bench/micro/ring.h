/* SPDX-License-Identifier: MIT */
/*
 * Rings for a C++ program: C11 atomics are not C++. Loops and not single calls, so that what is inline where a ring is used
 * is inline here.
 *
 *	ring.c		lib/ring/spsc.h
 *	ring_rte.c	DPDK's rte_ring, if its headers were there when it was built
 *	ring_ck.c	Concurrency Kit's ck_ring, likewise
 *	ring_loops.h	the loops, the same for all
 */
#ifndef VERDICT_BENCH_RING_H
#define VERDICT_BENCH_RING_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RING_BURST_MAX 64u

/* All move numbers of 32 bits, from one producer to one consumer. */
struct ring_kind {
	const char *name;

	/* An empty one for `capacity` entries, a power of two, or one less; NULL: no memory. free() it. */
	void *(*make)(uint32_t capacity);

	/* Each moves the numbers 0 to count - 1 in bursts. False: they did not come out in order. */
	bool (*pass)(void *ring, uint32_t burst, uint32_t count);    /* in this thread, a burst in, a burst out */
	bool (*consume)(void *ring, uint32_t burst, uint32_t count); /* waits for what is not there yet */

	/* The other end for consume(), in another thread. */
	void (*produce)(void *ring, uint32_t burst, uint32_t count);
};

extern const struct ring_kind ring_rte, ring_ck;

/* Ours, and those that there are; NULL ends them. */
extern const struct ring_kind *const ring_kinds[];

#ifdef __cplusplus
}
#endif

#endif
