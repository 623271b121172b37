/* SPDX-License-Identifier: MIT */
/*
 * Hundreds of small runs through the whole engine over simulated queues (test/support/sim_run.h), in which the first function holds
 * packets, changed ones too, for another thread to decide.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/sim_run.h"

#ifdef __SANITIZE_THREAD__
#define RUNS 333
#else
#define RUNS 500
#endif
#define PACKETS_MAX 4096
#define TICKETS_MAX 256

/* What a holder has made of a packet. */
enum seen {
	SEEN_NEVER,   /* it waited behind another, or was dropped since too many do */
	SEEN_LEFT,
	SEEN_HELD,
};

/* Of the run. A lane's numbers are changed with its lock held. */
static struct {
	unsigned hold_percent, deadline_ms_max;
	struct vd_holder *_Atomic holder;
	_Atomic uint64_t tickets[TICKETS_MAX];
	_Atomic unsigned ticket_count;
	uint8_t seen[SIM_LANES_MAX][PACKETS_MAX]; /* enum seen; written by who may decide on it, read by who sends it */
	uint64_t unseen[SIM_LANES_MAX], held[SIM_LANES_MAX], held_drops[SIM_LANES_MAX];
} held;

/* ---- the function ---- */

static int open_holder(struct vd_open *open, void **shared)
{
	held.holder = open->holder;
	if (!open->holder)
		sim_complain("there is no holder");
	return sim_open_function(open, shared);
}

static enum vd_verdict hold(struct vd_packet *packet)
{
	uint64_t random = sim_dice(SIM_MORE, packet), ticket;
	struct vd_hold how = {.deadline_ms = 1 + (uint32_t)(random >> 8) % held.deadline_ms_max,
			      .verdict = random >> 40 & 1 ? VD_ACCEPT : VD_DROP,
			      .with_flow = random >> 41 & 1};
	enum vd_verdict verdict;

	if (vd_sim_packet_index(packet) >= PACKETS_MAX)
		return VD_NEXT;
	held.seen[packet->queue][vd_sim_packet_index(packet)] = SEEN_LEFT;
	if (random % 100 >= held.hold_percent)
		return VD_NEXT;
	verdict = vd_packet_hold(packet, &how, &ticket);
	if ((verdict == VD_HELD) != (ticket != 0))
		sim_complain("a verdict of %u, and ticket %llu", (unsigned)verdict, (unsigned long long)ticket);
	if (verdict != VD_HELD)
		return VD_NEXT;
	if (random >> 43 & 1) /* at once, before it is held */
		vd_hold_decide(held.holder, ticket, VD_ACCEPT);
	else
		atomic_store(&held.tickets[atomic_fetch_add(&held.ticket_count, 1) % TICKETS_MAX], ticket);
	if ((random >> 44 & 15) == 0) { /* has thought better of it */
		if (random >> 43 & 1 && !vd_hold_decide(held.holder, ticket, VD_DROP))
			sim_complain("a ticket was good twice");
		return VD_NEXT;
	}
	if (random >> 42 & 1) /* not before: another function's fault takes changes back */
		sim_change(packet, NULL);
	held.seen[packet->queue][vd_sim_packet_index(packet)] = SEEN_HELD;
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
			is_behind = verdicts[j] == VD_HELD && sim_dice(SIM_MORE, packets[j]) >> 41 & 1 && !packets[j]->edit_refused &&
				    packets[j]->flow_hash == packets[i]->flow_hash &&
				    held.seen[packets[j]->queue][vd_sim_packet_index(packets[j])] == SEEN_HELD;
		if (is_behind && vd_sim_packet_index(packets[i]) < PACKETS_MAX)
			held.seen[packets[i]->queue][vd_sim_packet_index(packets[i])] = SEEN_NEVER;
	}
}

static void *decide_later(void *argument)
{
	uint64_t random = sim_run->seed;

	(void)argument;
	while (!atomic_load(&sim_run->is_over)) {
		uint64_t dice = vd_sim_random(&random), ticket = atomic_exchange(&held.tickets[dice % TICKETS_MAX], 0);

		if (ticket && dice >> 40 & 3) /* some never */
			vd_hold_decide(held.holder, ticket, dice >> 42 & 1 ? VD_ACCEPT : VD_DROP);
		else if (held.holder && (dice >> 43 & 63) == 0 && !vd_hold_decide(held.holder, dice, VD_DROP))
			sim_complain("a ticket that nobody had was good");
		if ((dice >> 32 & 63) == 0)
			sim_sleep_us(1 + (unsigned)(dice >> 50) % 100);
		else if ((dice >> 32 & 7) == 0)
			sched_yield();
	}
	return NULL;
}

static struct vd_function choose(void)
{
	memset((void *)&held, 0, sizeof held);
	held.hold_percent = 1 + sim_up_to(sim_one_in(2) ? 5 : 60);
	held.deadline_ms_max = 1 + sim_up_to(20);
	sim_run->options.held_max = sim_one_in(2) ? 0 : 1 + sim_up_to(60);
	if (sim_one_in(2))
		return (struct vd_function){.name = "holder", .needs = VD_NEEDS_HOLD, .open = open_holder, .decide = decide_to_hold};
	return (struct vd_function){.name = "holder-burst", .needs = VD_NEEDS_HOLD, .open = open_holder,
				    .decide_burst = decide_burst_to_hold};
}

/* ---- the model ---- */

/* A packet that was held: a decision, or a deadline. */
static enum vd_verdict expect_held(const struct vd_packet *packet, uint64_t *count)
{
	++*count;
	if (packet->verdict == VD_DROP)
		held.held_drops[packet->queue]++;
	else if (packet->verdict != VD_ACCEPT)
		sim_complain("queue %u: held packet %u has got verdict %u", packet->queue, vd_sim_packet_index(packet), packet->verdict);
	return VD_NEXT;
}

static bool expect(const struct vd_packet *packet, enum vd_verdict *verdict)
{
	enum seen seen = vd_sim_packet_index(packet) < PACKETS_MAX ? held.seen[packet->queue][vd_sim_packet_index(packet)] : SEEN_LEFT;

	if (seen == SEEN_LEFT)
		return false;
	if (!packet->edit_refused)
		*verdict = expect_held(packet, seen == SEEN_HELD ? &held.held[packet->queue] : &held.unseen[packet->queue]);
	else if (seen == SEEN_HELD)
		*verdict = sim_expect_refused_edit(packet);
	else /* what was said of it does not count, but that it could not be changed does */
		*verdict = sim_expect_refused_edit(packet) == VD_DROP ? VD_DROP :
									expect_held(packet, &held.unseen[packet->queue]);
	return true;
}

static void audit(unsigned lane, const struct vd_queue_stats *stats)
{
	uint64_t full = stats->drops[VD_CAUSE_HELD_FULL];

	if (stats->held_ever + full != held.held[lane] + held.unseen[lane])
		sim_complain("queue %u: %llu packets were held and %llu too many, instead of %llu and %llu that waited behind them", lane,
			 (unsigned long long)stats->held_ever, (unsigned long long)full, (unsigned long long)held.held[lane],
			 (unsigned long long)held.unseen[lane]);
	if (stats->held_dropped + stats->drops[VD_CAUSE_DEADLINE] + full != held.held_drops[lane])
		sim_complain("queue %u: %llu held packets were dropped, and have not all a cause", lane,
			 (unsigned long long)held.held_drops[lane]);
	if (stats->held_behind > held.unseen[lane] || stats->held_expired + stats->held_dropped > stats->held_ever)
		sim_complain("queue %u: more is said of held packets than there were", lane);
}

static const struct sim_more HOLDING = {.choose = choose, .meddle = decide_later, .expect = expect, .audit = audit};

static void held_packets_are_answered_once_and_in_order(void **state)
{
	struct sim_met met;
	bool is_all;

	(void)state;
	is_all = sim_run_many(&HOLDING, RUNS, &met);
	print_message("held: %llu expired, %llu decided, %llu behind others; too many: %llu, and %llu behind others\n",
		      (unsigned long long)met.held_expired, (unsigned long long)met.held_decided, (unsigned long long)met.held_behind,
		      (unsigned long long)met.held_refused, (unsigned long long)met.held_too_many);
	if (!is_all)
		return;
	assert_true(met.queue_dropped && met.socket_dropped && met.flushed && met.refused);
	assert_true(met.left_accepted && met.left_dropped && met.on_the_spot && met.dispatched && met.rejected);
	assert_true(met.held_behind && met.held_expired && met.held_decided && met.held_too_many && met.held_refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_packets_are_answered_once_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
