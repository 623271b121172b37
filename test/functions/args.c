/* SPDX-License-Identifier: MIT */
/*
 * args:yes is right; everything else is refused with a sentence.
 */
#include <verdict/function.h>

static int open_args(struct vd_open *open, void **shared)
{
	(void)shared;
	if (strcmp(open->arguments, "yes"))
		return vd_open_error(open, "say args:yes, not '%s'", open->arguments);
	return 0;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_NEXT;
}

VD_FUNCTION(.name = "args", .summary = "takes one argument only", .usage = "yes", .bytes = VD_HEADERS, .open = open_args,
	    .decide = decide);
