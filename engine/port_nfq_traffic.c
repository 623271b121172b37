/* SPDX-License-Identifier: MIT */
/*
 * Packets from the kernel's queue, and verdicts to it.
 *
 * One message can settle a whole run of packets, which is much cheaper than one each. But the kernel refuses it only if it
 * finds no packet of the run at all, so that a flush in the midst of the run would go unseen. Therefore the first packet is
 * settled by itself, and when the kernel had it, the rest is: a flush takes all that is in the queue, the oldest with it. A
 * flush that comes later takes the whole rest, and is heard of. (When an interface goes down only its own packets are
 * flushed, so the packets of a run share their interfaces.)
 *
 * Whether the kernel had it shows at once, without reading on: a refusal would have been charged to the socket's buffer, or
 * counted as lost there.
 */
#include <errno.h>

#include "engine/port_nfq.h"
#include "engine/slots.h"
#include "engine/tally.h"
#include "lib/packet/packet.h"

/* Runs shorter than this are not worth finding out. */
#define RUN_MIN 6
/* Packets that arrive meanwhile are charged as well, and nothing is known then: so often the next packet is tried. */
#define PROBES_MAX 4
/* While traffic is so dense that it never is known: after so many bursts, only one of so many is tried. */
#define PROBES_IN_VAIN_MAX 8
#define PROBES_REST 32

/* ---- receive ---- */

void nfq_port_count_gap(struct nfq_port *nfq, uint32_t id)
{
	uint32_t missing = id - nfq->id_last - 1; /* ids wrap at 2^32 */

	nfq->id_last = id;
	if (missing)
		vd_tally_add(&nfq->counters.socket_dropped, missing);
}

static void take_error(struct nfq_port *nfq, const struct vd_nfq_error *error)
{
	enum vd_verdict verdict = vd_nfq_verdict(error->netfilter_verdict);

	if (!error->is_verdict)
		return;
	if (nfq->is_settling && (int32_t)(error->id - nfq->id_settled) > 0)
		vd_tally_add(&nfq->counters.left_accepted, -(uint64_t)error->count);
	else
		vd_tally_add(&nfq->counters.refused_verdicts[verdict], error->count);
	vd_tally_add(error->code == ENOENT ? &nfq->counters.flushed : &nfq->counters.refused, error->count);
}

int nfq_port_receive_into(struct nfq_port *nfq, struct vd_packet **packets, unsigned count, uint32_t room, int flags)
{
	int received, kept = 0;

	for (unsigned i = 0; i < count; i++) {
		nfq->iov[i] = (struct iovec){.iov_base = (uint8_t *)packets[i] + VD_SLOT_ROOM, .iov_len = room};
		nfq->messages[i].msg_hdr = (struct msghdr){.msg_iov = &nfq->iov[i], .msg_iovlen = 1};
	}
	received = recvmmsg(nfq->nfq.descriptor, nfq->messages, count, flags, NULL);
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
		nfq_drops_track(&nfq->drops, packets, (unsigned)received);
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
	return !packet->changed && !next->changed && packet->verdict == next->verdict && packet->verdict != VD_QUEUE;
}

static unsigned run_length(struct vd_packet *const *packets, unsigned count, const struct vd_packet *probed)
{
	unsigned length = 1;

	if (!share_interfaces(packets[0], probed))
		return 1;
	while (length < count && may_share(packets[0], packets[length]) && share_interfaces(packets[length], probed))
		length++;
	return length;
}

/* Settles the first packets one by one until the kernel surely had one. Returns how many were sent, or -errno. */
static int probe(struct nfq_port *nfq, struct vd_packet *const *packets, unsigned count, struct vd_nfq_batch *batch,
		 bool *had_last)
{
	*had_last = false;
	if (++nfq->probes_in_vain > PROBES_IN_VAIN_MAX && nfq->probes_in_vain % PROBES_REST)
		return 0;
	for (unsigned sent = 0; sent < count;) {
		struct vd_nfq_charge before = vd_nfq_read_charge(&nfq->nfq), after;
		int result;

		vd_nfq_batch_add(batch, packets[sent]);
		result = flush(nfq, batch);
		if (result)
			return result;
		sent++;
		after = vd_nfq_read_charge(&nfq->nfq);
		*had_last = before.is_known && after.is_known && before.bytes == after.bytes && before.drops == after.drops;
		if (*had_last)
			nfq->probes_in_vain = 0;
		if (*had_last || !before.is_known || sent == PROBES_MAX)
			return (int)sent;
	}
	return (int)count;
}

/* All that there is, in runs as long as may be. */
static int send_runs(struct nfq_port *nfq, struct vd_packet *const *packets, unsigned count, struct vd_nfq_batch *batch)
{
	const struct vd_packet *probed = NULL;
	unsigned length, i = 0;
	int result = 0;

	/* what a flush takes of those that are dropped was dropped */
	if (!vd_packet_is_dropped(packets[0]) && run_length(packets, count, packets[0]) >= RUN_MIN) {
		bool had_last;
		int sent = probe(nfq, packets, count, batch, &had_last);

		if (sent < 0)
			return sent;
		i = (unsigned)sent;
		probed = had_last ? packets[i - 1] : NULL;
	}
	for (; i < count && !result; i += length) {
		const struct vd_packet *known = vd_packet_is_dropped(packets[i]) ? packets[i] : probed;

		length = known ? run_length(packets + i, count - i, known) : 1;
		if (length > 1 && !vd_nfq_batch_add_range(batch, packets[i + length - 1], length))
			length = 1;
		if (length == 1)
			result = add(nfq, batch, packets[i]);
	}
	return result ? result : flush(nfq, batch);
}

/* Some of what there is: each by itself, but for those that can wait to be dropped. */
static int send_some(struct nfq_port *nfq, struct vd_packet *const *packets, unsigned count, struct vd_nfq_batch *batch,
		     uint64_t *waits)
{
	int result = 0;

	for (unsigned i = 0; i < count && !result; i++) {
		if (nfq_drops_can_wait(&nfq->drops, packets[i]))
			*waits |= 1ull << i;
		else
			result = add(nfq, batch, packets[i]);
	}
	return result ? result : flush(nfq, batch);
}

int nfq_port_send(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_batch *batch = scratch;
	uint64_t waits = 0;
	int result;

	vd_nfq_batch_reset(batch);
	if (are_all) {
		result = send_runs(nfq, packets, count, batch);
		nfq_drops_settle_all(&nfq->drops);
		return result;
	}
	result = send_some(nfq, packets, count, batch, &waits);
	return result ? result : nfq_drops_settle(&nfq->drops, &nfq->nfq, packets, count, waits, batch);
}
