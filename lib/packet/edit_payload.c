/* SPDX-License-Identifier: MIT */
/*
 * Editing what the transport header carries, and lengths with it.
 */
#include "change.h"

#include <netinet/in.h>

/* What a verdict message can carry. */
#define LENGTH_MAX 65531u

/* Where the payload is, from the network header on, and how long. 0 or -errno; nothing is noted. */
static int find_payload(const struct vd_packet *packet, uint32_t *start, uint32_t *length)
{
	const uint8_t *payload;

	if (packet->parsed & VD_PARSED_MALFORMED)
		return -EINVAL;
	if (!vd_packet_is_known(packet))
		return packet->protocol || !vd_packet_is_truncated(packet) ? -EPROTONOSUPPORT : -ENODATA;
	payload = vd_packet_payload(packet, length);
	if (!payload)
		return packet->parsed & VD_PARSED_LATER_FRAGMENT ? -EOPNOTSUPP : vd_packet_is_truncated(packet) ? -ENODATA : -EINVAL;
	*start = (uint32_t)(payload - vd_packet_data(packet));
	return 0;
}

static int find_payload_to_edit(struct vd_packet *packet, uint32_t *start, uint32_t *length)
{
	int result = find_payload(packet, start, length);

	return result == -ENODATA || result == -EOPNOTSUPP ? vd_packet_refuse(packet, result) : result;
}

/* As far as a checksum covers a part of the payload only. */
static uint32_t covered_end(const struct vd_packet *packet, uint32_t end)
{
	struct vd_checksum_place place;

	if (packet->protocol != IPPROTO_UDPLITE && packet->protocol != IPPROTO_DCCP)
		return end;
	vd_packet_find_checksum(packet, vd_packet_data(packet), &place); /* of a first fragment this much is known */
	return place.end < end ? place.end : end;
}

int vd_packet_write_payload(struct vd_packet *packet, uint32_t offset, const void *data, uint32_t length)
{
	bool is_crc = packet->protocol == IPPROTO_SCTP;
	uint32_t start, there, at, covered;
	int result = find_payload_to_edit(packet, &start, &there);

	if (result)
		return result;
	if (offset > there || length > there - offset)
		return -EINVAL;
	result = is_crc ? vd_packet_check_full(packet) : vd_packet_check_edit(packet);
	if (result)
		return result;
	at = start + offset;
	covered = covered_end(packet, at + length);
	covered = covered > at ? covered - at : 0;
	vd_packet_begin_edit(packet, is_crc ? VD_EDITED_FULL : VD_EDITED_TRANSPORT);
	vd_packet_write_transport(packet, at, data, covered);
	memcpy(vd_packet_bytes_to_edit(packet) + at + covered, (const uint8_t *)data + covered, length - covered);
	return 0;
}

static void set_lengths(struct vd_packet *packet, uint32_t length)
{
	uint8_t *data = vd_packet_bytes_to_edit(packet), *transport = data + packet->transport_offset;
	uint32_t before = packet->length - packet->transport_offset, after = length - packet->transport_offset, coverage;

	packet->length = packet->wire_length = length;
	if (packet->ip_version == 4)
		vd_packet_write16(data + 2, length);
	else
		vd_packet_write16(data + 4, length - 40);
	if (packet->protocol == IPPROTO_UDP)
		vd_packet_write16(transport + 4, after);
	if (packet->protocol == IPPROTO_UDPLITE) {
		coverage = vd_packet_read16(transport + 4);
		if (coverage == before || coverage > after)
			vd_packet_write16(transport + 4, after);
	}
	if (packet->protocol == IPPROTO_DCCP) { /* in words, and 1 more (RFC 4340, 9.2) */
		coverage = transport[5] & 0x0f;
		if (transport[4] * 4u + coverage * 4 > after + 4)
			transport[5] &= 0xf0;
	}
}

/* In place of `length` bytes at `offset`, others. */
static int splice(struct vd_packet *packet, uint32_t offset, uint32_t length, const void *data, uint32_t new_length)
{
	uint32_t start, there, end, total;
	uint8_t *at;
	int result;

	if (length == new_length)
		return vd_packet_write_payload(packet, offset, data, length);
	result = find_payload_to_edit(packet, &start, &there);
	if (result)
		return result;
	if (offset > there || length > there - offset)
		return -EINVAL;
	result = vd_packet_check_edit(packet);
	if (result)
		return result;
	end = vd_packet_ip_end(packet, vd_packet_data(packet));
	if (start + there != end) /* bytes behind UDP's own end: where would they go? */
		return -EINVAL;
	if (packet->parsed & VD_PARSED_FRAGMENT)
		return vd_packet_refuse(packet, -EOPNOTSUPP);
	total = end - length;
	if (new_length > LENGTH_MAX || total + new_length > LENGTH_MAX || new_length > packet->room || total > packet->room - new_length)
		return vd_packet_refuse(packet, -EMSGSIZE);
	result = vd_packet_check_full(packet);
	if (result)
		return result;

	vd_packet_begin_edit(packet, VD_EDITED_FULL);
	at = vd_packet_bytes_to_edit(packet) + start + offset;
	memmove(at + new_length, at + length, there - offset - length);
	if (new_length)
		memcpy(at, data, new_length);
	set_lengths(packet, total + new_length);
	return 0;
}

int vd_packet_replace_payload(struct vd_packet *packet, const void *data, uint32_t length)
{
	uint32_t start, there;
	int result = find_payload_to_edit(packet, &start, &there);

	if (result)
		return result;
	return splice(packet, 0, there, data, length);
}

int vd_packet_insert_payload(struct vd_packet *packet, uint32_t offset, const void *data, uint32_t length)
{
	return splice(packet, offset, 0, data, length);
}

int vd_packet_delete_payload(struct vd_packet *packet, uint32_t offset, uint32_t length)
{
	return splice(packet, offset, length, "", 0);
}
