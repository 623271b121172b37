/* SPDX-License-Identifier: MIT */
/*
 * Telling the senders of rejected packets: raw sockets in the network namespace of the queues, which only send, and a limit.
 *
 * Who may call: open and close the thread that runs the engine, while no worker does; send any worker, with its own index.
 */
#ifndef VERDICT_ENGINE_ANSWERS_H
#define VERDICT_ENGINE_ANSWERS_H

#include "engine/rate.h"

#include <verdict/engine.h>

/* What became of an answer. */
enum vd_answer_fate {
	VD_ANSWER_SENT,
	VD_ANSWER_LIMITED, /* over the rate */
	VD_ANSWER_NONE,	   /* the packet must not be answered, or cannot be as it was asked for */
	VD_ANSWER_FAILED,  /* the kernel did not send it */
};
#define VD_ANSWER_FATE_COUNT 4

/* Sockets by IP version, IPv4 first; -1: this kernel does not know that version. */
struct vd_answer_sockets {
	int descriptors[2];
};

struct vd_answers {
	bool is_on;
	struct vd_answer_sockets raw;	 /* of all workers */
	struct vd_answer_sockets *scouts; /* of each: UDP sockets, which are connected to ask for a route */
	unsigned scout_count;
	struct vd_rate rate;
};

/* Opens all sockets. -EPERM: no CAP_NET_RAW. On failure nothing stays open. */
int vd_answers_open(struct vd_answers *answers, const struct vd_engine_options *options, unsigned workers,
		    struct vd_error *error);

/* Also of what was never opened. */
void vd_answers_close(struct vd_answers *answers);

/* Answers the sender of a packet from a kernel's queue; what was edited in the packet is completed. */
enum vd_answer_fate vd_answers_send(struct vd_answers *answers, unsigned worker, struct vd_packet *packet);

#endif
