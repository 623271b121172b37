/* SPDX-License-Identifier: MIT */
/*
 * How long packets waited, as a histogram of Prometheus: from 1 µs to 17 s, each bucket twice the one before. The engine's own are
 * eight times as fine, and every edge here is one there.
 */
#include "tools/metrics/exposition.h"
#include "tools/stats.h"

#define NAME "verdict_queue_latency_seconds"
#define FIRST_EDGE_NS (1ull << 10)
#define LAST_EDGE_NS (1ull << 34)

static void write_one(FILE *file, const struct vd_latency *latency, const char *queue, const char *since)
{
	uint64_t below = 0;
	unsigned bucket = 0;
	char edge[32];

	for (uint64_t edge_ns = FIRST_EDGE_NS; edge_ns <= LAST_EDGE_NS; edge_ns *= 2) {
		while (vd_latency_edge_ns(bucket) < edge_ns)
			below += latency->buckets[bucket++];
		snprintf(edge, sizeof edge, "%.12g", (double)edge_ns / 1e9);
		vd_exposition_count(file, below, NAME "_bucket", "queue", queue, "since", since, "le", edge, NULL);
	}
	vd_exposition_count(file, latency->count, NAME "_bucket", "queue", queue, "since", since, "le", "+Inf", NULL);
	vd_exposition_number(file, (double)latency->sum_ns / 1e9, NAME "_sum", "queue", queue, "since", since, NULL);
	vd_exposition_count(file, latency->count, NAME "_count", "queue", queue, "since", since, NULL);
}

void vd_metrics_write_latency(FILE *file, struct vd_engine *engine, const struct vd_snapshot *snapshot)
{
	vd_exposition_family(file, NAME, "histogram",
			     "How long packets waited until their verdict was sent: since they were received from the kernel, and, "
			     "where it gives time stamps, since they arrived at this machine.");
	for (unsigned i = 0; i < snapshot->queue_count; i++)
		for (unsigned since = 0; since < VD_SINCE_COUNT; since++) {
			struct vd_latency latency;
			char queue[16];

			if (vd_engine_queue_latency(engine, i, (enum vd_since)since, &latency))
				continue;
			snprintf(queue, sizeof queue, "%u", snapshot->queues[i].queue);
			write_one(file, &latency, queue, vd_stats_since_word((enum vd_since)since));
		}
}
