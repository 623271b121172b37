// SPDX-License-Identifier: MIT
//
// What an entry costs to push into a ring and to pop out of it, in bursts of so many.
//
//	one_thread	a burst in, a burst out: no cache line moves
//	two_threads	an end each, both as fast as they can: the time from the first to the last entry, as on a clock. Needs
//			two CPUs of its own to mean something
//
// Time is nanoseconds for one entry, its making and checking included. An iteration passes ENTRIES entries in order.
#include <chrono>
#include <cstdlib>
#include <thread>

#include <benchmark/benchmark.h>

#include "bench/micro/ring.h"

namespace {

constexpr std::uint32_t CAPACITY = 16384;
constexpr std::uint32_t ENTRIES = 2000000;

template <typename Pass> void measure(benchmark::State &state, Pass pass)
{
	struct vd_ring_spsc *ring = ring_make(CAPACITY);
	bool is_good = ring;

	for (auto _ : state) {
		auto start = std::chrono::steady_clock::now();

		is_good = is_good && pass(ring, static_cast<std::uint32_t>(state.range(0)));
		std::chrono::duration<double> used = std::chrono::steady_clock::now() - start;

		state.SetIterationTime(used.count() / ENTRIES);
		if (!is_good) {
			state.SkipWithError("the entries did not come out in order");
			break;
		}
	}
	std::free(ring);
}

void one_thread(benchmark::State &state)
{
	measure(state, [](struct vd_ring_spsc *ring, std::uint32_t burst) { return ring_pass(ring, burst, ENTRIES); });
}

void two_threads(benchmark::State &state)
{
	measure(state, [](struct vd_ring_spsc *ring, std::uint32_t burst) {
		std::thread producer(ring_produce, ring, burst, ENTRIES);
		bool is_good = ring_consume(ring, burst, ENTRIES);

		producer.join();
		return is_good;
	});
}

} // namespace

// The time that the library sees is that of one entry, so it has to be told how many passes make a measurement.
BENCHMARK(one_thread)->ArgName("burst")->Arg(1)->Arg(16)->Arg(64)->UseManualTime()->Iterations(5);
BENCHMARK(two_threads)->ArgName("burst")->Arg(1)->Arg(16)->Arg(64)->UseManualTime()->Iterations(5);

BENCHMARK_MAIN();
