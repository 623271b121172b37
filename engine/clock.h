/* SPDX-License-Identifier: MIT */
#ifndef VERDICT_ENGINE_CLOCK_H
#define VERDICT_ENGINE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds that only go forward; without a system call where the kernel offers that. */
static inline uint64_t vd_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* CPU time of the calling thread. A system call. */
static inline uint64_t vd_clock_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
