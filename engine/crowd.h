/* SPDX-License-Identifier: MIT */
/*
 * Whether the CPUs are crowded: threads that could work wait for one.
 *
 * To share a burst costs something: packets go through rings, threads are woken, verdicts cannot go in one message. That is well
 * spent where another CPU has nothing to do. Where all of them are taken, by the sender on the same machine or by other programs,
 * a second thread only takes its share from the first; one that decides everything on the spot then gets more done, if
 * packets are cheap.
 *
 * So threads that share compare the time by the clock with the CPU time that they got. If much is missing, bursts are
 * decided on the spot for a while; then it is tried again. Each time in vain makes the while longer.
 */
#ifndef VERDICT_ENGINE_CROWD_H
#define VERDICT_ENGINE_CROWD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What is compared is at least so much of a thread's time, and so much of it is missing. Many of a scheduler's slices. */
#define VD_CROWD_WINDOW_NS 50000000u
#define VD_CROWD_MISSING_PART 4

/* How long nothing is shared then. */
#define VD_CROWD_PAUSE_MIN_NS 200000000ull
#define VD_CROWD_PAUSE_MAX_NS 4000000000ull

/*
 * Packets that take longer than this, the kernel's part included, are shared all the same: two threads get more CPU time than one,
 * and that is worth more than what it costs.
 */
#define VD_CROWD_COST_MAX_NS 3000u

struct vd_crowd {
	_Atomic bool is_crowded;
	_Atomic uint64_t until_ns;
	_Atomic uint64_t pause_ns;
};

/* A thread's own record. */
struct vd_crowd_watch {
	bool is_running; /* it has not slept since `clock_ns` */
	uint64_t clock_ns, cpu_ns;
	uint64_t watched_ns, missing_ns;
};

/* CPU time is asked for this often, as that takes longer than a small burst. */
#define VD_CROWD_EVERY_NS 1000000u

/* Whether vd_crowd_watch() wants to be called. */
static inline bool vd_crowd_is_due(const struct vd_crowd_watch *watch, uint64_t clock_ns)
{
	return !watch->is_running || clock_ns - watch->clock_ns >= VD_CROWD_EVERY_NS;
}

/* This thread has shared work and is not going to sleep: its clock and its CPU time now. */
void vd_crowd_watch(struct vd_crowd *crowd, struct vd_crowd_watch *watch, uint64_t clock_ns, uint64_t cpu_ns);

/* This thread is going to sleep, or to do what it does not share: the time until the next vd_crowd_watch() does not count. */
static inline void vd_crowd_look_away(struct vd_crowd_watch *watch)
{
	watch->is_running = false;
}

/* Any thread. relaxed: an estimate */
static inline bool vd_crowd_is_crowded(struct vd_crowd *crowd)
{
	return atomic_load_explicit(&crowd->is_crowded, memory_order_relaxed);
}

/* Ends it when its time is over. */
static inline void vd_crowd_expire(struct vd_crowd *crowd, uint64_t clock_ns)
{
	if (vd_crowd_is_crowded(crowd) && clock_ns >= atomic_load_explicit(&crowd->until_ns, memory_order_relaxed))
		atomic_store_explicit(&crowd->is_crowded, false, memory_order_relaxed);
}

#endif
