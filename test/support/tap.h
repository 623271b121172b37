/* SPDX-License-Identifier: MIT */
/*
 * Looks at every IP packet that comes in by a device, and checks its checksums by a way of its own, byte by byte:
 *
 *	struct tap *tap = tap_open(net.far, "far0");
 *	... traffic ...
 *	while ((packet = tap_next(tap, 500)))
 *		...
 *	assert_int_equal(tap_wrong(tap), 0);
 *	tap_close(tap);
 *
 * A checksum that the sending device was to make (and a virtual one never does) has to be the pseudo-header's sum. All of
 * it is for the thread that runs the tests.
 */
#ifndef VERDICT_TEST_TAP_H
#define VERDICT_TEST_TAP_H

#include <stdbool.h>
#include <stdint.h>

struct tapped {
	uint8_t bytes[1u << 17]; /* from the IP header on */
	uint32_t length;
	uint8_t version, protocol;
	uint32_t transport, payload; /* where they begin; payload: of TCP, UDP, ICMP */
	bool is_ready;		     /* its transport checksum is said to be made */
	bool is_wrong;
};

struct tap;

struct tap *tap_open(int where, const char *device);

/* The next packet of IP that came in, NULL when none came for timeout_ms. Valid until the next call. */
const struct tapped *tap_next(struct tap *tap, unsigned timeout_ms);

/* Of TCP, UDP, ICMP and ICMPv6 echos and errors, all that were looked at, and those that were wrong. */
unsigned tap_wrong(const struct tap *tap);
unsigned tap_count(const struct tap *tap);
void tap_close(struct tap *tap);

#endif
