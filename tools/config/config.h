/* SPDX-License-Identifier: MIT */
/*
 * The configuration file, as settings: reads the file and nothing else, so it may be called at any time, also for a file that
 * is to replace another one.
 */
#ifndef VERDICT_TOOLS_CONFIG_H
#define VERDICT_TOOLS_CONFIG_H

#include "tools/config/tree.h"
#include "tools/config/settings.h"

/* The texts of the settings are the tree's. Some 100 KB: for the heap. */
struct vd_config {
	struct vd_settings settings;
	struct vd_config_tree tree;
};

/*
 * 0, or -errno with one sentence that says file, line, key and what was expected: -EINVAL, or why it could not be read. Call
 * fini() in any case.
 */
int vd_config_read(struct vd_config *config, const char *path, struct vd_error *error);

/* The same of text in memory. */
int vd_config_read_text(struct vd_config *config, const char *name, const char *text, size_t length, struct vd_error *error);

void vd_config_fini(struct vd_config *config);

#endif
