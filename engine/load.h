/* SPDX-License-Identifier: MIT */
/* Finding and opening the file of a verdict function. */
#ifndef VERDICT_ENGINE_LOAD_H
#define VERDICT_ENGINE_LOAD_H

#include <verdict/engine.h>

/* A function in an open library. */
struct vd_loaded {
	void *library; /* dlclose() it when done */
	const struct vd_function *function;
	const char *arguments; /* within the specification */
};

/* specification: NAME[:ARGUMENTS] or PATH[:ARGUMENTS], as in vd_engine_load_function(). */
int vd_load_function(const char *specification, struct vd_loaded *loaded, struct vd_error *error);

#endif
