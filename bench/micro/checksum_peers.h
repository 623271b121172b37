/* SPDX-License-Identifier: MIT */
/*
 * What bench_checksum compares with. Those of other libraries are there if the libraries were when it was built.
 */
#ifndef VERDICT_BENCH_CHECKSUM_PEERS_H
#define VERDICT_BENCH_CHECKSUM_PEERS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much room must be before the data: a peer may put headers there. */
#define PEER_ROOM 64u

struct checksum_peer {
	const char *name;
	/* Before the first sum; NULL if there is nothing to do. */
	void (*prepare)(uint8_t *data, uint32_t length);
	/* Something of the data, such as its sum. */
	uint32_t (*sum)(uint8_t *data, uint32_t length);
	/* What the sum, folded to 16 bits, has to be if ours is `folded_be`. NULL for what only reads. */
	uint16_t (*expected_be)(const uint8_t *data, uint32_t length, uint16_t folded_be);
};

struct crc32c_peer {
	const char *name;
	uint32_t (*add)(uint32_t crc, const void *data, uint32_t length);
};

/* DPDK's, built in two ways. */
uint32_t peer_rte_sum(uint8_t *data, uint32_t length);
uint32_t peer_rte_sum_icelake(uint8_t *data, uint32_t length);

/* Up to one without a name. */
extern const struct checksum_peer checksum_peers[];
extern const struct crc32c_peer crc32c_peers[];

#ifdef __cplusplus
}
#endif

#endif
