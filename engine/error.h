/* SPDX-License-Identifier: MIT */
/* One sentence about what went wrong. */
#ifndef VERDICT_ENGINE_ERROR_H
#define VERDICT_ENGINE_ERROR_H

#include <verdict/engine.h>

/* Writes the sentence and returns `code`, so that a caller can say: return vd_error_set(error, -EINVAL, "..."). */
int vd_error_set(struct vd_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The sentence for a network namespace that cannot be entered, from an error of vd_nfq_in_netns(); returns the code. */
int vd_error_netns(struct vd_error *error, const char *netns, int code);

/* Puts "text: " in front of what it says. */
void vd_error_prefix(struct vd_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
