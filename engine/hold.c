/* SPDX-License-Identifier: MIT */
/*
 * Holding a lane: nobody reads it, and nothing of it is in flight, so no function sees its packets. They wait in the kernel's
 * queue meanwhile.
 *
 * Why nobody reads any more. The holder says so (`held`), wakes who waits for packets, and then takes the reader's role itself,
 * which it keeps. A reader looks at `held` when it has the role (H1 in worker.c) and before it receives again. If it looked too
 * early, the wake-up comes behind its look, and ends its wait.
 */
#include <time.h>

#include "engine/clock.h"
#include "engine/state.h"

/* Longer than any function should have a packet. */
#define HOLD_NS_MAX 10000000000u
#define LOOK_NS 20000
/* A wake-up that found the socket's buffer full is given again. */
#define LOOKS_BETWEEN_WAKES 500

static bool wait_until(struct vd_engine *engine, struct vd_lane *lane, bool (*is_true)(struct vd_lane *lane))
{
	uint64_t end = vd_clock_ns() + HOLD_NS_MAX;

	for (unsigned looks = 0; !vd_engine_is_stopping(engine); looks++) {
		if (is_true(lane))
			return true;
		if (vd_clock_ns() > end)
			return false;
		if (looks % LOOKS_BETWEEN_WAKES == 0)
			vd_lane_wake(lane);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
	}
	return false;
}

static bool take_reading(struct vd_lane *lane)
{
	return vd_lane_take_reading(lane);
}

static bool is_empty(struct vd_lane *lane)
{
	return !vd_lane_in_flight(lane);
}

int vd_lane_hold(struct vd_engine *engine, struct vd_lane *lane, struct vd_error *error)
{
	bool is_ours;

	/* H2: sequentially consistent, before the wake-up */
	atomic_store_explicit(&lane->held, true, memory_order_seq_cst);
	is_ours = wait_until(engine, lane, take_reading);
	if (is_ours && wait_until(engine, lane, is_empty))
		return 0;
	atomic_store_explicit(&lane->held, false, memory_order_release);
	if (is_ours)
		vd_lane_release_reading(lane);
	vd_parking_wake_all(&engine->parking);
	vd_watch_wake(&engine->watch);
	if (vd_engine_is_stopping(engine))
		return vd_error_set(error, -ECANCELED, "it is about to stop");
	return vd_error_set(error, -ETIMEDOUT, "a function has had a packet of %s %u for 10 seconds", lane->port->operations->kind,
			    lane->port->queue);
}

void vd_lane_let_go(struct vd_engine *engine, struct vd_lane *lane)
{
	/* nobody may have seen it empty or not: it is asked */
	atomic_store_explicit(&lane->readable, true, memory_order_release);
	atomic_store_explicit(&lane->held, false, memory_order_release);
	vd_lane_release_reading(lane);
	vd_parking_wake_all(&engine->parking);
	vd_watch_wake(&engine->watch);
}
