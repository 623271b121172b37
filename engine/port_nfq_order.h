/* SPDX-License-Identifier: MIT */
/*
 * The order in which packets came, for several threads that finish them in another one; private to the nfq port.
 *
 * The kernel's range message answers all packets up to an id, and costs a good deal less than one message each. But it may only
 * be used when every packet up to there has its verdict. So every packet has a place in a ring, in the order of arrival, and in
 * it what became of it. Whoever has answered some moves the mark behind which all are answered.
 *
 *	 swept                                                      next
 *	   │ answered │ to be dropped │ in flight │ to be dropped │   │
 *	   └──────────── moves up to here ─────────┘
 *
 * Who has the packets right at the mark may answer them in ranges. That is so where one thread drains all that there is, as
 * when all packets are of one flow.
 *
 * Who has other ones may not: for most verdicts a message each it is, as a flow's packets have to go on in time and in order. But
 * a packet that is dropped goes nowhere, and can wait a moment, until the mark is moved past it. Then one message drops all
 * that waited. A flush takes packets out of the kernel's queue that wait here. They were to be dropped, and the kernel has
 * dropped them.
 *
 * Held packets are answered at any time, by a message each. The mark goes past them, so that they do not use up the places, but as
 * long as there are some (`held`), no range is sent and none is waited for: it could have the id of one of them in it. A packet is
 * counted as held before its place says so, and until its verdict was sent. Whoever is about to send a range has seen
 * the mark behind the places of all packets before it. So if it then finds nothing held, all of those are answered.
 *
 * Why nothing is forgotten. Who has answered a packet writes its place (D1), and then tries to become the sweeper (D2). Who is the
 * sweeper gives that up (D3), and then looks at the next place once more (D4). All four are sequentially consistent: so if D2
 * fails, D4 of the one who was the sweeper then comes behind D1, and sees it.
 *
 * Who may call: track() the reader's role; the others any thread that sends.
 */
#ifndef VERDICT_ENGINE_PORT_NFQ_ORDER_H
#define VERDICT_ENGINE_PORT_NFQ_ORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/nfq/nfq.h"
#include "lib/ring/spsc.h"

#define NFQ_ORDER_PLACES 1024u /* a power of 2, and twice the packets that an engine has in flight */

/* A packet waits in the kernel's queue until it is dropped: at most so many do, and only in queues that have room for them. */
#define NFQ_ORDER_WAITING_MAX (NFQ_ORDER_PLACES / 2)
#define NFQ_ORDER_MAXLEN_MIN 4096u

struct nfq_order {
	bool may_wait; /* packets that are to be dropped: the kernel's queue has room for them */

	/* the reader's */
	_Alignas(VD_CACHE_LINE) _Atomic uint64_t next; /* places that were given out */
	bool has_lost_track; /* there were more packets than places; they have none, until all of them are answered */

	_Alignas(VD_CACHE_LINE) _Atomic uint64_t swept; /* all before this place are answered */
	_Atomic bool sweeping;
	_Atomic uint32_t without_place;
	_Atomic uint32_t held; /* of all that were received */

	_Alignas(VD_CACHE_LINE) _Atomic uint8_t states[NFQ_ORDER_PLACES];
	uint32_t ids[NFQ_ORDER_PLACES];
};

void nfq_order_init(struct nfq_order *order, uint32_t maxlen);

/* Gives packets that have been received, in their order, a place, which is kept in port_private. */
void nfq_order_track(struct nfq_order *order, struct vd_packet *const *packets, unsigned count);

/* Whether this packet is one that can wait: it needs no message of its own then. */
bool nfq_order_can_wait(const struct nfq_order *order, const struct vd_packet *packet);

/*
 * How many of these packets, from the first one on, come right behind all that are answered, and may be answered in ranges. This
 * stays so until they are.
 */
unsigned nfq_order_at_mark(const struct nfq_order *order, struct vd_packet *const *packets, unsigned count);

/* Its verdict comes at any time; `packet` is the copy that will have it. Else as nfq_order_settle(). */
int nfq_order_hold(struct nfq_order *order, const struct vd_nfq *nfq, struct vd_packet *packet, struct vd_nfq_batch *batch);

/* All packets that were received are answered, none is held, and nobody sends or receives meanwhile. */
void nfq_order_settle_all(struct nfq_order *order);

/*
 * These packets were answered, or wait: as `waits` has it, bit by bit. Drops all that can be dropped, by a message in `batch`, which
 * is empty. 0 or -errno: it cannot be sent.
 */
int nfq_order_settle(struct nfq_order *order, const struct vd_nfq *nfq, struct vd_packet *const *packets, unsigned count,
		     uint64_t waits, struct vd_nfq_batch *batch);

#endif
