/* SPDX-License-Identifier: MIT */
/*
 * Memory with a page before it and one behind it that may be neither read nor written: whoever leaves it is killed,
 * also by instructions that no sanitizer knows. Needs nothing but C and the kernel.
 */
#ifndef VERDICT_TEST_GUARDED_H
#define VERDICT_TEST_GUARDED_H

#include <stdint.h>

/* `size` is rounded up to whole pages. */
struct guarded {
	uint8_t *start, *end;
};

struct guarded guarded_make(uint32_t size);
void guarded_free(struct guarded guarded);

/* `size` bytes that are all the same, in a few pages of real memory, and guarded as well. */
struct guarded guarded_make_same(uint8_t value, uint64_t size);

#endif
