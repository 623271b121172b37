/* SPDX-License-Identifier: MIT */
/*
 * fault[:EVERY] returns 99, which is no verdict, for every EVERYth packet that it sees (1: all, the default).
 */
#include <stdatomic.h>
#include <stdlib.h>

#include <verdict/function.h>

static unsigned long every = 1;
static atomic_ulong seen; /* relaxed: a count, nothing hangs on it */

static int open_fault(struct vd_open *open, void **shared)
{
	(void)shared;
	every = *open->arguments ? strtoul(open->arguments, NULL, 10) : 1;
	atomic_store_explicit(&seen, 0, memory_order_relaxed);
	return every ? 0 : vd_open_error(open, "EVERY must be a number from 1 on, not '%s'", open->arguments);
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return (atomic_fetch_add_explicit(&seen, 1, memory_order_relaxed) + 1) % every ? VD_NEXT : (enum vd_verdict)99;
}

VD_FUNCTION(.name = "fault", .summary = "returns what is no verdict", .usage = "[EVERY]", .bytes = VD_HEADERS,
	    .open = open_fault, .decide = decide);
