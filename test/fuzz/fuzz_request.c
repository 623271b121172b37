/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: the reader of requests. The oracle is a model that has the whole input before it, and cuts it at the ends of
 * lines: however the bytes come, the same requests are read, the same lines are refused, and nothing behind a line that is too
 * long.
 *
 * Input: a byte each for the limit of a line and for how the bytes come, then the bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/control/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vd_request_reader reader;

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "oracle: %s\n", what);
	abort();
}

/* What the next line is; *at moves behind it. */
static enum vd_request_result model(const char *bytes, size_t size, size_t limit, size_t *at, json_t **request)
{
	*request = NULL;
	for (;;) {
		const char *line = bytes + *at, *end = memchr(line, '\n', size - *at);
		size_t length = end ? (size_t)(end - line) : size - *at;
		char text[300];
		size_t blanks;

		if (length > limit)
			return VD_REQUEST_LOST;
		if (!end)
			return VD_REQUEST_NONE;
		*at += length + 1;
		memcpy(text, line, length);
		text[length] = '\0';
		blanks = strspn(text, " \t\r");
		if (blanks == length)
			continue;
		*request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
		if (json_is_object(*request) && json_is_string(json_object_get(*request, "command")))
			return VD_REQUEST_GOOD;
		json_decref(*request);
		*request = NULL;
		return VD_REQUEST_BAD;
	}
}

/* All that can be read now is what the model reads. Returns false when nothing more will be read. */
static bool compare(const char *bytes, size_t come, size_t limit, size_t *at)
{
	enum vd_request_result seen, wanted;

	do {
		struct vd_error error = {""};
		json_t *request, *expected;

		seen = vd_request_next(&reader, &request, &error);
		wanted = model(bytes, come, limit, at, &expected);
		must(seen == wanted, "another result");
		must(!request == (seen != VD_REQUEST_GOOD), "a request where there is none, or none where there is one");
		must(!request || json_equal(request, expected), "another request");
		must((seen != VD_REQUEST_BAD && seen != VD_REQUEST_LOST) || *error.text, "refused without a sentence");
		for (const char *c = error.text; *c; c++)
			must((unsigned char)*c >= ' ' && *c != 127, "a sentence that cannot be printed");
		json_decref(request);
		json_decref(expected);
	} while (seen == VD_REQUEST_GOOD || seen == VD_REQUEST_BAD);
	return seen == VD_REQUEST_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t limit, come = 0, at = 0;
	uint32_t steps;
	const char *bytes;

	if (size < 2)
		return 0;
	limit = 1 + data[0];
	steps = data[1] * 2654435761u;
	bytes = (const char *)data + 2;
	size -= 2;
	vd_request_init(&reader, limit);
	while (compare(bytes, come, limit, &at) && come < size) {
		size_t room, more;
		char *where = vd_request_room(&reader, &room);

		must(room >= 1 && room <= limit + 1, "no room, or too much");
		steps = steps * 1664525u + 1013904223u;
		more = data[1] ? 1 + (steps >> 16) % data[1] : room; /* 0: as much as there is */
		if (more > room)
			more = room;
		if (more > size - come)
			more = size - come;
		memcpy(where, bytes + come, more);
		vd_request_received(&reader, more);
		come += more;
	}
	return 0;
}
