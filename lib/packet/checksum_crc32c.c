/* SPDX-License-Identifier: MIT */
/*
 * CRC32c by tables, 8 bytes at a time, for any CPU.
 *
 * An entry of a table is linear in its index, so that 8 numbers say all of it: those of the indices 1, 2, 4 ... 128.
 */
#include "checksum_kernels.h"
#include "checksum_words.h"

#include <endian.h>

#define ENTRY(i, a, b, c, d, e, f, g, h)                                                                       \
	(((i) & 1 ? a : 0) ^ ((i) & 2 ? b : 0) ^ ((i) & 4 ? c : 0) ^ ((i) & 8 ? d : 0) ^ ((i) & 16 ? e : 0) ^  \
	 ((i) & 32 ? f : 0) ^ ((i) & 64 ? g : 0) ^ ((i) & 128 ? h : 0))
#define ENTRIES4(i, ...) \
	ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__), ENTRY(i + 3, __VA_ARGS__)
#define ENTRIES16(i, ...)                                                                    \
	ENTRIES4(i, __VA_ARGS__), ENTRIES4(i + 4, __VA_ARGS__), ENTRIES4(i + 8, __VA_ARGS__), \
		ENTRIES4(i + 12, __VA_ARGS__)
#define ENTRIES64(i, ...)                                                                    \
	ENTRIES16(i, __VA_ARGS__), ENTRIES16(i + 16, __VA_ARGS__), ENTRIES16(i + 32, __VA_ARGS__), \
		ENTRIES16(i + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
	{ENTRIES64(0, __VA_ARGS__), ENTRIES64(64, __VA_ARGS__), ENTRIES64(128, __VA_ARGS__), \
	 ENTRIES64(192, __VA_ARGS__)}

/* tables[n][byte]: the CRC of that byte with n bytes of 0 behind it. */
static const uint32_t tables[8][256] = {
	TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
	TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
	TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
	TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
	TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
	TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
	TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
	TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};

static bool is_supported(void)
{
	return true;
}

static uint32_t add(uint32_t crc, const void *data, uint32_t length)
{
	const uint8_t *from = data;

	crc = ~crc;
	for (; length >= 8; length -= 8, from += 8) {
		uint64_t word = le64toh(vd_words_read(NULL, from, 0, false)) ^ crc;

		crc = tables[7][word & 0xff] ^ tables[6][word >> 8 & 0xff] ^ tables[5][word >> 16 & 0xff] ^
		      tables[4][word >> 24 & 0xff] ^ tables[3][word >> 32 & 0xff] ^ tables[2][word >> 40 & 0xff] ^
		      tables[1][word >> 48 & 0xff] ^ tables[0][word >> 56];
	}
	while (length--)
		crc = crc >> 8 ^ tables[0][(crc ^ *from++) & 0xff];
	return ~crc;
}

const struct vd_crc32c_kernel vd_crc32c_table = {"table", is_supported, add};
