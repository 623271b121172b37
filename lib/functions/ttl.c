/* SPDX-License-Identifier: MIT */
/*
 * ttl:N, ttl:+N and ttl:-N set, raise and lower the time to live, or hop limit, and leave the packet to the next function.
 *
 * Shows an edit in its plainest form: one call, and the engine makes the checksums. That the packet cannot be edited is not
 * asked for: a limit that was not set is none, so such a packet gets the engine's fault verdict.
 */
#include <ctype.h>
#include <stdlib.h>

#include <verdict/function.h>

#define TTL_MAX 255u

enum { CHANGED, EXPIRED };
static const char *const counters[] = {[CHANGED] = "changed", [EXPIRED] = "expired", NULL};

struct ttl {
	char sign; /* '+', '-', or 0: N is what it becomes */
	uint8_t number;
};

static int open_ttl(struct vd_open *open, void **shared)
{
	const char *text = open->arguments;
	char sign = *text == '+' || *text == '-' ? *text++ : '\0', *end;
	unsigned long long number;
	struct ttl *ttl;

	if (!*open->arguments)
		return vd_open_error(open, "which TTL? Say ttl:N to set it, ttl:+N to raise it or ttl:-N to lower it, "
				     "for example ttl:64");
	number = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || number > TTL_MAX)
		return vd_open_error(open, "N must be a number from 0 to 255, not '%s'", text);

	ttl = malloc(sizeof *ttl);
	if (!ttl) {
		vd_open_error(open, "out of memory");
		return -ENOMEM;
	}
	ttl->sign = sign;
	ttl->number = (uint8_t)number;
	*shared = ttl;
	return 0;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const struct ttl *ttl = state;
	unsigned before = vd_packet_ttl(packet), after = ttl->number;

	if (!vd_packet_ip_version(packet) || vd_packet_is_malformed(packet))
		return VD_NEXT;
	if (ttl->sign == '-') {
		if (before <= ttl->number) {
			vd_count(packet, EXPIRED, 1);
			return VD_DROP;
		}
		after = before - ttl->number;
	} else if (ttl->sign == '+') {
		after = before + ttl->number < TTL_MAX ? before + ttl->number : TTL_MAX;
	}
	if (after != before && !vd_packet_set_ttl(packet, after))
		vd_count(packet, CHANGED, 1);
	return VD_NEXT;
}

VD_FUNCTION(.name = "ttl", .summary = "sets, raises or lowers the TTL, and leaves the packet to the next function",
	    .usage = "N|+N|-N", .bytes = VD_WHOLE, .counters = counters, .open = open_ttl, .close = free, .decide = decide);
