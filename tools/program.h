/* SPDX-License-Identifier: MIT */
/*
 * Running other programs, those of the firewall: without a shell, for a bounded time, with a bounded output. They see the network
 * namespace of the calling thread.
 */
#ifndef VERDICT_TOOLS_PROGRAM_H
#define VERDICT_TOOLS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#define VD_PROGRAM_PATH_SIZE 512

/* Looks in $PATH, and where system programs are: the PATH of most users leaves that out. */
bool vd_program_find(const char *name, char *path, size_t size);

struct vd_program_run {
	const char *path;
	const char *const *arguments; /* the program's name first, NULL at the end */
	const char *input;	      /* on its standard input; NULL: nothing */

	/* filled in */
	char why[96];		/* it failed: "it ended with exit status 3" */
	char complaint[1024];	/* what it wrote to standard error, as far as there is room */
};

/* What it printed, for the caller to free; NULL when it failed, with run->why. */
char *vd_program_run(struct vd_program_run *run);

#endif
