/* SPDX-License-Identifier: MIT */
/*
 * nfnetlink_queue: one socket, one queue. The door of lib/nfq.
 *
 *	socket.c   opens the socket (in any network namespace) and sizes its buffer
 *	config.c   binds the queue to it, sets and probes what the kernel can do
 *	message.c  reads what the kernel sends: packets, and errors among them
 *	verdict.c  builds what it is sent: verdicts, many in one call
 *	status.c   what the kernel says of its queues in /proc
 *
 * Threads: one thread at a time may receive, any number may send. All functions return 0 or a count, or -errno.
 * Wire formats: <linux/netfilter/nfnetlink_queue.h>.
 */
#ifndef VERDICT_LIB_NFQ_H
#define VERDICT_LIB_NFQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <verdict/packet.h>

struct mnl_socket;

/* ---- socket.c ---- */

struct vd_nfq {
	struct mnl_socket *socket;
	int descriptor;
	int status_descriptor; /* of /proc/net/netfilter/nfnetlink_queue in the socket's namespace; -errno: why there is none */
	uint32_t portid;
	uint16_t queue;
	bool bound;
};

/*
 * Opens a socket in the network namespace `netns`: a name that `ip netns` knows, or a path; NULL: the caller's. The calling
 * thread's namespace is the same afterwards. -ENOENT: no such namespace; -EPERM: may not enter it.
 */
int vd_nfq_open(struct vd_nfq *nfq, const char *netns);

/*
 * The same with a socket that is bound to `queue` already, and that this process was given; it owns the descriptor from here on,
 * also when this fails. Its namespace has to be `netns`, or, NULL, the caller's. -EBADF: no socket of netfilter's; -ENOTCONN: it
 * does not own that queue there.
 */
int vd_nfq_adopt(struct vd_nfq *nfq, const char *netns, uint16_t queue, int descriptor);

/* Closes it. The kernel drops what is still queued, unless somebody else has the socket too. Safe on one that failed to open. */
void vd_nfq_close(struct vd_nfq *nfq);

/*
 * Runs `call(argument)` in the network namespace (as vd_nfq_open()), and returns what it returns, or -errno if it could
 * not be entered. The calling thread's namespace is the same afterwards.
 */
int vd_nfq_in_netns(const char *netns, int (*call)(void *argument), void *argument);

/* Not inside of a user namespace of a container's own. True as well where it cannot be told. */
bool vd_nfq_is_first_user_namespace(void);

/* How much receive memory the kernel charges for one packet of which `copied` bytes are sent up. Bytes. */
size_t vd_nfq_truesize(uint32_t copied);

/* Of such a copy range: how many bytes a usual packet is to be charged for, at most. */
uint32_t vd_nfq_usual_copy(uint32_t copy_range);

/* The most that vd_nfq_receive_buffer() asks for: full-size GSO packets could charge more, but never do all at once. */
#define VD_NFQ_RECEIVE_BUFFER_MAX (128u << 20)

/* The receive buffer in bytes that `maxlen` packets need, of which up to copy_range bytes are sent up (0: all). */
size_t vd_nfq_receive_buffer(uint32_t maxlen, uint32_t copy_range);

/*
 * Asks for a receive buffer of `bytes`; *granted is what it became (less without CAP_NET_ADMIN: net.core.rmem_max).
 */
int vd_nfq_set_receive_buffer(struct vd_nfq *nfq, size_t bytes, size_t *granted);

/* What the kernel charges to the socket. */
struct vd_nfq_charge {
	bool is_known;	/* false on kernels before 4.12 */
	uint32_t bytes; /* that lie on it unread, as truesize */
	uint32_t drops; /* messages for which there was no room: packets, refusals, acknowledgements */
};

struct vd_nfq_charge vd_nfq_read_charge(const struct vd_nfq *nfq);

/* Makes a thread that waits in receiving return: the kernel is asked for an acknowledgement. Async-signal-safe. */
void vd_nfq_wake(const struct vd_nfq *nfq);

/* ---- config.c ---- */

/* A kernel sends at most this many bytes of a packet; 0 asks for the same. */
#define VD_NFQ_COPY_RANGE_MAX 65531u

struct vd_nfq_settings {
	uint16_t queue;
	uint32_t maxlen;     /* packets */
	uint32_t copy_range; /* bytes, 0 to VD_NFQ_COPY_RANGE_MAX; 0: everything */
	uint32_t flags;	     /* NFQA_CFG_F_*: on */
	uint32_t flags_off;  /* and off */
	uint8_t copy_mode;   /* NFQNL_COPY_*; vd_nfq_bind() always takes NFQNL_COPY_PACKET */
};

/*
 * Binds and configures the queue in one message. *flags_granted is what the kernel can do of the flags: ones that it
 * cannot are left out. -EPERM: another socket owns it, or CAP_NET_ADMIN is missing; -EBUSY: bound already.
 */
int vd_nfq_bind(struct vd_nfq *nfq, const struct vd_nfq_settings *settings, uint32_t *flags_granted);

/*
 * Sends the settings and does not look for the answer: only a refusal would be one, and lies on the socket then. `bind`: takes
 * the queue too. -errno: could not be sent.
 */
int vd_nfq_configure(struct vd_nfq *nfq, const struct vd_nfq_settings *settings, bool bind);

/* Gives the queue back: the kernel drops what waits in it. What it had sent up can still be received. */
int vd_nfq_unbind(struct vd_nfq *nfq);

/* Whether the kernel knows this flag: 0 yes, -EOPNOTSUPP no, -EPERM may not ask. Nothing is bound or changed. */
int vd_nfq_probe_flag(struct vd_nfq *nfq, uint32_t flag);

/* ---- message.c ---- */

enum vd_nfq_kind {
	VD_NFQ_PACKET,
	VD_NFQ_ERROR,
	VD_NFQ_NOTHING, /* an acknowledgement, or a message that this library does not know */
};

/* The kernel's refusal of something that was sent. */
struct vd_nfq_error {
	int code;	       /* positive errno: ENOENT unknown or flushed id, ENODEV not bound, EPERM, EINVAL ... */
	bool is_verdict;       /* it refuses a verdict (or a batch) on `id` */
	uint32_t id;
	uint32_t count;		    /* of packets that the message was for: more than 1 for a range */
	uint32_t rest;		    /* of a run whose first packet this is: that many more were settled by the next message */
	uint32_t behind;	    /* of a run of which this is the rest: the first packet's id is that much lower */
	uint32_t netfilter_verdict; /* what was sent: NF_ACCEPT ... */
};

/*
 * Reads a datagram of `received` bytes in `buffer`, whose capacity is `capacity`, and which lies behind `packet` in memory. For
 * a packet, fills everything but what vd_packet_parse() and vd_packet_compute_flow_hash() do, and pointers into the
 * buffer as offsets; for an error fills `error`. `is_cut`: the datagram was longer than the buffer (MSG_TRUNC); the
 * packet then is what is there.
 */
enum vd_nfq_kind vd_nfq_read_message(struct vd_packet *packet, uint8_t *buffer, uint32_t received, uint32_t capacity,
				     bool is_cut, struct vd_nfq_error *error);

/* What a message needs beside the payload: headers and attributes, a security context and conntrack included. */
#define VD_NFQ_MESSAGE_ROOM 1024u

/* ---- verdict.c ---- */

/* The most verdicts that one send carries; a send is also cut at VD_NFQ_SEND_BYTES, for payloads. */
#define VD_NFQ_SEND_MAX 64
#define VD_NFQ_SEND_BYTES (128u << 10)

/* The largest verdict message without its payload. */
#define VD_NFQ_VERDICT_SIZE 96

/* Room to build one send in; a thread that sends has one. */
struct vd_nfq_batch {
	uint32_t count;
	uint32_t used;	     /* of buffer */
	uint32_t iov_start;  /* in buffer: where the piece that is being built begins */
	uint32_t iov_count;
	size_t bytes;	     /* of the whole send */
	struct iovec iov[3 * VD_NFQ_SEND_MAX + 1]; /* a message, its data, its padding */
	_Alignas(8) uint8_t buffer[VD_NFQ_SEND_MAX * VD_NFQ_VERDICT_SIZE];
};

void vd_nfq_batch_reset(struct vd_nfq_batch *batch);

/*
 * Adds the verdict of a decided packet: mark, priority, conntrack mark, VLAN and data go with it if they were changed and the
 * packet is not dropped. False: the batch is full, send it first. The packet's data is sent from where it is: it has to
 * stay until vd_nfq_batch_send().
 */
bool vd_nfq_batch_add(struct vd_nfq_batch *batch, const struct vd_packet *packet);

/*
 * Adds one message that settles every packet of the queue up to and including `last` with last's verdict, also those that
 * nobody decided yet, and none of their changes: for the oldest `count` packets of the queue, when they share a plain
 * verdict. False: full. The kernel refuses it (ENOENT) only if it finds no such packet at all; the error then has `count`.
 */
bool vd_nfq_batch_add_range(struct vd_nfq_batch *batch, const struct vd_packet *last, uint32_t count);

/*
 * The same for a run of the `count` oldest packets, two or more, `first` to `last`; but the first is settled by itself, and the
 * others by a range. A flush takes the oldest packets, so it shows at the first: if that was refused, the others were flushed
 * in part at least; if it was not, they are settled, or all of them are refused. False: no room for both messages.
 */
bool vd_nfq_batch_add_run(struct vd_nfq_batch *batch, const struct vd_packet *first, const struct vd_packet *last, uint32_t count);

/*
 * Sends it all in one call and empties the batch. Each verdict takes effect by itself, in order, before this returns; one
 * that is refused comes back as an error message and does not hinder the others. A verdict that would block is sent
 * again. -errno: nothing of it was sent.
 */
int vd_nfq_batch_send(const struct vd_nfq *nfq, struct vd_nfq_batch *batch);

/* The netfilter verdict of a decided packet (VD_NEXT has none, and counts as NF_DROP). */
uint32_t vd_nfq_netfilter_verdict(const struct vd_packet *packet);

/* The other way round; VD_NEXT for what no verdict makes. */
enum vd_verdict vd_nfq_verdict(uint32_t netfilter_verdict);

/* ---- status.c ---- */

/* A line of /proc/net/netfilter/nfnetlink_queue. */
struct vd_nfq_status {
	uint16_t queue;
	uint32_t portid;       /* of the socket that owns it */
	uint32_t waiting;      /* packets that wait for a verdict, sent up or not */
	uint8_t copy_mode;
	uint32_t copy_range;
	uint32_t queue_dropped; /* because the queue was full */
	uint32_t user_dropped;	/* because the socket's buffer was full */
	uint32_t id_sequence;	/* the last id given out */
};

/* Reads up to `size` queues from an open descriptor of that file; returns how many there are (may be more than size). */
int vd_nfq_status_read(int descriptor, struct vd_nfq_status *statuses, unsigned size);

/* The one queue; -ENOENT: nobody has bound it. */
int vd_nfq_status_of(int descriptor, uint16_t queue, struct vd_nfq_status *status);

/* Opens that file of the calling thread's namespace; -errno. */
int vd_nfq_status_open(void);

#endif
