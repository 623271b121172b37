/* SPDX-License-Identifier: MIT */
/*
 * What the simulated packets look like. A flow's packets differ in direction, size and content, and all have the same flow
 * hash: fragments are flows of their own, and so is each kind of malformed packet. Checksums in the headers are zero.
 *
 * The bytes follow from the seed and the packet's index alone; they are made when the packet is handed up. Behind the
 * headers every word depends on the packet and on its place, so that packets that run into each other are noticed.
 */
#include "engine/port_sim_private.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "engine/slots.h"

/* The largest headers: IPv6, a fragment header, TCP. */
#define SIM_HEADERS_MAX 68u
#define SIM_SHORT_LENGTH 12u

static void make_flow(struct sim *sim, struct sim_flow *flow)
{
	uint64_t random;

	flow->kind = SIM_FLOW_PLAIN;
	flow->ip_version = sim_dice(sim, sim->options.ipv6_percent, 100) ? 6 : 4;
	flow->protocol = sim_dice(sim, sim->options.tcp_percent, 100) ? IPPROTO_TCP : IPPROTO_UDP;
	for (unsigned end = 0; end < 2; end++) {
		for (unsigned i = 0; i < 16; i += 8) {
			random = vd_sim_random(&sim->random);
			memcpy(flow->addresses[end] + i, &random, 8);
		}
		flow->ports[end] = (uint16_t)(1 + vd_sim_random(&sim->random) % 65535);
	}
	if (sim_dice(sim, sim->options.malformed_percent, 100)) {
		flow->kind = SIM_FLOW_SHORT + (enum sim_flow_kind)(vd_sim_random(&sim->random) % 3);
		if (flow->kind == SIM_FLOW_LONG_UDP)
			flow->protocol = IPPROTO_UDP;
	} else if (sim_dice(sim, sim->options.fragment_percent, 100)) {
		flow->kind = SIM_FLOW_FRAGMENTS;
	}
}

void sim_traffic_make_flows(struct sim *sim)
{
	for (unsigned i = 0; i < sim->options.flows; i++)
		make_flow(sim, &sim->flows[i]);
}

static uint32_t headers_length(const struct sim_flow *flow)
{
	return (flow->ip_version == 4 ? 20u : 40u) + (flow->kind == SIM_FLOW_FRAGMENTS && flow->ip_version == 6 ? 8u : 0u) +
	       (flow->protocol == IPPROTO_TCP ? 20u : 8u);
}

void sim_traffic_draw(struct sim *sim, struct sim_entry *entry)
{
	const struct vd_sim_options *options = &sim->options;

	entry->length =
		options->size_min + (uint32_t)(vd_sim_random(&sim->random) % (options->size_max - options->size_min + 1));
	if (sim_dice(sim, options->garbage_percent, 100)) {
		entry->flow = VD_SIM_NO_FLOW;
		return;
	}
	entry->flow = (uint32_t)(vd_sim_random(&sim->random) % options->flows);
	if (sim->flows[entry->flow].kind == SIM_FLOW_SHORT)
		entry->length = SIM_SHORT_LENGTH;
	else if (entry->length < headers_length(&sim->flows[entry->flow]))
		entry->length = headers_length(&sim->flows[entry->flow]);
	else if (sim->flows[entry->flow].kind == SIM_FLOW_LONG && entry->length == 65535)
		entry->length--; /* or it would keep its promise */
}

static void put16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static uint32_t write_ip_header(const struct sim_flow *flow, uint8_t *header, uint32_t length, unsigned source, uint64_t random)
{
	uint32_t promised = flow->kind == SIM_FLOW_LONG ? 65535 : length;
	/* the first one, or a later one */
	uint32_t fragment = random & 1 ? 0x2000 : 0x2000 | (1 + (random >> 8) % 100);

	if (flow->ip_version == 4) {
		header[0] = 0x45;
		put16(header + 2, promised);
		put16(header + 4, (uint32_t)(random >> 16) & 0xffff);
		put16(header + 6, flow->kind == SIM_FLOW_FRAGMENTS ? fragment : 0);
		header[8] = 64;
		header[9] = flow->protocol;
		memcpy(header + 12, flow->addresses[source], 4);
		memcpy(header + 16, flow->addresses[!source], 4);
		return 20;
	}
	header[0] = 0x60;
	put16(header + 4, promised == length ? length - 40 : promised);
	header[6] = flow->protocol;
	header[7] = 64;
	memcpy(header + 8, flow->addresses[source], 16);
	memcpy(header + 24, flow->addresses[!source], 16);
	if (flow->kind != SIM_FLOW_FRAGMENTS)
		return 40;
	header[6] = IPPROTO_FRAGMENT;
	header[40] = flow->protocol;
	put16(header + 42, (fragment & 0x1fff) << 3 | 1);
	return 48;
}

static void write_headers(const struct sim_flow *flow, uint8_t *header, uint32_t length, uint64_t random)
{
	unsigned source = random >> 63;
	uint32_t ip_length = write_ip_header(flow, header, length, source, random);
	uint8_t *transport = header + ip_length;

	put16(transport, flow->ports[source]);
	put16(transport + 2, flow->ports[!source]);
	if (flow->protocol == IPPROTO_TCP) {
		put16(transport + 4, (uint32_t)(random >> 32) & 0xffff);
		transport[12] = 5 << 4;
		transport[13] = 0x10;
	} else {
		put16(transport + 4, flow->kind == SIM_FLOW_LONG_UDP ? 65535 : length - ip_length);
	}
}

/* What lies behind the headers; `random` is the packet's own. */
static void write_pattern(uint8_t *data, uint32_t from, uint32_t to, uint64_t random)
{
	for (uint32_t at = from; at < to; at += 8) {
		uint64_t word = (random + at) * 0x9e3779b97f4a7c15u;

		memcpy(data + at, &word, to - at < 8 ? to - at : 8);
	}
}

static void write_bytes(struct sim *sim, uint32_t index, uint8_t *data)
{
	const struct sim_entry *entry = &sim->entries[index];
	uint64_t state = sim->options.seed ^ (uint64_t)index << 32, random = vd_sim_random(&state);
	uint8_t headers[SIM_HEADERS_MAX] = {0};
	uint32_t length = 0;

	if (entry->flow != VD_SIM_NO_FLOW) {
		write_headers(&sim->flows[entry->flow], headers, entry->length, random);
		length = headers_length(&sim->flows[entry->flow]);
		if (length > entry->copied)
			length = entry->copied;
		memcpy(data, headers, length);
	}
	write_pattern(data, length, entry->copied, random);
}

void sim_traffic_write(struct sim *sim, uint32_t index, struct vd_packet *packet)
{
	struct sim_entry *entry = &sim->entries[index];
	const struct sim_flow *flow = entry->flow == VD_SIM_NO_FLOW ? NULL : &sim->flows[entry->flow];
	/* nothing of the slot's last packet is left */
	struct vd_packet fresh = {
		.data_offset = VD_SLOT_ROOM + SIM_MESSAGE_ROOM,
		.room = sim->settings.slot_room - SIM_MESSAGE_ROOM,
		.wire_length = entry->length,
		.original_length = entry->length,
		.id = sim->options.first_id + index,
		.mark = index ^ 0x5a5a5a5a,
		.queue = (uint16_t)sim->options.queue,
		.ethertype = flow && flow->ip_version == 6 ? ETH_P_IPV6 : ETH_P_IP,
		.port_private = (uint64_t)entry->flow << 32 | index,
	};

	entry->copied = entry->length < sim->settings.copy_range ? entry->length : sim->settings.copy_range;
	fresh.length = entry->copied;
	/* not in flows that are malformed: the UDP length of a GSO packet is not looked at */
	if (entry->length > 1500 && flow && flow->kind == SIM_FLOW_PLAIN)
		fresh.skb_info = VD_SKB_GSO | VD_SKB_CHECKSUM_NOT_READY;
	*packet = fresh;
	write_bytes(sim, index, (uint8_t *)packet + packet->data_offset);
}
