/* SPDX-License-Identifier: MIT */
/*
 * ip_queue named interfaces; nfnetlink_queue numbers them. The kernel is asked through the handle's own socket, so that
 * it answers for the namespace that the packets are in.
 */
#include "ipq.h"

#include <sys/ioctl.h>
#include <time.h>

/* A renamed interface shows its new name after this time. */
#define VALID_S 1

static struct ipq_device ask(int descriptor, unsigned index)
{
	struct ipq_device device = {.index = index};
	struct ifreq request = {.ifr_ifindex = (int)index};
	int saved = errno;

	if (!ioctl(descriptor, SIOCGIFNAME, &request)) {
		memcpy(device.name, request.ifr_name, sizeof device.name);
		if (!ioctl(descriptor, SIOCGIFHWADDR, &request))
			device.type = request.ifr_hwaddr.sa_family;
	}
	errno = saved;
	return device;
}

struct ipq_device ipq_find_device(struct ipq_devices *devices, int descriptor, unsigned index)
{
	struct ipq_device *entry = &devices->entries[index % IPQ_DEVICES], device;
	struct timespec now;

	if (!index)
		return (struct ipq_device){0};
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	pthread_mutex_lock(&devices->lock);
	if (entry->index != index || now.tv_sec - entry->seen_s > VALID_S) {
		*entry = ask(descriptor, index);
		entry->seen_s = now.tv_sec;
	}
	device = *entry;
	pthread_mutex_unlock(&devices->lock);
	return device;
}
