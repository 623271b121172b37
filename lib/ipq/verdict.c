/* SPDX-License-Identifier: MIT */
/*
 * A verdict is one message, built on the caller's stack: any thread may send one at any time.
 */
#include "ipq.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

/* A payload shorter than its header was ignored, and the packet left as it was. */
#define IPV4_MIN 20
#define IPV6_MIN 40
/* An attribute's own length has 16 bits. */
#define PAYLOAD_MAX (UINT16_MAX - NLA_HDRLEN)

struct message {
	struct nlmsghdr netlink;
	struct nfgenmsg netfilter;
	struct nlattr verdict_attribute;
	struct nfqnl_msg_verdict_hdr verdict;
	uint8_t more[16]; /* a mark, and the payload's attribute */
};

static void begin(struct message *message, const struct ipq_full_handle *handle, ipq_id_t wide_id, uint32_t verdict)
{
	uint32_t id = wide_id <= UINT32_MAX ? (uint32_t)wide_id : 0; /* which is no packet's, as the wide one was */

	*message = (struct message){
		.netlink = {.nlmsg_len = offsetof(struct message, more),
			    .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
			    .nlmsg_flags = NLM_F_REQUEST,
			    .nlmsg_seq = id},
		.netfilter = {.version = NFNETLINK_V0, .res_id = htons(handle->queue)},
		.verdict_attribute = {.nla_len = NLA_HDRLEN + sizeof message->verdict, .nla_type = NFQA_VERDICT_HDR},
		.verdict = {.verdict = htonl(verdict), .id = htonl(id)},
	};
}

/* Appends an attribute's beginning, and its value if that is given; `length` counts anyway. */
static void put(struct message *message, uint16_t type, const void *value, size_t length)
{
	uint8_t *at = (uint8_t *)message + message->netlink.nlmsg_len;
	struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + length), .nla_type = type};

	memcpy(at, &attribute, sizeof attribute);
	if (value)
		memcpy(at + NLA_HDRLEN, value, length);
	message->netlink.nlmsg_len += (uint32_t)(NLA_HDRLEN + length);
}

/* 0 or -errno: it was not sent. */
static int send_message(const struct ipq_full_handle *handle, struct message *message, const void *payload, size_t payload_length)
{
	struct iovec iov[2] = {
		{.iov_base = message, .iov_len = message->netlink.nlmsg_len - payload_length},
		{.iov_base = (void *)(uintptr_t)payload, .iov_len = payload_length},
	};
	struct msghdr header = {.msg_iov = iov, .msg_iovlen = 2};

	if (!payload_length) /* one piece is sent for less */
		return send(handle->public.fd, message, message->netlink.nlmsg_len, 0) < 0 ? -errno : 0;
	return sendmsg(handle->public.fd, &header, 0) < 0 ? -errno : 0;
}

/* The same with the payload's checksums made. */
static int send_completed(const struct ipq_full_handle *handle, struct message *message, const void *payload, size_t payload_length)
{
	struct ipq_completed completed;
	struct iovec iov[1 + sizeof completed.pieces / sizeof *completed.pieces] = {
		{.iov_base = message, .iov_len = message->netlink.nlmsg_len - payload_length},
	};
	struct msghdr header = {.msg_iov = iov};

	ipq_complete(&completed, handle->family, payload, (uint32_t)payload_length);
	memcpy(iov + 1, completed.pieces, completed.count * sizeof *iov);
	header.msg_iovlen = 1 + completed.count;
	return sendmsg(handle->public.fd, &header, 0) < 0 ? -errno : 0;
}

/* Back to the same queue, as there was only one. */
static uint32_t netfilter_verdict(const struct ipq_full_handle *handle, unsigned int verdict)
{
	return verdict == NF_QUEUE ? NF_QUEUE | (uint32_t)handle->queue << NF_VERDICT_QBITS : verdict;
}

int ipq_send_verdict(const struct ipq_full_handle *handle, uint32_t id, uint32_t verdict)
{
	struct message message;

	begin(&message, handle, id, verdict);
	return send_message(handle, &message, NULL, 0);
}

/* What the call returned then: the bytes of the old message. */
static int finish(int result, size_t payload_length)
{
	if (!result)
		return (int)(NLMSG_LENGTH(sizeof(ipq_verdict_msg_t)) + payload_length);
	ipq_set_error(IPQ_ERR_SEND);
	errno = -result;
	return -1;
}

PUBLIC int ipq_set_verdict(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict, size_t data_len, unsigned char *buf)
{
	const struct ipq_full_handle *handle = ipq_full(h);
	size_t least = handle->family == AF_INET6 ? IPV6_MIN : IPV4_MIN;
	size_t length = data_len && buf ? data_len : 0;
	struct message message;

	/* longer than the kernel takes: it could not grow the packet, and dropped it */
	begin(&message, handle, id, length > PAYLOAD_MAX ? NF_DROP : netfilter_verdict(handle, verdict));
	if (length < least || length > PAYLOAD_MAX)
		return finish(send_message(handle, &message, NULL, 0), length);
	put(&message, NFQA_PAYLOAD, NULL, length);
	if (atomic_load_explicit(&handle->completes, memory_order_relaxed))
		return finish(send_completed(handle, &message, buf, length), length);
	return finish(send_message(handle, &message, buf, length), length);
}

PUBLIC int ipq_set_vwmark(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict, unsigned long mark)
{
	const struct ipq_full_handle *handle = ipq_full(h);
	uint32_t value = htonl((uint32_t)mark);
	struct message message;

	begin(&message, handle, id, netfilter_verdict(handle, verdict));
	put(&message, NFQA_MARK, &value, sizeof value);
	return finish(send_message(handle, &message, NULL, 0), 0);
}
