/* SPDX-License-Identifier: MIT */
/*
 * Whether an answer to a rejected packet is right, read byte by byte from the RFCs, with nothing of what builds it.
 */
#ifndef VERDICT_TEST_ANSWER_ORACLE_H
#define VERDICT_TEST_ANSWER_ORACLE_H

#include "lib/packet/answer.h"

/* RFC 1071 byte by byte: the sum of a part of `ip`, with the pseudo-header if wanted. 0xffff: its checksum is right. */
uint16_t answer_sum(const uint8_t *ip, uint32_t at, uint32_t length, unsigned protocol, bool has_pseudo_header);

/*
 * NULL, or what is wrong with the choice, and, unless it is none, with the `length` bytes that were built. `source` as it was
 * given to vd_answer_build().
 */
const char *answer_fault(const struct vd_packet *packet, enum vd_answer answer, const uint8_t *source, const uint8_t *built,
			 uint32_t length);

/* Chooses, builds into a block of just the size, and asks the above. *chosen: what that was. Frees everything. */
const char *answer_fault_of(const struct vd_packet *packet, const uint8_t *source, enum vd_answer *chosen);

#endif
