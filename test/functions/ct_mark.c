/* SPDX-License-Identifier: MIT */
/*
 * ct_mark:VALUE gives each packet's connection that mark. Counters: connections that had it before, that had another mark,
 * packets without a connection.
 */
#include <ctype.h>
#include <stdlib.h>

#include <verdict/function.h>

enum { HAD_IT, HAD_ANOTHER, WITHOUT };
static const char *const counters[] = {[HAD_IT] = "had-it", [HAD_ANOTHER] = "had-another", [WITHOUT] = "without", NULL};

static int open_ct_mark(struct vd_open *open, void **shared)
{
	char *end;
	unsigned long mark = strtoul(open->arguments, &end, 0);

	if (!isdigit((unsigned char)*open->arguments) || *end || mark > UINT32_MAX)
		return vd_open_error(open, "VALUE must be a number from 0 to 0xffffffff, not '%s'", open->arguments);
	*shared = (void *)(uintptr_t)mark;
	return 0;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	uint32_t wanted = (uint32_t)(uintptr_t)state, mark;

	if (vd_packet_conntrack_mark(packet, &mark)) {
		vd_count(packet, WITHOUT, 1);
		return VD_NEXT;
	}
	vd_count(packet, mark == wanted ? HAD_IT : HAD_ANOTHER, 1);
	vd_packet_set_conntrack_mark(packet, wanted);
	return VD_NEXT;
}

VD_FUNCTION(.name = "ct-mark", .summary = "marks the packet's connection", .usage = "VALUE", .bytes = VD_HEADERS,
	    .needs = VD_NEEDS_CONNTRACK, .counters = counters, .open = open_ct_mark, .decide = decide);
