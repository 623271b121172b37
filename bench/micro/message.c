/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h> /* before the library's, which has an older copy of it */
#include <string.h>

#include <libnetfilter_queue/libnetfilter_queue.h>

#include "lib/nfq/nfq.h"

#define QUEUE 3

/* ---- what the kernel sends ---- */

static void put_be32(struct nlmsghdr *netlink, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(netlink, type, htonl(value));
}

uint32_t message_write(uint8_t *message, uint32_t id, uint32_t payload)
{
	const struct nfqnl_msg_packet_hdr header = {.packet_id = htonl(id), .hw_protocol = htons(0x0800),
						    .hook = NF_INET_FORWARD};
	const struct nfqnl_msg_packet_hw address = {.hw_addrlen = htons(6), .hw_addr = {2, 0, 0, 0, 0, 1}};
	struct nlmsghdr *netlink = mnl_nlmsg_put_header(message);
	struct nfgenmsg *netfilter = mnl_nlmsg_put_extra_header(netlink, sizeof *netfilter);
	struct nlattr *data;

	netlink->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET;
	*netfilter = (struct nfgenmsg){.nfgen_family = AF_INET, .version = NFNETLINK_V0, .res_id = htons(QUEUE)};
	mnl_attr_put(netlink, NFQA_PACKET_HDR, 7, &header); /* packed */
	put_be32(netlink, NFQA_IFINDEX_INDEV, 2);
	put_be32(netlink, NFQA_IFINDEX_OUTDEV, 3);
	put_be32(netlink, NFQA_MARK, 0xcafe);
	mnl_attr_put(netlink, NFQA_HWADDR, sizeof address, &address);
	put_be32(netlink, NFQA_SKB_INFO, NFQA_SKB_CSUMNOTREADY);
	data = mnl_nlmsg_get_payload_tail(netlink);
	data->nla_type = NFQA_PAYLOAD;
	data->nla_len = (uint16_t)(NLA_HDRLEN + payload);
	for (uint32_t i = 0; i < payload; i++)
		((uint8_t *)(data + 1))[i] = (uint8_t)(i * 7 + id);
	netlink->nlmsg_len += NLA_HDRLEN + payload;
	return netlink->nlmsg_len;
}

/* ---- ours ---- */

static struct vd_nfq_batch batch;

static bool parse(struct vd_packet *packet, uint8_t *message, uint32_t received)
{
	struct vd_nfq_error error;

	return vd_nfq_read_message(packet, message, received, MESSAGE_ROOM, false, &error) == VD_NFQ_PACKET;
}

static void build(struct vd_packet *const *packets, unsigned count)
{
	vd_nfq_batch_reset(&batch);
	for (unsigned i = 0; i < count; i++)
		vd_nfq_batch_add(&batch, packets[i]);
}

static uint32_t copy(uint8_t *bytes)
{
	uint32_t size = 0;

	for (uint32_t i = 0; i < batch.iov_count; i++) {
		memcpy(bytes + size, batch.iov[i].iov_base, batch.iov[i].iov_len);
		size += (uint32_t)batch.iov[i].iov_len;
	}
	memcpy(bytes + size, batch.buffer + batch.iov_start, batch.used - batch.iov_start);
	return size + batch.used - batch.iov_start;
}

/* ---- libnetfilter_queue, in its interface over libmnl ---- */

static _Alignas(64) char nfq_buffer[MESSAGE_SEND_MAX];
static uint32_t nfq_used;

static uint32_t get_be32(struct nlattr *const *attributes, int type)
{
	return attributes[type] ? ntohl(mnl_attr_get_u32(attributes[type])) : 0;
}

/* As in its examples/nf-queue.c, but for what else our parsing takes out. */
static bool nfq_parse(struct vd_packet *packet, uint8_t *message, uint32_t received)
{
	const struct nlmsghdr *netlink = (const void *)message;
	struct nlattr *attributes[NFQA_MAX + 1] = {0};
	const struct nfqnl_msg_packet_hdr *header;
	const struct nfgenmsg *netfilter;

	if (!mnl_nlmsg_ok(netlink, (int)received) || nfq_nlmsg_parse(netlink, attributes) < 0 ||
	    !attributes[NFQA_PACKET_HDR] || !attributes[NFQA_PAYLOAD])
		return false;
	netfilter = mnl_nlmsg_get_payload(netlink);
	header = mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]);
	packet->family = netfilter->nfgen_family;
	packet->queue = ntohs(netfilter->res_id);
	packet->id = ntohl(header->packet_id);
	packet->ethertype = ntohs(header->hw_protocol);
	packet->hook = header->hook;
	packet->mark = get_be32(attributes, NFQA_MARK);
	packet->priority = get_be32(attributes, NFQA_PRIORITY);
	packet->indev = get_be32(attributes, NFQA_IFINDEX_INDEV);
	packet->outdev = get_be32(attributes, NFQA_IFINDEX_OUTDEV);
	packet->skb_info = get_be32(attributes, NFQA_SKB_INFO);
	packet->has_bridge_ports = attributes[NFQA_IFINDEX_PHYSINDEV] || attributes[NFQA_IFINDEX_PHYSOUTDEV];
	packet->length = mnl_attr_get_payload_len(attributes[NFQA_PAYLOAD]);
	packet->wire_length = attributes[NFQA_CAP_LEN] ? get_be32(attributes, NFQA_CAP_LEN) : packet->length;
	packet->data_offset = (uint32_t)((uint8_t *)mnl_attr_get_payload(attributes[NFQA_PAYLOAD]) - (uint8_t *)packet);
	return true;
}

/* It copies the packet's data into the message. */
static void nfq_build(struct vd_packet *const *packets, unsigned count)
{
	nfq_used = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct vd_packet *packet = packets[i];
		struct nlmsghdr *netlink = nfq_nlmsg_put(nfq_buffer + nfq_used, NFQNL_MSG_VERDICT, packet->queue);

		nfq_nlmsg_verdict_put(netlink, (int)packet->id, NF_ACCEPT);
		if (packet->changed & VD_CHANGED_MARK)
			nfq_nlmsg_verdict_put_mark(netlink, packet->mark);
		if (packet->changed & VD_CHANGED_DATA)
			nfq_nlmsg_verdict_put_pkt(netlink, vd_packet_data(packet), packet->length);
		nfq_used += netlink->nlmsg_len;
	}
}

static uint32_t nfq_copy(uint8_t *bytes)
{
	memcpy(bytes, nfq_buffer, nfq_used);
	return nfq_used;
}

const struct message_kind message_kinds[] = {
	{"verdict", parse, build, copy},
	{"libnetfilter_queue", nfq_parse, nfq_build, nfq_copy},
	{NULL, NULL, NULL, NULL},
};
