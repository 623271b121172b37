/* SPDX-License-Identifier: MIT */
/*
 * The kernel's queue as a port.
 *
 * Losses are counted exactly. Every packet that the kernel hands up takes the next id, also one for which the socket's
 * buffer had no room: so a gap in the ids is the count of those, and at the end the kernel's own sequence number tells
 * how many came after the last packet that was received. Packets that found the queue full took no id; the kernel
 * counts them.
 *
 * A verdict that the kernel refuses comes back as a message between packets. When the queue was flushed (an interface
 * went down, a table with a base chain was deleted) that is ENOENT, and nothing is wrong.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "engine/port.h"
#include "engine/slots.h"
#include "engine/tally.h"
#include "lib/nfq/nfq.h"
#include "lib/nfq/owner.h"

/* At the end, packets are received only for their ids: this much of each. */
#define REST_ROOM 512u
#define REST_BURST 16

struct nfq_port {
	struct vd_port port;
	struct vd_nfq nfq;
	struct vd_port_settings settings;
	struct vd_port_counters counters; /* tallies of the reader's role; `waiting` and `queue_dropped` only at the end */
	bool is_closed;
	uint32_t id_last;	/* of the packets received */
	uint32_t id_settled;	/* packets after this one were settled at the end */
	bool is_settling;
	uint64_t received;	/* packets, handed to the engine; a tally of the reader's role */
	_Atomic uint64_t answered; /* of them */
	struct mmsghdr messages[VD_PORT_BURST_MAX];
	struct iovec iov[VD_PORT_BURST_MAX];
	struct sockaddr_nl from[VD_PORT_BURST_MAX];
};

static struct nfq_port *nfq_port_of(struct vd_port *port)
{
	return (struct nfq_port *)port;
}

static void log_line(const struct vd_port_settings *settings, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void log_line(const struct vd_port_settings *settings, const char *format, ...)
{
	char line[512];
	va_list arguments;

	if (!settings->log)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	settings->log(settings->log_argument, line);
}

/* ---- open ---- */

static int describe_owner(void *argument)
{
	char *text = argument;
	uint32_t portid = (uint32_t)strtoul(text, NULL, 10);

	return vd_nfq_owner_describe(portid, text, 128);
}

static int say_who_owns(struct nfq_port *nfq, uint32_t portid, struct vd_error *error)
{
	char owner[128];

	snprintf(owner, sizeof owner, "%u", portid);
	if (vd_nfq_in_netns(nfq->settings.netns, describe_owner, owner))
		snprintf(owner, sizeof owner, "a process that cannot be seen from here");
	return vd_error_set(error, -EPERM, "queue %u is owned by portid %u (%s): stop that program or choose another queue",
			    nfq->port.queue, portid, owner);
}

static int check(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_status status;
	int result;

	nfq->settings = *settings;
	result = vd_nfq_open(&nfq->nfq, settings->netns);
	if (result == -ENOENT && settings->netns)
		return vd_error_set(error, result, "there is no network namespace '%s'; `ip netns` lists them", settings->netns);
	if (result == -EINVAL && settings->netns)
		return vd_error_set(error, -ENOENT, "'%s' is not a network namespace; `ip netns` lists them", settings->netns);
	if (result == -EPROTONOSUPPORT)
		return vd_error_set(error, result, "this kernel has no nfnetlink: load the module nfnetlink_queue");
	if (result)
		return vd_error_set(error, result, "a netlink socket cannot be opened%s%s: %s",
				    settings->netns ? " in network namespace " : "", settings->netns ? settings->netns : "",
				    strerror(-result));
	if (vd_nfq_probe_flag(&nfq->nfq, NFQA_CFG_F_FAIL_OPEN) == -EPERM)
		return vd_error_set(error, -EPERM, "reading a queue needs CAP_NET_ADMIN in its network namespace: run as root, "
				    "or give the program the capability");
	if (nfq->nfq.status_descriptor == -ENOENT)
		return vd_error_set(error, -ENOENT, "this kernel has no nfnetlink_queue: load the module nfnetlink_queue");
	if (nfq->nfq.status_descriptor < 0)
		log_line(settings, "note: queue %u: the kernel's own counts cannot be read here (%s): how many packets wait, and how "
			 "many found the queue full, will be missing", port->queue, strerror(-nfq->nfq.status_descriptor));
	if (!vd_nfq_status_of(nfq->nfq.status_descriptor, (uint16_t)port->queue, &status))
		return say_who_owns(nfq, status.portid, error);
	port->descriptor = nfq->nfq.descriptor;
	return 0;
}

static void size_receive_buffer(struct nfq_port *nfq)
{
	size_t wanted = vd_nfq_receive_buffer(nfq->settings.maxlen, nfq->settings.copy_range), granted = 0;
	uint32_t usual = nfq->settings.copy_range < 1500 ? nfq->settings.copy_range : 1500;
	int result = vd_nfq_set_receive_buffer(&nfq->nfq, wanted, &granted);

	nfq->counters.receive_buffer = (uint32_t)granted;
	if ((uint64_t)nfq->settings.maxlen * vd_nfq_truesize(usual) > VD_NFQ_RECEIVE_BUFFER_MAX)
		log_line(&nfq->settings, "note: queue %u: a queue of %u packets can need more than the largest receive buffer, %u bytes: "
			 "packets may be lost there before the queue is full", nfq->port.queue, nfq->settings.maxlen,
			 VD_NFQ_RECEIVE_BUFFER_MAX);
	if (result || granted < wanted)
		log_line(&nfq->settings, "note: queue %u: the receive buffer is %zu bytes, %zu are needed to hold the queue: have "
			 "CAP_NET_ADMIN in the first user namespace, or raise net.core.rmem_max to %zu",
			 nfq->port.queue, granted, wanted, wanted / 2);
}

static const struct {
	uint32_t flag;
	const char *loss; /* what it means when the kernel cannot do it */
} FLAGS[] = {
	{NFQA_CFG_F_FAIL_OPEN, "fail open: packets that find the queue full will be dropped"},
	{NFQA_CFG_F_CONNTRACK, "give connection tracking: functions that ask for it will see none (nf_conntrack_netlink)"},
	{NFQA_CFG_F_GSO, "give GSO packets whole: they come as segments, slower"},
	{NFQA_CFG_F_UID_GID, "give the owner of the sending socket: functions that ask for it will see none"},
	{NFQA_CFG_F_SECCTX, "give security contexts: functions that ask for them will see none"},
};

static uint32_t wanted_flags(const struct vd_port_settings *settings)
{
	return (settings->fail_open ? NFQA_CFG_F_FAIL_OPEN : 0u) |
	       (settings->needs & VD_NEEDS_CONNTRACK ? NFQA_CFG_F_CONNTRACK : 0u) |
	       (settings->needs & VD_NEEDS_SEGMENTS ? 0u : NFQA_CFG_F_GSO) |
	       (settings->needs & VD_NEEDS_UID_GID ? NFQA_CFG_F_UID_GID : 0u) |
	       (settings->needs & VD_NEEDS_SECCTX ? NFQA_CFG_F_SECCTX : 0u);
}

static int open_port(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_settings wanted = {.queue = (uint16_t)port->queue, .maxlen = settings->maxlen,
					 .copy_range = settings->copy_range, .flags = wanted_flags(settings)};
	struct vd_nfq_status status;
	uint32_t granted = 0;
	int result;

	nfq->settings = *settings;
	size_receive_buffer(nfq);
	result = vd_nfq_bind(&nfq->nfq, &wanted, &granted);
	if (result == -EPERM && !vd_nfq_status_of(nfq->nfq.status_descriptor, wanted.queue, &status))
		return say_who_owns(nfq, status.portid, error); /* it came between the check and now */
	if (result)
		return vd_error_set(error, result, "queue %u cannot be bound: %s%s", port->queue, strerror(-result),
				    result == -EPERM ? "; another program probably reads it" : "");
	for (unsigned i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++)
		if (wanted.flags & ~granted & FLAGS[i].flag)
			log_line(settings, "note: queue %u: this kernel does not %s", port->queue, FLAGS[i].loss);
	if (!(granted & NFQA_CFG_F_FAIL_OPEN))
		nfq->settings.fail_open = false;
	return 0;
}

/* ---- receive ---- */

static void count_gap(struct nfq_port *nfq, uint32_t id)
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

static int receive_into(struct nfq_port *nfq, struct vd_packet **packets, unsigned count, uint32_t room, int flags)
{
	int received, kept = 0;

	for (unsigned i = 0; i < count; i++) {
		nfq->iov[i] = (struct iovec){.iov_base = (uint8_t *)packets[i] + VD_SLOT_ROOM, .iov_len = room};
		nfq->messages[i].msg_hdr = (struct msghdr){.msg_name = &nfq->from[i], .msg_namelen = sizeof nfq->from[i],
							   .msg_iov = &nfq->iov[i], .msg_iovlen = 1};
	}
	received = recvmmsg(nfq->nfq.descriptor, nfq->messages, count, flags, NULL);
	if (received < 0) /* ENOBUFS cannot come (NETLINK_NO_ENOBUFS), but would only be a hint */
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
	for (int i = 0; i < received; i++) {
		struct vd_packet *packet = packets[i];
		struct vd_nfq_error error;
		enum vd_nfq_kind kind;

		if (nfq->from[i].nl_pid) /* only the kernel may talk to us */
			continue;
		kind = vd_nfq_read_message(packet, (uint8_t *)packet + VD_SLOT_ROOM, nfq->messages[i].msg_len, room,
					   nfq->messages[i].msg_hdr.msg_flags & MSG_TRUNC, &error);
		if (kind == VD_NFQ_PACKET) {
			count_gap(nfq, packet->id);
			packets[i] = packets[kept];
			packets[kept++] = packet;
		} else if (kind == VD_NFQ_ERROR) {
			take_error(nfq, &error);
		}
	}
	return kept;
}

static int receive(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait)
{
	struct nfq_port *nfq = nfq_port_of(port);

	int received = receive_into(nfq, packets, count, nfq->settings.slot_room, wait ? MSG_WAITFORONE : MSG_DONTWAIT);

	if (received > 0)
		vd_tally_add(&nfq->received, (unsigned)received);
	return received;
}

/* ---- send ---- */

/*
 * One message may settle a run of packets, if they are the oldest of the queue, get the same verdict, and nothing goes with
 * it. They must also share their devices: when a device goes down the kernel flushes its packets only, and answers a
 * range that it finds any packet of with success; so a range is flushed as a whole or not at all, and the count exact.
 */
static bool may_share(const struct vd_packet *packet, const struct vd_packet *next)
{
	return !packet->changed && !next->changed && packet->verdict == next->verdict && packet->verdict != VD_QUEUE &&
	       packet->indev == next->indev && packet->outdev == next->outdev && !packet->has_bridge_ports &&
	       !next->has_bridge_ports;
}

static unsigned run_length(struct vd_packet *const *packets, unsigned count)
{
	unsigned length = 1;

	while (length < count && may_share(packets[0], packets[length]))
		length++;
	return length;
}

/* A burst of several shards is not in the order of arrival. */
static bool are_in_order(struct vd_packet *const *packets, unsigned count)
{
	for (unsigned i = 1; i < count; i++)
		if ((int32_t)(packets[i]->id - packets[i - 1]->id) < 0)
			return false;
	return true;
}

static int send_verdicts(struct vd_port *port, struct vd_packet *const *packets, unsigned count, void *scratch)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_batch *batch = scratch;
	/*
	 * Nothing else was received and not answered: these are the oldest, and no other thread has any. Acquire, pairs with
	 * the release below: the kernel has carried out what is counted.
	 */
	uint64_t answered = atomic_load_explicit(&nfq->answered, memory_order_acquire);
	bool are_oldest = vd_tally_read(&nfq->received) - answered == count && are_in_order(packets, count);
	unsigned length;
	int result = 0;

	vd_nfq_batch_reset(batch);
	for (unsigned i = 0; i < count && !result; i += length) {
		length = are_oldest ? run_length(packets + i, count - i) : 1;
		if (length > 1) {
			vd_nfq_batch_add_range(batch, packets[i + length - 1], length);
		} else if (!vd_nfq_batch_add(batch, packets[i])) {
			result = vd_nfq_batch_send(&nfq->nfq, batch);
			vd_nfq_batch_add(batch, packets[i]);
		}
	}
	if (!result)
		result = vd_nfq_batch_send(&nfq->nfq, batch);
	atomic_fetch_add_explicit(&nfq->answered, count, memory_order_release);
	return result;
}

/* ---- close ---- */

/* Room for a few packets of which only the id matters. */
struct rest {
	struct vd_nfq_batch batch;
	struct vd_packet *packets[REST_BURST];
	_Alignas(VD_CACHE_LINE) uint8_t room[REST_BURST][VD_SLOT_ROOM + REST_ROOM];
};

static int receive_rest(struct nfq_port *nfq, struct rest *rest)
{
	for (unsigned i = 0; i < REST_BURST; i++)
		rest->packets[i] = (struct vd_packet *)rest->room[i];
	return receive_into(nfq, rest->packets, REST_BURST, REST_ROOM, MSG_DONTWAIT);
}

/* Accepts what waits in the queue now; more may come while it does, so it ends after as many as the queue can hold. */
static void accept_rest(struct nfq_port *nfq, struct rest *rest)
{
	uint32_t left = nfq->settings.maxlen;
	int received;

	nfq->is_settling = true;
	nfq->id_settled = nfq->id_last;
	while (left && (received = receive_rest(nfq, rest)) > 0) {
		for (int i = 0; i < received; i++) {
			rest->packets[i]->verdict = VD_ACCEPT;
			rest->packets[i]->changed = 0;
			vd_nfq_batch_add(&rest->batch, rest->packets[i]);
		}
		if (vd_nfq_batch_send(&nfq->nfq, &rest->batch))
			return;
		vd_tally_add(&nfq->counters.left_accepted, (unsigned)received);
		left -= (uint32_t)received < left ? (uint32_t)received : left;
	}
}

/* Counts what was on the socket when the queue was given back: the kernel has dropped it. */
static void count_rest(struct nfq_port *nfq, struct rest *rest)
{
	int received;

	while ((received = receive_rest(nfq, rest)) >= 0) {
		vd_tally_add(&nfq->counters.left_dropped, (unsigned)received);
		/* nothing received may also mean a burst of errors only: the end is when there is nothing to read */
		if (!received && recv(nfq->nfq.descriptor, rest->room, 1, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC) < 0)
			return;
	}
}

static void close_port(struct vd_port *port)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct rest *rest = aligned_alloc(VD_CACHE_LINE, (sizeof *rest + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE);
	struct vd_nfq_status status = {0};
	bool has_status;

	if (rest) {
		vd_nfq_batch_reset(&rest->batch);
		if (nfq->settings.fault_verdict == VD_ACCEPT)
			accept_rest(nfq, rest);
	}
	has_status = !vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, &status);
	vd_nfq_unbind(&nfq->nfq);
	if (rest)
		count_rest(nfq, rest);
	free(rest);
	if (has_status) {
		nfq->counters.queue_dropped = status.queue_dropped;
		if ((int32_t)(status.id_sequence - nfq->id_last) > 0)
			count_gap(nfq, status.id_sequence + 1);
	}
	__atomic_store_n(&nfq->is_closed, true, __ATOMIC_RELEASE);
}

static void counters(struct vd_port *port, struct vd_port_counters *counters)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_status status;

	*counters = (struct vd_port_counters){
		.socket_dropped = vd_tally_read(&nfq->counters.socket_dropped),
		.flushed = vd_tally_read(&nfq->counters.flushed),
		.refused = vd_tally_read(&nfq->counters.refused),
		.left_accepted = vd_tally_read(&nfq->counters.left_accepted),
		.left_dropped = vd_tally_read(&nfq->counters.left_dropped),
		.receive_buffer = nfq->counters.receive_buffer,
	};
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		counters->refused_verdicts[verdict] = vd_tally_read(&nfq->counters.refused_verdicts[verdict]);
	if (__atomic_load_n(&nfq->is_closed, __ATOMIC_ACQUIRE)) {
		counters->queue_dropped = nfq->counters.queue_dropped;
	} else if (!vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, &status) &&
		   status.portid == nfq->nfq.portid) {
		counters->queue_dropped = status.queue_dropped;
		counters->waiting = status.waiting;
	}
}

static void wake(struct vd_port *port)
{
	vd_nfq_wake(&nfq_port_of(port)->nfq);
}

static void destroy(struct vd_port *port)
{
	vd_nfq_close(&nfq_port_of(port)->nfq);
	free(port);
}

static const struct vd_port_operations OPERATIONS = {
	.kind = "queue",
	.check = check,
	.open = open_port,
	.receive = receive,
	.send = send_verdicts,
	.counters = counters,
	.wake = wake,
	.close = close_port,
	.destroy = destroy,
};

int vd_port_nfq_create(struct vd_port **port, unsigned queue)
{
	struct nfq_port *nfq = calloc(1, sizeof *nfq);

	if (!nfq)
		return -ENOMEM;
	nfq->port = (struct vd_port){.operations = &OPERATIONS, .queue = queue, .descriptor = -1,
				     .message_room = VD_NFQ_MESSAGE_ROOM, .scratch_size = sizeof(struct vd_nfq_batch)};
	nfq->nfq.descriptor = -1;
	nfq->nfq.status_descriptor = -EBADF;
	*port = &nfq->port;
	return 0;
}
