/* SPDX-License-Identifier: MIT */
/*
 * Where threads sleep that find nothing to do: an event count on a futex.
 *
 *	a thread				whoever makes work
 *	key = vd_parking_prepare()		publishes it
 *	looks for work once more		vd_parking_wake_one()
 *	vd_parking_park(key), or _cancel()
 *
 * Why no wake-up is lost. Both prepare() and wake_one() read and modify `parked` in one step, so one of the two comes
 * first. If the sleeper does, the waker sees it counted and moves the epoch, on which the futex does not sleep any more. If
 * the waker does, the sleeper has acquired what the waker published before, and finds it when it looks once more.
 */
#ifndef VERDICT_ENGINE_PARKING_H
#define VERDICT_ENGINE_PARKING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vd_parking {
	_Atomic uint32_t epoch;
	_Atomic uint32_t parked;
};

void vd_parking_init(struct vd_parking *parking);
uint32_t vd_parking_prepare(struct vd_parking *parking);
void vd_parking_cancel(struct vd_parking *parking);
void vd_parking_park(struct vd_parking *parking, uint32_t key);

/* Wakes a sleeper and returns true, if there is one. One locked instruction when there is none. Async-signal-safe. */
bool vd_parking_wake_one(struct vd_parking *parking);
void vd_parking_wake_all(struct vd_parking *parking);

#endif
