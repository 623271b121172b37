/* SPDX-License-Identifier: MIT */
/*
 * The checksums of IP packets, made and verified in the slowest way there is, byte by byte: independent of the library. Of
 * TCP, UDP, ICMP and ICMPv6 behind an IPv4 header, or an IPv6 header without extension headers, and not of later fragments.
 */
#ifndef VERDICT_TEST_SUMS_H
#define VERDICT_TEST_SUMS_H

#include "test/support/bytes.h"

/* RFC 1071, not complemented; `sum` is that of what comes before, which is of even length. */
uint16_t sums_add(uint16_t sum, const uint8_t *bytes, uint32_t length);

/* Writes them into an IP packet of that length, whose own lengths are set. Aborts where it does not know how. */
void sums_make(uint8_t *ip, uint32_t length);

/* NULL, or which one is wrong. UDP's 0 over IPv4 is right. */
const char *sums_fault(const uint8_t *ip, uint32_t length);

/* Ends the packet that is being built: lengths, checksums, and the packet of it, as bytes_packet_of(). */
struct vd_packet *sums_packet(struct bytes *bytes);

#endif
