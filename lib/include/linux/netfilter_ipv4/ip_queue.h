/* SPDX-License-Identifier: MIT */
/*
 * The messages of ip_queue, as the headers of Linux had them up to 3.4. The kernel's side is gone; libipq speaks them
 * for it. Sizes and places are part of the interface: a program reads a packet through ipq_packet_msg_t, in the buffer that
 * it gave to ipq_read().
 */
#ifndef _IP_QUEUE_H
#define _IP_QUEUE_H

#include <stddef.h>

/*
 * Programs got <net/if.h> from here. It cannot follow the kernel's <linux/if.h>; and where headers of the kernel came first, that
 * one has to hear of it, or would define the same again.
 */
#ifndef _LINUX_IF_H
#include <net/if.h>
#if defined __USE_MISC && defined __UAPI_DEF_IF_IFREQ
#undef __UAPI_DEF_IF_IFCONF
#define __UAPI_DEF_IF_IFCONF 0
#undef __UAPI_DEF_IF_IFMAP
#define __UAPI_DEF_IF_IFMAP 0
#undef __UAPI_DEF_IF_IFNAMSIZ
#define __UAPI_DEF_IF_IFNAMSIZ 0
#undef __UAPI_DEF_IF_IFREQ
#define __UAPI_DEF_IF_IFREQ 0
#undef __UAPI_DEF_IF_NET_DEVICE_FLAGS
#define __UAPI_DEF_IF_NET_DEVICE_FLAGS 0
#endif
#endif
#ifndef IFNAMSIZ
#define IFNAMSIZ 16
#endif

/* A packet, after the netlink header, as ipq_read() leaves it. */
typedef struct ipq_packet_msg {
	unsigned long packet_id;	/* for ipq_set_verdict() */
	unsigned long mark;		/* the packet's netfilter mark */
	long timestamp_sec;		/* when it arrived */
	long timestamp_usec;
	unsigned int hook;		/* NF_INET_LOCAL_IN, ... */
	char indev_name[IFNAMSIZ];	/* empty: none */
	char outdev_name[IFNAMSIZ];
	unsigned short hw_protocol;	/* ETH_P_IP, ...; network byte order */
	unsigned short hw_type;		/* ARPHRD_ETHER, ... */
	unsigned char hw_addrlen;
	unsigned char hw_addr[8];	/* the sender's, on the link */
	size_t data_len;		/* bytes of payload */
	__extension__ unsigned char payload[0];
} ipq_packet_msg_t;

/* What ipq_set_mode() says. */
typedef struct ipq_mode_msg {
	unsigned char value;	/* IPQ_COPY_* */
	size_t range;
} ipq_mode_msg_t;

/* What ipq_set_verdict() says. */
typedef struct ipq_verdict_msg {
	unsigned int value;	/* NF_ACCEPT, ... */
	unsigned long id;
	size_t data_len;
	__extension__ unsigned char payload[0];
} ipq_verdict_msg_t;

/* pedants of C++ do not like a struct that ends in no bytes within another */
#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
typedef struct ipq_peer_msg {
	union {
		ipq_verdict_msg_t verdict;
		ipq_mode_msg_t mode;
	} msg;
} ipq_peer_msg_t;
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif

enum {
	IPQ_COPY_NONE,		/* nothing is handed up: packets are dropped */
	IPQ_COPY_META,		/* everything but the payload */
	IPQ_COPY_PACKET		/* that, and the payload up to the range */
};
#define IPQ_COPY_MAX IPQ_COPY_PACKET

#define IPQM_BASE 0x10
#define IPQM_MODE (IPQM_BASE + 1)
#define IPQM_VERDICT (IPQM_BASE + 2)
#define IPQM_PACKET (IPQM_BASE + 3)
#define IPQM_MAX (IPQM_BASE + 4)

#endif
