/* SPDX-License-Identifier: MIT */
#include "mailbox.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/packet/packet.h"
#include "test/support/bytes.h"

#define FILL 0xee

static void need(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "mailbox: %s\n", what);
	abort();
}

/* Aligned as slots are, and AddressSanitizer knows its end to the byte. */
static void *allocate(size_t size)
{
	void *memory;

	need(!posix_memalign(&memory, VD_CACHE_LINE, size), "no memory");
	memset(memory, FILL, size);
	return memory;
}

static uint32_t below(struct mailbox *mailbox, uint32_t bound)
{
	return bytes_random_below(&mailbox->random, bound);
}

static bool one_in(struct mailbox *mailbox, uint32_t number)
{
	return !below(mailbox, number);
}

static size_t round_up(size_t size)
{
	return (size + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE;
}

struct vd_slot *mailbox_slot(const struct mailbox *mailbox, unsigned index)
{
	return (void *)((uint8_t *)mailbox->memory + mailbox->host.area_offset + mailbox->at[index]);
}

struct vd_link_tally *mailbox_tally(const struct mailbox *mailbox, unsigned link)
{
	return (void *)((uint8_t *)mailbox->memory + mailbox->host.tally_offsets[link]);
}

static const struct vd_packet *packet_before(const struct mailbox *mailbox, unsigned index)
{
	return (const void *)mailbox->blocks[index].before;
}

uint32_t mailbox_room(const struct mailbox *mailbox, unsigned index)
{
	const struct vd_packet *packet = packet_before(mailbox, index);

	return packet->room < packet->length + VD_ROOM ? packet->room : packet->length + VD_ROOM;
}

/* ---- functions and packets ---- */

static size_t tally_size(const struct mailbox *mailbox, unsigned link)
{
	return sizeof(struct vd_link_tally) + mailbox->chain.links[link].names->counter_count * sizeof(uint64_t);
}

static void make_link(struct mailbox *mailbox, unsigned index, struct mailbox_block *block)
{
	struct vd_link *link = &mailbox->chain.links[index];
	struct vd_names *names = calloc(1, sizeof *names);
	struct vd_link_tally **tallies = calloc(1, sizeof(struct vd_link_tally *));

	need(names && tallies, "no memory");
	names->counter_count = below(mailbox, MAILBOX_COUNTERS_MAX + 1);
	link->names = names;
	link->may_reject = one_in(mailbox, 2);
	block->size = tally_size(mailbox, index);
	block->now = allocate(block->size);
	memset(block->now, 0, block->size);
	*tallies = (void *)block->now;
	tallies[0]->packets = below(mailbox, 1000);
	tallies[0]->context.counters = (uint64_t *)(tallies[0] + 1);
	link->tallies = tallies;
}

/* Most of them make sense. */
static void make_data(struct mailbox *mailbox, struct bytes *bytes)
{
	uint32_t length = one_in(mailbox, 16) ? below(mailbox, 2000) : below(mailbox, 100);

	bytes_reset(bytes);
	switch (below(mailbox, 6)) {
	case 0:
	case 1:
		bytes_put_ipv4(bytes, 0x0a090001, 0x0a090002, IPPROTO_UDP, 0);
		bytes_put_udp(bytes, 1, 2, (uint16_t)length);
		break;
	case 2:
		bytes_put_ipv4(bytes, 0x0a090001, 0x0a090002, IPPROTO_TCP, 0);
		bytes_put_tcp(bytes, 1, 2, 0x10);
		break;
	case 3:
		bytes_put_ipv6(bytes, 1, 2, IPPROTO_UDP);
		bytes_put_udp(bytes, 1, 2, (uint16_t)length);
		break;
	case 4:
		bytes_put_ipv6(bytes, 1, 2, IPPROTO_TCP);
		bytes_put_tcp(bytes, 1, 2, 0x10);
		break;
	default:
		break; /* garbage */
	}
	for (uint32_t i = 0; i < length; i++)
		bytes_put_number(bytes, bytes_random(&mailbox->random), 1);
	if (bytes->used > length)
		bytes_end_ip(bytes);
}

/* As a port leaves it: a message or none, the data, and room to grow or none. */
static void make_packet(struct mailbox *mailbox, unsigned index, struct mailbox_block *block)
{
	static struct bytes bytes;
	uint32_t message = one_in(mailbox, 2) ? 0 : 4 * below(mailbox, 30), copied, room, end;
	struct vd_slot *slot;
	struct vd_packet *packet;

	make_data(mailbox, &bytes);
	copied = one_in(mailbox, 4) ? below(mailbox, bytes.used + 1) : bytes.used;
	room = copied + (one_in(mailbox, 3) ? 0 : below(mailbox, 2 * VD_ROOM));
	end = message + (one_in(mailbox, 8) ? copied + below(mailbox, 400) : 0); /* of the message, which may go on behind the data */
	block->size = VD_SLOT_ROOM + (end > message + room ? end : message + room);
	block->now = allocate(block->size);
	slot = (void *)block->now;
	packet = mailbox->packets[index] = &slot->packet;
	bytes_fill_random(&mailbox->random, slot, sizeof *slot);
	memset(block->now + VD_SLOT_ROOM, 0, message);
	memcpy(block->now + VD_SLOT_ROOM + message, bytes.data, copied);
	packet->data_offset = (uint32_t)VD_SLOT_ROOM + message;
	packet->length = packet->original_length = copied;
	packet->room = room;
	packet->wire_length = bytes.used;
	packet->message_offset = message ? (uint32_t)VD_SLOT_ROOM : 0;
	packet->message_length = message ? end : 0;
	packet->ethertype = bytes.data[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	packet->skb_info &= VD_SKB_CHECKSUM_NOT_READY | VD_SKB_GSO | VD_SKB_CHECKSUM_NOT_VERIFIED;
	packet->edit_ban = packet->edit_refused = packet->edited = packet->changed = 0;
	vd_packet_parse(packet, vd_packet_data(packet));
}

/* What vd_host_open() does, for one worker and a mailbox that has no room to spare. */
static void make_mailbox(struct mailbox *mailbox)
{
	size_t size = round_up(sizeof *mailbox->memory);

	for (unsigned i = 0; i < mailbox->chain.count; i++) {
		mailbox->host.tally_offsets[i] = (uint32_t)size;
		size += round_up(tally_size(mailbox, i));
	}
	mailbox->host.area_offset = (uint32_t)size;
	for (unsigned i = 0; i < mailbox->count; i++) {
		const struct vd_packet *packet = mailbox->packets[i];
		uint32_t end = packet->data_offset + mailbox_room(mailbox, i);

		if (packet->message_offset && packet->message_offset + packet->message_length > end)
			end = packet->message_offset + packet->message_length;
		mailbox->at[i] = (uint32_t)size - mailbox->host.area_offset;
		size += round_up(end);
	}
	mailbox->memory = allocate(size);
	mailbox->size = mailbox->host.mailbox_size = size;
	mailbox->host.mailboxes = (uint8_t *)mailbox->memory;
	mailbox->host.chain = &mailbox->chain;
	mailbox->host.workers = 1;
}

void mailbox_make(struct mailbox *mailbox, uint64_t seed)
{
	*mailbox = (struct mailbox){.random = seed};
	mailbox->count = 1 + below(mailbox, one_in(mailbox, 16) ? VD_BURST_MAX : 6);
	mailbox->fault_verdict = one_in(mailbox, 2) ? VD_ACCEPT : VD_DROP;
	mailbox->chain.count = 1 + below(mailbox, MAILBOX_LINKS_MAX);
	mailbox->chain.workers = 1;
	mailbox->chain.default_verdict = one_in(mailbox, 2) ? VD_ACCEPT : VD_DROP;
	for (unsigned i = 0; i < mailbox->count; i++)
		make_packet(mailbox, i, &mailbox->blocks[i]);
	for (unsigned i = 0; i < mailbox->chain.count; i++)
		make_link(mailbox, i, &mailbox->blocks[mailbox->count + i]);
	for (unsigned i = 0; i < mailbox->count + mailbox->chain.count; i++) {
		mailbox->blocks[i].before = allocate(mailbox->blocks[i].size);
		memcpy(mailbox->blocks[i].before, mailbox->blocks[i].now, mailbox->blocks[i].size);
	}
	make_mailbox(mailbox);
	need(vd_host_pack(&mailbox->host, mailbox->memory, mailbox->packets, mailbox->count) == mailbox->count, "a burst has no room");
	for (unsigned i = 0; i < mailbox->count; i++)
		need(mailbox->memory->offsets[i] == mailbox->at[i], "a packet is somewhere else");
}

void mailbox_restore(struct mailbox *mailbox)
{
	for (unsigned i = 0; i < mailbox->count + mailbox->chain.count; i++)
		memcpy(mailbox->blocks[i].now, mailbox->blocks[i].before, mailbox->blocks[i].size);
}

void mailbox_free(struct mailbox *mailbox)
{
	for (unsigned i = 0; i < mailbox->chain.count; i++) {
		free((void *)(uintptr_t)mailbox->chain.links[i].names);
		free(mailbox->chain.links[i].tallies);
	}
	for (unsigned i = 0; i < mailbox->count + mailbox->chain.count; i++) {
		free(mailbox->blocks[i].now);
		free(mailbox->blocks[i].before);
	}
	free(mailbox->memory);
}

/* ---- a host ---- */

static void edit(struct mailbox *mailbox, unsigned index)
{
	struct vd_packet *packet = &mailbox_slot(mailbox, index)->packet;
	uint32_t more = below(mailbox, mailbox_room(mailbox, index) - packet->length + 1);

	packet->changed |= (uint8_t)(1u << below(mailbox, 5));
	packet->mark = (uint32_t)bytes_random(&mailbox->random);
	packet->priority = (uint32_t)bytes_random(&mailbox->random);
	packet->conntrack_mark = (uint32_t)bytes_random(&mailbox->random);
	packet->vlan_tci = (uint16_t)bytes_random(&mailbox->random);
	packet->edit_refused = one_in(mailbox, 16) ? EINVAL : 0;
	if (!(packet->changed & VD_CHANGED_DATA))
		return;
	bytes_fill_random(&mailbox->random, (uint8_t *)packet + packet->data_offset + packet->length, more);
	packet->length = one_in(mailbox, 4) ? below(mailbox, packet->length + 1) : packet->length + more;
	packet->wire_length = one_in(mailbox, 2) ? (uint32_t)bytes_random(&mailbox->random) >> below(mailbox, 32) : packet->length;
	packet->edited = (uint8_t)below(mailbox, 8);
	packet->edit_address_sum = bytes_random(&mailbox->random);
	packet->edit_transport_sum = bytes_random(&mailbox->random);
	if (one_in(mailbox, 2))
		packet->skb_info &= ~VD_SKB_CHECKSUM_NOT_READY;
	packet->ip_version = (uint8_t)below(mailbox, 8); /* what it has parsed is its own business */
	packet->transport_offset = (uint16_t)bytes_random(&mailbox->random);
}

static void decide(struct mailbox *mailbox, unsigned index)
{
	struct vd_slot *slot = mailbox_slot(mailbox, index);

	for (unsigned i = 0; i < mailbox->chain.count; i++) {
		struct vd_link_tally *tally = mailbox_tally(mailbox, i);
		uint32_t dice = below(mailbox, 16);
		enum vd_verdict verdict = dice < 9 ? VD_NEXT : VD_ACCEPT + (dice - 9) % 6;

		if (one_in(mailbox, 3))
			edit(mailbox, index);
		tally->packets++;
		if (dice == 15 || (verdict == VD_REJECT && !mailbox->chain.links[i].may_reject)) {
			tally->faults++;
			slot->packet.verdict = (uint8_t)mailbox->fault_verdict;
			slot->decided = (i + 1) | VD_DECIDED_FAULT | (slot->packet.changed ? VD_DECIDED_TAKEN_BACK : 0);
			slot->packet.changed = 0;
			return;
		}
		tally->verdicts[verdict]++;
		slot->packet.verdict = (uint8_t)verdict;
		slot->decided = i + 1;
		if (verdict != VD_NEXT)
			return;
	}
	slot->packet.verdict = (uint8_t)mailbox->chain.default_verdict;
	slot->decided = 0;
}

void mailbox_answer(struct mailbox *mailbox)
{
	for (unsigned i = 0; i < mailbox->chain.count; i++) {
		struct vd_link_tally *tally = mailbox_tally(mailbox, i);
		uint64_t *counters = (uint64_t *)(tally + 1);

		*tally = (struct vd_link_tally){.context = {.counters = counters}};
		for (unsigned counter = 0; counter < mailbox->chain.links[i].names->counter_count; counter++)
			counters[counter] = below(mailbox, 100);
	}
	for (unsigned i = 0; i < mailbox->count; i++)
		decide(mailbox, i);
}

/* ---- the auditor ---- */

static bool is_anything_changed(const struct mailbox *mailbox)
{
	for (unsigned i = 0; i < mailbox->count + mailbox->chain.count; i++)
		if (memcmp(mailbox->blocks[i].now, mailbox->blocks[i].before, mailbox->blocks[i].size))
			return true;
	return false;
}

static const char *verdict_fault(const struct mailbox *mailbox, const struct vd_slot *slot)
{
	const struct vd_packet *packet = &slot->packet;

	if (packet->verdict < VD_ACCEPT || packet->verdict > VD_REJECT)
		return "a verdict that is none";
	if ((slot->decided & 0xff) > mailbox->chain.count)
		return "decided by a function that there is not";
	if (slot->decided & ~(0xffu | VD_DECIDED_FAULT | VD_DECIDED_TAKEN_BACK))
		return "decided in a way that there is not";
	if (packet->changed >= 2 * VD_CHANGED_DATA || packet->edited >= 2 * VD_EDITED_FULL)
		return "changed in a way that there is not";
	return NULL;
}

/* What the packet's slot has to be now; its bytes are looked at apart from that. */
static struct vd_slot wanted_slot(const struct mailbox *mailbox, unsigned index, bool has_data)
{
	const struct vd_slot *said = mailbox_slot(mailbox, index);
	struct vd_slot wanted;

	memcpy(&wanted, mailbox->blocks[index].before, sizeof wanted);
	wanted.decided = said->decided;
#define TAKE(field) wanted.packet.field = said->packet.field
	TAKE(verdict);
	TAKE(changed);
	TAKE(mark);
	TAKE(priority);
	TAKE(conntrack_mark);
	TAKE(vlan_protocol);
	TAKE(vlan_tci);
	TAKE(requeue);
	TAKE(requeue_bypass);
	TAKE(reject);
	TAKE(reject_code);
	TAKE(edit_refused);
	if (!has_data)
		return wanted;
	TAKE(length);
	TAKE(edit_address_sum);
	TAKE(edit_transport_sum);
	wanted.packet.wire_length = said->packet.wire_length < said->packet.length ? said->packet.length : said->packet.wire_length;
	vd_packet_parse(&wanted.packet, vd_packet_data(mailbox->packets[index]));
	wanted.packet.edited = vd_packet_is_malformed(&wanted.packet) || vd_packet_is_truncated(&wanted.packet) ? 0 : said->packet.edited;
	if (!(said->packet.skb_info & VD_SKB_CHECKSUM_NOT_READY))
		wanted.packet.skb_info &= ~VD_SKB_CHECKSUM_NOT_READY;
#undef TAKE
	return wanted;
}

static const char *packet_fault(const struct mailbox *mailbox, unsigned index)
{
	const struct mailbox_block *block = &mailbox->blocks[index];
	const struct vd_slot *said = mailbox_slot(mailbox, index);
	const struct vd_packet *packet = mailbox->packets[index], *before = packet_before(mailbox, index);
	bool has_data = said->packet.changed & VD_CHANGED_DATA && said->packet.verdict != VD_DROP;
	struct vd_slot wanted;
	uint32_t data_end;

	if (said->packet.data_offset != before->data_offset || said->packet.message_offset != before->message_offset)
		return "an answer for other offsets";
	if (said->packet.length > mailbox_room(mailbox, index))
		return "longer than its room";
	wanted = wanted_slot(mailbox, index, has_data);
	if (memcmp(packet, &wanted, sizeof wanted))
		return "the packet is not what was said of it";
	data_end = before->data_offset + (has_data ? packet->length : 0);
	if (has_data && memcmp(vd_packet_data(packet), vd_packet_data(&said->packet), packet->length))
		return "other bytes than were said";
	if (memcmp(block->now + sizeof wanted, block->before + sizeof wanted, before->data_offset - sizeof wanted) ||
	    memcmp(block->now + data_end, block->before + data_end, block->size - data_end))
		return "bytes were written that are not the packet's";
	return verdict_fault(mailbox, said);
}

/* Each function had what the one before it had left, said one thing of each, and said no more than it may. */
static const char *tallies_fault(const struct mailbox *mailbox, const struct vd_outcome *outcome)
{
	uint64_t left = mailbox->count, counted[VD_VERDICT_COUNT] = {0}, faults = 0, function_drops = 0;

	for (unsigned i = 0; i < mailbox->chain.count; i++) {
		const struct mailbox_block *block = &mailbox->blocks[mailbox->count + i];
		const struct vd_link_tally *now = (const void *)block->now, *before = (const void *)block->before;
		const uint64_t *counters = (const uint64_t *)(mailbox_tally(mailbox, i) + 1);
		const uint64_t *counters_now = (const uint64_t *)(now + 1), *counters_before = (const uint64_t *)(before + 1);
		uint64_t said = now->faults - before->faults;

		if (now->packets - before->packets != left || said > left)
			return "a function had other packets than were left to it";
		if (now->crashes != before->crashes || now->hangs != before->hangs)
			return "a host has told of its own death";
		faults += said;
		counted[mailbox->fault_verdict] += said;
		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++) {
			uint64_t more = now->verdicts[verdict] - before->verdicts[verdict];

			if (more > left)
				return "more verdicts than packets";
			said += more;
			counted[verdict] += verdict != VD_NEXT ? more : 0;
			function_drops += verdict == VD_DROP || verdict == VD_REJECT ? more : 0;
		}
		if (said != left)
			return "not each packet has its verdict";
		if (now->verdicts[VD_REJECT] != before->verdicts[VD_REJECT] && !mailbox->chain.links[i].may_reject)
			return "rejected by a function that does not";
		for (unsigned j = 0; j < mailbox->chain.links[i].names->counter_count; j++)
			if (counters_now[j] - counters_before[j] != (left ? counters[j] : 0))
				return "a counter is not what was counted";
		left = now->verdicts[VD_NEXT] - before->verdicts[VD_NEXT];
	}
	if (outcome->by_default != left || outcome->faults != faults || outcome->rejected != counted[VD_REJECT] ||
	    outcome->dropped != function_drops || outcome->without_host)
		return "the burst came to something else than the functions";
	counted[mailbox->chain.default_verdict] += left;
	for (unsigned i = 0; i < mailbox->count; i++)
		counted[mailbox->packets[i]->verdict]--;
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		if (counted[verdict])
			return "the packets' verdicts are not those that were counted";
	return NULL;
}

/* What the engine does with packets next. */
static const char *completed_fault(struct vd_packet *packet)
{
	const char *fault = bytes_accessor_fault(packet);

	if (!fault && !vd_packet_is_dropped(packet) && !packet->edit_refused) {
		vd_packet_complete(packet);
		fault = bytes_accessor_fault(packet);
	}
	return fault;
}

const char *mailbox_unpack(struct mailbox *mailbox, bool *is_taken)
{
	struct vd_outcome outcome = {0}, nothing = {0};
	const char *fault = NULL;

	*is_taken = vd_host_unpack(&mailbox->host, mailbox->memory, 0, mailbox->fault_verdict, mailbox->packets, mailbox->count,
				   &outcome);
	if (!*is_taken)
		return is_anything_changed(mailbox) || memcmp(&outcome, &nothing, sizeof outcome) ? "refused, and yet taken" : NULL;
	for (unsigned i = 0; i < mailbox->count && !fault; i++)
		fault = packet_fault(mailbox, i);
	if (!fault)
		fault = tallies_fault(mailbox, &outcome);
	for (unsigned i = 0; i < mailbox->count && !fault; i++)
		fault = completed_fault(mailbox->packets[i]);
	return fault;
}
