/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of a packet beyond the hot fields, found in its netlink message when somebody asks.
 *
 * Nothing is copied or indexed when the packet comes in: most functions never ask. The message was checked as a whole when
 * it was received (lib/nfq), but each walk checks again what it steps over; a capture's packet has no message.
 */
#include "packet.h"

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>

#define NFQA_CGROUP_CLASSID_ 22 /* newer than this system's headers may be */

/* The attribute of this type among `length` bytes of attributes; NULL when there is none. */
static const struct nlattr *find(const uint8_t *attributes, uint32_t length, unsigned type)
{
	while (length >= sizeof(struct nlattr)) {
		const struct nlattr *attribute = (const void *)attributes;
		uint32_t step = MNL_ALIGN(attribute->nla_len);

		if (attribute->nla_len < sizeof *attribute || attribute->nla_len > length)
			return NULL;
		if ((attribute->nla_type & NLA_TYPE_MASK) == type)
			return attribute;
		if (step > length)
			return NULL;
		attributes += step;
		length -= step;
	}
	return NULL;
}

static const uint8_t *find_value(const uint8_t *attributes, uint32_t size, unsigned type, uint32_t *length)
{
	const struct nlattr *attribute = find(attributes, size, type);

	*length = attribute ? attribute->nla_len - (uint32_t)MNL_ATTR_HDRLEN : 0;
	return attribute ? (const uint8_t *)attribute + MNL_ATTR_HDRLEN : NULL;
}

const void *vd_packet_attribute(const struct vd_packet *packet, unsigned type, uint32_t *length)
{
	*length = 0;
	if (!packet->message_offset)
		return NULL;
	return find_value((const uint8_t *)packet + packet->message_offset, packet->message_length, type, length);
}

static int get_be32(const uint8_t *value, uint32_t length, uint32_t *number)
{
	uint32_t be;

	if (!value || length < sizeof be)
		return -ENODATA;
	memcpy(&be, value, sizeof be);
	*number = ntohl(be);
	return 0;
}

static int attribute_be32(const struct vd_packet *packet, unsigned type, uint32_t *number)
{
	uint32_t length;
	const uint8_t *value = vd_packet_attribute(packet, type, &length);

	return get_be32(value, length, number);
}

/* An attribute inside NFQA_CT or NFQA_VLAN. */
static const uint8_t *nested(const struct vd_packet *packet, unsigned outer, unsigned inner, uint32_t *length)
{
	uint32_t size;
	const uint8_t *inside = vd_packet_attribute(packet, outer, &size);

	*length = 0;
	return inside ? find_value(inside, size, inner, length) : NULL;
}

const uint8_t *vd_packet_hardware_address(const struct vd_packet *packet, uint32_t *length)
{
	uint32_t size, address_length;
	const uint8_t *value = vd_packet_attribute(packet, NFQA_HWADDR, &size);

	*length = 0;
	if (!value || size < 4) /* be16 length, be16 padding, 8 bytes of address */
		return NULL;
	address_length = (uint32_t)value[0] << 8 | value[1];
	if (!address_length || address_length > 8 || address_length > size - 4)
		return NULL;
	*length = address_length;
	return value + 4;
}

uint64_t vd_packet_timestamp_ns(const struct vd_packet *packet)
{
	uint64_t times[2];
	uint32_t length;
	const uint8_t *value = vd_packet_attribute(packet, NFQA_TIMESTAMP, &length);

	if (!value || length < sizeof times)
		return 0;
	memcpy(times, value, sizeof times); /* be64 seconds, be64 microseconds */
	return be64toh(times[0]) * 1000000000u + be64toh(times[1]) * 1000u;
}

unsigned vd_packet_physindev(const struct vd_packet *packet)
{
	uint32_t index = 0;

	attribute_be32(packet, NFQA_IFINDEX_PHYSINDEV, &index);
	return index;
}

unsigned vd_packet_physoutdev(const struct vd_packet *packet)
{
	uint32_t index = 0;

	attribute_be32(packet, NFQA_IFINDEX_PHYSOUTDEV, &index);
	return index;
}

int vd_packet_uid(const struct vd_packet *packet, uint32_t *uid)
{
	return attribute_be32(packet, NFQA_UID, uid);
}

int vd_packet_gid(const struct vd_packet *packet, uint32_t *gid)
{
	return attribute_be32(packet, NFQA_GID, gid);
}

int vd_packet_cgroup_classid(const struct vd_packet *packet, uint32_t *classid)
{
	return attribute_be32(packet, NFQA_CGROUP_CLASSID_, classid);
}

const char *vd_packet_security_context(const struct vd_packet *packet, uint32_t *length)
{
	return vd_packet_attribute(packet, NFQA_SECCTX, length);
}

int vd_packet_vlan(const struct vd_packet *packet, uint16_t *protocol, uint16_t *tci)
{
	uint32_t protocol_length, tci_length;
	const uint8_t *protocol_be = nested(packet, NFQA_VLAN, NFQA_VLAN_PROTO, &protocol_length);
	const uint8_t *tci_be = nested(packet, NFQA_VLAN, NFQA_VLAN_TCI, &tci_length);

	if (!protocol_be || protocol_length < 2 || !tci_be || tci_length < 2)
		return -ENODATA;
	*protocol = (uint16_t)(protocol_be[0] << 8 | protocol_be[1]);
	*tci = (uint16_t)(tci_be[0] << 8 | tci_be[1]);
	return 0;
}

int vd_packet_conntrack_info(const struct vd_packet *packet, uint32_t *info)
{
	return attribute_be32(packet, NFQA_CT_INFO, info);
}

int vd_packet_conntrack_mark(const struct vd_packet *packet, uint32_t *mark)
{
	uint32_t length;
	const uint8_t *value;

	if (packet->changed & VD_CHANGED_CONNTRACK_MARK) {
		*mark = packet->conntrack_mark;
		return 0;
	}
	value = nested(packet, NFQA_CT, CTA_MARK, &length);
	return get_be32(value, length, mark);
}

int vd_packet_conntrack_id(const struct vd_packet *packet, uint32_t *id)
{
	uint32_t length;
	const uint8_t *value = nested(packet, NFQA_CT, CTA_ID, &length);

	return get_be32(value, length, id);
}
