// SPDX-License-Identifier: MIT
//
// What an entry costs to push into a ring and to pop out of it, in bursts of so many: ours, and what others have (ring.h).
//
//	one_thread/WHO	 a burst in, a burst out: no cache line moves
//	two_threads/WHO	 an end each, both as fast as they can: the time from the first to the last entry, as on a clock. Needs
//			 two CPUs of its own to mean something
//
// Time is nanoseconds for one entry, its making and checking included. An iteration passes ENTRIES entries in order.
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench/micro/ring.h"

namespace {

constexpr std::uint32_t CAPACITY = 16384;
constexpr std::uint32_t ENTRIES = 2000000;
constexpr std::uint32_t BURSTS[] = {1, 8, 32, 64};

using pass = bool (*)(const struct ring_kind &kind, void *ring, std::uint32_t burst);

void measure(benchmark::State &state, const struct ring_kind *kind, std::uint32_t burst, pass pass)
{
	void *ring = kind->make(CAPACITY);
	bool is_good = ring;

	for (auto _ : state) {
		auto start = std::chrono::steady_clock::now();

		is_good = is_good && pass(*kind, ring, burst);
		std::chrono::duration<double> used = std::chrono::steady_clock::now() - start;

		state.SetIterationTime(used.count() / ENTRIES);
		if (!is_good) {
			state.SkipWithError("the entries did not come out in order");
			break;
		}
	}
	std::free(ring);
}

bool one_thread(const struct ring_kind &kind, void *ring, std::uint32_t burst)
{
	return kind.pass(ring, burst, ENTRIES);
}

bool two_threads(const struct ring_kind &kind, void *ring, std::uint32_t burst)
{
	std::thread producer(kind.produce, ring, burst, ENTRIES);
	bool is_good = kind.consume(ring, burst, ENTRIES);

	producer.join();
	return is_good;
}

// The time that the library sees is that of one entry, so it has to be told how many passes make a measurement.
void add(const char *family, const struct ring_kind *kind, std::uint32_t burst, pass pass)
{
	std::string name = std::string(family) + "/" + kind->name + "/burst:" + std::to_string(burst);

	benchmark::RegisterBenchmark(name.c_str(), measure, kind, burst, pass)->UseManualTime()->Iterations(5);
}

} // namespace

int main(int argc, char **argv)
{
	std::vector<char *> arguments(argv, argv + argc);
	char by_turns[] = "--benchmark_enable_random_interleaving=true";
	int count = argc + 1;

	for (std::uint32_t burst : BURSTS) {
		for (unsigned i = 0; ring_kinds[i]; i++) {
			add("one_thread", ring_kinds[i], burst, one_thread);
			add("two_threads", ring_kinds[i], burst, two_threads);
		}
	}
	arguments.insert(arguments.begin() + 1, by_turns);
	arguments.push_back(nullptr);
	benchmark::Initialize(&count, arguments.data());
	if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
