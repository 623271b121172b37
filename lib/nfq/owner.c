/* SPDX-License-Identifier: MIT */
/*
 * From a portid to the processes that hold its socket.
 *
 * /proc/net/netlink has a line for each netlink socket of the namespace, whatever its protocol; portids are unique within a
 * protocol only:
 *
 *	sk  protocol  portid  groups  rmem  wmem  dump  references  drops  inode
 */
#include "owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More holders than this are counted, not named. */
#define NAMED_MAX 8

static int inode_of_portid(uint32_t portid, uint64_t *inode)
{
	FILE *file = fopen("/proc/thread-self/net/netlink", "re");
	char line[256];
	int result = -ENOENT;

	if (!file)
		return -errno;
	while (result && fgets(line, sizeof line, file)) {
		unsigned protocol;
		uint32_t id;

		if (sscanf(line, "%*s %u %" SCNu32 " %*s %*s %*s %*s %*s %*s %" SCNu64, &protocol, &id, inode) == 3 &&
		    protocol == NETLINK_NETFILTER && id == portid && *inode != 0)
			result = 0;
	}
	fclose(file);
	return result;
}

/* Whether a descriptor of the process is the socket: `wanted` is what its link says. */
static bool holds(int proc, const char *pid, const char *wanted)
{
	char path[32], link[64];
	int descriptor;
	DIR *directory;
	struct dirent *entry;
	bool found = false;

	snprintf(path, sizeof path, "%.20s/fd", pid);
	descriptor = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return false; /* gone, or not ours to look at */
	directory = fdopendir(descriptor);
	if (!directory) {
		close(descriptor);
		return false;
	}
	while (!found && (entry = readdir(directory))) {
		ssize_t length = readlinkat(descriptor, entry->d_name, link, sizeof link - 1);

		if (length > 0) {
			link[length] = '\0';
			found = strcmp(link, wanted) == 0;
		}
	}
	closedir(directory);
	return found;
}

/* A process names itself as it likes: nothing of that may reach a terminal as more than a character. */
static void read_name(int proc, const char *pid, char *name, size_t size)
{
	char path[32];
	int descriptor;
	ssize_t length = 0;

	snprintf(path, sizeof path, "%.20s/comm", pid);
	descriptor = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (descriptor >= 0) {
		length = read(descriptor, name, size - 1);
		close(descriptor);
	}
	if (length > 0 && name[length - 1] == '\n')
		length--;
	name[length < 0 ? 0 : length] = '\0';
	if (!name[0])
		snprintf(name, size, "?"); /* it ended meanwhile */
	for (char *c = name; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

int vd_nfq_owner_find(uint32_t portid, struct vd_nfq_owner *owners, unsigned size)
{
	char wanted[64];
	uint64_t inode;
	DIR *directory;
	struct dirent *entry;
	int count = 0, result = inode_of_portid(portid, &inode);

	if (result)
		return result;
	directory = opendir("/proc");
	if (!directory)
		return -errno;
	snprintf(wanted, sizeof wanted, "socket:[%" PRIu64 "]", inode);
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !holds(dirfd(directory), entry->d_name, wanted))
			continue;
		if ((unsigned)count < size) {
			owners[count].pid = atoi(entry->d_name);
			read_name(dirfd(directory), entry->d_name, owners[count].name, sizeof owners[count].name);
		}
		count++;
	}
	closedir(directory);
	return count ? count : -ENOENT;
}

int vd_nfq_owner_describe(uint32_t portid, char *text, size_t size)
{
	struct vd_nfq_owner owners[NAMED_MAX];
	int count = vd_nfq_owner_find(portid, owners, NAMED_MAX);
	size_t used = 0;

	text[0] = '\0';
	if (count < 0)
		return count;
	for (int i = 0; i < count && i < NAMED_MAX && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s, pid %d", i ? "; " : "", owners[i].name, owners[i].pid);
	if (count > NAMED_MAX && used < size)
		snprintf(text + used, size - used, "; and %d more", count - NAMED_MAX);
	return 0;
}
