/* SPDX-License-Identifier: MIT */
/*
 * What arrives on a device, byte by byte: a packet socket.
 *
 * All that can be wrong is the test's own, and aborts, so that any thread may call this.
 */
#ifndef VERDICT_TEST_SNIFFER_H
#define VERDICT_TEST_SNIFFER_H

#include <stdint.h>
#include <sys/types.h>

/* A socket that hears what comes in by the device of that namespace (as in traffic.h), from now on. close() it. */
int sniffer_open(int where, const char *device);

/*
 * The next packet of that transport protocol, from its network header on, waiting for it for up to 3 s (times patience).
 * IPv6 without extension headers. -ETIMEDOUT: none came.
 */
ssize_t sniffer_receive(int sniffer, unsigned protocol, uint8_t *packet, size_t size);

#endif
