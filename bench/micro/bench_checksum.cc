// SPDX-License-Identifier: MIT
//
// What checksums cost: every kernel that this CPU can run, and what others have (checksum_peers.h), on the same bytes.
//
//	sum/WHO/size:N/place:P		the sum of N bytes, folded to 16 bits, P bytes behind a multiple of 64
//	sum_chained/...			each sum has to wait for the one before it: latency
//	copy/WHO/...			copy and sum in one pass; memcpy() alone; memcpy() and then our fastest sum
//	crc32c/WHO/...
//	update/16, 32, 128		an incremental update; each waits for the one before it
//
// All the same size and in the cache: branches are foreseen. What is compared is measured by turns: repetitions of all
// benchmarks are shuffled.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench/micro/checksum_peers.h"

extern "C" {
#include "lib/packet/checksum.h"
}

namespace {

constexpr std::uint32_t SIZES[] = {20, 64, 128, 576, 1500, 9000, 65535};
constexpr std::uint32_t CHAINED_SIZES[] = {20, 64, 1500};
constexpr std::uint32_t COPIED_SIZES[] = {64, 1500, 9000, 65535};
constexpr std::uint32_t SIZE_MAX_ = 65535;

alignas(4096) std::uint8_t source[PEER_ROOM + SIZE_MAX_ + 64], target[PEER_ROOM + SIZE_MAX_ + 64];

std::uint8_t *prepare(std::uint32_t place)
{
	std::uint32_t number = 1;

	for (std::uint8_t &byte : source)
		byte = static_cast<std::uint8_t>((number = number * 1664525 + 1013904223) >> 24);
	return source + PEER_ROOM + place;
}

void finish(benchmark::State &state, std::uint32_t size)
{
	state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * size);
}

void sum(benchmark::State &state, const struct vd_checksum_kernel *kernel, std::uint32_t size, std::uint32_t place)
{
	const std::uint8_t *data = prepare(place);

	for (auto _ : state)
		benchmark::DoNotOptimize(vd_checksum_fold_be(kernel->sum(data, size)));
	finish(state, size);
}

void peer_sum(benchmark::State &state, const struct checksum_peer *peer, std::uint32_t size, std::uint32_t place)
{
	std::uint8_t *data = prepare(place);

	if (peer->prepare)
		peer->prepare(data, size);
	if (peer->expected_be) {
		std::uint16_t folded_be = vd_checksum_fold_be(vd_checksum_part(data, size));

		if (peer->sum(data, size) != peer->expected_be(data, size, folded_be))
			return state.SkipWithError("another sum than ours");
	}
	for (auto _ : state)
		benchmark::DoNotOptimize(peer->sum(data, size));
	finish(state, size);
}

void sum_chained(benchmark::State &state, const struct vd_checksum_kernel *kernel, std::uint32_t size)
{
	const std::uint8_t *data = prepare(0);
	std::uintptr_t nothing = 0;

	for (auto _ : state) {
		nothing = vd_checksum_fold_be(kernel->sum(data + nothing, size));
		benchmark::DoNotOptimize(nothing);
		nothing = nothing >> 16; // 0, which only we know
	}
	finish(state, size);
}

using copy_function = std::uint32_t (*)(void *, const void *, std::uint32_t);

std::uint32_t copy_only(void *to, const void *from, std::uint32_t length)
{
	std::memcpy(to, from, length);
	return 0;
}

std::uint32_t copy_then_sum(void *to, const void *from, std::uint32_t length)
{
	std::memcpy(to, from, length);
	return vd_checksum_part(to, length);
}

void copy(benchmark::State &state, copy_function function, std::uint32_t size, std::uint32_t place)
{
	const std::uint8_t *data = prepare(place);

	for (auto _ : state) {
		benchmark::DoNotOptimize(vd_checksum_fold_be(function(target + PEER_ROOM, data, size)));
		benchmark::ClobberMemory();
	}
	finish(state, size);
}

using crc32c_function = std::uint32_t (*)(std::uint32_t, const void *, std::uint32_t);

void crc32c(benchmark::State &state, crc32c_function function, std::uint32_t size, std::uint32_t place)
{
	const std::uint8_t *data = prepare(place);

	if (function(0, data, size) != vd_crc32c_add(0, data, size))
		return state.SkipWithError("another CRC than ours");
	for (auto _ : state)
		benchmark::DoNotOptimize(function(0, data, size));
	finish(state, size);
}

template <typename Update> void update(benchmark::State &state, Update change)
{
	std::uint8_t *data = prepare(0);
	std::uint16_t checksum_be = 0x1234;

	for (auto _ : state) {
		checksum_be = change(checksum_be, data, data + 16);
		benchmark::DoNotOptimize(checksum_be);
		benchmark::ClobberMemory();
	}
}

template <typename Field> Field field(const std::uint8_t *at)
{
	Field value;

	std::memcpy(&value, at, sizeof value);
	return value;
}

// ---- which there are ----

template <typename... Arguments>
void add(const char *family, const char *who, std::uint32_t size, std::uint32_t place, Arguments... arguments)
{
	std::string name = std::string(family) + "/" + who + "/size:" + std::to_string(size) +
			   "/place:" + std::to_string(place);

	benchmark::RegisterBenchmark(name.c_str(), arguments...);
}

void add_sums(std::uint32_t place)
{
	for (std::uint32_t size : SIZES) {
		const struct vd_checksum_kernel *kernel;

		for (unsigned i = 0; (kernel = vd_checksum_kernel(i)); i++)
			add("sum", kernel->name, size, place, sum, kernel, size, place);
		for (const struct checksum_peer *peer = checksum_peers; peer->name; peer++)
			add("sum", peer->name, size, place, peer_sum, peer, size, place);
	}
}

void add_copies(std::uint32_t place)
{
	for (std::uint32_t size : COPIED_SIZES) {
		const struct vd_checksum_kernel *kernel;

		for (unsigned i = 0; (kernel = vd_checksum_kernel(i)); i++)
			add("copy", kernel->name, size, place, copy, kernel->copy, size, place);
		add("copy", "memcpy", size, place, copy, copy_only, size, place);
		add("copy", "memcpy_then_sum", size, place, copy, copy_then_sum, size, place);
	}
}

void add_crcs(std::uint32_t place)
{
	for (std::uint32_t size : SIZES) {
		const struct vd_crc32c_kernel *kernel;

		for (unsigned i = 0; (kernel = vd_crc32c_kernel(i)); i++)
			add("crc32c", kernel->name, size, place, crc32c, kernel->add, size, place);
		for (const struct crc32c_peer *peer = crc32c_peers; peer->name; peer++)
			add("crc32c", peer->name, size, place, crc32c, peer->add, size, place);
	}
}

void add_updates()
{
	using bytes = const std::uint8_t *;

	benchmark::RegisterBenchmark("update/16", [](benchmark::State &state) {
		update(state, [](std::uint16_t checksum_be, bytes from, bytes to) {
			return vd_checksum_update16_be(checksum_be, field<std::uint16_t>(from),
						       field<std::uint16_t>(to));
		});
	});
	benchmark::RegisterBenchmark("update/32", [](benchmark::State &state) {
		update(state, [](std::uint16_t checksum_be, bytes from, bytes to) {
			return vd_checksum_update32_be(checksum_be, field<std::uint32_t>(from),
						       field<std::uint32_t>(to));
		});
	});
	benchmark::RegisterBenchmark("update/128", [](benchmark::State &state) {
		update(state, [](std::uint16_t checksum_be, bytes from, bytes to) {
			return vd_checksum_update128_be(checksum_be, from, to);
		});
	});
}

} // namespace

int main(int argc, char **argv)
{
	std::vector<char *> arguments(argv, argv + argc);
	char by_turns[] = "--benchmark_enable_random_interleaving=true";
	int count = argc + 1;

	for (std::uint32_t place : {0u, 1u}) {
		add_sums(place);
		add_copies(place);
		add_crcs(place);
	}
	for (std::uint32_t size : CHAINED_SIZES) {
		const struct vd_checksum_kernel *kernel;

		for (unsigned i = 0; (kernel = vd_checksum_kernel(i)); i++)
			add("sum_chained", kernel->name, size, 0, sum_chained, kernel, size);
	}
	add_updates();
	arguments.insert(arguments.begin() + 1, by_turns);
	arguments.push_back(nullptr);
	benchmark::Initialize(&count, arguments.data());
	if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
