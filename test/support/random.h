/* SPDX-License-Identifier: MIT */
/*
 * Random bytes and numbers that repeat. Needs nothing but C.
 */
#ifndef VERDICT_TEST_RANDOM_H
#define VERDICT_TEST_RANDOM_H

#include <stdint.h>

/* The seed for a test: $VD_SEED, or always the same. Printed, so that a failure can be repeated. */
uint64_t bytes_seed(const char *test);
uint64_t bytes_random(uint64_t *state);

/* 0 to bound - 1. */
uint32_t bytes_random_below(uint64_t *state, uint32_t bound);

void bytes_fill_random(uint64_t *state, void *data, uint32_t length);

#endif
