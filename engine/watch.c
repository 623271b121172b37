/* SPDX-License-Identifier: MIT */
#include "engine/watch.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/lane.h"

#define WAKEUP UINT32_MAX

int vd_watch_init(struct vd_watch *watch)
{
	watch->epoll = -1;
	atomic_init(&watch->watching, false);
	watch->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return watch->wakeup < 0 ? -errno : 0;
}

int vd_watch_add(struct vd_watch *watch, const struct vd_lane *lane)
{
	struct epoll_event event = {.events = EPOLLONESHOT, .data.u32 = lane->index};

	return lane->port->descriptor >= 0 && epoll_ctl(watch->epoll, EPOLL_CTL_ADD, lane->port->descriptor, &event) ? -errno : 0;
}

void vd_watch_remove(struct vd_watch *watch, const struct vd_lane *lane)
{
	if (watch->epoll >= 0 && lane->port->descriptor >= 0)
		epoll_ctl(watch->epoll, EPOLL_CTL_DEL, lane->port->descriptor, NULL);
}

int vd_watch_open(struct vd_watch *watch, struct vd_lane *const *lanes, unsigned count)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = WAKEUP};
	int result = 0;

	if (count < 2)
		return 0;
	watch->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (watch->epoll < 0 || epoll_ctl(watch->epoll, EPOLL_CTL_ADD, watch->wakeup, &event))
		result = -errno;
	for (unsigned i = 0; i < count && !result; i++)
		result = vd_watch_add(watch, lanes[i]);
	if (result && watch->epoll >= 0) {
		close(watch->epoll);
		watch->epoll = -1;
	}
	return result;
}

void vd_watch_fini(struct vd_watch *watch)
{
	if (watch->epoll >= 0)
		close(watch->epoll);
	if (watch->wakeup >= 0)
		close(watch->wakeup);
	watch->epoll = watch->wakeup = -1;
}

void vd_watch_arm(struct vd_watch *watch, struct vd_lane *lane)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = lane->index};

	/* the flag first: once armed, another thread may see the lane fire and set it again */
	atomic_store_explicit(&lane->readable, false, memory_order_release);
	if (epoll_ctl(watch->epoll, EPOLL_CTL_MOD, lane->port->descriptor, &event))
		atomic_store_explicit(&lane->readable, true, memory_order_release); /* then it is asked in turn */
}

unsigned vd_watch_look(struct vd_watch *watch, unsigned *indices, bool wait)
{
	struct epoll_event events[VD_WATCH_EVENTS_MAX];
	int count = epoll_wait(watch->epoll, events, VD_WATCH_EVENTS_MAX, wait ? -1 : 0);
	unsigned fired = 0;

	for (int i = 0; i < count; i++) {
		if (events[i].data.u32 == WAKEUP) {
			uint64_t times;

			(void)!read(watch->wakeup, &times, sizeof times);
			continue;
		}
		indices[fired++] = events[i].data.u32;
	}
	return fired;
}

void vd_watch_wake(struct vd_watch *watch)
{
	uint64_t one = 1;
	int saved = errno;

	if (watch->wakeup >= 0 && write(watch->wakeup, &one, sizeof one) < 0)
		errno = saved; /* it is readable already */
}
