/* SPDX-License-Identifier: MIT */
/*
 * Parsing as far as the transport header: enough for the flow key and the accessors.
 *
 * Two lengths matter. `length` bytes may be read; `wire_length` bytes exist. A header beyond wire_length is malformed; one
 * that merely was not copied is unknown, which is not the packet's fault.
 */
#include "place.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

/* More extension headers than any sender makes; a chain beyond this is somebody's attack (RFC 8200 sets no limit). */
#define EXTENSIONS_MAX 16

#define NEXT_HIP 139
#define NEXT_SHIM6 140

static void mark_malformed(struct vd_packet *packet)
{
	packet->parsed |= VD_PARSED_MALFORMED;
	packet->transport_offset = 0;
}

/*
 * Sizes of transport headers (RFC 9293, 768, 792, 9260, 4340, 2784): a packet that ends within one is malformed. A fragment is
 * checked for nothing more, since its lengths speak of the whole datagram; nor is a GSO packet's UDP length.
 */
static void check_transport(struct vd_packet *packet, const uint8_t *data, uint32_t end)
{
	uint32_t offset = packet->transport_offset;
	uint32_t have = end - offset;
	const uint8_t *header = data + offset;
	uint32_t readable = packet->length > offset ? packet->length - offset : 0;

	switch (packet->protocol) {
	case IPPROTO_TCP:
		if (have < 20)
			return mark_malformed(packet);
		if (readable > 12 && ((header[12] >> 4) < 5 ||
				      ((header[12] >> 4) * 4u > have && !(packet->parsed & VD_PARSED_FRAGMENT))))
			return mark_malformed(packet);
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		if (have < 8)
			return mark_malformed(packet);
		/* UDP-Lite's third field is a coverage, not a length; UDP over a jumbogram has 0 there (RFC 2675) */
		if (packet->protocol == IPPROTO_UDP && readable > 5 && !(packet->parsed & VD_PARSED_FRAGMENT) &&
		    !(packet->skb_info & VD_SKB_GSO)) {
			uint32_t udp_length = vd_packet_read16(header + 4);

			if ((udp_length < 8 && udp_length) || udp_length > have || (!udp_length && packet->ip_version == 4))
				return mark_malformed(packet);
		}
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (have < 4)
			return mark_malformed(packet);
		break;
	case IPPROTO_SCTP:
		if (have < 12)
			return mark_malformed(packet);
		break;
	case IPPROTO_DCCP: /* RFC 4340: its data offset counts words */
		if (have < 12)
			return mark_malformed(packet);
		if (readable > 4 && (header[4] < 3 || (header[4] * 4u > have && !(packet->parsed & VD_PARSED_FRAGMENT))))
			return mark_malformed(packet);
		break;
	case IPPROTO_GRE:
		if (have < 4)
			return mark_malformed(packet);
		break;
	default:
		break;
	}
}

/*
 * RFC 791:
 *  0                   1                   2                   3
 *  |Version|  IHL  |Type of Service|          Total Length         |
 *  |         Identification        |Flags|      Fragment Offset    |
 *  |  Time to Live |    Protocol   |         Header Checksum       |
 *  |                       Source, Destination                     |
 */
static void parse_ipv4(struct vd_packet *packet, const uint8_t *data)
{
	uint32_t header_length, total_length, fragment;

	packet->ip_version = 4;
	if (packet->length < 20) {
		if (packet->wire_length < 20)
			mark_malformed(packet);
		return;
	}
	packet->protocol = data[9];
	header_length = (data[0] & 0x0fu) * 4;
	total_length = vd_packet_read16(data + 2);
	if (!total_length && (packet->skb_info & VD_SKB_GSO))
		total_length = packet->wire_length; /* BIG TCP: too large for the field */
	if (header_length < 20 || total_length < header_length || total_length > packet->wire_length)
		return mark_malformed(packet);

	packet->network_length = (uint16_t)header_length;
	fragment = vd_packet_read16(data + 6);
	if (fragment & 0x3fff) { /* "more fragments", or an offset */
		packet->parsed |= VD_PARSED_FRAGMENT;
		packet->fragment_offset = (uint16_t)((fragment & 0x1fff) * 8);
		if (packet->fragment_offset) {
			packet->parsed |= VD_PARSED_LATER_FRAGMENT;
			return;
		}
	}
	packet->transport_offset = (uint16_t)header_length;
	check_transport(packet, data, total_length);
}

/* Whether `next` is an extension header that is walked through (RFC 8200, 4302, 6275, 7401, 5533). */
static bool is_extension(unsigned next)
{
	switch (next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH:
	case IPPROTO_MH:
	case NEXT_HIP:
	case NEXT_SHIM6:
		return true;
	default:
		return false;
	}
}

/*
 * RFC 8200:
 *  |Version| Traffic Class |           Flow Label                  |
 *  |         Payload Length        |  Next Header  |   Hop Limit   |
 *  |                       Source, Destination                     |
 * and a chain of extension headers, each |  Next Header  |  Length | ...
 */
static void parse_ipv6(struct vd_packet *packet, const uint8_t *data)
{
	uint32_t end, offset = 40;
	unsigned next;

	packet->ip_version = 6;
	if (packet->length < 40) {
		if (packet->wire_length < 40)
			mark_malformed(packet);
		return;
	}
	next = data[6];
	end = 40 + vd_packet_read16(data + 4);
	if (end == 40 && (next == IPPROTO_HOPOPTS || (packet->skb_info & VD_SKB_GSO)))
		end = packet->wire_length; /* a jumbogram (RFC 2675), or BIG TCP without its option */
	if (end > packet->wire_length)
		return mark_malformed(packet);

	for (unsigned walked = 0; is_extension(next); walked++) {
		uint32_t extension_length;

		if (walked == EXTENSIONS_MAX || end - offset < 8)
			return mark_malformed(packet);
		if (packet->length < offset + 8)
			return; /* not copied: what comes behind it is not known */
		if (next == IPPROTO_FRAGMENT) {
			uint32_t fragment = vd_packet_read16(data + offset + 2);

			extension_length = 8;
			if (fragment & 0xfff9) { /* an atomic fragment (RFC 6946) is a whole packet */
				packet->parsed |= VD_PARSED_FRAGMENT;
				packet->fragment_offset = (uint16_t)(fragment & 0xfff8);
			}
			if (packet->fragment_offset) {
				packet->parsed |= VD_PARSED_LATER_FRAGMENT;
				packet->protocol = data[offset];
				packet->network_length = (uint16_t)(offset + extension_length);
				return;
			}
		} else if (next == IPPROTO_AH) {
			extension_length = (data[offset + 1] + 2u) * 4;
		} else {
			extension_length = (data[offset + 1] + 1u) * 8;
		}
		if (extension_length > end - offset)
			return mark_malformed(packet);
		next = data[offset];
		offset += extension_length;
	}
	packet->protocol = (uint8_t)next;
	packet->network_length = packet->transport_offset = (uint16_t)offset;
	check_transport(packet, data, end);
}

void vd_packet_parse(struct vd_packet *packet, const uint8_t *data)
{
	unsigned version = packet->length ? data[0] >> 4 : 0;

	packet->ip_version = 0;
	packet->protocol = 0;
	packet->network_length = 0;
	packet->transport_offset = 0;
	packet->fragment_offset = 0;
	packet->parsed = 0;
	if (packet->ethertype == ETH_P_IP && version == 4)
		parse_ipv4(packet, data);
	else if (packet->ethertype == ETH_P_IPV6 && version == 6)
		parse_ipv6(packet, data);
	else if ((packet->ethertype == ETH_P_IP || packet->ethertype == ETH_P_IPV6) && (packet->length || !packet->wire_length))
		mark_malformed(packet);
}
