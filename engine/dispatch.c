/* SPDX-License-Identifier: MIT */
/*
 * From the reader to the shards: each packet goes to the ring of its flow's shard, then all shards that got some are offered
 * at once.
 */
#include <assert.h>

#include "engine/probes.h"
#include "engine/state.h"

void vd_dispatch(struct vd_lane *lane, struct vd_packet *const *packets, unsigned count)
{
	uint32_t shards = 0;

	VD_PROBE(dispatch, lane, packets, count);
	/* before the first push: whoever finishes a packet must not be ahead of this count */
	vd_tally_add(&lane->dispatched, count);
	for (unsigned i = 0; i < count; i++) {
		const struct vd_slot *slot = vd_slot_of(packets[i]);
		uint32_t pushed = vd_ring_spsc_push_burst(lane->waiting[slot->shard], &slot->index, 1);

		assert(pushed == 1); /* a ring holds all slots of its lane */
		(void)pushed;
		shards |= 1u << slot->shard;
	}
	vd_duty_offer(&lane->duty, shards);
}
