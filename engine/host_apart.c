/* SPDX-License-Identifier: MIT */
/*
 * Workers that ask their hosts keep to different CPUs.
 *
 * A worker and its host's thread take turns, and are best on one CPU (follow() in host_process.c). So the thread is bound to where its
 * worker is, and a scheduler that has put two such pairs on one CPU, as where workers are woken all at once because a host has died,
 * cannot tell them apart: workers sleep whenever it looks, and the threads may not move. The other CPU would idle for milliseconds.
 */
#include <sched.h>

#include "engine/clock.h"
#include "engine/host_private.h"

/* No worker moves more often: where other programs want the CPU as well, the scheduler may move it back. */
#define MOVE_AGAIN_NS 1000000u

/* Whether one of the first `workers` has a burst with its host there. */
static bool is_taken(const struct vd_host *host, unsigned workers, unsigned worker, int cpu)
{
	for (unsigned i = 0; i < workers; i++)
		/* relaxed: a hint, and one that is outdated costs a move */
		if (i != worker && atomic_load_explicit(&host->own[i].is_asking, memory_order_relaxed) &&
		    atomic_load_explicit(&host->own[i].cpu, memory_order_relaxed) == cpu)
			return true;
	return false;
}

/* To a CPU that it may use and where no other asks; the scheduler is free to have it elsewhere later. */
static void move(const struct vd_host *host, unsigned worker)
{
	cpu_set_t all, there;

	if (sched_getaffinity(0, sizeof all, &all))
		return;
	for (int cpu = 0, left = CPU_COUNT(&all); left; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		left--;
		if (is_taken(host, host->workers, worker, cpu))
			continue;
		CPU_ZERO(&there);
		CPU_SET(cpu, &there);
		if (!sched_setaffinity(0, sizeof there, &there))
			sched_setaffinity(0, sizeof all, &all);
		return;
	}
}

int vd_host_keep_apart(struct vd_host *host, unsigned worker)
{
	struct vd_host_worker *own = &host->own[worker];
	int cpu = sched_getcpu();

	/* of two, the one with the greater number goes: they would meet again otherwise */
	if (is_taken(host, worker, worker, cpu)) {
		uint64_t now = vd_clock_ns();

		if (now - own->moved_ns >= MOVE_AGAIN_NS) {
			own->moved_ns = now;
			move(host, worker);
			cpu = sched_getcpu();
		}
	}
	atomic_store_explicit(&own->cpu, cpu, memory_order_relaxed);
	return cpu;
}
