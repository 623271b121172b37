/* SPDX-License-Identifier: MIT */
#include "place.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "checksum.h"

#define IPV4_SOURCE 12
#define IPV4_DESTINATION 16
#define IPV6_SOURCE 8
#define IPV6_DESTINATION 24

/* ---- the addresses of the pseudo-header ---- */

/* With a source route that is not at its end, the last address in it (RFC 791, RFC 1122 3.2.1.8). */
static const uint8_t *ipv4_final_destination(const uint8_t *data, uint32_t header_length)
{
	uint32_t at = 20;

	while (at < header_length && data[at]) {
		uint32_t length = 1;

		if (data[at] != 1) { /* all but "no operation" have a length */
			if (at + 2 > header_length || data[at + 1] < 2 || data[at + 1] > header_length - at)
				break;
			length = data[at + 1];
		}
		if ((data[at] == 131 || data[at] == 137) && length >= 7 && data[at + 2] <= length)
			return data + at + length - 4;
		at += length;
	}
	return data + IPV4_DESTINATION;
}

/*
 * The address at the end of a routing header, NULL where its kind is not known:
 *
 *	| next | length | type | segments left | 4 bytes | addresses ...	RFC 8200, 8754
 *
 * Types 0 and 2 (RFC 6275) name the last hop last, segment routing (4) first.
 */
static const uint8_t *routing_destination(const uint8_t *header, uint32_t length)
{
	if (length < 24)
		return NULL;
	switch (header[2]) {
	case 0:
	case 2:
		return header + length - 16;
	case 4:
		return header + 8;
	default:
		return NULL;
	}
}

/* A mobile node's real address, which its option hides from routers (RFC 6275, 6.3). */
static const uint8_t *home_address(const uint8_t *header, uint32_t length)
{
	for (uint32_t at = 2; at + 2 <= length;) {
		uint32_t size = header[at] ? header[at + 1] + 2u : 1; /* 0: one byte of padding */

		if (size > length - at)
			break;
		if (header[at] == 0xc9 && size == 18)
			return header + at + 2;
		at += size;
	}
	return NULL;
}

struct pseudo_addresses {
	const uint8_t *source;
	const uint8_t *destination; /* NULL: nobody knows */
};

/* The packet was parsed: all extension headers are there and have the lengths that they say. */
static struct pseudo_addresses find_ipv6_addresses(const struct vd_packet *packet, const uint8_t *data)
{
	struct pseudo_addresses found = {data + IPV6_SOURCE, data + IPV6_DESTINATION};
	unsigned next = data[6];
	uint32_t at = 40;

	while (at + 8 <= packet->network_length) {
		const uint8_t *header = data + at, *home;
		uint32_t length = next == IPPROTO_FRAGMENT ? 8 : next == IPPROTO_AH ? (header[1] + 2u) * 4 : (header[1] + 1u) * 8;

		if (length > packet->network_length - at)
			break;
		if (next == IPPROTO_ROUTING && header[3])
			found.destination = routing_destination(header, length);
		else if (next == IPPROTO_DSTOPTS && (home = home_address(header, length)))
			found.source = home;
		next = header[0];
		at += length;
	}
	return found;
}

static struct pseudo_addresses find_addresses(const struct vd_packet *packet, const uint8_t *data)
{
	if (packet->ip_version == 4)
		return (struct pseudo_addresses){data + IPV4_SOURCE, packet->network_length == 20 ?
				data + IPV4_DESTINATION : ipv4_final_destination(data, packet->network_length)};
	if (packet->network_length == 40)
		return (struct pseudo_addresses){data + IPV6_SOURCE, data + IPV6_DESTINATION};
	return find_ipv6_addresses(packet, data);
}

bool vd_packet_is_pseudo_source(const struct vd_packet *packet, const uint8_t *data)
{
	return find_addresses(packet, data).source == data + (packet->ip_version == 4 ? IPV4_SOURCE : IPV6_SOURCE);
}

bool vd_packet_is_pseudo_destination(const struct vd_packet *packet, const uint8_t *data)
{
	return find_addresses(packet, data).destination ==
	       data + (packet->ip_version == 4 ? IPV4_DESTINATION : IPV6_DESTINATION);
}

/*
 * | source | destination | zero, protocol | length |, in IPv6 with 32 bits for the last two: the same sum. false: an address is
 * not known.
 */
static bool add_pseudo_header(const struct vd_packet *packet, const uint8_t *data, struct vd_checksum_place *place, uint32_t length)
{
	struct pseudo_addresses addresses = find_addresses(packet, data);

	if (!addresses.destination)
		return false;
	place->pseudo = (uint64_t)htonl(length) + htons(packet->protocol);
	for (unsigned at = 0; at < (packet->ip_version == 4 ? 4 : 16); at += 4)
		place->pseudo += (uint64_t)vd_packet_word_be(addresses.source + at) + vd_packet_word_be(addresses.destination + at);
	return true;
}

/* ---- protocols ---- */

/* Where the field is in the transport header; 0: there is none. */
static inline uint32_t field_offset(const struct vd_packet *packet, const uint8_t *header)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return 6;
	case IPPROTO_ICMP:
		return packet->ip_version == 4 ? 2 : 0;
	case IPPROTO_ICMPV6:
		return packet->ip_version == 6 ? 2 : 0;
	case IPPROTO_SCTP:
		return 8;
	case IPPROTO_GRE: /* its first bit says whether there is one (RFC 2784) */
		return header[0] & 0x80 ? 4 : 0;
	default:
		return 0;
	}
}

uint32_t vd_packet_checksum_field(const struct vd_packet *packet, const uint8_t *data)
{
	uint32_t start = packet->transport_offset, offset;

	if (!start || start >= packet->length)
		return 0;
	offset = field_offset(packet, data + start);
	return offset && start + offset + (packet->protocol == IPPROTO_SCTP ? 4 : 2) <= packet->length ? start + offset : 0;
}

static enum vd_checksum_kind kind_of(const struct vd_packet *packet)
{
	if (packet->protocol == IPPROTO_SCTP)
		return VD_CHECKSUM_CRC32C;
	return packet->protocol == IPPROTO_UDP && packet->skb_info & VD_SKB_GSO ? VD_CHECKSUM_PSEUDO : VD_CHECKSUM_INTERNET;
}

/* How many bytes of the transport part's `length` are covered; 0: that makes no sense. */
static uint32_t covered(const struct vd_packet *packet, const uint8_t *header, uint32_t length)
{
	uint32_t said;

	switch (packet->protocol) {
	case IPPROTO_UDPLITE: /* RFC 3828: 0 is all; the header always is */
		said = vd_packet_read16(header + 4);
		return !said ? length : said < 8 || said > length ? 0 : said;
	case IPPROTO_DCCP: /* RFC 4340, 9.2: 0 is all; else the header and said - 1 words */
		said = header[5] & 0x0f;
		if (!said)
			return length;
		said = header[4] * 4u + (said - 1) * 4;
		return said > length ? 0 : said;
	default:
		return length;
	}
}

int vd_packet_find_checksum(const struct vd_packet *packet, const uint8_t *data, struct vd_checksum_place *place)
{
	uint32_t end, length, field = vd_packet_checksum_field(packet, data);

	*place = (struct vd_checksum_place){.kind = field ? kind_of(packet) : VD_CHECKSUM_NONE,
					    .zero_is_none = vd_packet_zero_is_none(packet),
					    .never_zero = vd_packet_is_never_zero(packet),
					    .field = field,
					    .start = packet->transport_offset};
	if (!field)
		return 0;
	if (packet->parsed & VD_PARSED_FRAGMENT || packet->length < packet->wire_length) {
		place->end = place->start + covered(packet, data + place->start, UINT32_MAX - place->start);
		return -ENODATA;
	}
	end = vd_packet_ip_end(packet, data);
	if (packet->protocol == IPPROTO_UDP && vd_packet_read16(data + place->start + 4))
		end = place->start + vd_packet_read16(data + place->start + 4); /* behind it may be bytes that are no UDP */
	if (end > packet->length)
		return -EINVAL;
	length = end - place->start;
	place->end = place->start + covered(packet, data + place->start, length);
	if (place->end < place->field + (place->kind == VD_CHECKSUM_CRC32C ? 4 : 2))
		return -EINVAL;
	return vd_packet_has_pseudo_header(packet) && !add_pseudo_header(packet, data, place, length) ? -ENODATA : 0;
}

/* ---- sums ---- */

uint16_t vd_packet_checksum_be(const struct vd_checksum_place *place, const uint8_t *data)
{
	uint32_t before = place->field - place->start, behind = place->field + 2;
	uint64_t sum = place->pseudo; /* the field lies at an even place, so all three begin at one */
	uint16_t checksum;

	if (place->kind == VD_CHECKSUM_PSEUDO)
		return vd_checksum_fold_be(place->pseudo);
	for (uint32_t at = 0; at < before; at += 2) /* 16 bytes at most */
		sum += vd_packet_half_be(data + place->start + at);
	checksum = vd_checksum_finish_be(sum + vd_checksum_part(data + behind, place->end - behind));
	return !checksum && place->never_zero ? 0xffff : checksum;
}

uint32_t vd_packet_crc32c_le(const struct vd_checksum_place *place, const uint8_t *data)
{
	static const uint8_t zeros[4];
	uint32_t behind = place->field + 4;
	uint32_t crc = vd_crc32c_add(0, data + place->start, place->field - place->start);

	crc = vd_crc32c_add(vd_crc32c_add(crc, zeros, sizeof zeros), data + behind, place->end - behind);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	crc = __builtin_bswap32(crc);
#endif
	return crc;
}

uint32_t vd_packet_make_checksum(const struct vd_checksum_place *place, const uint8_t *data, uint8_t *field)
{
	uint16_t checksum;
	uint32_t crc;

	if (place->kind == VD_CHECKSUM_CRC32C) {
		crc = vd_packet_crc32c_le(place, data);
		memcpy(field, &crc, sizeof crc);
		return sizeof crc;
	}
	checksum = vd_packet_checksum_be(place, data);
	memcpy(field, &checksum, sizeof checksum);
	return sizeof checksum;
}
