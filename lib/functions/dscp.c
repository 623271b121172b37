/* SPDX-License-Identifier: MIT */
/*
 * dscp:N and dscp:NAME set the differentiated services code point, and leave the packet to the next function.
 *
 * Shows an edit that is not worth a packet: where it cannot be edited, it goes on as it is, and is counted.
 */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include <verdict/function.h>

#define DSCP_MAX 63u

enum { CHANGED, UNEDITABLE };
static const char *const counters[] = {[CHANGED] = "changed", [UNEDITABLE] = "uneditable", NULL};

static const struct {
	const char *name;
	uint8_t dscp;
} names[] = {
	/* RFC 2474 */
	{"cs0", 0}, {"cs1", 8}, {"cs2", 16}, {"cs3", 24}, {"cs4", 32}, {"cs5", 40}, {"cs6", 48}, {"cs7", 56},
	/* RFC 2597 */
	{"af11", 10}, {"af12", 12}, {"af13", 14}, {"af21", 18}, {"af22", 20}, {"af23", 22},
	{"af31", 26}, {"af32", 28}, {"af33", 30}, {"af41", 34}, {"af42", 36}, {"af43", 38},
	{"ef", 46}, /* RFC 3246 */
	{"va", 44}, /* voice-admit, RFC 5865 */
	{"le", 1},  /* RFC 8622 */
};

static bool parse_dscp(const char *text, uint8_t *dscp)
{
	unsigned long long number;
	char *end;

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcasecmp(text, names[i].name)) {
			*dscp = names[i].dscp;
			return true;
		}
	if (!isdigit((unsigned char)*text))
		return false;
	number = strtoull(text, &end, 10);
	*dscp = (uint8_t)number;
	return !*end && number <= DSCP_MAX;
}

static int open_dscp(struct vd_open *open, void **shared)
{
	uint8_t *dscp;

	if (!*open->arguments)
		return vd_open_error(open, "which code point? Say dscp:N or dscp:NAME, for example dscp:46 or dscp:ef");
	dscp = malloc(sizeof *dscp);
	if (!dscp) {
		vd_open_error(open, "out of memory");
		return -ENOMEM;
	}
	if (!parse_dscp(open->arguments, dscp)) {
		free(dscp);
		return vd_open_error(open, "it must be a number from 0 to 63 or one of cs0 to cs7, af11 to af43, ef, va, le, "
				     "not '%s'", open->arguments);
	}
	*shared = dscp;
	return 0;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const uint8_t *dscp = state;

	if (!vd_packet_ip_version(packet) || vd_packet_is_malformed(packet) || vd_packet_dscp(packet) == *dscp)
		return VD_NEXT;
	if (vd_packet_may_edit(packet) || vd_packet_set_dscp(packet, *dscp))
		vd_count(packet, UNEDITABLE, 1);
	else
		vd_count(packet, CHANGED, 1);
	return VD_NEXT;
}

VD_FUNCTION(.name = "dscp", .summary = "sets the DSCP, and leaves the packet to the next function", .usage = "N|NAME",
	    .bytes = VD_WHOLE, .counters = counters, .open = open_dscp, .close = free, .decide = decide);
