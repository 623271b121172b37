/* SPDX-License-Identifier: MIT */
/*
 * A burst in a mailbox (engine/host_pack.c), and no process: packets that lie in memory of just their size, what a host would answer,
 * and an auditor of what the engine takes over of an answer, which shares no code with it.
 *
 *	mailbox_make(&mailbox, seed);		functions and packets by the dice, and what the engine puts into the mailbox
 *	mailbox_answer(&mailbox);		as a host does
 *	... lies ...
 *	fault = mailbox_unpack(&mailbox, &is_taken);
 *	mailbox_restore(&mailbox);		the packets are what they were, and the mailbox what it is
 *	mailbox_free(&mailbox);
 *
 * What cannot be made aborts.
 */
#ifndef VERDICT_TEST_MAILBOX_H
#define VERDICT_TEST_MAILBOX_H

#include "engine/host_private.h"

#define MAILBOX_LINKS_MAX 4
#define MAILBOX_COUNTERS_MAX 3

/* What belongs to the engine, and what it was before an answer was taken. */
struct mailbox_block {
	uint8_t *now, *before;
	size_t size;
};

struct mailbox {
	uint64_t random;
	struct vd_host host;
	struct vd_chain chain;
	struct vd_mailbox *memory; /* not a byte more than it needs */
	size_t size;
	enum vd_verdict fault_verdict;
	unsigned count;
	struct vd_packet *packets[VD_BURST_MAX];
	uint32_t at[VD_BURST_MAX]; /* of its copy in the mailbox's area */
	struct mailbox_block blocks[VD_BURST_MAX + MAILBOX_LINKS_MAX]; /* the packets', then the tallies */
};

void mailbox_make(struct mailbox *mailbox, uint64_t seed);
void mailbox_answer(struct mailbox *mailbox);
void mailbox_restore(struct mailbox *mailbox);
void mailbox_free(struct mailbox *mailbox);

/* A packet's copy; a function's tally, with its counters behind. */
struct vd_slot *mailbox_slot(const struct mailbox *mailbox, unsigned index);
struct vd_link_tally *mailbox_tally(const struct mailbox *mailbox, unsigned link);

/* What a packet may grow to. */
uint32_t mailbox_room(const struct mailbox *mailbox, unsigned index);

/*
 * Has the engine take the answer, and completes the packets' checksums. NULL, or what is wrong: a refused answer that has left
 * something behind, or a taken one that no host could have given or that is not what the engine has now.
 */
const char *mailbox_unpack(struct mailbox *mailbox, bool *is_taken);

#endif
