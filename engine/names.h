/* SPDX-License-Identifier: MIT */
/*
 * What functions are called, and their counters. Statistics refer to it as long as the engine lives, longer than the library that
 * it came from, if that is replaced: so it is copied, once for all functions that are called the same.
 *
 * Who may call: whoever adds functions or reloads. What was kept never changes.
 */
#ifndef VERDICT_ENGINE_NAMES_H
#define VERDICT_ENGINE_NAMES_H

#include <verdict/function.h>

struct vd_names {
	struct vd_names *next;
	const char *name;
	unsigned counter_count;
	const char *counters[]; /* ended by NULL */
};

/* This function's; of a list that begins as NULL. NULL: out of memory. */
const struct vd_names *vd_names_keep(struct vd_names **list, const struct vd_function *function);
void vd_names_free(struct vd_names **list);

#endif
