/* SPDX-License-Identifier: MIT */
/*
 * Bytes for tests: packets from hexadecimal, netlink messages as the kernel sends them.
 *
 * What the library reads is put at the very end of a malloc'ed block, so that AddressSanitizer sees the first byte that is
 * read beyond it. A test that only uses what is here is independent of how the library builds the same things.
 */
#ifndef VERDICT_TEST_BYTES_H
#define VERDICT_TEST_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "lib/nfq/nfq.h"
#include "lib/packet/packet.h"
#include "test/support/random.h"

/* A place to build in. Going beyond its end aborts. */
struct bytes {
	uint32_t used;
	_Alignas(8) uint8_t data[1u << 17];
};

void bytes_reset(struct bytes *bytes);
void bytes_put(struct bytes *bytes, const void *data, uint32_t length);
void bytes_put_fill(struct bytes *bytes, uint8_t value, uint32_t count);

/* The low `size` bytes of the number, in network byte order. */
void bytes_put_number(struct bytes *bytes, uint64_t number, unsigned size);

/* "4500 0028": pairs of digits, spaces between them or none. */
void bytes_put_hex(struct bytes *bytes, const char *hex);

/* Writes over what is there already. */
void bytes_set_be16(struct bytes *bytes, uint32_t at, uint16_t number);

/* ---- headers; lengths are set by bytes_end_ip() ---- */

void bytes_put_ipv4(struct bytes *bytes, uint32_t source, uint32_t destination, uint8_t protocol, uint16_t fragment);

/* The addresses are 2001:db8::`source` and so on. */
void bytes_put_ipv6(struct bytes *bytes, uint64_t source, uint64_t destination, uint8_t next);
void bytes_put_tcp(struct bytes *bytes, uint16_t source_port, uint16_t destination_port, uint8_t flags);
void bytes_put_udp(struct bytes *bytes, uint16_t source_port, uint16_t destination_port, uint16_t data_length);
void bytes_end_ip(struct bytes *bytes);

/* ---- packets ---- */

/*
 * A parsed packet of which `length` of `wire_length` bytes were copied, in one block with its data, which has room for `room`
 * bytes and not one more. free() it.
 */
struct vd_packet *bytes_packet(const void *data, uint32_t length, uint32_t wire_length, uint32_t room, uint16_t ethertype,
			       uint32_t skb_info);

/* A whole IP packet of just its size. */
struct vd_packet *bytes_packet_of(const struct bytes *bytes);

/*
 * Calls every accessor of <verdict/packet.h> and reads every byte that it offers. NULL when all is well, or what is wrong: a
 * range outside of the copied bytes, or accessors that contradict each other.
 */
const char *bytes_accessor_fault(const struct vd_packet *packet);

/* ---- netlink messages as the kernel sends them ---- */

/* Begins a packet message with its packet header attribute; add more with mnl_attr_put(). */
struct nlmsghdr *bytes_begin_message(struct bytes *bytes, uint16_t queue, uint32_t id, uint16_t ethertype, uint8_t hook);

/* Ends it: with the payload, which is not padded, or (data NULL) without one. */
void bytes_end_message(struct bytes *bytes, const void *data, uint32_t length);

/*
 * What vd_nfq_read_message() makes of the first `received` bytes of the datagram, in a buffer of that size and `spare`
 * bytes more. free() the packet, whatever *kind is.
 */
struct vd_packet *bytes_read(const void *datagram, uint32_t received, uint32_t spare, bool is_cut, enum vd_nfq_kind *kind,
			     struct vd_nfq_error *error);

#endif
