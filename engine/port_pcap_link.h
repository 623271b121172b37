/* SPDX-License-Identifier: MIT */
/*
 * The link layers of captures: what lies in front of the network header. Pure leaves, for the pcap port only.
 */
#ifndef VERDICT_ENGINE_PORT_PCAP_LINK_H
#define VERDICT_ENGINE_PORT_PCAP_LINK_H

#include <stdbool.h>
#include <stdint.h>

/* The longest that vd_pcap_link_parse() finds: a cooked v2 header and two VLAN tags. */
#define VD_PCAP_LINK_LENGTH_MAX 28

struct vd_pcap_link {
	uint32_t length;	/* of the headers in front of the network header, VLAN tags included */
	uint16_t ethertype;	/* ETH_P_IP or ETH_P_IPV6 */
	uint16_t address_length; /* of the sender's hardware address, 1 to 8; 0: there is none */
	const uint8_t *address;	/* in the frame */
};

/* Whether frames of this link type (DLT_* of libpcap) can be taken apart. */
bool vd_pcap_link_is_known(int type);

/* Fills *link when the frame carries IP; false: it does not, or too little of it was captured to tell. */
bool vd_pcap_link_parse(int type, const uint8_t *frame, uint32_t captured, struct vd_pcap_link *link);

/*
 * How long the IP packet is that begins at `data`: `wire_length` without the link's padding behind it, which a kernel cuts
 * off before netfilter sees the packet. wire_length as it is when the header does not tell.
 */
uint32_t vd_pcap_link_ip_length(uint16_t ethertype, const uint8_t *data, uint32_t captured, uint32_t wire_length);

#endif
