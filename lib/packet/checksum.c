/* SPDX-License-Identifier: MIT */
/*
 * Which kernels are used.
 *
 * A table of pointers that is set before main(), not indirect functions (ifunc): those are resolved before sanitizers
 * are ready, other C libraries than glibc have none, and a call costs the same. Before it is set the table holds what
 * any CPU can run, so that it does not matter which constructor runs first. Nobody writes it later: threads read it
 * without more ado.
 */
#include "checksum_kernels.h"

#include <stddef.h>

/* From slow to fast. */
static const struct vd_checksum_kernel *const checksum_kernels[] = {
	&vd_checksum_scalar,
#if defined(__x86_64__)
	&vd_checksum_sse2, &vd_checksum_avx2, &vd_checksum_avx512,
#elif defined(__aarch64__)
	&vd_checksum_neon,
#endif
};

static const struct vd_crc32c_kernel *const crc32c_kernels[] = {
	&vd_crc32c_table,
#if defined(__x86_64__)
	&vd_crc32c_sse42, &vd_crc32c_avx512,
#elif defined(__aarch64__)
	&vd_crc32c_arm, &vd_crc32c_arm_pmull,
#endif
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

const struct vd_checksum_kernel *vd_checksum_kernel(unsigned number)
{
	for (size_t i = 0; i < COUNT(checksum_kernels); i++)
		if (checksum_kernels[i]->is_supported() && !number--)
			return checksum_kernels[i];
	return NULL;
}

const struct vd_crc32c_kernel *vd_crc32c_kernel(unsigned number)
{
	for (size_t i = 0; i < COUNT(crc32c_kernels); i++)
		if (crc32c_kernels[i]->is_supported() && !number--)
			return crc32c_kernels[i];
	return NULL;
}

static uint32_t plain_sum(const void *data, uint32_t length)
{
	return vd_checksum_scalar.sum(data, length);
}

static uint32_t plain_copy(void *restrict to, const void *restrict from, uint32_t length)
{
	return vd_checksum_scalar.copy(to, from, length);
}

static uint32_t plain_crc32c(uint32_t crc, const void *data, uint32_t length)
{
	return vd_crc32c_table.add(crc, data, length);
}

struct vd_checksum_chosen vd_checksum_chosen = {plain_sum, plain_copy, plain_crc32c};

__attribute__((constructor)) static void choose(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
#endif
	for (unsigned i = 0; vd_checksum_kernel(i); i++) {
		vd_checksum_chosen.sum = vd_checksum_kernel(i)->sum;
		vd_checksum_chosen.copy = vd_checksum_kernel(i)->copy;
	}
	for (unsigned i = 0; vd_crc32c_kernel(i); i++)
		vd_checksum_chosen.crc32c = vd_crc32c_kernel(i)->add;
}
