/* SPDX-License-Identifier: MIT */
/*
 * Small runs through the whole engine over simulated queues. A seed decides everything but the threads' luck: queues, traffic, losses,
 * workers, writers, batches, functions, failures, and when somebody stops the engine. Afterwards each id has been answered exactly
 * once, in its flow's order, with the verdict that the functions' model foresees, and the statistics agree with what the queues saw.
 *
 *	SIM_SEED=n	every run has this seed (what a failure prints), instead of 1, 2, 3 ...
 *	SIM_RUNS=n	how many runs
 *
 * One run at a time: functions have no other way to find it. What a test adds to each run is a struct sim_more.
 */
#ifndef VERDICT_TEST_SIM_RUN_H
#define VERDICT_TEST_SIM_RUN_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

#define SIM_LANES_MAX 3
#define SIM_FLOWS_MAX 64
#define SIM_KINDS_MAX 9

/* What a function of the chain does. */
enum sim_kind {
	SIM_PLAIN,	/* any verdict, by the dice; rejects, which is a fault unless it has declared that it does */
	SIM_BURST,	/* the same, many at once */
	SIM_FLOW,	/* watches over the promise of VD_SCOPE_FLOW */
	SIM_WORKER,	/* over that of VD_SCOPE_WORKER */
	SIM_SLOW,	/* sleeps now and then, or takes its time with each packet */
	SIM_FAULTY,	/* returns what is no verdict */
	SIM_STOPPER,	/* stops the engine from within */
	SIM_CHANGER,	/* new mark, new data; always the last, since a fault takes changes back */
	SIM_MORE,	/* the test's own; always the first, so that it knows all */
	SIM_KIND_COUNT,
};

/* How a run ends. */
enum sim_ending {
	SIM_END_BY_ITSELF,	 /* all queues end */
	SIM_END_IN_SILENCE,	 /* nothing comes any more: when all is answered, a stop */
	SIM_END_BY_STOP,	 /* at any moment, from another thread */
	SIM_END_BY_FUNCTION, /* at any moment, from a function */
	SIM_END_BY_COUNT,	 /* packets_max */
	SIM_END_BY_FAILURE,
};

struct sim_flow {
	void *state;
	uint32_t last;
	bool is_known;
};

/* What a test adds to each run: a function of its own in front of the others, and what it knows of its packets. */
struct sim_more {
	/* Draws what is new about this run, after everything else was drawn, and gives the function; its open and close may be NULL. */
	struct vd_function (*choose)(void);

	/* In a thread of its own, until sim_run->is_over. */
	void *(*meddle)(void *unused);

	/* The verdict of a packet that the functions behind do not decide on; false: they do. The port asks it, with its lock held. */
	bool (*expect)(const struct vd_packet *packet, enum vd_verdict *verdict);

	/* After the run: complains of what the statistics should not say. */
	void (*audit)(unsigned lane, const struct vd_queue_stats *stats);
};

struct sim_run {
	uint64_t seed;
	uint64_t random; /* of the thread that makes the run */
	enum sim_ending ending;
	unsigned lane_count;
	struct vd_sim_options lanes[SIM_LANES_MAX];
	struct vd_port *ports[SIM_LANES_MAX];
	struct vd_engine_options options;
	struct vd_engine *engine;
	unsigned kind_count;
	enum sim_kind kinds[SIM_KINDS_MAX];
	struct vd_function functions[SIM_KINDS_MAX];
	bool may_reject[SIM_KIND_COUNT]; /* by kind */
	uint32_t stop_at;	 /* SIM_END_BY_FUNCTION: the index */
	unsigned stop_delay_us;	 /* SIM_END_BY_STOP */
	unsigned burn_ns;	 /* SIM_SLOW */
	bool stats_while_running;
	bool changes_the_crowd;

	_Atomic unsigned complaints;
	char first_complaint[256];
	_Atomic int states_open;
	_Atomic int functions_open;
	/* a lane's numbers are changed with its lock held, a flow's by whoever may decide on it */
	uint64_t faults[SIM_LANES_MAX];
	uint64_t edits_refused[SIM_LANES_MAX];
	uint64_t drops[SIM_LANES_MAX][VD_CAUSE_COUNT]; /* those that are decided */
	uint64_t by_default[SIM_LANES_MAX];
	uint64_t rewritten[SIM_LANES_MAX];
	struct sim_flow flows[SIM_LANES_MAX][SIM_FLOWS_MAX];

	const struct sim_more *more; /* NULL: nothing */
	_Atomic bool is_over;
};

extern struct sim_run *sim_run;

/* The first one is what the test says when it fails. */
__attribute__((format(printf, 1, 2))) void sim_complain(const char *format, ...);

/* By the run's dice: 0 to most; true once in so many times. For the thread that makes the run. */
unsigned sim_up_to(unsigned most);
bool sim_one_in(unsigned number);

void sim_sleep_us(unsigned microseconds);

/* The same dice for a function and for its model: they depend on the packet alone. */
uint64_t sim_dice(enum sim_kind kind, const struct vd_packet *packet);

/* Takes data as long as it was, all its payload one byte; where that may not be it is refused, and the packet is a fault's. */
enum vd_verdict sim_change(struct vd_packet *packet, void *state);

/* ---- what the model expects; with the port's lock held ---- */

/* This verdict; if it is a drop, for this cause. */
enum vd_verdict sim_count_drop(const struct vd_packet *packet, enum vd_cause cause, unsigned verdict);

/* The fault verdict, since it could not be changed. */
enum vd_verdict sim_expect_refused_edit(const struct vd_packet *packet);

/* Of any packet: what sim_options.expect is. */
enum vd_verdict sim_expect(const struct vd_packet *packet, void *unused);

/* ---- runs ---- */

/* Of a kind but SIM_MORE. */
struct vd_function sim_function(enum sim_kind kind);
int sim_open_function(struct vd_open *open, void **shared);
void sim_close_function(void *shared);

/* Complains of whatever is wrong after a run that ended with `result`. */
void sim_audit(int result, const struct vd_error *error, const struct vd_queue_stats *stats);

/* A run did not begin, on purpose. */
bool sim_is_failing_at_start(void);

/* What all runs together have met: a test that meets nothing proves nothing. */
struct sim_met {
	uint64_t runs;
	uint64_t queue_dropped, socket_dropped, flushed, refused, left_accepted, left_dropped, received;
	uint64_t on_the_spot, dispatched, rejected;
	uint64_t held_behind, held_expired, held_decided, held_too_many, held_refused;
};

/* As many runs, or what the environment says; fails at the first complaint. False: not enough of them to have met everything. */
bool sim_run_many(const struct sim_more *more, unsigned runs, struct sim_met *met);

#endif
