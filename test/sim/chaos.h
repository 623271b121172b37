/* SPDX-License-Identifier: MIT */
/*
 * Bad luck, for stress: compiled into everything in front of each file (-include test/sim/chaos.h), it lets threads lose
 * the CPU before their atomic operations, now and then. Windows of a few instructions, which a run meets once in a million, then
 * are met all the time: a stop whose wake-up was spent on the wrong reader, an end that is counted twice.
 *
 * The operations themselves are the same. Only for C; never for what is measured or installed.
 */
#if !defined(VERDICT_TEST_SIM_CHAOS_H) && !defined(__cplusplus)
#define VERDICT_TEST_SIM_CHAOS_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

/* One operation in so many yields, and one in so many sleeps. */
#ifndef VD_CHAOS_YIELD
#define VD_CHAOS_YIELD 16
#endif
#ifndef VD_CHAOS_SLEEP
#define VD_CHAOS_SLEEP 400
#endif

static inline void vd_chaos(void)
{
	static _Thread_local uint64_t dice;
	struct timespec time;

	if (!dice) {
		clock_gettime(CLOCK_MONOTONIC, &time);
		dice = ((uint64_t)time.tv_nsec ^ (uint64_t)(uintptr_t)&dice) | 1;
	}
	dice ^= dice << 13; /* xorshift64 */
	dice ^= dice >> 7;
	dice ^= dice << 17;
	if (dice % VD_CHAOS_SLEEP == 0) {
		time = (struct timespec){.tv_nsec = 1000 + (long)((dice >> 32) % 60000)};
		nanosleep(&time, NULL);
	} else if (dice % VD_CHAOS_YIELD == 0) {
		sched_yield();
	}
}

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#define atomic_load_explicit(object, order) (vd_chaos(), __atomic_load_n((object), (order)))
#define atomic_store_explicit(object, value, order) (vd_chaos(), __atomic_store_n((object), (value), (order)), vd_chaos())
#define atomic_exchange_explicit(object, value, order) (vd_chaos(), __atomic_exchange_n((object), (value), (order)))
#define atomic_fetch_add_explicit(object, value, order) (vd_chaos(), __atomic_fetch_add((object), (value), (order)))
#define atomic_fetch_sub_explicit(object, value, order) (vd_chaos(), __atomic_fetch_sub((object), (value), (order)))
#define atomic_fetch_or_explicit(object, value, order) (vd_chaos(), __atomic_fetch_or((object), (value), (order)))
#define atomic_fetch_and_explicit(object, value, order) (vd_chaos(), __atomic_fetch_and((object), (value), (order)))

#endif
