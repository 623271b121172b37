/* SPDX-License-Identifier: MIT */
/* What the keys of a configuration file mean: from the tree of tree.h to settings. */
#include "tools/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tools/config/file.h"

/* Room for "queue 0-3: maxlen", in front of what is wrong with it. */
#define NAME_SIZE (2 * VD_SHOWN_SIZE)

struct walk {
	struct vd_settings *settings;
	struct vd_config_tree *tree;
	struct vd_error *error;
};

/* ---- keys that there are not ---- */

/* How many letters have to be added, left out or changed to make `a` of `b`; up to `LONG` letters each. */
static unsigned distance(const char *a, const char *b)
{
	enum { LONG = 32 };
	size_t a_length = strlen(a), b_length = strlen(b);
	unsigned row[LONG + 1];

	if (a_length > LONG || b_length > LONG)
		return UINT_MAX;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned above = row[j];
			unsigned best = diagonal + (tolower((unsigned char)a[i - 1]) != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[b_length];
}

/* Whether somebody who wrote `key` may have meant `name`; *best is how far the best one so far is off. */
static bool is_closer(const char *key, const char *name, unsigned *best)
{
	unsigned off = distance(key, name);

	if (off > 1 && strlen(name) > 2 && strlen(key) > 2 && (strstr(key, name) || strstr(name, key)))
		off = 1; /* "no-gso", "delay" */
	if (off >= *best || (off > 1 && strlen(name) < 5)) /* of three letters two make another word */
		return false;
	*best = off;
	return true;
}

/* `names`: NULL at the end. */
static int unknown_key(struct walk *walk, const struct vd_node *node, const char *inside, const char *const *names)
{
	char shown[VD_SHOWN_SIZE];
	const char *meant = NULL;
	unsigned best = 3;

	for (; *names; names++)
		if (is_closer(node->key, *names, &best))
			meant = *names;
	if (meant)
		return vd_origin_error(walk->error, &node->origin, -EINVAL, "%sthere is no key '%s': did you mean '%s'?", inside,
				       vd_show_text(node->key, shown), meant);
	return vd_origin_error(walk->error, &node->origin, -EINVAL, "%sthere is no key '%s'; verdict.conf(5) lists those that there are",
			       inside, vd_show_text(node->key, shown));
}

/* ---- one key ---- */

static const char *kind_of(const struct vd_node *node)
{
	return node->kind == VD_NODE_SECTION ? "a section" : node->kind == VD_NODE_LIST ? "a list" : "one value";
}

static int given_twice(struct walk *walk, const struct vd_node *node, const char *name, const struct vd_origin *first)
{
	return vd_origin_error(walk->error, &node->origin, -EINVAL, "%s is given twice: first in %.200s:%u", name, first->file,
			       first->line);
}

/* [ 0, 1, 5 ] is another way to write 0,1,5, for keys that take a list. NULL: out of memory, or too long. */
static const char *join(struct walk *walk, const struct vd_node *list)
{
	char text[VD_CONFIG_TEXT_MAX];
	size_t used = 0;

	*text = '\0';
	for (const struct vd_node *node = list->first; node; node = node->next) {
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? "," : "", node->text);
		if (used >= sizeof text)
			return NULL;
	}
	return vd_config_keep(walk->tree, text);
}

/* `inside`: "queue 0: ", or nothing. */
static int read_setting(struct walk *walk, const struct vd_node *node, enum vd_key key, const char *inside,
			struct vd_setting *setting)
{
	char name[NAME_SIZE], expects[VD_KEY_EXPECTS_SIZE];
	const char *text = node->text;
	int result;

	snprintf(name, sizeof name, "%s%s", inside, node->key);
	if (setting->is_given)
		return given_twice(walk, node, name, &setting->origin);
	if (node->kind == VD_NODE_LIST && (key == VD_KEY_CPU || key == VD_KEY_SECCOMP_ALLOW)) {
		text = join(walk, node);
		if (!text)
			return vd_origin_error(walk->error, &node->origin, -EINVAL, "%s: the list is too long", name);
	} else if (node->kind != VD_NODE_TEXT) {
		return vd_origin_error(walk->error, &node->origin, -EINVAL, "%s takes %s, not %s", name,
				       vd_key_expects(key, expects), kind_of(node));
	}
	result = vd_setting_read(setting, key, name, text, &node->origin, walk->error);
	return result ? vd_origin_prefix(walk->error, &node->origin, result) : 0;
}

/* ---- queue 0;  queue [ 0, 2-5 ];  queue 7 { maxlen 100; } ---- */

static int add_queues(struct walk *walk, const struct vd_node *node, const char *text, const struct vd_setting *own)
{
	int result = vd_settings_add_queues(walk->settings, "queue", text, own, &node->origin, walk->error);

	return result ? vd_origin_prefix(walk->error, &node->origin, result) : 0;
}

static int read_queue_key(struct walk *walk, const struct vd_node *node, const char *inside, struct vd_setting *own)
{
	const char *names[VD_QUEUE_KEY_COUNT + 1] = {NULL};
	enum vd_key key = vd_key_find(node->key);

	if (key < VD_QUEUE_KEY_COUNT)
		return read_setting(walk, node, key, inside, &own[key]);
	if (key < VD_KEY_COUNT || !strcmp(node->key, "function") || !strcmp(node->key, "queue"))
		return vd_origin_error(walk->error, &node->origin, -EINVAL, "%s%s is not for one queue: write it outside of this section",
				       inside, node->key);
	for (unsigned i = 0; i < VD_QUEUE_KEY_COUNT; i++)
		names[i] = vd_key_name((enum vd_key)i);
	return unknown_key(walk, node, inside, names);
}

static int read_queue(struct walk *walk, const struct vd_node *node)
{
	struct vd_setting own[VD_QUEUE_KEY_COUNT] = {{0}};
	char inside[NAME_SIZE], shown[VD_SHOWN_SIZE];
	int result = 0;

	switch (node->kind) {
	case VD_NODE_TEXT:
		return add_queues(walk, node, node->text, NULL);
	case VD_NODE_LIST:
		if (!node->first)
			return vd_origin_error(walk->error, &node->origin, -EINVAL, "queue: this list is empty");
		for (const struct vd_node *value = node->first; value && !result; value = value->next)
			result = add_queues(walk, value, value->text, NULL);
		return result;
	case VD_NODE_SECTION:
		break;
	}
	if (!node->text)
		return vd_origin_error(walk->error, &node->origin, -EINVAL,
				       "queue takes a number or a range A-B before its section: queue 0 { ... }");
	snprintf(inside, sizeof inside, "queue %s: ", vd_show_text(node->text, shown));
	for (const struct vd_node *key = node->first; key && !result; key = key->next)
		result = read_queue_key(walk, key, inside, own);
	return result ? result : add_queues(walk, node, node->text, own);
}

/* ---- function accept;  function "mark:7";  function match { arguments "udp port 53=drop"; } ---- */

static int no_memory(struct walk *walk)
{
	return vd_origin_error(walk->error, NULL, -ENOMEM, "out of memory");
}

/* A file with a relative name is looked for beside the file that names it, wherever the program was started. */
static int add_function(struct walk *walk, const struct vd_node *node, const char *name, const char *arguments)
{
	size_t length = strcspn(name, ":");
	char whole[2 * PATH_MAX], shown[VD_SHOWN_SIZE];
	bool is_file = memchr(name, '/', length) || (length > 3 && !strncmp(name + length - 3, ".so", 3));
	const char *kept;
	int result;

	if (!length)
		return vd_origin_error(walk->error, &node->origin, -EINVAL,
				       "function takes NAME[:ARGUMENTS] or FILE.so[:ARGUMENTS], not '%s'",
				       vd_show_text(name, shown));
	if (!is_file)
		snprintf(whole, sizeof whole, "%s", name);
	else if (!vd_config_beside(node->origin.file, name, whole, sizeof whole))
		return vd_origin_error(walk->error, &node->origin, -EINVAL, "function: the name of the file is too long");
	/* where the engine ends a file's name */
	if (is_file && *name != '/' && strlen(whole) > strlen(name) &&
	    memchr(whole, ':', strlen(whole) - strlen(name)))
		return vd_origin_error(walk->error, &node->origin, -EINVAL,
				       "function: the directory of this file has a ':' in its name, where arguments would begin");
	if (arguments) {
		size_t used = strlen(whole);

		if ((size_t)snprintf(whole + used, sizeof whole - used, ":%s", arguments) >= sizeof whole - used)
			return vd_origin_error(walk->error, &node->origin, -EINVAL, "function: name and arguments are too long");
	}
	kept = vd_config_keep(walk->tree, whole);
	if (!kept)
		return no_memory(walk);
	result = vd_settings_add_function(walk->settings, "function", kept, &node->origin, walk->error);
	return result ? vd_origin_prefix(walk->error, &node->origin, result) : 0;
}

static int read_function_section(struct walk *walk, const struct vd_node *node)
{
	static const char *const NAMES[] = {"arguments", NULL};
	char inside[NAME_SIZE], shown[VD_SHOWN_SIZE];
	const struct vd_node *arguments = NULL;

	if (!node->text)
		return vd_origin_error(walk->error, &node->origin, -EINVAL,
				       "function takes a name before its section: function match { ... }");
	snprintf(inside, sizeof inside, "function %s: ", vd_show_text(node->text, shown));
	if (strchr(node->text, ':'))
		return vd_origin_error(walk->error, &node->origin, -EINVAL,
				       "%sbefore a section there are no arguments: write them as a key in it", inside);
	for (const struct vd_node *key = node->first; key; key = key->next) {
		if (strcmp(key->key, "arguments"))
			return unknown_key(walk, key, inside, NAMES);
		if (key->kind != VD_NODE_TEXT)
			return vd_origin_error(walk->error, &key->origin, -EINVAL, "%sarguments takes one text, not %s", inside,
					       kind_of(key));
		if (arguments) {
			char name[NAME_SIZE + sizeof "arguments"];

			snprintf(name, sizeof name, "%sarguments", inside);
			return given_twice(walk, key, name, &arguments->origin);
		}
		arguments = key;
	}
	return add_function(walk, node, node->text, arguments ? arguments->text : NULL);
}

static int read_function(struct walk *walk, const struct vd_node *node)
{
	int result = 0;

	switch (node->kind) {
	case VD_NODE_TEXT:
		return add_function(walk, node, node->text, NULL);
	case VD_NODE_LIST:
		if (!node->first)
			return vd_origin_error(walk->error, &node->origin, -EINVAL, "function: this list is empty");
		for (const struct vd_node *value = node->first; value && !result; value = value->next)
			result = add_function(walk, value, value->text, NULL);
		return result;
	case VD_NODE_SECTION:
		break;
	}
	return read_function_section(walk, node);
}

/* ---- the whole ---- */

static int read_key(struct walk *walk, const struct vd_node *node)
{
	const char *names[VD_KEY_COUNT + 3] = {"queue", "function"};
	enum vd_key key = vd_key_find(node->key);

	if (!strcmp(node->key, "queue"))
		return read_queue(walk, node);
	if (!strcmp(node->key, "function"))
		return read_function(walk, node);
	if (key < VD_KEY_COUNT)
		return read_setting(walk, node, key, "", &walk->settings->general[key]);
	for (unsigned i = 0; i < VD_KEY_COUNT; i++)
		names[2 + i] = vd_key_name((enum vd_key)i);
	return unknown_key(walk, node, "", names);
}

static int read_tree(struct vd_config *config, struct vd_error *error)
{
	struct walk walk = {.settings = &config->settings, .tree = &config->tree, .error = error};
	int result = 0;

	for (const struct vd_node *node = config->tree.first; node && !result; node = node->next)
		result = read_key(&walk, node);
	return result;
}

int vd_config_read(struct vd_config *config, const char *path, struct vd_error *error)
{
	int result;

	memset(config, 0, sizeof *config);
	result = vd_config_tree_read(&config->tree, path, error);
	return result ? result : read_tree(config, error);
}

int vd_config_read_text(struct vd_config *config, const char *name, const char *text, size_t length, struct vd_error *error)
{
	int result;

	memset(config, 0, sizeof *config);
	result = vd_config_tree_read_text(&config->tree, name, text, length, error);
	return result ? result : read_tree(config, error);
}

void vd_config_fini(struct vd_config *config)
{
	vd_config_tree_fini(&config->tree);
}
