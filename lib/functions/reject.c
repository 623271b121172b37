/* SPDX-License-Identifier: MIT */
/*
 * reject[:KIND]: every packet is dropped, and its sender is told. Ends a chain of functions that accept what may pass.
 *
 * Shows a verdict that the engine has to be made ready for (`.needs`), and arguments that may be left out.
 */
#include <ctype.h>
#include <stdlib.h>

#include <verdict/function.h>

struct kind {
	enum vd_reject how;
	unsigned code; /* of VD_REJECT_CODE */
};

static const struct {
	const char *name;
	enum vd_reject how;
} names[] = {
	{"closed", VD_REJECT_CLOSED},		{"tcp-reset", VD_REJECT_TCP_RESET},
	{"port-unreachable", VD_REJECT_PORT},	{"host-unreachable", VD_REJECT_HOST},
	{"no-route", VD_REJECT_NETWORK},	{"admin-prohibited", VD_REJECT_PROHIBITED},
};

/* "code:N" */
static bool parse_code(const char *text, struct kind *kind)
{
	char *end;

	if (strncmp(text, "code:", 5) || !isdigit((unsigned char)text[5]))
		return false;
	*kind = (struct kind){.how = VD_REJECT_CODE, .code = (unsigned)strtoul(text + 5, &end, 10)};
	return end - text <= 7 && !*end && kind->code <= 15;
}

static bool parse_kind(const char *text, struct kind *kind)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(text, names[i].name)) {
			*kind = (struct kind){.how = names[i].how};
			return true;
		}
	return !*text || parse_code(text, kind);
}

static int open_reject(struct vd_open *open, void **shared)
{
	struct kind kind = {.how = VD_REJECT_CLOSED}, *copy;

	if (!parse_kind(open->arguments, &kind))
		return vd_open_error(open, "KIND must be closed, tcp-reset, port-unreachable, host-unreachable, no-route, "
				     "admin-prohibited, or code:N with N from 0 to 15, not '%s'", open->arguments);
	copy = malloc(sizeof *copy);
	if (!copy) {
		vd_open_error(open, "out of memory");
		return -ENOMEM;
	}
	*copy = kind;
	*shared = copy;
	return 0;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const struct kind *kind = state;

	return kind->how == VD_REJECT_CODE ? vd_packet_reject_code(packet, kind->code) : vd_packet_reject(packet, kind->how);
}

VD_FUNCTION(.name = "reject", .summary = "drops every packet, and tells its sender", .usage = "[KIND]", .bytes = VD_HEADERS,
	    .needs = VD_NEEDS_REJECT, .open = open_reject, .close = free, .decide = decide);
