/* SPDX-License-Identifier: MIT */
/*
 * When what was replaced can be freed: by liburcu's QSBR (quiescent states).
 *
 *	a thread of the engine				whoever replaces something
 *	vd_grace_enter()				publishes what is new
 *	  loop: vd_grace_pass(), takes over what is	vd_grace_wait()
 *	        published, and uses it			frees what was there before
 *	        vd_grace_sleep(), sleeps, _wake()
 *	vd_grace_leave()
 *
 * To pass says: I hold nothing of before. Who sleeps holds nothing either, and has to take over anew when it wakes. While nobody
 * waits, passing is a few loads.
 *
 * liburcu's code is not built for ThreadSanitizer, so what it orders is told here.
 */
#ifndef VERDICT_ENGINE_GRACE_H
#define VERDICT_ENGINE_GRACE_H

#include <urcu-qsbr.h>

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
extern char vd_grace_order;
#define VD_GRACE_BEFORE() __tsan_release(&vd_grace_order)
#define VD_GRACE_BEHIND() __tsan_acquire(&vd_grace_order)
#else
#define VD_GRACE_BEFORE() ((void)0)
#define VD_GRACE_BEHIND() ((void)0)
#endif

static inline void vd_grace_enter(void)
{
	urcu_qsbr_register_thread();
}

static inline void vd_grace_leave(void)
{
	VD_GRACE_BEFORE();
	urcu_qsbr_unregister_thread();
}

static inline void vd_grace_pass(void)
{
	VD_GRACE_BEFORE();
	urcu_qsbr_quiescent_state();
}

static inline void vd_grace_sleep(void)
{
	VD_GRACE_BEFORE();
	urcu_qsbr_thread_offline();
}

static inline void vd_grace_wake(void)
{
	urcu_qsbr_thread_online();
}

/* Until every thread has passed or slept since. Not for threads that have entered. */
static inline void vd_grace_wait(void)
{
	urcu_qsbr_synchronize_rcu();
	VD_GRACE_BEHIND();
}

#endif
