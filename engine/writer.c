/* SPDX-License-Identifier: MIT */
/*
 * Sending verdicts: what a worker does itself, and the dedicated writers that --writers asks for.
 *
 * A verdict call runs the rest of the IP stack, which makes writing the most expensive stage; by default whoever decides
 * also sends. A dedicated writer has its shards (number modulo writers) and takes their decided packets from a ring each,
 * filled by whoever holds the shard: so a flow's verdicts stay in order here as well.
 */
#include <assert.h>

#include "engine/clock.h"
#include "engine/grace.h"
#include "engine/held.h"
#include "engine/probes.h"
#include "engine/state.h"
#include "lib/packet/packet.h"

/* Of a burst with held packets the others, and then those have arrived. */
static void send_others(struct vd_engine *engine, struct vd_sender *sender, struct vd_lane *lane, struct vd_packet *const *packets,
			unsigned count)
{
	struct vd_packet *left[VD_BURST_MAX];
	unsigned left_count = vd_held_leave_out(packets, count, left);

	if (left_count)
		vd_send(engine, sender, lane, left, left_count, false);
	vd_held_have_arrived(engine->holder, packets, count);
}

void vd_send(struct vd_engine *engine, struct vd_sender *sender, struct vd_lane *lane, struct vd_packet *const *packets,
	     unsigned count, bool are_all)
{
	struct vd_lane_tally *tally = &sender->tallies[lane->index];
	uint32_t verdicts[VD_VERDICT_COUNT] = {0}, rewritten = 0;
	int result;

	for (unsigned i = 0; i < count; i++) {
		verdicts[packets[i]->verdict]++;
		rewritten += packets[i]->changed & VD_CHANGED_DATA && !vd_packet_is_dropped(packets[i]);
	}
	if (verdicts[VD_HELD]) {
		send_others(engine, sender, lane, packets, count);
		return;
	}
	VD_PROBE(send_begin, lane, packets, count);
	result = lane->port->operations->send(lane->port, packets, count, are_all && !vd_lane_is_holding(lane), sender->scratch);
	VD_PROBE(send_end, lane, packets, count);
	if (result) {
		vd_engine_fail_port(engine, lane->port, result, "verdicts cannot be sent");
		return;
	}
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		if (verdicts[verdict])
			vd_tally_add(&tally->verdicts[verdict], verdicts[verdict]);
	if (rewritten)
		vd_tally_add(&tally->rewritten, rewritten);
	vd_tally_add(&tally->sends, 1);
}

void vd_writer_hand_over(struct vd_engine *engine, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count)
{
	uint32_t writers = 0;

	for (unsigned i = 0; i < count; i++) {
		/* copies: once pushed, the slot is the writer's, and soon somebody else's */
		uint32_t index = vd_slot_of(packets[i])->index, shard = vd_slot_of(packets[i])->shard;
		uint32_t pushed = vd_ring_spsc_push_burst(lane->decided[shard], &index, 1);

		assert(pushed == 1); /* a ring holds all slots of its lane */
		(void)pushed;
		writers |= 1u << shard % engine->writer_count;
	}
	for (unsigned i = 0; i < engine->writer_count; i++)
		if (writers & 1u << i)
			vd_parking_wake_one(&engine->writers[i].parking);
}

/* Up to a burst from the lane's shards that are this writer's; returns how many. */
static unsigned collect(struct vd_writer *writer, struct vd_lane *lane, struct vd_packet **packets)
{
	unsigned count = 0, batch = writer->plan->batch;

	for (unsigned shard = writer->index; shard < lane->shard_count && count < batch; shard += writer->engine->writer_count) {
		uint32_t indices[VD_PORT_BURST_MAX];
		uint32_t popped = vd_ring_spsc_pop_burst(lane->decided[shard], indices, batch - count);

		for (uint32_t i = 0; i < popped; i++)
			packets[count++] = vd_slots_packet(&lane->slots, indices[i]);
	}
	return count;
}

static bool send_what_there_is(struct vd_writer *writer)
{
	struct vd_engine *engine = writer->engine;
	struct vd_packet *packets[VD_PORT_BURST_MAX];
	bool any = false;

	for (unsigned i = 0; i < writer->plan->lane_count; i++) {
		struct vd_lane *lane = writer->plan->lanes[i];
		unsigned count = collect(writer, lane, packets);

		if (!count)
			continue;
		any = true;
		vd_send(engine, &writer->sender, lane, packets, count, false);
		vd_latency_add_mixed(&writer->sender.latencies[lane->index], packets, count, vd_clock_ns(),
				     &writer->sender.dice);
		vd_tally_add(&writer->sender.packets, count);
		vd_tally_add(&writer->sender.bursts, 1);
		vd_slots_give_back(&lane->slots, packets, count);
		vd_lane_finish(lane, count);
		if (vd_lane_is_starving(lane))
			vd_engine_call_for_help(engine);
	}
	return any;
}

/* Sleeps until there may be something to send. */
static void rest(struct vd_writer *writer)
{
	uint32_t key = vd_parking_prepare(&writer->parking);

	if (send_what_there_is(writer) || atomic_load_explicit(&writer->engine->workers_ended, memory_order_acquire)) {
		vd_parking_cancel(&writer->parking);
		return;
	}
	vd_grace_sleep();
	vd_parking_park(&writer->parking, key);
	vd_grace_wake();
}

void *vd_writer_main(void *argument)
{
	struct vd_writer *writer = argument;

	vd_account_begin(&writer->sender.account);
	vd_grace_enter();
	for (;;) {
		/* acquire, pairs with the release at the end of the workers: read before the last look at the rings */
		bool last = atomic_load_explicit(&writer->engine->workers_ended, memory_order_acquire);

		vd_grace_pass();
		writer->plan = vd_engine_plan(writer->engine);
		if (send_what_there_is(writer))
			continue;
		if (last)
			break;
		rest(writer);
	}
	vd_grace_leave();
	vd_account_end(&writer->sender.account);
	return NULL;
}
