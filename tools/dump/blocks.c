/* SPDX-License-Identifier: MIT */
#include "tools/dump/blocks.h"

#include <errno.h>
#include <string.h>

#include "tools/dump/pcapng.h"

#define STATISTICS_OPTIONS 20 /* where they begin: behind type, length, interface and time */

/* A block of `length` bytes, its last 4 repeat the length. */
static void read_statistics(struct vd_blocks *blocks, const uint8_t *block, uint32_t length)
{
	uint32_t at = STATISTICS_OPTIONS, end = length - 4;

	while (at + 4 <= end) {
		uint16_t code, size;

		memcpy(&code, block + at, sizeof code);
		memcpy(&size, block + at + 2, sizeof size);
		at += 4;
		if (!code || size > end - at)
			return;
		if (code == VD_PCAPNG_STATISTICS_DROPPED && size == sizeof blocks->missed)
			memcpy(&blocks->missed, block + at, sizeof blocks->missed);
		if (code == VD_PCAPNG_STATISTICS_END)
			blocks->has_end = true;
		at += (size + 3u) & ~3u;
	}
}

long vd_blocks_take(struct vd_blocks *blocks, const uint8_t *bytes, size_t length)
{
	size_t taken = 0;

	while (length - taken >= 8) {
		const uint8_t *block = bytes + taken;
		uint32_t type, size, again;

		memcpy(&type, block, sizeof type);
		memcpy(&size, block + 4, sizeof size);
		if (size < 12 || size % 4 || size > VD_BLOCK_MAX)
			return -EPROTO;
		if (size > length - taken)
			break;
		memcpy(&again, block + size - 4, sizeof again);
		if (again != size)
			return -EPROTO;
		if (type == VD_PCAPNG_PACKET)
			blocks->packets++;
		else if (type == VD_PCAPNG_STATISTICS)
			read_statistics(blocks, block, size);
		taken += size;
	}
	return (long)taken;
}
