/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: what the engine takes out of a mailbox, which a host that has gone wild may have written whatever to. The oracle
 * (test/support/mailbox.h):
 *
 *	- an answer as a host gives it is taken, twice with the same result;
 *	- one in which only what is a function's own business is different is taken as well;
 *	- whatever was written: it is refused, and nothing has changed, or it is one that a host could have given, and what the engine
 *	  has then is what it says. No byte outside of a packet, a tally or the mailbox is touched.
 *
 * Input: eight bytes that the burst and its answer are drawn from, then lies of LIE bytes each: what, which, where, a number.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/mailbox.h"

#define LIE 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "oracle: %s\n", what);
	abort();
}

/* is_free: what a function says there is its own business. */
#define FIELD(name, free) {offsetof(struct vd_slot, packet.name), sizeof(((struct vd_packet *)0)->name), free}
static const struct {
	uint32_t offset, size;
	bool is_free;
} FIELDS[] = {
	FIELD(verdict, false), FIELD(changed, false), FIELD(edited, false), FIELD(data_offset, false), FIELD(message_offset, false),
	FIELD(length, false), {offsetof(struct vd_slot, decided), 4, false},
	FIELD(context, true), FIELD(room, true), FIELD(wire_length, true), FIELD(id, true), FIELD(mark, true), FIELD(flow_hash, true),
	FIELD(skb_info, true), FIELD(queue, true), FIELD(ethertype, true), FIELD(family, true), FIELD(ip_version, true),
	FIELD(protocol, true), FIELD(network_length, true), FIELD(transport_offset, true), FIELD(parsed, true), FIELD(requeue, true),
	FIELD(requeue_bypass, true), FIELD(vlan_protocol, true), FIELD(vlan_tci, true), FIELD(edit_ban, true), FIELD(edit_refused, true),
	FIELD(reject, true), FIELD(reject_code, true), FIELD(priority, true), FIELD(conntrack_mark, true), FIELD(message_length, true),
	FIELD(original_length, true), FIELD(port_private, true), FIELD(edit_address_sum, true), FIELD(edit_transport_sum, true),
	{offsetof(struct vd_slot, index), 4, true}, {offsetof(struct vd_slot, shard), 4, true}, {offsetof(struct vd_slot, held), 8, true},
};

struct lie {
	uint8_t what, which, where, more;
	uint64_t number;
};

/* Says another verdict of a packet, and makes the function that decided agree with it. */
static void say_another_verdict(struct mailbox *mailbox, unsigned index, uint8_t verdict)
{
	struct vd_slot *slot = mailbox_slot(mailbox, index);
	uint32_t by = slot->decided & VD_DECIDED_BY;
	struct vd_link_tally *tally;

	if (!by || by > mailbox->chain.count || slot->decided & VD_DECIDED_FAULT || slot->packet.verdict >= VD_VERDICT_COUNT)
		return;
	tally = mailbox_tally(mailbox, by - 1);
	tally->verdicts[slot->packet.verdict]--;
	tally->verdicts[verdict % VD_VERDICT_COUNT]++;
	slot->packet.verdict = verdict % VD_VERDICT_COUNT;
}

/* Somewhere in the mailbox, as much as there is room for. */
static void write_over(struct mailbox *mailbox, size_t at, const struct lie *lie)
{
	uint8_t *bytes = (uint8_t *)mailbox->memory;
	size_t length = lie->more & 1 ? 1u + lie->more : sizeof lie->number;

	for (size_t i = 0; i < length && at < mailbox->size; i++, at++)
		bytes[at] = (uint8_t)(lie->number >> 8 * (i % sizeof lie->number));
}

/* Whether an honest host could have said this too. */
static bool tell(struct mailbox *mailbox, const struct lie *lie)
{
	unsigned index = lie->which % mailbox->count, link = lie->which % mailbox->chain.count, field;
	uint32_t counter_count = mailbox->chain.links[link].names->counter_count;
	uint64_t *words = (uint64_t *)mailbox_tally(mailbox, link);
	uint64_t number = 0;

	switch (lie->what % 8) {
	case 0: /* one field of a packet is another */
	case 1: /* or a little more or less */
		field = lie->where % (sizeof FIELDS / sizeof *FIELDS);
		memcpy(&number, (uint8_t *)mailbox_slot(mailbox, index) + FIELDS[field].offset, FIELDS[field].size);
		number = lie->what % 8 ? number + (uint64_t)(int8_t)lie->more : lie->number;
		memcpy((uint8_t *)mailbox_slot(mailbox, index) + FIELDS[field].offset, &number, FIELDS[field].size);
		return FIELDS[field].is_free;
	case 2:
		words[lie->where % (sizeof(struct vd_link_tally) / sizeof *words)] = lie->number;
		return false;
	case 3:
		words[lie->where % (sizeof(struct vd_link_tally) / sizeof *words)] += (uint64_t)(int8_t)lie->more;
		return false;
	case 4:
		if (counter_count)
			((uint64_t *)(mailbox_tally(mailbox, link) + 1))[lie->where % counter_count] = lie->number;
		return true;
	case 5: /* what the engine has written there itself */
		((uint8_t *)mailbox->memory)[(lie->where << 8 | lie->more) % sizeof *mailbox->memory] = (uint8_t)lie->number;
		return true;
	case 6:
		say_another_verdict(mailbox, index, lie->more);
		return false;
	default:
		write_over(mailbox, (size_t)(lie->which << 8 | lie->where) * 7 % mailbox->size, lie);
		return false;
	}
}

/* All that the engine has, one behind the other. */
static uint8_t *copy_blocks(const struct mailbox *mailbox, size_t *size)
{
	uint8_t *copy, *at;

	*size = 0;
	for (unsigned i = 0; i < mailbox->count + mailbox->chain.count; i++)
		*size += mailbox->blocks[i].size;
	at = copy = malloc(*size);
	must(copy, "no memory");
	for (unsigned i = 0; i < mailbox->count + mailbox->chain.count; i++, at += mailbox->blocks[i - 1].size)
		memcpy(at, mailbox->blocks[i].now, mailbox->blocks[i].size);
	return copy;
}

static void take_twice(struct mailbox *mailbox)
{
	uint8_t *copies[2];
	size_t size = 0;

	for (unsigned i = 0; i < 2; i++) {
		bool is_taken;
		const char *fault = mailbox_unpack(mailbox, &is_taken);

		must(!fault, fault);
		must(is_taken, "an honest answer is refused");
		copies[i] = copy_blocks(mailbox, &size);
		mailbox_restore(mailbox);
	}
	must(!memcmp(copies[0], copies[1], size), "the same answer, taken twice, is not the same");
	free(copies[0]);
	free(copies[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mailbox mailbox;
	bool is_honest = true, is_taken;
	const char *fault;
	uint64_t seed;

	if (size < sizeof seed)
		return 0;
	memcpy(&seed, data, sizeof seed);
	mailbox_make(&mailbox, seed);
	mailbox_answer(&mailbox);
	take_twice(&mailbox);
	for (size_t at = sizeof seed; size - at >= LIE; at += LIE) {
		struct lie lie = {.what = data[at], .which = data[at + 1], .where = data[at + 2], .more = data[at + 3]};

		memcpy(&lie.number, data + at + 4, sizeof lie.number);
		is_honest &= tell(&mailbox, &lie);
	}
	fault = mailbox_unpack(&mailbox, &is_taken);
	must(!fault, fault);
	must(is_taken || !is_honest, "an answer that a host could have given is refused");
	mailbox_free(&mailbox);
	return 0;
}
