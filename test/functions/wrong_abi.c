/* SPDX-License-Identifier: MIT */
/*
 * A function from another age: the engine must refuse it without looking further.
 */
#include <verdict/function.h>

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_DROP;
}

extern const struct vd_function vd_function;
const struct vd_function vd_function = {.abi = 999, .size = sizeof(struct vd_function), .name = "wrong-abi", .decide = decide};
