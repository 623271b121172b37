/* SPDX-License-Identifier: MIT */
/*
 * What a client of a queue may not do, checked when it sends a verdict and at the end.
 *
 * A flow's order: indices are handed up in rising order, so verdicts that come in the same order rise as well; that one
 * is missing is noticed at the end.
 */
#include "engine/port_sim_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sim_violation(struct sim *sim, const char *format, ...)
{
	va_list arguments;
	int used;

	if (sim->report.violations++)
		return;
	used = snprintf(sim->report.first_violation, sizeof sim->report.first_violation, "seed %" PRIu64 ", queue %u: ",
			sim->options.seed, sim->options.queue);
	va_start(arguments, format);
	vsnprintf(sim->report.first_violation + used, sizeof sim->report.first_violation - (size_t)used, format, arguments);
	va_end(arguments);
}

uint64_t sim_checksum(const uint8_t *data, uint32_t length)
{
	uint64_t sum = length, word;

	for (; length >= 8; length -= 8, data += 8) {
		memcpy(&word, data, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 32;
	}
	word = 0;
	memcpy(&word, data, length);
	sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
	return sum ^ sum >> 32;
}

static void check_contents(struct sim *sim, const struct sim_entry *entry, const struct vd_packet *packet)
{
	uint32_t index = (uint32_t)(entry - sim->entries);

	if (packet->port_private != ((uint64_t)entry->flow << 32 | index) || packet->queue != sim->options.queue)
		sim_violation(sim, "the packet with id %u has become another one", packet->id);
	if (!(packet->changed & VD_CHANGED_MARK) && !packet->edit_refused && packet->mark != (index ^ 0x5a5a5a5a))
		sim_violation(sim, "the mark of the packet with id %u has changed by itself", packet->id);
	if (packet->length > packet->room)
		sim_violation(sim, "the packet with id %u has outgrown its room", packet->id);
	else if (packet->edit_refused)
		; /* other edits may have been done before; none of it is sent */
	else if (packet->changed & VD_CHANGED_DATA) {
		if (entry->copied < entry->length)
			sim_violation(sim, "the packet with id %u was rewritten, but only a part of it copied", packet->id);
	} else if (packet->length != entry->copied || packet->wire_length != entry->length ||
		   sim_checksum(vd_packet_data(packet), entry->copied) != entry->checksum) {
		sim_violation(sim, "the bytes of the packet with id %u have changed", packet->id);
	}
}

/* What is dropped goes nowhere: where others are held, and sent by another thread, it overtakes nobody. */
static void check_order(struct sim *sim, struct sim_entry *entry, uint32_t id, bool is_dropped)
{
	uint32_t index = (uint32_t)(entry - sim->entries);
	struct sim_flow *flow;

	if (entry->flow == VD_SIM_NO_FLOW || entry->is_passed)
		return;
	flow = &sim->flows[entry->flow];
	if (is_dropped && flow->was_held)
		return;
	if (flow->is_answered && index < flow->last_answered) {
		sim_violation(sim, "flow %u: the verdict on id %u came after that on id %u", entry->flow, id,
			      sim->options.first_id + flow->last_answered);
		return;
	}
	flow->is_answered = true;
	flow->last_answered = index;
}

static void check_verdict(struct sim *sim, const struct vd_packet *packet)
{
	enum vd_verdict expected;

	if (packet->verdict == VD_NEXT || packet->verdict >= VD_HELD) {
		sim_violation(sim, "the verdict on id %u is %u, which is none", packet->id, packet->verdict);
		return;
	}
	if (!sim->options.expect)
		return;
	expected = sim->options.expect(packet, sim->options.expect_argument);
	if (expected != VD_NEXT && packet->verdict != expected)
		sim_violation(sim, "the verdict on id %u (flow %u) is %u instead of %u", packet->id,
			      vd_sim_packet_flow(packet), packet->verdict, (unsigned)expected);
}

struct sim_entry *sim_check_verdict(struct sim *sim, const struct vd_packet *packet)
{
	uint32_t index = packet->id - sim->options.first_id;
	struct sim_entry *entry = index < sim->id_count ? &sim->entries[index] : NULL;

	if (!entry || entry->state == SIM_LOST || entry->state == SIM_IN_SOCKET) {
		sim_violation(sim, "a verdict on id %u, which was never handed up", packet->id);
		return NULL;
	}
	if (entry->state == SIM_ANSWERED) {
		sim_violation(sim, "a second verdict on id %u", packet->id);
		return NULL;
	}
	check_contents(sim, entry, packet);
	check_order(sim, entry, packet->id, packet->verdict == VD_DROP || packet->verdict == VD_REJECT);
	check_verdict(sim, packet);
	return entry;
}

void sim_check_all(struct sim *sim, struct vd_packet *const *packets, unsigned count)
{
	uint64_t outstanding = sim->report.handed_up - sim->report.answered;

	if (outstanding != count && !sim->report.has_send_failed)
		sim_violation(sim, "%u packets are said to be all that were handed up, but %" PRIu64 " were", count, outstanding);
	if (atomic_load(&sim->is_receiving))
		sim_violation(sim, "packets are said to be all that were handed up while more are received");
	for (unsigned i = 1; i < count; i++)
		if ((int32_t)(packets[i]->id - packets[i - 1]->id) <= 0)
			sim_violation(sim, "id %u is said to be in order behind id %u", packets[i]->id, packets[i - 1]->id);
}

void sim_check_end(struct sim *sim)
{
	if (sim->report.has_send_failed) /* then it could not have answered them */
		return;
	for (uint32_t i = 0; i < sim->id_count; i++)
		if (sim->entries[i].state == SIM_HANDED_UP)
			sim_violation(sim, "id %u (flow %u) never got a verdict", sim->options.first_id + i, sim->entries[i].flow);
}
