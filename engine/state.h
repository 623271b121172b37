/* SPDX-License-Identifier: MIT */
/*
 * The engine's own view of itself: what its threads share. Only engine/ includes this.
 */
#ifndef VERDICT_ENGINE_STATE_H
#define VERDICT_ENGINE_STATE_H

#include <pthread.h>

#include "engine/account.h"
#include "engine/answers.h"
#include "engine/chain.h"
#include "engine/crowd.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "engine/lane.h"
#include "engine/latency.h"
#include "engine/parking.h"
#include "engine/plan.h"
#include "engine/tally.h"
#include "engine/tap.h"
#include "engine/watch.h"

/* Causes that are known when a packet is decided, or when it is held no longer, come first. */
#define VD_CAUSES_DECIDED (VD_CAUSE_NO_HOST + 1)

/* What one thread counted of one lane; written by that thread only. */
struct vd_lane_tally {
	uint64_t verdicts[VD_VERDICT_COUNT];
	uint64_t by_default;
	uint64_t faults;
	uint64_t without_host;
	uint64_t rewritten;
	uint64_t edits_refused;
	uint64_t answers[VD_ANSWER_FATE_COUNT];
	uint64_t sends;
	uint64_t held_ever;
	uint64_t held_behind;
	uint64_t held_expired;
	uint64_t held_dropped;
	uint64_t held_refused;
	uint64_t drops[VD_CAUSES_DECIDED];
};

struct vd_holder;
struct vd_holding;

/* What every thread that sends has. */
struct vd_sender {
	void *scratch;		       /* the ports' room to build a send in */
	struct vd_lane_tally *tallies; /* by lane */
	struct vd_latencies *latencies; /* by lane; apart, as most of it is never touched */
	uint64_t packets;	       /* tallies: decided by a worker, sent by a writer */
	uint64_t bursts;
	uint64_t dice;		       /* which packet of a burst stands for all: latency.h */
	struct vd_account account;
};

struct vd_worker {
	struct vd_engine *engine;
	const struct vd_plan *plan; /* the last one that it has taken over: vd_engine_plan() */
	unsigned index;
	pthread_t thread;
	struct vd_sender sender;
	unsigned bursts; /* since the watched lanes were looked at */
	struct vd_crowd_watch crowd_watch;
	struct vd_holding *holding; /* of the burst that it decides */
};

struct vd_writer {
	struct vd_engine *engine;
	const struct vd_plan *plan;
	unsigned index;
	pthread_t thread;
	struct vd_sender sender;
	struct vd_parking parking;
};

struct vd_engine {
	struct vd_engine_options options;
	char *netns;
	unsigned *cpus;
	struct vd_chain *chain; /* of the plan, or what will be */
	struct vd_names *names;
	struct vd_taps taps;
	struct vd_holder *holder; /* what functions hold: held.h */

	struct vd_lane *lanes[VD_ENGINE_QUEUES_MAX]; /* by index; until it runs the first ones */
	unsigned lane_count;			     /* until it runs */
	struct vd_plan *_Atomic plan;		     /* what threads work by; NULL: it does not run yet */
	_Atomic unsigned visitors;		     /* of the plan, who are no threads of the engine */
	pthread_mutex_t reloading;
	bool may_reload; /* with that lock */
	struct vd_worker *workers;
	unsigned worker_count;
	struct vd_writer *writers;
	unsigned writer_count;
	bool has_run;
	bool copies_whole;	  /* whatever functions need: a capture is verified */
	_Atomic bool is_counting; /* what statistics look at is in place */

	struct vd_watch watch;
	struct vd_parking parking;
	struct vd_crowd crowd;
	_Atomic bool leaving;	       /* at the end queues stay bound, for somebody else */
	_Atomic bool stopping;	       /* no more reading; decide what was read, and end */
	_Atomic bool workers_ended;    /* for the writers: nothing more will come */
	_Atomic int64_t packets_left;  /* of packets_max: not reserved by a reader */
	_Atomic int64_t packets_unread; /* of packets_max: not received */
	_Atomic unsigned lanes_ended;
	_Atomic bool failed;	       /* `failure` is being or has been written */
	int failure_code;
	struct vd_error failure;
};

/* ---- what there is to work by ---- */

/* For threads of the engine, which have to take it over anew whenever they have passed or slept (grace.h). */
static inline struct vd_plan *vd_engine_plan(struct vd_engine *engine)
{
	/* acquire, pairs with the release in vd_engine_publish(): what is in it, and what was made ready for it */
	return atomic_load_explicit(&engine->plan, memory_order_acquire);
}

static inline void vd_engine_publish(struct vd_engine *engine, struct vd_plan *plan)
{
	/* sequentially consistent: also one of two steps, see vd_engine_visit() */
	atomic_store_explicit(&engine->plan, plan, memory_order_seq_cst);
}

/*
 * For all others, signal handlers too: the plan stays until the visit has ended. A visitor is counted before it looks, and who
 * frees a plan has published another one before it looks for visitors; all four are sequentially consistent, so either the visitor
 * finds the new plan, or it is seen.
 */
static inline struct vd_plan *vd_engine_visit(struct vd_engine *engine)
{
	atomic_fetch_add_explicit(&engine->visitors, 1, memory_order_seq_cst);
	return atomic_load_explicit(&engine->plan, memory_order_seq_cst);
}

static inline void vd_engine_end_visit(struct vd_engine *engine)
{
	atomic_fetch_sub_explicit(&engine->visitors, 1, memory_order_seq_cst);
}

/* ---- run.c: for a start and for a reload ---- */

int vd_make_sender(const struct vd_engine *engine, struct vd_sender *sender);
void vd_free_sender(struct vd_sender *sender);

/* Pins the engine's n-th thread, and names it. 0 or -errno. */
int vd_start_thread(struct vd_engine *engine, pthread_t *thread, void *(*start)(void *), void *argument, const char *role,
		    unsigned number, unsigned nth);

/* ---- open.c: likewise ---- */

/* Opens functions for so many lanes, in the queues' namespace. */
int vd_open_functions(const struct vd_engine *engine, struct vd_chain *chain, unsigned lanes, struct vd_error *error);

/* Opens the plan's sockets for answers, if they are needed. */
int vd_open_answers(const struct vd_engine *engine, const struct vd_engine_options *options, const struct vd_plan *plan,
		    struct vd_error *error);

/* What a lane with these options is, for functions that are open. */
void vd_choose_settings(const struct vd_engine *engine, const struct vd_chain *chain, const struct vd_lane *lane,
			const struct vd_queue_options *options, struct vd_lane_settings *settings);
void vd_say_what_is_cut(struct vd_engine *engine, const struct vd_plan *plan);

/* What functions may hold could fill a queue. */
void vd_say_what_may_fill(struct vd_engine *engine, const struct vd_plan *plan);

/* Whether they could be opened: nothing is bound. */
int vd_check_lanes(struct vd_engine *engine, const struct vd_chain *chain, struct vd_lane *const *lanes, unsigned count,
		   struct vd_error *error);

/* Opens them all, or none. */
int vd_open_lanes(struct vd_engine *engine, const struct vd_chain *chain, struct vd_lane *const *lanes, unsigned count,
		  struct vd_error *error);

/* `has_run`: it did not fail to start; a queue that somebody else has too was not touched otherwise, and is left to the next try. */
void vd_close_lane(struct vd_engine *engine, struct vd_lane *lane, bool has_run);

/* Without lanes. NULL: out of memory. */
struct vd_plan *vd_plan_create(struct vd_chain *chain, const struct vd_engine_options *options);
void vd_plan_add(struct vd_plan *plan, struct vd_lane *lane, const struct vd_queue_options *options);

/* Not the functions and lanes. NULL is fine. */
void vd_plan_destroy(struct vd_plan *plan);

/*
 * hold.c: from here on nobody reads the lane, and nothing of it is in flight; the caller has the reader's role. Not for threads of
 * the engine. -ETIMEDOUT, -ECANCELED: then it is not held.
 */
int vd_lane_hold(struct vd_engine *engine, struct vd_lane *lane, struct vd_error *error);
void vd_lane_let_go(struct vd_engine *engine, struct vd_lane *lane);

/* reload.c: from here on one may come. */
void vd_reload_allow(struct vd_engine *engine);

/* Makes the engine stop, waits for one that goes on, and there will be none from here on. */
void vd_reload_forbid(struct vd_engine *engine);

/* A line for options.log. */
void vd_engine_log(struct vd_engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first failure is kept, and everything comes to its end. Any thread. */
void vd_engine_fail(struct vd_engine *engine, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for a port that cannot go on: in its own words, or that of the code behind `what`. */
void vd_engine_fail_port(struct vd_engine *engine, const struct vd_port *port, int code, const char *what);

/* There is more to do than the calling thread will manage alone: wakes a worker that sleeps. */
void vd_engine_call_for_help(struct vd_engine *engine);

static inline bool vd_engine_is_stopping(struct vd_engine *engine)
{
	return atomic_load_explicit(&engine->stopping, memory_order_acquire);
}

/*
 * Whether all of a lane is to be decided by its readers, because there is no CPU for anybody else, and packets are cheap. Never
 * with dedicated writers: who asks for them wants them, and `starving` (lane.h) could miss the change.
 */
static inline bool vd_engine_is_crowded(struct vd_engine *engine, struct vd_lane *lane)
{
	/* relaxed: estimates, both */
	return vd_crowd_is_crowded(&engine->crowd) && !engine->writer_count &&
	       atomic_load_explicit(&lane->cost_ns, memory_order_relaxed) <= VD_CROWD_COST_MAX_NS;
}

/* ---- the packet's way ---- */

/*
 * reader.c: one burst from the lane, whose reader's role the caller holds. Decides it on the spot, or dispatches it.
 * Returns how many packets came. `wait`: sleep until some come.
 */
unsigned vd_reader_turn(struct vd_worker *worker, struct vd_lane *lane, bool wait);

/* dispatch.c: hands packets to the shards of their flows. The caller holds the reader's role. */
void vd_dispatch(struct vd_lane *lane, struct vd_packet *const *packets, unsigned count);

/* worker.c: a worker's thread. */
void *vd_worker_main(void *worker);

/* decide.c: runs the chain over a burst and sends its verdicts. The caller holds the packets' shards, or the whole lane. */
void vd_decide(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count);

/* `are_all`: see send() in engine/port.h. */
void vd_decide_and_send(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count,
			bool are_all);

/* writer.c: sends decided packets and counts them. */
void vd_send(struct vd_engine *engine, struct vd_sender *sender, struct vd_lane *lane, struct vd_packet *const *packets,
	     unsigned count, bool are_all);

/* Hands decided packets of claimed shards to their dedicated writers. */
void vd_writer_hand_over(struct vd_engine *engine, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count);
void *vd_writer_main(void *writer);

#endif
