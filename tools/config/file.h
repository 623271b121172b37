/* SPDX-License-Identifier: MIT */
/* The files of a configuration: reading one whole, which is being read already, and what a pattern of .include stands for. */
#ifndef VERDICT_TOOLS_CONFIG_FILE_H
#define VERDICT_TOOLS_CONFIG_FILE_H

#include <sys/types.h>

#include "tools/config/tree.h"

/* A file that is being read, and those that led to it. */
struct vd_config_open {
	const struct vd_config_open *around;
	const char *name; /* the caller's */
	char *text;
	size_t length;
	dev_t device;
	ino_t inode;
};

/* -EINVAL: too large, a directory, or it is being read already (it would include itself). `included_at`: NULL for the first. */
int vd_config_open(struct vd_config_open *open, const struct vd_config_open *around, const char *name,
		   const struct vd_origin *included_at, struct vd_error *error);
void vd_config_close(struct vd_config_open *open);

/*
 * `path` in a directive of that file: relative to its directory. A pattern that nothing matches is no error, a name that is not
 * there is. Calls include() with each file, sorted by name, until it does not return 0; returns what it did.
 */
int vd_config_each_included(const struct vd_config_open *open, const char *path, const struct vd_origin *origin,
			    int (*include)(void *argument, const char *path), void *argument, struct vd_error *error);

/* `path`, as seen from the directory of the file `name`, in the caller's room; false: it is too long. */
bool vd_config_beside(const char *name, const char *path, char *room, size_t size);

#endif
