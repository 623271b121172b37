/* SPDX-License-Identifier: MIT */
#include "tools/control/request.h"

#include <errno.h>
#include <string.h>

#include "engine/error.h"
#include "tools/config/origin.h"

void vd_request_init(struct vd_request_reader *reader, size_t limit)
{
	reader->limit = limit;
	reader->length = reader->taken = reader->searched = 0;
}

char *vd_request_room(struct vd_request_reader *reader, size_t *size)
{
	if (reader->taken) {
		reader->length -= reader->taken;
		reader->searched -= reader->taken;
		memmove(reader->bytes, reader->bytes + reader->taken, reader->length);
		reader->taken = 0;
	}
	*size = reader->limit + 1 - reader->length;
	return reader->bytes + reader->length;
}

void vd_request_received(struct vd_request_reader *reader, size_t length)
{
	reader->length += length;
}

static bool is_blank(const char *line, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!memchr(" \t\r", line[i], 3))
			return false;
	return true;
}

static enum vd_request_result read_line(const char *line, size_t length, json_t **request, struct vd_error *error)
{
	char shown[VD_SHOWN_SIZE];
	const json_t *command;
	json_error_t why;

	*request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &why);
	if (!*request) {
		vd_error_set(error, -EINVAL, "this line is not JSON: %s", vd_show_text(why.text, shown));
		return VD_REQUEST_BAD;
	}
	command = json_object_get(*request, "command");
	if (json_is_string(command))
		return VD_REQUEST_GOOD;
	vd_error_set(error, -EINVAL, "a request is an object with a command, as in {\"command\": \"stats\"}");
	json_decref(*request);
	*request = NULL;
	return VD_REQUEST_BAD;
}

enum vd_request_result vd_request_next(struct vd_request_reader *reader, json_t **request, struct vd_error *error)
{
	*request = NULL;
	for (;;) {
		char *line = reader->bytes + reader->taken;
		char *end = memchr(reader->bytes + reader->searched, '\n', reader->length - reader->searched);
		size_t length = end ? (size_t)(end - line) : reader->length - reader->taken;

		reader->searched = reader->length;
		if (length > reader->limit) {
			vd_error_set(error, -EMSGSIZE, "a request is longer than %zu bytes, which is the limit", reader->limit);
			return VD_REQUEST_LOST;
		}
		if (!end)
			return VD_REQUEST_NONE;
		reader->taken += length + 1;
		reader->searched = reader->taken;
		if (!is_blank(line, length))
			return read_line(line, length, request, error);
	}
}
