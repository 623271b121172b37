/* SPDX-License-Identifier: MIT */
/*
 * Replacing a packet as a whole, under the rules of the newest kernels: they drop a rewrite whose lengths do not agree or
 * that touches IP options, extension headers or the fragment fields,
 * or one on a bridge's queue (vd_packet_may_edit()). Older ones would send it; no kernel gets one from here.
 */
#include "change.h"

#include <netinet/in.h>

static bool lengths_agree(unsigned version, const uint8_t *data, uint32_t length)
{
	if (version == 4)
		return length >= 20 && vd_packet_read16(data + 2) == length;
	if (version == 6)
		return length >= 40 && 40 + vd_packet_read16(data + 4) == length;
	return true; /* neither: nothing is known of its lengths */
}

/* Segments in one packet stay what they are; those of UDP as many as they are. */
static bool keeps_segments(const struct vd_packet *before, const struct vd_packet *after)
{
	return !(before->skb_info & VD_SKB_GSO) || (after->protocol == before->protocol &&
						    (after->length == before->length || before->protocol != IPPROTO_UDP));
}

/* Options, the fragment fields but "don't fragment" (0x4000), and extension headers have to stay as they were. */
static bool keeps_what_the_kernel_guards(const struct vd_packet *before, const struct vd_packet *after, const uint8_t *data)
{
	const uint8_t *old = vd_packet_data(before);

	if (after->network_length != before->network_length)
		return false;
	if (before->ip_version == 4)
		return !memcmp(data + 20, old + 20, before->network_length - 20u) &&
		       ((vd_packet_read16(data + 6) ^ vd_packet_read16(old + 6)) & ~0x4000u) == 0;
	if (before->ip_version == 6 && before->network_length > 40)
		return data[6] == old[6] && !memcmp(data + 40, old + 40, before->network_length - 40u);
	return true;
}

int vd_packet_replace(struct vd_packet *packet, const void *data, uint32_t length)
{
	struct vd_checksum_place place;
	struct vd_packet after;
	int result = vd_packet_check_edit(packet), cover;

	if (result)
		return result;
	if (!length || !lengths_agree(packet->ip_version, data, length))
		return -EINVAL;
	if (length > packet->room)
		return vd_packet_refuse(packet, -EMSGSIZE);

	after = *packet;
	after.length = after.wire_length = length;
	vd_packet_parse(&after, data);
	cover = vd_packet_find_checksum(&after, data, &place);
	if (after.ip_version != packet->ip_version || (after.parsed & VD_PARSED_MALFORMED) || cover == -EINVAL)
		return -EINVAL;
	if (!keeps_what_the_kernel_guards(packet, &after, data) || !keeps_segments(packet, &after))
		return vd_packet_refuse(packet, -EOPNOTSUPP);

	after.edited = 0; /* it went with the old bytes */
	*packet = after;
	memcpy(vd_packet_bytes_to_edit(packet), data, length);
	/* where it covers what is not here, the new packet's own checksum counts, and later edits go by what they change */
	vd_packet_begin_edit(packet, cover ? 0 : VD_EDITED_FULL);
	return 0;
}
