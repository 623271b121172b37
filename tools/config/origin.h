/* SPDX-License-Identifier: MIT */
/* Where a setting was written, and sentences that begin with it. */
#ifndef VERDICT_TOOLS_ORIGIN_H
#define VERDICT_TOOLS_ORIGIN_H

#include <verdict/engine.h>

struct vd_origin {
	const char *file; /* as it was named; NULL: on the command line */
	unsigned line;	  /* 0: unknown */
};

/* "FILE:LINE: " and the sentence; returns `code`. */
int vd_origin_error(struct vd_error *error, const struct vd_origin *origin, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Puts "FILE:LINE: " in front of what it says; returns `code`. */
int vd_origin_prefix(struct vd_error *error, const struct vd_origin *origin, int code);

/* A value for a sentence: control characters are replaced, and the end of what is too long. Returns `room`. */
#define VD_SHOWN_SIZE 80
const char *vd_show_text(const char *text, char room[VD_SHOWN_SIZE]);

#endif
