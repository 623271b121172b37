/* SPDX-License-Identifier: MIT */
/*
 * What the kernel can do, found by asking it; what this process may do; how large a receive buffer it gets.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <verdict/engine.h>

#include "tools/doctor/doctor.h"

const char *const doctor_flag_names[DOCTOR_FLAG_COUNT] = {"fail_open", "conntrack", "gso", "uid_gid", "secctx"};

const char *const doctor_flag_uses[DOCTOR_FLAG_COUNT] = {
	"packets pass when the queue is full (--fail-open)",
	"a packet's connection; also needs conntrack at work in the namespace (a ct or -m conntrack rule)",
	"packets of up to 64 KB, not cut into segments: the largest gain for TCP",
	"user and group of a local packet's sender",
	"security context of a local packet's sender",
};

static const uint32_t flags[DOCTOR_FLAG_COUNT] = {NFQA_CFG_F_FAIL_OPEN, NFQA_CFG_F_CONNTRACK, NFQA_CFG_F_GSO,
						  NFQA_CFG_F_UID_GID, NFQA_CFG_F_SECCTX};

static bool has_capability(unsigned capability)
{
	FILE *file = fopen("/proc/thread-self/status", "re");
	char line[256];
	uint64_t effective = 0;

	if (!file)
		return false;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "CapEff: %" SCNx64, &effective) == 1)
			break;
	fclose(file);
	return effective >> capability & 1;
}

/* The first user namespace maps every id to itself. */
static bool is_in_user_namespace(void)
{
	FILE *file = fopen("/proc/thread-self/uid_map", "re");
	uint32_t inside, outside, count;
	bool is_first;

	if (!file)
		return false;
	is_first = fscanf(file, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) == 3 && inside == 0 &&
		   outside == 0 && count == UINT32_MAX;
	fclose(file);
	return !is_first;
}

static enum doctor_access queues_access(void)
{
	int descriptor = vd_nfq_status_open();

	if (descriptor >= 0)
		close(descriptor);
	return descriptor >= 0 ? DOCTOR_READABLE : descriptor == -ENOENT ? DOCTOR_ABSENT : DOCTOR_FORBIDDEN;
}

/* Asks for more than there can be: what is granted is the limit (in /proc/sys older kernels show it in one namespace only). */
static size_t receive_limit(void)
{
	int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = INT_MAX / 2;
	socklen_t size = sizeof bytes;
	bool is_known;

	if (descriptor < 0)
		return 0;
	is_known = !setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) &&
		   !getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, &size);
	close(descriptor);
	return is_known ? (size_t)bytes / 2 : 0; /* the kernel doubles it */
}

static void read_buffers(struct doctor_kernel *kernel, struct vd_nfq *nfq)
{
	static const uint32_t copy_ranges[DOCTOR_BUFFER_COUNT] = {
		[DOCTOR_WHOLE] = 0,
		[DOCTOR_HEADERS] = DOCTOR_HEADERS_COPY_RANGE,
	};

	for (unsigned i = 0; i < DOCTOR_BUFFER_COUNT; i++) {
		kernel->wanted_bytes[i] = vd_nfq_receive_buffer(VD_ENGINE_MAXLEN_DEFAULT, copy_ranges[i]);
		if (vd_nfq_set_receive_buffer(nfq, kernel->wanted_bytes[i], &kernel->granted_bytes[i]))
			kernel->granted_bytes[i] = 0;
	}
	kernel->receive_limit_bytes = receive_limit();
}

void doctor_kernel_read(struct doctor_kernel *kernel)
{
	struct vd_nfq nfq;

	*kernel = (struct doctor_kernel){.has_cap_net_admin = has_capability(CAP_NET_ADMIN),
					 .in_user_namespace = is_in_user_namespace()};
	if (vd_nfq_open(&nfq, NULL)) { /* no netlink, or not for netfilter */
		for (unsigned i = 0; i < DOCTOR_FLAG_COUNT; i++)
			kernel->flags[i] = -EOPNOTSUPP;
		kernel->may_ask = kernel->has_cap_net_admin;
		kernel->queues = DOCTOR_ABSENT;
		kernel->receive_limit_bytes = receive_limit();
		return;
	}
	kernel->may_ask = true;
	for (unsigned i = 0; i < DOCTOR_FLAG_COUNT; i++) {
		kernel->flags[i] = vd_nfq_probe_flag(&nfq, flags[i]);
		if (kernel->flags[i] == -EPERM)
			kernel->may_ask = false;
	}
	/* after the questions: the first one makes the kernel load its module, where it can */
	kernel->queues = queues_access();
	for (unsigned i = 0; i < DOCTOR_FLAG_COUNT && kernel->queues == DOCTOR_ABSENT; i++)
		kernel->flags[i] = -EOPNOTSUPP; /* it refused them all for another reason: nobody was there to ask */
	read_buffers(kernel, &nfq);
	vd_nfq_close(&nfq);
}
