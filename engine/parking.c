/* SPDX-License-Identifier: MIT */
#include "engine/parking.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void vd_parking_init(struct vd_parking *parking)
{
	atomic_init(&parking->epoch, 0);
	atomic_init(&parking->parked, 0);
}

uint32_t vd_parking_prepare(struct vd_parking *parking)
{
	uint32_t key = atomic_load_explicit(&parking->epoch, memory_order_acquire);

	/* S1: acquire and release, pairs with W1 in wake() */
	atomic_fetch_add_explicit(&parking->parked, 1, memory_order_acq_rel);
	return key;
}

void vd_parking_cancel(struct vd_parking *parking)
{
	/* relaxed: too many counted costs a needless wake-up */
	atomic_fetch_sub_explicit(&parking->parked, 1, memory_order_relaxed);
}

void vd_parking_park(struct vd_parking *parking, uint32_t key)
{
	/* returns at once when the epoch has moved on; a return for any other reason makes the caller look again */
	syscall(SYS_futex, &parking->epoch, FUTEX_WAIT_PRIVATE, key, NULL, NULL, 0);
	vd_parking_cancel(parking);
}

static bool wake(struct vd_parking *parking, int count)
{
	int saved = errno;

	/* W1: release and acquire, pairs with S1 in vd_parking_prepare(): adds nothing, but takes its place in the order */
	if (!atomic_fetch_add_explicit(&parking->parked, 0, memory_order_acq_rel))
		return false;
	atomic_fetch_add_explicit(&parking->epoch, 1, memory_order_release);
	syscall(SYS_futex, &parking->epoch, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
	errno = saved;
	return true;
}

bool vd_parking_wake_one(struct vd_parking *parking)
{
	return wake(parking, 1);
}

void vd_parking_wake_all(struct vd_parking *parking)
{
	wake(parking, INT_MAX);
}
