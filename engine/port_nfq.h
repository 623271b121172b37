/* SPDX-License-Identifier: MIT */
/*
 * The kernel's queue as a port; private to its files:
 *
 *	port_nfq.c	   its life: checks, opens, counts
 *	port_nfq_traffic.c receives packets, sends verdicts
 *	port_nfq_order.c   who may answer many by one message, when several threads do
 *	port_nfq_close.c   settles what is left
 *	port_nfq_adopt.c   goes on with a socket that another process had, and leaves it to the next one
 *
 * Losses are counted exactly. Every packet that the kernel hands up takes the next id, also one for which the socket's
 * buffer had no room: so a gap in the ids is the count of those, and at the end the kernel's own sequence number tells
 * how many came after the last packet that was received. Packets that found the queue full took no id; the kernel
 * counts them.
 *
 * A verdict that the kernel refuses comes back as a message between packets. When the queue was flushed (an interface
 * went down, a table with a base chain was deleted) that is ENOENT, and nothing is wrong. When the socket's buffer is
 * full the kernel cannot say even that; but it counts all that it could not put there, packets and refusals alike.
 * The one thing that cannot be known to the packet is where in a run a flush ended (port_nfq_traffic.c); how many packets
 * that concerns is counted.
 */
#ifndef VERDICT_ENGINE_PORT_NFQ_H
#define VERDICT_ENGINE_PORT_NFQ_H

#include <stdatomic.h>

#include "engine/port.h"
#include "engine/port_nfq_order.h"
#include "lib/nfq/nfq.h"

struct nfq_port {
	struct vd_port port;
	struct vd_nfq nfq;
	struct vd_port_settings settings;
	struct vd_port_counters counters; /* tallies of the reader's role; `waiting` and `queue_dropped` only at the end */
	int adopted;		  /* the descriptor that it was given; -1: it opens one */
	uint32_t known_flags;	  /* NFQA_CFG_F_* that this kernel knows */
	uint32_t granted_flags;	  /* those that the queue has; a reload may change them; relaxed */
	uint32_t id_first;	  /* adopted: packets before this one were another process's ... */
	uint32_t drops_before;	  /* ... as was what the socket had dropped ... */
	uint32_t queue_dropped_before; /* ... and the queue */
	uint32_t id_reconfigured; /* the last one given out before the settings changed */
	bool is_closed;
	bool is_settling;
	uint8_t edit_ban;	  /* of all packets: see struct vd_packet */
	uint32_t id_last;	  /* of the packets received; written by the reader's role, relaxed */
	uint32_t id_settled;	  /* packets after this one were settled at the end */
	uint32_t refused_first;	  /* the id of the first packet of the last run that was flushed in part at least */
	uint32_t wakes_answered;
	_Atomic uint32_t wakes;
	struct nfq_order order;
	struct mmsghdr messages[VD_PORT_BURST_MAX];
	struct iovec iov[VD_PORT_BURST_MAX];
};

static inline struct nfq_port *nfq_port_of(struct vd_port *port)
{
	return (struct nfq_port *)port;
}

/* ---- port_nfq_traffic.c ---- */

int nfq_port_receive(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait);
int nfq_port_send(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch);

int nfq_port_hold(struct vd_port *port, struct vd_packet *packet, bool in_order, void *scratch);

/*
 * Receives into `room` bytes behind VD_SLOT_ROOM of each packet. Returns how many packets (refusals between them are
 * counted), or -errno.
 */
int nfq_port_receive_into(struct nfq_port *nfq, struct vd_packet **packets, unsigned count, uint32_t room, int flags);

/* Counts what is missing before this id. */
void nfq_port_count_gap(struct nfq_port *nfq, uint32_t id);

/* ---- port_nfq_adopt.c ---- */

/* Settles what somebody else has read and not answered, and begins to count. The queue is configured. 0 or -errno. */
int nfq_port_adopt(struct nfq_port *nfq);
void nfq_port_leave(struct vd_port *port);

/* ---- port_nfq_close.c ---- */

void nfq_port_close(struct vd_port *port);

#endif
