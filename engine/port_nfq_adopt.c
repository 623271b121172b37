/* SPDX-License-Identifier: MIT */
/*
 * A queue whose socket came from another process: going on with it, and leaving it to the next one.
 *
 * The queue belongs to the socket, and packets wait while nobody reads. What lies unread on the socket is ours. But whoever had
 * the socket before may have read packets and died before it answered them: they are the ones with lower ids than the
 * first unread one, and wait in the kernel for ever, if nobody settles them. One range message does. How many that were,
 * the kernel does not say; but it counts what waits, and what came meanwhile has ids.
 */
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <string.h>

#include "engine/port_nfq.h"
#include "engine/slots.h"
#include "engine/tally.h"

/* Only the id is looked for. */
#define PEEK_ROOM 512u

/* The counts are read again as long as they change meanwhile, but not for ever. */
#define READS_MAX 1000

struct counts {
	struct vd_nfq_status status;
	uint32_t drops;
};

/* All of one moment. 0 or -errno. */
static int read_counts(const struct nfq_port *nfq, struct counts *counts)
{
	struct vd_nfq_status again;

	for (unsigned reads = 0; reads < READS_MAX; reads++) {
		int result = vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, &counts->status);

		if (result)
			return result;
		counts->drops = vd_nfq_read_charge(&nfq->nfq).drops;
		result = vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, &again);
		if (result)
			return result;
		if (again.waiting == counts->status.waiting && again.id_sequence == counts->status.id_sequence)
			return 0;
	}
	return 0;
}

/* The first packet that lies on the socket stays there; refusals before it are not ours. 1, 0: there is none, or -errno. */
static int peek_first_id(const struct nfq_port *nfq, uint32_t *id)
{
	_Alignas(VD_CACHE_LINE) uint8_t room[VD_SLOT_ROOM + PEEK_ROOM];
	struct vd_packet *packet = (struct vd_packet *)room;
	struct vd_nfq_error error;

	for (;;) {
		ssize_t length = recv(nfq->nfq.descriptor, room + VD_SLOT_ROOM, PEEK_ROOM, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
		uint32_t read = length < (ssize_t)PEEK_ROOM ? (uint32_t)length : PEEK_ROOM;

		if (length < 0 && errno != EINTR)
			return errno == EAGAIN ? 0 : -errno;
		if (length < 0)
			continue;
		if (vd_nfq_read_message(packet, room + VD_SLOT_ROOM, read, PEEK_ROOM, length > (ssize_t)PEEK_ROOM, &error) ==
		    VD_NFQ_PACKET) {
			*id = packet->id;
			return 1;
		}
		(void)!recv(nfq->nfq.descriptor, room, sizeof room, MSG_DONTWAIT);
	}
}

/* One message for all packets before `first`. */
static int answer_before(struct nfq_port *nfq, uint32_t first)
{
	struct vd_packet last = {.id = first - 1, .queue = nfq->nfq.queue, .verdict = (uint8_t)nfq->settings.fault_verdict};
	struct vd_nfq_batch batch;

	vd_nfq_batch_reset(&batch);
	vd_nfq_batch_add_range(&batch, &last, 1);
	return vd_nfq_batch_send(&nfq->nfq, &batch);
}

int nfq_port_adopt(struct nfq_port *nfq)
{
	struct counts before, after;
	uint32_t first = 0;
	int32_t settled, lost;
	int result = read_counts(nfq, &before), found;

	if (result)
		return result;
	found = peek_first_id(nfq, &first);
	if (found < 0)
		return found;
	if (!found) /* nothing is unread: what had come before we looked was read */
		first = before.status.id_sequence + 1;
	nfq->id_first = first;
	nfq->id_last = first - 1;
	result = before.status.waiting ? answer_before(nfq, first) : 0;
	if (!result)
		result = read_counts(nfq, &after);
	if (result)
		return result;
	settled = (int32_t)(before.status.waiting - after.status.waiting + (after.status.id_sequence - before.status.id_sequence) -
			    (after.drops - before.drops));
	if (settled > 0) /* a refusal that found no room is a drop as well */
		vd_tally_add(nfq->settings.fault_verdict == VD_ACCEPT ? &nfq->counters.inherited_accepted :
									&nfq->counters.inherited_dropped, (uint32_t)settled);
	/* what was lost behind the first one is ours to count */
	lost = (int32_t)(after.status.id_sequence - nfq->id_last - after.status.waiting);
	nfq->drops_before = after.drops - (lost > 0 ? (uint32_t)lost : 0);
	nfq->queue_dropped_before = before.status.queue_dropped;
	return 0;
}

void nfq_port_leave(struct vd_port *port)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_status status;

	if (!vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, &status)) {
		nfq->counters.queue_dropped = status.queue_dropped - nfq->queue_dropped_before;
		nfq->counters.waiting = status.waiting;
	}
	__atomic_store_n(&nfq->is_closed, true, __ATOMIC_RELEASE);
}
