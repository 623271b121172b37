/* SPDX-License-Identifier: MIT */
/*
 * The chain of verdict functions: opened once before any packet, then run over bursts by all workers.
 *
 * Who may call: vd_chain_decide() any worker, with its own index, holding the packets' shards (or the lane, when it decides on
 * the spot); the others the thread that runs the engine, while no worker does.
 */
#ifndef VERDICT_ENGINE_CHAIN_H
#define VERDICT_ENGINE_CHAIN_H

#include <stdatomic.h>

#include "engine/names.h"

#include <verdict/engine.h>

/* What one worker counted of one function; written by that worker only, relaxed, read by anybody. */
struct vd_link_tally {
	uint64_t packets;
	uint64_t verdicts[VD_VERDICT_COUNT];
	uint64_t faults;
	uint64_t crashes;
	uint64_t hangs;
	struct vd_context context; /* the named counters, behind this */
};

struct vd_link;
struct vd_host;

/* Where a worker stands, for whoever finds it dead there: host.h. */
struct vd_standing {
	uint32_t link;	 /* VD_STANDING_NOWHERE: with no function */
	uint32_t packet; /* by vd_slot.index; VD_STANDING_BURST: some of those that the function was given together */
};
#define VD_STANDING_NOWHERE UINT32_MAX
#define VD_STANDING_BURST UINT32_MAX

/* What functions counted whose place this one has taken. */
struct vd_past {
	struct vd_function_stats sum;
	const struct vd_link *predecessor; /* and this one, which may still count; or NULL */
};

struct vd_link {
	struct vd_function function; /* a copy, as long as this engine's struct: older ones end in zeros */
	char *arguments;
	void *library; /* of dlopen(); NULL: the program's own */
	bool is_open;
	bool may_reject; /* it declared VD_NEEDS_REJECT */
	bool may_hold;	 /* VD_NEEDS_HOLD */
	void *shared;
	void **states; /* by worker, or by lane and shard */
	unsigned state_count;
	const struct vd_names *names;
	struct vd_link_tally **tallies; /* by worker */
	struct vd_past *_Atomic past;	/* NULL: none */
	struct vd_past *spare;		/* while it takes the place of another: migrate.c */
};

struct vd_chain {
	struct vd_link links[VD_ENGINE_FUNCTIONS_MAX];
	unsigned count;
	unsigned workers;
	unsigned shards; /* of one lane */
	uint32_t bytes;	 /* what all functions together need */
	uint32_t needs;
	enum vd_verdict default_verdict;
	struct vd_holder *holder; /* for open(): of the engine that runs it */
	struct vd_standing **standings; /* by worker: in a host; NULL: nobody asks */

	/* isolation */
	bool is_isolated;	  /* functions open and run in processes of their own, and here only their counters are */
	uint32_t deadline_us;
	struct vd_host *host;	  /* those processes; NULL: there are none */
	uint64_t restarts_before; /* of chains that this one has taken the place of */
};

/* What a burst came to, for the worker's accounts. */
struct vd_outcome {
	uint32_t by_default;
	uint32_t faults;
	uint32_t rejected;
	uint32_t dropped; /* by functions, the rejected ones included */
	uint32_t without_host;
};

int vd_chain_add(struct vd_chain *chain, struct vd_names **names, const struct vd_function *function, const char *arguments,
		 void *library, struct vd_error *error);

/* Makes room for counters, once. 0 or -ENOMEM. */
int vd_chain_prepare(struct vd_chain *chain, unsigned workers, unsigned shards);

/* Opens every function with its arguments and makes all states. On failure nothing stays open. */
int vd_chain_open(struct vd_chain *chain, unsigned workers, unsigned lanes, unsigned shards, struct vd_error *error);

/* Closes states and functions; what they counted can still be read. */
void vd_chain_close(struct vd_chain *chain);

/* Forgets the functions and unloads their libraries. */
void vd_chain_fini(struct vd_chain *chain);

/* What the function counted, those before it included. Any thread that visits the plan. */
void vd_chain_stats(const struct vd_chain *chain, const struct vd_link *link, struct vd_function_stats *stats);

/* A packet that a function never came back with: those before it had no opinion. */
void vd_chain_count_fault(struct vd_chain *chain, unsigned worker, unsigned link, bool hangs);

/*
 * Gives every packet its verdict, VD_HELD included: `holding` then has it. `count` ≤ VD_BURST_MAX packets of one lane, whose fault
 * verdict it is.
 */
void vd_chain_decide(struct vd_chain *chain, unsigned worker, unsigned lane, enum vd_verdict fault_verdict,
		     struct vd_packet *const *packets, unsigned count, struct vd_holding *holding, struct vd_outcome *outcome);

#endif
