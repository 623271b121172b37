/* SPDX-License-Identifier: MIT */
/*
 * requeue:QUEUE[,bypass] sends packets on to another queue, whose reader decides.
 *
 * A packet that came through QUEUE already is left to the next function: it would go round for ever.
 */
#include <ctype.h>
#include <stdlib.h>

#include <verdict/function.h>

struct requeue {
	uint16_t queue;
	bool bypass; /* nobody reads that queue: accept the packet, instead of dropping it */
};

static int open_requeue(struct vd_open *open, void **shared)
{
	const char *text = open->arguments;
	unsigned long long queue;
	struct requeue *requeue;
	char *end;

	if (!*text)
		return vd_open_error(open, "which queue? Say requeue:QUEUE or requeue:QUEUE,bypass, for example requeue:7");
	queue = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || (*end && *end != ',') || queue > UINT16_MAX)
		return vd_open_error(open, "QUEUE must be a number from 0 to 65535, not '%.*s'", (int)strcspn(text, ","),
				     text);
	if (*end && strcmp(end, ",bypass"))
		return vd_open_error(open, "behind QUEUE only ',bypass' may stand, not '%s'", end);

	requeue = malloc(sizeof *requeue);
	if (!requeue) {
		vd_open_error(open, "out of memory");
		return -ENOMEM;
	}
	requeue->queue = (uint16_t)queue;
	requeue->bypass = *end == ',';
	*shared = requeue;
	return 0;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const struct requeue *requeue = state;

	if (vd_packet_queue(packet) == requeue->queue)
		return VD_NEXT;
	return vd_packet_requeue(packet, requeue->queue, requeue->bypass);
}

VD_FUNCTION(.name = "requeue", .summary = "sends packets to another queue", .usage = "QUEUE[,bypass]",
	    .bytes = VD_HEADERS, .open = open_requeue, .close = free, .decide = decide);
