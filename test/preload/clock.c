/* SPDX-License-Identifier: MIT */
/*
 * Preloaded, the clock that tells the time of day jumps: each time a program looks it is an hour earlier, an hour later or right, by
 * turns. The clocks that cannot be set go on as they are. A namespace of time has no such clock, and the machine's own is not a test's.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

#define JUMP_S 3600

static atomic_uint looks; /* relaxed: whose turn it is does not matter */

static time_t jump(void)
{
	return ((int)(atomic_fetch_add_explicit(&looks, 1, memory_order_relaxed) % 3) - 1) * (time_t)JUMP_S;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*_Atomic next)(clockid_t, struct timespec *); /* relaxed: it is always the same */
	int result;

	if (!next)
		next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	result = next(clock, now);
	if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += jump();
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &precise))
		return -1;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec precise = {0};

	clock_gettime(CLOCK_REALTIME, &precise);
	if (now)
		*now = precise.tv_sec;
	return precise.tv_sec;
}
