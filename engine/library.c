/* SPDX-License-Identifier: MIT */
/*
 * A function's file may be written over while it decides: cp(1) does that, and the code would change under the threads that
 * run it, or be gone. So a copy in memory is opened, which nobody else has. That makes it a library of its own each time, too: a
 * reload gets the file that is there now, not what the dynamic linker knows by that name; and what a function keeps in
 * static variables is not shared with the one whose place it takes.
 *
 * Debuggers and profilers find symbols by the file's name, and a copy has none: with IN_PLACE in the environment the file itself
 * is opened.
 */
#include "engine/library.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define IN_PLACE "VERDICT_FUNCTION_IN_PLACE"

/* As many names as there may be libraries at once: all functions of two generations, and some. */
#define NAMES 512

static int copy(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("function", MFD_CLOEXEC);
	char buffer[16384];
	ssize_t got = -1;

	while (from >= 0 && to >= 0 && (got = read(from, buffer, sizeof buffer)) > 0)
		if (write(to, buffer, (size_t)got) != got)
			break;
	if (from >= 0)
		close(from);
	if (got == 0)
		return to;
	if (to >= 0)
		close(to);
	return -1;
}

/* The linker compares names, and the copies would all have the same one: so they differ in the number of slashes. */
static void *open_descriptor(int descriptor)
{
	static _Atomic unsigned count;
	char name[NAMES + 64];
	/* relaxed: a number, nothing hangs on it */
	int slashes = 1 + (int)(atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) % NAMES);
	int used = snprintf(name, sizeof name, "/proc/self/fd");

	while (slashes--)
		name[used++] = '/';
	snprintf(name + used, sizeof name - (size_t)used, "%d", descriptor);
	return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

void *vd_library_open(const char *path)
{
	int descriptor = getenv(IN_PLACE) ? -1 : copy(path);
	void *library = descriptor >= 0 ? open_descriptor(descriptor) : NULL;

	if (descriptor >= 0)
		close(descriptor); /* it is mapped */
	return library ? library : dlopen(path, RTLD_NOW | RTLD_LOCAL); /* and says what is wrong by the file's name */
}
