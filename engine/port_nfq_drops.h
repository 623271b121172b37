/* SPDX-License-Identifier: MIT */
/*
 * Dropping many packets by one message, whichever threads decided them; private to the nfq port.
 *
 * The kernel's range message answers all packets up to an id, and costs a good deal less than one message each. But it may only
 * be used when every packet up to there has its verdict. With several threads these are finished out of order. For most
 * verdicts that decides it: a flow's packets have to go on in time and in order. A packet that is dropped goes nowhere, and
 * can wait a moment: until all before it are answered, and then one message drops all that wait.
 *
 * So every packet has a place in a ring, in the order of arrival, and in it what became of it. Whoever has answered some
 * moves the mark behind which all are answered, and drops those that it passes.
 *
 *	 swept                                                      next
 *	   │ answered │ to be dropped │ in flight │ to be dropped │   │
 *	   └──────────── moves up to here ─────────┘
 *
 * A flush takes packets out of the kernel's queue that wait here. They were to be dropped, and the kernel has dropped them.
 *
 * Why nothing is forgotten. Who has answered a packet writes its place (D1), and then tries to become the sweeper (D2). Who is the
 * sweeper gives that up (D3), and then looks at the next place once more (D4). All four are sequentially consistent: so if D2
 * fails, D4 of the one who was the sweeper then comes behind D1, and sees it.
 *
 * Who may call: track() the reader's role; the others any thread that sends.
 */
#ifndef VERDICT_ENGINE_PORT_NFQ_DROPS_H
#define VERDICT_ENGINE_PORT_NFQ_DROPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/nfq/nfq.h"
#include "lib/ring/spsc.h"

#define NFQ_DROPS_PLACES 1024u /* a power of 2, and twice the packets that an engine has in flight */

/* A packet waits in the kernel's queue until it is dropped: at most so many do, and only in queues that have room for them. */
#define NFQ_DROPS_WAITING_MAX (NFQ_DROPS_PLACES / 2)
#define NFQ_DROPS_MAXLEN_MIN 4096u

struct nfq_drops {
	bool is_on;

	/* the reader's */
	_Alignas(VD_CACHE_LINE) _Atomic uint64_t next; /* places that were given out */
	bool has_lost_track; /* there were more packets than places; they have none, until all of them are answered */

	_Alignas(VD_CACHE_LINE) _Atomic uint64_t swept; /* all before this place are answered */
	_Atomic bool sweeping;
	_Atomic uint32_t without_place;

	_Alignas(VD_CACHE_LINE) _Atomic uint8_t states[NFQ_DROPS_PLACES];
	uint32_t ids[NFQ_DROPS_PLACES];
};

void nfq_drops_init(struct nfq_drops *drops, uint32_t maxlen);

/* Gives packets that have been received, in their order, a place, which is kept in port_private. */
void nfq_drops_track(struct nfq_drops *drops, struct vd_packet *const *packets, unsigned count);

/* Whether this packet is one that can wait: it needs no message of its own then. */
bool nfq_drops_can_wait(const struct nfq_drops *drops, const struct vd_packet *packet);

/* All packets that were received are answered, and nobody sends or receives meanwhile. */
void nfq_drops_settle_all(struct nfq_drops *drops);

/*
 * These packets were answered, or wait: as `waits` has it, bit by bit. Drops all that can be dropped, by a message in `batch`, which
 * is empty. 0 or -errno: it cannot be sent.
 */
int nfq_drops_settle(struct nfq_drops *drops, const struct vd_nfq *nfq, struct vd_packet *const *packets, unsigned count,
		     uint64_t waits, struct vd_nfq_batch *batch);

#endif
