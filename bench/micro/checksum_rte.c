/* SPDX-License-Identifier: MIT */
/*
 * DPDK's checksum, which is a header: built with -O3, which its loop needs to become vectors, and the flags of its
 * package.
 */
#include "checksum_peers.h"

#ifndef RTE_SUM
#define RTE_SUM peer_rte_sum
#endif

#if HAS_DPDK
#include <rte_ip.h>

uint32_t RTE_SUM(uint8_t *data, uint32_t length)
{
	return rte_raw_cksum(data, length);
}
#endif
