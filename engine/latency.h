/* SPDX-License-Identifier: MIT */
/*
 * How long packets waited for their verdict: histograms that one thread adds to, relaxed, and anybody reads (tally.h).
 *
 * A burst has one moment in which it was read and one in which it was sent, so what was decided on the spot is one addition,
 * however many packets they are.
 *
 * What went through the rings was read in other bursts than it is sent; the slots have their moments. To look into each of them
 * would fetch a cache line from another CPU for each packet, and to find a kernel's time stamp in its message takes longer than
 * all the rest. So one packet of a burst is drawn by lot, and counts for the whole burst. Over many bursts that is the same
 * distribution: every packet is drawn with one chance in as many as it then stands for.
 */
#ifndef VERDICT_ENGINE_LATENCY_H
#define VERDICT_ENGINE_LATENCY_H

#include <verdict/engine.h>

#include "engine/slots.h"
#include "engine/tally.h"

struct vd_latencies {
	struct vd_latency since[VD_SINCE_COUNT];
};

/* When a burst was read, and when one of it, drawn by lot, came to this machine; monotonic. */
struct vd_moment {
	uint64_t received_ns;
	uint64_t arrived_ns; /* 0: it has no time stamp */
};

/* 0 to count - 1; a linear congruence is lot enough. */
static inline unsigned vd_latency_draw(uint64_t *dice, unsigned count)
{
	*dice = *dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((*dice >> 32) * count >> 32);
}

static inline unsigned vd_latency_bucket(uint64_t latency_ns)
{
	uint64_t value = latency_ns / 64;
	unsigned shift = value < 16 ? 0 : 60u - (unsigned)__builtin_clzll(value), bucket;

	bucket = shift * 8 + (unsigned)(value >> shift);
	return bucket < VD_LATENCY_BUCKETS ? bucket : VD_LATENCY_BUCKETS - 1;
}

/* `count` packets that waited that long. */
static inline void vd_latency_add(struct vd_latency *latency, uint64_t latency_ns, unsigned count)
{
	vd_tally_add(&latency->sum_ns, latency_ns * count);
	vd_tally_add(&latency->buckets[vd_latency_bucket(latency_ns)], count);
	if (latency_ns > latency->max_ns)
		vd_tally_add(&latency->max_ns, latency_ns - latency->max_ns);
}

/* Asks for the arrival of one packet of a burst that was just read, if `has_arrivals`. `dice` is the calling thread's, as below. */
void vd_moment_take(struct vd_moment *moment, bool has_arrivals, struct vd_packet *const *packets, unsigned count, uint64_t *dice);

/* Puts it into the slots of packets that are decided elsewhere. */
static inline void vd_moment_keep(const struct vd_moment *moment, struct vd_packet *const *packets, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		vd_slot_of(packets[i])->received_ns = moment->received_ns;
		vd_slot_of(packets[i])->arrived_ns = moment->arrived_ns;
	}
}

/* A whole burst, decided on the spot. */
static inline void vd_latency_add_burst(struct vd_latencies *latencies, const struct vd_moment *moment, unsigned count,
					uint64_t sent_ns)
{
	vd_latency_add(&latencies->since[VD_SINCE_RECEIVED], sent_ns - moment->received_ns, count);
	if (moment->arrived_ns)
		vd_latency_add(&latencies->since[VD_SINCE_ARRIVED], sent_ns - moment->arrived_ns, count);
}

/* Packets of several bursts, whose slots still have to be the caller's. */
static inline void vd_latency_add_mixed(struct vd_latencies *latencies, struct vd_packet *const *packets, unsigned count,
					uint64_t sent_ns, uint64_t *dice)
{
	const struct vd_slot *drawn = vd_slot_of(packets[vd_latency_draw(dice, count)]);
	struct vd_moment moment = {.received_ns = drawn->received_ns, .arrived_ns = drawn->arrived_ns};

	vd_latency_add_burst(latencies, &moment, count, sent_ns);
}

#endif
