/* SPDX-License-Identifier: MIT */
/*
 * What the engine takes out of a mailbox, and what it refuses: honest answers of bursts by the dice, and one lie at a time, each as near
 * to an honest answer as can be. What is written at random is the business of test/fuzz/fuzz_host.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/mailbox.h"
#include "test/support/random.h"

#define BURSTS 3000

static struct mailbox mailbox;

static void make(uint64_t seed)
{
	mailbox_make(&mailbox, seed);
	mailbox_answer(&mailbox);
}

static uint32_t below(uint32_t bound)
{
	return bytes_random_below(&mailbox.random, bound);
}

/* ---- lies: false if this burst has nothing to lie about ---- */

static struct vd_slot *any_slot(void)
{
	return mailbox_slot(&mailbox, below(mailbox.count));
}

static bool say_next(void)
{
	any_slot()->packet.verdict = VD_NEXT;
	return true;
}

static bool say_a_high_verdict(void)
{
	any_slot()->packet.verdict = (uint8_t)(VD_VERDICT_COUNT + below(256 - VD_VERDICT_COUNT));
	return true;
}

/* One that a function decided, and its tally then says so, too. */
static bool say_and_count(enum vd_verdict verdict, bool (*may)(const struct vd_link *link))
{
	for (unsigned i = 0; i < mailbox.count; i++) {
		struct vd_slot *slot = mailbox_slot(&mailbox, i);
		uint32_t by = slot->decided & VD_DECIDED_BY;

		if (!by || slot->decided & VD_DECIDED_FAULT || slot->packet.verdict == verdict || !may(&mailbox.chain.links[by - 1]))
			continue;
		mailbox_tally(&mailbox, by - 1)->verdicts[slot->packet.verdict]--;
		mailbox_tally(&mailbox, by - 1)->verdicts[verdict]++;
		slot->packet.verdict = (uint8_t)verdict;
		return true;
	}
	return false;
}

static bool is_any(const struct vd_link *link)
{
	(void)link;
	return true;
}

static bool does_not_reject(const struct vd_link *link)
{
	return !link->may_reject;
}

static bool say_held(void)
{
	return say_and_count(VD_HELD, is_any);
}

static bool say_rejected(void)
{
	return say_and_count(VD_REJECT, does_not_reject);
}

static bool decide_by_nobody(void)
{
	struct vd_slot *slot = any_slot();

	slot->decided = (slot->decided & ~VD_DECIDED_BY) | (mailbox.chain.count + 1);
	return true;
}

static bool decide_in_another_way(void)
{
	any_slot()->decided |= below(2) ? VD_DECIDED_REFUSED : 0x80000000;
	return true;
}

static bool move_data(void)
{
	any_slot()->packet.data_offset += below(2) ? 4u : (uint32_t)-4;
	return true;
}

static bool move_message(void)
{
	any_slot()->packet.message_offset += 4;
	return true;
}

static bool outgrow(void)
{
	unsigned index = below(mailbox.count);

	mailbox_slot(&mailbox, index)->packet.length = mailbox_room(&mailbox, index) + 1;
	return true;
}

static bool outgrow_much(void)
{
	any_slot()->packet.length = UINT32_MAX - below(1000);
	return true;
}

static bool change_in_another_way(void)
{
	any_slot()->packet.changed |= 0x20;
	return true;
}

static bool edit_in_another_way(void)
{
	any_slot()->packet.edited |= 0x08;
	return true;
}

static struct vd_link_tally *any_tally(void)
{
	return mailbox_tally(&mailbox, below(mailbox.chain.count));
}

static bool count_a_packet_more(void)
{
	any_tally()->packets++;
	return true;
}

/* The function has seen a packet that nobody left to it, and has said something of it. */
static bool count_one_that_there_is_not(void)
{
	struct vd_link_tally *tally = any_tally();

	tally->packets++;
	tally->verdicts[VD_ACCEPT]++;
	return true;
}

static bool count_a_verdict_more(void)
{
	any_tally()->verdicts[VD_DROP]++;
	return true;
}

static bool count_a_fault_more(void)
{
	any_tally()->faults++;
	return true;
}

/* Sums that come to the right number by going round: 2^63 twice; and a fault less than none. */
static bool count_twice_half_of_everything(void)
{
	struct vd_link_tally *tally = any_tally();

	tally->verdicts[VD_ACCEPT] += 1ull << 63;
	tally->verdicts[VD_DROP] += 1ull << 63;
	return true;
}

static bool count_less_than_no_fault(void)
{
	for (unsigned i = 0; i < mailbox.chain.count; i++) {
		struct vd_link_tally *tally = mailbox_tally(&mailbox, i);

		if (tally->faults || tally->verdicts[mailbox.fault_verdict] >= tally->packets)
			continue;
		tally->faults--;
		tally->verdicts[mailbox.fault_verdict]++;
		return true;
	}
	return false;
}

static bool say_other_than_counted(void)
{
	struct vd_slot *slot = any_slot();

	slot->packet.verdict = slot->packet.verdict == VD_ACCEPT ? VD_DROP : VD_ACCEPT;
	return true;
}

static bool count_other_than_said(void)
{
	for (unsigned i = 0; i < mailbox.chain.count; i++) {
		struct vd_link_tally *tally = mailbox_tally(&mailbox, i);

		if (!tally->verdicts[VD_ACCEPT])
			continue;
		tally->verdicts[VD_ACCEPT]--;
		tally->verdicts[VD_STOP]++;
		return true;
	}
	return false;
}

#define LIE(name) {#name, name}
static const struct {
	const char *name;
	bool (*tell)(void);
} LIES[] = {
	LIE(say_next), LIE(say_a_high_verdict), LIE(say_held), LIE(say_rejected), LIE(decide_by_nobody), LIE(decide_in_another_way),
	LIE(move_data), LIE(move_message), LIE(outgrow), LIE(outgrow_much), LIE(change_in_another_way), LIE(edit_in_another_way),
	LIE(count_a_packet_more), LIE(count_one_that_there_is_not), LIE(count_a_verdict_more), LIE(count_a_fault_more),
	LIE(count_twice_half_of_everything), LIE(count_less_than_no_fault), LIE(say_other_than_counted), LIE(count_other_than_said),
};

/* ---- tests ---- */

static void honest_answers_are_taken(void **state)
{
	uint64_t seed = bytes_seed("test_host_pack");

	(void)state;
	for (unsigned i = 0; i < BURSTS; i++) {
		const char *fault;
		bool is_taken;

		make(seed + i);
		fault = mailbox_unpack(&mailbox, &is_taken);
		if (fault || !is_taken)
			fail_msg("burst %u: %s", i, fault ? fault : "it is refused");
		mailbox_free(&mailbox);
	}
}

/* What the engine has put into the mailbox is not read again. */
static void what_a_host_writes_over_is_not_believed(void **state)
{
	uint64_t seed = bytes_seed("test_host_pack");

	(void)state;
	for (unsigned i = 0; i < BURSTS; i++) {
		const char *fault;
		bool is_taken;

		make(seed + i);
		bytes_fill_random(&mailbox.random, mailbox.memory, sizeof *mailbox.memory);
		for (unsigned j = 0; j < mailbox.count; j++) {
			struct vd_packet *packet = &mailbox_slot(&mailbox, j)->packet;

			packet->room = UINT32_MAX;
			packet->message_length = packet->id = (uint32_t)bytes_random(&mailbox.random);
		}
		fault = mailbox_unpack(&mailbox, &is_taken);
		if (fault || !is_taken)
			fail_msg("burst %u: %s", i, fault ? fault : "it is refused");
		mailbox_free(&mailbox);
	}
}

static void lies_are_refused(void **state)
{
	uint64_t seed = bytes_seed("test_host_pack");
	unsigned failures = 0;

	(void)state;
	for (unsigned lie = 0; lie < sizeof LIES / sizeof *LIES; lie++) {
		unsigned told = 0, believed = 0;
		const char *fault = NULL;

		for (unsigned i = 0; i < BURSTS / 10 && !fault; i++) {
			bool is_taken = false;

			make(seed + i);
			if (LIES[lie].tell()) {
				told++;
				fault = mailbox_unpack(&mailbox, &is_taken);
			}
			believed += is_taken;
			mailbox_free(&mailbox);
		}
		if (told && !believed && !fault)
			continue;
		failures++;
		print_error("%s: told %u times, believed %u times%s%s\n", LIES[lie].name, told, believed, fault ? ": " : "",
			    fault ? fault : "");
	}
	assert_int_equal(failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(honest_answers_are_taken),
		cmocka_unit_test(what_a_host_writes_over_is_not_believed),
		cmocka_unit_test(lies_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
