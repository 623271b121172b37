/* SPDX-License-Identifier: MIT */
/* The functions of simulated runs, and their model. */
#include "sim_run.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct sim_run *sim_run;

void sim_complain(const char *format, ...)
{
	va_list arguments;

	if (atomic_fetch_add(&sim_run->complaints, 1))
		return;
	va_start(arguments, format);
	vsnprintf(sim_run->first_complaint, sizeof sim_run->first_complaint, format, arguments);
	va_end(arguments);
}

unsigned sim_up_to(unsigned most)
{
	return (unsigned)(vd_sim_random(&sim_run->random) % (most + 1));
}

bool sim_one_in(unsigned number)
{
	return sim_up_to(number - 1) == 0;
}

void sim_sleep_us(unsigned microseconds)
{
	nanosleep(&(struct timespec){.tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000}, NULL);
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- functions ---- */

uint64_t sim_dice(enum sim_kind kind, const struct vd_packet *packet)
{
	uint64_t state = sim_run->seed ^ (uint64_t)kind << 56 ^ (uint64_t)packet->queue << 32 ^ vd_sim_packet_index(packet);

	return vd_sim_random(&state);
}

#define NO_VERDICT 99

static unsigned what_it_says(enum sim_kind kind, const struct vd_packet *packet)
{
	switch (kind) {
	case SIM_PLAIN:
	case SIM_BURST:
		return sim_dice(kind, packet) % 16 < 10 ? VD_NEXT : VD_ACCEPT + sim_dice(kind, packet) % 6;
	case SIM_FAULTY:
		return sim_dice(kind, packet) % 32 ? VD_NEXT : NO_VERDICT;
	default:
		return VD_NEXT;
	}
}

static enum vd_verdict decide_plain(struct vd_packet *packet, void *state)
{
	(void)state;
	return (enum vd_verdict)what_it_says(SIM_PLAIN, packet);
}

static void decide_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	(void)state;
	if (count < 1 || count > VD_BURST_MAX)
		sim_complain("decide_burst() was given %u packets", count);
	for (unsigned i = 0; i < count; i++) {
		if (verdicts[i] != VD_NEXT)
			sim_complain("decide_burst() was given the verdict %u", (unsigned)verdicts[i]);
		verdicts[i] = (enum vd_verdict)what_it_says(SIM_BURST, packets[i]);
	}
}

static enum vd_verdict decide_faulty(struct vd_packet *packet, void *state)
{
	(void)state;
	return (enum vd_verdict)what_it_says(SIM_FAULTY, packet);
}

static void burn_ns(uint64_t nanoseconds)
{
	uint64_t start = clock_ns();

	while (clock_ns() - start < nanoseconds)
		;
}

static enum vd_verdict decide_slowly(struct vd_packet *packet, void *state)
{
	uint64_t random = sim_dice(SIM_SLOW, packet);

	(void)state;
	if (sim_run->burn_ns)
		burn_ns(sim_run->burn_ns);
	if (random % 256 == 0)
		sim_sleep_us(1 + (unsigned)(random >> 32) % 300);
	else if (random % 16 == 0)
		sched_yield();
	return VD_NEXT;
}

static enum vd_verdict decide_to_stop(struct vd_packet *packet, void *state)
{
	(void)state;
	if (vd_sim_packet_index(packet) >= sim_run->stop_at)
		vd_engine_stop(sim_run->engine);
	return VD_NEXT;
}

enum vd_verdict sim_change(struct vd_packet *packet, void *state)
{
	static _Thread_local uint8_t data[65536];
	const uint8_t *payload;
	uint32_t length;

	(void)state;
	if (sim_dice(SIM_CHANGER, packet) % 4 == 0)
		vd_packet_set_mark(packet, vd_sim_packet_index(packet) + 1);
	payload = vd_packet_payload(packet, &length);
	if (sim_dice(SIM_CHANGER, packet) % 8 < 4 || !payload)
		return VD_NEXT;
	memcpy(data, vd_packet_data(packet), packet->length);
	memset(data + (payload - vd_packet_data(packet)), (uint8_t)vd_sim_packet_index(packet), length);
	vd_packet_replace(packet, data, packet->length);
	return VD_NEXT;
}

/* A state, and who is in it. `touched` is no atomic: ThreadSanitizer sees when two threads are in it without order. */
struct state {
	_Atomic bool is_busy;
	uint64_t touched;
	bool has_thread;
	pthread_t thread;
};

int sim_open_function(struct vd_open *open, void **shared)
{
	(void)open;
	(void)shared;
	atomic_fetch_add(&sim_run->functions_open, 1);
	return 0;
}

void sim_close_function(void *shared)
{
	(void)shared;
	atomic_fetch_sub(&sim_run->functions_open, 1);
}

static int open_state(void *shared, void **state)
{
	(void)shared;
	atomic_fetch_add(&sim_run->states_open, 1);
	*state = calloc(1, sizeof(struct state));
	return *state ? 0 : -ENOMEM;
}

static void close_state(void *shared, void *state)
{
	(void)shared;
	atomic_fetch_sub(&sim_run->states_open, 1);
	free(state);
}

static void enter(struct state *state, const char *scope)
{
	/* relaxed, as in leave(): an order made here would hide that there is none */
	if (atomic_exchange_explicit(&state->is_busy, true, memory_order_relaxed))
		sim_complain("two threads are in one state of the %s's scope", scope);
	state->touched++;
}

static void leave(struct state *state)
{
	atomic_store_explicit(&state->is_busy, false, memory_order_relaxed);
}

static enum vd_verdict decide_by_flow(struct vd_packet *packet, void *argument)
{
	uint32_t index = vd_sim_packet_index(packet), number = vd_sim_packet_flow(packet);
	struct sim_flow *flow = number < SIM_FLOWS_MAX ? &sim_run->flows[packet->queue][number] : NULL;

	enter(argument, "flow");
	if (flow && flow->is_known && flow->state != argument)
		sim_complain("flow %u of queue %u meets another state", number, packet->queue);
	if (flow && flow->is_known && flow->last >= index)
		sim_complain("flow %u of queue %u: packet %u comes after packet %u", number, packet->queue, index, flow->last);
	if (flow)
		*flow = (struct sim_flow){.state = argument, .last = index, .is_known = true};
	if (sim_dice(SIM_FLOW, packet) % 64 == 0)
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
		sim_complain("a worker's state is met by another thread");
	state->thread = pthread_self();
	state->has_thread = true;
	leave(state);
}

static const struct vd_function functions[] = {
	[SIM_PLAIN] = {.name = "plain", .decide = decide_plain},
	[SIM_BURST] = {.name = "burst", .decide_burst = decide_burst},
	[SIM_FLOW] = {.name = "flow", .scope = VD_SCOPE_FLOW, .open_state = open_state, .close_state = close_state,
		       .decide = decide_by_flow},
	[SIM_WORKER] = {.name = "worker", .scope = VD_SCOPE_WORKER, .open_state = open_state, .close_state = close_state,
			 .decide_burst = decide_by_worker},
	[SIM_SLOW] = {.name = "slow", .decide = decide_slowly},
	[SIM_FAULTY] = {.name = "faulty", .decide = decide_faulty},
	[SIM_STOPPER] = {.name = "stopper", .decide = decide_to_stop},
	[SIM_CHANGER] = {.name = "changer", .decide = sim_change},
};

struct vd_function sim_function(enum sim_kind kind)
{
	return functions[kind];
}

/* ---- the model ---- */

static void expect_change(const struct vd_packet *packet)
{
	const uint8_t *payload;
	uint32_t length = 0;

	if ((packet->changed & VD_CHANGED_MARK) && packet->mark != vd_sim_packet_index(packet) + 1)
		sim_complain("queue %u: packet %u has somebody else's mark", packet->queue, vd_sim_packet_index(packet));
	if (!(packet->changed & VD_CHANGED_DATA))
		return;
	if (packet->verdict != VD_DROP && packet->verdict != VD_REJECT)
		sim_run->rewritten[packet->queue]++;
	payload = vd_packet_payload(packet, &length);
	for (uint32_t i = 0; i < length; i++)
		if (payload[i] != (uint8_t)vd_sim_packet_index(packet)) {
			sim_complain("queue %u: packet %u has somebody else's data", packet->queue, vd_sim_packet_index(packet));
			break;
		}
}

enum vd_verdict sim_count_drop(const struct vd_packet *packet, enum vd_cause cause, unsigned verdict)
{
	if (verdict == VD_DROP || verdict == VD_REJECT)
		sim_run->drops[packet->queue][cause]++;
	return (enum vd_verdict)verdict;
}

/* The model of the chain. */
static enum vd_verdict expect_of_chain(const struct vd_packet *packet)
{
	for (unsigned i = 0; i < sim_run->kind_count; i++) {
		unsigned said = what_it_says(sim_run->kinds[i], packet);

		if (said == NO_VERDICT || (said == VD_REJECT && !sim_run->may_reject[sim_run->kinds[i]])) {
			sim_run->faults[packet->queue]++;
			return sim_count_drop(packet, VD_CAUSE_FAULT, sim_run->options.fault_verdict);
		}
		if (said != VD_NEXT)
			return sim_count_drop(packet, VD_CAUSE_FUNCTION, said);
	}
	sim_run->by_default[packet->queue]++;
	return sim_count_drop(packet, VD_CAUSE_DEFAULT, sim_run->options.default_verdict);
}

enum vd_verdict sim_expect_refused_edit(const struct vd_packet *packet)
{
	sim_run->edits_refused[packet->queue]++;
	return sim_count_drop(packet, VD_CAUSE_EDIT, sim_run->options.fault_verdict);
}

enum vd_verdict sim_expect(const struct vd_packet *packet, void *unused)
{
	enum vd_verdict verdict;

	(void)unused;
	expect_change(packet);
	if (sim_run->more && sim_run->more->expect(packet, &verdict))
		return verdict;
	verdict = expect_of_chain(packet);
	if (!packet->edit_refused || verdict == VD_DROP || verdict == VD_REJECT)
		return verdict;
	return sim_expect_refused_edit(packet);
}
