/* SPDX-License-Identifier: MIT */
#include "ipq.h"

#include <linux/netfilter.h>
#include <stdarg.h>

static int fail(enum ipq_error error, int code)
{
	ipq_set_error(error);
	errno = code;
	return -1;
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static int get_stats(struct ipq_full_handle *handle, struct ipq_stats *stats)
{
	struct vd_nfq_status status = {0};
	bool has_status = !vd_nfq_status_of(handle->nfq.status_descriptor, handle->queue, &status) &&
			  status.portid == handle->nfq.portid;

	if (!stats)
		return fail(IPQ_ERR_SUPP, EINVAL);
	*stats = (struct ipq_stats){
		.read = read_counter(&handle->read),
		.truncated = read_counter(&handle->cut),
		.other_family = read_counter(&handle->other_family),
		.queue = handle->queue,
	};
	if (has_status) {
		stats->lost_buffer = status.user_dropped;
		stats->lost_queue = status.queue_dropped;
		stats->waiting = status.waiting;
	} else { /* ids count what was handed up; some of it may lie on the socket */
		uint64_t given = atomic_load_explicit(&handle->id_last, memory_order_relaxed);
		uint64_t received = read_counter(&handle->received);

		stats->lost_buffer = given > received ? given - received : 0;
	}
	return 1;
}

/* What was changed takes effect now, or with the first mode. Unlocks the settings. */
static int apply(struct ipq_full_handle *handle)
{
	int result = handle->has_mode ? ipq_configure(handle) : 0;

	pthread_mutex_unlock(&handle->settings);
	return result ? fail(IPQ_ERR_SEND, -result) : 1;
}

static int set_maxlen(struct ipq_full_handle *handle, unsigned int maxlen)
{
	if (!maxlen)
		return fail(IPQ_ERR_SUPP, EINVAL);
	pthread_mutex_lock(&handle->settings);
	handle->maxlen = maxlen;
	return apply(handle);
}

static int set_gso(struct ipq_full_handle *handle, bool is_gso)
{
	pthread_mutex_lock(&handle->settings);
	handle->is_gso = is_gso;
	return apply(handle);
}

static int set_buffer(struct ipq_full_handle *handle, unsigned int bytes)
{
	size_t granted;
	int result = vd_nfq_set_receive_buffer(&handle->nfq, bytes, &granted);

	return result ? fail(IPQ_ERR_SUPP, -result) : 1;
}

static int set_truncated(struct ipq_full_handle *handle, int verdict)
{
	if (verdict != NF_DROP && verdict != NF_ACCEPT && verdict != -1)
		return fail(IPQ_ERR_SUPP, EINVAL);
	atomic_store_explicit(&handle->truncated, verdict, memory_order_relaxed);
	return 1;
}

static int set_checksums(struct ipq_full_handle *handle, bool completes)
{
	atomic_store_explicit(&handle->completes, completes, memory_order_relaxed);
	return 1;
}

PUBLIC int ipq_ctl(const struct ipq_handle *h, int request, ...)
{
	struct ipq_full_handle *handle = ipq_full(h);
	va_list arguments;
	int result = 1;

	va_start(arguments, request);
	switch (request) {
	case IPQ_CTL_GET_STATS:
		result = get_stats(handle, va_arg(arguments, struct ipq_stats *));
		break;
	case IPQ_CTL_SET_MAXLEN:
		result = set_maxlen(handle, va_arg(arguments, unsigned int));
		break;
	case IPQ_CTL_SET_RCVBUF:
		result = set_buffer(handle, va_arg(arguments, unsigned int));
		break;
	case IPQ_CTL_SET_GSO:
		result = set_gso(handle, va_arg(arguments, int) != 0);
		break;
	case IPQ_CTL_SET_TRUNCATED:
		result = set_truncated(handle, va_arg(arguments, int));
		break;
	case IPQ_CTL_SET_CHECKSUMS:
		result = set_checksums(handle, va_arg(arguments, int) != 0);
		break;
	default: /* the original knew none, and said so of all */
		break;
	}
	va_end(arguments);
	return result;
}
