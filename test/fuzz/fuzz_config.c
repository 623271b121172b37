/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: the reader of configurations. The oracle:
 *
 *	- what is refused is refused in one sentence that can be printed, of a line that there is;
 *	- what is taken, written again in the plainest form, is read as the same settings.
 *
 * Input: the file.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vd_config first, again;
static char text[1 << 20];
static size_t length;

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "oracle: %s\n", what);
	abort();
}

static void check_sentence(const struct vd_error *error, const uint8_t *data, size_t size)
{
	unsigned line, lines = 1;
	int used = 0;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	must(sscanf(error->text, "fuzz:%u: %n", &line, &used) == 1 && used, "a sentence without a line");
	must(line >= 1 && line <= lines, "a line that there is not");
	for (const char *c = error->text; *c; c++)
		must((unsigned char)*c >= ' ' && *c != 127, "a sentence that cannot be printed");
}

/* ---- the plainest form ---- */

static void put(const char *part)
{
	size_t more = strlen(part);

	must(length + more < sizeof text, "settings larger than this room");
	memcpy(text + length, part, more + 1);
	length += more;
}

static void put_quoted(const char *value)
{
	put("\"");
	for (; *value; value++) {
		char c[3] = {'\\', *value == '\t' ? 't' : *value, '\0'};

		put(*value == '\t' || *value == '"' || *value == '\\' ? c : c + 1);
	}
	put("\";\n");
}

static void put_settings(const struct vd_setting *settings, unsigned count)
{
	for (unsigned key = 0; key < count; key++) {
		if (!settings[key].is_given)
			continue;
		put(vd_key_name((enum vd_key)key));
		put(" ");
		put_quoted(settings[key].text);
	}
}

static void write_again(const struct vd_settings *settings)
{
	char number[32];

	length = 0;
	put("");
	put_settings(settings->general, VD_KEY_COUNT);
	for (unsigned i = 0; i < settings->queue_count; i++) {
		snprintf(number, sizeof number, "queue %u {\n", settings->queues[i].queue);
		put(number);
		put_settings(settings->queues[i].own, VD_QUEUE_KEY_COUNT);
		put("}\n");
	}
	for (unsigned i = 0; i < settings->function_count; i++) {
		put("function ");
		put_quoted(settings->functions[i].specification);
	}
}

static void compare(const struct vd_setting *a, const struct vd_setting *b, unsigned count)
{
	for (unsigned key = 0; key < count; key++) {
		must(a[key].is_given == b[key].is_given && a[key].number == b[key].number, "another value");
		must(!a[key].is_given || !strcmp(a[key].text, b[key].text), "another text");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vd_settings *a = &first.settings, *b = &again.settings;
	struct vd_error error;
	int result = vd_config_read_text(&first, "fuzz", (const char *)data, size, &error);

	if (result) {
		must(result == -EINVAL, "another error");
		check_sentence(&error, data, size);
		vd_config_fini(&first);
		return 0;
	}
	write_again(a);
	result = vd_config_read_text(&again, "again", text, length, &error);
	if (result)
		fprintf(stderr, "%s\n%s", error.text, text);
	must(!result, "the plainest form is refused");
	compare(a->general, b->general, VD_KEY_COUNT);
	must(a->queue_count == b->queue_count && a->function_count == b->function_count, "another number of queues or functions");
	for (unsigned i = 0; i < a->queue_count; i++) {
		must(a->queues[i].queue == b->queues[i].queue, "another queue");
		compare(a->queues[i].own, b->queues[i].own, VD_QUEUE_KEY_COUNT);
	}
	for (unsigned i = 0; i < a->function_count; i++)
		must(!strcmp(a->functions[i].specification, b->functions[i].specification), "another function");
	vd_config_fini(&first);
	vd_config_fini(&again);
	return 0;
}
