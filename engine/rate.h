/* SPDX-License-Identifier: MIT */
/*
 * So many a second, for any number of threads, without a lock: the generic cell rate algorithm, which is a token bucket
 * whose whole state is one time.
 *
 * `due` is when the next one would come if all came evenly. One that is taken moves it on by an interval; as long as it is
 * not further ahead of the clock than the burst allows, one more may be taken. So in any time t, burst + rate * t are.
 */
#ifndef VERDICT_ENGINE_RATE_H
#define VERDICT_ENGINE_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vd_rate {
	uint64_t interval_ns;
	uint64_t ahead_ns; /* how far `due` may be ahead of the clock */
	_Atomic uint64_t due_ns;
};

/* 1 to 1000000000 a second; at once a tenth of that, or at least `burst`, which is not 0: also at the start. */
static inline void vd_rate_init(struct vd_rate *rate, uint32_t rate_per_second, uint32_t burst)
{
	if (burst < rate_per_second / 10)
		burst = rate_per_second / 10;
	rate->interval_ns = (1000000000u + rate_per_second - 1) / rate_per_second; /* rounded up: never more */
	rate->ahead_ns = (burst - 1) * rate->interval_ns;
	atomic_init(&rate->due_ns, 0);
}

/* Whether one more is allowed at `now_ns`, on a clock that only goes forward; then it is taken. */
static inline bool vd_rate_take(struct vd_rate *rate, uint64_t now_ns)
{
	/* relaxed: a number, nothing else hangs on it */
	uint64_t due = atomic_load_explicit(&rate->due_ns, memory_order_relaxed), from;

	do {
		from = due > now_ns ? due : now_ns;
		if (from - now_ns > rate->ahead_ns)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&rate->due_ns, &due, from + rate->interval_ns, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

#endif
