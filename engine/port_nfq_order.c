/* SPDX-License-Identifier: MIT */
#include "engine/port_nfq_order.h"

#include "lib/packet/packet.h"

enum { IN_FLIGHT, ANSWERED, WAITS };

/* In place of a held packet's place. */
#define HELD UINT64_MAX

/* A packet's place, counted from 1; 0: it has none. */
static uint64_t place_of(const struct vd_packet *packet)
{
	return packet->port_private;
}

void nfq_order_init(struct nfq_order *order, uint32_t maxlen)
{
	order->may_wait = maxlen >= NFQ_ORDER_MAXLEN_MIN;
}

void nfq_order_track(struct nfq_order *order, struct vd_packet *const *packets, unsigned count)
{
	uint64_t next, swept;
	uint32_t without = 0;

	/* relaxed: nobody else writes it */
	next = atomic_load_explicit(&order->next, memory_order_relaxed);
	/* acquire, pairs with the release in sweep(): it has done with the places before */
	swept = atomic_load_explicit(&order->swept, memory_order_acquire);
	/* acquire, pairs with the release in nfq_order_settle(): they have been answered */
	if (order->has_lost_track && !atomic_load_explicit(&order->without_place, memory_order_acquire))
		order->has_lost_track = false;
	for (unsigned i = 0; i < count; i++) {
		order->has_lost_track |= next - swept == NFQ_ORDER_PLACES;
		if (order->has_lost_track) {
			packets[i]->port_private = 0;
			without++;
			continue;
		}
		order->ids[next % NFQ_ORDER_PLACES] = packets[i]->id;
		/* relaxed: published with `next` */
		atomic_store_explicit(&order->states[next % NFQ_ORDER_PLACES], IN_FLIGHT, memory_order_relaxed);
		packets[i]->port_private = ++next;
	}
	if (without) /* relaxed: they are answered after they were handed over, which orders it */
		atomic_fetch_add_explicit(&order->without_place, without, memory_order_relaxed);
	/* release, pairs with the acquire in sweep(): ids and states */
	atomic_store_explicit(&order->next, next, memory_order_release);
}

/* Whether some packet that may lie before an answered one is not answered. */
static bool has_held(const struct nfq_order *order)
{
	/* acquire, pairs with the release in mark(): its verdict was sent */
	return atomic_load_explicit(&order->held, memory_order_acquire);
}

bool nfq_order_can_wait(const struct nfq_order *order, const struct vd_packet *packet)
{
	/* relaxed: how far the mark is, about */
	return order->may_wait && vd_packet_is_dropped(packet) && place_of(packet) && !has_held(order) &&
	       place_of(packet) - atomic_load_explicit(&order->swept, memory_order_relaxed) <= NFQ_ORDER_WAITING_MAX;
}

unsigned nfq_order_at_mark(const struct nfq_order *order, struct vd_packet *const *packets, unsigned count)
{
	/* acquire, pairs with the release in sweep(): what was to be said of all before it has been sent */
	uint64_t mark = atomic_load_explicit(&order->swept, memory_order_acquire);
	unsigned length = 0;

	while (length < count && place_of(packets[length]) == mark + length + 1)
		length++;
	return length && has_held(order) ? 0 : length; /* held ones are looked for behind the mark */
}

static bool is_answered(struct nfq_order *order, uint64_t place)
{
	/* acquire, pairs with the release of `next`; D4: sequentially consistent */
	return place < atomic_load_explicit(&order->next, memory_order_acquire) &&
	       atomic_load_explicit(&order->states[place % NFQ_ORDER_PLACES], memory_order_seq_cst) != IN_FLIGHT;
}

/* All that wait before this place, by a message each; the last ones are left in the batch. */
static int drop_each(struct nfq_order *order, const struct vd_nfq *nfq, uint64_t end, struct vd_packet *packet,
		     struct vd_nfq_batch *batch)
{
	int result = 0;

	for (uint64_t place = atomic_load_explicit(&order->swept, memory_order_relaxed); place < end && !result; place++) {
		if (atomic_load_explicit(&order->states[place % NFQ_ORDER_PLACES], memory_order_relaxed) != WAITS)
			continue;
		packet->id = order->ids[place % NFQ_ORDER_PLACES];
		if (vd_nfq_batch_add(batch, packet))
			continue;
		result = vd_nfq_batch_send(nfq, batch);
		vd_nfq_batch_add(batch, packet);
	}
	return result;
}

/* Moves the mark, as the only one. */
static int sweep(struct nfq_order *order, const struct vd_nfq *nfq, struct vd_packet *like, struct vd_nfq_batch *batch)
{
	/* relaxed: only the sweeper writes it, and the last one's exchange came before */
	uint64_t place = atomic_load_explicit(&order->swept, memory_order_relaxed);
	struct vd_packet last = {.queue = like->queue, .verdict = VD_DROP};
	uint32_t waited = 0;
	int result = 0;

	for (; is_answered(order, place); place++) {
		/* relaxed: is_answered() has acquired it */
		if (atomic_load_explicit(&order->states[place % NFQ_ORDER_PLACES], memory_order_relaxed) != WAITS)
			continue;
		last.id = order->ids[place % NFQ_ORDER_PLACES];
		waited++;
	}
	if (waited > 1 && has_held(order))
		result = drop_each(order, nfq, place, &last, batch);
	else if (waited > 1)
		vd_nfq_batch_add_range(batch, &last, waited);
	else if (waited)
		vd_nfq_batch_add(batch, &last);
	if (waited && !result)
		result = vd_nfq_batch_send(nfq, batch);
	/* release, pairs with the acquires in nfq_order_track() and nfq_order_at_mark() */
	atomic_store_explicit(&order->swept, place, memory_order_release);
	return result;
}

static void mark(struct nfq_order *order, struct vd_packet *const *packets, unsigned count, uint64_t waits)
{
	uint32_t without = 0, held = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t place = place_of(packets[i]);

		without += !place;
		held += place == HELD;
		if (place && place != HELD) /* D1; it is a release too: what was sent for the packet comes before */
			atomic_store_explicit(&order->states[(place - 1) % NFQ_ORDER_PLACES],
					      waits >> i & 1 ? WAITS : ANSWERED, memory_order_seq_cst);
	}
	if (without) /* release, pairs with the acquire in nfq_order_track() */
		atomic_fetch_sub_explicit(&order->without_place, without, memory_order_release);
	if (held) /* release, pairs with the acquire in has_held() */
		atomic_fetch_sub_explicit(&order->held, held, memory_order_release);
}

void nfq_order_settle_all(struct nfq_order *order)
{
	/* relaxed: the reader's role is handed on with all of it */
	atomic_store_explicit(&order->swept, atomic_load_explicit(&order->next, memory_order_relaxed), memory_order_relaxed);
	atomic_store_explicit(&order->without_place, 0, memory_order_relaxed);
}

/* Moves the mark, if nobody else does, as long as that leads anywhere. */
static int sweep_on(struct nfq_order *order, const struct vd_nfq *nfq, struct vd_packet *like, struct vd_nfq_batch *batch)
{
	uint64_t place;
	int result;

	do {
		/* D2 */
		if (atomic_exchange_explicit(&order->sweeping, true, memory_order_seq_cst))
			return 0;
		result = sweep(order, nfq, like, batch);
		place = atomic_load_explicit(&order->swept, memory_order_relaxed);
		/* D3 */
		atomic_store_explicit(&order->sweeping, false, memory_order_seq_cst);
	} while (!result && is_answered(order, place));
	return result;
}

int nfq_order_settle(struct nfq_order *order, const struct vd_nfq *nfq, struct vd_packet *const *packets, unsigned count,
		     uint64_t waits, struct vd_nfq_batch *batch)
{
	mark(order, packets, count, waits);
	return sweep_on(order, nfq, packets[0], batch);
}

int nfq_order_hold(struct nfq_order *order, const struct vd_nfq *nfq, struct vd_packet *packet, struct vd_nfq_batch *batch)
{
	struct vd_packet received = *packet;
	struct vd_packet *const packets[] = {&received};

	/* relaxed: published with the packet's place, or with the count of those without */
	atomic_fetch_add_explicit(&order->held, 1, memory_order_relaxed);
	packet->port_private = HELD;
	mark(order, packets, 1, 0);
	return sweep_on(order, nfq, packet, batch);
}
