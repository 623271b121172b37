/* SPDX-License-Identifier: MIT */
#include "tools/metrics/exposition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

/* In help texts and values of labels a backslash and the end of a line are escaped; in values a quote as well. */
static void put_escaped(FILE *file, const char *text, bool is_value)
{
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\\\", file);
		else if (*text == '\n')
			fputs("\\n", file);
		else if (*text == '"' && is_value)
			fputs("\\\"", file);
		else
			fputc(*text, file);
	}
}

/* How many bytes the character here has; 0: it is none (RFC 3629). */
static unsigned utf8_length(const unsigned char *text)
{
	unsigned length = *text < 0x80 ? 1 : *text < 0xc2 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : *text < 0xf5 ? 4 : 0;

	for (unsigned i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] > 0x9f) || (*text == 0xf0 && text[1] < 0x90) ||
	    (*text == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

static void put_value(FILE *file, const char *text)
{
	while (*text) {
		unsigned length = utf8_length((const unsigned char *)text);
		char character[5] = "?";

		if (length) {
			memcpy(character, text, length);
			character[length] = '\0';
		}
		put_escaped(file, character, true);
		text += length ? length : 1;
	}
}

void vd_exposition_family(FILE *file, const char *name, const char *type, const char *help)
{
	fprintf(file, "# HELP %s ", name);
	put_escaped(file, help, false);
	fprintf(file, "\n# TYPE %s %s\n", name, type);
}

static void put_series(FILE *file, const char *name, va_list labels)
{
	const char *label;
	char before = '{';

	fputs(name, file);
	while ((label = va_arg(labels, const char *))) {
		fprintf(file, "%c%s=\"", before, label);
		put_value(file, va_arg(labels, const char *));
		fputc('"', file);
		before = ',';
	}
	if (before == ',')
		fputc('}', file);
}

void vd_exposition_count(FILE *file, uint64_t number, const char *name, ...)
{
	va_list labels;

	va_start(labels, name);
	put_series(file, name, labels);
	va_end(labels);
	fprintf(file, " %" PRIu64 "\n", number);
}

void vd_exposition_number(FILE *file, double number, const char *name, ...)
{
	va_list labels;

	va_start(labels, name);
	put_series(file, name, labels);
	va_end(labels);
	fprintf(file, " %.15g\n", number);
}
