/* SPDX-License-Identifier: MIT */
/*
 * What the kernel sends: a packet, or an error about something that was sent to it; one in a datagram.
 *
 *	struct nlmsghdr   length | type, flags | sequence | port id                16 bytes
 *	struct nfgenmsg   family | version | queue (be16)                           4
 *	attributes        length | type | value, padded to 4                        ...
 *	NFQA_PAYLOAD      the last one, and NOT padded: the datagram may have any length
 *
 * The attributes are walked by hand, once, and only what every packet needs is taken out; lib/packet finds the rest
 * when somebody asks.
 */
#include "nfq.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>

/* The kernel's own bound (MAX_ERRNO). */
#define ERRNO_MAX 4095

#define PACKET_TYPE (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)
#define VERDICT_TYPE (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT)
#define BATCH_TYPE (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT_BATCH)

static uint32_t read_be32(const uint8_t *bytes)
{
	uint32_t be;

	memcpy(&be, bytes, sizeof be);
	return ntohl(be);
}

/*
 * NLMSG_ERROR carries the errno and the refused message, whole: our verdict is in it, laid out as verdict.c does
 * (the verdict header first).
 */
static enum vd_nfq_kind read_error(const uint8_t *buffer, uint32_t received, struct vd_nfq_error *error)
{
	const struct nlmsgerr *body = (const void *)(buffer + NLMSG_HDRLEN);
	const uint32_t refused_at = NLMSG_HDRLEN + sizeof body->error;
	const uint32_t value_at = refused_at + NLMSG_HDRLEN + sizeof(struct nfgenmsg) + NLA_HDRLEN;
	const struct nlattr *attribute = (const void *)(buffer + value_at - NLA_HDRLEN);

	if (received < refused_at + sizeof body->msg || body->error >= 0 || body->error < -ERRNO_MAX)
		return VD_NFQ_NOTHING;
	*error = (struct vd_nfq_error){
		.code = -body->error,
		.is_verdict = body->msg.nlmsg_type == VERDICT_TYPE || body->msg.nlmsg_type == BATCH_TYPE,
		.id = body->msg.nlmsg_seq,
		.count = body->msg.nlmsg_type == BATCH_TYPE ? body->msg.nlmsg_seq : 1,
		.rest = body->msg.nlmsg_type == VERDICT_TYPE ? body->msg.nlmsg_pid : 0,
		.behind = body->msg.nlmsg_type == BATCH_TYPE ? body->msg.nlmsg_pid : 0,
	};
	if (error->is_verdict && received >= value_at + sizeof(struct nfqnl_msg_verdict_hdr) &&
	    attribute->nla_type == NFQA_VERDICT_HDR) {
		error->netfilter_verdict = read_be32(buffer + value_at);
		error->id = read_be32(buffer + value_at + 4);
	}
	return VD_NFQ_ERROR;
}

static void take_attribute(struct vd_packet *packet, unsigned type, const uint8_t *value, uint32_t length)
{
	if (length < 4)
		return;
	switch (type) {
	case NFQA_PACKET_HDR: /* be32 id | be16 ethertype | u8 hook: packed, 7 bytes */
		if (length < 7)
			return;
		packet->id = read_be32(value);
		packet->ethertype = (uint16_t)(value[4] << 8 | value[5]);
		packet->hook = value[6];
		break;
	case NFQA_MARK:
		packet->mark = read_be32(value);
		break;
	case NFQA_IFINDEX_INDEV:
		packet->indev = read_be32(value);
		break;
	case NFQA_IFINDEX_OUTDEV:
		packet->outdev = read_be32(value);
		break;
	case NFQA_IFINDEX_PHYSINDEV:
	case NFQA_IFINDEX_PHYSOUTDEV:
		packet->has_bridge_ports = 1;
		break;
	case NFQA_CAP_LEN:
		packet->wire_length = read_be32(value);
		break;
	case NFQA_SKB_INFO:
		packet->skb_info = read_be32(value);
		break;
	case NFQA_PRIORITY:
		packet->priority = read_be32(value);
		break;
	default:
		break;
	}
}

static void clear(struct vd_packet *packet)
{
	packet->length = packet->wire_length = packet->room = 0;
	packet->mark = packet->priority = packet->skb_info = packet->indev = packet->outdev = 0;
	packet->id = 0;
	packet->ethertype = 0;
	packet->hook = 0;
	packet->changed = packet->verdict = packet->has_bridge_ports = 0;
	packet->edited = packet->edit_refused = packet->edit_ban = 0;
	packet->reject = packet->reject_code = 0;
	packet->link_length = 0;
}

static enum vd_nfq_kind read_packet(struct vd_packet *packet, uint8_t *buffer, uint32_t end, uint32_t capacity)
{
	const struct nfgenmsg *netfilter = (const void *)(buffer + NLMSG_HDRLEN);
	const uint32_t before = (uint32_t)(buffer - (uint8_t *)packet);
	uint32_t at = NLMSG_HDRLEN + sizeof *netfilter;
	bool has_id = false;

	if (end < at)
		return VD_NFQ_NOTHING;
	clear(packet);
	packet->family = netfilter->nfgen_family;
	packet->queue = ntohs(netfilter->res_id);
	packet->message_offset = before + at;
	packet->message_length = end - at;
	packet->data_offset = before + end;

	while (end - at >= NLA_HDRLEN) {
		const struct nlattr *attribute = (const void *)(buffer + at);
		uint32_t type = attribute->nla_type & NLA_TYPE_MASK;
		uint32_t length = attribute->nla_len, step;

		if (length < NLA_HDRLEN)
			break;
		if (type == NFQA_PAYLOAD) { /* the last; a cut datagram ends within it */
			uint32_t there = end - at - NLA_HDRLEN;

			packet->data_offset = before + at + NLA_HDRLEN;
			packet->length = length - NLA_HDRLEN < there ? length - NLA_HDRLEN : there;
			packet->room = capacity - at - NLA_HDRLEN < VD_NFQ_COPY_RANGE_MAX ? capacity - at - NLA_HDRLEN :
											    VD_NFQ_COPY_RANGE_MAX;
			if (packet->wire_length < length - NLA_HDRLEN)
				packet->wire_length = length - NLA_HDRLEN;
			break;
		}
		if (length > end - at)
			break;
		has_id |= type == NFQA_PACKET_HDR && length >= NLA_HDRLEN + sizeof(struct nfqnl_msg_packet_hdr);
		take_attribute(packet, type, buffer + at + NLA_HDRLEN, length - NLA_HDRLEN);
		step = NLA_ALIGN(length);
		if (step > end - at)
			break;
		at += step;
	}
	packet->original_length = packet->length;
	return has_id ? VD_NFQ_PACKET : VD_NFQ_NOTHING;
}

enum vd_nfq_kind vd_nfq_read_message(struct vd_packet *packet, uint8_t *buffer, uint32_t received, uint32_t capacity,
				     bool is_cut, struct vd_nfq_error *error)
{
	const struct nlmsghdr *netlink = (const void *)buffer;
	uint32_t end = received;

	if (received < NLMSG_HDRLEN || netlink->nlmsg_len < NLMSG_HDRLEN)
		return VD_NFQ_NOTHING;
	if (netlink->nlmsg_len < end)
		end = netlink->nlmsg_len;
	else if (netlink->nlmsg_len > end && !is_cut)
		return VD_NFQ_NOTHING;
	if (netlink->nlmsg_type == PACKET_TYPE)
		return read_packet(packet, buffer, end, capacity);
	if (netlink->nlmsg_type == NLMSG_ERROR)
		return read_error(buffer, end, error);
	return VD_NFQ_NOTHING;
}
