/* SPDX-License-Identifier: MIT */
/*
 * Verdicts, many messages in one send.
 *
 *	struct nlmsghdr | struct nfgenmsg | NFQA_VERDICT_HDR {be32 verdict, be32 id}        32 bytes, always
 *	NFQA_MARK, NFQA_PRIORITY {be32}                                                       8 each, when changed
 *	NFQA_CT {CTA_MARK {be32}}, NFQA_VLAN {proto be16, tci be16}                          12, 20
 *	NFQA_PAYLOAD                                                                         from where the packet lies
 *
 * The first 32 bytes are the whole message nearly always, so they are written as one struct. An error comes back with the
 * message that it is about, so fields that the kernel does not read say what we want to know then. The sequence number is the
 * packet's id, for a range the number of packets; the port id is 0, but of a run's first message how many packets are in the
 * second one, and of the second one how far its id is behind the first.
 */
#include "nfq.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <time.h>

/* How often a send that the kernel has no memory for is tried again, a millisecond apart, before it is an error. */
#define SEND_TRIES 1000

struct plain_verdict {
	struct nlmsghdr netlink;
	struct nfgenmsg netfilter;
	struct nlattr attribute;
	struct nfqnl_msg_verdict_hdr verdict;
};
_Static_assert(sizeof(struct plain_verdict) == 32, "no padding");

uint32_t vd_nfq_netfilter_verdict(const struct vd_packet *packet)
{
	switch (packet->verdict) {
	case VD_ACCEPT:
		return NF_ACCEPT;
	case VD_REPEAT:
		return NF_REPEAT;
	case VD_QUEUE:
		return NF_QUEUE | (uint32_t)packet->requeue << NF_VERDICT_QBITS |
		       (packet->requeue_bypass ? NF_VERDICT_FLAG_QUEUE_BYPASS : 0u);
	case VD_STOP:
		return NF_STOP;
	default:
		return NF_DROP;
	}
}

enum vd_verdict vd_nfq_verdict(uint32_t netfilter_verdict)
{
	switch (netfilter_verdict & NF_VERDICT_MASK) {
	case NF_ACCEPT:
		return VD_ACCEPT;
	case NF_DROP:
		return VD_DROP;
	case NF_REPEAT:
		return VD_REPEAT;
	case NF_QUEUE:
		return VD_QUEUE;
	case NF_STOP:
		return VD_STOP;
	default:
		return VD_NEXT;
	}
}

void vd_nfq_batch_reset(struct vd_nfq_batch *batch)
{
	batch->count = batch->used = batch->iov_start = batch->iov_count = 0;
	batch->bytes = 0;
}

/* Begins a message at the end of the buffer. */
static struct nlmsghdr *put_header(struct vd_nfq_batch *batch, unsigned type, const struct vd_packet *packet, uint32_t sequence)
{
	struct plain_verdict *message = (void *)(batch->buffer + batch->used);

	*message = (struct plain_verdict){
		.netlink = {.nlmsg_len = sizeof *message,
			    .nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type),
			    .nlmsg_flags = NLM_F_REQUEST,
			    .nlmsg_seq = sequence},
		.netfilter = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(packet->queue)},
		.attribute = {.nla_len = NLA_HDRLEN + sizeof message->verdict, .nla_type = NFQA_VERDICT_HDR},
		.verdict = {.verdict = htonl(vd_nfq_netfilter_verdict(packet)), .id = htonl(packet->id)},
	};
	return &message->netlink;
}

static void put_changes(struct nlmsghdr *netlink, const struct vd_packet *packet)
{
	struct nlattr *nest;

	if (packet->changed & VD_CHANGED_MARK)
		mnl_attr_put_u32(netlink, NFQA_MARK, htonl(packet->mark));
	if (packet->changed & VD_CHANGED_PRIORITY)
		mnl_attr_put_u32(netlink, NFQA_PRIORITY, htonl(packet->priority));
	if (packet->changed & VD_CHANGED_CONNTRACK_MARK) {
		nest = mnl_attr_nest_start(netlink, NFQA_CT);
		mnl_attr_put_u32(netlink, CTA_MARK, htonl(packet->conntrack_mark));
		mnl_attr_nest_end(netlink, nest);
	}
	if (packet->changed & VD_CHANGED_VLAN) {
		nest = mnl_attr_nest_start(netlink, NFQA_VLAN);
		mnl_attr_put_u16(netlink, NFQA_VLAN_PROTO, htons(packet->vlan_protocol));
		mnl_attr_put_u16(netlink, NFQA_VLAN_TCI, htons(packet->vlan_tci));
		mnl_attr_nest_end(netlink, nest);
	}
}

static void end_piece(struct vd_nfq_batch *batch)
{
	if (batch->used == batch->iov_start)
		return;
	batch->iov[batch->iov_count++] = (struct iovec){.iov_base = batch->buffer + batch->iov_start,
							.iov_len = batch->used - batch->iov_start};
	batch->iov_start = batch->used;
}

/* The packet's data behind the message that ends the buffer; what pads it to 4 begins the next piece. */
static void put_data(struct vd_nfq_batch *batch, struct nlmsghdr *netlink, const struct vd_packet *packet)
{
	struct nlattr *attribute = mnl_nlmsg_get_payload_tail(netlink);
	uint32_t padding = MNL_ALIGN(packet->length) - packet->length;

	attribute->nla_type = NFQA_PAYLOAD;
	attribute->nla_len = (uint16_t)(NLA_HDRLEN + packet->length);
	batch->used += NLA_HDRLEN;
	end_piece(batch);
	batch->iov[batch->iov_count++] = (struct iovec){.iov_base = (uint8_t *)(uintptr_t)packet + packet->data_offset,
							.iov_len = packet->length};
	memset(batch->buffer + batch->used, 0, padding);
	if (padding) { /* keep the next message aligned in the buffer: the padding is a piece of its own */
		batch->iov[batch->iov_count++] =
			(struct iovec){.iov_base = batch->buffer + batch->used, .iov_len = padding};
		batch->used += NLA_ALIGN(padding);
		batch->iov_start = batch->used;
	}
	netlink->nlmsg_len += NLA_HDRLEN + MNL_ALIGN(packet->length);
}

bool vd_nfq_batch_add(struct vd_nfq_batch *batch, const struct vd_packet *packet)
{
	uint32_t changed = vd_nfq_netfilter_verdict(packet) == NF_DROP ? 0 : packet->changed;
	size_t size = VD_NFQ_VERDICT_SIZE + (changed & VD_CHANGED_DATA ? packet->length : 0);
	struct nlmsghdr *netlink;

	if (batch->count == VD_NFQ_SEND_MAX || (batch->count && batch->bytes + size > VD_NFQ_SEND_BYTES))
		return false;
	netlink = put_header(batch, NFQNL_MSG_VERDICT, packet, packet->id);
	if (changed)
		put_changes(netlink, packet);
	batch->used += netlink->nlmsg_len;
	if (changed & VD_CHANGED_DATA)
		put_data(batch, netlink, packet);
	batch->bytes += netlink->nlmsg_len;
	batch->count++;
	return true;
}

/* A message of nothing but its header. */
static void put_plain(struct vd_nfq_batch *batch, unsigned type, const struct vd_packet *packet, uint32_t sequence, uint32_t port)
{
	struct nlmsghdr *netlink = put_header(batch, type, packet, sequence);

	netlink->nlmsg_pid = port;
	batch->used += netlink->nlmsg_len;
	batch->bytes += netlink->nlmsg_len;
	batch->count++;
}

bool vd_nfq_batch_add_range(struct vd_nfq_batch *batch, const struct vd_packet *last, uint32_t count)
{
	if (batch->count == VD_NFQ_SEND_MAX)
		return false;
	put_plain(batch, NFQNL_MSG_VERDICT_BATCH, last, count, 0);
	return true;
}

bool vd_nfq_batch_add_run(struct vd_nfq_batch *batch, const struct vd_packet *first, const struct vd_packet *last, uint32_t count)
{
	if (batch->count + 2 > VD_NFQ_SEND_MAX)
		return false;
	put_plain(batch, NFQNL_MSG_VERDICT, first, first->id, count - 1);
	put_plain(batch, NFQNL_MSG_VERDICT_BATCH, last, count - 1, last->id - first->id);
	return true;
}

/* A send of one piece, as nearly all are, is less to copy for the kernel. */
static ssize_t send_pieces(const struct vd_nfq *nfq, struct vd_nfq_batch *batch)
{
	struct msghdr message = {.msg_iov = batch->iov, .msg_iovlen = batch->iov_count};

	if (batch->iov_count == 1)
		return send(nfq->descriptor, batch->iov[0].iov_base, batch->iov[0].iov_len, 0);
	return sendmsg(nfq->descriptor, &message, 0);
}

int vd_nfq_batch_send(const struct vd_nfq *nfq, struct vd_nfq_batch *batch)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int result = 0;

	if (!batch->count)
		return 0;
	end_piece(batch);
	for (int tries = 0; send_pieces(nfq, batch) < 0;) {
		if (errno == EINTR)
			continue;
		if ((errno != ENOBUFS && errno != ENOMEM && errno != EAGAIN) || ++tries == SEND_TRIES) {
			result = -errno;
			break;
		}
		nanosleep(&pause, NULL);
	}
	vd_nfq_batch_reset(batch);
	return result;
}
