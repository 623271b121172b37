/* SPDX-License-Identifier: MIT */
/*
 * The network devices through which packets come to this namespace, and what it does with packets at large: forwarding,
 * connection tracking, and how many CPUs receive.
 *
 * /sys shows the devices of the namespace in which it was mounted, which need not be this one. So a sysfs of our own is
 * made, and stays without a place in the file system: nobody else sees it, and it is gone with its descriptor. That needs
 * CAP_SYS_ADMIN; without it, queues and RPS are not known.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/mount.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/doctor/doctor.h"

#define UDP_GRO_FORWARDING "rx-udp-gro-forwarding"
#define FEATURES_MAX 1024u

/* A CPU that took fewer than one in so many packets is none that receives. */
#define RECEIVES_ONE_IN 10u

/* ---- sysfs ---- */

static int open_sysfs(void)
{
	int context = (int)syscall(SYS_fsopen, "sysfs", FSOPEN_CLOEXEC), mount = -1;

	if (context < 0)
		return -1;
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	close(context);
	return mount;
}

/* The text of a small file, without what does not fit; false if it cannot be read. */
static bool read_text(int directory, const char *path, char *text, size_t size)
{
	int descriptor = openat(directory, path, O_RDONLY | O_CLOEXEC);
	ssize_t got = descriptor < 0 ? -1 : read(descriptor, text, size - 1);

	if (descriptor >= 0)
		close(descriptor);
	if (got < 0)
		return false;
	text[got] = '\0';
	return true;
}

static bool read_number(const char *path, uint64_t *number)
{
	char text[32];

	return read_text(AT_FDCWD, path, text, sizeof text) && sscanf(text, "%" SCNu64, number) == 1;
}

/* A mask of CPUs, as in "00000000,00000003", that is not empty. */
static bool is_any_set(const char *mask)
{
	return mask[strspn(mask, "0,\n")] != '\0';
}

/* Counts the receive queues, and looks whether any of them has RPS. */
static void read_queues(int sysfs, struct doctor_device *device)
{
	char path[64 + IF_NAMESIZE], text[4096];
	int descriptor;
	struct dirent *entry;
	DIR *queues;

	snprintf(path, sizeof path, "class/net/%s/queues", device->name);
	descriptor = openat(sysfs, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	queues = descriptor < 0 ? NULL : fdopendir(descriptor);
	if (!queues) {
		if (descriptor >= 0)
			close(descriptor);
		return;
	}
	while ((entry = readdir(queues))) {
		char file[sizeof entry->d_name + sizeof "/rps_cpus"];

		if (strncmp(entry->d_name, "rx-", 3))
			continue;
		device->rx_queues++;
		snprintf(file, sizeof file, "%s/rps_cpus", entry->d_name);
		if (read_text(dirfd(queues), file, text, sizeof text)) {
			device->knows_rps = true;
			device->has_rps |= is_any_set(text);
		}
	}
	closedir(queues);
}

static void read_sysfs(int sysfs, struct doctor_device *device)
{
	char path[64 + IF_NAMESIZE], text[32];

	read_queues(sysfs, device);
	snprintf(path, sizeof path, "class/net/%s/statistics/rx_packets", device->name);
	if (read_text(sysfs, path, text, sizeof text))
		sscanf(text, "%" SCNu64, &device->rx_packets);
}

/* ---- ethtool ---- */

static int ask(int descriptor, const char *name, void *question)
{
	struct ifreq request = {.ifr_data = question};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	return ioctl(descriptor, SIOCETHTOOL, &request) ? -errno : 0;
}

/* How many features this kernel knows; 0 if it does not say. */
static uint32_t count_features(int descriptor, const char *name)
{
	union {
		struct ethtool_sset_info question;
		uint8_t space[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)];
	} sets = {.question = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = UINT64_C(1) << ETH_SS_FEATURES}};
	uint32_t count = 0;

	if (!ask(descriptor, name, &sets) && sets.question.sset_mask)
		memcpy(&count, sets.space + sizeof sets.question, sizeof count);
	return count > FEATURES_MAX ? FEATURES_MAX : count;
}

/* The place of a feature among `count` of them; `count` if it is none of them. */
static uint32_t find_feature(int descriptor, const char *name, uint32_t count, const char *feature)
{
	struct ethtool_gstrings *strings = calloc(1, sizeof *strings + (size_t)count * ETH_GSTRING_LEN);
	uint32_t place = count;

	if (!strings)
		return count;
	strings->cmd = ETHTOOL_GSTRINGS;
	strings->string_set = ETH_SS_FEATURES;
	strings->len = count;
	if (!ask(descriptor, name, strings))
		for (uint32_t i = 0; i < count && place == count; i++)
			if (!strncmp((const char *)strings->data + (size_t)i * ETH_GSTRING_LEN, feature, ETH_GSTRING_LEN))
				place = i;
	free(strings);
	return place;
}

static enum doctor_switch read_feature(int descriptor, const char *name, const char *feature)
{
	uint32_t count = count_features(descriptor, name), place = find_feature(descriptor, name, count, feature);
	uint32_t blocks = (count + 31) / 32, bit = UINT32_C(1) << place % 32;
	enum doctor_switch state = DOCTOR_UNKNOWN;
	struct ethtool_gfeatures *features;

	if (place == count)
		return DOCTOR_UNKNOWN;
	features = calloc(1, sizeof *features + blocks * sizeof features->features[0]);
	if (!features)
		return DOCTOR_UNKNOWN;
	features->cmd = ETHTOOL_GFEATURES;
	features->size = blocks;
	if (!ask(descriptor, name, features)) {
		const struct ethtool_get_features_block *block = &features->features[place / 32];

		if (block->active & bit)
			state = DOCTOR_ON;
		else if (block->available & bit && !(block->never_changed & bit))
			state = DOCTOR_OFF; /* and could be switched on */
	}
	free(features);
	return state;
}

/* ---- devices ---- */

/* Whether packets come through it, from elsewhere. */
static bool is_in_use(int descriptor, const char *name)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	return !ioctl(descriptor, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP && !(request.ifr_flags & IFF_LOOPBACK);
}

static int read_devices(struct doctor_devices *devices, const struct if_nameindex *names)
{
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), sysfs = open_sysfs(), result = 0;

	devices->device = calloc(DOCTOR_DEVICES_MAX, sizeof *devices->device);
	if (!devices->device)
		result = -ENOMEM;
	for (; !result && names->if_index; names++) {
		struct doctor_device *device = &devices->device[devices->count];

		if (!is_in_use(descriptor, names->if_name))
			continue;
		if (devices->count == DOCTOR_DEVICES_MAX) {
			devices->left_out++;
			continue;
		}
		snprintf(device->name, sizeof device->name, "%s", names->if_name);
		device->udp_gro_forwarding = read_feature(descriptor, device->name, UDP_GRO_FORWARDING);
		if (sysfs >= 0)
			read_sysfs(sysfs, device);
		devices->count++;
	}
	if (sysfs >= 0)
		close(sysfs);
	if (descriptor >= 0)
		close(descriptor);
	return result;
}

/* ---- the namespace, and the machine ---- */

/* The first number of each line is how many packets the CPU has received since the machine was started. */
static unsigned count_receiving_cpus(void)
{
	FILE *file = fopen("/proc/thread-self/net/softnet_stat", "re");
	uint32_t received[1024];
	unsigned count = 0, receiving = 0;
	uint64_t sum = 0;
	char line[512];

	if (!file)
		return 0;
	while (count < sizeof received / sizeof *received && fgets(line, sizeof line, file))
		if (sscanf(line, "%" SCNx32, &received[count]) == 1)
			sum += received[count++];
	fclose(file);
	for (unsigned i = 0; i < count; i++)
		receiving += received[i] && received[i] >= sum / RECEIVES_ONE_IN;
	return receiving;
}

int doctor_devices_read(struct doctor_devices *devices)
{
	struct if_nameindex *names = if_nameindex();
	uint64_t ipv4 = 0, ipv6 = 0, tracked = 0;
	int result = 0;

	*devices = (struct doctor_devices){.receiving_cpus = count_receiving_cpus()};
	(void)read_number("/proc/sys/net/ipv4/ip_forward", &ipv4);
	(void)read_number("/proc/sys/net/ipv6/conf/all/forwarding", &ipv6);
	(void)read_number("/proc/sys/net/netfilter/nf_conntrack_count", &tracked);
	devices->is_forwarding = ipv4 || ipv6;
	devices->tracked_connections = tracked;
	if (names)
		result = read_devices(devices, names);
	if_freenameindex(names);
	return result;
}

void doctor_devices_fini(struct doctor_devices *devices)
{
	free(devices->device);
	*devices = (struct doctor_devices){0};
}
