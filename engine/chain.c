/* SPDX-License-Identifier: MIT */
/*
 * Running the functions over a burst. Each function gets what the ones before it left undecided; the verdicts of a
 * function that has only decide() are collected the same way as those of decide_burst().
 */
#include "engine/chain.h"

#include "engine/held.h"
#include "engine/slots.h"
#include "engine/tally.h"

/* The packets that no function has decided yet. */
struct pending {
	struct vd_packet *packets[VD_BURST_MAX];
	enum vd_verdict verdicts[VD_BURST_MAX];
	unsigned count;
	struct vd_standing *standing; /* NULL: nobody wants to know */
};

/* What call() does, where it is to be known which packet it is at. */
static void call_watched(const struct vd_link *link, struct pending *pending, unsigned first, unsigned count, void *state)
{
	uint32_t *at = &pending->standing->packet;

	if (link->function.decide_burst) {
		/* relaxed, as all of these: it is read when this process is dead */
		__atomic_store_n(at, count == 1 ? vd_slot_of(pending->packets[first])->index : VD_STANDING_BURST, __ATOMIC_RELAXED);
		link->function.decide_burst(pending->packets + first, pending->verdicts + first, count, state);
		return;
	}
	for (unsigned i = first; i < first + count; i++) {
		__atomic_store_n(at, vd_slot_of(pending->packets[i])->index, __ATOMIC_RELAXED);
		pending->verdicts[i] = link->function.decide(pending->packets[i], state);
	}
}

/* A function that may hold: what comes behind a packet that it holds with its flow is held too, and not shown where that can be. */
static void call_holding(const struct vd_link *link, struct pending *pending, unsigned first, unsigned count, void *state,
			 struct vd_holding *holding)
{
	if (link->function.decide_burst)
		link->function.decide_burst(pending->packets + first, pending->verdicts + first, count, state);
	for (unsigned i = first; i < first + count; i++) {
		if (!link->function.decide_burst)
			pending->verdicts[i] = vd_holding_is_behind(holding, pending->packets[i]) ?
						       VD_HELD :
						       link->function.decide(pending->packets[i], state);
		pending->verdicts[i] = vd_holding_hear(holding, pending->packets[i], pending->verdicts[i]);
	}
}

static void call(const struct vd_link *link, struct pending *pending, unsigned first, unsigned count, void *state,
		 struct vd_holding *holding)
{
	if (link->may_hold) {
		call_holding(link, pending, first, count, state, holding);
		return;
	}
	if (pending->standing) {
		call_watched(link, pending, first, count, state);
		return;
	}
	if (link->function.decide_burst) {
		link->function.decide_burst(pending->packets + first, pending->verdicts + first, count, state);
		return;
	}
	for (unsigned i = first; i < first + count; i++)
		pending->verdicts[i] = link->function.decide(pending->packets[i], state);
}

/* A state of the flow's scope belongs to a shard: one call for each run of packets of the same one. */
static void call_by_shard(const struct vd_link *link, struct pending *pending, void **states, struct vd_holding *holding)
{
	unsigned first = 0;

	while (first < pending->count) {
		uint32_t shard = vd_slot_of(pending->packets[first])->shard;
		unsigned end = first + 1;

		while (end < pending->count && vd_slot_of(pending->packets[end])->shard == shard)
			end++;
		call(link, pending, first, end - first, states[shard], holding);
		first = end;
	}
}

/* No verdict at all, or one that nothing was made ready for. */
static bool is_fault(const struct vd_link *link, const struct vd_packet *packet, unsigned verdict, struct vd_holding *holding)
{
	return verdict >= VD_VERDICT_COUNT || (verdict == VD_REJECT && !link->may_reject) ||
	       (verdict == VD_HELD && !(link->may_hold && vd_holding_has(holding, packet)));
}

/* Takes over what the function said; returns how many packets it left undecided. `by`: this function, for vd_slot.decided. */
static unsigned settle(const struct vd_link *link, uint32_t by, struct pending *pending, struct vd_link_tally *tally,
		       enum vd_verdict fault_verdict, struct vd_holding *holding, struct vd_outcome *outcome)
{
	uint32_t said[VD_VERDICT_COUNT] = {0}, faults = 0;
	unsigned left = 0;

	for (unsigned i = 0; i < pending->count; i++) {
		struct vd_packet *packet = pending->packets[i];
		unsigned verdict = pending->verdicts[i];

		if (is_fault(link, packet, verdict, holding)) { /* what it changed is not to be trusted either */
			packet->verdict = (uint8_t)fault_verdict;
			vd_slot_of(packet)->decided = by | VD_DECIDED_FAULT | (packet->changed ? VD_DECIDED_TAKEN_BACK : 0);
			packet->changed = 0;
			faults++;
			continue;
		}
		said[verdict]++;
		if (verdict == VD_NEXT) {
			pending->verdicts[left] = VD_NEXT;
			pending->packets[left++] = packet;
		} else {
			packet->verdict = (uint8_t)verdict;
			vd_slot_of(packet)->decided = by;
		}
	}
	vd_tally_add(&tally->packets, pending->count);
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		if (said[verdict])
			vd_tally_add(&tally->verdicts[verdict], said[verdict]);
	if (faults)
		vd_tally_add(&tally->faults, faults);
	outcome->faults += faults;
	outcome->rejected += said[VD_REJECT];
	outcome->dropped += said[VD_DROP] + said[VD_REJECT];
	return left;
}

void vd_chain_decide(struct vd_chain *chain, unsigned worker, unsigned lane, enum vd_verdict fault_verdict,
		     struct vd_packet *const *packets, unsigned count, struct vd_holding *holding, struct vd_outcome *outcome)
{
	struct pending pending;

	*outcome = (struct vd_outcome){0};
	pending.count = count;
	pending.standing = chain->standings ? chain->standings[worker] : NULL;
	memcpy(pending.packets, packets, count * sizeof *packets);
	memset(pending.verdicts, 0, count * sizeof *pending.verdicts); /* VD_NEXT */

	for (unsigned i = 0; i < chain->count && pending.count; i++) {
		struct vd_link *link = &chain->links[i];
		struct vd_link_tally *tally = link->tallies[worker];

		tally->context.holding = link->may_hold ? holding : NULL;
		for (unsigned j = 0; j < pending.count; j++)
			pending.packets[j]->context = &tally->context;
		if (pending.standing)
			__atomic_store_n(&pending.standing->link, i, __ATOMIC_RELAXED);
		switch (link->function.scope) {
		case VD_SCOPE_SHARED:
			call(link, &pending, 0, pending.count, link->shared, holding);
			break;
		case VD_SCOPE_WORKER:
			call(link, &pending, 0, pending.count, link->states[worker], holding);
			break;
		case VD_SCOPE_FLOW:
			call_by_shard(link, &pending, link->states + lane * chain->shards, holding);
			break;
		}
		pending.count = settle(link, i + 1, &pending, tally, fault_verdict, holding, outcome);
	}
	if (pending.standing)
		__atomic_store_n(&pending.standing->link, VD_STANDING_NOWHERE, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < pending.count; i++) {
		pending.packets[i]->verdict = (uint8_t)chain->default_verdict;
		vd_slot_of(pending.packets[i])->decided = 0;
	}
	outcome->by_default = pending.count;
}

void vd_chain_count_fault(struct vd_chain *chain, unsigned worker, unsigned link, bool hangs)
{
	struct vd_link_tally *tally = chain->links[link].tallies[worker];

	for (unsigned before = 0; before < link; before++) {
		vd_tally_add(&chain->links[before].tallies[worker]->packets, 1);
		vd_tally_add(&chain->links[before].tallies[worker]->verdicts[VD_NEXT], 1);
	}
	vd_tally_add(&tally->packets, 1);
	vd_tally_add(&tally->faults, 1);
	vd_tally_add(hangs ? &tally->hangs : &tally->crashes, 1);
}
