/* SPDX-License-Identifier: MIT */
/*
 * Where a packet's transport checksum is, and what it covers: one place that knows, for completing, verifying, and whoever
 * has bytes of his own to complete (libipq). Internal to lib/.
 */
#ifndef VERDICT_LIB_PLACE_H
#define VERDICT_LIB_PLACE_H

#include "packet.h"

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

/* Where the IP packet ends: bytes behind it are a link's padding. At most packet->length. */
uint32_t vd_packet_ip_end(const struct vd_packet *packet, const uint8_t *data);

/*
 * Of a parsed packet whose bytes are `data`: kind, field and what is said of zero. That is all it takes to complete a checksum by what
 * changed. VD_CHECKSUM_NONE also when the field was not copied.
 */
void vd_packet_locate_checksum(const struct vd_packet *packet, const uint8_t *data, struct vd_checksum_place *place);

/*
 * The same, and what is covered. -ENODATA: that is not all here (a fragment, not copied, a final
 * destination in a routing header of unknown type); -EINVAL: what says how much is covered makes no sense. With -ENODATA `end` is where the coverage would end, as far as the
 * header tells.
 */
int vd_packet_find_checksum(const struct vd_packet *packet, const uint8_t *data, struct vd_checksum_place *place);

/* Whether the source or destination address in the IP header is the one of the pseudo-header: other ones lie in options. */
bool vd_packet_is_pseudo_source(const struct vd_packet *packet, const uint8_t *data);
bool vd_packet_is_pseudo_destination(const struct vd_packet *packet, const uint8_t *data);

/* What has to stand in the field, as it stands there, in 2 or 4 bytes; whatever stands there now. */
uint16_t vd_packet_checksum_be(const struct vd_checksum_place *place, const uint8_t *data);
uint32_t vd_packet_crc32c_le(const struct vd_checksum_place *place, const uint8_t *data);

/* Of the IPv4 header. */
uint16_t vd_packet_ipv4_checksum_be(const uint8_t *data, uint32_t header_length);

#endif
