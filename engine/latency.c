/* SPDX-License-Identifier: MIT */
#include "engine/latency.h"

#include <time.h>

#include "engine/clock.h"

/* A time stamp is by the clock that may be set; what matters is how long ago it was, by that clock. */
static uint64_t long_ago(uint64_t stamp_ns)
{
	struct timespec now;
	uint64_t now_ns;

	clock_gettime(CLOCK_REALTIME, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return now_ns > stamp_ns ? now_ns - stamp_ns : 0; /* somebody has set it back */
}

void vd_moment_take(struct vd_moment *moment, bool has_arrivals, struct vd_packet *const *packets, unsigned count, uint64_t *dice)
{
	uint64_t stamp_ns, ago_ns;

	moment->arrived_ns = 0;
	if (!has_arrivals)
		return;
	stamp_ns = vd_packet_timestamp_ns(packets[vd_latency_draw(dice, count)]);
	if (!stamp_ns)
		return;
	ago_ns = long_ago(stamp_ns);
	moment->arrived_ns = ago_ns < moment->received_ns ? moment->received_ns - ago_ns : 1;
}
