/* SPDX-License-Identifier: MIT */
/*
 * Counting packets whose checksums are wrong, in a capture and in what becomes of it. For the pcap port only.
 *
 * What a packet was like when it came goes with it in the upper bits of port_private: whoever sends its verdict needs it for a
 * packet that was not changed, since its bytes here may be those of an edit that was refused.
 *
 * Before: everything that was received, malformed packets aside, is checked, or unknown. After: what was accepted.
 */
#ifndef VERDICT_ENGINE_PORT_PCAP_VERIFY_H
#define VERDICT_ENGINE_PORT_PCAP_VERIFY_H

#include "engine/port.h"

/* port_private: | 2 bits of this | where its frame is | */
#define VD_PCAP_POSITION_BITS 62

static inline uint64_t vd_pcap_position(const struct vd_packet *packet)
{
	return packet->port_private & ((1ull << VD_PCAP_POSITION_BITS) - 1);
}

/* Packets that were just received: parses them, and adds them to *counters. */
void vd_pcap_verify_received(struct vd_packet *const *packets, unsigned count, struct vd_port_counters *counters);

/* Of decided ones, how many are accepted with a wrong checksum. They belong to the caller. */
unsigned vd_pcap_verify_accepted(struct vd_packet *const *packets, unsigned count);

#endif
