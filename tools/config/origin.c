/* SPDX-License-Identifier: MIT */
#include "tools/config/origin.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FILE_SHOWN_MAX 200 /* bytes of a file's name: its end, so that there is room for the sentence */

const char *vd_show_text(const char *text, char room[VD_SHOWN_SIZE])
{
	size_t length = 0;

	while (text[length] && length < VD_SHOWN_SIZE - 4) {
		room[length] = (unsigned char)text[length] < ' ' || text[length] == 127 ? '?' : text[length];
		length++;
	}
	if (text[length]) {
		while (length && ((unsigned char)text[length] & 0xc0) == 0x80) /* no half of a character */
			length--;
		memcpy(room + length, "...", 3);
		length += 3;
	}
	room[length] = '\0';
	return room;
}

/* Returns the length. */
static size_t write_origin(const struct vd_origin *origin, char *room, size_t size)
{
	const char *file = origin ? origin->file : NULL;
	size_t length = file ? strlen(file) : 0;
	const char *cut = length > FILE_SHOWN_MAX ? "..." : "";

	*room = '\0';
	if (!file)
		return 0;
	if (*cut)
		file += length - FILE_SHOWN_MAX;
	if (origin->line)
		return (size_t)snprintf(room, size, "%s%s:%u: ", cut, file, origin->line);
	return (size_t)snprintf(room, size, "%s%s: ", cut, file);
}

int vd_origin_error(struct vd_error *error, const struct vd_origin *origin, int code, const char *format, ...)
{
	size_t used = write_origin(origin, error->text, sizeof error->text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text + used, sizeof error->text - used, format, arguments);
	va_end(arguments);
	return code;
}

int vd_origin_prefix(struct vd_error *error, const struct vd_origin *origin, int code)
{
	struct vd_error sentence = *error;

	return vd_origin_error(error, origin, code, "%s", sentence.text);
}
