/* SPDX-License-Identifier: MIT */
/*
 * Waiting for packets on several lanes.
 *
 * With one lane nobody watches: the reader waits in its own receive call, which saves two calls a packet when
 * load is low. With several, one thread at a time (the watcher's role) sleeps in epoll. A lane is armed when its reader
 * has seen it empty, and fires once: a lane that is being read wakes nobody.
 */
#ifndef VERDICT_ENGINE_WATCH_H
#define VERDICT_ENGINE_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>

struct vd_lane;

#define VD_WATCH_EVENTS_MAX 64

struct vd_watch {
	int epoll;  /* -1: there was never more than one lane */
	int wakeup; /* an eventfd */
	_Atomic bool watching;
};

static inline bool vd_watch_is_on(const struct vd_watch *watch)
{
	return watch->epoll >= 0;
}

/* It can be woken from now on. 0 or -errno. */
int vd_watch_init(struct vd_watch *watch);

/* Prepares to watch the lanes that have a descriptor, all unarmed; one alone is not watched. 0 or -errno. */
int vd_watch_open(struct vd_watch *watch, struct vd_lane *const *lanes, unsigned count);

/* One more, or one less, while others are watched. Nobody reads the lane. 0 or -errno. */
int vd_watch_add(struct vd_watch *watch, const struct vd_lane *lane);
void vd_watch_remove(struct vd_watch *watch, const struct vd_lane *lane);
void vd_watch_fini(struct vd_watch *watch);

/* The lane was found empty. Caller: its reader, before it releases the role. */
void vd_watch_arm(struct vd_watch *watch, struct vd_lane *lane);

/* The indices of lanes that have fired, up to VD_WATCH_EVENTS_MAX; how many. `wait`: sleep until there is one, or vd_watch_wake(). */
unsigned vd_watch_look(struct vd_watch *watch, unsigned *indices, bool wait);

/*
 * Makes the watcher return, if there is one, or the next one that comes: once. Async-signal-safe. A thread that takes the
 * role looks for a stop before it waits, so one wake-up ends them all.
 */
void vd_watch_wake(struct vd_watch *watch);

#endif
