/* SPDX-License-Identifier: MIT */
/* Reading pcapng as far as who passes it on has to: where blocks end, how many packets there were, and what statistics say. */
#ifndef VERDICT_TOOLS_DUMP_BLOCKS_H
#define VERDICT_TOOLS_DUMP_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VD_BLOCK_MAX (1u << 20) /* bytes; no block of a dump is as long */

struct vd_blocks {
	uint64_t packets;
	uint64_t missed;  /* as the last statistics say */
	bool has_end;	  /* the last block has come */
};

/*
 * How many of these bytes are whole blocks, from the first one on; they are counted. -EPROTO: what comes next is no block. The rest
 * has to come again in front of what follows it.
 */
long vd_blocks_take(struct vd_blocks *blocks, const uint8_t *bytes, size_t length);

#endif
