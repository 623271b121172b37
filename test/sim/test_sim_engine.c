/* SPDX-License-Identifier: MIT */
/*
 * Thousands of small runs through the whole engine over simulated queues. A seed decides everything but the threads' luck:
 * queues, traffic, losses, workers, writers, batches, functions, failures, and when somebody stops the engine. Afterwards each
 * id has been answered exactly once, in its flow's order, with the verdict that the functions' model foresees, and the
 * statistics agree with what the queues saw.
 *
 *	SIM_SEED=n	every run has this seed (what a failure prints), instead of 1, 2, 3 ...
 *	SIM_RUNS=n	how many runs
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

#ifdef __SANITIZE_THREAD__
#define RUNS_DEFAULT 1000
#else
#define RUNS_DEFAULT 1500
#endif
#define LANES_MAX 3
#define FLOWS_MAX 64
#define KINDS_MAX 9
#define PACKETS_MAX 4096
#define TICKETS_MAX 256
#define RUN_SECONDS_MAX 20
#define SILENCE_SECONDS_MAX 10

/* ---- a run ---- */

/* What a function of the chain does. */
enum kind {
	KIND_PLAIN,	/* any verdict, by the dice; rejects, which is a fault unless it has declared that it does */
	KIND_BURST,	/* the same, many at once */
	KIND_FLOW,	/* watches over the promise of VD_SCOPE_FLOW */
	KIND_WORKER,	/* over that of VD_SCOPE_WORKER */
	KIND_SLOW,	/* sleeps now and then, or takes its time with each packet */
	KIND_FAULTY,	/* returns what is no verdict */
	KIND_STOPPER,	/* stops the engine from within */
	KIND_CHANGER,	/* new mark, new data; always the last, since a fault takes changes back */
	KIND_HOLDER,	/* holds packets, changed ones too, for another thread to decide; always the first, so that it knows all */
	KIND_HOLDER_BURST,
};

/* How a run ends. */
enum ending {
	END_BY_ITSELF,	 /* all queues end */
	END_IN_SILENCE,	 /* nothing comes any more: when all is answered, a stop */
	END_BY_STOP,	 /* at any moment, from another thread */
	END_BY_FUNCTION, /* at any moment, from a function */
	END_BY_COUNT,	 /* packets_max */
	END_BY_FAILURE,
};

struct flow {
	void *state;
	uint32_t last;
	bool is_known;
};

struct run {
	uint64_t seed;
	uint64_t random; /* of the thread that makes the run */
	enum ending ending;
	unsigned lane_count;
	struct vd_sim_options lanes[LANES_MAX];
	struct vd_port *ports[LANES_MAX];
	struct vd_engine_options options;
	struct vd_engine *engine;
	unsigned kind_count;
	enum kind kinds[KINDS_MAX];
	struct vd_function functions[KINDS_MAX];
	bool may_reject[KIND_HOLDER_BURST + 1]; /* by kind */
	uint32_t stop_at;	 /* END_BY_FUNCTION: the index */
	unsigned stop_delay_us;	 /* END_BY_STOP */
	unsigned burn_ns;	 /* KIND_SLOW */
	bool stats_while_running;
	bool changes_the_crowd;

	_Atomic unsigned complaints;
	char first_complaint[256];
	_Atomic int states_open;
	_Atomic int functions_open;
	/* a lane's numbers are changed with its lock held, a flow's by whoever may decide on it */
	uint64_t faults[LANES_MAX];
	uint64_t edits_refused[LANES_MAX];
	uint64_t drops[LANES_MAX][VD_CAUSE_COUNT]; /* those that are decided */
	uint64_t by_default[LANES_MAX];
	uint64_t rewritten[LANES_MAX];
	struct flow flows[LANES_MAX][FLOWS_MAX];

	/* held packets */
	bool holds;
	unsigned hold_percent, deadline_ms_max;
	_Atomic bool is_over;
	struct vd_holder *_Atomic holder;
	_Atomic uint64_t tickets[TICKETS_MAX];
	_Atomic unsigned ticket_count;
	uint8_t seen[LANES_MAX][PACKETS_MAX]; /* enum seen; written by who may decide on it, read by who sends it */
	uint64_t unseen[LANES_MAX], held[LANES_MAX], held_drops[LANES_MAX];
};

/* What a holder has made of a packet. */
enum seen {
	SEEN_NEVER,   /* it waited behind another, or was dropped since too many do */
	SEEN_LEFT,
	SEEN_HELD,
};

static struct run *run; /* one at a time: functions have no other way to find it */

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list arguments;

	if (atomic_fetch_add(&run->complaints, 1))
		return;
	va_start(arguments, format);
	vsnprintf(run->first_complaint, sizeof run->first_complaint, format, arguments);
	va_end(arguments);
}

static unsigned up_to(unsigned most)
{
	return (unsigned)(vd_sim_random(&run->random) % (most + 1));
}

static bool one_in(unsigned number)
{
	return up_to(number - 1) == 0;
}

static void sleep_us(unsigned microseconds)
{
	nanosleep(&(struct timespec){.tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000}, NULL);
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the functions, and their model ---- */

/* The same dice for the function and for its model: they depend on the packet alone. */
static uint64_t dice(enum kind kind, const struct vd_packet *packet)
{
	uint64_t state = run->seed ^ (uint64_t)kind << 56 ^ (uint64_t)packet->queue << 32 ^ vd_sim_packet_index(packet);

	return vd_sim_random(&state);
}

#define NO_VERDICT 99

static unsigned what_it_says(enum kind kind, const struct vd_packet *packet)
{
	switch (kind) {
	case KIND_PLAIN:
	case KIND_BURST:
		return dice(kind, packet) % 16 < 10 ? VD_NEXT : VD_ACCEPT + dice(kind, packet) % 6;
	case KIND_FAULTY:
		return dice(kind, packet) % 32 ? VD_NEXT : NO_VERDICT;
	default:
		return VD_NEXT;
	}
}

static enum vd_verdict decide_plain(struct vd_packet *packet, void *state)
{
	(void)state;
	return (enum vd_verdict)what_it_says(KIND_PLAIN, packet);
}

static void decide_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	(void)state;
	if (count < 1 || count > VD_BURST_MAX)
		complain("decide_burst() was given %u packets", count);
	for (unsigned i = 0; i < count; i++) {
		if (verdicts[i] != VD_NEXT)
			complain("decide_burst() was given the verdict %u", (unsigned)verdicts[i]);
		verdicts[i] = (enum vd_verdict)what_it_says(KIND_BURST, packets[i]);
	}
}

static enum vd_verdict decide_faulty(struct vd_packet *packet, void *state)
{
	(void)state;
	return (enum vd_verdict)what_it_says(KIND_FAULTY, packet);
}

static void burn_ns(uint64_t nanoseconds)
{
	uint64_t start = clock_ns();

	while (clock_ns() - start < nanoseconds)
		;
}

static enum vd_verdict decide_slowly(struct vd_packet *packet, void *state)
{
	uint64_t random = dice(KIND_SLOW, packet);

	(void)state;
	if (run->burn_ns)
		burn_ns(run->burn_ns);
	if (random % 256 == 0)
		sleep_us(1 + (unsigned)(random >> 32) % 300);
	else if (random % 16 == 0)
		sched_yield();
	return VD_NEXT;
}

static enum vd_verdict decide_to_stop(struct vd_packet *packet, void *state)
{
	(void)state;
	if (vd_sim_packet_index(packet) >= run->stop_at)
		vd_engine_stop(run->engine);
	return VD_NEXT;
}

/* Takes data as long as it was, all its payload one byte; where that may not be it is refused, and the packet is a fault's. */
static enum vd_verdict decide_to_change(struct vd_packet *packet, void *state)
{
	static _Thread_local uint8_t data[65536];
	const uint8_t *payload;
	uint32_t length;

	(void)state;
	if (dice(KIND_CHANGER, packet) % 4 == 0)
		vd_packet_set_mark(packet, vd_sim_packet_index(packet) + 1);
	payload = vd_packet_payload(packet, &length);
	if (dice(KIND_CHANGER, packet) % 8 < 4 || !payload)
		return VD_NEXT;
	memcpy(data, vd_packet_data(packet), packet->length);
	memset(data + (payload - vd_packet_data(packet)), (uint8_t)vd_sim_packet_index(packet), length);
	vd_packet_replace(packet, data, packet->length);
	return VD_NEXT;
}

/* ---- holding ---- */

static int open_holder(struct vd_open *open, void **shared)
{
	(void)shared;
	atomic_fetch_add(&run->functions_open, 1);
	run->holder = open->holder;
	if (!open->holder)
		complain("there is no holder");
	return 0;
}

static enum vd_verdict hold(struct vd_packet *packet)
{
	uint64_t random = dice(KIND_HOLDER, packet), ticket;
	struct vd_hold how = {.deadline_ms = 1 + (uint32_t)(random >> 8) % run->deadline_ms_max,
			      .verdict = random >> 40 & 1 ? VD_ACCEPT : VD_DROP,
			      .with_flow = random >> 41 & 1};
	enum vd_verdict verdict;

	if (vd_sim_packet_index(packet) >= PACKETS_MAX)
		return VD_NEXT;
	run->seen[packet->queue][vd_sim_packet_index(packet)] = SEEN_LEFT;
	if (random % 100 >= run->hold_percent)
		return VD_NEXT;
	verdict = vd_packet_hold(packet, &how, &ticket);
	if ((verdict == VD_HELD) != (ticket != 0))
		complain("a verdict of %u, and ticket %llu", (unsigned)verdict, (unsigned long long)ticket);
	if (verdict != VD_HELD)
		return VD_NEXT;
	if (random >> 43 & 1) /* at once, before it is held */
		vd_hold_decide(run->holder, ticket, VD_ACCEPT);
	else
		atomic_store(&run->tickets[atomic_fetch_add(&run->ticket_count, 1) % TICKETS_MAX], ticket);
	if ((random >> 44 & 15) == 0) { /* has thought better of it */
		if (random >> 43 & 1 && !vd_hold_decide(run->holder, ticket, VD_DROP))
			complain("a ticket was good twice");
		return VD_NEXT;
	}
	if (random >> 42 & 1) /* not before: another function's fault takes changes back */
		decide_to_change(packet, NULL);
	run->seen[packet->queue][vd_sim_packet_index(packet)] = SEEN_HELD;
	return VD_HELD;
}

static enum vd_verdict decide_to_hold(struct vd_packet *packet, void *state)
{
	(void)state;
	return hold(packet);
}

/* What comes behind a packet that was held with its flow was shown too, and does not count. */
static void decide_burst_to_hold(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	(void)state;
	for (unsigned i = 0; i < count; i++) {
		bool is_behind = false;

		verdicts[i] = hold(packets[i]);
		for (unsigned j = 0; j < i && !is_behind; j++)
			is_behind = verdicts[j] == VD_HELD && dice(KIND_HOLDER, packets[j]) >> 41 & 1 && !packets[j]->edit_refused &&
				    packets[j]->flow_hash == packets[i]->flow_hash &&
				    run->seen[packets[j]->queue][vd_sim_packet_index(packets[j])] == SEEN_HELD;
		if (is_behind && vd_sim_packet_index(packets[i]) < PACKETS_MAX)
			run->seen[packets[i]->queue][vd_sim_packet_index(packets[i])] = SEEN_NEVER;
	}
}

static void *decide_later(void *argument)
{
	uint64_t random = run->seed;

	(void)argument;
	while (!atomic_load(&run->is_over)) {
		uint64_t dice = vd_sim_random(&random), ticket = atomic_exchange(&run->tickets[dice % TICKETS_MAX], 0);

		if (ticket && dice >> 40 & 3) /* some never */
			vd_hold_decide(run->holder, ticket, dice >> 42 & 1 ? VD_ACCEPT : VD_DROP);
		else if (run->holder && (dice >> 43 & 63) == 0 && !vd_hold_decide(run->holder, dice, VD_DROP))
			complain("a ticket that nobody had was good");
		if ((dice >> 32 & 63) == 0)
			sleep_us(1 + (unsigned)(dice >> 50) % 100);
		else if ((dice >> 32 & 7) == 0)
			sched_yield();
	}
	return NULL;
}

/* A state, and who is in it. `touched` is no atomic: ThreadSanitizer sees when two threads are in it without order. */
struct state {
	_Atomic bool is_busy;
	uint64_t touched;
	bool has_thread;
	pthread_t thread;
};

static int open_function(struct vd_open *open, void **shared)
{
	(void)open;
	(void)shared;
	atomic_fetch_add(&run->functions_open, 1);
	return 0;
}

static void close_function(void *shared)
{
	(void)shared;
	atomic_fetch_sub(&run->functions_open, 1);
}

static int open_state(void *shared, void **state)
{
	(void)shared;
	atomic_fetch_add(&run->states_open, 1);
	*state = calloc(1, sizeof(struct state));
	return *state ? 0 : -ENOMEM;
}

static void close_state(void *shared, void *state)
{
	(void)shared;
	atomic_fetch_sub(&run->states_open, 1);
	free(state);
}

static void enter(struct state *state, const char *scope)
{
	/* relaxed, as in leave(): an order made here would hide that there is none */
	if (atomic_exchange_explicit(&state->is_busy, true, memory_order_relaxed))
		complain("two threads are in one state of the %s's scope", scope);
	state->touched++;
}

static void leave(struct state *state)
{
	atomic_store_explicit(&state->is_busy, false, memory_order_relaxed);
}

static enum vd_verdict decide_by_flow(struct vd_packet *packet, void *argument)
{
	uint32_t index = vd_sim_packet_index(packet), number = vd_sim_packet_flow(packet);
	struct flow *flow = number < FLOWS_MAX ? &run->flows[packet->queue][number] : NULL;

	enter(argument, "flow");
	if (flow && flow->is_known && flow->state != argument)
		complain("flow %u of queue %u meets another state", number, packet->queue);
	if (flow && flow->is_known && flow->last >= index)
		complain("flow %u of queue %u: packet %u comes after packet %u", number, packet->queue, index, flow->last);
	if (flow)
		*flow = (struct flow){.state = argument, .last = index, .is_known = true};
	if (dice(KIND_FLOW, packet) % 64 == 0)
		sched_yield();
	leave(argument);
	return VD_NEXT;
}

static void decide_by_worker(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *argument)
{
	struct state *state = argument;

	(void)packets;
	(void)verdicts;
	(void)count;
	enter(state, "worker");
	if (state->has_thread && !pthread_equal(state->thread, pthread_self()))
		complain("a worker's state is met by another thread");
	state->thread = pthread_self();
	state->has_thread = true;
	leave(state);
}

static const struct vd_function functions[] = {
	[KIND_PLAIN] = {.name = "plain", .decide = decide_plain},
	[KIND_BURST] = {.name = "burst", .decide_burst = decide_burst},
	[KIND_FLOW] = {.name = "flow", .scope = VD_SCOPE_FLOW, .open_state = open_state, .close_state = close_state,
		       .decide = decide_by_flow},
	[KIND_WORKER] = {.name = "worker", .scope = VD_SCOPE_WORKER, .open_state = open_state, .close_state = close_state,
			 .decide_burst = decide_by_worker},
	[KIND_SLOW] = {.name = "slow", .decide = decide_slowly},
	[KIND_FAULTY] = {.name = "faulty", .decide = decide_faulty},
	[KIND_STOPPER] = {.name = "stopper", .decide = decide_to_stop},
	[KIND_CHANGER] = {.name = "changer", .decide = decide_to_change},
	[KIND_HOLDER] = {.name = "holder", .needs = VD_NEEDS_HOLD, .decide = decide_to_hold},
	[KIND_HOLDER_BURST] = {.name = "holder-burst", .needs = VD_NEEDS_HOLD, .decide_burst = decide_burst_to_hold},
};

static void expect_change(const struct vd_packet *packet)
{
	const uint8_t *payload;
	uint32_t length = 0;

	if ((packet->changed & VD_CHANGED_MARK) && packet->mark != vd_sim_packet_index(packet) + 1)
		complain("queue %u: packet %u has somebody else's mark", packet->queue, vd_sim_packet_index(packet));
	if (!(packet->changed & VD_CHANGED_DATA))
		return;
	if (packet->verdict != VD_DROP && packet->verdict != VD_REJECT)
		run->rewritten[packet->queue]++;
	payload = vd_packet_payload(packet, &length);
	for (uint32_t i = 0; i < length; i++)
		if (payload[i] != (uint8_t)vd_sim_packet_index(packet)) {
			complain("queue %u: packet %u has somebody else's data", packet->queue, vd_sim_packet_index(packet));
			break;
		}
}

static enum vd_verdict by_cause(const struct vd_packet *packet, enum vd_cause cause, unsigned verdict)
{
	if (verdict == VD_DROP || verdict == VD_REJECT)
		run->drops[packet->queue][cause]++;
	return (enum vd_verdict)verdict;
}

/* The model of the chain. */
static enum vd_verdict expect_of_chain(const struct vd_packet *packet)
{
	for (unsigned i = 0; i < run->kind_count; i++) {
		unsigned said = what_it_says(run->kinds[i], packet);

		if (said == NO_VERDICT || (said == VD_REJECT && !run->may_reject[run->kinds[i]])) {
			run->faults[packet->queue]++;
			return by_cause(packet, VD_CAUSE_FAULT, run->options.fault_verdict);
		}
		if (said != VD_NEXT)
			return by_cause(packet, VD_CAUSE_FUNCTION, said);
	}
	run->by_default[packet->queue]++;
	return by_cause(packet, VD_CAUSE_DEFAULT, run->options.default_verdict);
}

/* A packet that was held: a decision, or a deadline. */
static enum vd_verdict expect_held(const struct vd_packet *packet, uint64_t *count)
{
	++*count;
	if (packet->verdict == VD_DROP)
		run->held_drops[packet->queue]++;
	else if (packet->verdict != VD_ACCEPT)
		complain("queue %u: held packet %u has got verdict %u", packet->queue, vd_sim_packet_index(packet), packet->verdict);
	return VD_NEXT;
}

/* And of what becomes of refused edits. The port asks it, with its lock held. */
static enum vd_verdict expect(const struct vd_packet *packet, void *argument)
{
	enum seen seen = run->holds && vd_sim_packet_index(packet) < PACKETS_MAX ?
				 run->seen[packet->queue][vd_sim_packet_index(packet)] : SEEN_LEFT;
	enum vd_verdict verdict;

	(void)argument;
	expect_change(packet);
	/* what was said of it does not count, but that it could not be changed does */
	if (seen == SEEN_NEVER && packet->edit_refused) {
		run->edits_refused[packet->queue]++;
		if (run->options.fault_verdict == VD_DROP)
			return by_cause(packet, VD_CAUSE_EDIT, VD_DROP);
	}
	if (seen == SEEN_NEVER)
		return expect_held(packet, &run->unseen[packet->queue]);
	if (seen == SEEN_HELD && !packet->edit_refused)
		return expect_held(packet, &run->held[packet->queue]);
	verdict = seen == SEEN_HELD ? VD_NEXT : expect_of_chain(packet);
	if (!packet->edit_refused || verdict == VD_DROP || verdict == VD_REJECT)
		return verdict;
	run->edits_refused[packet->queue]++;
	return by_cause(packet, VD_CAUSE_EDIT, run->options.fault_verdict);
}

/* ---- making a run ---- */

static void choose_traffic(struct vd_sim_options *lane, unsigned number)
{
	*lane = (struct vd_sim_options)VD_SIM_OPTIONS_INIT;
	lane->seed = vd_sim_random(&run->random);
	lane->queue = number;
	lane->packets = 1 + up_to(one_in(4) ? 4000 : 800);
	lane->first_id = one_in(4) ? UINT32_MAX - up_to(300) : 1;
	lane->flows = 1 + up_to(FLOWS_MAX - 1);
	lane->size_max = 40 + up_to(one_in(8) ? 20000 : 600);
	lane->ipv6_percent = up_to(60);
	lane->tcp_percent = up_to(100);
	lane->fragment_percent = up_to(30);
	lane->malformed_percent = up_to(30);
	lane->garbage_percent = up_to(10);
	lane->arrive_max = 1 + up_to(one_in(2) ? 8 : 150);
	lane->idle_percent = up_to(70);
	lane->short_percent = one_in(2) ? up_to(60) : 0;
	lane->socket_packets = one_in(3) ? 8 + up_to(150) : 0;
	lane->flush_permille = one_in(3) ? up_to(50) : 0;
	lane->refuse_permille = one_in(3) ? up_to(50) : 0;
	lane->sleep_us_max = 1 + up_to(one_in(4) ? 1000 : 60);
	lane->expect = expect;
}

static void choose_failure(void)
{
	struct vd_sim_options *lane = &run->lanes[up_to(run->lane_count - 1)];

	switch (up_to(3)) {
	case 0:
		lane->check_error = EPERM;
		break;
	case 1:
		lane->open_error = EBUSY;
		break;
	case 2:
		lane->receive_fails_at = 1 + up_to(400);
		break;
	default:
		lane->send_fails_at = 1 + up_to(400);
		break;
	}
}

static void choose_functions(void)
{
	bool has_used[KIND_HOLDER_BURST + 1] = {false};
	unsigned count = up_to(6);

	has_used[KIND_STOPPER] = has_used[KIND_CHANGER] = true;
	for (unsigned i = 0; i < count; i++) {
		enum kind kind = (enum kind)up_to(KIND_FAULTY);

		if (!has_used[kind])
			run->kinds[run->kind_count++] = kind;
		has_used[kind] = true;
	}
	if (run->ending == END_BY_FUNCTION) {
		run->kinds[run->kind_count++] = run->kinds[0];
		run->kinds[0] = KIND_STOPPER;
		if (run->kind_count > 1 && run->kinds[run->kind_count - 1] == KIND_STOPPER)
			run->kind_count--;
	}
	if (one_in(2))
		run->kinds[run->kind_count++] = KIND_CHANGER;
	run->holds = one_in(3);
	if (run->holds) {
		memmove(run->kinds + 1, run->kinds, run->kind_count++ * sizeof *run->kinds);
		run->kinds[0] = one_in(2) ? KIND_HOLDER : KIND_HOLDER_BURST;
		run->hold_percent = 1 + up_to(one_in(2) ? 5 : 60);
		run->deadline_ms_max = 1 + up_to(20);
		run->options.held_max = one_in(2) ? 0 : 1 + up_to(60);
	}
	for (unsigned i = 0; i < run->kind_count; i++) {
		run->functions[i] = functions[run->kinds[i]];
		run->functions[i].abi = VD_FUNCTION_ABI;
		run->functions[i].size = sizeof run->functions[i];
		run->functions[i].open = i || !run->holds ? open_function : open_holder;
		run->functions[i].close = close_function;
		run->functions[i].bytes = one_in(2) ? VD_HEADERS : VD_WHOLE;
		run->may_reject[run->kinds[i]] = !one_in(4);
		if (run->may_reject[run->kinds[i]])
			run->functions[i].needs |= VD_NEEDS_REJECT;
	}
}

static void choose_options(void)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	options.workers = 1 + up_to(3);
	options.writers = up_to(2);
	options.maxlen = one_in(2) ? 1 + up_to(400) : 0;
	options.copy_range = one_in(4) ? 1 + up_to(200) : 0;
	options.fail_open = one_in(4);
	options.default_verdict = one_in(2) ? VD_ACCEPT : VD_DROP;
	options.fault_verdict = one_in(2) ? VD_ACCEPT : VD_DROP;
	options.batch = one_in(4) ? 0 : 1 + up_to(63);
	options.batch_delay_us = one_in(8) ? 1 + up_to(200) : 0;
	if (run->ending == END_BY_COUNT)
		options.packets_max = 1 + up_to(1000);
	run->options = options;
}

static void choose(uint64_t seed)
{
	bool sleepy;

	run->seed = run->random = seed;
	run->lane_count = one_in(2) ? 1 : 1 + up_to(LANES_MAX - 1);
	run->ending = (enum ending)up_to(END_BY_FAILURE);
	sleepy = run->ending == END_IN_SILENCE || one_in(3);
	run->stop_at = up_to(600);
	run->stop_delay_us = up_to(one_in(2) ? 300 : 3000);
	run->burn_ns = one_in(2) ? 0 : up_to(5000);
	run->stats_while_running = one_in(4);
	run->changes_the_crowd = one_in(4);
	for (unsigned i = 0; i < run->lane_count; i++) {
		choose_traffic(&run->lanes[i], i);
		run->lanes[i].sleepy = sleepy;
		/* a stop also has to wake who sleeps for ever */
		run->lanes[i].silent_at_end = run->ending == END_IN_SILENCE || (sleepy && run->ending == END_BY_STOP && one_in(2));
	}
	if (run->ending == END_BY_FAILURE)
		choose_failure();
	choose_options();
	choose_functions();
}

static bool make(void)
{
	struct vd_error error;

	if (vd_engine_create(&run->engine, &run->options, &error)) {
		complain("create: %s", error.text);
		return false;
	}
	for (unsigned i = 0; i < run->kind_count; i++)
		if (vd_engine_add_function(run->engine, &run->functions[i], "", &error)) {
			complain("add_function: %s", error.text);
			return false;
		}
	for (unsigned i = 0; i < run->lane_count; i++)
		if (vd_port_sim_create(&run->ports[i], &run->lanes[i]) ||
		    vd_engine_add_port(run->engine, run->ports[i], &error)) {
			complain("add_port: %s", error.text);
			return false;
		}
	return true;
}

/* ---- while it runs ---- */

static bool is_all_answered(void)
{
	for (unsigned i = 0; i < run->lane_count; i++) {
		struct vd_sim_report report;

		vd_port_sim_report(run->ports[i], &report);
		if (report.offered + report.passed != run->lanes[i].packets ||
		    report.answered != report.offered - report.queue_dropped - report.socket_dropped)
			return false;
	}
	return true;
}

/* The CPUs are crowded now, and then they are not: what was begun in one way comes to its end in the other. */
static void change_the_crowd(void)
{
	static unsigned turns;

	if (run->changes_the_crowd)
		vd_engine_set_crowded(run->engine, turns++ & 1);
}

static void look_at_stats(void)
{
	struct vd_queue_stats queues[LANES_MAX];
	struct vd_function_stats chain[KINDS_MAX];
	struct vd_worker_stats workers[VD_ENGINE_WORKERS_MAX];
	struct vd_latency latency;

	if (!run->stats_while_running)
		return;
	if (!vd_engine_queue_stats(run->engine, queues, LANES_MAX)) /* it has not begun */
		return;
	if (vd_engine_worker_stats(run->engine, workers, VD_ENGINE_WORKERS_MAX) != run->options.workers + run->options.writers ||
	    vd_engine_queue_latency(run->engine, 0, VD_SINCE_RECEIVED, &latency))
		complain("workers or latencies are missing");
	if (vd_engine_function_stats(run->engine, chain, KINDS_MAX) != run->kind_count)
		complain("there are other functions than there were");
	for (unsigned i = 0; i < run->lane_count; i++)
		if (queues[i].received > run->lanes[i].packets || queues[i].in_flight > run->lanes[i].packets)
			complain("queue %u: statistics out of this world: received %llu, in flight %u", i,
				 (unsigned long long)queues[i].received, queues[i].in_flight);
}

static void *meddle(void *argument)
{
	(void)argument;
	change_the_crowd();
	look_at_stats();
	if (run->ending == END_IN_SILENCE) {
		time_t deadline = time(NULL) + SILENCE_SECONDS_MAX;

		while (!is_all_answered() && !atomic_load(&run->complaints)) {
			sleep_us(50);
			change_the_crowd();
			look_at_stats();
			if (time(NULL) > deadline)
				complain("all is silent, but packets have not been answered for %d s", SILENCE_SECONDS_MAX);
		}
		vd_engine_stop(run->engine);
	} else if (run->ending == END_BY_STOP) {
		if (run->stop_delay_us)
			sleep_us(run->stop_delay_us);
		change_the_crowd();
		look_at_stats();
		vd_engine_stop(run->engine);
		if (run->stop_delay_us & 1)
			vd_engine_stop(run->engine);
	} else {
		for (unsigned i = 0; i < 10 && (run->stats_while_running || run->changes_the_crowd); i++) {
			sleep_us(100);
			change_the_crowd();
			look_at_stats();
		}
	}
	return NULL;
}

/* ---- afterwards ---- */

static bool is_failing_at_start(void)
{
	for (unsigned i = 0; i < run->lane_count; i++)
		if (run->lanes[i].check_error || run->lanes[i].open_error)
			return true;
	return false;
}

/*
 * Refusals do not tell drops from rejects, so then only their sum is known to the packet; and no reject is taken for a refused
 * one as long as there are drops.
 */
static bool is_verdict_right(unsigned verdict, const struct vd_sim_report *report, const struct vd_queue_stats *stats)
{
	const uint64_t *counted = stats->verdicts, *came = report->verdicts;

	if ((verdict != VD_DROP && verdict != VD_REJECT) || !(report->flushed + report->refused))
		return counted[verdict] == came[verdict];
	return counted[VD_DROP] + counted[VD_REJECT] == came[VD_DROP] + came[VD_REJECT] &&
	       (counted[VD_REJECT] >= came[VD_REJECT] || !counted[VD_DROP]);
}

/* Whatever did not go on has one cause; and every answer has waited, once. */
static void check_causes(unsigned lane, const struct vd_sim_report *report, const struct vd_queue_stats *stats)
{
	uint64_t going = report->verdicts[VD_ACCEPT] + report->verdicts[VD_REPEAT] + report->verdicts[VD_QUEUE] +
			 report->verdicts[VD_STOP] + report->socket_passed + report->left_accepted;
	uint64_t drops = 0;
	struct vd_latency latency;

	for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++) {
		uint64_t held = cause == VD_CAUSE_FUNCTION ? stats->held_dropped : 0;

		drops += stats->drops[cause];
		if (cause <= VD_CAUSE_EDIT && stats->drops[cause] != run->drops[lane][cause] + held)
			complain("queue %u: %llu packets were dropped for cause %u instead of %llu", lane,
				 (unsigned long long)stats->drops[cause], cause, (unsigned long long)run->drops[lane][cause]);
	}
	if (going + drops != report->offered)
		complain("queue %u: of %llu packets %llu went on, and %llu have a cause why not", lane,
			 (unsigned long long)report->offered, (unsigned long long)going, (unsigned long long)drops);
	if (stats->drops[VD_CAUSE_FLUSHED] > report->flushed || stats->drops[VD_CAUSE_REFUSED] > report->refused)
		complain("queue %u: more packets were to go on and did not than did not", lane);
	if (!is_failing_at_start() && (vd_engine_queue_latency(run->engine, lane, VD_SINCE_RECEIVED, &latency) ||
				       latency.count != stats->received))
		complain("queue %u: %llu packets waited instead of %llu", lane, (unsigned long long)latency.count,
			 (unsigned long long)stats->received);
}

static void check_held(unsigned lane, const struct vd_queue_stats *stats)
{
	uint64_t full = stats->drops[VD_CAUSE_HELD_FULL];

	if (stats->held)
		complain("queue %u: %u packets are still held", lane, stats->held);
	if (stats->held_ever + full != run->held[lane] + run->unseen[lane])
		complain("queue %u: %llu packets were held and %llu too many, instead of %llu and %llu that waited behind them", lane,
			 (unsigned long long)stats->held_ever, (unsigned long long)full, (unsigned long long)run->held[lane],
			 (unsigned long long)run->unseen[lane]);
	if (stats->held_dropped + stats->drops[VD_CAUSE_DEADLINE] + full != run->held_drops[lane])
		complain("queue %u: %llu held packets were dropped, and have not all a cause", lane,
			 (unsigned long long)run->held_drops[lane]);
	if (stats->held_behind > run->unseen[lane] || stats->held_expired + stats->held_dropped > stats->held_ever)
		complain("queue %u: more is said of held packets than there were", lane);
}

static void check_accounts(unsigned lane, const struct vd_sim_report *report, const struct vd_queue_stats *stats)
{
	uint64_t sum = stats->queue_dropped + stats->socket_dropped + stats->flushed + stats->refused + stats->left_accepted +
		       stats->left_dropped;

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++) {
		sum += stats->verdicts[verdict];
		if (!is_verdict_right(verdict, report, stats))
			complain("queue %u: %llu verdicts %u in the statistics, %llu came", lane,
				 (unsigned long long)stats->verdicts[verdict], verdict,
				 (unsigned long long)report->verdicts[verdict]);
	}
	if (sum != report->offered)
		complain("queue %u: the accounts do not close: offered %llu, together %llu", lane,
			 (unsigned long long)report->offered, (unsigned long long)sum);
#define SAME(number)                                                                                                    \
	if (stats->number != report->number)                                                                            \
	complain("queue %u: " #number " is %llu in the statistics, %llu for the port", lane,                             \
		 (unsigned long long)stats->number, (unsigned long long)report->number)
	SAME(queue_dropped);
	SAME(socket_dropped);
	SAME(flushed);
	SAME(refused);
	SAME(left_accepted);
	SAME(left_dropped);
	SAME(bytes);
#undef SAME
	if (stats->answered + stats->answers_limited + stats->answers_none + stats->answers_failed)
		complain("queue %u: there is nobody to answer", lane);
	if (stats->received != report->handed_up || stats->in_flight || stats->on_the_spot > stats->received)
		complain("queue %u: received %llu of %llu, %u in flight", lane, (unsigned long long)stats->received,
			 (unsigned long long)report->handed_up, stats->in_flight);
	if (report->has_send_failed) /* decided, but not sent: they are in one account only */
		return;
	check_causes(lane, report, stats);
	check_held(lane, stats);
	if (stats->edits_refused != run->edits_refused[lane])
		complain("queue %u: %llu edits were refused instead of %llu", lane, (unsigned long long)stats->edits_refused,
			 (unsigned long long)run->edits_refused[lane]);
	if (stats->rewritten != run->rewritten[lane] || stats->faults != run->faults[lane] ||
	    stats->by_default != run->by_default[lane])
		complain("queue %u: rewritten %llu, faults %llu, by default %llu instead of %llu, %llu, %llu", lane,
			 (unsigned long long)stats->rewritten, (unsigned long long)stats->faults,
			 (unsigned long long)stats->by_default, (unsigned long long)run->rewritten[lane],
			 (unsigned long long)run->faults[lane], (unsigned long long)run->by_default[lane]);
}

static void check_lane(unsigned lane, const struct vd_queue_stats *stats)
{
	struct vd_sim_report report;
	bool is_everything = run->ending == END_BY_ITSELF || run->ending == END_IN_SILENCE;

	vd_port_sim_report(run->ports[lane], &report);
	if (report.violations)
		complain("%s (%llu violations)", report.first_violation, (unsigned long long)report.violations);
	check_accounts(lane, &report, stats);
	if (is_everything && report.offered + report.passed != run->lanes[lane].packets)
		complain("queue %u: only %llu of %llu packets came", lane, (unsigned long long)report.offered,
			 (unsigned long long)run->lanes[lane].packets);
	if (is_everything && report.left_accepted + report.left_dropped)
		complain("queue %u: %llu packets were left, and nobody had stopped", lane,
			 (unsigned long long)(report.left_accepted + report.left_dropped));
	if (run->ending == END_BY_ITSELF && !stats->ended)
		complain("queue %u ended, but the statistics do not know", lane);
	if (report.opens > 1 || report.opens != report.closes)
		complain("queue %u was opened %u times and closed %u times", lane, report.opens, report.closes);
	if (is_failing_at_start() && report.handed_up)
		complain("queue %u was read, but another one did not open", lane);
	for (unsigned i = 0; i < run->lane_count; i++)
		if (run->lanes[i].check_error && report.opens)
			complain("queue %u was opened, but another one had failed its check", lane);
}

static void check_ending(int result, const struct vd_error *error, const struct vd_queue_stats *stats)
{
	bool shall_fail = false, have_all_ended = true;
	uint64_t received = 0;

	for (unsigned i = 0; i < run->lane_count; i++) {
		struct vd_sim_report report;

		vd_port_sim_report(run->ports[i], &report);
		received += stats[i].received;
		have_all_ended &= stats[i].ended;
		shall_fail |= report.has_send_failed || report.has_receive_failed;
		shall_fail |= run->lanes[i].check_error || run->lanes[i].open_error;
	}
	if (!result && shall_fail)
		complain("a port failed, but the run did not");
	if (result && (!shall_fail || !error->text[0]))
		complain("the run failed: %d, '%s'", result, error->text);
	if (run->ending == END_BY_FAILURE && !shall_fail && !result && !have_all_ended)
		complain("no port failed, and yet not all packets came");
	if (run->ending == END_BY_COUNT &&
	    (received > run->options.packets_max || (received < run->options.packets_max && !have_all_ended)))
		complain("%llu packets instead of %llu", (unsigned long long)received,
			 (unsigned long long)run->options.packets_max);
}

static void check_functions(const struct vd_queue_stats *queues)
{
	struct vd_function_stats stats[KINDS_MAX];
	struct vd_worker_stats workers[VD_ENGINE_WORKERS_MAX + VD_ENGINE_WRITERS_MAX];
	uint64_t packets = 0, decided = 0;

	memset(stats, 0, sizeof stats);
	if (vd_engine_function_stats(run->engine, stats, KINDS_MAX) != run->kind_count && !is_failing_at_start())
		complain("functions have gone");
	for (unsigned i = 0; i < run->lane_count; i++)
		packets += queues[i].received - queues[i].held_behind;
	for (unsigned i = 0; i < run->kind_count; i++) {
		uint64_t said = stats[i].faults;

		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			said += stats[i].verdicts[verdict];
		if (stats[i].packets != packets || said != packets)
			complain("function %u saw %llu packets and spoke of %llu, %llu came to it", i,
				 (unsigned long long)stats[i].packets, (unsigned long long)said, (unsigned long long)packets);
		packets = stats[i].verdicts[VD_NEXT];
	}
	for (unsigned i = vd_engine_worker_stats(run->engine, workers, VD_ENGINE_WORKERS_MAX); i-- > 0;)
		decided += workers[i].is_writer ? 0 : workers[i].packets;
	for (unsigned i = 0; i < run->lane_count; i++)
		decided -= queues[i].received;
	if (decided)
		complain("workers decided %lld packets more than there were", (long long)decided);
	if (run->states_open || run->functions_open)
		complain("%d states and %d functions were not closed", run->states_open, run->functions_open);
}

/* ---- all of it ---- */

static char hang_text[512];

static void on_hang(int signal_number)
{
	(void)signal_number;
	if (write(STDERR_FILENO, hang_text, strlen(hang_text)) < 0)
		_exit(2);
	abort();
}

static void describe(char *text, size_t size)
{
	static const char *const endings[] = {"by itself", "in silence", "by stop", "by function", "by count", "by failure"};
	int used = snprintf(text, size, "%u queues%s, %u workers, %u writers, batch %u, ends %s; functions:", run->lane_count,
			    run->lanes[0].sleepy ? " (sleepy)" : "", run->options.workers, run->options.writers,
			    run->options.batch, endings[run->ending]);

	for (unsigned i = 0; i < run->kind_count && (size_t)used < size; i++)
		used += snprintf(text + used, size - (size_t)used, " %s", run->functions[i].name);
}

/* What all runs together have met: a test that meets nothing proves nothing. */
static struct vd_sim_report met;
static uint64_t met_on_the_spot, met_dispatched, met_rejected, met_behind, met_expired, met_decided, met_too_many, met_held_refused;

static void add_up(const struct vd_queue_stats *stats)
{
	met.queue_dropped += stats->queue_dropped;
	met.socket_dropped += stats->socket_dropped;
	met.flushed += stats->flushed;
	met.refused += stats->refused;
	met.left_accepted += stats->left_accepted;
	met.left_dropped += stats->left_dropped;
	met.answered += stats->received;
	met_rejected += stats->verdicts[VD_REJECT];
	met_on_the_spot += stats->on_the_spot;
	met_behind += stats->held_behind;
	met_expired += stats->held_expired;
	met_decided += stats->held_ever - stats->held_expired;
	met_too_many += stats->drops[VD_CAUSE_HELD_FULL];
	met_held_refused += stats->held_refused;
	met_dispatched += stats->received - stats->on_the_spot;
}

static void run_one(uint64_t seed)
{
	struct vd_queue_stats stats[LANES_MAX];
	struct vd_error error = {""};
	char description[256];
	pthread_t meddler, decider;
	unsigned complaints;
	int result;

	run = calloc(1, sizeof *run);
	assert_non_null(run);
	choose(seed);
	describe(description, sizeof description);
	snprintf(hang_text, sizeof hang_text, "\nSIM_SEED=%llu hangs: %s\n", (unsigned long long)seed,
		 description);
	alarm(RUN_SECONDS_MAX);
	if (make()) {
		pthread_create(&meddler, NULL, meddle, NULL);
		if (run->holds)
			pthread_create(&decider, NULL, decide_later, NULL);
		result = vd_engine_run(run->engine, &error);
		pthread_join(meddler, NULL);
		atomic_store(&run->is_over, true);
		if (run->holds)
			pthread_join(decider, NULL);
		/* of a run that did not begin there may be none */
		memset(stats, 0, sizeof stats);
		if (vd_engine_queue_stats(run->engine, stats, LANES_MAX) != run->lane_count && !is_failing_at_start())
			complain("there are no statistics");
		for (unsigned i = 0; i < run->lane_count; i++) {
			check_lane(i, &stats[i]);
			add_up(&stats[i]);
		}
		check_ending(result, &error, stats);
		check_functions(stats);
	}
	vd_engine_destroy(run->engine);
	alarm(0);
	complaints = run->complaints;
	if (complaints) {
		char complaint[sizeof run->first_complaint];

		memcpy(complaint, run->first_complaint, sizeof complaint);
		free(run);
		fail_msg("SIM_SEED=%llu: %s (%u complaints) in %s", (unsigned long long)seed, complaint, complaints,
			 description);
	}
	free(run);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

static void whatever_happens_each_packet_is_answered_once_and_in_order(void **state)
{
	uint64_t seed = setting("SIM_SEED", 0), runs = setting("SIM_RUNS", RUNS_DEFAULT);

	(void)state;
	signal(SIGALRM, on_hang);
	for (uint64_t i = 1; i <= runs; i++)
		run_one(seed ? seed : i);
	print_message("%llu runs, %llu packets, %llu on the spot; lost %llu + %llu, flushed %llu, refused %llu, left %llu\n",
		      (unsigned long long)runs, (unsigned long long)met.answered, (unsigned long long)met_on_the_spot,
		      (unsigned long long)met.queue_dropped, (unsigned long long)met.socket_dropped,
		      (unsigned long long)met.flushed, (unsigned long long)met.refused,
		      (unsigned long long)(met.left_accepted + met.left_dropped));
	print_message("held: %llu expired, %llu decided, %llu behind others; too many: %llu, and %llu behind others\n",
		      (unsigned long long)met_expired, (unsigned long long)met_decided, (unsigned long long)met_behind,
		      (unsigned long long)met_held_refused, (unsigned long long)met_too_many);
	if (seed || runs < 100)
		return;
	assert_true(met.queue_dropped && met.socket_dropped && met.flushed && met.refused);
	assert_true(met_behind && met_expired && met_decided && met_too_many && met_held_refused);
	assert_true(met.left_accepted && met.left_dropped && met_on_the_spot && met_dispatched && met_rejected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_each_packet_is_answered_once_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
