/* SPDX-License-Identifier: MIT */
/*
 * Counts what the kernel's connection tracking says, once it was asked for.
 */
#include <verdict/function.h>

enum { WITH_INFO, WITH_ID, WITH_MARK, WITHOUT };
static const char *const counters[] = {
	[WITH_INFO] = "with-info", [WITH_ID] = "with-id", [WITH_MARK] = "with-mark", [WITHOUT] = "without", NULL};

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	uint32_t number;
	bool info = !vd_packet_conntrack_info(packet, &number), id = !vd_packet_conntrack_id(packet, &number);
	bool mark = !vd_packet_conntrack_mark(packet, &number);

	(void)state;
	vd_count(packet, WITH_INFO, info);
	vd_count(packet, WITH_ID, id);
	vd_count(packet, WITH_MARK, mark);
	vd_count(packet, WITHOUT, !info && !id && !mark);
	return VD_NEXT;
}

VD_FUNCTION(.name = "needs-conntrack", .summary = "counts packets that conntrack knows", .bytes = VD_HEADERS,
	    .needs = VD_NEEDS_CONNTRACK, .counters = counters, .decide = decide);
