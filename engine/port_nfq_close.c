/* SPDX-License-Identifier: MIT */
/*
 * The end of the kernel's queue as a port: what still waits in it is accepted, or dropped by giving the queue back; and all
 * counts are made exact.
 */
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>

#include "engine/port_nfq.h"
#include "engine/slots.h"
#include "engine/tally.h"

/* Packets are received only for their ids: this much of each. */
#define REST_ROOM 512u
#define REST_BURST 16

/* The kernel's counts are read again as long as they change meanwhile, but not for ever. */
#define READS_MAX 1000

/* Room for a few packets of which only the id matters. */
struct rest {
	struct vd_nfq_batch batch;
	struct vd_packet *packets[REST_BURST];
	_Alignas(VD_CACHE_LINE) uint8_t room[REST_BURST][VD_SLOT_ROOM + REST_ROOM];
};

static bool is_empty(const struct nfq_port *nfq)
{
	char byte;

	return recv(nfq->nfq.descriptor, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC) < 0;
}

/* The next packets; 0 or -errno when there is nothing more on the socket. */
static int receive_rest(struct nfq_port *nfq, struct rest *rest)
{
	int received;

	do {
		for (unsigned i = 0; i < REST_BURST; i++)
			rest->packets[i] = (struct vd_packet *)rest->room[i];
		received = nfq_port_receive_into(nfq, rest->packets, REST_BURST, REST_ROOM, MSG_DONTWAIT);
	} while (!received && !is_empty(nfq)); /* a burst of refusals only */
	return received;
}

/* What waits now, that is up to the id that was given out last; more may come meanwhile. */
static uint32_t last_id(const struct nfq_port *nfq)
{
	struct vd_nfq_status status;

	if (!vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, &status))
		return status.id_sequence;
	/* at most as many as the buffer holds of the smallest */
	return nfq->id_last + nfq->counters.receive_buffer / (uint32_t)vd_nfq_truesize(0);
}

/*
 * Packets that come from here on find the queue full, and pass: otherwise those that come between the last one that is accepted
 * and the end of the queue would be dropped with it.
 */
static void let_new_ones_pass(struct nfq_port *nfq)
{
	const struct vd_nfq_settings full = {.queue = nfq->nfq.queue, .maxlen = 0, .copy_range = nfq->settings.copy_range,
					     .copy_mode = NFQNL_COPY_PACKET, .flags = NFQA_CFG_F_FAIL_OPEN};

	if (nfq->known_flags & NFQA_CFG_F_FAIL_OPEN)
		vd_nfq_configure(&nfq->nfq, &full, false);
}

static void accept_up_to(struct nfq_port *nfq, struct rest *rest, uint32_t last)
{
	int received;

	while ((int32_t)(last - nfq->id_last) > 0 && (received = receive_rest(nfq, rest)) > 0) {
		for (int i = 0; i < received; i++) {
			rest->packets[i]->verdict = VD_ACCEPT;
			rest->packets[i]->changed = 0;
			vd_nfq_batch_add(&rest->batch, rest->packets[i]);
		}
		if (vd_nfq_batch_send(&nfq->nfq, &rest->batch))
			return;
		vd_tally_add(&nfq->counters.left_accepted, (unsigned)received);
	}
}

static void accept_rest(struct nfq_port *nfq, struct rest *rest)
{
	nfq->is_settling = true;
	nfq->id_settled = nfq->id_last;
	vd_nfq_batch_reset(&rest->batch);
	accept_up_to(nfq, rest, last_id(nfq));
	let_new_ones_pass(nfq); /* not earlier: they overtake those that wait */
	accept_up_to(nfq, rest, last_id(nfq));
}

/* Counts what was on the socket when the queue was given back: the kernel has dropped it. */
static void count_rest(struct nfq_port *nfq, struct rest *rest)
{
	int received;

	while ((received = receive_rest(nfq, rest)) > 0)
		vd_tally_add(&nfq->counters.left_dropped, (unsigned)received);
}

/* The queue's last status, and the socket's drops at the same moment. */
static bool read_last_counts(const struct nfq_port *nfq, struct vd_nfq_status *status, uint32_t *drops)
{
	for (unsigned reads = 0; reads < READS_MAX; reads++) {
		*drops = vd_nfq_read_charge(&nfq->nfq).drops;
		if (vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, status))
			return false;
		if (vd_nfq_read_charge(&nfq->nfq).drops == *drops)
			break;
	}
	return true;
}

/* Refusals that found the buffer full: the drops that are neither packets nor answers to a wake(). */
static void count_unsaid(struct nfq_port *nfq, uint32_t drops)
{
	uint32_t wakes_lost = atomic_load_explicit(&nfq->wakes, memory_order_relaxed) - nfq->wakes_answered;
	int64_t unsaid = (int64_t)(uint32_t)(drops - nfq->drops_before) - (int64_t)nfq->counters.socket_dropped - wakes_lost;

	if (unsaid <= 0)
		return;
	nfq->counters.unsaid = (uint64_t)unsaid;
	vd_tally_add(&nfq->counters.flushed, (uint64_t)unsaid);
	vd_tally_add(&nfq->counters.maybe_flushed, (uint64_t)unsaid * (VD_PORT_BURST_MAX - 1)); /* each may have been a run's */
}

void nfq_port_close(struct vd_port *port)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct rest *rest = aligned_alloc(VD_CACHE_LINE, (sizeof *rest + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE);
	struct vd_nfq_status status = {0};
	uint32_t drops = 0;
	bool has_counts;

	if (rest && nfq->settings.fault_verdict == VD_ACCEPT)
		accept_rest(nfq, rest);
	has_counts = read_last_counts(nfq, &status, &drops);
	vd_nfq_unbind(&nfq->nfq);
	if (rest)
		count_rest(nfq, rest);
	free(rest);
	if (has_counts) {
		nfq->counters.queue_dropped = status.queue_dropped - nfq->queue_dropped_before;
		if ((int32_t)(status.id_sequence - nfq->id_last) > 0)
			nfq_port_count_gap(nfq, status.id_sequence + 1);
		count_unsaid(nfq, drops);
	}
	__atomic_store_n(&nfq->is_closed, true, __ATOMIC_RELEASE);
}
