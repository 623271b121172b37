/* SPDX-License-Identifier: MIT */
/* One sentence about what went wrong. */
#ifndef VERDICT_ENGINE_ERROR_H
#define VERDICT_ENGINE_ERROR_H

#include <verdict/engine.h>

/* Writes the sentence and returns `code`, so that a caller can say: return vd_error_set(error, -EINVAL, "..."). */
int vd_error_set(struct vd_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "text: " in front of what it says. */
void vd_error_prefix(struct vd_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
