/* SPDX-License-Identifier: MIT */
#include "ipq.h"

#include <linux/netfilter.h>

/* The queue of a family: number 0 unless the environment says so. -1: what it says is no queue. */
static int queue_of(uint32_t protocol)
{
	const char *text = getenv(protocol == PF_INET ? "LIBIPQ_QUEUE" : "LIBIPQ_QUEUE6");
	unsigned long number;
	char *end;

	if (!text || !*text)
		return 0;
	number = strtoul(text, &end, 10);
	return *end || *text < '0' || *text > '9' || number > UINT16_MAX ? -1 : (int)number;
}

/* Full-size packets as many as may wait; what a program asks for itself comes later, and counts. */
static void size_buffer(struct vd_nfq *nfq)
{
	size_t granted;

	vd_nfq_set_receive_buffer(nfq, vd_nfq_receive_buffer(IPQ_MAXLEN_DEFAULT, 1500), &granted);
}

static void fill_addresses(struct ipq_handle *handle, const struct vd_nfq *nfq)
{
	handle->local = (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = nfq->portid};
	handle->peer = (struct sockaddr_nl){.nl_family = AF_NETLINK};
}

PUBLIC struct ipq_handle *(ipq_create_handle)(uint32_t flags, uint32_t protocol)
{
	struct ipq_full_handle *handle;
	int queue, result;

	(void)flags;
	if (protocol != PF_INET && protocol != PF_INET6) {
		ipq_set_error(IPQ_ERR_PROTOCOL);
		return NULL;
	}
	queue = queue_of(protocol);
	if (queue < 0) {
		ipq_set_error(IPQ_ERR_HANDLE);
		errno = EINVAL;
		return NULL;
	}
	handle = calloc(1, sizeof *handle);
	if (!handle) {
		ipq_set_error(IPQ_ERR_HANDLE);
		return NULL;
	}
	result = vd_nfq_open(&handle->nfq, NULL);
	if (result) {
		free(handle);
		ipq_set_error(IPQ_ERR_SOCKET);
		errno = -result;
		return NULL;
	}
	handle->queue = handle->nfq.queue = (uint16_t)queue;
	handle->family = (uint8_t)protocol;
	handle->maxlen = IPQ_MAXLEN_DEFAULT;
	atomic_init(&handle->truncated, NF_DROP);
	atomic_init(&handle->completes, false);
	pthread_mutex_init(&handle->devices.lock, NULL);
	pthread_mutex_init(&handle->settings, NULL);
	handle->public.fd = handle->nfq.descriptor;
	fill_addresses(&handle->public, &handle->nfq);
	size_buffer(&handle->nfq);
	return &handle->public;
}

PUBLIC int ipq_destroy_handle(struct ipq_handle *h)
{
	struct ipq_full_handle *handle = ipq_full(h);

	if (!handle)
		return 0;
	vd_nfq_close(&handle->nfq);
	pthread_mutex_destroy(&handle->devices.lock);
	pthread_mutex_destroy(&handle->settings);
	free(handle);
	return 0;
}
