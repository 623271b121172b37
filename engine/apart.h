/* SPDX-License-Identifier: MIT */
/*
 * Workers that are woken wake on another CPU than who wakes them, if there is one.
 *
 * A scheduler may put a thread on the CPU of the one that wakes it, behind that one, which has work to do and goes on. In virtual machines
 * it does so also where another CPU has nothing to do: one that sleeps looks there like one that the host has given to somebody else. At
 * the next balancing that is mended, after milliseconds in which one thread did the work of two, and thousands of packets. So
 * whoever wakes workers first takes its own CPU from what they may use; who has woken takes it back, and may be anywhere.
 *
 * Why nobody is left without its CPUs. A worker says that it is awake (`is_parked`), and then takes back what `avoids` says was taken. A waker
 * says so when it has taken a CPU away, and then looks whether the worker is awake, and gives it back if so. All of these are
 * sequentially consistent, so at least one of the two does; it says so before as well, or others would take the same again.
 */
#ifndef VERDICT_ENGINE_APART_H
#define VERDICT_ENGINE_APART_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct vd_engine;

/* What a worker has for it. */
struct vd_apart {
	pid_t thread;
	cpu_set_t cpus; /* that it may use */
	_Atomic bool is_parked;
	_Atomic int avoids; /* the CPU that was taken away; -1: none */
};

/* In the worker's own thread, before it parks for the first time. */
void vd_apart_init(struct vd_apart *apart);

/* Around parking. */
static inline void vd_apart_begin(struct vd_apart *apart)
{
	atomic_store(&apart->is_parked, true);
}
void vd_apart_end(struct vd_apart *apart);

/* vd_parking_wake_one() for workers. */
bool vd_apart_wake_one(struct vd_engine *engine);

#endif
