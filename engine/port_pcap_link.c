/* SPDX-License-Identifier: MIT */
#include "engine/port_pcap_link.h"

#include <stddef.h>

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <pcap/pcap.h>

/* What the file format calls "raw IP" has had three numbers: 12 and 14 by system, and 101, which libpcap maps to its own. */
#define DLT_RAW_OF_OPENBSD 14

#define VLAN_TAGS_MAX 2

static uint16_t read16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

bool vd_pcap_link_is_known(int type)
{
	switch (type) {
	case DLT_NULL:
	case DLT_EN10MB:
	case DLT_RAW:
	case DLT_RAW_OF_OPENBSD:
	case DLT_LOOP:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
	case DLT_IPV4:
	case DLT_IPV6:
		return true;
	default:
		return false;
	}
}

static bool is_ip(uint16_t ethertype)
{
	return ethertype == ETH_P_IP || ethertype == ETH_P_IPV6;
}

/* Behind a header of `length` bytes that says `ethertype`: up to two VLAN tags (IEEE 802.1Q), each | TCI | ethertype |. */
static bool parse_tags(const uint8_t *frame, uint32_t captured, uint32_t length, uint16_t ethertype,
		       struct vd_pcap_link *link)
{
	for (unsigned tags = 0; tags < VLAN_TAGS_MAX && (ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD); tags++) {
		if (captured < length + 4)
			return false;
		ethertype = read16(frame + length + 2);
		length += 4;
	}
	link->length = length;
	link->ethertype = ethertype;
	return is_ip(ethertype);
}

static void set_address(struct vd_pcap_link *link, const uint8_t *address, uint32_t length)
{
	if (length && length <= 8) {
		link->address = address;
		link->address_length = (uint16_t)length;
	}
}

/* | destination, 6 bytes | source, 6 | ethertype, 2 | */
static bool parse_ethernet(const uint8_t *frame, uint32_t captured, struct vd_pcap_link *link)
{
	if (captured < ETH_HLEN)
		return false;
	set_address(link, frame + 6, 6);
	return parse_tags(frame, captured, ETH_HLEN, read16(frame + 12), link);
}

/* LINKTYPE_LINUX_SLL: | packet type, 2 | ARPHRD, 2 | address length, 2 | address, 8 | ethertype, 2 | */
static bool parse_cooked(const uint8_t *frame, uint32_t captured, struct vd_pcap_link *link)
{
	if (captured < 16)
		return false;
	set_address(link, frame + 6, read16(frame + 4));
	return parse_tags(frame, captured, 16, read16(frame + 14), link);
}

/*
 * LINKTYPE_LINUX_SLL2: | ethertype, 2 | 0, 2 | interface, 4 | ARPHRD, 2 | packet type, 1 | address length, 1 | address, 8 |
 */
static bool parse_cooked2(const uint8_t *frame, uint32_t captured, struct vd_pcap_link *link)
{
	if (captured < 20)
		return false;
	set_address(link, frame + 12, frame[11]);
	return parse_tags(frame, captured, 20, read16(frame), link);
}

/*
 * | address family, 4 | in the byte order of whoever recorded it (LINKTYPE_NULL) or the network's (LINKTYPE_LOOP). It is a
 * small number, so that the order shows. IPv4 is 2 everywhere; IPv6 is 10 on Linux, 24, 28 and 30 on the BSDs and macOS.
 */
static bool parse_loopback(const uint8_t *frame, uint32_t captured, struct vd_pcap_link *link)
{
	unsigned family;

	if (captured < 4)
		return false;
	if (!frame[0] && !frame[1] && !frame[2])
		family = frame[3];
	else if (!frame[1] && !frame[2] && !frame[3])
		family = frame[0];
	else
		return false;
	link->length = 4;
	switch (family) {
	case 2:
		link->ethertype = ETH_P_IP;
		return true;
	case 10:
	case 24:
	case 28:
	case 30:
		link->ethertype = ETH_P_IPV6;
		return true;
	default:
		return false;
	}
}

static bool parse_raw(const uint8_t *frame, uint32_t captured, struct vd_pcap_link *link)
{
	unsigned version = captured ? frame[0] >> 4 : 0;

	link->length = 0;
	link->ethertype = version == 4 ? ETH_P_IP : ETH_P_IPV6;
	return version == 4 || version == 6;
}

bool vd_pcap_link_parse(int type, const uint8_t *frame, uint32_t captured, struct vd_pcap_link *link)
{
	link->address = NULL;
	link->address_length = 0;
	switch (type) {
	case DLT_EN10MB:
		return parse_ethernet(frame, captured, link);
	case DLT_LINUX_SLL:
		return parse_cooked(frame, captured, link);
	case DLT_LINUX_SLL2:
		return parse_cooked2(frame, captured, link);
	case DLT_NULL:
	case DLT_LOOP:
		return parse_loopback(frame, captured, link);
	case DLT_RAW:
	case DLT_RAW_OF_OPENBSD:
		return parse_raw(frame, captured, link);
	case DLT_IPV4:
	case DLT_IPV6:
		link->length = 0;
		link->ethertype = type == DLT_IPV4 ? ETH_P_IP : ETH_P_IPV6;
		return true;
	default:
		return false;
	}
}

uint32_t vd_pcap_link_ip_length(uint16_t ethertype, const uint8_t *data, uint32_t captured, uint32_t wire_length)
{
	uint32_t length = 0;

	if (ethertype == ETH_P_IP && captured >= 20 && read16(data + 2) >= 20)
		length = read16(data + 2);
	/* no payload length: a jumbogram if hop-by-hop options follow (RFC 2675), BIG TCP if it is too long for the field */
	else if (ethertype == ETH_P_IPV6 && captured >= 40 &&
		 (read16(data + 4) || (data[6] != IPPROTO_HOPOPTS && wire_length <= UINT16_MAX)))
		length = 40 + read16(data + 4);
	return length && length < wire_length ? length : wire_length;
}
