/* SPDX-License-Identifier: MIT */
/*
 * From the bytes that a client sends to requests: one JSON object in each line.
 *
 * Lines are what keeps the two sides in step. What is no request but ends in time costs an answer that says so, and the next
 * line is read as if nothing had been; a line that is too long has no end that could be waited for.
 */
#ifndef VERDICT_TOOLS_CONTROL_REQUEST_H
#define VERDICT_TOOLS_CONTROL_REQUEST_H

#include <jansson.h>
#include <stddef.h>

#include <verdict/engine.h>

#define VD_REQUEST_MAX 65536u /* bytes of a line, its end not counted */

struct vd_request_reader {
	size_t limit;	 /* of a line, up to VD_REQUEST_MAX */
	size_t length;	 /* bytes that are there; */
	size_t taken;	 /* of them: lines that were returned; */
	size_t searched; /* of them: no end of a line behind those */
	char bytes[VD_REQUEST_MAX + 1];
};

enum vd_request_result {
	VD_REQUEST_NONE, /* a whole line is not there yet */
	VD_REQUEST_GOOD, /* *request is the caller's to json_decref() */
	VD_REQUEST_BAD,	 /* the sentence says why; the next one may be good */
	VD_REQUEST_LOST, /* too long: whatever follows cannot be understood */
};

void vd_request_init(struct vd_request_reader *reader, size_t limit);

/* Where the next bytes have to be put; *size is at least 1 once vd_request_next() has said VD_REQUEST_NONE. */
char *vd_request_room(struct vd_request_reader *reader, size_t *size);
void vd_request_received(struct vd_request_reader *reader, size_t length);

enum vd_request_result vd_request_next(struct vd_request_reader *reader, json_t **request, struct vd_error *error);

#endif
