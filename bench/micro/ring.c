/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "lib/ring/spsc.h"

static inline uint32_t push(struct vd_ring_spsc *ring, const uint32_t *entries, uint32_t count)
{
	return vd_ring_spsc_push_burst(ring, entries, count);
}

static inline uint32_t pop(struct vd_ring_spsc *ring, uint32_t *entries, uint32_t count)
{
	return vd_ring_spsc_pop_burst(ring, entries, count);
}

#include "ring_loops.h"

static void *make(uint32_t capacity)
{
	struct vd_ring_spsc *ring = aligned_alloc(VD_CACHE_LINE, vd_ring_spsc_size(capacity));

	if (ring && !vd_ring_spsc_init(ring, capacity)) {
		free(ring);
		return NULL;
	}
	return ring;
}

static const struct ring_kind ring_verdict = {"verdict", make, pass, consume, produce};

const struct ring_kind *const ring_kinds[] = {
	&ring_verdict,
#if HAS_DPDK
	&ring_rte,
#endif
#if HAS_CK
	&ring_ck,
#endif
	NULL,
};
