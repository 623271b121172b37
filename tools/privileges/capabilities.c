/* SPDX-License-Identifier: MIT */
/* Capabilities, which the kernel keeps by thread. libcap-ng does so too: what one thread prepares is no other's. */
#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/privileges/private.h"

bool vd_capability_is_effective(unsigned capability)
{
	return !capng_get_caps_process() && capng_have_capability(CAPNG_EFFECTIVE, capability);
}

int vd_capabilities_prepare(bool user_changes)
{
	/* it takes a capability to empty the bounding set; without that no_new_privs has to do, as it does */
	if (vd_capability_is_effective(CAP_SETPCAP)) {
		capng_clear(CAPNG_SELECT_BOUNDS);
		if (capng_apply(CAPNG_SELECT_BOUNDS))
			return -EPERM;
	}
	return user_changes && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) ? -errno : 0;
}

int vd_capabilities_keep(bool is_effective)
{
	capng_clear(CAPNG_SELECT_CAPS);
	capng_update(CAPNG_ADD, CAPNG_PERMITTED | (is_effective ? CAPNG_EFFECTIVE : 0), CAP_NET_ADMIN);
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

int vd_capabilities_drop(bool is_effective)
{
	int result = vd_capabilities_keep(is_effective); /* nothing is inheritable any more, so the ambient set is empty too */

	if (!result && (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
		result = -errno;
	return result;
}

/* ---- all threads ---- */

struct thread {
	char name[64];
	unsigned uids[4];
	uint64_t permitted;
};

/* False: it has ended. */
static bool read_thread(int tasks, const char *tid, struct thread *thread)
{
	char path[48], line[256];
	int descriptor;
	FILE *file;

	*thread = (struct thread){.name = "?"};
	snprintf(path, sizeof path, "%.20s/status", tid);
	descriptor = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return false;
	file = fdopen(descriptor, "r");
	if (!file) {
		close(descriptor);
		return false;
	}
	while (fgets(line, sizeof line, file)) {
		sscanf(line, "Name: %63[^\n]", thread->name);
		sscanf(line, "Uid: %u %u %u %u", &thread->uids[0], &thread->uids[1], &thread->uids[2], &thread->uids[3]);
		sscanf(line, "CapPrm: %" SCNx64, &thread->permitted);
	}
	fclose(file);
	return true;
}

static bool is_users(const struct vd_privileges *privileges, const struct thread *thread)
{
	for (unsigned i = 0; i < 4; i++)
		if (privileges->has_user && thread->uids[i] != privileges->uid)
			return false;
	return true;
}

int vd_capabilities_look(const struct vd_privileges *privileges, struct vd_error *error)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	struct thread thread;
	int result = 0;

	while (tasks && !result && (entry = readdir(tasks))) {
		if (*entry->d_name == '.' || !read_thread(dirfd(tasks), entry->d_name, &thread))
			continue;
		if (thread.permitted & ~(UINT64_C(1) << CAP_NET_ADMIN) || !is_users(privileges, &thread))
			result = vd_error_set(error, -EPERM, "thread %.20s (%.63s) still has privileges, since a function started it before "
					      "they were given up: change to another user than root (--user), or do without that function",
					      entry->d_name, thread.name);
	}
	if (tasks)
		closedir(tasks);
	return result;
}
