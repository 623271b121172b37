/* SPDX-License-Identifier: MIT */
/*
 * mark:VALUE[/MASK] gives packets a mark and leaves the decision to the functions behind it.
 *
 * Shows arguments: open() reads them once, refuses wrong ones with a sentence for the user, and hands what it read to
 * every decide() as `state`. The state is shared by all threads, which is safe because nobody writes to it any more.
 */
#include <ctype.h>
#include <stdlib.h>

#include <verdict/function.h>

struct mark {
	uint32_t value;
	uint32_t mask; /* the bits that are set; the others stay as they are */
};

/* A number in C's notation; *end is what stands behind it. strtoull() alone would take " -1" for a number. */
static bool parse_mark(const char *text, const char **end, uint32_t *value)
{
	char *behind;
	unsigned long long number;

	if (!isdigit((unsigned char)*text))
		return false;
	number = strtoull(text, &behind, 0);
	*end = behind;
	*value = (uint32_t)number;
	return number <= UINT32_MAX;
}

static int open_mark(struct vd_open *open, void **shared)
{
	const char *end = NULL, *text = open->arguments;
	struct mark mark = {.mask = UINT32_MAX}, *copy;

	if (!*text)
		return vd_open_error(open, "which mark? Say mark:VALUE or mark:VALUE/MASK, for example mark:0x10/0xf0");
	if (!parse_mark(text, &end, &mark.value) || (*end && *end != '/'))
		return vd_open_error(open, "VALUE must be a number from 0 to 0xffffffff (10, 0xa, 012), not '%.*s'",
				     (int)strcspn(text, "/"), text);
	if (*end == '/') {
		text = end + 1;
		if (!parse_mark(text, &end, &mark.mask) || *end)
			return vd_open_error(open, "MASK must be a number from 0 to 0xffffffff (240, 0xf0, 0360), not '%s'",
					     text);
	}

	copy = malloc(sizeof *copy);
	if (!copy) {
		vd_open_error(open, "out of memory");
		return -ENOMEM;
	}
	*copy = mark;
	*shared = copy;
	return 0;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const struct mark *mark = state;

	vd_packet_set_mark(packet, (vd_packet_mark(packet) & ~mark->mask) | (mark->value & mark->mask));
	return VD_NEXT;
}

VD_FUNCTION(.name = "mark", .summary = "sets the packet's mark, and leaves the decision to the next function",
	    .usage = "VALUE[/MASK]", .bytes = VD_HEADERS, .open = open_mark, .close = free, .decide = decide);
