/* SPDX-License-Identifier: MIT */
/*
 * Places for held packets, and their tickets. See held.h.
 */
#include "engine/held.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/clock.h"

#define STATE_BITS 8
#define NUMBER_MAX ((1ull << (64 - VD_HELD_INDEX_BITS)) - 1)

static uint64_t word_of(uint64_t number, enum vd_held_state state)
{
	return number << STATE_BITS | state;
}

/* ---- places ---- */

struct vd_held *vd_held_at(struct vd_holder *holder, uint32_t index)
{
	/* acquire, pairs with the exchange in make_chunk() */
	struct vd_held *chunk = atomic_load_explicit(&holder->chunks[index / VD_HELD_CHUNK], memory_order_acquire);

	return chunk ? &chunk[index % VD_HELD_CHUNK] : NULL;
}

static int make_chunk(struct vd_holder *holder, uint32_t number)
{
	struct vd_held *chunk = calloc(VD_HELD_CHUNK, sizeof *chunk), *none = NULL;

	if (!chunk)
		return -ENOMEM;
	for (uint32_t i = 0; i < VD_HELD_CHUNK; i++)
		chunk[i].index = number * VD_HELD_CHUNK + i;
	/* release, pairs with the acquire in vd_held_at() */
	if (!atomic_compare_exchange_strong_explicit(&holder->chunks[number], &none, chunk, memory_order_acq_rel,
						     memory_order_acquire))
		free(chunk); /* somebody else has made it */
	return 0;
}

/*
 * One that was never used. Who counts as using one before it looks, and gives places back before it counts them as free, finds that
 * there are as many as may be used.
 */
static struct vd_held *take_fresh(struct vd_holder *holder)
{
	uint32_t index = atomic_load_explicit(&holder->fresh, memory_order_relaxed);

	do {
		if (index == VD_ENGINE_HELD_MAX_MAX || (!vd_held_at(holder, index) && make_chunk(holder, index / VD_HELD_CHUNK)))
			return NULL;
		/* relaxed: a number that nobody else gets; the chunk was acquired */
	} while (!atomic_compare_exchange_weak_explicit(&holder->fresh, &index, index + 1, memory_order_relaxed,
							memory_order_relaxed));
	return vd_held_at(holder, index);
}

static struct vd_held *take_free(struct vd_holder *holder)
{
	/* acquire, here and below, pairs with the release in vd_held_give_back(): its last use comes before */
	uint64_t head = atomic_load_explicit(&holder->free, memory_order_acquire), next;
	struct vd_held *held;

	do {
		if (!(uint32_t)head)
			return NULL;
		held = vd_held_at(holder, (uint32_t)head - 1);
		/* relaxed: if it is somebody else's by now, the count of pops has changed */
		next = ((head >> 32) + 1) << 32 | atomic_load_explicit(&held->next_free, memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(&holder->free, &head, next, memory_order_acquire, memory_order_acquire));
	return held;
}

struct vd_held *vd_held_take(struct vd_holder *holder)
{
	struct vd_held *held;

	/* acquire, pairs with the release in vd_held_give_back(): what was given back is on the list */
	if (atomic_fetch_add_explicit(&holder->used, 1, memory_order_acquire) >=
	    atomic_load_explicit(&holder->limit, memory_order_relaxed)) {
		atomic_fetch_sub_explicit(&holder->used, 1, memory_order_relaxed);
		return NULL;
	}
	held = take_free(holder);
	if (!held)
		held = take_fresh(holder);
	if (!held)
		atomic_fetch_sub_explicit(&holder->used, 1, memory_order_relaxed);
	return held;
}

void vd_held_give_back(struct vd_holder *holder, struct vd_held *held)
{
	uint64_t head = atomic_load_explicit(&holder->free, memory_order_relaxed);

	if (held->packet != &held->own)
		free(held->packet);
	held->packet = NULL;
	atomic_store_explicit(&held->word, HELD_FREE, memory_order_relaxed);
	do {
		atomic_store_explicit(&held->next_free, (uint32_t)head, memory_order_relaxed);
		/* release, pairs with the acquires in take_free() */
	} while (!atomic_compare_exchange_weak_explicit(&holder->free, &head, (head >> 32) << 32 | (held->index + 1),
							memory_order_release, memory_order_relaxed));
	/* release, pairs with the acquire in vd_held_take() */
	atomic_fetch_sub_explicit(&holder->used, 1, memory_order_release);
}

bool vd_held_close(struct vd_held *held, enum vd_held_state state)
{
	uint64_t word = word_of(held->number, HELD_OPEN);

	/* relaxed: what there is to be known comes by the lists */
	return atomic_compare_exchange_strong_explicit(&held->word, &word, word_of(held->number, state), memory_order_relaxed,
						       memory_order_relaxed);
}

void vd_held_forget(struct vd_holder *holder, struct vd_held *held)
{
	free(held->flow); /* nobody waits behind it */
	held->flow = NULL;
	if (vd_held_close(held, HELD_VOID)) {
		vd_held_give_back(holder, held);
		return;
	}
	held->is_void = true; /* but it is on `decided`, or soon will be */
	vd_held_arrive(holder, held);
}

/* ---- lists, and the thread that works on them ---- */

void vd_holder_wake(struct vd_holder *holder)
{
	/* sequentially consistent, behind the push: see sleep_until() in held_thread.c */
	if (atomic_load_explicit(&holder->asleep, memory_order_seq_cst) &&
	    atomic_exchange_explicit(&holder->asleep, 0, memory_order_seq_cst))
		syscall(SYS_futex, &holder->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/*
 * Wakes the thread only if it would sleep too long: most deadlines are later than the one that it waits for. Whoever has decided
 * already may have been too early for it: it has looked for what arrived before this push, so this thread sees that decision.
 */
void vd_held_arrive(struct vd_holder *holder, struct vd_held *held)
{
	struct vd_held *head = atomic_load_explicit(&holder->arrived, memory_order_relaxed);
	uint64_t number = held->number, deadline_ns = held->deadline_ns;

	do {
		held->next_arrived = head;
	} while (!atomic_compare_exchange_weak_explicit(&holder->arrived, &head, held, memory_order_seq_cst, memory_order_relaxed));
	/* from here on it may be somebody else's, with another number */
	if (atomic_load_explicit(&held->word, memory_order_seq_cst) != word_of(number, HELD_OPEN) ||
	    deadline_ns < atomic_load_explicit(&holder->wakes_at_ns, memory_order_seq_cst))
		vd_holder_wake(holder);
}

static void push_decided(struct vd_holder *holder, struct vd_held *held)
{
	struct vd_held *head = atomic_load_explicit(&holder->decided, memory_order_relaxed);

	do {
		held->next_decided = head;
	} while (!atomic_compare_exchange_weak_explicit(&holder->decided, &head, held, memory_order_seq_cst, memory_order_relaxed));
	vd_holder_wake(holder);
}

/* ---- for functions ---- */

static bool is_in_range(const struct vd_hold *hold)
{
	return hold->deadline_ms >= 1 && hold->deadline_ms <= VD_HOLD_DEADLINE_MS_MAX &&
	       (hold->verdict == VD_ACCEPT || hold->verdict == VD_DROP);
}

/* Numbers go round after 2^44 packets; 0 is none. */
static uint64_t next_number(struct vd_holder *holder)
{
	uint64_t number;

	do {
		number = (atomic_fetch_add_explicit(&holder->number, 1, memory_order_relaxed) + 1) & NUMBER_MAX;
	} while (!number);
	return number;
}

/* NULL: it cannot be. */
static struct vd_held *begin(struct vd_holding *holding, const struct vd_packet *packet, const struct vd_hold *hold)
{
	struct vd_lane *lane = holding->lane;
	struct vd_held *held = vd_held_take(holding->holder);

	if (!held)
		return NULL;
	held->flow = NULL;
	if (hold->with_flow) {
		held->flow = vd_held_flow_create(&lane->held_flows[vd_slot_of(packet)->shard], lane, packet->flow_hash);
		if (!held->flow) {
			vd_held_give_back(holding->holder, held);
			return NULL;
		}
	}
	held->lane = lane;
	held->number = next_number(holding->holder);
	held->deadline_ns = vd_clock_ns() + hold->deadline_ms * 1000000ull;
	held->deadline_verdict = (uint8_t)hold->verdict;
	held->heap_place = 0;
	held->has_arrived = held->is_popped = held->is_void = held->by_deadline = false;
	/* release: whoever guesses the ticket finds it complete */
	atomic_store_explicit(&held->word, word_of(held->number, HELD_OPEN), memory_order_release);
	return held;
}

__attribute__((visibility("default"))) enum vd_verdict vd_packet_hold(struct vd_packet *packet, const struct vd_hold *hold,
								      uint64_t *ticket)
{
	struct vd_holding *holding = packet->context ? packet->context->holding : NULL;
	struct vd_holding_place *place;
	struct vd_held *held;

	*ticket = 0;
	if (!holding || !is_in_range(hold))
		return VD_HELD; /* a fault: there is no place */
	place = vd_holding_find(holding, packet);
	if (place && place->held) /* once more: the first ticket is void */
		vd_held_forget(holding->holder, place->held);
	held = begin(holding, packet, hold);
	if (!held)
		vd_tally_add(&holding->tally->held_refused, 1);
	if (!place && !held)
		return VD_NEXT;
	if (!place) {
		place = &holding->places[holding->count];
		vd_slot_of(packet)->holding_place = holding->count++;
	}
	*place = (struct vd_holding_place){.packet = packet, .held = held};
	if (!held)
		return VD_NEXT;
	*ticket = held->number << VD_HELD_INDEX_BITS | held->index;
	return VD_HELD;
}

int vd_hold_decide_with(struct vd_holder *holder, uint64_t ticket, const struct vd_decision *decision)
{
	struct vd_held *held = vd_held_at(holder, (uint32_t)ticket & (VD_ENGINE_HELD_MAX_MAX - 1));
	uint64_t number = ticket >> VD_HELD_INDEX_BITS, word = word_of(number, HELD_OPEN);

	switch (decision->verdict) {
	case VD_ACCEPT:
	case VD_DROP:
	case VD_REPEAT:
	case VD_STOP:
		break;
	default:
		return -EINVAL;
	}
	/* acquire, pairs with the release in begin() */
	if (!held || !number ||
	    !atomic_compare_exchange_strong_explicit(&held->word, &word, word_of(number, HELD_DECIDED), memory_order_acquire,
						     memory_order_relaxed))
		return -ESTALE;
	held->decision = *decision;
	push_decided(holder, held);
	return 0;
}

int vd_hold_decide(struct vd_holder *holder, uint64_t ticket, enum vd_verdict verdict)
{
	struct vd_decision decision = {.verdict = verdict};

	return vd_hold_decide_with(holder, ticket, &decision);
}

/* ---- life ---- */

void vd_holder_limit(struct vd_holder *holder, uint32_t held_max)
{
	atomic_store_explicit(&holder->limit, held_max ? held_max : VD_ENGINE_HELD_MAX_DEFAULT, memory_order_relaxed);
}

struct vd_holder *vd_holder_create(struct vd_engine *engine)
{
	struct vd_holder *holder = aligned_alloc(VD_CACHE_LINE, (sizeof *holder + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE);
	uint64_t number;

	if (!holder)
		return NULL;
	memset(holder, 0, sizeof *holder);
	holder->engine = engine;
	if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number)
		number = vd_clock_ns(); /* a machine that has just booted */
	atomic_init(&holder->number, number & NUMBER_MAX);
	return holder;
}

void vd_holder_destroy(struct vd_holder *holder)
{
	if (!holder)
		return;
	for (unsigned i = 0; i < VD_HELD_CHUNKS; i++)
		free(holder->chunks[i]);
	vd_free_sender(&holder->sender);
	free(holder->heap);
	free(holder);
}
