/* SPDX-License-Identifier: MIT */
/*
 * Packets from the kernel's queue, and verdicts to it.
 *
 * One message can settle a whole run of packets, which is much cheaper than one each. But the kernel refuses it only if it
 * finds no packet of the run at all. So the first packet of a run has a message by itself: a flush takes the oldest packets,
 * and shows there. If the first packet was settled, a flush that came later has taken the rest as a whole, which is refused
 * as a whole. If the first was refused and the rest was not, the flush ended somewhere in the run: its packets count as settled,
 * and as maybe flushed. (When an interface goes down only its own packets are flushed, so the packets of a run share their
 * interfaces. Packets that are dropped need none of this: what a flush takes of them was dropped.)
 *
 * A refusal that finds the socket's buffer full is known only by number, and a run would be one packet then: so there are
 * none while the buffer has no room for refusals.
 */
#include <errno.h>

#include "engine/port_nfq.h"
#include "engine/slots.h"
#include "engine/tally.h"
#include "lib/packet/packet.h"

/* Shorter runs save nothing: they are two messages as well, and there may be doubts. */
#define RUN_MIN 4

/* ---- receive ---- */

void nfq_port_count_gap(struct nfq_port *nfq, uint32_t id)
{
	uint32_t missing = id - nfq->id_last - 1; /* ids wrap at 2^32 */

	__atomic_store_n(&nfq->id_last, id, __ATOMIC_RELAXED);
	if (!missing)
		return;
	vd_tally_add(&nfq->counters.socket_dropped, missing);
	if (nfq->settings.fail_open)
		vd_tally_add(&nfq->counters.socket_passed, missing);
}

/* Packets of a run of which the first, or the rest, was flushed. */
static void doubt(struct nfq_port *nfq, const struct vd_nfq_error *error)
{
	if (error->rest) {
		nfq->refused_first = error->id;
		vd_tally_add(&nfq->counters.maybe_flushed, error->rest);
	} else if (error->behind && error->id - error->behind == nfq->refused_first) {
		vd_tally_add(&nfq->counters.maybe_flushed, -(uint64_t)error->count);
	}
}

static void take_error(struct nfq_port *nfq, const struct vd_nfq_error *error)
{
	enum vd_verdict verdict = vd_nfq_verdict(error->netfilter_verdict);

	if (!error->is_verdict || (nfq->port.is_adopted && (int32_t)(error->id - nfq->id_first) < 0))
		return;
	if (nfq->is_settling && (int32_t)(error->id - nfq->id_settled) > 0)
		vd_tally_add(&nfq->counters.left_accepted, -(uint64_t)error->count);
	else
		vd_tally_add(&nfq->counters.refused_verdicts[verdict], error->count);
	vd_tally_add(error->code == ENOENT ? &nfq->counters.flushed : &nfq->counters.refused, error->count);
	if (verdict != VD_DROP)
		vd_tally_add(error->code == ENOENT ? &nfq->counters.flushed_going : &nfq->counters.refused_going, error->count);
	if (error->code == ENOENT)
		doubt(nfq, error);
}

/* The same for one message: less to copy for the kernel, which shows where packets come one by one. */
static int receive_one(struct nfq_port *nfq, struct vd_packet *packet, uint32_t room, int flags)
{
	/* MSG_WAITFORONE is nothing to recv(); with MSG_TRUNC it returns how long the message was */
	ssize_t length = recv(nfq->nfq.descriptor, (uint8_t *)packet + VD_SLOT_ROOM, room,
			      (flags & MSG_DONTWAIT) | MSG_TRUNC);

	if (length < 0)
		return -1;
	nfq->messages[0].msg_len = (unsigned)length < room ? (unsigned)length : room;
	nfq->messages[0].msg_hdr.msg_flags = (size_t)length > room ? MSG_TRUNC : 0;
	return 1;
}

static int receive_messages(struct nfq_port *nfq, struct vd_packet **packets, unsigned count, uint32_t room, int flags)
{
	if (count == 1)
		return receive_one(nfq, packets[0], room, flags);
	for (unsigned i = 0; i < count; i++) {
		nfq->iov[i] = (struct iovec){.iov_base = (uint8_t *)packets[i] + VD_SLOT_ROOM, .iov_len = room};
		nfq->messages[i].msg_hdr = (struct msghdr){.msg_iov = &nfq->iov[i], .msg_iovlen = 1};
	}
	return recvmmsg(nfq->nfq.descriptor, nfq->messages, count, flags, NULL);
}

int nfq_port_receive_into(struct nfq_port *nfq, struct vd_packet **packets, unsigned count, uint32_t room, int flags)
{
	int received = receive_messages(nfq, packets, count, room, flags), kept = 0;

	if (received < 0) /* ENOBUFS cannot come (NETLINK_NO_ENOBUFS), but would only be a hint */
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
	for (int i = 0; i < received; i++) {
		struct vd_packet *packet = packets[i];
		struct vd_nfq_error error;
		enum vd_nfq_kind kind;

		kind = vd_nfq_read_message(packet, (uint8_t *)packet + VD_SLOT_ROOM, nfq->messages[i].msg_len, room,
					   nfq->messages[i].msg_hdr.msg_flags & MSG_TRUNC, &error);
		if (kind == VD_NFQ_PACKET) {
			nfq_port_count_gap(nfq, packet->id);
			packet->edit_ban = nfq->edit_ban;
			packets[i] = packets[kept];
			packets[kept++] = packet;
		} else if (kind == VD_NFQ_ERROR) {
			take_error(nfq, &error);
		} else {
			nfq->wakes_answered++; /* nothing else asks for an answer */
		}
	}
	return kept;
}

int nfq_port_receive(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait)
{
	struct nfq_port *nfq = nfq_port_of(port);

	int received = nfq_port_receive_into(nfq, packets, count, nfq->settings.slot_room, wait ? MSG_WAITFORONE : MSG_DONTWAIT);

	if (received > 0)
		nfq_order_track(&nfq->order, packets, (unsigned)received);
	return received;
}

/* ---- send ---- */

static int flush(struct nfq_port *nfq, struct vd_nfq_batch *batch)
{
	return vd_nfq_batch_send(&nfq->nfq, batch);
}

static int add(struct nfq_port *nfq, struct vd_nfq_batch *batch, const struct vd_packet *packet)
{
	int result = 0;

	if (!vd_nfq_batch_add(batch, packet)) {
		result = flush(nfq, batch);
		vd_nfq_batch_add(batch, packet);
	}
	return result;
}

static bool share_interfaces(const struct vd_packet *packet, const struct vd_packet *other)
{
	return packet->indev == other->indev && packet->outdev == other->outdev && !packet->has_bridge_ports &&
	       !other->has_bridge_ports;
}

/* Whether one message can settle both: the same verdict, and nothing goes with it. */
static bool may_share(const struct vd_packet *packet, const struct vd_packet *next)
{
	return !packet->changed && !next->changed && packet->verdict == next->verdict && packet->verdict != VD_QUEUE &&
	       share_interfaces(packet, next);
}

static unsigned run_length(struct vd_packet *const *packets, unsigned count)
{
	unsigned length = 1;

	while (length < count && may_share(packets[0], packets[length]))
		length++;
	return length;
}

/* Of all runs that so many packets can be, each of two messages. */
static bool has_room_for_refusals(const struct nfq_port *nfq, unsigned count)
{
	struct vd_nfq_charge charge = vd_nfq_read_charge(&nfq->nfq);

	return charge.is_known && charge.bytes + 2 * (count / RUN_MIN) * vd_nfq_truesize(0) <= nfq->counters.receive_buffer;
}

/* Adds the first packets as a run, if that is worth it and there is room. How many, or 0. */
static unsigned add_run(struct vd_nfq_batch *batch, struct vd_packet *const *packets, unsigned count, bool may_run)
{
	bool are_dropped = vd_packet_is_dropped(packets[0]);
	unsigned length = are_dropped || may_run ? run_length(packets, count) : 1;
	const struct vd_packet *last = packets[length - 1];
	bool is_added = false;

	if (are_dropped && length > 1)
		is_added = vd_nfq_batch_add_range(batch, last, length);
	else if (!are_dropped && length >= RUN_MIN)
		is_added = vd_nfq_batch_add_run(batch, packets[0], last, length);
	return is_added ? length : 0;
}

/* Packets before which, in the order of arrival, all are answered: in runs as long as may be. */
static int add_in_order(struct nfq_port *nfq, struct vd_packet *const *packets, unsigned count, struct vd_nfq_batch *batch)
{
	bool may_run = count >= RUN_MIN && has_room_for_refusals(nfq, count);
	unsigned length, i = 0;
	int result = 0;

	for (; i < count && !result; i += length) {
		length = add_run(batch, packets + i, count - i, may_run);
		if (!length) {
			length = 1;
			result = add(nfq, batch, packets[i]);
		}
	}
	return result;
}

/* Some of what there is: what is next in order in runs, then each by itself, but for those that can wait to be dropped. */
static int add_some(struct nfq_port *nfq, struct vd_packet *const *packets, unsigned count, struct vd_nfq_batch *batch,
		    uint64_t *waits)
{
	unsigned i = nfq_order_at_mark(&nfq->order, packets, count);
	int result = add_in_order(nfq, packets, i, batch);

	for (; i < count && !result; i++) {
		if (nfq_order_can_wait(&nfq->order, packets[i]))
			*waits |= 1ull << i;
		else
			result = add(nfq, batch, packets[i]);
	}
	return result;
}

int nfq_port_send(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_batch *batch = scratch;
	uint64_t waits = 0;
	int result;

	vd_nfq_batch_reset(batch);
	result = are_all ? add_in_order(nfq, packets, count, batch) : add_some(nfq, packets, count, batch, &waits);
	if (!result)
		result = flush(nfq, batch);
	if (are_all) {
		nfq_order_settle_all(&nfq->order);
		return result;
	}
	return result ? result : nfq_order_settle(&nfq->order, &nfq->nfq, packets, count, waits, batch);
}

int nfq_port_hold(struct vd_port *port, struct vd_packet *packet, bool in_order, void *scratch)
{
	struct nfq_port *nfq = nfq_port_of(port);

	(void)in_order;
	vd_nfq_batch_reset(scratch);
	return nfq_order_hold(&nfq->order, &nfq->nfq, packet, scratch);
}
