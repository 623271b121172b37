// SPDX-License-Identifier: MIT
//
// What one packet costs to parse, and its flow hash. The packets are those of a burst, each of another flow, and in the
// cache, as they are when the engine has just received them; they are all of one kind, which suits branch prediction.
#include <cstdint>
#include <cstring>

#include <benchmark/benchmark.h>

#include <verdict/function.h>

extern "C" {
#include "lib/packet/packet.h"
}

namespace {

constexpr unsigned ROOM = 128;
constexpr std::uint64_t KEY = 0x243f6a8885a308d3;

// Whole packets; every flow gets another source port, which lies at `port`.
struct kind {
	const char *name;
	std::uint16_t ethertype;
	std::uint8_t protocol;
	unsigned port;
	unsigned length;
	std::uint8_t bytes[ROOM];
};

const struct kind KINDS[] = {
	{"ipv4_udp", 0x0800, 17, 20, 36,
	 {0x45, 0, 0, 36, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 2, 3, 10, 4, 5, 6, // IPv4
	  0, 0, 0x23, 0x28, 0, 16, 0, 0}},				       // UDP, 8 bytes in it
	{"ipv4_tcp", 0x0800, 6, 20, 40,
	 {0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 1, 2, 3, 10, 4, 5, 6,
	  0, 0, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0xff, 0xff}}, // TCP, ACK
	{"ipv6_options_udp", 0x86dd, 17, 48, 64,
	 {0x60, 0, 0, 0, 0, 24, 60, 64, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
	  0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
	  17, 0, 1, 4, 0, 0, 0, 0,	   // destination options: padding
	  0, 0, 0x23, 0x28, 0, 16, 0, 0}}, // UDP, 8 bytes in it
};

struct alignas(64) slot {
	struct vd_packet packet;
	std::uint8_t data[ROOM];
};

struct slot slots[VD_BURST_MAX];

// False: the packets are not parsed as what they are.
bool prepare(const struct kind &kind)
{
	for (unsigned i = 0; i < VD_BURST_MAX; i++) {
		struct vd_packet &packet = slots[i].packet;

		std::memset(&slots[i], 0, sizeof slots[i]);
		std::memcpy(slots[i].data, kind.bytes, ROOM);
		slots[i].data[kind.port] = 0x80;
		slots[i].data[kind.port + 1] = static_cast<std::uint8_t>(i);
		packet.data_offset = offsetof(slot, data);
		packet.length = packet.wire_length = kind.length;
		packet.room = ROOM;
		packet.ethertype = kind.ethertype;
		vd_packet_parse(&packet, slots[i].data);
		if (vd_packet_is_malformed(&packet) || vd_packet_protocol(&packet) != kind.protocol ||
		    vd_packet_source_port(&packet) != 0x8000 + i)
			return false;
	}
	return true;
}

void parse(benchmark::State &state, const struct kind &kind)
{
	unsigned i = 0;

	if (!prepare(kind))
		return state.SkipWithError("the packet is not parsed as what it is");
	for (auto _ : state) {
		struct slot &slot = slots[i++ % VD_BURST_MAX];

		vd_packet_parse(&slot.packet, slot.data);
	}
	benchmark::ClobberMemory();
}

void flow_hash(benchmark::State &state, const struct kind &kind)
{
	unsigned i = 0;

	if (!prepare(kind))
		return state.SkipWithError("the packet is not parsed as what it is");
	for (auto _ : state)
		benchmark::DoNotOptimize(vd_packet_compute_flow_hash(&slots[i++ % VD_BURST_MAX].packet, KEY));
}

} // namespace

int main(int argc, char **argv)
{
	for (const struct kind &kind : KINDS) {
		benchmark::RegisterBenchmark((std::string("parse/") + kind.name).c_str(), parse, kind);
		benchmark::RegisterBenchmark((std::string("flow_hash/") + kind.name).c_str(), flow_hash, kind);
	}
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
