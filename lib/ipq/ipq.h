/* SPDX-License-Identifier: MIT */
/*
 * libipq, inside.
 *
 *	handle.c     opens and closes
 *	mode.c	     takes the queue, sets how much is copied
 *	read.c	     one message from the kernel
 *	translate.c  from nfnetlink_queue's message to ip_queue's
 *	verdict.c    a verdict to the kernel
 *	checksums.c  those of a rewritten packet
 *	control.c    requests that the original did not know
 *	devices.c    names and types of interfaces
 *	error.c	     what failed, in words
 */
#ifndef VERDICT_LIB_IPQ_H
#define VERDICT_LIB_IPQ_H

#include <libipq.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lib/nfq/nfq.h"

#define PUBLIC __attribute__((visibility("default")))

/* ---- error.c ---- */

enum ipq_error {
	IPQ_ERR_NONE,
	IPQ_ERR_IMPL,
	IPQ_ERR_HANDLE,
	IPQ_ERR_SOCKET,
	IPQ_ERR_BIND,
	IPQ_ERR_BUFFER,
	IPQ_ERR_RECV,
	IPQ_ERR_NLEOF,
	IPQ_ERR_ADDRLEN,
	IPQ_ERR_STRUNC,
	IPQ_ERR_RTRUNC,
	IPQ_ERR_NLRECV,
	IPQ_ERR_SEND,
	IPQ_ERR_SUPP,
	IPQ_ERR_RECVBUF,
	IPQ_ERR_TIMEOUT,
	IPQ_ERR_PROTOCOL,
	IPQ_ERR_COUNT
};

/* What ipq_errstr() will say in this thread. */
void ipq_set_error(enum ipq_error error);

/* ---- devices.c ---- */

#define IPQ_DEVICES 16

struct ipq_device {
	unsigned index; /* 0: unused */
	unsigned short type;
	char name[IFNAMSIZ];
	int64_t seen_s; /* when the kernel was asked */
};

/* A few interfaces, asked for at most once a second each. */
struct ipq_devices {
	pthread_mutex_t lock;
	struct ipq_device entries[IPQ_DEVICES];
};

/* The interface in the namespace of the socket `descriptor`; an empty name when there is none with this index. */
struct ipq_device ipq_find_device(struct ipq_devices *devices, int descriptor, unsigned index);

/* ---- handle.c ---- */

#define IPQ_MAXLEN_DEFAULT 1024

struct ipq_full_handle {
	struct ipq_handle public; /* first: what a program holds */
	struct vd_nfq nfq;
	struct ipq_devices devices;
	uint16_t queue;
	uint8_t family;	       /* AF_INET or AF_INET6 */

	/* under `settings`, nfq.bound too */
	pthread_mutex_t settings;
	bool has_mode;
	uint8_t mode;	       /* IPQ_COPY_*, the same numbers as NFQNL_COPY_* */
	size_t range;
	uint32_t maxlen;
	bool is_gso;

	_Atomic int truncated; /* NF_DROP, NF_ACCEPT, or -1 */
	_Atomic bool completes; /* checksums of rewritten packets */

	/* relaxed: counters */
	_Atomic uint64_t read;
	_Atomic uint64_t received;   /* packets off the socket, whatever became of them */
	_Atomic uint32_t id_last;    /* the highest that was received */
	_Atomic uint64_t cut;
	_Atomic uint64_t other_family;
};

static inline struct ipq_full_handle *ipq_full(const struct ipq_handle *handle)
{
	return (struct ipq_full_handle *)(uintptr_t)handle;
}

/* ---- mode.c ---- */

/* Sends mode, range, length and flags to the kernel. 0 or -errno; a refusal comes as a message. Under `settings`. */
int ipq_configure(struct ipq_full_handle *handle);

/* ---- translate.c ---- */

/* A message of ip_queue up to its payload. */
struct ipq_packet_head {
	struct nlmsghdr netlink;
	ipq_packet_msg_t packet;
};

/*
 * One message of nfnetlink_queue lies in two pieces: its beginning in `beginning`, behind `packet` in memory (as
 * vd_nfq_read_message() wants it), and the rest, if it is longer than beginning_size, at rest_offset in the caller's buffer,
 * as far as that goes.
 */
struct ipq_incoming {
	struct vd_packet packet;
	_Alignas(8) uint8_t beginning[1024];
};

/* Where the rest is received. */
#define IPQ_REST_OFFSET sizeof(struct ipq_packet_head)

enum ipq_kind {
	IPQ_PACKET,
	IPQ_PACKET_CUT,	  /* did not fit: as much as did is there */
	IPQ_PACKET_OTHER, /* not of this handle's family */
	IPQ_ERROR,
	IPQ_ERROR_CUT,
	IPQ_NOTHING	  /* not for the program */
};

/*
 * Turns the message of `received` bytes into one of ip_queue in `buffer`, which has `size` bytes (20 or more). *length is the
 * length of what is there then. `incoming->packet` tells id and queue of a packet.
 */
enum ipq_kind ipq_translate(struct ipq_full_handle *handle, struct ipq_incoming *incoming, size_t received, uint8_t *buffer,
			    size_t size, size_t *length);

/* ---- checksums.c ---- */

/* A rewritten packet: up to four pieces, which lie here and in the program's buffer. */
struct ipq_completed {
	unsigned count;
	struct iovec pieces[4];
	uint8_t header[60]; /* of IPv4, the longest */
	uint8_t field[4];
};

/*
 * The packet of `length` bytes (20 or more, 40 for AF_INET6) at `payload`, its checksums complete as far as they can be: not
 * those of fragments, of unknown protocols, of UDP over IPv4 that has none, and none of a malformed packet.
 */
void ipq_complete(struct ipq_completed *completed, uint8_t family, const uint8_t *payload, uint32_t length);

/* ---- verdict.c ---- */

/* A plain verdict of the library's own. 0 or -errno. */
int ipq_send_verdict(const struct ipq_full_handle *handle, uint32_t id, uint32_t netfilter_verdict);

#endif
