/* SPDX-License-Identifier: MIT */
/*
 * A histogram of nanoseconds with three significant digits over the whole range of 64 bits: values below 2,048 have
 * a bucket each, above them every doubling is split into 1,024 buckets, so that a bucket is at most 0.1 % wide.
 *
 * `verdict bench` and the programs of bench/net use it.
 */
#ifndef VERDICT_TOOLS_HISTOGRAM_H
#define VERDICT_TOOLS_HISTOGRAM_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_HALF 1024u
#define HISTOGRAM_SHIFTS 54u /* 2^64 >> 53 is the last that fits 2,048 */

struct histogram {
	uint64_t count, max;
	uint64_t buckets[(HISTOGRAM_SHIFTS + 1) * HISTOGRAM_HALF];
};

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	unsigned shift = value < 2 * HISTOGRAM_HALF ? 0 : 53u - (unsigned)__builtin_clzll(value);

	histogram->buckets[shift * HISTOGRAM_HALF + (value >> shift)]++;
	histogram->count++;
	if (value > histogram->max)
		histogram->max = value;
}

static inline void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
	for (unsigned i = 0; i < sizeof histogram->buckets / sizeof *histogram->buckets; i++)
		histogram->buckets[i] += other->buckets[i];
	histogram->count += other->count;
	if (other->max > histogram->max)
		histogram->max = other->max;
}

/* The value that `per_million` of the values do not exceed: the upper edge of its bucket. */
static inline uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_million)
{
	uint64_t wanted = (histogram->count * per_million + 999999) / 1000000, seen = 0, edge;

	for (unsigned i = 0; i < sizeof histogram->buckets / sizeof *histogram->buckets; i++) {
		unsigned shift = i < 2 * HISTOGRAM_HALF ? 0 : i / HISTOGRAM_HALF - 1;

		seen += histogram->buckets[i];
		if (seen < wanted || !seen)
			continue;
		edge = (((uint64_t)(i - shift * HISTOGRAM_HALF) + 1) << shift) - 1;
		return edge < histogram->max ? edge : histogram->max;
	}
	return histogram->max;
}

/* "name":{"p50":...}, in nanoseconds; all 0 when there was nothing. */
static inline void histogram_print(const struct histogram *histogram, const char *name)
{
	printf("\"%s\":{\"p50\":%" PRIu64 ",\"p90\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64
	       ",\"max\":%" PRIu64 "}",
	       name, histogram_quantile(histogram, 500000), histogram_quantile(histogram, 900000),
	       histogram_quantile(histogram, 990000), histogram_quantile(histogram, 999000), histogram->max);
}

#endif
