/* SPDX-License-Identifier: MIT */
#include "engine/port_nfq_drops.h"

#include "lib/packet/packet.h"

enum { IN_FLIGHT, ANSWERED, WAITS };

/* A packet's place, counted from 1; 0: it has none. */
static uint64_t place_of(const struct vd_packet *packet)
{
	return packet->port_private;
}

void nfq_drops_init(struct nfq_drops *drops, uint32_t maxlen)
{
	drops->is_on = maxlen >= NFQ_DROPS_MAXLEN_MIN;
}

void nfq_drops_track(struct nfq_drops *drops, struct vd_packet *const *packets, unsigned count)
{
	uint64_t next, swept;
	uint32_t without = 0;

	if (!drops->is_on)
		return;
	/* relaxed: nobody else writes it */
	next = atomic_load_explicit(&drops->next, memory_order_relaxed);
	/* acquire, pairs with the release in sweep(): it has done with the places before */
	swept = atomic_load_explicit(&drops->swept, memory_order_acquire);
	/* acquire, pairs with the release in nfq_drops_settle(): they have been answered */
	if (drops->has_lost_track && !atomic_load_explicit(&drops->without_place, memory_order_acquire))
		drops->has_lost_track = false;
	for (unsigned i = 0; i < count; i++) {
		drops->has_lost_track |= next - swept == NFQ_DROPS_PLACES;
		if (drops->has_lost_track) {
			packets[i]->port_private = 0;
			without++;
			continue;
		}
		drops->ids[next % NFQ_DROPS_PLACES] = packets[i]->id;
		/* relaxed: published with `next` */
		atomic_store_explicit(&drops->states[next % NFQ_DROPS_PLACES], IN_FLIGHT, memory_order_relaxed);
		packets[i]->port_private = ++next;
	}
	if (without) /* relaxed: they are answered after they were handed over, which orders it */
		atomic_fetch_add_explicit(&drops->without_place, without, memory_order_relaxed);
	/* release, pairs with the acquire in sweep(): ids and states */
	atomic_store_explicit(&drops->next, next, memory_order_release);
}

bool nfq_drops_can_wait(const struct nfq_drops *drops, const struct vd_packet *packet)
{
	/* relaxed: how far the mark is, about */
	return drops->is_on && vd_packet_is_dropped(packet) && place_of(packet) &&
	       place_of(packet) - atomic_load_explicit(&drops->swept, memory_order_relaxed) <= NFQ_DROPS_WAITING_MAX;
}

static bool is_answered(struct nfq_drops *drops, uint64_t place)
{
	/* acquire, pairs with the release of `next`; D4: sequentially consistent */
	return place < atomic_load_explicit(&drops->next, memory_order_acquire) &&
	       atomic_load_explicit(&drops->states[place % NFQ_DROPS_PLACES], memory_order_seq_cst) != IN_FLIGHT;
}

/* Moves the mark, as the only one. */
static int sweep(struct nfq_drops *drops, const struct vd_nfq *nfq, struct vd_packet *like, struct vd_nfq_batch *batch)
{
	/* relaxed: only the sweeper writes it, and the last one's exchange came before */
	uint64_t place = atomic_load_explicit(&drops->swept, memory_order_relaxed);
	struct vd_packet last = {.queue = like->queue, .verdict = VD_DROP};
	uint32_t waited = 0;
	int result = 0;

	for (; is_answered(drops, place); place++) {
		/* relaxed: is_answered() has acquired it */
		if (atomic_load_explicit(&drops->states[place % NFQ_DROPS_PLACES], memory_order_relaxed) != WAITS)
			continue;
		last.id = drops->ids[place % NFQ_DROPS_PLACES];
		waited++;
	}
	if (waited == 1)
		vd_nfq_batch_add(batch, &last);
	else if (waited)
		vd_nfq_batch_add_range(batch, &last, waited);
	if (waited)
		result = vd_nfq_batch_send(nfq, batch);
	/* release, pairs with the acquire in nfq_drops_track() */
	atomic_store_explicit(&drops->swept, place, memory_order_release);
	return result;
}

static void mark(struct nfq_drops *drops, struct vd_packet *const *packets, unsigned count, uint64_t waits)
{
	uint32_t without = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t place = place_of(packets[i]);

		without += !place;
		if (place) /* D1; it is a release too: what was sent for the packet comes before */
			atomic_store_explicit(&drops->states[(place - 1) % NFQ_DROPS_PLACES],
					      waits >> i & 1 ? WAITS : ANSWERED, memory_order_seq_cst);
	}
	if (without) /* release, pairs with the acquire in nfq_drops_track() */
		atomic_fetch_sub_explicit(&drops->without_place, without, memory_order_release);
}

void nfq_drops_settle_all(struct nfq_drops *drops)
{
	if (!drops->is_on)
		return;
	/* relaxed: the reader's role is handed on with all of it */
	atomic_store_explicit(&drops->swept, atomic_load_explicit(&drops->next, memory_order_relaxed), memory_order_relaxed);
	atomic_store_explicit(&drops->without_place, 0, memory_order_relaxed);
}

int nfq_drops_settle(struct nfq_drops *drops, const struct vd_nfq *nfq, struct vd_packet *const *packets, unsigned count,
		     uint64_t waits, struct vd_nfq_batch *batch)
{
	uint64_t place;
	int result;

	if (!drops->is_on)
		return 0;
	mark(drops, packets, count, waits);
	do {
		/* D2 */
		if (atomic_exchange_explicit(&drops->sweeping, true, memory_order_seq_cst))
			return 0;
		result = sweep(drops, nfq, packets[0], batch);
		place = atomic_load_explicit(&drops->swept, memory_order_relaxed);
		/* D3 */
		atomic_store_explicit(&drops->sweeping, false, memory_order_seq_cst);
	} while (!result && is_answered(drops, place));
	return result;
}
