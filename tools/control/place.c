/* SPDX-License-Identifier: MIT */
/*
 * A name belongs to who listens behind it. A file of a dead process refuses connections; it may be replaced, but two that see
 * this at once must not remove each other's. So whoever takes a name, or takes one away, holds a lock on its directory, for as
 * long as that lasts: between a connect() that fails and the listen() behind a new name nobody else acts. The lock leaves no
 * file, and is gone with its process.
 */
#include "tools/control/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "engine/error.h"

#define LOCK_TRIES 500
#define LOCK_TRY_NS 10000000

bool vd_control_address(const char *name, struct sockaddr_un *address)
{
	const char *format = strchr(name, '/') ? "%s" : VD_CONTROL_DIRECTORY "/%s.sock";
	int length;

	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	length = snprintf(address->sun_path, sizeof address->sun_path, format, name); /* NOLINT: one of two */
	return length > 0 && (size_t)length < sizeof address->sun_path;
}

const char *vd_control_owner(int connected, char room[VD_CONTROL_OWNER_SIZE])
{
	char path[32], name[32] = "";
	struct ucred owner = {0};
	socklen_t size = sizeof owner;
	FILE *file;

	if (getsockopt(connected, SOL_SOCKET, SO_PEERCRED, &owner, &size) || owner.pid <= 0)
		return strcpy(room, "a process that cannot be seen from here");
	snprintf(path, sizeof path, "/proc/%d/comm", (int)owner.pid);
	file = fopen(path, "re");
	if (file) {
		if (fgets(name, sizeof name, file))
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	snprintf(room, VD_CONTROL_OWNER_SIZE, *name ? "pid %d (%s)" : "pid %d", (int)owner.pid, name);
	return room;
}

/* ---- the lock ---- */

static int lock(int directory)
{
	for (unsigned try = 0; try < LOCK_TRIES; try++) {
		if (!flock(directory, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		nanosleep(&(struct timespec){.tv_nsec = LOCK_TRY_NS}, NULL);
	}
	return -EBUSY;
}

static int open_directory(const struct sockaddr_un *address, bool is_ours, struct vd_error *error)
{
	const char *slash = strrchr(address->sun_path, '/');
	char path[sizeof address->sun_path];
	int directory, result;

	snprintf(path, sizeof path, "%.*s", slash == address->sun_path ? 1 : (int)(slash - address->sun_path), address->sun_path);
	if (is_ours && !mkdir(path, 0755))
		(void)!chmod(path, 0755); /* whatever the umask is */
	else if (is_ours && errno != EEXIST)
		return vd_error_set(error, -errno, "the directory of control sockets, %s, cannot be made: %s: make it for this user, or "
				    "say --control with a path", path, strerror(errno));
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return vd_error_set(error, -errno, "the control socket %s cannot be made: its directory cannot be opened: %s",
				    address->sun_path, strerror(errno));
	result = lock(directory);
	if (!result)
		return directory;
	close(directory);
	return vd_error_set(error, result, "the control socket %s cannot be made: its directory cannot be locked: %s", address->sun_path,
			    result == -EBUSY ? "somebody else holds a lock on it" : strerror(-result));
}

/* ---- taking a name; the lock is held ---- */

static int in_use(int descriptor, const struct sockaddr_un *address, struct vd_error *error)
{
	char owner[VD_CONTROL_OWNER_SIZE];

	return vd_error_set(error, -EADDRINUSE, "the control socket %s belongs to %s, which runs: stop that program, or choose another "
			    "name with --control", address->sun_path, vd_control_owner(descriptor, owner));
}

/* Removes what a dead process has left there. 0: the name is free. */
static int clear(const struct sockaddr_un *address, struct vd_error *error)
{
	struct stat status;
	int probe, result;

	if (lstat(address->sun_path, &status))
		return errno == ENOENT ? 0 : vd_error_set(error, -errno, "the control socket %s cannot be made: %s", address->sun_path,
							   strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return vd_error_set(error, -EEXIST, "%s is there and is no socket: it is left as it is, choose another name with --control",
				    address->sun_path);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return vd_error_set(error, -errno, "out of descriptors");
	result = connect(probe, (const struct sockaddr *)address, sizeof *address) ? -errno : 0;
	if (result != -ECONNREFUSED) /* also one that has no time, or does not let us in, is there */
		result = in_use(probe, address, error);
	else if (unlink(address->sun_path))
		result = vd_error_set(error, -errno, "the control socket %s of a process that is gone cannot be removed: %s",
				      address->sun_path, strerror(errno));
	else
		result = 0;
	close(probe);
	return result;
}

static int listen_there(struct vd_control_place *place, mode_t mode, struct vd_error *error)
{
	const struct sockaddr *address = (const struct sockaddr *)&place->address;
	struct stat status;
	mode_t mask;
	int result;

	place->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (place->listener < 0)
		return vd_error_set(error, -errno, "out of descriptors");
	mask = umask(~mode & 0777); /* not a moment with another mode */
	result = bind(place->listener, address, sizeof place->address) ? -errno : 0;
	umask(mask);
	if (!result && (listen(place->listener, SOMAXCONN) || lstat(place->address.sun_path, &status))) {
		result = -errno;
		unlink(place->address.sun_path);
	}
	if (result) {
		close(place->listener);
		return vd_error_set(error, result, "the control socket %s cannot be made: %s", place->address.sun_path, strerror(-result));
	}
	place->device = status.st_dev;
	place->inode = status.st_ino;
	place->made = status.st_mtim;
	return 0;
}

int vd_control_place_take(struct vd_control_place *place, const char *name, mode_t mode, struct vd_error *error)
{
	bool is_ours = !strchr(name, '/');
	int result;

	if (!vd_control_address(name, &place->address))
		return vd_error_set(error, -EINVAL, "the control socket's path is longer than unix(7) takes: %.200s", name);
	place->directory = open_directory(&place->address, is_ours, error);
	if (place->directory < 0)
		return place->directory;
	result = clear(&place->address, error);
	if (!result)
		result = listen_there(place, mode, error);
	if (result)
		close(place->directory);
	else
		flock(place->directory, LOCK_UN);
	return result;
}

/* ---- and giving it back ---- */

void vd_control_place_remove(const struct vd_control_place *place)
{
	const char *name = strrchr(place->address.sun_path, '/') + 1;
	struct stat status;

	if (lock(place->directory))
		return; /* who comes next finds that nobody listens */
	if (!fstatat(place->directory, name, &status, AT_SYMLINK_NOFOLLOW) && status.st_dev == place->device &&
	    status.st_ino == place->inode && status.st_mtim.tv_sec == place->made.tv_sec &&
	    status.st_mtim.tv_nsec == place->made.tv_nsec)
		unlinkat(place->directory, name, 0);
	flock(place->directory, LOCK_UN);
}

void vd_control_place_give_back(struct vd_control_place *place)
{
	vd_control_place_remove(place);
	close(place->listener);
	close(place->directory);
}
