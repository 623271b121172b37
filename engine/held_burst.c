/* SPDX-License-Identifier: MIT */
/*
 * Held packets on a burst's way: while functions decide it, when it is decided, and when it is sent. See held.h.
 *
 * The order of a flow. What came before a held packet is sent before that one arrives at the thread, since both are done by whoever
 * sends for its shard. What comes behind it goes on its own way, or, with_flow, waits in the flow's list, which the thread takes
 * when it sends the held one.
 *
 * The port is told of a held packet before its slot is given back, and before it counts as finished: so whoever finds nothing in
 * flight knows of all that are held.
 */
#include <stdlib.h>

#include "engine/held.h"
#include "lib/packet/packet.h"

/* ---- while functions decide ---- */

struct vd_holding_place *vd_holding_find(struct vd_holding *holding, const struct vd_packet *packet)
{
	uint32_t place = vd_slot_of(packet)->holding_place;

	return place < holding->count && holding->places[place].packet == packet ? &holding->places[place] : NULL;
}

/* The packet of this burst behind which this one waits; VD_BURST_MAX: none. */
static unsigned find_head(const struct vd_holding *holding, const struct vd_packet *packet)
{
	for (unsigned i = 0; holding->flows && i < holding->count; i++)
		if (holding->places[i].has_flow && holding->places[i].packet != packet &&
		    holding->places[i].packet->flow_hash == packet->flow_hash)
			return i;
	return VD_BURST_MAX;
}

static void put_behind(struct vd_holding *holding, struct vd_packet *packet, unsigned head)
{
	struct vd_holding_place *place = vd_holding_find(holding, packet);

	if (place && place->held)
		vd_held_forget(holding->holder, place->held);
	if (!place) {
		place = &holding->places[holding->count];
		vd_slot_of(packet)->holding_place = holding->count++;
	}
	*place = (struct vd_holding_place){.packet = packet, .is_behind = true, .head = head};
}

bool vd_holding_is_behind(struct vd_holding *holding, struct vd_packet *packet)
{
	unsigned head = find_head(holding, packet);

	if (head == VD_BURST_MAX)
		return false;
	put_behind(holding, packet, head);
	return true;
}

enum vd_verdict vd_holding_hear(struct vd_holding *holding, struct vd_packet *packet, enum vd_verdict verdict)
{
	struct vd_holding_place *place;

	if (vd_holding_is_behind(holding, packet))
		return VD_HELD;
	place = verdict == VD_HELD ? vd_holding_find(holding, packet) : NULL;
	if (place && place->held && place->held->flow && !packet->edit_refused) {
		place->has_flow = true;
		holding->flows++;
	}
	return verdict;
}

/* ---- when the burst is decided ---- */

/* The packet as its verdict needs it. 0 or -ENOMEM. */
static int copy(struct vd_held *held, const struct vd_packet *packet, bool needs_bytes)
{
	bool has_bytes = needs_bytes || packet->changed & VD_CHANGED_DATA;

	held->packet = has_bytes ? malloc(sizeof *packet + packet->length) : &held->own;
	if (!held->packet)
		return -ENOMEM;
	*held->packet = *packet;
	held->packet->context = NULL;
	held->packet->message_offset = held->packet->message_length = 0;
	if (has_bytes) {
		held->packet->data_offset = sizeof *packet;
		held->packet->room = packet->length;
		memcpy(held->packet + 1, vd_packet_data(packet), packet->length);
	}
	return 0;
}

/* From here on it is held for good. */
static void count_held(struct vd_worker *worker, struct vd_lane *lane, struct vd_held *held, bool in_order)
{
	const struct vd_port_operations *operations = lane->port->operations;
	int result = 0;

	/* relaxed: who may not miss it comes by what hands the packet or the lane on, see vd_lane_is_holding() */
	atomic_fetch_add_explicit(&lane->holding, 1, memory_order_relaxed);
	if (operations->hold)
		result = operations->hold(lane->port, held->packet, in_order, worker->sender.scratch);
	if (result)
		vd_engine_fail_port(worker->engine, lane->port, result, "verdicts cannot be sent");
	vd_tally_add(&worker->sender.tallies[lane->index].held_ever, 1);
}

/* There is no memory for it: the deadline has come. */
static void give_up(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *packet, struct vd_held *held)
{
	struct vd_lane_tally *tally = &worker->sender.tallies[lane->index];

	packet->verdict = held->deadline_verdict;
	vd_tally_add(&tally->held_ever, 1);
	vd_tally_add(&tally->held_expired, 1);
	if (packet->verdict == VD_DROP)
		vd_tally_add(&tally->drops[VD_CAUSE_DEADLINE], 1);
	held->packet = NULL;
	vd_held_forget(worker->holding->holder, held);
}

static void settle_held(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *packet,
			struct vd_holding_place *place)
{
	struct vd_held *held = place->held;

	if (copy(held, packet, lane->port->operations->needs_bytes)) {
		give_up(worker, lane, packet, held);
		return;
	}
	if (held->flow) {
		vd_held_flows_add(&lane->held_flows[vd_slot_of(packet)->shard], held->flow);
		/* relaxed: for who has the shard behind this thread */
		atomic_fetch_add_explicit(&lane->flows_waiting, 1, memory_order_relaxed);
	}
	count_held(worker, lane, held, place->has_flow);
	vd_slot_of(packet)->held = held;
	place->is_copied = true;
}

/* Waits behind the flow's held packet, or, if there are too many, is dropped: it must neither overtake that one nor pass undecided. */
static bool wait_behind(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *packet, struct vd_held_flow *flow)
{
	struct vd_holder *holder = worker->holding->holder;
	struct vd_held *held = vd_held_take(holder);

	if (held && copy(held, packet, lane->port->operations->needs_bytes)) {
		held->packet = NULL;
		vd_held_give_back(holder, held);
		held = NULL;
	}
	if (!held) {
		packet->verdict = VD_DROP;
		vd_tally_add(&worker->sender.tallies[lane->index].drops[VD_CAUSE_HELD_FULL], 1);
		return false;
	}
	packet->verdict = VD_HELD;
	vd_slot_of(packet)->held = NULL;
	held->lane = lane;
	held->flow = NULL;
	count_held(worker, lane, held, true);
	vd_held_flow_add(flow, held);
	return true;
}

/* Waits behind a packet of this burst, which may have been given up meanwhile: then it goes the same way. */
static void settle_behind(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *packet, unsigned head)
{
	const struct vd_holding_place *before = &worker->holding->places[head];
	struct vd_lane_tally *tally = &worker->sender.tallies[lane->index];

	if (before->is_copied) {
		wait_behind(worker, lane, packet, before->held->flow);
		return;
	}
	packet->verdict = before->packet->verdict;
	vd_tally_add(&tally->held_ever, 1);
	vd_tally_add(&tally->held_expired, 1);
	if (packet->verdict == VD_DROP)
		vd_tally_add(&tally->drops[VD_CAUSE_DEADLINE], 1);
}

void vd_held_settle(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count)
{
	struct vd_holding *holding = worker->holding;
	bool has_come[VD_BURST_MAX] = {false}; /* by place: those behind it come later */
	unsigned head;

	for (unsigned i = 0; i < count; i++) {
		struct vd_holding_place *place = vd_holding_find(holding, packets[i]);

		if (packets[i]->verdict == VD_HELD && place->held) {
			settle_held(worker, lane, packets[i], place);
			has_come[place - holding->places] = true;
			continue;
		}
		if (place && place->held)
			vd_held_forget(holding->holder, place->held);
		head = packets[i]->verdict == VD_HELD ? place->head : find_head(holding, packets[i]);
		/* an earlier function has let it go on, but the held one comes before it */
		if (head != VD_BURST_MAX && has_come[head] && !vd_packet_is_dropped(packets[i]))
			settle_behind(worker, lane, packets[i], head);
	}
}

/* ---- flows that wait ---- */

unsigned vd_held_take_behind(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count,
			     struct vd_packet **left)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < count; i++) {
		struct vd_held_flow *flow = vd_held_flows_enter(&lane->held_flows[vd_slot_of(packets[i])->shard],
								packets[i]->flow_hash);

		if (!flow) {
			left[kept++] = packets[i];
			continue;
		}
		vd_slot_of(packets[i])->decided = 0; /* by no function */
		if (!wait_behind(worker, lane, packets[i], flow))
			vd_held_flow_leave(flow);
	}
	if (kept < count)
		vd_tally_add(&worker->sender.tallies[lane->index].held_behind, count - kept);
	return kept;
}

/* ---- when it is sent ---- */

unsigned vd_held_leave_out(struct vd_packet *const *packets, unsigned count, struct vd_packet **left)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < count; i++)
		if (packets[i]->verdict != VD_HELD)
			left[kept++] = packets[i];
	return kept;
}

void vd_held_have_arrived(struct vd_holder *holder, struct vd_packet *const *packets, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (packets[i]->verdict == VD_HELD && vd_slot_of(packets[i])->held)
			vd_held_arrive(holder, vd_slot_of(packets[i])->held);
}
