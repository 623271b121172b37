/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum with AVX-512. One instruction adds, to each 32-bit lane, the two bytes of it that are first in
 * their words, another the two that are second: two instructions for 64 bytes, and a core does two at a time.
 */
#if defined(__x86_64__)

#include "checksum_kernels.h"
#include "checksum_words.h"

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni,avx512vbmi2,bmi2")))

/* Below that the reduction of a vector takes longer than the words. */
#define SHORT 128

/* Vectors side by side, for additions that take 5 cycles, and of which two begin in each. More were not faster. */
#define UNROLLED 4u

/* So many bytes that a lane does not overflow: 2^15 vectors * 2 * 255 * 257 < 2^32. */
#define CHUNK (64u << 15)

/* So many are worth a vector more at the beginning, so that no other lies in two cache lines. */
#define ALIGNED_FROM 1024

struct sums {
	__m512i first, second; /* of the bytes that are first or second in their words */
};

/*
 * Adds to each lane its four bytes times their weights. Not by the intrinsic, _mm512_dpbusd_epi32(): for that GCC 12
 * moves every sum to another register and back, which makes half of the loop's instructions.
 */
AVX512 VD_PASS void add_weighted(__m512i *sum, __m512i vector, __m512i weights)
{
	__asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(vector), "v"(weights));
}

AVX512 VD_PASS void add(struct sums *sums, __m512i vector)
{
	add_weighted(&sums->first, vector, _mm512_set1_epi16(0x0001));
	add_weighted(&sums->second, vector, _mm512_set1_epi16(0x0100));
}

AVX512 VD_PASS void add64(struct sums *sums, uint8_t *to, const uint8_t *from, size_t at, bool is_copy)
{
	__m512i vector = _mm512_loadu_si512(from + at);

	if (is_copy)
		_mm512_storeu_si512(to + at, vector);
	add(sums, vector);
}

/* Less than a vector. What the mask leaves out is neither read nor written, and counts as 0. */
AVX512 VD_PASS void add_rest(struct sums *sums, uint8_t *to, const uint8_t *from, size_t at, size_t end,
			     bool is_copy)
{
	__mmask64 mask = _bzhi_u64(~0ull, end - at);
	__m512i vector = _mm512_maskz_loadu_epi8(mask, from + at);

	if (is_copy)
		_mm512_mask_storeu_epi8(to + at, mask, vector);
	add(sums, vector);
}

AVX512 VD_PASS uint64_t reduce(struct sums sums)
{
	__m512i words = _mm512_add_epi32(sums.first, _mm512_slli_epi32(sums.second, 8));
	__m512i wide = _mm512_add_epi64(_mm512_and_si512(words, _mm512_set1_epi64(0xffffffff)),
					_mm512_srli_epi64(words, 32));
	__m256i half = _mm256_add_epi64(_mm512_castsi512_si256(wide), _mm512_extracti64x4_epi64(wide, 1));
	__m128i quarter = _mm_add_epi64(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));

	return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(quarter, _mm_unpackhi_epi64(quarter, quarter)));
}

/* From `at` to `end`, and what is in sums[0] already: no more than CHUNK in all. */
AVX512 VD_PASS uint64_t sum_chunk(struct sums sums[UNROLLED], uint8_t *to, const uint8_t *from, size_t at,
				  size_t end, bool is_copy)
{
	for (; end - at >= 64 * UNROLLED; at += 64 * UNROLLED)
#pragma GCC unroll 4
		for (size_t i = 0; i < UNROLLED; i++)
			add64(&sums[i], to, from, at + 64 * i, is_copy);
#pragma GCC unroll 4
	for (unsigned i = 1; i < UNROLLED; i++) {
		sums[0].first = _mm512_add_epi32(sums[0].first, sums[i].first);
		sums[0].second = _mm512_add_epi32(sums[0].second, sums[i].second);
	}
	for (; end - at >= 64; at += 64)
		add64(&sums[0], to, from, at, is_copy);
	if (at < end)
		add_rest(&sums[0], to, from, at, end, is_copy);
	return reduce(sums[0]);
}

AVX512 VD_PASS uint32_t pass(uint8_t *to, const uint8_t *from, size_t length, bool is_copy)
{
	uint64_t sum = 0;
	size_t at = 0;

	while (at < length) {
		size_t chunk = length - at < CHUNK ? length - at : CHUNK;
		struct sums sums[UNROLLED] = {0};

		sum += sum_chunk(sums, to, from, at, at + chunk, is_copy);
		at += chunk;
	}
	return vd_words_fold(sum);
}

/*
 * In vectors of the address space: of the first the bytes before the data are left out. Words are those of the address
 * space as well; if the data is at an odd address, all bytes have to change places.
 */
AVX512 VD_PASS uint32_t sum_aligned(const uint8_t *from, size_t length)
{
	size_t before = (uintptr_t)from & 63;
	struct sums sums[UNROLLED] = {0};
	uint64_t total;

	add(&sums[0], _mm512_maskz_loadu_epi8(~0ull << before, (const void *)((uintptr_t)from - before)));
	total = sum_chunk(sums, NULL, from, 64 - before, length, false);
	return vd_words_fold(before & 1 ? total << 8 : total);
}

/* Not inline: what these need of the stack is nothing that short data should pay for. */
AVX512 __attribute__((noinline)) static uint32_t sum_long(const uint8_t *from, uint32_t length)
{
	if (length >= ALIGNED_FROM && length <= CHUNK - 64)
		return sum_aligned(from, length);
	return pass(NULL, from, length, false);
}

AVX512 __attribute__((noinline)) static uint32_t copy_long(uint8_t *restrict to, const uint8_t *restrict from,
							  uint32_t length)
{
	return pass(to, from, length, true);
}

static uint32_t sum(const void *data, uint32_t length)
{
	return length < SHORT ? vd_words_fold(vd_words_rest(NULL, data, 0, length, false)) : sum_long(data, length);
}

static uint32_t copy(void *restrict to, const void *restrict from, uint32_t length)
{
	return length < SHORT ? vd_words_fold(vd_words_rest(to, from, 0, length, true)) : copy_long(to, from, length);
}

/* Ice Lake, Zen 4 and later. The ones before them that have AVX-512 lower their clock to use it. */
static bool is_supported(void)
{
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni") &&
	       __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi2");
}

const struct vd_checksum_kernel vd_checksum_avx512 = {"avx512", is_supported, sum, copy};

#endif
