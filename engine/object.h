/* SPDX-License-Identifier: MIT */
/*
 * A shared object's file, before it is loaded. dlopen() maps what the headers promise and does not look whether the file is
 * that long: of one that was cut short it touches what is not there, and the program dies.
 */
#ifndef VERDICT_ENGINE_OBJECT_H
#define VERDICT_ENGINE_OBJECT_H

#include <stdbool.h>

/* Whether the file lacks something that its own headers promise. False for what is no object at all: dlopen() says that well. */
bool vd_object_is_cut_short(const char *path);

#endif
