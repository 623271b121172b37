// SPDX-License-Identifier: MIT
//
// What one edited packet costs: parsed, edited, and its checksums completed, by what changed and in full. The packets are
// 1,500 bytes of TCP over IPv4 and IPv6, and in the cache.
#include <cstdint>
#include <cstring>
#include <string>

#include <benchmark/benchmark.h>

#include <verdict/function.h>

extern "C" {
#include "lib/packet/packet.h"
#include "lib/packet/place.h"
}

namespace {

constexpr unsigned LENGTH = 1500;
constexpr unsigned BURST = 16; // in the first-level cache, as a packet that was just received is

struct alignas(64) slot {
	struct vd_packet packet;
	std::uint8_t data[LENGTH + VD_ROOM];
};

struct slot slots[BURST];
std::uint16_t pseudo_sums[BURST]; // what a checksum that is not ready holds

struct shape {
	const char *name;
	std::uint16_t ethertype;
	unsigned transport;
	std::uint32_t skb_info;
};

const struct shape SHAPES[] = {
	{"by_what_changed/ipv4_tcp", 0x0800, 20, 0},
	{"by_what_changed/ipv6_tcp", 0x86dd, 40, 0},
	{"in_full/ipv4_tcp", 0x0800, 20, VD_SKB_CHECKSUM_NOT_READY},
	{"in_full/ipv6_tcp", 0x86dd, 40, VD_SKB_CHECKSUM_NOT_READY},
};

void write16(std::uint8_t *at, unsigned number)
{
	at[0] = static_cast<std::uint8_t>(number >> 8);
	at[1] = static_cast<std::uint8_t>(number);
}

// With what the last round made of it. A checksum that is not ready is the pseudo-header's sum, which holds nothing that is edited
// here.
void come_in(struct slot &slot, const struct shape &shape, std::uint16_t pseudo_sum)
{
	slot.packet.edited = slot.packet.edit_refused = slot.packet.changed = 0;
	slot.packet.skb_info = shape.skb_info;
	if (shape.skb_info)
		std::memcpy(slot.data + shape.transport + 16, &pseudo_sum, sizeof pseudo_sum);
	vd_packet_parse(&slot.packet, slot.data);
}

void prepare(struct slot &slot, const struct shape &shape, std::uint16_t &pseudo_sum, unsigned seed)
{
	struct vd_checksum_place place;

	std::memset(&slot, 0, sizeof slot);
	for (unsigned i = 0; i < LENGTH; i++)
		slot.data[i] = static_cast<std::uint8_t>(i * seed + (i >> 5));
	if (shape.transport == 20) {
		slot.data[0] = 0x45;
		write16(slot.data + 2, LENGTH);
		write16(slot.data + 6, 0x4000);
		slot.data[9] = 6;
	} else {
		slot.data[0] = 0x60;
		write16(slot.data + 4, LENGTH - 40);
		slot.data[6] = 6;
	}
	slot.data[shape.transport + 12] = 0x50;
	slot.packet.data_offset = offsetof(struct slot, data);
	slot.packet.length = slot.packet.wire_length = LENGTH;
	slot.packet.room = sizeof slot.data;
	slot.packet.ethertype = shape.ethertype;
	come_in(slot, shape, 0);
	vd_packet_find_checksum(&slot.packet, slot.data, &place);
	place.kind = VD_CHECKSUM_PSEUDO;
	pseudo_sum = vd_packet_checksum_be(&place, slot.data);
	slot.packet.skb_info = VD_SKB_CHECKSUM_NOT_READY;
	std::memcpy(slot.data + place.field, &pseudo_sum, sizeof pseudo_sum);
	vd_packet_set_ttl(&slot.packet, 64);
	vd_packet_complete(&slot.packet);
}

template <typename Edit> void edit(benchmark::State &state, const struct shape &shape, Edit change)
{
	unsigned i = 0;

	for (unsigned slot = 0; slot < BURST; slot++)
		prepare(slots[slot], shape, pseudo_sums[slot], slot * 2 + 3);
	for (auto _ : state) {
		struct slot &slot = slots[i % BURST];

		come_in(slot, shape, pseudo_sums[i % BURST]);
		if (change(slot.packet, i))
			return state.SkipWithError("an edit was refused");
		vd_packet_complete(&slot.packet);
		i++;
	}
	for (struct slot &slot : slots)
		if (vd_packet_verify(&slot.packet))
			state.SkipWithError("a checksum is wrong");
}

int two_fields(struct vd_packet &packet, unsigned i)
{
	return vd_packet_set_destination_port(&packet, 1 + (i & 0x7fff)) || vd_packet_set_ttl(&packet, 1 + (i & 0x7f));
}

int none(struct vd_packet &packet, unsigned)
{
	return vd_packet_may_edit(&packet);
}

} // namespace

int main(int argc, char **argv)
{
	for (const struct shape &shape : SHAPES) {
		benchmark::RegisterBenchmark((std::string("edit/two_fields/") + shape.name).c_str(),
					     [&shape](benchmark::State &state) { edit(state, shape, two_fields); });
	}
	benchmark::RegisterBenchmark("edit/nothing/ipv4_tcp",
				     [](benchmark::State &state) { edit(state, SHAPES[0], none); });
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
