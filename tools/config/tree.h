/* SPDX-License-Identifier: MIT */
/*
 * The text of a configuration file as a tree, with the line of everything in it. What the keys mean is config.h's business.
 *
 *	key value;				TEXT
 *	key [ value, value ];			LIST of TEXT
 *	key { ... }    key label { ... }	SECTION, with its label
 *	.include "other.conf";			its text, in place; *, ? and [] stand for any number of files
 *
 * verdict.conf(5) describes the language. Nothing in it recurses without a limit, and no file is larger than
 * VD_CONFIG_FILE_MAX.
 */
#ifndef VERDICT_TOOLS_CONFIG_TREE_H
#define VERDICT_TOOLS_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/config/origin.h"

#define VD_CONFIG_FILE_MAX (1u << 20) /* bytes of one file */
#define VD_CONFIG_FILES_MAX 256	      /* included files, each time that they are */
#define VD_CONFIG_DEPTH_MAX 8	      /* sections in sections; and files that include files */
#define VD_CONFIG_TEXT_MAX 4096	      /* bytes of a label or a value */
#define VD_CONFIG_KEY_MAX 64	      /* bytes of a key */

enum vd_node_kind {
	VD_NODE_TEXT,
	VD_NODE_LIST,
	VD_NODE_SECTION,
};

struct vd_node {
	struct vd_node *next; /* in the order of the text */
	struct vd_node *first; /* in a list or section */
	enum vd_node_kind kind;
	char *key;  /* NULL in a list */
	char *text; /* the value; of a section the label, or NULL */
	struct vd_origin origin;
};

/* A string of its own: the names of files, which origins point to. */
struct vd_config_string {
	struct vd_config_string *next;
	char text[];
};

struct vd_config_tree {
	struct vd_node *first;
	struct vd_config_string *strings;
};

/*
 * Reads the file, and those that it includes. 0, or -errno: -EINVAL it is not of that form, others it could not be read. The
 * sentence begins with file and line where there is one. Call fini() in any case.
 */
int vd_config_tree_read(struct vd_config_tree *tree, const char *path, struct vd_error *error);

/* The same of text in memory, which includes nothing; the origin is called `name`. */
int vd_config_tree_read_text(struct vd_config_tree *tree, const char *name, const char *text, size_t length,
			     struct vd_error *error);

void vd_config_tree_fini(struct vd_config_tree *tree);

/* A string that lives as long as the tree; NULL: out of memory. */
const char *vd_config_keep(struct vd_config_tree *tree, const char *text);

#endif
