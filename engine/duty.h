/* SPDX-License-Identifier: MIT */
/*
 * Who drains which shard: one word for a lane's up to 32 shards.
 *
 *	bits 0-31   ready: the shard has packets that nobody has claimed
 *	bits 32-63  busy: a thread has claimed the shard and drains it
 *
 * The reader offers shards after it has pushed to them; a thread claims one that is ready and not busy, drains some of it,
 * sends what it decided, and releases it, ready again if there is more. So one thread at a time drains a shard, and a
 * flow's packets are decided and sent in the order of arrival.
 *
 * Why nothing is forgotten. A claim clears ready before the claimer looks into the ring; whoever pushes later offers again.
 * Ready stays set while the shard is busy, and is found when it is released.
 */
#ifndef VERDICT_ENGINE_DUTY_H
#define VERDICT_ENGINE_DUTY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define VD_SHARDS_MAX 32

struct vd_duty {
	_Atomic uint64_t word;
};

static inline uint32_t vd_duty_claimable_(uint64_t word)
{
	return (uint32_t)word & ~(uint32_t)(word >> 32);
}

/* There are packets in these shards. */
static inline void vd_duty_offer(struct vd_duty *duty, uint32_t shards)
{
	/* O1: release, pairs with the acquire in vd_duty_claim(): the pushes come before */
	atomic_fetch_or_explicit(&duty->word, shards, memory_order_release);
}

static inline bool vd_duty_is_claimable(struct vd_duty *duty)
{
	/* relaxed: a hint; a claim looks again */
	return vd_duty_claimable_(atomic_load_explicit(&duty->word, memory_order_relaxed)) != 0;
}

/* Claims a shard, `preferred` or the next one after it; -1: there is none. */
static inline int vd_duty_claim(struct vd_duty *duty, unsigned preferred)
{
	/* relaxed: the exchange below checks it */
	uint64_t word = atomic_load_explicit(&duty->word, memory_order_relaxed);

	for (;;) {
		uint32_t claimable = vd_duty_claimable_(word);
		uint32_t from_preferred;
		unsigned shard;

		if (!claimable)
			return -1;
		from_preferred = claimable & (UINT32_MAX << preferred);
		shard = (unsigned)__builtin_ctz(from_preferred ? from_preferred : claimable);
		/* acquire, pairs with O1 and R1: what was pushed, and what the last holder did to the shard, is seen */
		if (atomic_compare_exchange_weak_explicit(&duty->word, &word,
							  (word & ~(1ull << shard)) | 1ull << (32 + shard),
							  memory_order_acquire, memory_order_relaxed))
			return (int)shard;
	}
}

/* Gives claimed shards back; those in `more` still have packets. */
static inline void vd_duty_release(struct vd_duty *duty, uint32_t shards, uint32_t more)
{
	uint64_t word = atomic_load_explicit(&duty->word, memory_order_relaxed);

	/* R1: release, pairs with the acquire in vd_duty_claim() */
	while (!atomic_compare_exchange_weak_explicit(&duty->word, &word, (word & ~((uint64_t)shards << 32)) | more,
						      memory_order_release, memory_order_relaxed))
		;
}

#endif
