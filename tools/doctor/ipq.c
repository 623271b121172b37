/* SPDX-License-Identifier: MIT */
/*
 * The seven lines of /proc/net/ip_queue, for scripts and people that read them: of the queue that libipq uses for IPv4.
 *
 * Two of them are not what they were. The kernel knows sockets, not processes: the process is looked up. And it does not say
 * how long a queue may grow: the line has what kernel and libipq begin with, and standard error says so.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/doctor/doctor.h"

/* Of the kernel, and of libipq. */
#define MAXLEN_DEFAULT 1024u

int doctor_ipq_queue(const char *text)
{
	unsigned long number;
	char *end;

	if (!text || !*text)
		return 0;
	number = strtoul(text, &end, 10);
	return *end || *text < '0' || *text > '9' || number > UINT16_MAX ? -EINVAL : (int)number;
}

/* A process that holds the socket; of several, the one that the portid is named after, which opened it. */
static uint32_t find_peer(uint32_t portid, bool *is_known)
{
	struct vd_nfq_owner owners[DOCTOR_OWNERS_MAX];
	int count = vd_nfq_owner_find(portid, owners, DOCTOR_OWNERS_MAX);

	*is_known = count > 0;
	if (!*is_known)
		return portid;
	for (int i = 0; i < count && i < DOCTOR_OWNERS_MAX; i++)
		if ((uint32_t)owners[i].pid == portid)
			return portid;
	return (uint32_t)owners[0].pid;
}

int doctor_ipq_read(struct doctor_ipq *seen, uint16_t queue)
{
	int descriptor = vd_nfq_status_open(), result;

	*seen = (struct doctor_ipq){.status = {.queue = queue}, .is_peer_known = true, .maxlen = MAXLEN_DEFAULT};
	if (descriptor < 0)
		return descriptor;
	result = vd_nfq_status_of(descriptor, queue, &seen->status);
	close(descriptor);
	if (result == -ENOENT) { /* nobody reads it: all is 0, as it was */
		seen->status = (struct vd_nfq_status){.queue = queue};
		return 0;
	}
	if (result)
		return result;
	seen->peer = find_peer(seen->status.portid, &seen->is_peer_known);
	if (seen->status.waiting > seen->maxlen)
		seen->maxlen = seen->status.waiting;
	return 0;
}

void doctor_ipq_print(const struct doctor_ipq *seen)
{
	const struct vd_nfq_status *status = &seen->status;

	printf("Peer PID          : %" PRIu32 "\n"
	       "Copy mode         : %u\n"
	       "Copy range        : %" PRIu32 "\n"
	       "Queue length      : %" PRIu32 "\n"
	       "Queue max. length : %" PRIu32 "\n"
	       "Queue dropped     : %" PRIu32 "\n"
	       "Netlink dropped   : %" PRIu32 "\n",
	       seen->peer, status->copy_mode, status->copy_range, status->waiting, seen->maxlen, status->queue_dropped,
	       status->user_dropped);
	if (!seen->is_peer_known)
		fprintf(stderr, "verdict doctor: the process that reads queue %u is not visible from here: Peer PID is its socket's portid\n",
			status->queue);
	if (status->portid)
		fprintf(stderr, "verdict doctor: the kernel does not tell the length that queue %u may have: %" PRIu32 " is %s\n",
			status->queue, seen->maxlen, seen->maxlen > MAXLEN_DEFAULT ? "what waits now" : "what it begins with");
}
