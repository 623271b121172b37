/* SPDX-License-Identifier: MIT */
/*
 * Binding and configuring a queue.
 *
 * Everything goes in one message. The kernel looks at the flags before it binds, so a flag that it does not know is
 * refused with nothing done; and a queue that were bound first and configured later would drop packets in between (its
 * copy mode begins as "none").
 *
 * No acknowledgement is asked for: packets may arrive on the socket before it, and nobody is there to take them. The
 * kernel answers within the send, and answers only an error: so if the first thing on the socket is no error with
 * our sequence number, the request was carried out.
 */
#include "nfq.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

/* Sequence number of a request: ids of packets are used for verdicts, and begin at 1. */
#define REQUEST_SEQUENCE 0
/* Larger than any request here. */
#define REQUEST_SIZE 128

static struct nlmsghdr *begin_request(void *buffer, uint16_t queue)
{
	struct nlmsghdr *netlink = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *netfilter;

	netlink->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG;
	netlink->nlmsg_flags = NLM_F_REQUEST;
	netlink->nlmsg_seq = REQUEST_SEQUENCE;
	netfilter = mnl_nlmsg_put_extra_header(netlink, sizeof *netfilter);
	netfilter->nfgen_family = AF_UNSPEC;
	netfilter->version = NFNETLINK_V0;
	netfilter->res_id = htons(queue);
	return netlink;
}

static void put_command(struct nlmsghdr *netlink, uint8_t command)
{
	struct nfqnl_msg_config_cmd value = {.command = command};

	mnl_attr_put(netlink, NFQA_CFG_CMD, sizeof value, &value);
}

static void put_flags(struct nlmsghdr *netlink, uint32_t flags, uint32_t mask)
{
	mnl_attr_put_u32(netlink, NFQA_CFG_FLAGS, htonl(flags));
	mnl_attr_put_u32(netlink, NFQA_CFG_MASK, htonl(mask));
}

/* The errno of the refusal that lies first on the socket, taken off it; 0 when what lies there is something else. */
static int take_refusal(struct vd_nfq *nfq)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[sizeof(struct nlmsghdr) + sizeof(struct nlmsgerr)];
	const struct nlmsghdr *netlink = (const void *)buffer;
	const struct nlmsgerr *refusal = (const void *)(buffer + NLMSG_HDRLEN);
	ssize_t received = recv(nfq->descriptor, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);

	if (received < (ssize_t)(NLMSG_HDRLEN + sizeof refusal->error + sizeof refusal->msg))
		return 0;
	if (netlink->nlmsg_type != NLMSG_ERROR || refusal->msg.nlmsg_seq != REQUEST_SEQUENCE ||
	    refusal->msg.nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG))
		return 0;
	(void)!recv(nfq->descriptor, buffer, sizeof buffer, MSG_DONTWAIT);
	return -refusal->error;
}

static int request(struct vd_nfq *nfq, struct nlmsghdr *netlink)
{
	if (mnl_socket_sendto(nfq->socket, netlink, netlink->nlmsg_len) < 0)
		return -errno;
	return -take_refusal(nfq);
}

int vd_nfq_probe_flag(struct vd_nfq *nfq, uint32_t flag)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE];
	struct nlmsghdr *netlink = begin_request(buffer, 0);
	int result;

	/* without a queue of ours this must fail: a known flag because there is no queue, or it is another's */
	put_flags(netlink, flag, flag);
	result = request(nfq, netlink);
	if (result == -EPERM) { /* another's queue, or no privilege: the kernel says the same of both */
		netlink = begin_request(buffer, 0);
		put_flags(netlink, 1u << 31, 1u << 31);
		result = request(nfq, netlink) == -EPERM ? -EPERM : 0;
	}
	return result == -EOPNOTSUPP || result == -EPERM ? result : 0;
}

int vd_nfq_configure(struct vd_nfq *nfq, const struct vd_nfq_settings *settings, bool bind)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE];
	struct nlmsghdr *netlink = begin_request(buffer, settings->queue);
	struct nfqnl_msg_config_params parameters = {.copy_range = htonl(settings->copy_range),
						     .copy_mode = settings->copy_mode};

	if (bind)
		put_command(netlink, NFQNL_CFG_CMD_BIND);
	mnl_attr_put(netlink, NFQA_CFG_PARAMS, sizeof parameters, &parameters);
	mnl_attr_put_u32(netlink, NFQA_CFG_QUEUE_MAXLEN, htonl(settings->maxlen));
	if (settings->flags | settings->flags_off)
		put_flags(netlink, settings->flags, settings->flags | settings->flags_off);
	return mnl_socket_sendto(nfq->socket, netlink, netlink->nlmsg_len) < 0 ? -errno : 0;
}

static int bind_with(struct vd_nfq *nfq, const struct vd_nfq_settings *settings, uint32_t flags)
{
	struct vd_nfq_settings these = *settings;
	int result;

	these.flags = flags;
	these.copy_mode = NFQNL_COPY_PACKET;
	result = vd_nfq_configure(nfq, &these, true);
	return result ? result : -take_refusal(nfq);
}

int vd_nfq_bind(struct vd_nfq *nfq, const struct vd_nfq_settings *settings, uint32_t *flags_granted)
{
	uint32_t flags = settings->flags;
	int result = bind_with(nfq, settings, flags);

	if (result == -EOPNOTSUPP) {
		for (uint32_t flag = 1; flag && flag <= flags; flag <<= 1)
			if ((flags & flag) && vd_nfq_probe_flag(nfq, flag) == -EOPNOTSUPP)
				flags &= ~flag;
		result = bind_with(nfq, settings, flags);
	}
	if (result)
		return result;
	nfq->queue = settings->queue;
	nfq->bound = true;
	*flags_granted = flags;
	return 0;
}

int vd_nfq_unbind(struct vd_nfq *nfq)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE];
	struct nlmsghdr *netlink = begin_request(buffer, nfq->queue);

	if (!nfq->bound)
		return 0;
	nfq->bound = false;
	put_command(netlink, NFQNL_CFG_CMD_UNBIND);
	/* a refusal would lie behind the packets that are still to be received; there is no reason for one */
	return mnl_socket_sendto(nfq->socket, netlink, netlink->nlmsg_len) < 0 ? -errno : 0;
}
