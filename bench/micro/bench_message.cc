// SPDX-License-Identifier: MIT
//
// What messages cost, without the calls that receive and send them: ours, and libnetfilter_queue's (message.h).
//
//	parse/WHO/payload:N		the message of one packet, headers and attributes; nobody looks at the payload
//	build/WHO/WHAT/batch:N		the verdicts of so many packets, which are sent together; time is that of one verdict.
//					WHAT: plain, mark, payload (1,400 bytes of data; ours are sent from where they lie)
//
// The messages are those of a burst, and in the cache. What one finds or builds has to be what the other does.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <linux/netlink.h>

#include <verdict/function.h>

#include "bench/micro/message.h"

namespace {

constexpr std::uint32_t PAYLOADS[] = {64, MESSAGE_PAYLOAD_MAX};
constexpr unsigned BATCHES[] = {1, MESSAGE_BATCH_MAX};
constexpr std::uint32_t FIRST_ID = 1000;

// an odd number of cache lines, so that the messages' headers are not all in the same sets of the cache
struct alignas(64) slot {
	struct vd_packet packet;
	alignas(64) std::uint8_t message[MESSAGE_ROOM];
};
static_assert(sizeof(slot) / 64 % 2 == 1, "an odd number of lines");

struct slot slots[MESSAGE_BATCH_MAX];
struct vd_packet *packets[MESSAGE_BATCH_MAX];
std::uint32_t received;

void write(std::uint32_t payload)
{
	for (unsigned i = 0; i < MESSAGE_BATCH_MAX; i++) {
		packets[i] = &slots[i].packet;
		received = message_write(slots[i].message, FIRST_ID + i, payload);
	}
}

bool is_read(const struct vd_packet &packet, const std::uint8_t *message, std::uint32_t id, std::uint32_t payload)
{
	return packet.id == id && packet.queue == 3 && packet.family == 2 && packet.ethertype == 0x0800 && packet.hook == 2 &&
	       packet.indev == 2 && packet.outdev == 3 && packet.mark == 0xcafe && packet.skb_info == 1 && !packet.priority &&
	       !packet.has_bridge_ports && packet.length == payload && packet.wire_length == payload &&
	       vd_packet_data(&packet) == message + received - payload;
}

void parse(benchmark::State &state, const struct message_kind *kind, std::uint32_t payload)
{
	unsigned i = 0;

	write(payload);
	for (auto _ : state) {
		struct slot &slot = slots[i++ % MESSAGE_BATCH_MAX];

		benchmark::DoNotOptimize(kind->parse(&slot.packet, slot.message, received));
	}
	for (i = 0; i < MESSAGE_BATCH_MAX; i++) {
		struct slot &slot = slots[i];

		std::memset(static_cast<void *>(&slot.packet), 0xff, sizeof slot.packet);
		if (!kind->parse(&slot.packet, slot.message, received) ||
		    !is_read(slot.packet, slot.message, FIRST_ID + i, payload))
			return state.SkipWithError("the message is not read as what it is");
	}
}

// What would be sent, but for the numbers of the messages: ours are the packets' ids.
std::vector<std::uint8_t> built(const struct message_kind *kind, unsigned count)
{
	std::vector<std::uint8_t> bytes(MESSAGE_SEND_MAX);
	struct nlmsghdr netlink;

	kind->build(packets, count);
	bytes.resize(kind->copy(bytes.data()));
	for (std::size_t at = 0; at < bytes.size(); at += netlink.nlmsg_len) {
		std::memcpy(&netlink, bytes.data() + at, sizeof netlink);
		std::memset(bytes.data() + at + offsetof(struct nlmsghdr, nlmsg_seq), 0, sizeof netlink.nlmsg_seq);
	}
	return bytes;
}

void build(benchmark::State &state, const struct message_kind *kind, std::uint32_t changed, unsigned count)
{
	write(MESSAGE_PAYLOAD_MAX);
	for (struct slot &slot : slots) {
		std::memset(static_cast<void *>(&slot.packet), 0, sizeof slot.packet);
		message_kinds[0].parse(&slot.packet, slot.message, received);
		slot.packet.verdict = VD_ACCEPT;
		slot.packet.changed = static_cast<std::uint8_t>(changed);
	}
	if (built(kind, count) != built(&message_kinds[0], count))
		return state.SkipWithError("other bytes than ours");
	while (state.KeepRunningBatch(count)) {
		kind->build(packets, count);
		benchmark::ClobberMemory();
	}
}

void add_builds(const struct message_kind *kind, const char *what, std::uint32_t changed)
{
	for (unsigned count : BATCHES)
		benchmark::RegisterBenchmark((std::string("build/") + kind->name + "/" + what + "/batch:" +
					      std::to_string(count)).c_str(),
					     build, kind, changed, count);
}

} // namespace

int main(int argc, char **argv)
{
	std::vector<char *> arguments(argv, argv + argc);
	char by_turns[] = "--benchmark_enable_random_interleaving=true";
	int count = argc + 1;

	for (const struct message_kind *kind = message_kinds; kind->name; kind++) {
		for (std::uint32_t payload : PAYLOADS)
			benchmark::RegisterBenchmark((std::string("parse/") + kind->name + "/payload:" +
						      std::to_string(payload)).c_str(),
						     parse, kind, payload);
		add_builds(kind, "plain", 0);
		add_builds(kind, "mark", VD_CHANGED_MARK);
		add_builds(kind, "payload", VD_CHANGED_DATA);
	}
	arguments.insert(arguments.begin() + 1, by_turns);
	arguments.push_back(nullptr);
	benchmark::Initialize(&count, arguments.data());
	if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
