/* SPDX-License-Identifier: MIT */
/*
 * Network namespaces for kernel tests. They have no names: what a test made is gone with its last thread, however it ends.
 *
 *	 vd_net_setup()					 vd_net_setup_router()
 *
 *	 near			far			 near			router			far
 *	 near0 ───────────── far0			 near0 ───────── left0	right0 ────────── far0
 *	 10.9.0.1	10.9.0.2			 10.9.0.1	      forwards		 10.9.0.2
 *	 fd00:9::1	fd00:9::2			 fd00:9::1				 fd00:9::2
 *
 * lo is up everywhere. Little moves on the wires but what the test sends: neighbours are set by hand, IPv6 neither looks for
 * duplicates nor for routers (but reports its multicast groups when it begins). So counters can be compared to the packet,
 * if they are not those of a whole device.
 *
 * A namespace belongs to a thread; a new thread begins in the one of the thread that made it. Setup leaves the caller in
 * near, or in the router. One struct is in use at a time.
 *
 * Who may call: the thread that runs the tests, but for vd_net_enter_*(), which any thread may call for itself.
 */
#ifndef VERDICT_TEST_NET_H
#define VERDICT_TEST_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VD_NET_NEAR_V4 "10.9.0.1"
#define VD_NET_FAR_V4 "10.9.0.2"
#define VD_NET_NEAR_V6 "fd00:9::1"
#define VD_NET_FAR_V6 "fd00:9::2"

#define VD_NET_NEAR_DEVICE "near0"
#define VD_NET_FAR_DEVICE "far0"
#define VD_NET_LEFT_DEVICE "left0"   /* the router's, to near */
#define VD_NET_RIGHT_DEVICE "right0" /* the router's, to far */

/* Their hardware addresses: 02:00:00:00:09:XX */
#define VD_NET_NEAR_MAC "\x02\x00\x00\x00\x09\x01"
#define VD_NET_FAR_MAC "\x02\x00\x00\x00\x09\x02"
#define VD_NET_LEFT_MAC "\x02\x00\x00\x00\x09\x03"
#define VD_NET_RIGHT_MAC "\x02\x00\x00\x00\x09\x04"

/* Both IP versions, for tests that do the same with each. */
struct vd_net_family {
	int family; /* AF_INET, AF_INET6 */
	const char *near, *far;
	const char *iptables; /* the program that sets its rules */
	unsigned prefix;      /* bits of the network */
	uint32_t header;      /* bytes, without options */
	uint16_t ethertype;
	uint8_t version;
};
extern const struct vd_net_family vd_net_families[2];
#define VD_NET_EACH_FAMILY(family) \
	for (const struct vd_net_family *family = vd_net_families; family < vd_net_families + 2; family++)

/* Descriptors of the namespaces; -1: there is none. */
struct vd_net {
	int near;
	int router;
	int far;
};

/*
 * Makes them. Call it in a test, not in its setup function: it calls skip(), with the reason printed, where namespaces
 * cannot be had (no root), and fails the test when making them fails. One that a failed test left behind is torn down.
 */
void vd_net_setup(struct vd_net *net);
void vd_net_setup_router(struct vd_net *net);

/* Back to the namespace that the program began in. Safe on one that was torn down. */
void vd_net_teardown(struct vd_net *net);

/* A cmocka teardown function: tears down what is in use, also after a test that failed. */
int vd_net_teardown_any(void **state);

/* The calling thread goes there. */
void vd_net_enter_near(const struct vd_net *net);
void vd_net_enter_router(const struct vd_net *net);
void vd_net_enter_far(const struct vd_net *net);

/* Runs `/bin/sh -c` in the calling thread's namespace; when it fails, prints what it said, and fails the test. */
void vd_net_command(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, silent: its exit status, to find out what a machine can do. */
int vd_net_try(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the command prints, up to size - 1 bytes; it fails as vd_net_command() does. */
void vd_net_read_command(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Segmentation (TSO, GSO) and checksums by the device, as ethtool -K: on, or as on the wire. Caller's namespace. */
void vd_net_set_offload(const char *device, bool on);

/* Whether the device trusts the checksums of what it receives, or the stack has to verify them all. Caller's namespace. */
void vd_net_trust_checksums(const char *device, bool trusted);

/*
 * What several CPUs send to this end of a wire arrives in the order of the sends: through the queue of one CPU, not through
 * one for each. Caller's namespace.
 */
void vd_net_keep_order(const char *device);

#endif
