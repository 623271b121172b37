/* SPDX-License-Identifier: MIT */
/*
 * lib/ring/spsc.h for a C++ program: C11 atomics are not C++. Loops and not single calls, so that what is inline in the
 * engine is inline here.
 */
#ifndef VERDICT_BENCH_RING_H
#define VERDICT_BENCH_RING_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RING_BURST_MAX 64u

struct vd_ring_spsc;

/* An empty one, or NULL; free() it. */
struct vd_ring_spsc *ring_make(uint32_t capacity);

/* Each moves the numbers 0 to count - 1 in bursts. False: they did not come out in order. */
bool ring_pass(struct vd_ring_spsc *ring, uint32_t burst, uint32_t count); /* in this thread, a burst in, a burst out */
bool ring_consume(struct vd_ring_spsc *ring, uint32_t burst, uint32_t count); /* waits for what is not there yet */

/* The other end for ring_consume(), in another thread. */
void ring_produce(struct vd_ring_spsc *ring, uint32_t burst, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
