/* SPDX-License-Identifier: MIT */
/*
 * Recursive descent over one file in memory at a time; an included file is one more descent, into the section that is being
 * read. The text is checked before anything is made of it: no byte of it but tab and ends of lines controls anything, so that
 * what a sentence quotes can be printed.
 */
#include "tools/config/tree.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/config/file.h"

struct reader {
	struct vd_config_tree *tree;
	struct vd_error *error;
	const struct vd_config_open *open; /* the files being read, the innermost first; NULL: text in memory */
	const char *text, *end, *here;
	struct vd_origin origin; /* of `here` */
	unsigned files;	       /* so far, this one included */
	unsigned depth;	       /* sections around `here`, in all files */
};

/* A list of nodes that grows at its end. */
struct nodes {
	struct vd_node **last;
};

static int read_items(struct reader *reader, struct nodes *nodes, const struct vd_origin *opened);

#define fail(reader, where, ...) vd_origin_error((reader)->error, where, -EINVAL, __VA_ARGS__)

/* ---- characters ---- */

static bool is_at(const struct reader *reader, const char *word)
{
	size_t length = strlen(word);

	return (size_t)(reader->end - reader->here) >= length && !memcmp(reader->here, word, length);
}

/* '\0' at the end: there is none in the text. */
static char peek(const struct reader *reader)
{
	return reader->here < reader->end ? *reader->here : '\0';
}

static void step(struct reader *reader)
{
	reader->origin.line += *reader->here == '\n';
	reader->here++;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_key(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Skips blanks and comments, and ends of lines if told to. A comment between a value and the end of its line is skipped too. */
static int skip(struct reader *reader, bool skips_lines)
{
	for (;;) {
		struct vd_origin begun = reader->origin;

		if (is_blank(peek(reader)) || (skips_lines && peek(reader) == '\n')) {
			step(reader);
		} else if (peek(reader) == '#') {
			while (reader->here < reader->end && *reader->here != '\n')
				step(reader);
		} else if (is_at(reader, "/*")) {
			reader->here += 2;
			while (reader->here < reader->end && !is_at(reader, "*/"))
				step(reader);
			if (reader->here == reader->end)
				return fail(reader, &begun, "this comment has no end: '*/' is missing");
			reader->here += 2;
		} else {
			return 0;
		}
	}
}

/* How many bytes the character at `text` has; 0: it is none of UTF-8 (RFC 3629). */
static unsigned utf8_length(const unsigned char *text, const unsigned char *end)
{
	unsigned length = *text < 0x80 ? 1 : *text >= 0xc2 && *text < 0xe0 ? 2 : *text >= 0xe0 && *text < 0xf0 ? 3 :
			  *text >= 0xf0 && *text < 0xf5 ? 4 : 0;

	if (!length || (size_t)(end - text) < length)
		return 0;
	for (unsigned i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] > 0x9f) || (*text == 0xf0 && text[1] < 0x90) ||
	    (*text == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

static int check_text(struct reader *reader)
{
	const unsigned char *here = (const unsigned char *)reader->text, *end = (const unsigned char *)reader->end;
	struct vd_origin where = reader->origin;

	for (unsigned length = 1; here < end; here += length) {
		where.line += *here == '\n';
		length = utf8_length(here, end);
		if (!length)
			return fail(reader, &where, "byte 0x%02x: this is not a text (UTF-8)", *here);
		if ((*here < ' ' && !strchr("\t\r\n", *here)) || *here == '\0' || *here == 127)
			return fail(reader, &where, "byte 0x%02x: this is not a text", *here);
	}
	return 0;
}

/* ---- words ---- */

struct word {
	char text[VD_CONFIG_TEXT_MAX + 1];
	size_t length;
	bool is_quoted;
};

static bool add(struct word *word, const char *bytes, size_t length)
{
	if (word->length + length > VD_CONFIG_TEXT_MAX)
		return false;
	memcpy(word->text + word->length, bytes, length);
	word->length += length;
	word->text[word->length] = '\0';
	return true;
}

static int too_long(struct reader *reader, const struct vd_origin *where)
{
	return fail(reader, where, "this is longer than %u bytes, which is the limit of a word", VD_CONFIG_TEXT_MAX);
}

/* Of the character at `text`, for a sentence: nothing of one that cannot be printed. */
static int shown_length(const struct reader *reader, const char *text)
{
	if ((unsigned char)*text < ' ' || *text == 127)
		return 0;
	return (int)utf8_length((const unsigned char *)text, (const unsigned char *)reader->end);
}

/* Between double quotes \" and \\ stand for themselves, \t for a tab; between single ones only \' does. */
static int read_quoted(struct reader *reader, struct word *word)
{
	struct vd_origin begun = reader->origin;
	char quote = *reader->here;

	word->is_quoted = true;
	for (step(reader); peek(reader) != quote; step(reader)) {
		char c = peek(reader), next = reader->here + 1 < reader->end ? reader->here[1] : '\0';

		if (c == '\0' || c == '\n')
			return fail(reader, &begun, "this string has no end: a %c is missing in its line", quote);
		if (c == '\\' && next && (quote == '"' || next == '\'')) {
			const char *meant = strchr("\"\\'/t", next);

			if (!meant)
				return fail(reader, &reader->origin, "'\\%.*s' stands for nothing: a backslash is written '\\\\'",
					    shown_length(reader, reader->here + 1), reader->here + 1);
			c = next == 't' ? '\t' : next;
			step(reader);
		}
		if (!add(word, &c, 1))
			return too_long(reader, &begun);
	}
	step(reader);
	return 0;
}

/*
 * Up to what ends it: ';', a brace, the end of the line, a comment behind a blank, and a comma that something else follows on
 * ("1, 2"; "0-2,5" is one word, but in a list).
 */
static bool ends_bare(const struct reader *reader, bool in_list)
{
	char c = peek(reader), before = reader->here > reader->text ? reader->here[-1] : ' ';
	char next = reader->here + 1 < reader->end ? reader->here[1] : '\n';

	if (c == '\0' || c == '\n' || c == ';' || c == '{' || c == '}')
		return true;
	if (is_blank(before) && (c == '#' || is_at(reader, "/*")))
		return true;
	if (in_list)
		return c == ',' || c == ']';
	return c == ',' && (is_blank(next) || next == '\n');
}

static int read_bare(struct reader *reader, struct word *word, bool in_list)
{
	const char *begin = reader->here, *end;

	while (!ends_bare(reader, in_list))
		step(reader);
	for (end = reader->here; end > begin && is_blank(end[-1]); end--)
		;
	return add(word, begin, (size_t)(end - begin)) ? 0 : too_long(reader, &reader->origin);
}

static int read_value(struct reader *reader, struct word *word, bool in_list)
{
	*word = (struct word){.length = 0};
	return peek(reader) == '"' || peek(reader) == '\'' ? read_quoted(reader, word) : read_bare(reader, word, in_list);
}

/* What stands where something else should: for a sentence. */
static const char *what_is_here(const struct reader *reader, char room[8])
{
	unsigned length = reader->here < reader->end ?
				  utf8_length((const unsigned char *)reader->here, (const unsigned char *)reader->end) : 0;

	if (!length)
		return "the end of the file";
	if (*reader->here == '\n')
		return "the end of the line";
	snprintf(room, 8, "'%.*s'", (int)length, reader->here);
	return room;
}

/* ---- nodes ---- */

static struct vd_node *make_node(enum vd_node_kind kind, const char *key, const char *text, const struct vd_origin *origin)
{
	struct vd_node *node = calloc(1, sizeof *node);

	if (!node)
		return NULL;
	*node = (struct vd_node){.kind = kind, .origin = *origin};
	node->key = key ? strdup(key) : NULL;
	node->text = text ? strdup(text) : NULL;
	if ((key && !node->key) || (text && !node->text)) {
		free(node->key);
		free(node->text);
		free(node);
		return NULL;
	}
	return node;
}

static int append(struct reader *reader, struct nodes *nodes, struct vd_node *node)
{
	if (!node)
		return vd_origin_error(reader->error, NULL, -ENOMEM, "out of memory");
	*nodes->last = node;
	nodes->last = &node->next;
	return 0;
}

/* Depth is bounded by VD_CONFIG_DEPTH_MAX, as the reading was. */
static void free_nodes(struct vd_node *node)
{
	while (node) {
		struct vd_node *next = node->next;

		free_nodes(node->first);
		free(node->key);
		free(node->text);
		free(node);
		node = next;
	}
}

void vd_config_tree_fini(struct vd_config_tree *tree)
{
	free_nodes(tree->first);
	while (tree->strings) {
		struct vd_config_string *next = tree->strings->next;

		free(tree->strings);
		tree->strings = next;
	}
	*tree = (struct vd_config_tree){0};
}

/* ---- items ---- */

static int read_list(struct reader *reader, struct vd_node *list)
{
	struct nodes nodes = {&list->first};
	struct word word;
	char room[8];
	int result;

	step(reader);
	for (;;) {
		result = skip(reader, true);
		if (result)
			return result;
		if (peek(reader) == ']') {
			step(reader);
			return 0;
		}
		if (peek(reader) == '\0' || strchr("{}[;,", peek(reader))) {
			if (peek(reader) == '\0')
				return fail(reader, &list->origin, "the list of '%s' has no end: a ']' is missing", list->key);
			return fail(reader, &reader->origin, "%s in the list of '%s': a list has values, with commas between them",
				    what_is_here(reader, room), list->key);
		}
		struct vd_origin origin = reader->origin;

		result = read_value(reader, &word, true);
		if (!result)
			result = append(reader, &nodes, make_node(VD_NODE_TEXT, NULL, word.text, &origin));
		if (!result)
			result = skip(reader, true);
		if (result)
			return result;
		if (peek(reader) == ',')
			step(reader);
		else if (peek(reader) != ']' && peek(reader) != '\0')
			return fail(reader, &reader->origin, "%s in the list of '%s': a ',' or ']' is missing before it",
				    what_is_here(reader, room), list->key);
	}
}

static int read_section(struct reader *reader, struct vd_node *section)
{
	struct nodes nodes = {&section->first};
	int result;

	if (reader->depth == VD_CONFIG_DEPTH_MAX)
		return fail(reader, &section->origin, "sections in sections are %u deep here, which is the limit", VD_CONFIG_DEPTH_MAX);
	step(reader);
	reader->depth++;
	result = read_items(reader, &nodes, &section->origin);
	reader->depth--;
	return result;
}

/* Behind a value: ';', ',', the end of the line or of the section. */
static int read_end(struct reader *reader, const char *key)
{
	char room[8];
	int result = skip(reader, false);

	if (result)
		return result;
	if (peek(reader) == ';' || peek(reader) == ',' || peek(reader) == '\n')
		step(reader);
	else if (peek(reader) != '\0' && peek(reader) != '}')
		return fail(reader, &reader->origin, "%s behind the value of '%s': a ';' or a new line is missing before it",
			    what_is_here(reader, room), key);
	return 0;
}

/* Whether a '{' follows, also in a later line; then the reader is there, else where it was. */
static bool section_follows(struct reader *reader)
{
	struct reader before = *reader;

	if (!skip(reader, true) && peek(reader) == '{')
		return true;
	*reader = before; /* what is wrong is found again, and said, by who reads it next */
	return false;
}

/* A key, and what may stand between it and its value. Between quotes it has no other letters; so sentences can show it. */
static int read_key(struct reader *reader, struct word *key)
{
	struct vd_origin origin = reader->origin;
	char room[8], shown[VD_SHOWN_SIZE];
	bool is_quoted = peek(reader) == '"' || peek(reader) == '\'';
	int result;

	if (is_quoted) {
		result = read_quoted(reader, key);
		if (result)
			return result;
		for (size_t i = 0; i < key->length || !key->length; i++)
			if (!is_key(key->text[i]))
				return fail(reader, &origin, "'%s' is no key: a key has letters, digits, '-' and '_'",
					    vd_show_text(key->text, shown));
	}
	while (!is_quoted && is_key(peek(reader)) && add(key, reader->here, 1))
		step(reader);
	if (!key->length)
		return fail(reader, &origin, "%s where a key should be", what_is_here(reader, room));
	if (key->length > VD_CONFIG_KEY_MAX)
		return fail(reader, &origin, "this key is longer than %u bytes, which is the limit", VD_CONFIG_KEY_MAX);
	result = skip(reader, false);
	if (result)
		return result;
	if (peek(reader) == '=' || peek(reader) == ':')
		step(reader);
	else if (is_key(reader->here[-1]) && peek(reader) && !strchr("\n;,{}[\"'", peek(reader)))
		return fail(reader, &reader->origin, "%s in the key that begins with '%s': a key has letters, digits, '-' and '_'",
			    what_is_here(reader, room), key->text);
	return 0;
}

static int read_item(struct reader *reader, struct nodes *nodes)
{
	struct vd_origin origin = reader->origin;
	struct word key = {.length = 0}, value = {.length = 0};
	struct vd_node *node;
	int result = read_key(reader, &key);

	if (result)
		return result;
	result = skip(reader, false);
	if (result)
		return result;
	if (peek(reader) == '[') {
		node = make_node(VD_NODE_LIST, key.text, NULL, &origin);
		result = append(reader, nodes, node);
		if (!result)
			result = read_list(reader, node);
		return result ? result : read_end(reader, key.text);
	}
	if (section_follows(reader)) {
		node = make_node(VD_NODE_SECTION, key.text, NULL, &origin);
		result = append(reader, nodes, node);
		return result ? result : read_section(reader, node);
	}
	result = read_value(reader, &value, false);
	if (result)
		return result;
	if (!value.length && !value.is_quoted)
		return fail(reader, &origin, "'%s' has no value", key.text);
	if (section_follows(reader)) {
		node = make_node(VD_NODE_SECTION, key.text, value.text, &origin);
		result = append(reader, nodes, node);
		return result ? result : read_section(reader, node);
	}
	result = append(reader, nodes, make_node(VD_NODE_TEXT, key.text, value.text, &origin));
	return result ? result : read_end(reader, key.text);
}

/* ---- files ---- */

static int read_file(struct vd_config_tree *tree, const struct vd_config_open *around, const char *path,
		     const struct vd_origin *included_at, struct nodes *nodes, unsigned depth, unsigned *files,
		     struct vd_error *error);

struct including {
	struct reader *reader;
	struct nodes *nodes;
	const struct vd_origin *origin;
};

static int include_one(void *argument, const char *path)
{
	struct including *including = argument;
	struct reader *reader = including->reader;

	return read_file(reader->tree, reader->open, path, including->origin, including->nodes, reader->depth, &reader->files,
			 reader->error);
}

/* .include "PATH" */
static int read_directive(struct reader *reader, struct nodes *nodes)
{
	struct vd_origin origin = reader->origin;
	struct including including = {reader, nodes, &origin};
	struct word name = {.length = 0}, path = {.length = 0};
	char shown[VD_SHOWN_SIZE];
	int result;

	step(reader);
	while (is_key(peek(reader)) && add(&name, reader->here, 1))
		step(reader);
	if (strcmp(name.text, "include"))
		return fail(reader, &origin, "there is no directive '.%s', only .include \"FILE\"", vd_show_text(name.text, shown));
	result = skip(reader, false);
	if (!result)
		result = read_value(reader, &path, false);
	if (!result)
		result = path.length ? read_end(reader, ".include") : fail(reader, &origin, ".include takes the name of a file");
	if (result)
		return result;
	if (!reader->open)
		return fail(reader, &origin, ".include: this text is in no file, and cannot include one");
	return vd_config_each_included(reader->open, path.text, &origin, include_one, &including, reader->error);
}

/* `opened`: where the section begins; NULL: this is a file, and goes on to its end. */
static int read_items(struct reader *reader, struct nodes *nodes, const struct vd_origin *opened)
{
	for (;;) {
		int result = skip(reader, true);

		if (result)
			return result;
		switch (peek(reader)) {
		case '\0':
			return opened ? fail(reader, opened, "this section has no end: a '}' is missing") : 0;
		case '}':
			if (!opened)
				return fail(reader, &reader->origin, "this '}' closes nothing");
			step(reader);
			return 0;
		case ';':
		case ',':
			step(reader);
			continue;
		case '.':
			result = read_directive(reader, nodes);
			break;
		default:
			result = read_item(reader, nodes);
		}
		if (result)
			return result;
	}
}

static int read_text(struct reader *reader, struct nodes *nodes)
{
	int result;

	reader->origin.line = 1;
	result = check_text(reader);
	if (is_at(reader, "\xef\xbb\xbf")) /* a mark that some editors leave */
		reader->here += 3;
	return result ? result : read_items(reader, nodes, NULL);
}

const char *vd_config_keep(struct vd_config_tree *tree, const char *text)
{
	struct vd_config_string *string = malloc(sizeof *string + strlen(text) + 1);

	if (!string)
		return NULL;
	strcpy(string->text, text);
	string->next = tree->strings;
	tree->strings = string;
	return string->text;
}

static int read_file(struct vd_config_tree *tree, const struct vd_config_open *around, const char *path,
		     const struct vd_origin *included_at, struct nodes *nodes, unsigned depth, unsigned *files,
		     struct vd_error *error)
{
	struct reader reader = {.tree = tree, .error = error, .depth = depth};
	struct vd_config_open open;
	const char *name;
	int result;

	if (*files > VD_CONFIG_FILES_MAX) /* and the one that is not included */
		return vd_origin_error(error, included_at, -EINVAL, ".include: more than %u files", VD_CONFIG_FILES_MAX);
	name = vd_config_keep(tree, path);
	if (!name)
		return vd_origin_error(error, NULL, -ENOMEM, "out of memory");
	result = vd_config_open(&open, around, name, included_at, error);
	if (result)
		return result;
	reader.files = *files + 1;
	reader.open = &open;
	reader.text = reader.here = open.text;
	reader.end = open.text + open.length;
	reader.origin.file = name;
	result = read_text(&reader, nodes);
	*files = reader.files;
	vd_config_close(&open);
	return result;
}

int vd_config_tree_read(struct vd_config_tree *tree, const char *path, struct vd_error *error)
{
	struct nodes nodes = {&tree->first};
	unsigned files = 0;

	*tree = (struct vd_config_tree){0};
	return read_file(tree, NULL, path, NULL, &nodes, 0, &files, error);
}

int vd_config_tree_read_text(struct vd_config_tree *tree, const char *name, const char *text, size_t length,
			     struct vd_error *error)
{
	struct reader reader = {.tree = tree, .error = error, .text = text, .here = text, .end = text + length};
	struct nodes nodes = {&tree->first};

	*tree = (struct vd_config_tree){0};
	reader.origin.file = vd_config_keep(tree, name);
	if (!reader.origin.file)
		return vd_origin_error(error, NULL, -ENOMEM, "out of memory");
	return read_text(&reader, &nodes);
}
