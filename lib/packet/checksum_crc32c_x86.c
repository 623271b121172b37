/* SPDX-License-Identifier: MIT */
/*
 * CRC32c with the instruction of SSE4.2. It takes three cycles, and one can begin in each: three runs of bytes are
 * read side by side, and put together with a carry-less multiplication (PCLMULQDQ).
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

SSE42 static uint32_t add(uint32_t crc, const void *data, uint32_t length)
{
	const uint8_t *from = data;
	uint64_t state = (uint32_t)~crc;

	while (length >= RUNS_FROM) {
		uint32_t words = length / 24 < VD_CRC32C_RUN_MAX ? length / 24 : VD_CRC32C_RUN_MAX;

		state = add_runs(state, from, words);
		from += 24 * words;
		length -= 24 * words;
	}
	for (; length >= 8; length -= 8, from += 8)
		state = _mm_crc32_u64(state, word_at(from));
	crc = (uint32_t)state;
	if (length & 4) {
		uint32_t four;

		memcpy(&four, from, 4);
		crc = _mm_crc32_u32(crc, four);
		from += 4;
	}
	for (length &= 3; length; length--)
		crc = _mm_crc32_u8(crc, *from++);
	return ~crc;
}

const struct vd_crc32c_kernel vd_crc32c_sse42 = {"sse4.2", is_supported, add};

#endif
