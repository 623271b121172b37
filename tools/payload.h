/* SPDX-License-Identifier: MIT */
/*
 * What a test datagram carries: who sent it, when, and content that shows damage. Sender and receiver are on one
 * machine: host byte order, and one clock.
 *
 *	0        2        4                12               20                  size
 *	+--------+--------+----------------+----------------+-------------------+
 *	| magic  | flow   | sequence       | time due, ns   | pattern ...       |
 *	+--------+--------+----------------+----------------+-------------------+
 *
 * The pattern follows from all of the header and the size: a changed header, a changed byte and a cut tail all show.
 * (A packet without a pattern shows damage to its magic and its flow only.)
 *
 * `verdict bench` and the programs of bench/net use it.
 */
#ifndef VERDICT_TOOLS_PAYLOAD_H
#define VERDICT_TOOLS_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PAYLOAD_MAGIC 0x7664u
#define PAYLOAD_FLOWS_MAX 16384u
#define PAYLOAD_SIZE_MAX 65507u

struct payload {
	uint16_t magic;
	uint16_t flow;
	uint64_t sequence;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint8_t pattern[];
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct payload) == 20, "the header has no holes");

static inline uint64_t payload_seed(const struct payload *payload, size_t size)
{
	uint64_t seed = payload->sequence * 0x9e3779b97f4a7c15u ^ payload->time_ns;

	seed = (seed ^ seed >> 29) * 0xbf58476d1ce4e5b9u + ((uint64_t)payload->flow << 32 | size);
	return seed ^ seed >> 32;
}

static inline uint64_t payload_word(uint64_t seed, size_t at)
{
	return seed + at * 0x9e3779b97f4a7c15u;
}

/* The header but its magic is set already; `size` is that of the whole payload. */
static inline void payload_fill(struct payload *payload, size_t size)
{
	uint64_t seed = payload_seed(payload, size), word;
	size_t rest = size - sizeof *payload, at = 0;

	payload->magic = PAYLOAD_MAGIC;
	for (; at + sizeof word <= rest; at += sizeof word) {
		word = payload_word(seed, at);
		memcpy(payload->pattern + at, &word, sizeof word);
	}
	word = payload_word(seed, at);
	memcpy(payload->pattern + at, &word, rest - at);
}

static inline bool payload_check(const struct payload *payload, size_t size)
{
	uint64_t seed, word, differences = 0;
	size_t rest = size - sizeof *payload, at = 0;

	if (size < sizeof *payload || payload->magic != PAYLOAD_MAGIC || payload->flow >= PAYLOAD_FLOWS_MAX)
		return false;
	seed = payload_seed(payload, size);
	for (; at + sizeof word <= rest; at += sizeof word) {
		memcpy(&word, payload->pattern + at, sizeof word);
		differences |= word ^ payload_word(seed, at);
	}
	word = payload_word(seed, at);
	return !differences && !memcmp(payload->pattern + at, &word, rest - at);
}

#endif
