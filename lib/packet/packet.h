/* SPDX-License-Identifier: MIT */
/*
 * The door of lib/packet for the engine and the ports: what fills a struct vd_packet. Verdict functions use
 * <verdict/packet.h>.
 */
#ifndef VERDICT_LIB_PACKET_H
#define VERDICT_LIB_PACKET_H

#include <verdict/edit.h>

/*
 * Reads the headers in `data`, of which `packet->length` bytes may be read (`ethertype`, `wire_length` and `skb_info` must be set
 * as well), and fills ip_version, protocol, transport_offset, fragment_offset and parsed. Never fails: what does not make
 * sense is malformed.
 */
void vd_packet_parse(struct vd_packet *packet, const uint8_t *data);

/*
 * The flow hash of a parsed packet: symmetric (both directions of a connection have the same) and keyed, so that a
 * sender cannot choose the shard. Fragments hash by addresses alone, first ones included: the later ones have
 * no ports, in IPv6 not even the protocol, and a datagram's fragments must meet.
 */
uint32_t vd_packet_compute_flow_hash(const struct vd_packet *packet, uint64_t key);

/* Whether its verdict ends its way: it is dropped, and whether its sender is told makes no difference. */
static inline bool vd_packet_is_dropped(const struct vd_packet *packet)
{
	return packet->verdict == VD_DROP || packet->verdict == VD_REJECT;
}

/*
 * Completes the checksums of a packet that was edited. When no more edits come; more often does no harm.
 */
void vd_packet_complete_edited(struct vd_packet *packet);

static inline void vd_packet_complete(struct vd_packet *packet)
{
	if (packet->edited)
		vd_packet_complete_edited(packet);
}

#endif
