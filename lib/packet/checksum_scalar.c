/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum by 64-bit words, for any CPU.
 */
#include "checksum_kernels.h"
#include "checksum_words.h"

static bool is_supported(void)
{
	return true;
}

static uint32_t sum(const void *data, uint32_t length)
{
	return vd_words_fold(vd_words_rest(NULL, data, 0, length, false));
}

static uint32_t copy(void *restrict to, const void *restrict from, uint32_t length)
{
	return vd_words_fold(vd_words_rest(to, from, 0, length, true));
}

const struct vd_checksum_kernel vd_checksum_scalar = {"scalar", is_supported, sum, copy};
