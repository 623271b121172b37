/* SPDX-License-Identifier: MIT */
/*
 * The same for the CPUs that our AVX-512 kernel is for: -march=icelake-server.
 */
#define RTE_SUM peer_rte_sum_icelake
#include "checksum_rte.c"
