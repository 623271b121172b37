/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "tools/log/log.h"

static const char *const LEVELS[] = {
	[VD_LOG_ERROR] = "error",
	[VD_LOG_WARNING] = "warning",
	[VD_LOG_NOTE] = "note",
	[VD_LOG_INFO] = "info",
};

const char *vd_log_level_of(const char *line, enum vd_log_level *level)
{
	static const char note[] = "note: ";

	*level = VD_LOG_INFO;
	if (strncmp(line, note, strlen(note)))
		return line;
	*level = VD_LOG_NOTE;
	return line + strlen(note);
}

/* Text of several lines, or with colours for the terminal, would not be one line of ours. Returns the length. */
static size_t copy_line(char *room, size_t size, const char *text, bool is_ascii)
{
	size_t length = 0;

	for (; text[length] && length + 1 < size; length++) {
		unsigned char c = (unsigned char)text[length];

		room[length] = c < ' ' || c == 127 || (is_ascii && c > 127) ? '?' : (char)c;
	}
	if (text[length]) /* no half of a character */
		while (length && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	room[length] = '\0';
	return length;
}

size_t vd_log_text(char room[VD_LOG_LINE_SIZE], enum vd_log_level level, const char *text, bool has_prefix)
{
	bool is_named = level == VD_LOG_WARNING || level == VD_LOG_NOTE;
	size_t length = 0;

	if (has_prefix)
		length = (size_t)sprintf(room, "<%d>", level);
	length += (size_t)sprintf(room + length, "verdict: %s%s", is_named ? LEVELS[level] : "", is_named ? ": " : "");
	length += copy_line(room + length, VD_LOG_LINE_SIZE - length - 1, text, false);
	room[length++] = '\n';
	return length;
}

static json_t *object(const char *time, enum vd_log_level level, const char *text)
{
	return json_pack("{s:s, s:s, s:s}", "time", time, "level", LEVELS[level], "message", text);
}

size_t vd_log_json(char room[VD_LOG_LINE_SIZE], enum vd_log_level level, const char *text, const struct timespec *now)
{
	char line[VD_LOG_LINE_SIZE / 2 - 128], time[40]; /* half: a quote or a backslash becomes two bytes */
	json_t *json;
	struct tm utc;
	size_t length;

	gmtime_r(&now->tv_sec, &utc);
	length = strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(time + length, sizeof time - length, ".%06ldZ", now->tv_nsec / 1000);
	copy_line(line, sizeof line, text, false);
	json = object(time, level, line);
	if (!json) { /* not UTF-8 */
		copy_line(line, sizeof line, text, true);
		json = object(time, level, line);
	}
	length = json ? json_dumpb(json, room, VD_LOG_LINE_SIZE - 1, JSON_COMPACT) : 0;
	json_decref(json);
	if (!length || length > VD_LOG_LINE_SIZE - 1)
		return vd_log_text(room, level, text, false); /* out of memory: better so than not at all */
	room[length++] = '\n';
	return length;
}
