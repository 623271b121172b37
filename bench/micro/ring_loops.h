/* SPDX-License-Identifier: MIT */
/*
 * The loops over one kind of ring, for a file that has defined before:
 *
 *	static inline uint32_t push(RING *ring, const uint32_t *entries, uint32_t count)    as many as fit
 *	static inline uint32_t pop(RING *ring, uint32_t *entries, uint32_t count)	    as many as there are
 */
#include <sched.h>

#include "ring.h"

/* How often an end looks again before it lets another thread run: that may be the other end, on the same CPU. */
#define LOOKS 1000u

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void number(uint32_t *entries, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		entries[i] = first + i;
}

static bool is_numbered(const uint32_t *entries, uint32_t first, uint32_t count)
{
	uint32_t differences = 0;

	for (uint32_t i = 0; i < count; i++)
		differences |= entries[i] ^ (first + i);
	return !differences;
}

static bool pass(void *ring, uint32_t burst, uint32_t count)
{
	uint32_t entries[RING_BURST_MAX];
	bool is_good = true;

	for (uint32_t done = 0; is_good && done < count; done += burst) {
		uint32_t now = smaller(burst, count - done);

		number(entries, done, now);
		is_good = push(ring, entries, now) == now && pop(ring, entries, burst) == now &&
			  is_numbered(entries, done, now);
	}
	return is_good;
}

static void look_again(uint32_t *looks)
{
	if (++*looks % LOOKS == 0)
		sched_yield();
}

static void produce(void *ring, uint32_t burst, uint32_t count)
{
	uint32_t entries[RING_BURST_MAX], looks = 0;

	for (uint32_t done = 0; done < count;) {
		uint32_t now = smaller(burst, count - done), pushed;

		number(entries, done, now);
		pushed = push(ring, entries, now);
		done += pushed;
		if (!pushed)
			look_again(&looks);
	}
}

static bool consume(void *ring, uint32_t burst, uint32_t count)
{
	uint32_t entries[RING_BURST_MAX], looks = 0;
	bool is_good = true;

	/* to the end, also when something is wrong: the producer must not wait for ever */
	for (uint32_t done = 0; done < count;) {
		uint32_t popped = pop(ring, entries, burst);

		is_good = is_good && is_numbered(entries, done, popped);
		done += popped;
		if (!popped)
			look_again(&looks);
	}
	return is_good;
}
