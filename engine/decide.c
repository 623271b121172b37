/* SPDX-License-Identifier: MIT */
/*
 * A burst through the chain: what functions edited is completed, once, when all of them have seen it; senders of rejected
 * packets are told; and its accounts.
 */
#include "engine/held.h"
#include "engine/host.h"
#include "engine/probes.h"
#include "engine/state.h"
#include "lib/packet/packet.h"

/*
 * A packet that was to be changed, and could not be, must not go on as if nothing had been wanted: it gets the fault verdict,
 * and none of its other edits is sent. True: that was so.
 */
static bool settle_edits(struct vd_packet *packet, enum vd_verdict fault_verdict)
{
	bool goes_on = !vd_packet_is_dropped(packet);

	if (goes_on && packet->edit_refused) {
		packet->verdict = (uint8_t)fault_verdict;
		vd_slot_of(packet)->decided |= VD_DECIDED_REFUSED | (packet->changed ? VD_DECIDED_TAKEN_BACK : 0);
		packet->changed = 0;
		return true;
	}
	if (goes_on)
		vd_packet_complete(packet);
	return false;
}

/* Before the verdicts are sent: with them the packets' slots may go to somebody else. */
static void answer_rejected(struct vd_worker *worker, struct vd_lane_tally *tally, struct vd_packet *const *packets,
			    unsigned count)
{
	struct vd_answers *answers = worker->plan->answers;

	for (unsigned i = 0; i < count; i++)
		if (packets[i]->verdict == VD_REJECT)
			vd_tally_add(&tally->answers[vd_answers_send(answers, worker->index, packets[i])], 1);
}

/* Those of the causes that are known here; the ports know the others. */
static void count_drops(struct vd_lane_tally *tally, const struct vd_outcome *outcome, unsigned refused,
			enum vd_verdict default_verdict, enum vd_verdict fault_verdict)
{
	const uint32_t drops[VD_CAUSES_DECIDED] = {
		[VD_CAUSE_FUNCTION] = outcome->dropped,
		[VD_CAUSE_DEFAULT] = default_verdict == VD_DROP ? outcome->by_default : 0,
		[VD_CAUSE_FAULT] = fault_verdict == VD_DROP ? outcome->faults : 0,
		[VD_CAUSE_EDIT] = fault_verdict == VD_DROP ? refused : 0,
		[VD_CAUSE_NO_HOST] = fault_verdict == VD_DROP ? outcome->without_host : 0,
	};

	for (unsigned cause = 0; cause < VD_CAUSES_DECIDED; cause++)
		if (drops[cause])
			vd_tally_add(&tally->drops[cause], drops[cause]);
}

void vd_decide(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count)
{
	struct vd_lane_tally *tally = &worker->sender.tallies[lane->index];
	enum vd_verdict fault_verdict = worker->plan->fault_verdicts[lane->index];
	struct vd_packet *left[VD_BURST_MAX];
	struct vd_packet *const *shown = packets; /* to functions */
	unsigned shown_count = count, refused = 0;
	struct vd_outcome outcome;

	VD_PROBE(decide_begin, lane, packets, count);
	if (vd_lane_has_flows(lane)) {
		shown_count = vd_held_take_behind(worker, lane, packets, count, left);
		shown = left;
	}
	vd_holding_begin(worker->holding, lane, tally);
	if (worker->plan->chain->host)
		vd_host_decide(worker, lane, fault_verdict, shown, shown_count, &outcome);
	else
		vd_chain_decide(worker->plan->chain, worker->index, lane->index, fault_verdict, shown, shown_count,
				worker->holding, &outcome);
	for (unsigned i = 0; i < count; i++)
		if (packets[i]->edited || packets[i]->edit_refused)
			refused += settle_edits(packets[i], fault_verdict);
	if (worker->holding->count)
		vd_held_settle(worker, lane, shown, shown_count);
	if (outcome.rejected && lane->port->operations->has_senders)
		answer_rejected(worker, tally, packets, count);
	vd_taps_show(&worker->engine->taps, worker->index, worker->plan->chain, packets, count);
	if (outcome.by_default)
		vd_tally_add(&tally->by_default, outcome.by_default);
	if (outcome.faults)
		vd_tally_add(&tally->faults, outcome.faults);
	if (outcome.without_host)
		vd_tally_add(&tally->without_host, outcome.without_host);
	if (refused)
		vd_tally_add(&tally->edits_refused, refused);
	count_drops(tally, &outcome, refused, worker->plan->chain->default_verdict, fault_verdict);
	vd_tally_add(&worker->sender.packets, count);
	vd_tally_add(&worker->sender.bursts, 1);
	VD_PROBE(decide_end, lane, packets, count);
}

void vd_decide_and_send(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count,
			bool are_all)
{
	vd_decide(worker, lane, packets, count);
	vd_send(worker->engine, &worker->sender, lane, packets, count, are_all);
}
