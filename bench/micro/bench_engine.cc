// SPDX-License-Identifier: MIT
//
// What the engine itself costs: packets from memory, `accept` as the only function, verdicts into nothing.
//
//	port_alone	the simulated queue without an engine: receive and send, in bursts of so many
//	engine		the whole engine over it, with so many workers, writers and lanes
//
// Time and the counter cpu_ns are nanoseconds of CPU, all threads together, for one packet. The engine's own share is
// in the counter own_ns: whole minus port. An iteration is a run of PACKETS packets; that every one of them was answered once
// is checked by the sum of their ids.
#include <algorithm>
#include <cstdint>
#include <ctime>

#include <benchmark/benchmark.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

namespace {

constexpr std::uint64_t PACKETS = 1000000;
constexpr unsigned FLOWS = 1024;
constexpr unsigned LANES_MAX = 2;

double clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

struct vd_port *make_port(unsigned queue)
{
	struct vd_sim_options options = {};
	struct vd_port *port;

	options.bench = true;
	options.queue = queue;
	options.packets = PACKETS;
	options.flows = FLOWS;
	return vd_port_sim_create(&port, &options) ? nullptr : port;
}

bool has_answered_all(struct vd_port *port)
{
	struct vd_sim_report report;

	vd_port_sim_report(port, &report);
	return report.answered == PACKETS && report.handed_up == PACKETS && report.answered_ids == report.handed_up_ids;
}

// ns of CPU for a packet, or a negative number: something went wrong.
double run_port_alone(unsigned burst)
{
	struct vd_port *port = make_port(0);
	double start, used;

	if (!port)
		return -1;
	start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	int result = vd_port_sim_drive(port, burst, VD_ENGINE_MAXLEN_DEFAULT, VD_HEADERS, VD_ACCEPT);

	used = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
	if (result || !has_answered_all(port))
		used = -1;
	port->operations->destroy(port);
	return used / static_cast<double>(PACKETS);
}

void port_alone(benchmark::State &state)
{
	double sum = 0, least = 1e9;

	for (auto _ : state) {
		double used = run_port_alone(static_cast<unsigned>(state.range(0)));

		if (used < 0) {
			state.SkipWithError("not every packet was answered once");
			return;
		}
		state.SetIterationTime(used * 1e-9);
		sum += used;
		least = std::min(least, used);
	}
	state.counters["cpu_ns"] = sum / static_cast<double>(state.iterations());
	state.counters["cpu_ns_min"] = least;
}

void accept_all(struct vd_packet *const *, enum vd_verdict *verdicts, unsigned count, void *)
{
	std::fill(verdicts, verdicts + count, VD_ACCEPT);
}

struct run {
	double cpu_ns;	    // for a packet; negative: something went wrong
	double wall_ns;	    // likewise
	double on_the_spot; // of all
};

run run_engine(unsigned workers, unsigned writers, unsigned lanes)
{
	struct vd_engine_options options = {};
	struct vd_function function = {};
	struct vd_engine *engine;
	struct vd_error error;
	struct vd_queue_stats stats[LANES_MAX];
	struct vd_port *ports[LANES_MAX];
	double packets = static_cast<double>(PACKETS) * lanes, on_the_spot = 0;
	run result = {-1, -1, 0};

	function.abi = VD_FUNCTION_ABI;
	function.size = sizeof function;
	function.name = "accept";
	function.bytes = VD_HEADERS;
	function.decide_burst = accept_all;
	options.default_verdict = VD_ACCEPT;
	options.fault_verdict = VD_DROP;
	options.workers = workers;
	options.writers = writers;
	if (vd_engine_create(&engine, &options, &error))
		return result;
	bool is_good = !vd_engine_add_function(engine, &function, "", &error);

	for (unsigned i = 0; i < lanes && is_good; i++) {
		ports[i] = make_port(i);
		is_good = ports[i] && !vd_engine_add_port(engine, ports[i], &error);
	}
	double cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);

	is_good = is_good && !vd_engine_run(engine, &error);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	for (unsigned i = 0; i < lanes && is_good; i++)
		is_good = has_answered_all(ports[i]);
	if (is_good && vd_engine_queue_stats(engine, stats, lanes) == lanes)
		for (unsigned i = 0; i < lanes; i++)
			on_the_spot += static_cast<double>(stats[i].on_the_spot);
	vd_engine_destroy(engine);
	if (is_good)
		result = {cpu / packets, wall / packets, on_the_spot / packets};
	return result;
}

void engine(benchmark::State &state)
{
	static const double port_ns = std::min({run_port_alone(64), run_port_alone(64), run_port_alone(64)});
	double cpu = 0, wall = 0, on_the_spot = 0;

	for (auto _ : state) {
		run used = run_engine(static_cast<unsigned>(state.range(0)), static_cast<unsigned>(state.range(1)),
				      static_cast<unsigned>(state.range(2)));

		if (used.cpu_ns < 0) {
			state.SkipWithError("the engine failed, or did not answer every packet once");
			return;
		}
		state.SetIterationTime(used.cpu_ns * 1e-9);
		cpu += used.cpu_ns;
		wall += used.wall_ns;
		on_the_spot += used.on_the_spot;
	}
	double runs = static_cast<double>(state.iterations());

	state.counters["cpu_ns"] = cpu / runs;
	state.counters["own_ns"] = cpu / runs - port_ns;
	state.counters["wall_ns"] = wall / runs;
	state.counters["on_the_spot"] = on_the_spot / runs;
}

} // namespace

// The time that the library sees is that of one packet, so it has to be told how many runs make a measurement.
BENCHMARK(port_alone)->ArgName("burst")->Arg(1)->Arg(16)->Arg(64)->UseManualTime()->Iterations(5)->Unit(benchmark::kNanosecond);
BENCHMARK(engine)
	->ArgNames({"workers", "writers", "lanes"})
	->Args({1, 0, 1})
	->Args({2, 0, 1})
	->Args({3, 0, 1})
	->Args({4, 0, 1})
	->Args({2, 1, 1})
	->Args({1, 0, 2})
	->Args({2, 0, 2})
	->UseManualTime()
	->Iterations(5)
	->Unit(benchmark::kNanosecond);

BENCHMARK_MAIN();
