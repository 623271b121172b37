/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum with NEON: one instruction adds the two words of each 32-bit lane to it.
 */
#if defined(__aarch64__)

#include "checksum_kernels.h"
#include "checksum_words.h"

#include <arm_neon.h>

/* Below that a vector is not worth its reduction. */
#define SHORT 64

/* So many bytes that a lane does not overflow: 2^15 times 2 words for each of four sums. */
#define CHUNK (4 * 16u << 15)

static bool is_supported(void)
{
	return true; /* what is called arm64 has NEON */
}

VD_PASS uint32x4_t add16(uint32x4_t sum, uint8_t *to, const uint8_t *from, size_t at, bool is_copy)
{
	uint8x16_t vector = vld1q_u8(from + at);

	if (is_copy)
		vst1q_u8(to + at, vector);
	return vpadalq_u16(sum, vreinterpretq_u16_u8(vector));
}

/* From `at` to `end`, a multiple of 64 bytes that is no longer than CHUNK. */
VD_PASS uint64_t sum_chunk(uint8_t *to, const uint8_t *from, size_t at, size_t end, bool is_copy)
{
	uint32x4_t sums[4] = {0};
	uint64x2_t wide;

	for (; at < end; at += 64)
#pragma GCC unroll 4
		for (size_t i = 0; i < 4; i++)
			sums[i] = add16(sums[i], to, from, at + 16 * i, is_copy);
	wide = vpaddlq_u32(sums[0]);
	for (unsigned i = 1; i < 4; i++)
		wide = vpadalq_u32(wide, sums[i]);
	return vaddvq_u64(wide);
}

VD_PASS uint32_t pass(uint8_t *to, const uint8_t *from, size_t length, bool is_copy)
{
	uint64_t sum = 0;
	size_t at = 0;

	if (length < SHORT)
		return vd_words_fold(vd_words_rest(to, from, 0, length, is_copy));
	while (length - at >= 64) {
		size_t chunk = length - at < CHUNK ? (length - at) & ~63u : CHUNK;

		sum += sum_chunk(to, from, at, at + chunk, is_copy);
		at += chunk;
	}
	return vd_words_fold(sum + vd_words_rest(to, from, at, length, is_copy));
}

static uint32_t sum(const void *data, uint32_t length)
{
	return pass(NULL, data, length, false);
}

static uint32_t copy(void *restrict to, const void *restrict from, uint32_t length)
{
	return pass(to, from, length, true);
}

const struct vd_checksum_kernel vd_checksum_neon = {"neon", is_supported, sum, copy};

#endif
