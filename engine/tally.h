/* SPDX-License-Identifier: MIT */
/*
 * Counters with one writer and any readers: a relaxed load and store, no locked instruction. A reader gets a recent
 * value of each; sums of several are exact when the writer rests.
 */
#ifndef VERDICT_ENGINE_TALLY_H
#define VERDICT_ENGINE_TALLY_H

#include <stdint.h>

static inline void vd_tally_add(uint64_t *tally, uint64_t n)
{
	__atomic_store_n(tally, *tally + n, __ATOMIC_RELAXED);
}

static inline void vd_tally_write(uint64_t *tally, uint64_t value)
{
	__atomic_store_n(tally, value, __ATOMIC_RELAXED);
}

static inline uint64_t vd_tally_read(const uint64_t *tally)
{
	return __atomic_load_n(tally, __ATOMIC_RELAXED);
}

#endif
