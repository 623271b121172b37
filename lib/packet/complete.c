/* SPDX-License-Identifier: MIT */
/*
 * Whether a packet may be edited, and completing its checksums after that.
 *
 * A checksum is completed by what changed (RFC 1624) wherever that is right: damage from the way here then still shows at the
 * receiver. In full: CRC32c, since a CRC of a part says nothing of the whole; after a change of length; where there was none that
 * has to be (UDP over IPv6); and where it was not ready, which is to say that the device would have made it.
 *
 * A checksum that is not ready need not be the one of this packet's transport header: a tunnel's packet has others inside, and
 * after an edit the kernel will not make them any more. What tells is the field, which then does not hold the sum of
 * the pseudo-header.
 *
 * Segments in one packet (GSO): the kernel makes each TCP segment's checksum anew, whatever is there. For UDP it goes on from the
 * pseudo-header's sum, which so has to stay in the field; but if the packet comes to a socket here, that would be found wrong.
 * So UDP is edited only where packets are on their way out.
 */
#include "change.h"

#include <netinet/in.h>

#include <linux/netfilter.h>

/* ---- may it be edited ---- */

static bool is_leaving(const struct vd_packet *packet)
{
	return packet->hook == NF_INET_FORWARD || packet->hook == NF_INET_LOCAL_OUT || packet->hook == NF_INET_POST_ROUTING;
}

/* Whether the field holds the sum of the pseudo-header, in which 0 and 0xffff are the same. */
static bool holds_pseudo_sum(const struct vd_checksum_place *place, const uint8_t *data)
{
	uint16_t field_be;

	memcpy(&field_be, data + place->field, sizeof field_be);
	return (vd_checksum_fold_be(place->pseudo) - field_be) % 0xffff == 0;
}

static bool is_gso_to_edit(const struct vd_packet *packet)
{
	return packet->protocol == IPPROTO_TCP || (packet->protocol == IPPROTO_UDP && is_leaving(packet));
}

int vd_packet_may_edit(const struct vd_packet *packet)
{
	const uint8_t *data = vd_packet_data(packet);
	struct vd_checksum_place place;

	if (packet->parsed & VD_PARSED_MALFORMED)
		return -EINVAL;
	if (vd_packet_is_truncated(packet))
		return -ENODATA;
	if (!packet->ip_version)
		return -EPROTONOSUPPORT;
	if (packet->edit_ban)
		return -packet->edit_ban;
	if (packet->family == AF_BRIDGE)
		return -EOPNOTSUPP;
	if (!(packet->skb_info & (VD_SKB_GSO | VD_SKB_CHECKSUM_NOT_READY)) || packet->edited)
		return 0;
	if (packet->skb_info & VD_SKB_GSO && !is_gso_to_edit(packet))
		return -EOPNOTSUPP;
	if (vd_packet_find_checksum(packet, data, &place) || place.kind == VD_CHECKSUM_NONE)
		return -EOPNOTSUPP;
	if (place.kind == VD_CHECKSUM_PSEUDO || (place.kind == VD_CHECKSUM_INTERNET && packet->skb_info & VD_SKB_CHECKSUM_NOT_READY))
		return holds_pseudo_sum(&place, data) ? 0 : -EOPNOTSUPP;
	return 0;
}

int vd_packet_refuse(struct vd_packet *packet, int error)
{
	if (!packet->edit_refused)
		packet->edit_refused = (uint8_t)-error;
	return error;
}

int vd_packet_check_edit_slowly(struct vd_packet *packet)
{
	int result = vd_packet_may_edit(packet);

	return result && result != -EINVAL && result != -EPROTONOSUPPORT ? vd_packet_refuse(packet, result) : result;
}

/* UDP has to have one over IPv6 (RFC 8200), but for some tunnels (RFC 6936). */
static bool has_none(const struct vd_packet *packet, const uint8_t *field)
{
	return packet->protocol == IPPROTO_UDP && !field[0] && !field[1];
}

/* 0: right, or there is none; -EBADMSG; -ENODATA it cannot be told. */
static int verify_transport(const struct vd_packet *packet, const uint8_t *data)
{
	struct vd_checksum_place place;
	uint32_t crc;
	uint16_t checksum;
	int result = vd_packet_find_checksum(packet, data, &place);

	if (result)
		return result == -EINVAL ? -EBADMSG : result;
	switch (place.kind) {
	case VD_CHECKSUM_CRC32C:
		memcpy(&crc, data + place.field, sizeof crc);
		return crc == vd_packet_crc32c_le(&place, data) ? 0 : -EBADMSG;
	case VD_CHECKSUM_INTERNET:
		if (has_none(packet, data + place.field))
			return place.zero_is_none ? 0 : -EBADMSG;
		memcpy(&checksum, data + place.field, sizeof checksum);
		/* as a receiver: the two ways to write zero are one to it */
		return (vd_packet_checksum_be(&place, data) - checksum) % 0xffff ? -EBADMSG : 0;
	case VD_CHECKSUM_PSEUDO:
		return -ENODATA;
	default:
		return 0;
	}
}

int vd_packet_check_full(struct vd_packet *packet)
{
	const uint8_t *data = vd_packet_data(packet);
	struct vd_checksum_place place;
	int result = vd_packet_check_edit(packet);

	if (!result && packet->protocol == IPPROTO_UDP && packet->skb_info & VD_SKB_GSO) /* where would its datagrams end? */
		return vd_packet_refuse(packet, -EOPNOTSUPP);
	if (result || packet->edited & VD_EDITED_FULL || packet->skb_info & VD_SKB_CHECKSUM_NOT_READY)
		return result;
	result = vd_packet_find_checksum(packet, data, &place);
	if (result == -EINVAL)
		return result;
	if (result)
		return vd_packet_refuse(packet, -EOPNOTSUPP);
	if (place.kind == VD_CHECKSUM_NONE || has_none(packet, data + place.field)) /* there is nothing to hide */
		return 0;
	vd_packet_complete(packet);
	result = verify_transport(packet, data);
	return result ? vd_packet_refuse(packet, result) : 0;
}

/* ---- edit ---- */

void vd_packet_write_transport(struct vd_packet *packet, uint32_t at, const void *bytes, uint32_t length)
{
	uint8_t *to = vd_packet_bytes_to_edit(packet) + at;
	uint32_t place = at - packet->transport_offset;
	uint64_t sum = packet->edit_transport_sum;

	if (!(packet->edited & VD_EDITED_FULL)) {
		sum = vd_checksum_add(sum, ~vd_checksum_part(to, length), place);
		packet->edit_transport_sum = vd_checksum_add(sum, vd_checksum_part(bytes, length), place);
	}
	memcpy(to, bytes, length);
}

/* ---- complete ---- */

static void complete_by_what_changed(struct vd_packet *packet, uint8_t *field)
{
	uint64_t sum = packet->edited & VD_EDITED_TRANSPORT ? packet->edit_transport_sum : 0;
	uint16_t checksum;

	memcpy(&checksum, field, sizeof checksum);
	if (vd_packet_has_pseudo_header(packet))
		sum += packet->edit_address_sum;
	checksum = vd_checksum_finish_be((uint16_t)~checksum + sum);
	if (!checksum && vd_packet_is_never_zero(packet))
		checksum = 0xffff;
	memcpy(field, &checksum, sizeof checksum);
}

static inline void complete_transport(struct vd_packet *packet, uint8_t *data)
{
	struct vd_checksum_place place;
	uint32_t field;

	/* most of what is edited; TCP knows no special zero */
	if (packet->protocol == IPPROTO_TCP && packet->transport_offset && packet->transport_offset + 20u <= packet->length &&
	    !(packet->edited & VD_EDITED_FULL) && !(packet->skb_info & VD_SKB_CHECKSUM_NOT_READY))
		return complete_by_what_changed(packet, data + packet->transport_offset + 16);
	field = vd_packet_checksum_field(packet, data);
	if (!field)
		return;
	if (!(packet->skb_info & VD_SKB_CHECKSUM_NOT_READY) && has_none(packet, data + field)) {
		if (vd_packet_zero_is_none(packet))
			return;
		packet->edited |= VD_EDITED_FULL;
	}
	if (packet->edited & VD_EDITED_FULL || packet->skb_info & (VD_SKB_CHECKSUM_NOT_READY | VD_SKB_GSO)) {
		if (!vd_packet_find_checksum(packet, data, &place))
			vd_packet_make_checksum(&place, data, data + place.field);
	} else if (packet->protocol != IPPROTO_SCTP) {
		complete_by_what_changed(packet, data + field);
	}
}

void vd_packet_complete_edited(struct vd_packet *packet)
{
	uint8_t *data = vd_packet_bytes_to_edit(packet);
	uint16_t checksum;

	if (packet->ip_version == 4) {
		checksum = vd_packet_ipv4_checksum_be(data, packet->network_length);
		memcpy(data + 10, &checksum, sizeof checksum);
	}
	complete_transport(packet, data);
	packet->edited = 0;
	packet->skb_info &= ~VD_SKB_CHECKSUM_NOT_READY;
}

int vd_packet_verify(struct vd_packet *packet)
{
	const uint8_t *data = vd_packet_data(packet);
	uint16_t checksum;

	vd_packet_complete(packet);
	if (packet->parsed & VD_PARSED_MALFORMED)
		return -EINVAL;
	if (!packet->ip_version) /* if it is here, it is not IP */
		return packet->length || !packet->wire_length ? 0 : -ENODATA;
	if (packet->ip_version == 4) {
		if (!packet->network_length || packet->length < packet->network_length)
			return -ENODATA;
		memcpy(&checksum, data + 10, sizeof checksum);
		if ((vd_packet_ipv4_checksum_be(data, packet->network_length) - checksum) % 0xffff)
			return -EBADMSG;
	}
	/* what was not copied, or another fragment has, may be a checksum, or covered by one */
	if (vd_packet_is_truncated(packet) || packet->parsed & VD_PARSED_FRAGMENT || packet->skb_info & VD_SKB_CHECKSUM_NOT_READY)
		return -ENODATA;
	return verify_transport(packet, data);
}
