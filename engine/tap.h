/* SPDX-License-Identifier: MIT */
/*
 * Taps: copies of decided packets, for who looks on (<verdict/engine.h>). This is what the threads that decide have to do with them;
 * a tap itself is in tap.c, where the copies wait in tap_ring.h.
 *
 * Why a tap can be freed. Open taps are a list. A thread that decides raises its flag before it looks at the list, and
 * lowers it when it has shown its burst to all of them; who closes a tap takes it out of the list before it looks at the flags. All
 * four steps are sequentially consistent (T1 to T4), so either the thread does not find the tap, or its flag is seen, and
 * waited for: some microseconds, as it does nothing but copy meanwhile. (A grace period, grace.h, would wait for
 * threads that are in a function, which may take its time.) While no tap is open nobody raises flags: one load for a burst.
 */
#ifndef VERDICT_ENGINE_TAP_H
#define VERDICT_ENGINE_TAP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lib/ring/spsc.h"
#include <verdict/engine.h>

struct vd_chain;

struct vd_taps {
	struct vd_engine_tap *_Atomic first; /* NULL: none is open */
	pthread_mutex_t changing;	     /* the list */
	unsigned count;			     /* with that lock */
	struct vd_tap_flag {
		_Atomic bool is_showing; /* this worker may have found a tap */
		char apart[VD_CACHE_LINE - sizeof(bool)];
	} flags[VD_ENGINE_WORKERS_MAX];
};

/* At least one tap is open, or has been a moment ago. */
void vd_taps_show_burst(struct vd_taps *taps, unsigned worker, const struct vd_chain *chain, struct vd_packet *const *packets,
			unsigned count);

/* Packets of one lane, with their verdicts, before these are sent. `chain`: which gave them. Worker `worker`. */
static inline void vd_taps_show(struct vd_taps *taps, unsigned worker, const struct vd_chain *chain,
				struct vd_packet *const *packets, unsigned count)
{
	/* relaxed: only a hint, vd_taps_show_burst() looks again */
	if (__builtin_expect(atomic_load_explicit(&taps->first, memory_order_relaxed) != NULL, 0))
		vd_taps_show_burst(taps, worker, chain, packets, count);
}

#endif
