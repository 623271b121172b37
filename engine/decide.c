/* SPDX-License-Identifier: MIT */
/*
 * A burst through the chain, and its accounts.
 */
#include "engine/state.h"

void vd_decide(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count)
{
	struct vd_lane_tally *tally = &worker->sender.tallies[lane->index];
	struct vd_outcome outcome;

	vd_chain_decide(&worker->engine->chain, worker->index, lane->index, packets, count, &outcome);
	if (outcome.by_default)
		vd_tally_add(&tally->by_default, outcome.by_default);
	if (outcome.faults)
		vd_tally_add(&tally->faults, outcome.faults);
}

void vd_decide_and_send(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count,
			bool are_all)
{
	vd_decide(worker, lane, packets, count);
	vd_send(worker->engine, &worker->sender, lane, packets, count, are_all);
}
