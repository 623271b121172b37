/* SPDX-License-Identifier: MIT */
#include "tools/config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One byte more than may be there, so that more is seen. Returns the length, or -errno. */
static ssize_t read_whole(int descriptor, char *text)
{
	size_t length = 0;

	while (length <= VD_CONFIG_FILE_MAX) {
		ssize_t bytes = read(descriptor, text + length, VD_CONFIG_FILE_MAX + 1 - length);

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0)
			return -errno;
		if (!bytes)
			break;
		length += (size_t)bytes;
	}
	return (ssize_t)length;
}

/* Not blocking in the open, where a pipe without a writer would; but in the reading, where one that is slow would fail. */
static int open_file(const char *name, struct stat *status)
{
	int descriptor = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int result = 0;

	if (descriptor < 0)
		return -errno;
	if (fstat(descriptor, status) || fcntl(descriptor, F_SETFL, 0) < 0)
		result = -errno;
	else if (S_ISDIR(status->st_mode))
		result = -EISDIR;
	if (result) {
		close(descriptor);
		return result;
	}
	return descriptor;
}

int vd_config_open(struct vd_config_open *open, const struct vd_config_open *around, const char *name,
		   const struct vd_origin *included_at, struct vd_error *error)
{
	const char *before = included_at ? ".include: " : "";
	unsigned depth = 0;
	struct stat status;
	ssize_t length;
	int descriptor = open_file(name, &status);

	*open = (struct vd_config_open){.around = around, .name = name};
	if (descriptor < 0)
		return vd_origin_error(error, included_at, descriptor, "%s%s cannot be read: %s", before, name, strerror(-descriptor));
	for (const struct vd_config_open *other = around; other; other = other->around, depth++)
		if (other->device == status.st_dev && other->inode == status.st_ino) {
			close(descriptor);
			return vd_origin_error(error, included_at, -EINVAL, ".include: %s is being read already: it would never end",
					       name);
		}
	if (depth > VD_CONFIG_DEPTH_MAX) {
		close(descriptor);
		return vd_origin_error(error, included_at, -EINVAL, ".include: files that include files are %u deep here, which is the "
				       "limit", VD_CONFIG_DEPTH_MAX);
	}
	open->device = status.st_dev;
	open->inode = status.st_ino;
	open->text = malloc(VD_CONFIG_FILE_MAX + 1);
	length = open->text ? read_whole(descriptor, open->text) : -ENOMEM;
	close(descriptor);
	if (length >= 0 && length <= VD_CONFIG_FILE_MAX) {
		open->length = (size_t)length;
		return 0;
	}
	vd_config_close(open);
	if (length < 0)
		return vd_origin_error(error, included_at, (int)length, "%s%s cannot be read: %s", before, name, strerror((int)-length));
	return vd_origin_error(error, included_at, -EINVAL, "%s%s is larger than %u bytes, which is the limit", before, name,
			       VD_CONFIG_FILE_MAX);
}

void vd_config_close(struct vd_config_open *open)
{
	free(open->text);
	open->text = NULL;
}

bool vd_config_beside(const char *name, const char *path, char *room, size_t size)
{
	const char *slash = strrchr(name, '/');
	int length = slash && *path != '/' ? (int)(slash + 1 - name) : 0;

	return (size_t)snprintf(room, size, "%.*s%s", length, name, path) < size;
}

/* A directory that is not there has no files either; one that may not be read may have some. */
static int is_unreadable(const char *path, int code)
{
	(void)path;
	return code != ENOENT && code != ENOTDIR;
}

int vd_config_each_included(const struct vd_config_open *open, const char *path, const struct vd_origin *origin,
			    int (*include)(void *argument, const char *path), void *argument, struct vd_error *error)
{
	char whole[PATH_MAX];
	glob_t found;
	int result;

	if (!vd_config_beside(open->name, path, whole, sizeof whole))
		return vd_origin_error(error, origin, -EINVAL, ".include: the name of the file is longer than %d bytes", PATH_MAX - 1);
	if (!strpbrk(path, "*?["))
		return include(argument, whole);
	result = glob(whole, 0, is_unreadable, &found);
	if (result && result != GLOB_NOMATCH) {
		globfree(&found);
		return vd_origin_error(error, origin, -EIO, ".include: %s: its directory cannot be read", whole);
	}
	result = 0;
	for (size_t i = 0; i < found.gl_pathc && !result; i++)
		result = include(argument, found.gl_pathv[i]);
	globfree(&found);
	return result;
}
