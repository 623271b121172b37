/* SPDX-License-Identifier: MIT */
/*
 * The kernel's queue as a port: its life. See port_nfq.h.
 */
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/error.h"
#include "engine/port_nfq.h"
#include "engine/tally.h"
#include "lib/nfq/owner.h"

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

/* Which of the flags that may be asked for this kernel has; asked on a socket on which nothing else is. */
static void learn_flags(struct nfq_port *nfq, struct vd_nfq *idle)
{
	nfq->known_flags = 0;
	for (unsigned i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++)
		if (!vd_nfq_probe_flag(idle, FLAGS[i].flag))
			nfq->known_flags |= FLAGS[i].flag;
}

static int check_adopted(struct nfq_port *nfq, struct vd_error *error)
{
	unsigned queue = nfq->port.queue;
	const char *netns = nfq->settings.netns;
	struct vd_nfq_status status;
	struct vd_nfq idle;
	int result, descriptor = nfq->adopted;

	if (nfq->nfq.bound) /* asked before */
		return 0;
	nfq->adopted = -1; /* the next call owns it */
	result = vd_nfq_adopt(&nfq->nfq, netns, (uint16_t)queue, descriptor);
	if (result == -EBADF)
		return vd_error_set(error, result, "what was handed over for queue %u is no netfilter socket", queue);
	if (result == -ENOTCONN)
		return vd_error_set(error, result, "the socket that was handed over for queue %u does not own this queue%s%s", queue,
				    netns ? " in network namespace " : "", netns ? netns : "");
	if (!result) {
		nfq->port.descriptor = nfq->nfq.descriptor;
		result = vd_nfq_open(&idle, netns);
	}
	if (result)
		return vd_error_set(error, result, "queue %u cannot be taken over: %s", queue, strerror(-result));
	learn_flags(nfq, &idle);
	vd_nfq_close(&idle);
	if (!vd_nfq_status_of(nfq->nfq.status_descriptor, (uint16_t)queue, &status))
		nfq->port.copied_before = status.copy_range;
	return 0;
}

static int check(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_status status;
	int result;

	nfq->settings = *settings;
	if (port->is_adopted)
		return check_adopted(nfq, error);
	result = vd_nfq_open(&nfq->nfq, settings->netns);
	if ((result == -ENOENT || result == -EINVAL) && settings->netns)
		return vd_error_netns(error, settings->netns, result);
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
	learn_flags(nfq, &nfq->nfq);
	return 0;
}

static void size_receive_buffer(struct nfq_port *nfq)
{
	size_t wanted = vd_nfq_receive_buffer(nfq->settings.maxlen, nfq->settings.copy_range), granted = 0;
	size_t charge = vd_nfq_truesize(vd_nfq_usual_copy(nfq->settings.copy_range));
	int result = vd_nfq_set_receive_buffer(&nfq->nfq, wanted, &granted);

	nfq->counters.receive_buffer = (uint32_t)granted;
	if ((uint64_t)nfq->settings.maxlen * charge > VD_NFQ_RECEIVE_BUFFER_MAX)
		log_line(&nfq->settings, "note: queue %u: a queue of %u packets can need more than the largest receive buffer, %u bytes: "
			 "packets may be lost there before the queue is full", nfq->port.queue, nfq->settings.maxlen,
			 VD_NFQ_RECEIVE_BUFFER_MAX);
	if (result || granted < wanted)
		log_line(&nfq->settings, "note: queue %u: the receive buffer is %zu bytes, %zu are needed to hold the queue: have "
			 "CAP_NET_ADMIN in the first user namespace, or raise net.core.rmem_max to %zu",
			 nfq->port.queue, granted, wanted, wanted / 2);
}

static uint32_t wanted_flags(const struct vd_port_settings *settings)
{
	return (settings->fail_open ? NFQA_CFG_F_FAIL_OPEN : 0u) |
	       (settings->needs & VD_NEEDS_CONNTRACK ? NFQA_CFG_F_CONNTRACK : 0u) |
	       (settings->needs & VD_NEEDS_SEGMENTS ? 0u : NFQA_CFG_F_GSO) |
	       (settings->needs & VD_NEEDS_UID_GID ? NFQA_CFG_F_UID_GID : 0u) |
	       (settings->needs & VD_NEEDS_SECCTX ? NFQA_CFG_F_SECCTX : 0u);
}

/* Of an adopted queue, which is configured anew and not bound. */
static int go_on(struct nfq_port *nfq, struct vd_nfq_settings *wanted, struct vd_error *error)
{
	int result;

	wanted->copy_mode = NFQNL_COPY_PACKET;
	wanted->flags_off = nfq->known_flags & ~wanted->flags;
	result = vd_nfq_configure(&nfq->nfq, wanted, false);
	if (!result)
		result = nfq_port_adopt(nfq);
	if (result)
		vd_error_set(error, result, "queue %u cannot be taken over: %s", nfq->port.queue, strerror(-result));
	return result;
}

static int open_port(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error)
{
	struct nfq_port *nfq = nfq_port_of(port);
	uint32_t flags = wanted_flags(settings), granted = flags & nfq->known_flags;
	struct vd_nfq_settings wanted = {.queue = (uint16_t)port->queue, .maxlen = settings->maxlen,
					 .copy_range = settings->copy_range, .flags = granted};
	struct vd_nfq_status status;
	int result;

	nfq->settings = *settings;
	nfq_order_init(&nfq->order, settings->maxlen);
	nfq->edit_ban = vd_nfq_is_first_user_namespace() ? 0 : EPERM; /* what the newest kernels do not take, no kernel gets */
	size_receive_buffer(nfq);
	if (port->is_adopted) {
		result = go_on(nfq, &wanted, error);
		if (result)
			return result;
	} else {
		result = vd_nfq_bind(&nfq->nfq, &wanted, &granted);
	}
	if (result == -EPERM && !vd_nfq_status_of(nfq->nfq.status_descriptor, wanted.queue, &status))
		return say_who_owns(nfq, status.portid, error); /* it came between the check and now */
	if (result)
		return vd_error_set(error, result, "queue %u cannot be bound: %s%s", port->queue, strerror(-result),
				    result == -EPERM ? "; another program probably reads it" : "");
	for (unsigned i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++)
		if (flags & ~granted & FLAGS[i].flag)
			log_line(settings, "note: queue %u: this kernel does not %s", port->queue, FLAGS[i].loss);
	if (!(granted & NFQA_CFG_F_FAIL_OPEN))
		nfq->settings.fail_open = false;
	__atomic_store_n(&nfq->granted_flags, granted, __ATOMIC_RELAXED);
	return 0;
}

/* ---- other settings while it is open ---- */

static int reconfigure(struct vd_port *port, const struct vd_port_settings *settings)
{
	struct nfq_port *nfq = nfq_port_of(port);
	struct vd_nfq_settings wanted = {.queue = (uint16_t)port->queue, .maxlen = settings->maxlen,
					 .copy_range = settings->copy_range, .copy_mode = NFQNL_COPY_PACKET,
					 .flags = wanted_flags(settings) & nfq->known_flags};
	bool needs_room = settings->maxlen > nfq->settings.maxlen || settings->copy_range > nfq->settings.copy_range;
	struct vd_nfq_status status;
	int result;

	wanted.flags_off = nfq->known_flags & ~wanted.flags;
	result = vd_nfq_configure(&nfq->nfq, &wanted, false);
	if (result)
		return result;
	nfq->settings = *settings;
	nfq->settings.fail_open = wanted.flags & NFQA_CFG_F_FAIL_OPEN;
	__atomic_store_n(&nfq->granted_flags, wanted.flags, __ATOMIC_RELAXED);
	nfq_order_init(&nfq->order, settings->maxlen);
	if (needs_room)
		size_receive_buffer(nfq);
	nfq->id_reconfigured = vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, &status) ? nfq->id_last :
												       status.id_sequence;
	return 0;
}

static bool has_caught_up(struct vd_port *port)
{
	const struct nfq_port *nfq = nfq_port_of(port);
	uint32_t last = __atomic_load_n(&nfq->id_last, __ATOMIC_RELAXED);
	struct vd_nfq_charge charge;

	if ((int32_t)(last - nfq->id_reconfigured) >= 0)
		return true;
	charge = vd_nfq_read_charge(&nfq->nfq); /* what is missing was lost */
	return charge.is_known && !charge.bytes;
}

/* ---- life ---- */

static void counters(struct vd_port *port, struct vd_port_counters *counters)
{
	struct nfq_port *nfq = nfq_port_of(port);
	uint32_t flags = __atomic_load_n(&nfq->granted_flags, __ATOMIC_RELAXED);
	struct vd_nfq_status status;

	*counters = (struct vd_port_counters){
		.socket_dropped = vd_tally_read(&nfq->counters.socket_dropped),
		.socket_passed = vd_tally_read(&nfq->counters.socket_passed),
		.flushed = vd_tally_read(&nfq->counters.flushed),
		.flushed_going = vd_tally_read(&nfq->counters.flushed_going),
		.refused_going = vd_tally_read(&nfq->counters.refused_going),
		.maybe_flushed = vd_tally_read(&nfq->counters.maybe_flushed),
		.unsaid = vd_tally_read(&nfq->counters.unsaid),
		.refused = vd_tally_read(&nfq->counters.refused),
		.left_accepted = vd_tally_read(&nfq->counters.left_accepted),
		.left_dropped = vd_tally_read(&nfq->counters.left_dropped),
		.inherited_accepted = vd_tally_read(&nfq->counters.inherited_accepted),
		.inherited_dropped = vd_tally_read(&nfq->counters.inherited_dropped),
		.receive_buffer = nfq->counters.receive_buffer,
		.fail_open = flags & NFQA_CFG_F_FAIL_OPEN,
		.segments = !(flags & NFQA_CFG_F_GSO),
	};
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		counters->refused_verdicts[verdict] = vd_tally_read(&nfq->counters.refused_verdicts[verdict]);
	if (__atomic_load_n(&nfq->is_closed, __ATOMIC_ACQUIRE)) {
		counters->queue_dropped = nfq->counters.queue_dropped;
		counters->waiting = nfq->counters.waiting;
	} else if (!vd_nfq_status_of(nfq->nfq.status_descriptor, nfq->nfq.queue, &status) &&
		   status.portid == nfq->nfq.portid) {
		counters->queue_dropped = status.queue_dropped - nfq->queue_dropped_before;
		counters->waiting = status.waiting;
	}
}

static void wake(struct vd_port *port)
{
	struct nfq_port *nfq = nfq_port_of(port);

	/* relaxed: read when nobody wakes any more */
	atomic_fetch_add_explicit(&nfq->wakes, 1, memory_order_relaxed);
	vd_nfq_wake(&nfq->nfq);
}

static void destroy(struct vd_port *port)
{
	struct nfq_port *nfq = nfq_port_of(port);

	if (nfq->adopted >= 0) /* it never came to that */
		close(nfq->adopted);
	vd_nfq_close(&nfq->nfq);
	free(port);
}

static const struct vd_port_operations OPERATIONS = {
	.kind = "queue",
	.has_senders = true,
	.has_arrivals = true,
	.check = check,
	.open = open_port,
	.receive = nfq_port_receive,
	.send = nfq_port_send,
	.hold = nfq_port_hold,
	.reconfigure = reconfigure,
	.has_caught_up = has_caught_up,
	.counters = counters,
	.wake = wake,
	.close = nfq_port_close,
	.leave = nfq_port_leave,
	.destroy = destroy,
};

size_t vd_port_nfq_scratch_size(void)
{
	return sizeof(struct vd_nfq_batch);
}

int vd_port_nfq_create(struct vd_port **port, unsigned queue)
{
	struct nfq_port *nfq = aligned_alloc(VD_CACHE_LINE, sizeof *nfq);

	if (!nfq)
		return -ENOMEM;
	memset(nfq, 0, sizeof *nfq);
	nfq->port = (struct vd_port){.operations = &OPERATIONS, .queue = queue, .descriptor = -1,
				     .message_room = VD_NFQ_MESSAGE_ROOM, .scratch_size = vd_port_nfq_scratch_size()};
	nfq->nfq.descriptor = -1;
	nfq->nfq.status_descriptor = -EBADF;
	nfq->adopted = -1;
	*port = &nfq->port;
	return 0;
}

int vd_port_nfq_create_adopted(struct vd_port **port, unsigned queue, int descriptor)
{
	int result = vd_port_nfq_create(port, queue);

	if (result) {
		close(descriptor);
		return result;
	}
	nfq_port_of(*port)->adopted = descriptor;
	(*port)->is_adopted = true;
	return 0;
}
