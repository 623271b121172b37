/* SPDX-License-Identifier: MIT */
/*
 * The kernels there are, for checksum.c that chooses among them.
 */
#ifndef VERDICT_LIB_CHECKSUM_KERNELS_H
#define VERDICT_LIB_CHECKSUM_KERNELS_H

#include "checksum.h"

extern const struct vd_checksum_kernel vd_checksum_scalar;
extern const struct vd_crc32c_kernel vd_crc32c_table;

#if defined(__x86_64__)
extern const struct vd_checksum_kernel vd_checksum_sse2, vd_checksum_avx2, vd_checksum_avx512;
extern const struct vd_crc32c_kernel vd_crc32c_sse42, vd_crc32c_avx512;
#elif defined(__aarch64__)
extern const struct vd_checksum_kernel vd_checksum_neon;
extern const struct vd_crc32c_kernel vd_crc32c_arm, vd_crc32c_arm_pmull;
#endif

#endif
