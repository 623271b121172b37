/* SPDX-License-Identifier: MIT */
/*
 * state_fail[:GOOD]: open_state() fails after GOOD states (0, the default: the first one). The good ones are allocated: one
 * that the engine does not close is a leak that AddressSanitizer reports.
 */
#include <stdlib.h>

#include <verdict/function.h>

struct shared {
	unsigned long left;
};

static int open_state_fail(struct vd_open *open, void **shared)
{
	struct shared *made = malloc(sizeof *made);

	if (!made)
		return -ENOMEM;
	made->left = strtoul(open->arguments, NULL, 10);
	*shared = made;
	return 0;
}

static int open_state(void *shared, void **state)
{
	struct shared *made = shared;

	if (!made->left)
		return -ENOMEM;
	made->left--;
	*state = malloc(1);
	return *state ? 0 : -ENOMEM;
}

static void close_state(void *shared, void *state)
{
	(void)shared;
	free(state);
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_NEXT;
}

VD_FUNCTION(.name = "state-fail", .summary = "cannot make its states", .usage = "[GOOD]", .bytes = VD_HEADERS,
	    .scope = VD_SCOPE_FLOW, .open = open_state_fail, .close = free, .open_state = open_state,
	    .close_state = close_state, .decide = decide);
