/* SPDX-License-Identifier: MIT */
/* Opening a function's file as a library. */
#ifndef VERDICT_ENGINE_LIBRARY_H
#define VERDICT_ENGINE_LIBRARY_H

/*
 * As dlopen(), RTLD_NOW | RTLD_LOCAL; but each call makes a library of its own, and what becomes of the file later is of no
 * matter. NULL: dlerror() says why. Any thread.
 */
void *vd_library_open(const char *path);

#endif
