/* SPDX-License-Identifier: MIT */
/*
 * CRC32c on x86-64: with the instruction of SSE4.2, and for longer data with vectors.
 *
 * The instruction takes three cycles, and one can begin in each: three runs of bytes are read side by side, and put
 * together with a carry-less multiplication (PCLMULQDQ).
 */
#if defined(__x86_64__)

#include "checksum_crc32c_powers.h"
#include "checksum_kernels.h"
#include "checksum_words.h"

#include <immintrin.h>

#define SSE42 __attribute__((target("sse4.2,pclmul")))

/* Below that putting together takes longer than it saves. */
#define RUNS_FROM 192

static bool is_supported(void)
{
	return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

VD_PASS uint64_t word_at(const uint8_t *from)
{
	return vd_words_read(NULL, from, 0, false);
}

SSE42 VD_PASS uint64_t product(uint64_t crc, uint32_t power)
{
	return (uint64_t)_mm_cvtsi128_si64(
		_mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi32_si128((int)power), 0));
}

/* Three runs of so many words. The products go in with the last word of the third run. */
SSE42 VD_PASS uint64_t add_runs(uint64_t crc, const uint8_t *from, uint32_t words)
{
	const uint8_t *last = from + 8 * (words - 1);
	const uint32_t run = 8 * words;
	uint64_t second = 0, third = 0;

	for (; from != last; from += 8) {
		crc = _mm_crc32_u64(crc, word_at(from));
		second = _mm_crc32_u64(second, word_at(from + run));
		third = _mm_crc32_u64(third, word_at(from + 2 * run));
	}
	crc = _mm_crc32_u64(crc, word_at(from));
	second = _mm_crc32_u64(second, word_at(from + run));
	return _mm_crc32_u64(third, word_at(from + 2 * run) ^
					    product(crc, vd_crc32c_powers[2 * words]) ^
					    product(second, vd_crc32c_powers[words]));
}

/* One after the other. */
SSE42 VD_PASS uint64_t add_few(uint64_t crc, const uint8_t *from, uint32_t length)
{
	uint32_t half;

	for (; length >= 8; length -= 8, from += 8)
		crc = _mm_crc32_u64(crc, word_at(from));
	if (length & 4) {
		memcpy(&half, from, 4);
		crc = _mm_crc32_u32((uint32_t)crc, half);
		from += 4;
	}
	for (length &= 3; length; length--)
		crc = _mm_crc32_u8((uint32_t)crc, *from++);
	return crc;
}

SSE42 VD_PASS uint32_t add_any(uint32_t crc, const uint8_t *from, uint32_t length)
{
	uint64_t state = (uint32_t)~crc;

	while (length >= RUNS_FROM) {
		uint32_t words = length / 24 < VD_CRC32C_RUN_MAX ? length / 24 : VD_CRC32C_RUN_MAX;

		state = add_runs(state, from, words);
		from += 24 * words;
		length -= 24 * words;
	}
	return ~(uint32_t)add_few(state, from, length);
}

SSE42 static uint32_t add(uint32_t crc, const void *data, uint32_t length)
{
	return add_any(crc, data, length);
}

const struct vd_crc32c_kernel vd_crc32c_sse42 = {"sse4.2", is_supported, add};

/*
 * ---- AVX-512 with VPCLMULQDQ: four vectors are carried along the data ----
 *
 * A block of 128 bits is as good as its remainder n bits further on: its first half times x^(n + 64), its second times
 * x^n. Powers as above, since a product is one bit short here as well, and 32 more come of a factor of 32 bits in 64.
 */

#define AVX512 __attribute__((target("avx512f,vpclmulqdq,sse4.2,pclmul")))

/* As many are under way at once. */
#define VECTORS 4u

/* Below that runs are faster. */
#define VECTORS_FROM 256

static bool has_vectors(void)
{
	return is_supported() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
}

/* The factors for a block that moves by so many words. */
AVX512 VD_PASS __m128i factors(uint32_t words)
{
	return _mm_set_epi64x(vd_crc32c_powers[words], vd_crc32c_powers[words + 1]);
}

/* Each block moved by its factors, with what lies there already. */
AVX512 VD_PASS __m512i move(__m512i blocks, __m512i factors, __m512i there)
{
	return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(blocks, factors, 0x00),
					 _mm512_clmulepi64_epi128(blocks, factors, 0x11), there, 0x96); /* a ^ b ^ c */
}

AVX512 VD_PASS __m512i move_by_vectors(__m512i blocks, uint32_t vectors, __m512i there)
{
	return move(blocks, _mm512_broadcast_i32x4(factors(8 * vectors)), there);
}

/* The last vector is all that is left; its four blocks become one, whose CRC it is. */
AVX512 VD_PASS uint64_t reduce(__m512i last)
{
	__m512i by_place = _mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(factors(6)), factors(4), 1),
					      factors(2), 2);
	__m512i moved = move(last, _mm512_maskz_mov_epi64(0x3f, by_place), _mm512_maskz_mov_epi64(0xc0, last));
	__m256i half = _mm256_xor_si256(_mm512_castsi512_si256(moved), _mm512_extracti64x4_epi64(moved, 1));
	__m128i block = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));

	return _mm_crc32_u64(_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(block)), (uint64_t)_mm_extract_epi64(block, 1));
}

/* At least as many vectors as are carried along. */
AVX512 VD_PASS uint64_t add_vectors(uint64_t crc, const uint8_t *from, uint32_t count)
{
	__m512i carried[VECTORS], last, step = _mm512_broadcast_i32x4(factors(8 * VECTORS));
	uint32_t rest;

	for (uint32_t i = 0; i < VECTORS; i++)
		carried[i] = _mm512_loadu_si512(from + 64 * i);
	carried[0] = _mm512_xor_si512(carried[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128((int64_t)crc)));
	for (rest = count - VECTORS, from += 64 * VECTORS; rest >= VECTORS; rest -= VECTORS, from += 64 * VECTORS)
#pragma GCC unroll 4
		for (uint32_t i = 0; i < VECTORS; i++)
			carried[i] = move(carried[i], step, _mm512_loadu_si512(from + 64 * i));
	/* all to the end at once, wherever they are */
	if (rest) {
		last = move_by_vectors(carried[VECTORS - 1], rest, _mm512_loadu_si512(from + 64 * (rest - 1)));
		for (uint32_t i = 0; i + 1 < rest; i++)
			last = move_by_vectors(_mm512_loadu_si512(from + 64 * i), rest - 1 - i, last);
	} else {
		last = carried[VECTORS - 1];
	}
#pragma GCC unroll 4
	for (uint32_t i = 0; i + 1 < VECTORS; i++)
		last = move_by_vectors(carried[i], rest + VECTORS - 1 - i, last);
	return reduce(last);
}

AVX512 static uint32_t vectors_add(uint32_t crc, const void *data, uint32_t length)
{
	const uint8_t *from = data;
	uint32_t done = length & ~63u;

	if (length < VECTORS_FROM)
		return add_any(crc, from, length);
	return ~(uint32_t)add_few(add_vectors((uint32_t)~crc, from, length / 64), from + done, length - done);
}

const struct vd_crc32c_kernel vd_crc32c_avx512 = {"avx512", has_vectors, vectors_add};

#endif
