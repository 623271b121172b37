/* SPDX-License-Identifier: MIT */
/*
 * What the transport header carries.
 */
#include "place.h"

#include <netinet/in.h>

/* How long the transport header is; 0 when its length cannot be read. */
static uint32_t header_length(const struct vd_packet *packet)
{
	const uint8_t *header;

	switch (packet->protocol) {
	case IPPROTO_TCP:
		header = vd_packet_transport(packet, 20);
		return header ? (header[12] >> 4) * 4u : 0;
	case IPPROTO_UDP:
	case 136: /* UDP-Lite */
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 8;
	case IPPROTO_SCTP:
		return 12;
	case IPPROTO_DCCP:
		header = vd_packet_transport(packet, 5);
		return header ? header[4] * 4u : 0;
	case IPPROTO_GRE: /* RFC 2784, 2890: checksum, key and sequence number are there if their bits say so */
		header = vd_packet_transport(packet, 4);
		if (!header)
			return 0;
		return 4 + (header[0] & 0x80 ? 4u : 0) + (header[0] & 0x20 ? 4u : 0) + (header[0] & 0x10 ? 4u : 0);
	default:
		return 0;
	}
}

const uint8_t *vd_packet_payload(const struct vd_packet *packet, uint32_t *length)
{
	uint32_t size = header_length(packet), start, end;

	*length = 0;
	if (!packet->transport_offset || (!size && vd_packet_is_known(packet)))
		return NULL;
	start = packet->transport_offset + size;
	end = vd_packet_ip_end(packet, vd_packet_data(packet));
	if (packet->protocol == IPPROTO_UDP && !(packet->parsed & VD_PARSED_FRAGMENT) && !(packet->skb_info & VD_SKB_GSO)) {
		const uint8_t *udp = vd_packet_transport(packet, 8);
		uint32_t udp_length = udp ? (uint32_t)udp[4] << 8 | udp[5] : 0;

		if (udp_length && packet->transport_offset + udp_length < end) /* IP may be longer: what follows is no UDP */
			end = packet->transport_offset + udp_length;
	}
	if (start > end)
		return NULL;
	*length = end - start;
	return vd_packet_data(packet) + start;
}
