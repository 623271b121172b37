/* SPDX-License-Identifier: MIT */
/*
 * Where a packet's transport checksum is, and what it covers: one place that knows, for completing, verifying, and whoever
 * has bytes of his own to complete (libipq). Internal to lib/.
 */
#ifndef VERDICT_LIB_PLACE_H
#define VERDICT_LIB_PLACE_H

#include <netinet/in.h>

#include "checksum.h"
#include "packet.h"

#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif

enum vd_checksum_kind {
	VD_CHECKSUM_NONE,     /* the protocol has none, or is not known, or a later fragment */
	VD_CHECKSUM_INTERNET, /* 16 bits */
	VD_CHECKSUM_CRC32C,   /* 32 bits */
	VD_CHECKSUM_PSEUDO    /* the pseudo-header's sum only: of UDP segments in one packet the kernel makes the rest, of each */
};

/* All places are bytes from the network header on. */
struct vd_checksum_place {
	enum vd_checksum_kind kind;
	bool zero_is_none; /* 0 in the field says that the sender made no checksum (UDP over IPv4) */
	bool never_zero;   /* 0xffff is sent for it (RFC 768, 3828, 8200) */
	uint32_t field;
	uint32_t start;	   /* what it covers ... */
	uint32_t end;
	uint64_t pseudo;   /* ... besides this: the sum of the pseudo-header (RFC 9293, 8200); 0: there is none */
};

static inline uint32_t vd_packet_read16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static inline void vd_packet_write16(uint8_t *at, uint32_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

static inline uint16_t vd_packet_half_be(const uint8_t *at)
{
	uint16_t half;

	memcpy(&half, at, sizeof half);
	return half;
}

static inline uint32_t vd_packet_word_be(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof word);
	return word;
}

/* Where the IP packet ends: bytes behind it are a link's padding. At most packet->length. */
static inline uint32_t vd_packet_ip_end(const struct vd_packet *packet, const uint8_t *data)
{
	uint32_t end = packet->wire_length;

	if (packet->ip_version == 4 && packet->length >= 20)
		end = vd_packet_read16(data + 2);
	else if (packet->ip_version == 6 && packet->length >= 40)
		end = 40 + vd_packet_read16(data + 4);
	if (end <= 40 && packet->wire_length > UINT16_MAX)
		end = packet->wire_length; /* too long for the field: BIG TCP, a jumbogram */
	return end < packet->length ? end : packet->length;
}

/*
 * Of a parsed packet whose bytes are `data`: where the field is, 0: there is none, or it was not copied. Together with
 * what it says of zero all that it takes to complete a checksum by what changed.
 */
uint32_t vd_packet_checksum_field(const struct vd_packet *packet, const uint8_t *data);

/* Addresses, protocol and length count in its transport checksum. */
static inline bool vd_packet_has_pseudo_header(const struct vd_packet *packet)
{
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP || packet->protocol == IPPROTO_UDPLITE ||
	       packet->protocol == IPPROTO_DCCP || packet->protocol == IPPROTO_ICMPV6;
}

/* Whether the layout of its transport header is known, and with it the checksum. */
static inline bool vd_packet_is_known(const struct vd_packet *packet)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
	case IPPROTO_SCTP:
	case IPPROTO_GRE:
		return true;
	case IPPROTO_ICMP:
		return packet->ip_version == 4;
	case IPPROTO_ICMPV6:
		return packet->ip_version == 6;
	default:
		return false;
	}
}

static inline bool vd_packet_zero_is_none(const struct vd_packet *packet)
{
	return packet->protocol == IPPROTO_UDP && packet->ip_version == 4;
}

static inline bool vd_packet_is_never_zero(const struct vd_packet *packet)
{
	return packet->protocol == IPPROTO_UDP || packet->protocol == IPPROTO_UDPLITE;
}

/*
 * All of *place. -ENODATA: what is covered is not all here (a fragment, not copied, a final destination in a routing header of
 * unknown type); `end` is where it would end, as far as the header tells. -EINVAL: what says how much is covered makes no sense.
 */
int vd_packet_find_checksum(const struct vd_packet *packet, const uint8_t *data, struct vd_checksum_place *place);

/* Whether the source or destination address in the IP header is the one of the pseudo-header: other ones lie in options. */
bool vd_packet_is_pseudo_source(const struct vd_packet *packet, const uint8_t *data);
bool vd_packet_is_pseudo_destination(const struct vd_packet *packet, const uint8_t *data);

/* What has to stand in the field, as it stands there, in 2 or 4 bytes; whatever stands there now. */
uint16_t vd_packet_checksum_be(const struct vd_checksum_place *place, const uint8_t *data);
uint32_t vd_packet_crc32c_le(const struct vd_checksum_place *place, const uint8_t *data);

/* The one of the two that it is, into `field`; its size, 4 bytes at most. */
uint32_t vd_packet_make_checksum(const struct vd_checksum_place *place, const uint8_t *data, uint8_t *field);

/* Of the IPv4 header. */
static inline uint16_t vd_packet_ipv4_checksum_be(const uint8_t *data, uint32_t header_length)
{
	/*
	 * In such pieces as fields are written in just before: a processor hands a load what a store has written only if the
	 * store wrote all of it. Not the field itself.
	 */
	uint64_t sum = (uint64_t)vd_packet_half_be(data) + vd_packet_half_be(data + 2) + vd_packet_word_be(data + 4) + vd_packet_half_be(data + 8) + vd_packet_word_be(data + 12) +
		       vd_packet_word_be(data + 16);

	for (uint32_t at = 20; at < header_length; at += 4)
		sum += vd_packet_word_be(data + at);
	return vd_checksum_finish_be(sum);
}

#endif
