/* SPDX-License-Identifier: MIT */
/*
 * A worker takes what is free: first reading a lane, while little of it is in flight; else a shard that has packets;
 * else it sleeps. Nobody spins.
 *
 * There is always somebody awake, or asleep in the kernel, who will see the next packet: a worker parks only when another
 * one reads (and waits in the receive call), or watches, every lane that may be read.
 */
#include <sched.h>

#include "engine/clock.h"
#include "engine/grace.h"
#include "engine/state.h"

/* After so many bursts a busy worker looks whether other lanes have packets, when there are several. */
#define BURSTS_BETWEEN_LOOKS 16

static bool may_be_read(struct vd_engine *engine, struct vd_lane *lane)
{
	/* acquire of `held`, pairs with the release in vd_lane_let_go(): its slots may be other ones */
	if (atomic_load_explicit(&lane->ended, memory_order_acquire) || atomic_load_explicit(&lane->held, memory_order_acquire) ||
	    !atomic_load_explicit(&lane->readable, memory_order_acquire))
		return false;
	/* crowded: the next burst is to be decided on the spot, so the shared ones have to come to their end */
	return vd_lane_in_flight(lane) <= (vd_engine_is_crowded(engine, lane) ? 0 : vd_lane_full(lane) / 2);
}

static bool read_lane(struct vd_worker *worker, struct vd_lane *lane)
{
	struct vd_engine *engine = worker->engine;
	bool any = false;
	unsigned count;

	if (!may_be_read(engine, lane))
		return false;
	/* packets wait to be decided: a sleeper can read meanwhile */
	if (vd_duty_is_claimable(&lane->duty) && vd_parking_wake_one(&engine->parking))
		return false;
	if (!vd_lane_take_reading(lane))
		return false;
	/*
	 * A stop wakes whoever waits for packets, but once only: nobody may begin to wait after it. The same with who holds the lane
	 * (H1: sequentially consistent, as all four steps of the two: see hold() in reload.c).
	 */
	if (vd_engine_is_stopping(engine) || atomic_load_explicit(&lane->held, memory_order_seq_cst)) {
		vd_lane_release_reading(lane);
		return false;
	}
	do {
		/* a single lane is waited for in its own receive call, if there is nothing else to do */
		bool wait = worker->plan->lane_count == 1 && !vd_duty_is_claimable(&lane->duty) && lane->port->operations->wake;

		if (wait)
			vd_crowd_look_away(&worker->crowd_watch);
		count = vd_reader_turn(worker, lane, wait);
		any |= count > 0;
	} while (count == worker->plan->batch && vd_lane_in_flight(lane) && vd_lane_in_flight(lane) < vd_lane_full(lane) &&
		 !vd_engine_is_crowded(engine, lane) && !vd_engine_is_stopping(engine) &&
		 !atomic_load_explicit(&lane->held, memory_order_relaxed));
	vd_lane_release_reading(lane);
	return any;
}

/* Packets of as many shards as make a burst; `shards` are the claimed ones. */
static unsigned collect(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet **packets, uint32_t *shards)
{
	unsigned count = 0, batch = worker->plan->batch;
	unsigned home = worker->index * lane->shard_count / worker->engine->worker_count;
	int shard;

	*shards = 0;
	while (count < batch && (shard = vd_duty_claim(&lane->duty, home)) >= 0) {
		uint32_t indices[VD_PORT_BURST_MAX];
		uint32_t popped = vd_ring_spsc_pop_burst(lane->waiting[shard], indices, batch - count);

		*shards |= 1u << shard;
		for (uint32_t i = 0; i < popped; i++) {
			packets[count] = vd_slots_packet(&lane->slots, indices[i]);
			vd_slot_prefetch(packets[count++]);
		}
	}
	return count;
}

static void release(struct vd_lane *lane, uint32_t shards)
{
	uint32_t more = 0;

	for (uint32_t rest = shards; rest; rest &= rest - 1) {
		unsigned shard = (unsigned)__builtin_ctz(rest);

		if (!vd_ring_spsc_is_empty(lane->waiting[shard]))
			more |= 1u << shard;
	}
	vd_duty_release(&lane->duty, shards, more);
}

static bool drain_shards(struct vd_worker *worker, struct vd_lane *lane)
{
	struct vd_packet *packets[VD_PORT_BURST_MAX];
	uint32_t shards;
	unsigned count = collect(worker, lane, packets, &shards);
	uint64_t start, end;

	if (!shards)
		return false;
	if (count) {
		start = vd_clock_ns();
		if (lane->decided) {
			vd_decide(worker, lane, packets, count);
			vd_writer_hand_over(worker->engine, lane, packets, count);
		} else {
			vd_decide_and_send(worker, lane, packets, count, false);
			end = vd_clock_ns();
			vd_latency_add_mixed(&worker->sender.latencies[lane->index], packets, count, end,
					     &worker->sender.dice);
			vd_slots_give_back(&lane->slots, packets, count);
			vd_lane_finish(lane, count);
			vd_lane_learn_cost(lane, end - start, count);
			if (vd_crowd_is_due(&worker->crowd_watch, end))
				vd_crowd_watch(&worker->engine->crowd, &worker->crowd_watch, end, vd_clock_cpu_ns());
		}
	}
	release(lane, shards);
	return true;
}

static bool take_watching(struct vd_watch *watch)
{
	return !atomic_load_explicit(&watch->watching, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&watch->watching, true, memory_order_acquire);
}

static void release_watching(struct vd_watch *watch)
{
	atomic_store_explicit(&watch->watching, false, memory_order_release);
}

static bool something_to_do(struct vd_worker *worker)
{
	struct vd_engine *engine = worker->engine;

	if (vd_engine_is_stopping(engine))
		return true;
	for (unsigned i = 0; i < worker->plan->lane_count; i++) {
		struct vd_lane *lane = worker->plan->lanes[i];

		if (lane->decided && !may_be_read(engine, lane))
			vd_lane_starve(lane);
		if (vd_duty_is_claimable(&lane->duty) ||
		    (may_be_read(engine, lane) && !atomic_load_explicit(&lane->reading, memory_order_acquire)))
			return true;
	}
	return false;
}

/* One lane is waited for by its reader. */
static bool is_watched(struct vd_worker *worker)
{
	return worker->plan->lane_count == 1 || atomic_load_explicit(&worker->engine->watch.watching, memory_order_acquire);
}

/* Lanes that have fired have packets. Of one that is gone a last event may be left. */
static unsigned mark_readable(const struct vd_plan *plan, const unsigned *indices, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (plan->by_index[indices[i]])
			atomic_store_explicit(&plan->by_index[indices[i]]->readable, true, memory_order_release);
	return count;
}

/* Sleeps as the watcher. */
static void watch(struct vd_worker *worker)
{
	struct vd_engine *engine = worker->engine;
	unsigned indices[VD_WATCH_EVENTS_MAX], count;
	bool sleeps = !something_to_do(worker);

	vd_grace_sleep();
	count = vd_watch_look(&engine->watch, indices, sleeps);
	vd_grace_wake();
	worker->plan = vd_engine_plan(engine);
	count = mark_readable(worker->plan, indices, count);
	release_watching(&engine->watch);
	if (count > 1)
		vd_parking_wake_one(&engine->parking);
}

/* Sleeps until there may be something to do. */
static void rest(struct vd_worker *worker)
{
	struct vd_engine *engine = worker->engine;
	uint32_t key;

	vd_crowd_look_away(&worker->crowd_watch);
	if (worker->plan->lane_count > 1 && take_watching(&engine->watch)) {
		watch(worker);
		return;
	}
	key = vd_parking_prepare(&engine->parking);
	if (something_to_do(worker) || !is_watched(worker)) {
		vd_parking_cancel(&engine->parking);
		return;
	}
	vd_grace_sleep();
	vd_parking_park(&engine->parking, key);
	vd_grace_wake();
}

/* While it is busy with some lanes, others may have fired. */
static void look_around(struct vd_worker *worker)
{
	struct vd_engine *engine = worker->engine;
	unsigned indices[VD_WATCH_EVENTS_MAX], count;

	if (worker->plan->lane_count == 1 || ++worker->bursts < BURSTS_BETWEEN_LOOKS)
		return;
	worker->bursts = 0;
	if (!take_watching(&engine->watch))
		return;
	count = vd_watch_look(&engine->watch, indices, false);
	if (mark_readable(worker->plan, indices, count))
		vd_parking_wake_one(&engine->parking);
	release_watching(&engine->watch);
}

/* One round over all lanes, beginning with another one for each worker. */
static bool work(struct vd_worker *worker, bool stopping)
{
	const struct vd_plan *plan = worker->plan;
	bool any = false;

	for (unsigned i = 0; i < worker->plan->lane_count; i++) {
		struct vd_lane *lane = worker->plan->lanes[(worker->index + i) % worker->plan->lane_count];

		if (!stopping && read_lane(worker, lane))
			any = true;
		if (drain_shards(worker, lane))
			any = true;
		if (worker->plan != plan) /* it waited for packets meanwhile */
			return true;
	}
	return any;
}

void *vd_worker_main(void *argument)
{
	struct vd_worker *worker = argument;
	bool has_ended = false;

	vd_account_begin(&worker->sender.account);
	vd_grace_enter();
	while (!has_ended) {
		bool stopping = vd_engine_is_stopping(worker->engine);

		vd_grace_pass();
		worker->plan = vd_engine_plan(worker->engine);
		if (work(worker, stopping))
			look_around(worker);
		else if (stopping)
			has_ended = true;
		else
			rest(worker);
	}
	vd_grace_leave();
	vd_account_end(&worker->sender.account);
	return NULL;
}
