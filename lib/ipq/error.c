/* SPDX-License-Identifier: MIT */
#include "ipq.h"

#include <stdio.h>

/* Programs that were linked with the original could see this table; its form is theirs. */
struct ipq_errmap_t {
	int errcode;
	char *message;
};

PUBLIC extern struct ipq_errmap_t ipq_errmap[];
PUBLIC struct ipq_errmap_t ipq_errmap[] = {
	{IPQ_ERR_NONE, "Unknown error"},
	{IPQ_ERR_IMPL, "Implementation error"},
	{IPQ_ERR_HANDLE, "Unable to create netlink handle"},
	{IPQ_ERR_SOCKET, "Unable to create netlink socket"},
	{IPQ_ERR_BIND, "Unable to bind netlink socket"},
	{IPQ_ERR_BUFFER, "Unable to allocate buffer"},
	{IPQ_ERR_RECV, "Failed to receive netlink message"},
	{IPQ_ERR_NLEOF, "Received EOF on netlink socket"},
	{IPQ_ERR_ADDRLEN, "Invalid peer address length"},
	{IPQ_ERR_STRUNC, "Sent message truncated"},
	{IPQ_ERR_RTRUNC, "Received message truncated"},
	{IPQ_ERR_NLRECV, "Received error from netlink"},
	{IPQ_ERR_SEND, "Failed to send netlink message"},
	{IPQ_ERR_SUPP, "Operation not supported"},
	{IPQ_ERR_RECVBUF, "Receive buffer size invalid"},
	{IPQ_ERR_TIMEOUT, "Timeout"},
	{IPQ_ERR_PROTOCOL, "Invalid protocol specified"},
};
_Static_assert(sizeof ipq_errmap / sizeof *ipq_errmap == IPQ_ERR_COUNT, "one sentence for each");

static __thread enum ipq_error last;

void ipq_set_error(enum ipq_error error)
{
	last = error;
}

PUBLIC char *ipq_errstr(void)
{
	return ipq_errmap[last].message;
}

PUBLIC void ipq_perror(const char *s)
{
	int saved = errno;

	fputs(s ? s : "ERROR", stderr);
	if (last != IPQ_ERR_NONE)
		fprintf(stderr, ": %s", ipq_errstr());
	if (saved)
		fprintf(stderr, ": %s", strerror(saved));
	fputc('\n', stderr);
	errno = saved;
}
