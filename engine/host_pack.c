/* SPDX-License-Identifier: MIT */
/*
 * What goes into a mailbox and what is taken out of it.
 *
 * In: each packet's slot, and behind it what the port had put there, up to the packet's end: so all offsets stay what they are. Behind
 * that is room to grow.
 *
 * Out: whatever is there, a host that has gone wild may have written it, or may still be writing. So each value is read once, into
 * memory of our own, and looked at there. Verdicts and counters have to agree. Bytes can be any: the packet is parsed anew before
 * checksums are completed, and that can stand whatever comes from a wire. Who lies so well can say about a packet what it likes,
 * which is what functions are for.
 */
#include "engine/host_private.h"
#include "engine/tally.h"
#include "lib/packet/packet.h"

#define CHANGES (VD_CHANGED_MARK | VD_CHANGED_PRIORITY | VD_CHANGED_CONNTRACK_MARK | VD_CHANGED_VLAN | VD_CHANGED_DATA)
#define DECISIONS (VD_DECIDED_BY | VD_DECIDED_FAULT | VD_DECIDED_TAKEN_BACK)
#define EDITS (VD_EDITED | VD_EDITED_TRANSPORT | VD_EDITED_FULL)

/* ---- in ---- */

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Bytes of the slot that say something. */
static uint32_t used_of(const struct vd_packet *packet)
{
	uint32_t data = packet->data_offset + packet->length;

	return packet->message_offset ? larger(data, packet->message_offset + packet->message_length) : data;
}

/* What it may grow to. */
static uint32_t room_of(const struct vd_packet *packet)
{
	return smaller(packet->room, packet->length + VD_ROOM);
}

unsigned vd_host_pack(const struct vd_host *host, struct vd_mailbox *mailbox, struct vd_packet *const *packets, unsigned count)
{
	uint8_t *area = vd_mailbox_area(host, mailbox);
	uint32_t at = 0;
	unsigned packed = 0;

	for (; packed < count; packed++) {
		const struct vd_packet *packet = packets[packed];
		uint32_t used = used_of(packet), room = room_of(packet);
		uint32_t size = larger(used, packet->data_offset + room);
		struct vd_slot *copy = (struct vd_slot *)(void *)(area + at);

		size = (size + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE;
		if (size > VD_MAILBOX_AREA - at)
			break;
		memcpy(copy, packet, used);
		copy->packet.room = room;
		copy->index = packed;
		mailbox->offsets[packed] = at;
		at += size;
	}
	mailbox->count = packed;
	return packed;
}

/* ---- out ---- */

/* An answer in our own memory. */
struct answer {
	struct vd_slot slots[VD_BURST_MAX];
	struct vd_link_tally links[VD_ENGINE_FUNCTIONS_MAX];
};

static bool is_packet_good(const struct vd_chain *chain, const struct vd_packet *packet, const struct vd_slot *slot)
{
	const struct vd_packet *now = &slot->packet;

	return (slot->decided & VD_DECIDED_BY) <= chain->count && !(slot->decided & ~DECISIONS) && now->verdict != VD_NEXT &&
	       now->verdict < VD_VERDICT_COUNT && now->verdict != VD_HELD && now->data_offset == packet->data_offset &&
	       now->message_offset == packet->message_offset && now->length <= room_of(packet) && !(now->changed & ~CHANGES) &&
	       !(now->edited & ~EDITS);
}

/* Each function had what the one before it left, and said one thing about each. */
static bool are_tallies_good(const struct vd_chain *chain, const struct answer *answer, unsigned count)
{
	uint64_t left = count;

	for (unsigned i = 0; i < chain->count; i++) {
		const struct vd_link_tally *tally = &answer->links[i];
		uint64_t sum = tally->faults;

		if (tally->packets != left || sum > left)
			return false;
		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++) {
			if (tally->verdicts[verdict] > left)
				return false;
			sum += tally->verdicts[verdict];
		}
		if (sum != left || (tally->verdicts[VD_REJECT] && !chain->links[i].may_reject))
			return false;
		left = tally->verdicts[VD_NEXT];
	}
	return true;
}

/* Whether the packets' verdicts are those that were counted. */
static bool do_verdicts_agree(const struct vd_chain *chain, const struct answer *answer, enum vd_verdict fault_verdict,
			      unsigned count)
{
	uint64_t counted[VD_VERDICT_COUNT] = {0};
	uint64_t left = count;

	for (unsigned i = 0; i < chain->count; i++) {
		for (unsigned verdict = VD_ACCEPT; verdict < VD_VERDICT_COUNT; verdict++)
			counted[verdict] += answer->links[i].verdicts[verdict];
		counted[fault_verdict] += answer->links[i].faults;
		left = answer->links[i].verdicts[VD_NEXT];
	}
	counted[chain->default_verdict] += left;
	for (unsigned i = 0; i < count; i++)
		if (!counted[answer->slots[i].packet.verdict]--)
			return false;
	return true;
}

static void take_bytes(struct vd_packet *packet, const struct vd_packet *now, const uint8_t *bytes)
{
	packet->length = now->length;
	packet->wire_length = larger(now->wire_length, now->length);
	memcpy((uint8_t *)packet + packet->data_offset, bytes + packet->data_offset, packet->length);
	vd_packet_parse(packet, vd_packet_data(packet));
	packet->skb_info &= now->skb_info | ~VD_SKB_CHECKSUM_NOT_READY; /* a function that verified it has made it */
	/* else its checksums are nowhere, or cover what is not here */
	packet->edited = vd_packet_is_malformed(packet) || vd_packet_is_truncated(packet) ? 0 : now->edited;
	packet->edit_address_sum = now->edit_address_sum;
	packet->edit_transport_sum = now->edit_transport_sum;
}

static void take_packet(struct vd_packet *packet, const struct vd_slot *slot, const uint8_t *bytes)
{
	const struct vd_packet *now = &slot->packet;

	vd_slot_of(packet)->decided = slot->decided;
	packet->mark = now->mark;
	packet->priority = now->priority;
	packet->conntrack_mark = now->conntrack_mark;
	packet->vlan_protocol = now->vlan_protocol;
	packet->vlan_tci = now->vlan_tci;
	packet->requeue = now->requeue;
	packet->requeue_bypass = now->requeue_bypass;
	packet->reject = now->reject;
	packet->reject_code = now->reject_code;
	packet->edit_refused = now->edit_refused;
	packet->changed = now->changed;
	packet->verdict = now->verdict;
	if (now->changed & VD_CHANGED_DATA && now->verdict != VD_DROP) /* who is told of a reject gets back what it had become */
		take_bytes(packet, now, bytes);
}

static void take_tallies(const struct vd_host *host, struct vd_mailbox *mailbox, unsigned worker, const struct answer *answer,
			 unsigned count, struct vd_outcome *outcome)
{
	struct vd_chain *chain = host->chain;
	uint64_t left = count;

	for (unsigned i = 0; i < chain->count && left; i++) {
		const struct vd_link_tally *more = &answer->links[i];
		struct vd_link_tally *tally = chain->links[i].tallies[worker];
		const uint64_t *counters = (const uint64_t *)(vd_mailbox_tally(host, mailbox, i) + 1);

		vd_tally_add(&tally->packets, more->packets);
		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			if (more->verdicts[verdict])
				vd_tally_add(&tally->verdicts[verdict], more->verdicts[verdict]);
		if (more->faults)
			vd_tally_add(&tally->faults, more->faults);
		for (unsigned counter = 0; counter < chain->links[i].names->counter_count; counter++) {
			uint64_t n = vd_tally_read(&counters[counter]); /* whatever a function counts */

			if (n)
				vd_tally_add(&tally->context.counters[counter], n);
		}
		outcome->faults += (uint32_t)more->faults;
		outcome->rejected += (uint32_t)more->verdicts[VD_REJECT];
		outcome->dropped += (uint32_t)(more->verdicts[VD_REJECT] + more->verdicts[VD_DROP]);
		left = more->verdicts[VD_NEXT];
	}
	outcome->by_default += (uint32_t)left;
}

bool vd_host_unpack(const struct vd_host *host, struct vd_mailbox *mailbox, unsigned worker, enum vd_verdict fault_verdict,
		    struct vd_packet *const *packets, unsigned count, struct vd_outcome *outcome)
{
	const uint8_t *area = vd_mailbox_area(host, mailbox);
	const struct vd_chain *chain = host->chain;
	uint32_t at = 0, offsets[VD_BURST_MAX];
	struct answer answer;

	for (unsigned i = 0; i < count; i++) {
		uint32_t size = larger(used_of(packets[i]), packets[i]->data_offset + room_of(packets[i]));

		offsets[i] = at; /* as vd_host_pack() has put it there, whatever the mailbox says now */
		at += (size + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE;
		memcpy(&answer.slots[i], area + offsets[i], sizeof answer.slots[i]);
		if (!is_packet_good(chain, packets[i], &answer.slots[i]))
			return false;
	}
	for (unsigned i = 0; i < chain->count; i++)
		memcpy(&answer.links[i], vd_mailbox_tally(host, mailbox, i), sizeof answer.links[i]);
	if (!are_tallies_good(chain, &answer, count) || !do_verdicts_agree(chain, &answer, fault_verdict, count))
		return false;
	for (unsigned i = 0; i < count; i++)
		take_packet(packets[i], &answer.slots[i], area + offsets[i]);
	take_tallies(host, mailbox, worker, &answer, count, outcome);
	return true;
}
