/* SPDX-License-Identifier: MIT */
/*
 * The thread that has the held packets: it waits for decisions and deadlines, and sends the verdicts. It is started when the first
 * function that holds packets is opened, and sleeps when there is nothing to do.
 *
 * Lanes are not freed while something of them is held or a flow of them waits: what it counts down last (vd_holder_empty()). So it
 * is no business of the grace period.
 *
 * Of a flow that waits, it takes what there is, and sends it, again and again, until there is nothing, and closes it. In between it
 * does what else there is to do, so that a flow that never ends holds up nobody else.
 */
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/held.h"

#define NEVER UINT64_MAX
/* A worker is about to add to a flow; or somebody else is to be waited for. */
#define LOOK_NS 20000

/* ---- deadlines: a binary heap of the places' indices, from 1 on ---- */

static struct vd_held *in_heap(struct vd_holder *holder, uint32_t place)
{
	return vd_held_at(holder, holder->heap[place]);
}

static bool is_before(const struct vd_held *one, const struct vd_held *other)
{
	return one->deadline_ns != other->deadline_ns ? one->deadline_ns < other->deadline_ns : one->number < other->number;
}

static void put(struct vd_holder *holder, uint32_t place, struct vd_held *held)
{
	holder->heap[place] = held->index;
	held->heap_place = place;
}

static void move_up(struct vd_holder *holder, uint32_t place, struct vd_held *held)
{
	for (; place > 1 && is_before(held, in_heap(holder, place / 2)); place /= 2)
		put(holder, place, in_heap(holder, place / 2));
	put(holder, place, held);
}

static void move_down(struct vd_holder *holder, uint32_t place, struct vd_held *held)
{
	for (uint32_t child; (child = 2 * place) <= holder->heap_count; place = child) {
		child += child < holder->heap_count && is_before(in_heap(holder, child + 1), in_heap(holder, child));
		if (!is_before(in_heap(holder, child), held))
			break;
		put(holder, place, in_heap(holder, child));
	}
	put(holder, place, held);
}

static void add_deadline(struct vd_holder *holder, struct vd_held *held)
{
	move_up(holder, ++holder->heap_count, held);
}

static void remove_deadline(struct vd_holder *holder, struct vd_held *held)
{
	uint32_t place = held->heap_place;
	struct vd_held *last;

	if (!place)
		return;
	held->heap_place = 0;
	last = in_heap(holder, holder->heap_count--);
	if (last == held)
		return;
	if (place > 1 && is_before(last, in_heap(holder, place / 2)))
		move_up(holder, place, last);
	else
		move_down(holder, place, last);
}

/* ---- sending ---- */

static void count_verdict(struct vd_lane_tally *tally, const struct vd_held *held)
{
	bool is_dropped = held->packet->verdict == VD_DROP;

	if (held->by_deadline)
		vd_tally_add(&tally->held_expired, 1);
	else if (is_dropped)
		vd_tally_add(&tally->held_dropped, 1);
	if (is_dropped)
		vd_tally_add(&tally->drops[held->by_deadline ? VD_CAUSE_DEADLINE : VD_CAUSE_FUNCTION], 1);
}

static void send_batch(struct vd_holder *holder)
{
	struct vd_packet *packets[VD_BURST_MAX] = {NULL};
	unsigned count = holder->batch_count;
	struct vd_lane *lane = holder->batch[0]->lane;
	struct vd_lane_tally *tally = &holder->sender.tallies[lane->index];

	for (unsigned i = 0; i < count; i++) {
		packets[i] = holder->batch[i]->packet;
		count_verdict(tally, holder->batch[i]); /* decided: counted also if the port fails */
	}
	vd_send(holder->engine, &holder->sender, lane, packets, count, false);
	for (unsigned i = 0; i < count; i++)
		vd_held_give_back(holder, holder->batch[i]);
	holder->batch_count = 0;
	/* release, pairs with the acquire in vd_lane_is_holding() */
	atomic_fetch_sub_explicit(&lane->holding, count, memory_order_release);
}

/* Puts it into the batch, with what was decided. */
static void finish(struct vd_holder *holder, struct vd_held *held, const struct vd_decision *decision, bool by_deadline)
{
	struct vd_packet *packet = held->packet;

	packet->verdict = (uint8_t)decision->verdict;
	if (decision->sets_mark)
		vd_packet_set_mark(packet, decision->mark);
	if (decision->sets_conntrack_mark)
		vd_packet_set_conntrack_mark(packet, decision->conntrack_mark);
	held->by_deadline = by_deadline;
	if (holder->batch_count == VD_BURST_MAX || (holder->batch_count && holder->batch[0]->lane != held->lane))
		send_batch(holder);
	holder->batch[holder->batch_count++] = held;
	if (!held->flow)
		return;
	held->flow->decision = *decision;
	held->flow->by_deadline = by_deadline;
	held->flow->next_closing = holder->closing;
	holder->closing = held->flow;
}

/* It has arrived, and if somebody decided, we know what. */
static void finish_decided(struct vd_holder *holder, struct vd_held *held)
{
	if (held->is_void) {
		vd_held_give_back(holder, held);
		return;
	}
	remove_deadline(holder, held);
	finish(holder, held, &held->decision, false);
}

static void expire(struct vd_holder *holder, struct vd_held *held)
{
	struct vd_decision decision = {.verdict = (enum vd_verdict)held->deadline_verdict};

	remove_deadline(holder, held);
	if (vd_held_close(held, HELD_EXPIRED)) /* else it was decided just now, and comes */
		finish(holder, held, &decision, true);
}

/* ---- what comes ---- */

static bool take_lists(struct vd_holder *holder)
{
	/* acquire, pairs with the pushes; `decided` first: see vd_held_arrive() */
	struct vd_held *decided = atomic_exchange_explicit(&holder->decided, NULL, memory_order_seq_cst), *first = NULL, *next;
	struct vd_held *arrived = atomic_exchange_explicit(&holder->arrived, NULL, memory_order_seq_cst);
	bool any = decided || arrived;

	for (; arrived; arrived = next) {
		next = arrived->next_arrived;
		arrived->has_arrived = true;
		if (arrived->is_popped)
			finish_decided(holder, arrived);
		else if (!arrived->is_void)
			add_deadline(holder, arrived);
	}
	for (; decided; decided = next) { /* the first decision first */
		next = decided->next_decided;
		decided->next_decided = first;
		first = decided;
	}
	for (; first; first = next) {
		next = first->next_decided;
		first->is_popped = true;
		if (first->has_arrived)
			finish_decided(holder, first);
	}
	return any;
}

static int compare_numbers(const void *one, const void *other, void *holder)
{
	uint64_t first = vd_held_at(holder, *(const uint32_t *)one)->number;
	uint64_t second = vd_held_at(holder, *(const uint32_t *)other)->number;

	return first < second ? -1 : first > second;
}

/* Everything of this lane, or (NULL) of all, in the order in which it came. */
static bool expire_all(struct vd_holder *holder, const struct vd_lane *lane)
{
	uint32_t count = 0, *indices = holder->heap_count ? malloc(holder->heap_count * sizeof *indices) : NULL;

	if (!indices) { /* then by their deadlines, one in each round */
		for (uint32_t i = 1; i <= holder->heap_count; i++)
			if (!lane || in_heap(holder, i)->lane == lane)
				return expire(holder, in_heap(holder, i)), true;
		return false;
	}
	for (uint32_t i = 1; i <= holder->heap_count; i++)
		if (!lane || in_heap(holder, i)->lane == lane)
			indices[count++] = holder->heap[i];
	qsort_r(indices, count, sizeof *indices, compare_numbers, holder);
	for (uint32_t i = 0; i < count; i++)
		expire(holder, vd_held_at(holder, indices[i]));
	free(indices);
	return count;
}

static bool expire_due(struct vd_holder *holder)
{
	struct vd_lane *emptied = atomic_load_explicit(&holder->emptied, memory_order_acquire);
	bool any = false;
	uint64_t now;

	if (atomic_load_explicit(&holder->is_ending, memory_order_acquire))
		return expire_all(holder, NULL);
	if (emptied)
		any = expire_all(holder, emptied);
	if (!holder->heap_count)
		return any;
	for (now = vd_clock_ns(); holder->heap_count && in_heap(holder, 1)->deadline_ns <= now; any = true)
		expire(holder, in_heap(holder, 1));
	return any;
}

/* Flows whose packet has its verdict. */
static bool go_on(struct vd_holder *holder)
{
	bool any = false;

	for (struct vd_held_flow **link = &holder->closing, *flow; (flow = *link);) {
		struct vd_held *first = vd_held_flow_take(flow), *next;
		struct vd_held_flow *next_closing = flow->next_closing;
		struct vd_lane *lane = flow->lane;

		for (struct vd_held *held = first; held; held = next) {
			next = held->next_arrived;
			finish(holder, held, &flow->decision, flow->by_deadline);
		}
		if (!first && holder->batch_count)
			send_batch(holder); /* before it is closed: what comes then goes its own way */
		if (first || !vd_held_flow_close(flow)) {
			link = &flow->next_closing;
			any |= first != NULL;
			continue;
		}
		/* it is its table's now; release, pairs with the acquire in vd_lane_has_flows() */
		*link = next_closing;
		atomic_fetch_sub_explicit(&lane->flows_waiting, 1, memory_order_release);
		any = true;
	}
	if (holder->batch_count)
		send_batch(holder);
	return any;
}

/* ---- life ---- */

/*
 * Whoever pushes looks for `asleep` behind it, and here the lists are looked at behind `asleep`; all four are sequentially
 * consistent, so one of the two sees the other.
 */
static void sleep_until(struct vd_holder *holder, uint64_t until_ns)
{
	struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u), .tv_nsec = (long)(until_ns % 1000000000u)};

	atomic_store_explicit(&holder->wakes_at_ns, until_ns, memory_order_seq_cst);
	atomic_store_explicit(&holder->asleep, 1, memory_order_seq_cst);
	if (!atomic_load_explicit(&holder->arrived, memory_order_seq_cst) &&
	    !atomic_load_explicit(&holder->decided, memory_order_seq_cst) &&
	    !atomic_load_explicit(&holder->emptied, memory_order_seq_cst) &&
	    !atomic_load_explicit(&holder->is_ending, memory_order_seq_cst))
		syscall(SYS_futex, &holder->asleep, FUTEX_WAIT_BITSET_PRIVATE, 1, until_ns == NEVER ? NULL : &until, NULL,
			FUTEX_BITSET_MATCH_ANY);
	atomic_store_explicit(&holder->asleep, 0, memory_order_relaxed);
}

static void *run(void *argument)
{
	struct vd_holder *holder = argument;

	for (;;) {
		bool any = take_lists(holder);

		any |= expire_due(holder);
		if (holder->batch_count)
			send_batch(holder);
		any |= go_on(holder);
		if (any)
			continue;
		if (atomic_load_explicit(&holder->is_ending, memory_order_acquire) &&
		    !atomic_load_explicit(&holder->used, memory_order_acquire))
			return NULL;
		if (holder->closing || atomic_load_explicit(&holder->emptied, memory_order_acquire) ||
		    atomic_load_explicit(&holder->is_ending, memory_order_acquire))
			nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL); /* somebody is about to hand something over */
		else
			sleep_until(holder, holder->heap_count ? in_heap(holder, 1)->deadline_ns : NEVER);
	}
}

int vd_holder_start(struct vd_holder *holder)
{
	struct vd_engine *engine = holder->engine;
	sigset_t all, before;
	int result;

	if (atomic_load_explicit(&holder->has_thread, memory_order_relaxed)) /* this thread has started it, or one before it */
		return 0;
	if (!holder->heap) /* touched as it is used */
		holder->heap = calloc(VD_ENGINE_HELD_MAX_MAX + 1, sizeof *holder->heap);
	result = !holder->heap ? -ENOMEM : holder->sender.tallies ? 0 : vd_make_sender(engine, &holder->sender);
	if (result)
		return result;
	sigfillset(&all);
	sigdelset(&all, SIGSYS);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	result = vd_start_thread(engine, &holder->thread, run, holder, "holder", 0, engine->worker_count + engine->writer_count);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!result) /* release, pairs with the acquire in stats.c: what it counts is there */
		atomic_store_explicit(&holder->has_thread, true, memory_order_release);
	return result;
}

void vd_holder_stop(struct vd_holder *holder)
{
	if (!atomic_load_explicit(&holder->has_thread, memory_order_acquire))
		return;
	atomic_store_explicit(&holder->is_ending, true, memory_order_seq_cst);
	vd_holder_wake(holder);
	pthread_join(holder->thread, NULL);
}

void vd_holder_empty(struct vd_holder *holder, struct vd_lane *lane)
{
	if (!vd_lane_is_holding(lane) && !vd_lane_has_flows(lane))
		return;
	atomic_store_explicit(&holder->emptied, lane, memory_order_seq_cst);
	vd_holder_wake(holder);
	while (vd_lane_is_holding(lane) || vd_lane_has_flows(lane))
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
	atomic_store_explicit(&holder->emptied, NULL, memory_order_relaxed);
}
