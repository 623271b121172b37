/* SPDX-License-Identifier: MIT */
/*
 * One message for each call, and one datagram off the socket for each message: so select() on the descriptor tells the
 * truth. Only what is not for the program (a packet of another family) makes it take the next one.
 */
#include "ipq.h"

#include <linux/netfilter.h>
#include <poll.h>
#include <time.h>

static ssize_t fail(enum ipq_error error, ssize_t result)
{
	ipq_set_error(error);
	return result;
}

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

/* 1: there is something. 0: nothing in time, or a signal came. -1: failed. */
static int wait_until(const struct ipq_handle *h, int64_t deadline_us)
{
	struct pollfd descriptor = {.fd = h->fd, .events = POLLIN};
	int64_t left = deadline_us - now_us();
	struct timespec timeout = {0};
	int ready;

	if (left > 0)
		timeout = (struct timespec){.tv_sec = left / 1000000, .tv_nsec = left % 1000000 * 1000};
	ready = ppoll(&descriptor, 1, &timeout, NULL);
	if (ready < 0) {
		if (errno == EINTR)
			return 0;
		ipq_set_error(IPQ_ERR_RECV);
		return -1;
	}
	if (!ready)
		ipq_set_error(IPQ_ERR_TIMEOUT);
	else if (descriptor.revents & POLLNVAL) {
		ipq_set_error(IPQ_ERR_RECV);
		errno = EBADF;
		return -1;
	}
	return ready;
}

/*
 * The whole datagram's length; its beginning is in `incoming`, the rest in the buffer as far as it fits. 0: another thread
 * took it, and MSG_DONTWAIT is among the flags.
 */
static ssize_t receive(const struct ipq_handle *h, struct ipq_incoming *incoming, unsigned char *buf, size_t len, int flags)
{
	size_t room = len > IPQ_REST_OFFSET ? len - IPQ_REST_OFFSET : 0;
	struct iovec iov[2] = {
		{.iov_base = incoming->beginning, .iov_len = sizeof incoming->beginning},
		{.iov_base = room ? buf + IPQ_REST_OFFSET : buf, .iov_len = room},
	};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t received = recvmsg(h->fd, &message, MSG_TRUNC | flags);

	if (received < 0 && errno == EAGAIN && flags)
		return 0;
	if (received < 0)
		return fail(IPQ_ERR_RECV, received);
	if (!received)
		return fail(IPQ_ERR_NLEOF, -1);
	return received;
}

static void count(struct ipq_full_handle *handle, uint32_t id)
{
	uint32_t last = atomic_load_explicit(&handle->id_last, memory_order_relaxed);

	atomic_fetch_add_explicit(&handle->received, 1, memory_order_relaxed);
	/* several threads may read */
	while ((int32_t)(id - last) > 0 &&
	       !atomic_compare_exchange_weak_explicit(&handle->id_last, &last, id, memory_order_relaxed, memory_order_relaxed))
		;
}

/* It cannot be given to the program whole, and nobody else will decide on it. */
static void settle_cut(struct ipq_full_handle *handle, uint32_t id)
{
	int verdict = atomic_load_explicit(&handle->truncated, memory_order_relaxed);

	atomic_fetch_add_explicit(&handle->cut, 1, memory_order_relaxed);
	if (verdict >= 0)
		ipq_send_verdict(handle, id, (uint32_t)verdict);
}

PUBLIC ssize_t ipq_read(const struct ipq_handle *h, unsigned char *buf, size_t len, int timeout)
{
	struct ipq_full_handle *handle = ipq_full(h);
	int64_t deadline_us = timeout > 0 ? now_us() + timeout : 0;
	struct ipq_incoming incoming;
	ssize_t received;
	size_t length;
	int ready;

	if (len < sizeof(struct nlmsgerr))
		return fail(IPQ_ERR_RECVBUF, -1);
	for (;;) {
		if (timeout && (ready = wait_until(h, deadline_us)) <= 0)
			return ready;
		received = receive(h, &incoming, buf, len, timeout ? MSG_DONTWAIT : 0);
		if (received < 0)
			return received;
		if (!received)
			continue;
		switch (ipq_translate(handle, &incoming, (size_t)received, buf, len, &length)) {
		case IPQ_PACKET:
			count(handle, incoming.packet.id);
			atomic_fetch_add_explicit(&handle->read, 1, memory_order_relaxed);
			return (ssize_t)length;
		case IPQ_PACKET_CUT:
			count(handle, incoming.packet.id);
			settle_cut(handle, incoming.packet.id);
			return fail(IPQ_ERR_RTRUNC, -1);
		case IPQ_PACKET_OTHER:
			count(handle, incoming.packet.id);
			atomic_fetch_add_explicit(&handle->other_family, 1, memory_order_relaxed);
			ipq_send_verdict(handle, incoming.packet.id, NF_DROP);
			break;
		case IPQ_ERROR:
			return (ssize_t)length;
		case IPQ_ERROR_CUT:
			return fail(IPQ_ERR_RTRUNC, -1);
		case IPQ_NOTHING:
			break;
		}
	}
}

/* A program's buffer is an array of bytes, which may lie anywhere. */

PUBLIC int ipq_message_type(const unsigned char *buf)
{
	struct nlmsghdr netlink;

	memcpy(&netlink, buf, sizeof netlink);
	return netlink.nlmsg_type;
}

PUBLIC ipq_packet_msg_t *ipq_get_packet(const unsigned char *buf)
{
	return (ipq_packet_msg_t *)NLMSG_DATA(buf);
}

PUBLIC int ipq_get_msgerr(const unsigned char *buf)
{
	int error;

	memcpy(&error, buf + NLMSG_HDRLEN + offsetof(struct nlmsgerr, error), sizeof error);
	return -error;
}
