/* SPDX-License-Identifier: MIT */
/*
 * Functions in processes of their own, so that what one of them does costs a packet and not the engine (VD_ISOLATION_PROCESS).
 *
 *	engine				nursery				host (several, one after the other)
 *	vd_host_open() forks it ──▶	opens the functions
 *	loads libraries, calls		gives up what it may do
 *	nothing in them			forks hosts from itself ──▶	a thread for each worker
 *
 *	worker				mailbox, in shared memory	the worker's thread
 *	copies a burst ──────────▶	copies of packets	──▶	vd_chain_decide() on the copies
 *	waits, no longer than		verdicts, what changed,	◀──	where it stands, all the time
 *	the deadline; looks at	◀──	what was counted
 *	what it gets, and takes it over
 *
 * A host so begins with what open() made, at the cost of a fork; and a spare one is always ready, which takes over when the
 * first has died. The nursery never decides on anything: it has one thread, which waits.
 *
 * All or nothing: the packets themselves are the engine's alone. If a host dies with a burst, that is decided anew by the next one
 * without the packet that did it, which gets the fault verdict. What functions count is added up when the burst is complete.
 *
 * Nothing that a host writes is trusted (host_pack.c): it can answer wrongly, but it cannot harm the engine.
 *
 *	host.c		the engine's side: a nursery for each chain, and its end
 *	host_decide.c	the engine's side: a burst
 *	host_apart.c	and the CPU that the worker asks from
 *	host_pack.c	what goes into a mailbox, and what is taken out of it
 *	host_nursery.c	the nursery
 *	host_process.c	a host
 */
#ifndef VERDICT_ENGINE_HOST_H
#define VERDICT_ENGINE_HOST_H

#include "engine/chain.h"

struct vd_engine;
struct vd_host;
struct vd_lane;
struct vd_worker;

/*
 * Makes the nursery, in which `open(argument, error)` opens the chain's functions. When it returns, a host is ready, and chain->host
 * is set, chain->bytes and ->needs. 0 or -errno with the sentence; nothing is left behind then. `engine`: whose options.confine it is.
 */
int vd_host_open(const struct vd_engine *engine, struct vd_chain *chain, int (*open)(void *argument, struct vd_error *error),
		 void *argument, struct vd_error *error);

/* Has the functions closed, and ends all of its processes: within seconds, whatever functions do. Nobody decides any more. */
void vd_host_close(struct vd_host *host);

/* NULL is fine. */
void vd_host_destroy(struct vd_host *host);

/* As vd_chain_decide(), for a chain that has a host; how many packets had none to decide on them is in outcome->without_host. */
void vd_host_decide(struct vd_worker *worker, struct vd_lane *lane, enum vd_verdict fault_verdict,
		    struct vd_packet *const *packets, unsigned count, struct vd_outcome *outcome);

/* Hosts that had to be replaced so far. Any thread. */
uint64_t vd_host_restarts(const struct vd_host *host);

#endif
