/* SPDX-License-Identifier: MIT */
#include "checksum_peers.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include <libnetfilter_queue/libnetfilter_queue_tcp.h>

#if HAS_ISAL
#include <isa-l/crc.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- libnetfilter_queue: a TCP segment behind an IPv4 header. Its length includes the header, in 16 bits ---- */

static uint8_t *ip_header(uint8_t *data)
{
	return data - 20;
}

static uint16_t ip_length(uint32_t length)
{
	return (uint16_t)(length + 20 < UINT16_MAX ? length + 20 : UINT16_MAX);
}

static void nfq_prepare(uint8_t *data, uint32_t length)
{
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = 6, .saddr = htonl(0x0a000001),
			   .daddr = htonl(0x0a000002), .tot_len = htons(ip_length(length))};

	memcpy(ip_header(data), &ip, sizeof ip);
	memset(data + 16, 0, 2); /* the checksum, which is 0 while it is computed */
}

static uint32_t nfq_sum(uint8_t *data, uint32_t length)
{
	uint16_t checksum;

	(void)length;
	nfq_tcp_compute_checksum_ipv4((struct tcphdr *)data, (struct iphdr *)ip_header(data));
	memcpy(&checksum, data + 16, 2);
	memset(data + 16, 0, 2);
	return (uint16_t)~checksum;
}

/* With the pseudo-header. What is longer than a packet can be has another sum. */
static uint16_t nfq_expected(const uint8_t *data, uint32_t length, uint16_t folded_be)
{
	uint64_t sum = folded_be + (uint64_t)htonl(0x0a000001) + htonl(0x0a000002) + htons(6) + htons((uint16_t)length);

	if (length + 20 > UINT16_MAX) {
		uint8_t *own = (uint8_t *)(uintptr_t)data;

		return (uint16_t)nfq_sum(own, length);
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* ---- DPDK, in files of its own ---- */

#if HAS_DPDK
static uint16_t same(const uint8_t *data, uint32_t length, uint16_t folded_be)
{
	(void)data;
	(void)length;
	return folded_be;
}
#endif

/* ---- only reading: what no sum can be faster than ---- */

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint32_t read_avx2(uint8_t *data, uint32_t length)
{
	const __m256i *from = (const __m256i *)data, *end = (const __m256i *)(data + length / 32 * 32);
	__m256i seen[4] = {0};

	for (; end - from >= 4; from += 4)
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			seen[i] = _mm256_or_si256(seen[i], _mm256_loadu_si256(from + i));
	for (; from < end; from++)
		seen[0] = _mm256_or_si256(seen[0], _mm256_loadu_si256(from));
	seen[0] = _mm256_or_si256(_mm256_or_si256(seen[0], seen[1]), _mm256_or_si256(seen[2], seen[3]));
	return (uint32_t)_mm256_extract_epi32(seen[0], 0);
}

__attribute__((target("avx512f"))) static uint32_t read_avx512(uint8_t *data, uint32_t length)
{
	const __m512i *from = (const __m512i *)data, *end = (const __m512i *)(data + length / 64 * 64);
	__m512i seen[4] = {0};

	for (; end - from >= 4; from += 4)
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			seen[i] = _mm512_or_si512(seen[i], _mm512_loadu_si512(from + i));
	for (; from < end; from++)
		seen[0] = _mm512_or_si512(seen[0], _mm512_loadu_si512(from));
	seen[0] = _mm512_or_si512(_mm512_or_si512(seen[0], seen[1]), _mm512_or_si512(seen[2], seen[3]));
	return (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(seen[0]));
}
#endif

const struct checksum_peer checksum_peers[] = {
	{"libnetfilter_queue", nfq_prepare, nfq_sum, nfq_expected},
#if HAS_DPDK
	{"rte_raw_cksum", NULL, peer_rte_sum, same},
#if defined(__x86_64__)
	{"rte_raw_cksum_icelake", NULL, peer_rte_sum_icelake, same},
#endif
#endif
#if defined(__x86_64__)
	{"read_avx2", NULL, read_avx2, NULL},
	{"read_avx512", NULL, read_avx512, NULL},
#endif
	{NULL, NULL, NULL, NULL},
};

#if HAS_ISAL
/* It complements neither before nor after. */
static uint32_t isal_add(uint32_t crc, const void *data, uint32_t length)
{
	return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)length, ~crc);
}
#endif

const struct crc32c_peer crc32c_peers[] = {
#if HAS_ISAL
	{"isa-l", isal_add},
#endif
	{NULL, NULL},
};
