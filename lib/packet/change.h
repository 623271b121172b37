/* SPDX-License-Identifier: MIT */
/*
 * What all edits have in common. Private to lib/packet.
 *
 * Each edit first looks whether it applies to this packet, then whether it may be done (vd_packet_check_edit(), which notes a
 * refusal), and only then begins to change anything: so an error leaves all as it was.
 */
#ifndef VERDICT_LIB_CHANGE_H
#define VERDICT_LIB_CHANGE_H

#include <sys/socket.h>

#include "checksum.h"
#include "place.h"

static inline uint8_t *vd_packet_bytes_to_edit(struct vd_packet *packet)
{
	return (uint8_t *)packet + packet->data_offset;
}

/* Notes that an edit was refused, and returns the error. */
int vd_packet_refuse(struct vd_packet *packet, int error);

/* Nothing speaks against it that has to be looked at: nearly all packets, and all that were edited before. */
static inline bool vd_packet_is_plain(const struct vd_packet *packet)
{
	return packet->edited ||
	       (!(packet->skb_info & (VD_SKB_GSO | VD_SKB_CHECKSUM_NOT_READY)) && !(packet->parsed & VD_PARSED_MALFORMED) &&
		packet->length >= packet->wire_length && packet->ip_version && !packet->edit_ban && packet->family != AF_BRIDGE);
}

int vd_packet_check_edit_slowly(struct vd_packet *packet);

/* Whether it may be edited. 0 or -errno; a refusal is noted. */
static inline int vd_packet_check_edit(struct vd_packet *packet)
{
	return vd_packet_is_plain(packet) ? 0 : vd_packet_check_edit_slowly(packet);
}

/*
 * The same for an edit after which the transport checksum has to be made in full: refused where it covers what is not here,
 * and where it is wrong already. Completes what was edited before. May change nothing but checksums.
 */
int vd_packet_check_full(struct vd_packet *packet);

/* From here on something changes. `how`: VD_EDITED_* */
static inline void vd_packet_begin_edit(struct vd_packet *packet, unsigned how)
{
	if (!packet->edited) {
		/* what pads it on its link does not belong to it */
		packet->length = packet->wire_length = vd_packet_ip_end(packet, vd_packet_data(packet));
		packet->edit_address_sum = packet->edit_transport_sum = 0;
		packet->changed |= VD_CHANGED_DATA;
	}
	packet->edited |= (uint8_t)(VD_EDITED | how);
}

/* Writes bytes of the transport header or payload, at `at` from the network header, and notes the difference. */
void vd_packet_write_transport(struct vd_packet *packet, uint32_t at, const void *bytes, uint32_t length);

/* The same for 16 bits at an even place, from the transport header on. */
static inline void vd_packet_write_transport16(struct vd_packet *packet, uint32_t at, unsigned number)
{
	uint8_t *field = vd_packet_bytes_to_edit(packet) + packet->transport_offset + at;
	uint8_t bytes[2] = {(uint8_t)(number >> 8), (uint8_t)number};
	uint16_t from_be, to_be;

	memcpy(&from_be, field, sizeof from_be);
	memcpy(&to_be, bytes, sizeof to_be);
	memcpy(field, bytes, sizeof bytes);
	packet->edit_transport_sum += (uint64_t)(uint16_t)~from_be + to_be;
}

#endif
