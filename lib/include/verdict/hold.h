/* SPDX-License-Identifier: MIT */
/*
 * Holding a packet: a function that cannot decide yet lets the packet wait, and decides later, from any thread: when a person has
 * answered, a DNS reply has come, another process has said so. verdict-function(7) has an example.
 *
 *	static int open(struct vd_open *open, void **shared)
 *	{
 *		holder = open->holder;				for the thread that decides
 *		...
 *	}
 *
 *	static enum vd_verdict decide(struct vd_packet *packet, void *state)
 *	{
 *		struct vd_hold hold = {.deadline_ms = 5000, .verdict = VD_DROP};
 *		uint64_t ticket;
 *		enum vd_verdict verdict = vd_packet_hold(packet, &hold, &ticket);
 *
 *		if (verdict == VD_HELD)
 *			ask(packet, ticket);			a copy of what is to be known of it
 *		return verdict;
 *	}
 *
 *	vd_hold_decide(holder, ticket, VD_ACCEPT);		later, anywhere
 *
 * The function declares VD_NEEDS_HOLD. A held packet waits in the kernel's queue, and counts there for --maxlen; the engine keeps
 * what its verdict needs, 256 bytes at most, and its bytes if they were changed. It takes no slot and no thread.
 *
 * Ownership: the packet is the engine's, as ever: the function keeps the ticket, and copies what else it wants to know. A holder is
 *            the engine's too, and lives as long as that: also longer than the function, over its close().
 * Reload:    what is held goes on being held. Tickets stay good, for whoever knows them: also for the next generation of the
 *            function, which has the same holder. What nobody decides gets its deadline's verdict then.
 * Stop:      when the engine stops, or the packet's queue goes in a reload, the deadline has come.
 */
#ifndef VERDICT_HOLD_H
#define VERDICT_HOLD_H

#include <verdict/packet.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VD_HOLD_DEADLINE_MS_MAX 3600000u

/* The engine's, in `open->holder`. */
struct vd_holder;

struct vd_hold {
	uint32_t deadline_ms;	 /* 1 to VD_HOLD_DEADLINE_MS_MAX; by a clock that only goes forward */
	enum vd_verdict verdict; /* when nobody has decided by then: VD_ACCEPT or VD_DROP */
	bool with_flow;		 /* packets of the same flow that come behind it wait too: no function sees them, they get its
				    verdict, and go on behind it in their order. Without, they are decided as they come, and pass it */
};

/*
 * In decide() or decide_burst() only: `return vd_packet_hold(packet, &hold, &ticket);`. VD_HELD: it is held as soon as the
 * function returns that, with the marks and edits that were made before; *ticket is its name, and good at once: it may be
 * decided before the function has returned. VD_NEXT: it cannot be held (--held-max packets are, or there is no memory), so
 * decide now, or leave it to the next function; *ticket is 0. A function that holds a packet and then returns something else has
 * decided, and its ticket is void. To return VD_HELD without this call, with a hold that is out of range, or without
 * having declared VD_NEEDS_HOLD is a fault.
 *
 * With `with_flow` from decide_burst(): packets of the flow that came in the same burst have been seen; what was said of them does
 * not count, and they wait.
 */
enum vd_verdict vd_packet_hold(struct vd_packet *packet, const struct vd_hold *hold, uint64_t *ticket);

/* What a held packet gets. */
struct vd_decision {
	enum vd_verdict verdict; /* VD_ACCEPT, VD_DROP, VD_REPEAT or VD_STOP */
	bool sets_mark;		 /* with this mark, as vd_packet_set_mark() */
	bool sets_conntrack_mark; /* and its connection with that one, as vd_packet_set_conntrack_mark() */
	uint32_t mark;
	uint32_t conntrack_mark;
};

/*
 * Decides a held packet, and those that wait behind it. Any thread, any time, also within the function's own decide(). 0: it will
 * be sent, in the order of decisions; -ESTALE: there is no such ticket (any more): it was decided, its deadline has passed, or
 * the engine has stopped; -EINVAL: no verdict that this can give.
 */
int vd_hold_decide(struct vd_holder *holder, uint64_t ticket, enum vd_verdict verdict);
int vd_hold_decide_with(struct vd_holder *holder, uint64_t ticket, const struct vd_decision *decision);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
