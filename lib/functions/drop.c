/* SPDX-License-Identifier: MIT */
/*
 * drop: no packet goes on. The twin of accept.c.
 */
#include <verdict/function.h>

static void decide_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	(void)packets;
	(void)state;
	for (unsigned i = 0; i < count; i++)
		verdicts[i] = VD_DROP;
}

VD_FUNCTION(.name = "drop", .summary = "drops every packet", .bytes = VD_HEADERS, .decide_burst = decide_burst);
