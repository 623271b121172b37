/* SPDX-License-Identifier: MIT */
/*
 * accept: every packet goes on its way. Ends a chain of functions, and shows the burst form at its smallest.
 */
#include <verdict/function.h>

/* One call decides up to VD_BURST_MAX packets: worth it where a call per packet would cost more than the decision. */
static void decide_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	(void)packets;
	(void)state;
	for (unsigned i = 0; i < count; i++)
		verdicts[i] = VD_ACCEPT;
}

/* No `.usage`: the engine refuses arguments. `.bytes`: nothing is read, and VD_HEADERS costs as little as nothing. */
VD_FUNCTION(.name = "accept", .summary = "accepts every packet", .bytes = VD_HEADERS, .decide_burst = decide_burst);
