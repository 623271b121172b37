/* SPDX-License-Identifier: MIT */
/*
 * Editing header fields. None of these changes a length.
 */
#include "change.h"

#include <netinet/in.h>

/* ---- IP ---- */

static inline int check_ip(struct vd_packet *packet)
{
	int result = vd_packet_check_edit(packet);

	if (!result)
		vd_packet_begin_edit(packet, 0);
	return result;
}

/* `is_summed`: the pseudo-header has it. IPv4's own checksum is made anew in any case. */
static void write_address(struct vd_packet *packet, uint8_t *to, const void *address, uint32_t length, bool is_summed)
{
	for (uint32_t at = 0; at < length; at += 4) {
		uint32_t from_be, to_be;

		memcpy(&from_be, to + at, sizeof from_be);
		memcpy(&to_be, (const uint8_t *)address + at, sizeof to_be);
		memcpy(to + at, &to_be, sizeof to_be);
		if (is_summed)
			packet->edit_address_sum += (uint64_t)(uint32_t)~from_be + to_be;
	}
}

int vd_packet_set_source(struct vd_packet *packet, const void *address)
{
	uint8_t *data = vd_packet_bytes_to_edit(packet);
	int result = check_ip(packet);

	if (result)
		return result;
	if (packet->ip_version == 4)
		write_address(packet, data + 12, address, 4, true);
	else
		write_address(packet, data + 8, address, 16, vd_packet_is_pseudo_source(packet, data));
	return 0;
}

int vd_packet_set_destination(struct vd_packet *packet, const void *address)
{
	uint8_t *data = vd_packet_bytes_to_edit(packet);
	int result = check_ip(packet);

	if (result)
		return result;
	if (packet->ip_version == 4)
		write_address(packet, data + 16, address, 4, vd_packet_is_pseudo_destination(packet, data));
	else
		write_address(packet, data + 24, address, 16, vd_packet_is_pseudo_destination(packet, data));
	return 0;
}

int vd_packet_set_ttl(struct vd_packet *packet, unsigned ttl)
{
	int result = ttl > 255 ? -EINVAL : check_ip(packet);
	uint8_t *data = vd_packet_bytes_to_edit(packet);

	if (result)
		return result;
	if (packet->ip_version == 4) /* two bytes: see vd_packet_ipv4_checksum_be() */
		vd_packet_write16(data + 8, ttl << 8 | data[9]);
	else
		data[7] = (uint8_t)ttl;
	return 0;
}

/* The bits of `mask` in the type of service, or the traffic class, which lies across two bytes. */
static int set_traffic_class(struct vd_packet *packet, unsigned bits, unsigned mask)
{
	uint8_t *data = vd_packet_bytes_to_edit(packet);
	int result = check_ip(packet);
	unsigned value;

	if (result)
		return result;
	value = (vd_packet_traffic_class_(packet) & ~mask) | bits;
	if (packet->ip_version == 4) {
		vd_packet_write16(data, (unsigned)data[0] << 8 | value);
	} else {
		data[0] = (uint8_t)((data[0] & 0xf0) | value >> 4);
		data[1] = (uint8_t)((data[1] & 0x0f) | value << 4);
	}
	return 0;
}

int vd_packet_set_dscp(struct vd_packet *packet, unsigned dscp)
{
	return dscp > 63 ? -EINVAL : set_traffic_class(packet, dscp << 2, 0xfc);
}

int vd_packet_set_ecn(struct vd_packet *packet, unsigned ecn)
{
	return ecn > 3 ? -EINVAL : set_traffic_class(packet, ecn, 0x03);
}

/* ---- transport headers ---- */

/* Whether the transport header's first `length` bytes may be edited. */
static inline int check_header(struct vd_packet *packet, uint32_t length)
{
	int result;

	if (packet->parsed & VD_PARSED_MALFORMED)
		return -EINVAL;
	if (packet->parsed & VD_PARSED_LATER_FRAGMENT)
		return -EPROTONOSUPPORT;
	result = packet->protocol == IPPROTO_SCTP ? vd_packet_check_full(packet) : vd_packet_check_edit(packet);
	if (!result && !vd_packet_transport(packet, length)) /* the first fragment may be that short */
		result = -EINVAL;
	return result;
}

static inline int set_port(struct vd_packet *packet, uint32_t at, unsigned port)
{
	int result;

	/* nearly all that have any */
	if ((packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP) && port <= UINT16_MAX &&
	    vd_packet_is_plain(packet) && vd_packet_transport(packet, 4)) {
		vd_packet_begin_edit(packet, VD_EDITED_TRANSPORT);
		vd_packet_write_transport16(packet, at, port);
		return 0;
	}
	if (!vd_protocol_has_ports(packet->protocol))
		return packet->protocol || !vd_packet_is_truncated(packet) ? -EPROTONOSUPPORT : vd_packet_check_edit(packet);
	if (port > UINT16_MAX)
		return -EINVAL;
	result = check_header(packet, 4);
	if (result)
		return result;
	vd_packet_begin_edit(packet, packet->protocol == IPPROTO_SCTP ? VD_EDITED_FULL : VD_EDITED_TRANSPORT);
	vd_packet_write_transport16(packet, at, port);
	return 0;
}

int vd_packet_set_source_port(struct vd_packet *packet, unsigned port)
{
	return set_port(packet, 0, port);
}

int vd_packet_set_destination_port(struct vd_packet *packet, unsigned port)
{
	return set_port(packet, 2, port);
}

/* ---- TCP ---- */

static int begin_tcp(struct vd_packet *packet)
{
	int result;

	if (packet->protocol != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	result = check_header(packet, 20);
	if (!result)
		vd_packet_begin_edit(packet, VD_EDITED_TRANSPORT);
	return result;
}

int vd_packet_set_tcp_flags(struct vd_packet *packet, unsigned flags)
{
	int result = flags > 255 ? -EINVAL : begin_tcp(packet);

	if (!result)
		vd_packet_write_transport16(packet, 12, (vd_packet_tcp_number_(packet, 12) >> 16 & 0xff00) | flags);
	return result;
}

static int set_tcp_number(struct vd_packet *packet, uint32_t at, uint32_t number)
{
	int result = begin_tcp(packet);

	if (result)
		return result;
	vd_packet_write_transport16(packet, at, number >> 16);
	vd_packet_write_transport16(packet, at + 2, number & 0xffff);
	return 0;
}

int vd_packet_set_tcp_sequence(struct vd_packet *packet, uint32_t sequence)
{
	return set_tcp_number(packet, 4, sequence);
}

int vd_packet_set_tcp_acknowledgment(struct vd_packet *packet, uint32_t acknowledgment)
{
	return set_tcp_number(packet, 8, acknowledgment);
}

int vd_packet_set_tcp_window(struct vd_packet *packet, unsigned window)
{
	int result = window > UINT16_MAX ? -EINVAL : begin_tcp(packet);

	if (!result)
		vd_packet_write_transport16(packet, 14, window);
	return result;
}

/* ---- TCP options: | kind | length of all | value |, but 0 ends them and 1 does nothing ---- */

#define OPTION_END 0
#define OPTION_NOTHING 1
#define OPTION_MSS 2

/* The first option of this kind that begins at `at` or behind, from the transport header on; 0: there is none. */
static uint32_t find_option(const struct vd_packet *packet, unsigned kind, uint32_t at, uint32_t *size)
{
	const uint8_t *tcp = packet->protocol == IPPROTO_TCP ? vd_packet_transport(packet, 20) : NULL;
	uint32_t end = tcp ? (tcp[12] >> 4) * 4u : 0;

	tcp = end >= 20 ? vd_packet_transport(packet, end) : NULL;
	while (tcp && at < end && tcp[at] != OPTION_END) {
		if (tcp[at] == OPTION_NOTHING) {
			at++;
			continue;
		}
		if (end - at < 2 || tcp[at + 1] < 2 || tcp[at + 1] > end - at)
			return 0;
		*size = tcp[at + 1];
		if (tcp[at] == kind)
			return at;
		at += *size;
	}
	return 0;
}

const uint8_t *vd_packet_tcp_option(const struct vd_packet *packet, unsigned kind, uint32_t *length)
{
	uint32_t size, at = kind > OPTION_NOTHING ? find_option(packet, kind, 20, &size) : 0;

	*length = at ? size - 2 : 0;
	return at ? vd_packet_data(packet) + packet->transport_offset + at + 2 : NULL;
}

/* Where the option is, before anything changes. 0 or -errno. */
static int check_option(struct vd_packet *packet, unsigned kind, uint32_t *at, uint32_t *size)
{
	int result;

	if (packet->protocol != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	if (kind <= OPTION_NOTHING || kind > 255)
		return -EINVAL;
	result = check_header(packet, 20);
	if (result)
		return result;
	*at = find_option(packet, kind, 20, size);
	return *at ? 0 : -ENOENT;
}

int vd_packet_set_tcp_option(struct vd_packet *packet, unsigned kind, const void *value, uint32_t length)
{
	uint32_t at, size;
	int result = check_option(packet, kind, &at, &size);

	if (!result && length != size - 2)
		result = -EINVAL;
	if (result)
		return result;
	vd_packet_begin_edit(packet, VD_EDITED_TRANSPORT);
	vd_packet_write_transport(packet, packet->transport_offset + at + 2, value, length);
	return 0;
}

int vd_packet_remove_tcp_option(struct vd_packet *packet, unsigned kind)
{
	uint8_t nothing[255];
	uint32_t at, size;
	int result = check_option(packet, kind, &at, &size);

	if (result)
		return result;
	memset(nothing, OPTION_NOTHING, sizeof nothing);
	vd_packet_begin_edit(packet, VD_EDITED_TRANSPORT);
	for (; at; at = find_option(packet, kind, at, &size))
		vd_packet_write_transport(packet, packet->transport_offset + at, nothing, size);
	return 0;
}

int vd_packet_clamp_mss(struct vd_packet *packet, unsigned mss)
{
	uint8_t value[2] = {(uint8_t)(mss >> 8), (uint8_t)mss};
	const uint8_t *announced;
	uint32_t length;
	int result;

	if (packet->protocol != IPPROTO_TCP || !(vd_packet_tcp_flags(packet) & 0x02))
		return -EPROTONOSUPPORT;
	if (!mss || mss > UINT16_MAX)
		return -EINVAL;
	announced = vd_packet_tcp_option(packet, OPTION_MSS, &length);
	if (!announced || length != 2)
		return -ENOENT;
	if (vd_packet_read16(announced) <= mss)
		return 0;
	result = vd_packet_set_tcp_option(packet, OPTION_MSS, value, sizeof value);
	return result ? result : 1;
}
