/* SPDX-License-Identifier: MIT */
/*
 * ip_queue had one reader, the first that set a mode; here that is who binds the queue. A refusal comes as a message that
 * ipq_read() hands on, as it did then: so it is left on the socket.
 */
#include "ipq.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

/* What the original returned: it counted a netlink header too many. */
#define SENT ((int)NLMSG_LENGTH(sizeof(struct nlmsghdr) + sizeof(ipq_peer_msg_t)))

static int fail(int error)
{
	ipq_set_error(IPQ_ERR_SEND);
	errno = error;
	return -1;
}

/* The kernel of old refused a mode that it did not know; this one is made to, by flags without a mask. */
static int provoke_refusal(struct ipq_full_handle *handle)
{
	struct {
		struct nlmsghdr netlink;
		struct nfgenmsg netfilter;
		struct nlattr attribute;
		uint32_t flags;
	} request = {
		.netlink = {.nlmsg_len = sizeof request,
			    .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
			    .nlmsg_flags = NLM_F_REQUEST},
		.attribute = {.nla_len = sizeof request.attribute + sizeof request.flags, .nla_type = NFQA_CFG_FLAGS},
	};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	return sendto(handle->public.fd, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0 ? -errno : 0;
}

/*
 * Whether the kernel refused what was just sent. What it says of its queues is sure. Where that cannot be read, the refusal itself
 * tells, if no other thread reads at this moment; only packets could hide it, and before the queue is bound there are none.
 */
static bool was_refused(const struct ipq_full_handle *handle, struct vd_nfq_charge before)
{
	struct vd_nfq_charge after;
	struct vd_nfq_status status;
	int result = vd_nfq_status_of(handle->nfq.status_descriptor, handle->queue, &status);

	if (!result || result == -ENOENT)
		return result || status.portid != handle->nfq.portid;
	after = vd_nfq_read_charge(&handle->nfq);
	return after.bytes != before.bytes || after.drops != before.drops;
}

/* Sends all settings; the first time, takes the queue. 0 or -errno. */
int ipq_configure(struct ipq_full_handle *handle)
{
	struct vd_nfq_settings settings = {
		.queue = handle->queue,
		.maxlen = handle->maxlen,
		.copy_range = handle->range < VD_NFQ_COPY_RANGE_MAX ? (uint32_t)handle->range : VD_NFQ_COPY_RANGE_MAX,
		.copy_mode = handle->mode,
		.flags = handle->is_gso ? NFQA_CFG_F_GSO : 0,
		.flags_off = handle->is_gso ? 0 : NFQA_CFG_F_GSO,
	};
	struct vd_nfq_charge before = vd_nfq_read_charge(&handle->nfq);
	int result;

	if (handle->nfq.bound)
		return vd_nfq_configure(&handle->nfq, &settings, false);
	result = vd_nfq_configure(&handle->nfq, &settings, true);
	if (result)
		return result;
	handle->nfq.bound = !was_refused(handle, before);
	return 0;
}

PUBLIC int ipq_set_mode(const struct ipq_handle *h, uint8_t mode, size_t len)
{
	struct ipq_full_handle *handle = ipq_full(h);
	int result;

	/* as when the module was missing: there is nobody to talk to */
	if (handle->nfq.status_descriptor == -ENOENT)
		return fail(ECONNREFUSED);
	if (mode > IPQ_COPY_MAX) {
		result = provoke_refusal(handle);
	} else {
		pthread_mutex_lock(&handle->settings);
		handle->mode = mode;
		handle->range = mode == IPQ_COPY_PACKET ? len : 0;
		handle->has_mode = true;
		result = ipq_configure(handle);
		pthread_mutex_unlock(&handle->settings);
	}
	return result ? fail(-result) : SENT;
}
