/* SPDX-License-Identifier: MIT */
/*
 * What rules have sent to queues, and what of it has passed since no room was there: the door of this room.
 *
 * The kernel does not count what passes by fail-open. But a rule counts each packet that it sends to a queue, and the queue each one
 * that it took or dropped; while the queue is bound, what is missing has passed.
 *
 *	ruled.c   sets the one against the other
 *	look.c	  reads both
 *	legacy.c  rules of iptables-legacy: the kernel's tables, by getsockopt(2)
 *	nft.c	  rules of nf_tables, also those that iptables-nft made: by netlink
 *	rules.c   rules whose queues overlap, together
 *
 * No program is run, and no module is loaded. All of it looks into the queues' network namespace, and needs CAP_NET_ADMIN there.
 * Any thread may call; one waits for the other.
 */
#ifndef VERDICT_TOOLS_RULED_H
#define VERDICT_TOOLS_RULED_H

#include <verdict/engine.h>

/* Each has a queue of ours that no other one has. */
#define VD_RULED_MAX VD_ENGINE_QUEUES_MAX

/* Why it is not known how many have passed. */
enum vd_ruled_doubt {
	VD_RULED_SURE,
	VD_RULED_COMPUTED,   /* a rule of nf_tables computes a queue's number, so it may be any */
	VD_RULED_UNCOUNTED,  /* one has no counter right before it queues */
	VD_RULED_OTHER,	     /* not all of these queues are read by this process */
	VD_RULED_SEGMENTS,   /* the kernel cuts packets behind the rule: one there is several here */
};
#define VD_RULED_DOUBTS 5

/* The queues of a rule; if those of several overlap, all of them. */
struct vd_ruled_range {
	uint16_t first, last;
	uint32_t rules;		 /* that there are now */
	bool has_bypass;	 /* one of them */
	uint64_t packets;	 /* that they have counted */
	uint64_t packets_before; /* of them: when the queues were bound */
	uint64_t offered;	 /* what the queues took or dropped since then */
	uint64_t queue_passed;	 /* what passed undecided, as a queue was full: never goes down. Not with a doubt */
	uint32_t resets;	 /* how often rules were changed so that this is what has passed at least */
	enum vd_ruled_doubt doubt;
};

struct vd_ruled_stats {
	bool is_unread; /* rules, or queues, could not be read: what is here was read before, if at all */
	unsigned count; /* in the order of their queues */
	struct vd_ruled_range ranges[VD_RULED_MAX];
};

struct vd_ruled;

/* `netns` as in struct vd_engine_options. NULL: out of memory, or there is no such namespace. Rules are read later. */
struct vd_ruled *vd_ruled_open(const char *netns);

enum vd_ruled_when {
	VD_RULED_LATELY, /* a reading that is young may do, if one takes long */
	VD_RULED_NOW,
	VD_RULED_LAST,	 /* now, and from then on what was read is what there is: the queues are about to be given back */
};

/*
 * Of the queues that are read, as vd_engine_queue_stats() has them. The first call behind their binding is what is counted from; a
 * queue that comes later begins with the next one. `ruled` NULL: there are none; `stats` NULL: nobody wants to see them.
 */
void vd_ruled_read(struct vd_ruled *ruled, enum vd_ruled_when when, const struct vd_queue_stats *queues, unsigned queue_count,
		   struct vd_ruled_stats *stats);

/* NULL is fine. */
void vd_ruled_close(struct vd_ruled *ruled);

#endif
