/* SPDX-License-Identifier: MIT */
/*
 * libipq: decide on packets in user space, with the calls that programs have used since Linux 2.4. Here they work on
 * nfnetlink_queue, the queue of today's kernels. libipq(3) describes them; libipq-migration(7) says what differs.
 *
 * Reads C89 programs' expectations as well: it includes what they took for granted.
 *
 * Threads: any thread may call anything on a handle but ipq_destroy_handle(), which has to be the last. The error that
 * ipq_errstr() tells is the calling thread's.
 */
#ifndef _LIBIPQ_H
#define _LIBIPQ_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#include <asm/types.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef DEBUG_LIBIPQ
#include <stdio.h>
#endif
#ifdef __GNUC__ /* older languages than C99 and C++11 know no such macros */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wvariadic-macros"
#endif
#ifdef DEBUG_LIBIPQ
#define LDEBUG(...) fprintf(stderr, __VA_ARGS__)
#else
#define LDEBUG(...)
#endif
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif

#ifndef MSG_TRUNC
#define MSG_TRUNC 0x20
#endif

typedef unsigned long ipq_id_t;

/* `fd` can be given to select(), poll() and setsockopt(); leave the rest to the library. */
struct ipq_handle {
	int fd;
	uint8_t blocking;
	struct sockaddr_nl local;
	struct sockaddr_nl peer;
};

/*
 * Opens a handle; `flags` is 0; `protocol` is PF_INET or PF_INET6. NULL on failure. Nothing is queued for it before
 * ipq_set_mode(). Its queue is number 0, where `-j QUEUE` sends packets, or the one that the environment variable
 * LIBIPQ_QUEUE (for PF_INET) or LIBIPQ_QUEUE6 names.
 */
struct ipq_handle *ipq_create_handle(uint32_t flags, uint32_t protocol);

/* Closes it; the kernel drops what waits. NULL is fine. Returns 0. */
int ipq_destroy_handle(struct ipq_handle *h);

/*
 * Reads one message into `buf`. `timeout` is in MICROSECONDS: 0 waits for ever, less than 0 not at all. Returns the number of
 * bytes; 0 when nothing came in time or a signal did; less than 0 on failure.
 */
ssize_t ipq_read(const struct ipq_handle *h, unsigned char *buf, size_t len, int timeout);

/* Takes the queue and says what to hand up: `mode` is IPQ_COPY_*, `len` the range in bytes, 0: all. > 0, or -1. */
int ipq_set_mode(const struct ipq_handle *h, uint8_t mode, size_t len);

/* The packet in a buffer that ipq_read() filled, if ipq_message_type() says IPQM_PACKET. */
ipq_packet_msg_t *ipq_get_packet(const unsigned char *buf);

/* IPQM_PACKET or NLMSG_ERROR. */
int ipq_message_type(const unsigned char *buf);

/* Of a NLMSG_ERROR: a positive errno. */
int ipq_get_msgerr(const unsigned char *buf);

/*
 * Decides: NF_ACCEPT, NF_DROP, NF_QUEUE, NF_REPEAT. `data_len` bytes at `buf` become the packet; 0 or NULL: it stays as it
 * was. Checksums are the caller's, unless IPQ_CTL_SET_CHECKSUMS made them the library's. > 0, or -1.
 */
int ipq_set_verdict(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict, size_t data_len, unsigned char *buf);

/* Requests of this library's own are below. Any other does nothing and returns 1, as ever. */
int ipq_ctl(const struct ipq_handle *h, int request, ...);

/* The last failure's sentence. */
char *ipq_errstr(void);

/* Prints it to standard error behind `s`, and errno's. */
void ipq_perror(const char *s);

/* ---- not in the original ---- */

/* The verdict, and a new mark for the packet: an extension that some programs were built with. */
int ipq_set_vwmark(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict, unsigned long mark);

/* Requests for ipq_ctl(). They return 1, or -1 with errno. */
enum {
	IPQ_CTL_GET_STATS = 0x6901, /* struct ipq_stats *: what has become of packets */
	IPQ_CTL_SET_MAXLEN,	    /* unsigned int: how many packets may wait; 1024 at first */
	IPQ_CTL_SET_RCVBUF,	    /* unsigned int: bytes of the socket's buffer, beyond net.core.rmem_max as well */
	IPQ_CTL_SET_GSO,	    /* int: 1 hands up packets that are larger than an MTU, checksums perhaps not complete; 0 at first */
	IPQ_CTL_SET_TRUNCATED,	    /* int: what becomes of a packet that did not fit the buffer: NF_DROP (at first), NF_ACCEPT,
				       or -1: it waits for the program's verdict */
	IPQ_CTL_SET_CHECKSUMS	    /* int: 1 makes the checksums of packets that ipq_set_verdict() rewrites; 0 at first */
};

struct ipq_stats {
	uint64_t read;		  /* packets that ipq_read() returned */
	uint64_t lost_buffer;	  /* the socket's buffer was full */
	uint64_t lost_queue;	  /* IPQ_CTL_SET_MAXLEN packets waited already */
	uint64_t truncated;	  /* did not fit the caller's buffer */
	uint64_t other_family;	  /* on the same queue, but not this handle's protocol: dropped */
	uint32_t waiting;	  /* in the queue now */
	uint32_t queue;		  /* its number */
};

#ifdef __cplusplus
}
#endif

/* The oldest programs give no protocol: compile them with -DLIBIPQ_OLD_CREATE_HANDLE. */
#ifdef LIBIPQ_OLD_CREATE_HANDLE
#define ipq_create_handle(flags) ipq_create_handle(flags, PF_INET)
#endif

#endif
