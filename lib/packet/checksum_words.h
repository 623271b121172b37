/* SPDX-License-Identifier: MIT */
/*
 * The sum by 64-bit words: a kernel of its own, and what the others do with bytes that do not fill a vector.
 *
 * No carry is lost, though none is looked for. `high` adds the upper halves of words, which does not overflow: 2^32
 * bytes make 2^29 words. `whole` adds words, modulo 2^64; what their lower halves add up to is whole - high * 2^32,
 * which is exact, as it does not overflow either. Vectors with 64-bit lanes do the same.
 */
#ifndef VERDICT_LIB_CHECKSUM_WORDS_H
#define VERDICT_LIB_CHECKSUM_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Part of a pass over `length` bytes from `from`, that sums them, and if `is_copy` writes them to `to`, which else is
 * NULL. `is_copy` is a constant: one source makes both kernels. `at` says how far the pass has come.
 */
#define VD_PASS static inline __attribute__((always_inline))

#define VD_IS_LITTLE_ENDIAN (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

struct vd_words {
	uint64_t whole, high;
};

VD_PASS uint64_t vd_words_read(uint8_t *to, const uint8_t *from, size_t at, bool is_copy)
{
	uint64_t word;

	memcpy(&word, from + at, 8);
	if (is_copy)
		memcpy(to + at, &word, 8);
	return word;
}

VD_PASS void vd_words_add(struct vd_words *words, uint64_t word)
{
	words->whole += word;
	words->high += word >> 32;
}

/* The sum, below 2^63: it may be added to another before it is folded. */
VD_PASS uint64_t vd_words_sum(struct vd_words words)
{
	return words.whole - (words.high << 32) + words.high;
}

/* 64 bits to 32: the halves and the carry, so that 0 comes of 0 alone. */
VD_PASS uint32_t vd_words_fold(uint64_t sum)
{
	sum += sum << 32 | sum >> 32;
	return (uint32_t)(sum >> 32);
}

/* Less than a word. */
VD_PASS uint64_t vd_words_few(uint8_t *to, const uint8_t *from, size_t at, size_t length, bool is_copy)
{
	size_t rest = length - at;
	uint64_t sum = 0;
	uint32_t four;
	uint16_t two;

	if (rest & 4) {
		memcpy(&four, from + at, 4);
		if (is_copy)
			memcpy(to + at, &four, 4);
		sum = four;
		at += 4;
	}
	if (rest & 2) {
		memcpy(&two, from + at, 2);
		if (is_copy)
			memcpy(to + at, &two, 2);
		sum += two;
		at += 2;
	}
	if (rest & 1) {
		uint8_t one = from[at];

		if (is_copy)
			to[at] = one;
		sum += VD_IS_LITTLE_ENDIAN ? one : (uint32_t)one << 8;
	}
	return sum;
}

/* What is left. */
VD_PASS uint64_t vd_words_rest(uint8_t *to, const uint8_t *from, size_t at, size_t length, bool is_copy)
{
	struct vd_words words = {0};
	size_t few = (length - at) & 7;

	if (length - at < 8)
		return vd_words_few(to, from, at, length, is_copy);
	for (; length - at >= 32; at += 32)
#pragma GCC unroll 4
		for (size_t i = 0; i < 32; i += 8)
			vd_words_add(&words, vd_words_read(to, from, at + i, is_copy));
	for (; length - at >= 8; at += 8)
		vd_words_add(&words, vd_words_read(to, from, at, is_copy));
	if (few) { /* the last word, which begins with bytes that were added before: without them */
		uint64_t last = vd_words_read(to, from, length - 8, is_copy);

		vd_words_add(&words, VD_IS_LITTLE_ENDIAN ? last >> (64 - 8 * few) : last << (64 - 8 * few));
	}
	return vd_words_sum(words);
}

#endif
