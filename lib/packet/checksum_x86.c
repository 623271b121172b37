/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum with SSE2 and AVX2: 64-bit lanes, as in checksum_words.h.
 */
#if defined(__x86_64__)

#include "checksum_kernels.h"
#include "checksum_words.h"

#include <immintrin.h>

/* Below that a vector is not worth its reduction. */
#define SHORT 64

static bool always(void)
{
	return true; /* what is called x86-64 has SSE2 */
}

VD_PASS __m128i add16(__m128i *high, __m128i whole, uint8_t *to, const uint8_t *from, size_t at, bool is_copy)
{
	__m128i vector = _mm_loadu_si128((const __m128i *)(from + at));

	if (is_copy)
		_mm_storeu_si128((__m128i *)(to + at), vector);
	*high = _mm_add_epi64(*high, _mm_srli_epi64(vector, 32));
	return _mm_add_epi64(whole, vector);
}

VD_PASS uint64_t sum_lanes(__m128i whole, __m128i high)
{
	__m128i sum = _mm_add_epi64(_mm_sub_epi64(whole, _mm_slli_epi64(high, 32)), high);

	return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(sum, _mm_unpackhi_epi64(sum, sum)));
}

VD_PASS uint32_t sse2_pass(uint8_t *to, const uint8_t *from, size_t length, bool is_copy)
{
	__m128i whole[2] = {0}, high[2] = {0};
	size_t at = 0;

	if (length < SHORT)
		return vd_words_fold(vd_words_rest(to, from, 0, length, is_copy));
	for (; length - at >= 64; at += 64)
#pragma GCC unroll 4
		for (size_t i = 0; i < 4; i++)
			whole[i & 1] = add16(&high[i & 1], whole[i & 1], to, from, at + 16 * i, is_copy);
	return vd_words_fold(sum_lanes(_mm_add_epi64(whole[0], whole[1]), _mm_add_epi64(high[0], high[1])) +
			     vd_words_rest(to, from, at, length, is_copy));
}

static uint32_t sse2_sum(const void *data, uint32_t length)
{
	return sse2_pass(NULL, data, length, false);
}

static uint32_t sse2_copy(void *restrict to, const void *restrict from, uint32_t length)
{
	return sse2_pass(to, from, length, true);
}

const struct vd_checksum_kernel vd_checksum_sse2 = {"sse2", always, sse2_sum, sse2_copy};

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2")))

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

AVX2 VD_PASS __m256i add32(__m256i *high, __m256i whole, uint8_t *to, const uint8_t *from, size_t at, bool is_copy)
{
	__m256i vector = _mm256_loadu_si256((const __m256i *)(from + at));

	if (is_copy)
		_mm256_storeu_si256((__m256i *)(to + at), vector);
	*high = _mm256_add_epi64(*high, _mm256_srli_epi64(vector, 32));
	return _mm256_add_epi64(whole, vector);
}

AVX2 VD_PASS uint32_t avx2_pass(uint8_t *to, const uint8_t *from, size_t length, bool is_copy)
{
	__m256i whole[4] = {0}, high[4] = {0};
	__m256i w, h;
	size_t at = 0;

	if (length < SHORT)
		return vd_words_fold(vd_words_rest(to, from, 0, length, is_copy));
	for (; length - at >= 128; at += 128)
#pragma GCC unroll 4
		for (size_t i = 0; i < 4; i++)
			whole[i] = add32(&high[i], whole[i], to, from, at + 32 * i, is_copy);
	w = _mm256_add_epi64(_mm256_add_epi64(whole[0], whole[1]), _mm256_add_epi64(whole[2], whole[3]));
	h = _mm256_add_epi64(_mm256_add_epi64(high[0], high[1]), _mm256_add_epi64(high[2], high[3]));
	for (; length - at >= 32; at += 32)
		w = add32(&h, w, to, from, at, is_copy);
	return vd_words_fold(sum_lanes(_mm_add_epi64(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)),
				       _mm_add_epi64(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1))) +
			     vd_words_rest(to, from, at, length, is_copy));
}

AVX2 static uint32_t avx2_sum(const void *data, uint32_t length)
{
	return avx2_pass(NULL, data, length, false);
}

AVX2 static uint32_t avx2_copy(void *restrict to, const void *restrict from, uint32_t length)
{
	return avx2_pass(to, from, length, true);
}

const struct vd_checksum_kernel vd_checksum_avx2 = {"avx2", has_avx2, avx2_sum, avx2_copy};

#endif
