/* SPDX-License-Identifier: MIT */
/*
 * misdeed:KIND[,every=N] does what no function should with packets of N-th id, by default each 10,000th, and leaves others to
 * the next function. KIND: segv, abort, exit, hang, overflow, wild, nonsense.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <verdict/function.h>

enum kind { SEGV, ABORT, EXIT, HANG, OVERFLOW, WILD, NONSENSE, KINDS };

static const char *const NAMES[KINDS] = {"segv", "abort", "exit", "hang", "overflow", "wild", "nonsense"};

struct misdeed {
	enum kind kind;
	uint32_t every;
};

static int open_misdeed(struct vd_open *open, void **shared)
{
	struct misdeed misdeed = {.kind = KINDS, .every = 10000};
	const char *text = open->arguments;
	size_t length = strcspn(text, ",");

	for (unsigned i = 0; i < KINDS; i++)
		if (strlen(NAMES[i]) == length && !strncmp(NAMES[i], text, length))
			misdeed.kind = (enum kind)i;
	text += length;
	if (!strncmp(text, ",every=", 7))
		misdeed.every = (uint32_t)atoi(text + 7);
	if (misdeed.kind == KINDS || !misdeed.every)
		return vd_open_error(open, "say KIND[,every=N], not '%s'", open->arguments);
	*shared = malloc(sizeof misdeed);
	if (!*shared)
		return -ENOMEM;
	memcpy(*shared, &misdeed, sizeof misdeed);
	return 0;
}

static volatile int zero;

/* Its argument is never 0, which the compiler does not know. */
__attribute__((noinline)) static unsigned overflow(volatile unsigned *depth)
{
	volatile unsigned room[1024] = {0};

	room[0] = *depth + 1;
	return room[0] ? overflow(&room[0]) + room[0] : 0;
}

__attribute__((no_sanitize("undefined"))) static enum vd_verdict do_it(struct vd_packet *packet, enum kind kind)
{
	volatile unsigned depth = 0;

	switch (kind) {
	case SEGV:
		*(volatile int *)(uintptr_t)zero = 1;
		break;
	case ABORT:
		abort();
	case EXIT:
		_exit(3);
	case HANG:
		for (;;)
			pause();
	case OVERFLOW:
		overflow(&depth);
		break;
	case WILD: /* over the packet, those behind it, and whatever comes then */
		memset((void *)packet, 0x5a, 1u << 20);
		break;
	case NONSENSE:
		return (enum vd_verdict)77;
	default:
		break;
	}
	return VD_NEXT;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const struct misdeed *misdeed = state;

	return vd_packet_id(packet) % misdeed->every == misdeed->every - 1 ? do_it(packet, misdeed->kind) : VD_NEXT;
}

VD_FUNCTION(.name = "misdeed", .summary = "does what no function should", .usage = "KIND[,every=N]", .bytes = VD_HEADERS,
	    .open = open_misdeed, .close = free, .decide = decide);
