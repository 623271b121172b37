/* SPDX-License-Identifier: MIT */
#include "engine/apart.h"

#include <unistd.h>

#include "engine/state.h"

/* Which of those that are parked wakes is the kernel's choice. With more than so many, others than the waker are on its CPU hardly ever. */
#define MOVED_MAX 8

void vd_apart_init(struct vd_apart *apart)
{
	apart->thread = gettid();
	atomic_store(&apart->is_parked, false);
	atomic_store(&apart->avoids, -1);
	if (sched_getaffinity(0, sizeof apart->cpus, &apart->cpus))
		CPU_ZERO(&apart->cpus); /* then it is left where it is */
}

void vd_apart_end(struct vd_apart *apart)
{
	atomic_store(&apart->is_parked, false);
	if (atomic_exchange(&apart->avoids, -1) >= 0)
		sched_setaffinity(0, sizeof apart->cpus, &apart->cpus);
}

static void send_away(struct vd_apart *apart, int cpu)
{
	cpu_set_t cpus = apart->cpus;

	if (atomic_load(&apart->avoids) == cpu || !CPU_ISSET(cpu, &cpus) || CPU_COUNT(&cpus) < 2)
		return;
	CPU_CLR(cpu, &cpus);
	atomic_store(&apart->avoids, cpu);
	sched_setaffinity(apart->thread, sizeof cpus, &cpus);
	atomic_store(&apart->avoids, cpu); /* it may have been awake meanwhile, and be parked again */
	if (!atomic_load(&apart->is_parked))
		sched_setaffinity(apart->thread, sizeof apart->cpus, &apart->cpus);
}

bool vd_apart_wake_one(struct vd_engine *engine)
{
	unsigned left = MOVED_MAX;
	int cpu;

	/* relaxed: a hint; vd_parking_wake_one() looks again */
	if (atomic_load_explicit(&engine->parking.parked, memory_order_relaxed)) {
		cpu = sched_getcpu();
		for (unsigned i = 0; i < engine->worker_count && left && cpu >= 0; i++)
			if (atomic_load(&engine->workers[i].apart.is_parked)) {
				send_away(&engine->workers[i].apart, cpu);
				left--;
			}
	}
	return vd_parking_wake_one(&engine->parking);
}
