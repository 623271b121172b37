/* SPDX-License-Identifier: MIT */
/*
 * The netlink socket: opened in the queue's namespace, with a buffer sized for its queue.
 */
#include "nfq.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel's own number for the first one (PROC_USER_INIT_INO). */
#define FIRST_USER_NAMESPACE 0xeffffffdu

/* Messages with so much of a packet come from the kernel's cache for small ones. */
#define SMALL_COPY_MAX 128u

bool vd_nfq_is_first_user_namespace(void)
{
	struct stat status;

	return stat("/proc/self/ns/user", &status) || status.st_ino == FIRST_USER_NAMESPACE;
}

int vd_nfq_in_netns(const char *netns, int (*call)(void *argument), void *argument)
{
	char path[512];
	int here, there, result;

	if (!netns)
		return call(argument);
	if (snprintf(path, sizeof path, "%s%s", netns[0] == '/' ? "" : "/run/netns/", netns) >= (int)sizeof path)
		return -ENAMETOOLONG;
	there = open(path, O_RDONLY | O_CLOEXEC);
	if (there < 0)
		return -errno;
	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (here < 0) {
		result = -errno;
		close(there);
		return result;
	}
	if (setns(there, CLONE_NEWNET)) {
		result = -errno;
	} else {
		result = call(argument);
		if (setns(here, CLONE_NEWNET) && !result)
			result = -errno;
	}
	close(here);
	close(there);
	return result;
}

/* What a socket is like that receives packets. */
static int set_up(struct vd_nfq *nfq)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int on = 1;

	nfq->descriptor = mnl_socket_get_fd(nfq->socket);
	nfq->portid = mnl_socket_get_portid(nfq->socket);
	/* connected: what anybody else sends is refused, so no message's sender has to be looked at */
	if (connect(nfq->descriptor, (const struct sockaddr *)&kernel, sizeof kernel))
		return -errno;
	/* without it one overflow makes the kernel refuse every message until the buffer is empty */
	if (setsockopt(nfq->descriptor, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on))
		return -errno;
	nfq->status_descriptor = vd_nfq_status_open();
	return 0;
}

static int open_here(void *argument)
{
	struct vd_nfq *nfq = argument;

	nfq->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nfq->socket)
		return -errno;
	if (mnl_socket_bind(nfq->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return set_up(nfq);
}

int vd_nfq_open(struct vd_nfq *nfq, const char *netns)
{
	int result;

	*nfq = (struct vd_nfq){.descriptor = -1, .status_descriptor = -EBADF};
	result = vd_nfq_in_netns(netns, open_here, nfq);
	if (result)
		vd_nfq_close(nfq);
	return result;
}

static bool is_of_netfilter(int descriptor)
{
	struct sockaddr_nl address;
	socklen_t size = sizeof address;
	int protocol;
	socklen_t protocol_size = sizeof protocol;

	return !getsockname(descriptor, (struct sockaddr *)&address, &size) && address.nl_family == AF_NETLINK &&
	       !getsockopt(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &protocol_size) && protocol == NETLINK_NETFILTER;
}

static int adopt_here(void *argument)
{
	struct vd_nfq *nfq = argument;
	struct vd_nfq_status status;
	int result = set_up(nfq);

	if (result)
		return result;
	if (vd_nfq_status_of(nfq->status_descriptor, nfq->queue, &status) || status.portid != nfq->portid)
		return -ENOTCONN;
	nfq->bound = true;
	return 0;
}

int vd_nfq_adopt(struct vd_nfq *nfq, const char *netns, uint16_t queue, int descriptor)
{
	int result;

	*nfq = (struct vd_nfq){.descriptor = -1, .status_descriptor = -EBADF, .queue = queue};
	if (is_of_netfilter(descriptor))
		nfq->socket = mnl_socket_fdopen(descriptor);
	if (!nfq->socket) {
		close(descriptor);
		return -EBADF;
	}
	fcntl(descriptor, F_SETFD, FD_CLOEXEC);
	result = vd_nfq_in_netns(netns, adopt_here, nfq);
	if (result)
		vd_nfq_close(nfq);
	return result;
}

void vd_nfq_close(struct vd_nfq *nfq)
{
	if (nfq->socket)
		mnl_socket_close(nfq->socket);
	if (nfq->status_descriptor >= 0)
		close(nfq->status_descriptor);
	*nfq = (struct vd_nfq){.descriptor = -1, .status_descriptor = -EBADF};
}

/*
 * The kernel rounds a message up to the next power of two that also holds its attributes (up to 192 bytes) and its
 * struct skb_shared_info (320), and adds struct sk_buff (256). Small ones come from a cache of their own. A large one is
 * not copied but borrows the packet's pages, and is charged for those.
 */
size_t vd_nfq_truesize(uint32_t copied)
{
	size_t size = 1024;

	if (copied <= SMALL_COPY_MAX)
		return 832;
	if (copied > 8192)
		return 16640 + (copied - 8192u) * 9 / 8;
	while (size < copied + 192u + 320u)
		size *= 2;
	return size + 256;
}

/*
 * Whole packets: most are no longer than an Ethernet frame; large GSO ones share the same room. Short ones leave the small cache as
 * soon as their message has a time stamp too, and it has, once any socket of the machine asks for them (SO_TIMESTAMP).
 */
uint32_t vd_nfq_usual_copy(uint32_t copy_range)
{
	if (copy_range == 0 || copy_range > 1500)
		return 1500;
	return copy_range <= SMALL_COPY_MAX ? SMALL_COPY_MAX + 1 : copy_range;
}

size_t vd_nfq_receive_buffer(uint32_t maxlen, uint32_t copy_range)
{
	uint32_t usual = vd_nfq_usual_copy(copy_range);
	size_t bytes = (size_t)maxlen * vd_nfq_truesize(usual);
	size_t large = 64 * vd_nfq_truesize(VD_NFQ_COPY_RANGE_MAX);

	if (usual == 1500 && bytes < large)
		bytes = large;
	return bytes < VD_NFQ_RECEIVE_BUFFER_MAX ? bytes : VD_NFQ_RECEIVE_BUFFER_MAX;
}

int vd_nfq_set_receive_buffer(struct vd_nfq *nfq, size_t bytes, size_t *granted)
{
	int half = (int)(bytes / 2), got; /* the kernel doubles what it is given, for its own book-keeping */
	socklen_t size = sizeof got;

	if (setsockopt(nfq->descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof half) &&
	    setsockopt(nfq->descriptor, SOL_SOCKET, SO_RCVBUF, &half, sizeof half))
		return -errno;
	if (getsockopt(nfq->descriptor, SOL_SOCKET, SO_RCVBUF, &got, &size))
		return -errno;
	*granted = (size_t)got;
	return 0;
}

struct vd_nfq_charge vd_nfq_read_charge(const struct vd_nfq *nfq)
{
	uint32_t meminfo[SK_MEMINFO_VARS];
	socklen_t size = sizeof meminfo;

	if (getsockopt(nfq->descriptor, SOL_SOCKET, SO_MEMINFO, meminfo, &size) ||
	    size < (SK_MEMINFO_DROPS + 1) * sizeof *meminfo)
		return (struct vd_nfq_charge){0};
	return (struct vd_nfq_charge){.is_known = true, .bytes = meminfo[SK_MEMINFO_RMEM_ALLOC],
				      .drops = meminfo[SK_MEMINFO_DROPS]};
}

void vd_nfq_wake(const struct vd_nfq *nfq)
{
	/* PF_BIND has meant nothing since Linux 3.8: a request that only answers */
	struct {
		struct nlmsghdr netlink;
		struct nfgenmsg netfilter;
		struct nlattr attribute;
		struct nfqnl_msg_config_cmd command;
	} request = {
		.netlink = {.nlmsg_len = sizeof request,
			    .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.attribute = {.nla_len = sizeof request.attribute + sizeof request.command, .nla_type = NFQA_CFG_CMD},
		.command = {.command = NFQNL_CFG_CMD_PF_BIND},
	};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int saved = errno;

	/* a full buffer loses the answer, but then there is something to receive anyway */
	if (sendto(nfq->descriptor, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		errno = saved;
}
