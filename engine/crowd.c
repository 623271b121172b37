/* SPDX-License-Identifier: MIT */
#include "engine/crowd.h"

static void judge(struct vd_crowd *crowd, const struct vd_crowd_watch *watch, uint64_t clock_ns)
{
	uint64_t pause_ns = atomic_load_explicit(&crowd->pause_ns, memory_order_relaxed);

	if (watch->missing_ns < watch->watched_ns / VD_CROWD_MISSING_PART) {
		atomic_store_explicit(&crowd->pause_ns, 0, memory_order_relaxed);
		return;
	}
	pause_ns = pause_ns ? 2 * pause_ns : VD_CROWD_PAUSE_MIN_NS;
	if (pause_ns > VD_CROWD_PAUSE_MAX_NS)
		pause_ns = VD_CROWD_PAUSE_MAX_NS;
	atomic_store_explicit(&crowd->pause_ns, pause_ns, memory_order_relaxed);
	atomic_store_explicit(&crowd->until_ns, clock_ns + pause_ns, memory_order_relaxed);
	atomic_store_explicit(&crowd->is_crowded, true, memory_order_relaxed);
}

void vd_crowd_watch(struct vd_crowd *crowd, struct vd_crowd_watch *watch, uint64_t clock_ns, uint64_t cpu_ns)
{
	uint64_t passed_ns = clock_ns - watch->clock_ns, used_ns = cpu_ns - watch->cpu_ns;

	if (watch->is_running) {
		watch->watched_ns += passed_ns;
		watch->missing_ns += passed_ns > used_ns ? passed_ns - used_ns : 0;
	}
	watch->is_running = true;
	watch->clock_ns = clock_ns;
	watch->cpu_ns = cpu_ns;
	if (watch->watched_ns < VD_CROWD_WINDOW_NS)
		return;
	/* another thread may have said it already, with the same right */
	if (!vd_crowd_is_crowded(crowd))
		judge(crowd, watch, clock_ns);
	watch->watched_ns = watch->missing_ns = 0;
}
