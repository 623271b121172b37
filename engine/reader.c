/* SPDX-License-Identifier: MIT */
/*
 * Reading a lane: receive a burst, parse, and either decide it here, or hand it to the shards.
 *
 * On the spot: when nothing of the lane is in flight and the burst is short and a matter of microseconds, the reader decides
 * and answers it itself: no ring, no other thread, no wake-up. Nothing in flight means that no other thread holds a packet of
 * any flow here, and the reader's role keeps new ones away: so flows stay in order, and their states have one user. Long bursts
 * as well, when there is no CPU for another thread (crowd.h).
 */
#include <poll.h>

#include "engine/clock.h"
#include "engine/grace.h"
#include "engine/probes.h"
#include "engine/state.h"
#include "lib/packet/packet.h"

/* A burst that takes no longer than this is decided on the spot: about what waking a thread costs. */
#define ON_THE_SPOT_NS 40000u
/* A longer part of --batch means that more packets wait behind it: work for two. */
#define ON_THE_SPOT_PART 4
/* A receive call asks for so many packets, where it is not known that they come one by one. */
#define WANT_SOME 8u
/* After a burst that was decided on the spot, the next packet was there already if it took no longer than this, and its copy. */
#define AT_ONCE_NS 2000u
#define COPIED_PER_NS 2u
/* When what is in flight will take this long, a sleeper is woken to help. */
#define WAKE_NS 60000u

/* Puts fresh slots where the last burst took some. */
static void refill(struct vd_lane *lane)
{
	unsigned filled = vd_slots_take(&lane->slots, lane->free, lane->free_holes);

	while (filled < lane->free_holes && lane->free_count > lane->free_holes)
		lane->free[filled++] = lane->free[--lane->free_count];
	if (filled < lane->free_holes)
		lane->free_count = filled;
	lane->free_holes = 0;
	if (lane->free_count < VD_PORT_BURST_MAX)
		lane->free_count += vd_slots_take(&lane->slots, lane->free + lane->free_count,
						  VD_PORT_BURST_MAX - lane->free_count);
}

/* --batch-delay: packets that came alone wait for company. */
static int wait_for_company(struct vd_worker *worker, struct vd_lane *lane, int count, unsigned want)
{
	uint64_t deadline = vd_clock_ns() + worker->plan->batch_delay_us * 1000ull;
	struct pollfd pollfd = {.fd = lane->port->descriptor, .events = POLLIN};

	while ((unsigned)count < want && !vd_engine_is_stopping(worker->engine)) {
		uint64_t now = vd_clock_ns(), left_ns = deadline > now ? deadline - now : 0;
		struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000u), .tv_nsec = (long)(left_ns % 1000000000u)};
		int more;

		if (!left_ns || ppoll(&pollfd, 1, &left, NULL) <= 0)
			break;
		more = lane->port->operations->receive(lane->port, lane->free + count, want - (unsigned)count, false);
		if (more < 0) /* comes again at the next call */
			break;
		count += more;
	}
	return count;
}

/* How many packets of --packets N are left to this burst. */
static unsigned reserve(struct vd_engine *engine, unsigned want)
{
	int64_t left;

	if (!engine->options.packets_max)
		return want;
	/* relaxed: a count, nothing else hangs on it */
	left = atomic_fetch_sub_explicit(&engine->packets_left, want, memory_order_relaxed);
	if (left >= (int64_t)want)
		return want;
	left = left > 0 ? left : 0;
	atomic_fetch_add_explicit(&engine->packets_left, (int64_t)want - left, memory_order_relaxed);
	return (unsigned)left;
}

static void give_back_reserved(struct vd_engine *engine, unsigned reserved, unsigned used)
{
	if (!engine->options.packets_max)
		return;
	if (used < reserved)
		atomic_fetch_add_explicit(&engine->packets_left, reserved - used, memory_order_relaxed);
	if (atomic_fetch_sub_explicit(&engine->packets_unread, used, memory_order_relaxed) == (int64_t)used)
		vd_engine_stop(engine);
}

static void end_lane(struct vd_worker *worker, struct vd_lane *lane)
{
	/* a reader that came later may be told the same once more */
	if (atomic_exchange_explicit(&lane->ended, true, memory_order_acq_rel))
		return;
	/* release and acquire: whoever ends the last one sees all others ended */
	if (atomic_fetch_add_explicit(&worker->engine->lanes_ended, 1, memory_order_acq_rel) + 1 == worker->plan->lane_count)
		vd_engine_stop(worker->engine);
}

/*
 * How many packets to ask for: up to --batch of them while they come like that, and one while they come one by one, since to
 * look for a second one that is not there takes time. Of several lanes never one: that the second is missing is what tells
 * that a lane is empty.
 */
static unsigned choose_want(const struct vd_plan *plan, struct vd_lane *lane)
{
	unsigned most = lane->free_count < plan->batch ? lane->free_count : plan->batch;
	unsigned least = plan->lane_count == 1 ? 1 : WANT_SOME;
	unsigned want = lane->want > least ? lane->want : least;

	return want > most || plan->batch_delay_us ? most : want;
}

/* `at_once`: the packets had been there already. */
static void learn_want(struct vd_lane *lane, unsigned count, bool at_once)
{
	unsigned asked = lane->asked;

	if (count == asked && (asked > 1 || at_once))
		lane->want = asked < WANT_SOME ? WANT_SOME : 2 * asked;
	else if (count == 1)
		lane->want = 1;
	else if (count <= asked / 4)
		lane->want = asked / 2;
	if (lane->want > VD_PORT_BURST_MAX)
		lane->want = VD_PORT_BURST_MAX;
}

/* Who waits holds nothing, but the reader's role: the lane stays. */
static int wait_for_packets(struct vd_worker *worker, struct vd_lane *lane, unsigned want)
{
	int count;

	vd_grace_sleep();
	count = lane->port->operations->receive(lane->port, lane->free, want, true);
	vd_grace_wake();
	worker->plan = vd_engine_plan(worker->engine);
	return count;
}

static unsigned receive(struct vd_worker *worker, struct vd_lane *lane, bool wait)
{
	struct vd_engine *engine = worker->engine;
	unsigned reserved;
	int count;

	refill(lane);
	lane->asked = choose_want(worker->plan, lane);
	reserved = reserve(engine, lane->asked);
	if (!reserved)
		return 0;
	count = wait ? wait_for_packets(worker, lane, reserved) :
		       lane->port->operations->receive(lane->port, lane->free, reserved, false);
	if (count > 0) /* before any waiting for company, and parsing */
		lane->moment.received_ns = vd_clock_ns();
	if (count > 0 && (unsigned)count < reserved && worker->plan->batch_delay_us && lane->port->descriptor >= 0)
		count = wait_for_company(worker, lane, count, reserved);
	give_back_reserved(engine, reserved, count > 0 ? (unsigned)count : 0);
	if (count == VD_PORT_ENDED)
		end_lane(worker, lane);
	else if (count < 0)
		vd_engine_fail_port(engine, lane->port, count, "packets cannot be received");
	if (worker->plan->lane_count > 1 && lane->port->descriptor >= 0 && count >= 0 && (unsigned)count < reserved)
		vd_watch_arm(&engine->watch, lane);
	return count > 0 ? (unsigned)count : 0;
}

static void parse(struct vd_lane *lane, unsigned count)
{
	uint64_t bytes = 0;
	unsigned malformed = 0;

	for (unsigned i = 0; i < count; i++) {
		struct vd_packet *packet = lane->free[i];

		vd_packet_parse(packet, vd_packet_data(packet));
		packet->flow_hash = vd_packet_compute_flow_hash(packet, lane->hash_key);
		vd_slot_of(packet)->shard = vd_lane_shard_of(lane, packet->flow_hash);
		bytes += packet->wire_length;
		malformed += vd_packet_is_malformed(packet);
	}
	vd_tally_add(&lane->received, count);
	vd_tally_add(&lane->bytes, bytes);
	vd_tally_add(&lane->reads, 1);
	if (malformed)
		vd_tally_add(&lane->malformed, malformed);
}

static uint64_t expected_ns(struct vd_lane *lane, uint64_t packets)
{
	/* relaxed: an estimate */
	return packets * atomic_load_explicit(&lane->cost_ns, memory_order_relaxed);
}

static bool is_light(struct vd_worker *worker, struct vd_lane *lane, unsigned count)
{
	struct vd_engine *engine = worker->engine;

	if (engine->worker_count == 1 && !engine->writer_count) /* nobody else could help */
		return true;
	if (vd_engine_is_crowded(engine, lane))
		return true;
	return (count == 1 || count * ON_THE_SPOT_PART <= worker->plan->batch) &&
	       expected_ns(lane, count) <= ON_THE_SPOT_NS;
}

unsigned vd_reader_turn(struct vd_worker *worker, struct vd_lane *lane, bool wait)
{
	struct vd_engine *engine = worker->engine;
	unsigned count = receive(worker, lane, wait);
	uint64_t in_flight, start, end;

	if (!count)
		return 0;
	VD_PROBE(read, lane, lane->free, count);
	vd_moment_take(&lane->moment, lane->port->operations->has_arrivals, lane->free, count,
		       &worker->sender.dice);
	parse(lane, count);
	in_flight = vd_lane_in_flight(lane);
	if (!in_flight && is_light(worker, lane, count)) {
		start = worker->plan->batch_delay_us ? vd_clock_ns() : lane->moment.received_ns;
		vd_crowd_expire(&engine->crowd, start);
		vd_crowd_look_away(&worker->crowd_watch);
		learn_want(lane, count, start - lane->answered_ns < AT_ONCE_NS + lane->free[0]->length / COPIED_PER_NS);
		vd_decide_and_send(worker, lane, lane->free, count, true);
		end = vd_clock_ns();
		vd_latency_add_burst(&worker->sender.latencies[lane->index], &lane->moment, count, end);
		vd_lane_learn_cost(lane, end - start, count);
		lane->answered_ns = end;
		vd_tally_add(&lane->on_the_spot, count);
		return count; /* the same slots again: there are none warmer */
	}
	learn_want(lane, count, true);
	vd_moment_keep(&lane->moment, lane->free, count);
	vd_dispatch(lane, lane->free, count);
	lane->free_holes = count;
	if (expected_ns(lane, in_flight + count) >= WAKE_NS)
		vd_engine_call_for_help(engine);
	return count;
}
