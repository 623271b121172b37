/* SPDX-License-Identifier: MIT */
#include "random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t bytes_seed(const char *test)
{
	const char *text = getenv("VD_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 20240229;

	printf("%s: VD_SEED=%" PRIu64 "\n", test, seed);
	fflush(stdout);
	return seed;
}

/* SplitMix64 */
uint64_t bytes_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t bytes_random_below(uint64_t *state, uint32_t bound)
{
	return (uint32_t)((bytes_random(state) >> 32) * bound >> 32);
}

void bytes_fill_random(uint64_t *state, void *data, uint32_t length)
{
	uint8_t *bytes = data;
	uint64_t number;

	for (uint32_t at = 0; at < length; at += 8) {
		number = bytes_random(state);
		memcpy(bytes + at, &number, length - at < 8 ? length - at : 8);
	}
}
