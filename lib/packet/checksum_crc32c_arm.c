/* SPDX-License-Identifier: MIT */
/*
 * CRC32c with the CRC instructions of arm64: by themselves; and, where there is a carry-less multiplication (PMULL) as
 * well, in three runs side by side, as in checksum_crc32c_x86.c.
 */
#if defined(__aarch64__)

#include "checksum_crc32c_powers.h"
#include "checksum_kernels.h"
#include "checksum_words.h"

#include <arm_acle.h>
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <endian.h>
#include <sys/auxv.h>

#define CRC __attribute__((target("+crc")))
#define PMULL __attribute__((target("+crc+crypto")))

/* Below that putting together takes longer than it saves. */
#define RUNS_FROM 192

static bool has_crc(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32;
}

static bool has_pmull(void)
{
	return has_crc() && (getauxval(AT_HWCAP) & HWCAP_PMULL);
}

VD_PASS uint64_t word_at(const uint8_t *from)
{
	return le64toh(vd_words_read(NULL, from, 0, false));
}

CRC VD_PASS uint32_t add_words(uint32_t crc, const uint8_t *from, uint32_t length)
{
	for (; length >= 8; length -= 8, from += 8)
		crc = __crc32cd(crc, word_at(from));
	while (length--)
		crc = __crc32cb(crc, *from++);
	return crc;
}

CRC static uint32_t add(uint32_t crc, const void *data, uint32_t length)
{
	return ~add_words(~crc, data, length);
}

const struct vd_crc32c_kernel vd_crc32c_arm = {"crc", has_crc, add};

PMULL VD_PASS uint64_t product(uint32_t crc, uint32_t power)
{
	return vgetq_lane_u64(vreinterpretq_u64_p128(vmull_p64(crc, power)), 0);
}

/* Three runs of so many words. The products go in with the last word of the third run. */
PMULL VD_PASS uint32_t add_runs(uint32_t crc, const uint8_t *from, uint32_t words)
{
	const uint8_t *last = from + 8 * (words - 1);
	const uint32_t run = 8 * words;
	uint32_t second = 0, third = 0;

	for (; from != last; from += 8) {
		crc = __crc32cd(crc, word_at(from));
		second = __crc32cd(second, word_at(from + run));
		third = __crc32cd(third, word_at(from + 2 * run));
	}
	crc = __crc32cd(crc, word_at(from));
	second = __crc32cd(second, word_at(from + run));
	return __crc32cd(third, word_at(from + 2 * run) ^ product(crc, vd_crc32c_powers[2 * words]) ^
					product(second, vd_crc32c_powers[words]));
}

PMULL static uint32_t pmull_add(uint32_t crc, const void *data, uint32_t length)
{
	const uint8_t *from = data;

	crc = ~crc;
	while (length >= RUNS_FROM) {
		uint32_t words = length / 24 < VD_CRC32C_RUN_MAX ? length / 24 : VD_CRC32C_RUN_MAX;

		crc = add_runs(crc, from, words);
		from += 24 * words;
		length -= 24 * words;
	}
	return ~add_words(crc, from, length);
}

const struct vd_crc32c_kernel vd_crc32c_arm_pmull = {"crc+pmull", has_pmull, pmull_add};

#endif
