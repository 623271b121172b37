// SPDX-License-Identifier: MIT
//
// What the engine itself costs: packets from memory, one function, verdicts into nothing.
//
//	port_alone	the simulated queue without an engine: receive and send, in bursts of so many
//	engine		the whole engine over it, with so many workers, writers and lanes; its function accepts everything
//	tap		the same with one worker, while somebody on another CPU reads a tap: of all packets one in `sample`, 128 bytes of
//			each; 0: there is no tap. cpu_ns is the worker's alone; `missed` is the share that found no room
//	work		the same with a function that takes 200 ns of CPU, and so many workers, up to one on each CPU
//	share		what threads that share the packets can reach: the same work, no engine (share.h)
//	first		the stock function `first`, one worker, so many flows, which come in turn and are all in its table
//	touch		the same with a function that for each packet only fetches the cache lines that `first` would, from a
//			table of the same size, and writes to them: what memory alone costs
//
// Time and the counter cpu_ns are nanoseconds of CPU, all threads together, for one packet. The engine's own share is
// in the counter own_ns: whole minus port. An iteration is a run of PACKETS packets; that every one of them was answered once
// is checked by the sum of their ids. What `first` takes is measured from its second look at each flow on: the first ones fill
// the table.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string>

#include <benchmark/benchmark.h>

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

extern "C" {
#include "engine/load.h"
}

#include "share.h"

namespace {

constexpr std::uint64_t PACKETS = 1000000;
constexpr unsigned FLOWS = 1024;
constexpr unsigned LANES_MAX = 2;
constexpr double WORK_NS = 200;
constexpr unsigned MANY_FLOWS = 1000000;
constexpr std::uint64_t FIRST_PACKETS = 900000;
// No flow has so many packets: each one is counted and goes on. And there is room for nearly all flows in their buckets.
constexpr const char *FIRST_ARGUMENTS = "1000000,flows=4000000";
constexpr std::size_t FIRST_FLOWS = 4000000;

double clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

struct vd_port *make_port(unsigned queue, std::uint64_t packets = PACKETS, unsigned flows = FLOWS)
{
	struct vd_sim_options options = {};
	struct vd_port *port;

	options.bench = true;
	options.queue = queue;
	options.packets = packets;
	options.flows = flows;
	return vd_port_sim_create(&port, &options) ? nullptr : port;
}

bool has_answered_all(struct vd_port *port, std::uint64_t packets = PACKETS)
{
	struct vd_sim_report report;

	vd_port_sim_report(port, &report);
	return report.answered == packets && report.handed_up == packets && report.answered_ids == report.handed_up_ids;
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

double port_ns()
{
	static const double ns = std::min({run_port_alone(64), run_port_alone(64), run_port_alone(64)});

	return ns;
}

// ---- the engine's own share ----

void accept_all(struct vd_packet *const *, enum vd_verdict *verdicts, unsigned count, void *)
{
	std::fill(verdicts, verdicts + count, VD_ACCEPT);
}

struct run {
	double cpu_ns;	    // for a packet; negative: something went wrong
	double wall_ns;	    // likewise
	double on_the_spot; // of all
};

struct vd_function make_function(const char *name)
{
	struct vd_function function = {};

	function.abi = VD_FUNCTION_ABI;
	function.size = sizeof function;
	function.name = name;
	function.bytes = VD_HEADERS;
	return function;
}

run run_engine(const struct vd_function &function, unsigned workers, unsigned writers, unsigned lanes)
{
	struct vd_engine_options options = {};
	struct vd_engine *engine;
	struct vd_error error;
	struct vd_queue_stats stats[LANES_MAX];
	struct vd_port *ports[LANES_MAX];
	double packets = static_cast<double>(PACKETS) * lanes, on_the_spot = 0;
	run result = {-1, -1, 0};

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
	struct vd_function function = make_function("accept");
	double cpu = 0, wall = 0, on_the_spot = 0;

	function.decide_burst = accept_all;
	for (auto _ : state) {
		run used = run_engine(function, static_cast<unsigned>(state.range(0)), static_cast<unsigned>(state.range(1)),
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
	state.counters["own_ns"] = cpu / runs - port_ns();
	state.counters["wall_ns"] = wall / runs;
	state.counters["on_the_spot"] = on_the_spot / runs;
}

// ---- a tap ----

struct tap_reader {
	struct vd_engine_tap *tap;
	std::atomic<bool> is_over;
};

void *read_tap(void *argument)
{
	auto *reader = static_cast<struct tap_reader *>(argument);

	while (!reader->is_over)
		while (const struct vd_engine_tap_packet *packet = vd_engine_tap_read(reader->tap))
			benchmark::DoNotOptimize(packet->data[0]);
	return nullptr;
}

// The worker's CPU time for a packet, or a negative number: something went wrong.
double run_tapped(unsigned sample, double *missed)
{
	struct vd_engine_options options = {};
	struct vd_engine_tap_options tap_options = {};
	struct vd_engine_tap_stats stats = {};
	struct vd_worker_stats worker = {};
	struct vd_function function = make_function("accept");
	struct tap_reader reader = {};
	struct vd_engine *engine;
	struct vd_error error;
	struct vd_port *port = make_port(0);
	pthread_t thread;

	options.default_verdict = VD_ACCEPT;
	options.fault_verdict = VD_DROP;
	options.workers = 1;
	tap_options.queue = -1;
	tap_options.sample = sample;
	tap_options.snap = 128;
	function.decide_burst = accept_all;
	if (!port || vd_engine_create(&engine, &options, &error))
		return -1;
	bool is_good = !vd_engine_add_function(engine, &function, "", &error) && !vd_engine_add_port(engine, port, &error);
	bool has_reader = is_good && sample && !vd_engine_tap_open(engine, &reader.tap, &tap_options, &error) &&
			  !pthread_create(&thread, nullptr, read_tap, &reader);

	is_good = is_good && !vd_engine_run(engine, &error) && has_answered_all(port) && (has_reader || !sample);
	if (has_reader) {
		reader.is_over = true;
		pthread_join(thread, nullptr);
		vd_engine_tap_stats(reader.tap, &stats);
		*missed = static_cast<double>(stats.missed) / static_cast<double>(stats.sampled);
		is_good = is_good && stats.matched == PACKETS;
	}
	is_good = is_good && vd_engine_worker_stats(engine, &worker, 1) == 1 && worker.cpu_ns;
	vd_engine_tap_close(reader.tap);
	vd_engine_destroy(engine);
	return is_good ? static_cast<double>(worker.cpu_ns) / static_cast<double>(PACKETS) : -1;
}

void tap(benchmark::State &state)
{
	double cpu = 0, missed = 0, share = 0;

	for (auto _ : state) {
		double used = run_tapped(static_cast<unsigned>(state.range(0)), &share);

		if (used < 0) {
			state.SkipWithError("the engine failed, or the tap did not see every packet");
			return;
		}
		state.SetIterationTime(used * 1e-9);
		cpu += used;
		missed += share;
	}
	state.counters["cpu_ns"] = cpu / static_cast<double>(state.iterations());
	state.counters["missed"] = missed / static_cast<double>(state.iterations());
}

// ---- a function that works, by several workers ----

std::uint32_t work_steps;

// Each step waits for the one before it. Not the clock is asked: a thread that waits for a CPU does not work.
[[gnu::noinline]] std::uint64_t work(std::uint64_t number)
{
	for (std::uint32_t i = 0; i < work_steps; i++) {
		number = number * 6364136223846793005u + 1442695040888963407u;
		benchmark::DoNotOptimize(number);
	}
	return number;
}

// A packet's work waits for that of the one before it, or a CPU would do both at once.
enum vd_verdict accept_after_work(struct vd_packet *packet, void *)
{
	static thread_local std::uint64_t number;

	number = work(number ^ packet->id);
	return VD_ACCEPT;
}

// How many steps take WORK_NS; the fastest of some tries, as other programs only make it slower.
std::uint32_t calibrate()
{
	double least = 1e9;

	work_steps = 1000000;
	for (unsigned i = 0; i < 20; i++) {
		double used = clock_ns(CLOCK_THREAD_CPUTIME_ID);

		benchmark::DoNotOptimize(work(i));
		least = std::min(least, clock_ns(CLOCK_THREAD_CPUTIME_ID) - used);
	}
	return static_cast<std::uint32_t>(WORK_NS * work_steps / least + 0.5);
}

void work(benchmark::State &state)
{
	static const std::uint32_t steps = calibrate();
	struct vd_function function = make_function("work");
	double cpu = 0, wall = 0;

	work_steps = steps;
	function.decide = accept_after_work;
	for (auto _ : state) {
		run used = run_engine(function, static_cast<unsigned>(state.range(0)), 0, 1);

		if (used.cpu_ns < 0) {
			state.SkipWithError("the engine failed, or did not answer every packet once");
			return;
		}
		state.SetIterationTime(used.wall_ns * 1e-9);
		cpu += used.cpu_ns;
		wall += used.wall_ns;
	}
	state.counters["cpu_ns"] = cpu / static_cast<double>(state.iterations());
	state.counters["packets_per_s"] = 1e9 * static_cast<double>(state.iterations()) / wall;
}

void work_on(std::uint32_t id)
{
	static thread_local std::uint64_t number;

	number = work(number ^ id);
}

void share(benchmark::State &state)
{
	static const std::uint32_t steps = calibrate();
	double wall = 0;

	work_steps = steps;
	for (auto _ : state) {
		struct vd_port *port = make_port(0);
		double used = clock_ns(CLOCK_MONOTONIC);
		bool is_good = port && !share_run(port, static_cast<unsigned>(state.range(0)), work_on);

		used = (clock_ns(CLOCK_MONOTONIC) - used) / static_cast<double>(PACKETS);
		is_good = is_good && has_answered_all(port);
		if (port)
			port->operations->destroy(port);
		if (!is_good)
			return state.SkipWithError("not every packet was answered once");
		state.SetIterationTime(used * 1e-9);
		wall += used;
	}
	state.counters["packets_per_s"] = 1e9 * static_cast<double>(state.iterations()) / wall;
}

// ---- first: a table of flows ----

// The worker's own clock, read at the start of the first burst behind each of two places.
struct span {
	std::uint64_t from, to; // packets that came before
	double from_ns, to_ns;
};

struct vd_function first, looks_up; // the latter is what is measured
std::uint64_t decided;
struct span span;

void pass_by(std::uint64_t &place, double &ns)
{
	if (ns || decided < place)
		return;
	place = decided;
	ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void decide_timed(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	pass_by(span.from, span.from_ns);
	pass_by(span.to, span.to_ns);
	decided += count;
	looks_up.decide_burst(packets, verdicts, count, state);
}

// ---- touch: its memory alone ----

struct places {
	struct place {
		alignas(64) std::uint32_t words[16];
	} bucket, flows[8];
};

std::size_t places_count;

int open_places(void *, void **state)
{
	std::size_t size = places_count * sizeof(struct places), page = std::size_t{2} << 20;

	size = (size + page - 1) / page * page;
	*state = std::aligned_alloc(page, size);
	if (!*state)
		return -1;
	madvise(*state, size, MADV_HUGEPAGE);
	std::memset(*state, 0, size);
	return 0;
}

void close_places(void *, void *state)
{
	std::free(state);
}

void touch_places(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	auto *table = static_cast<struct places *>(state);
	struct places *found[VD_BURST_MAX];

	for (unsigned i = 0; i < count; i++) {
		auto mixed = static_cast<std::uint32_t>(vd_packet_flow_hash(packets[i]) * UINT64_C(0x9e3779b97f4a7c15) >> 32);

		found[i] = &table[mixed * places_count >> 32];
		__builtin_prefetch(&found[i]->bucket, 1);
	}
	// what the first line says, which is nothing here, is waited for, as it tells which line is the second one
	for (unsigned i = 0; i < count; i++)
		__builtin_prefetch(&found[i]->flows[(found[i]->bucket.words[0] + vd_packet_flow_hash(packets[i])) % 8], 1);
	for (unsigned i = 0; i < count; i++) {
		found[i]->bucket.words[1]++;
		found[i]->flows[vd_packet_flow_hash(packets[i]) % 8].words[0]++;
		verdicts[i] = VD_NEXT;
	}
}

// The one that was built with this program.
bool load_first()
{
	std::string path = std::filesystem::canonical("/proc/self/exe").parent_path() / "../../functions/first.so";
	struct vd_loaded loaded;
	struct vd_error error;

	if (first.abi)
		return true;
	if (vd_load_function(path.c_str(), &loaded, &error))
		return false;
	first = *loaded.function; // its library stays
	return first.decide_burst;
}

// The first counter of `first` is that of flows that came into the table: those that had to go for others are few.
bool is_table_good(struct vd_engine *engine, unsigned flows)
{
	struct vd_function_stats stats;

	return vd_engine_function_stats(engine, &stats, 1) == 1 && stats.verdicts[VD_NEXT] == stats.packets &&
	       (!looks_up.counters || stats.counters[0] <= flows + flows / 100);
}

// ns of CPU for a packet, with what looks_up is, or a negative number: something went wrong.
double run_flows(unsigned flows, const char *arguments)
{
	const std::uint64_t packets = flows + FIRST_PACKETS;
	struct vd_engine_options options = {};
	struct vd_function function = looks_up;
	struct vd_engine *engine;
	struct vd_error error;
	struct vd_port *port = make_port(0, packets, flows);

	options.default_verdict = VD_ACCEPT;
	options.fault_verdict = VD_DROP;
	options.workers = 1;
	function.decide_burst = decide_timed;
	decided = 0;
	span = {flows, packets - VD_BURST_MAX, 0, 0};
	if (!port || vd_engine_create(&engine, &options, &error))
		return -1;
	bool is_good = !vd_engine_add_function(engine, &function, arguments, &error) &&
		       !vd_engine_add_port(engine, port, &error) && !vd_engine_run(engine, &error) &&
		       has_answered_all(port, packets) && is_table_good(engine, flows);

	vd_engine_destroy(engine);
	return is_good && span.to_ns ? (span.to_ns - span.from_ns) / static_cast<double>(span.to - span.from) : -1;
}

void measure_flows(benchmark::State &state, const char *arguments)
{
	double cpu = 0;

	for (auto _ : state) {
		double used = run_flows(static_cast<unsigned>(state.range(0)), arguments);

		if (used < 0) {
			state.SkipWithError("the engine failed, or flows were not in the table");
			return;
		}
		state.SetIterationTime(used * 1e-9);
		cpu += used;
	}
	state.counters["cpu_ns"] = cpu / static_cast<double>(state.iterations());
	state.counters["own_ns"] = cpu / static_cast<double>(state.iterations()) - port_ns();
}

void first_flows(benchmark::State &state)
{
	if (!load_first())
		return state.SkipWithError("the function first cannot be loaded");
	looks_up = first;
	measure_flows(state, FIRST_ARGUMENTS);
}

void touch(benchmark::State &state)
{
	looks_up = make_function("touch");
	looks_up.scope = VD_SCOPE_FLOW;
	looks_up.open_state = open_places;
	looks_up.close_state = close_places;
	looks_up.decide_burst = touch_places;
	places_count = FIRST_FLOWS / 8;
	measure_flows(state, "");
}

void add_workers(benchmark::internal::Benchmark *benchmark)
{
	cpu_set_t cpus;
	int count = sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : CPU_COUNT(&cpus);

	for (int workers = 1; workers <= count && workers <= VD_ENGINE_WORKERS_MAX; workers++)
		benchmark->Arg(workers);
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
BENCHMARK(tap)->ArgName("sample")->Arg(0)->Arg(100)->Arg(1)->UseManualTime()->Iterations(5)->Unit(benchmark::kNanosecond);
BENCHMARK(work)->ArgName("workers")->Apply(add_workers)->UseManualTime()->Iterations(5)->Unit(benchmark::kNanosecond);
BENCHMARK(share)->ArgName("threads")->Apply(add_workers)->UseManualTime()->Iterations(5)->Unit(benchmark::kNanosecond);
BENCHMARK(first_flows)
	->Name("first")
	->ArgName("flows")
	->Arg(1)
	->Arg(1000)
	->Arg(30000)
	->Arg(MANY_FLOWS)
	->UseManualTime()
	->Iterations(3)
	->Unit(benchmark::kNanosecond);
BENCHMARK(touch)->ArgName("flows")->Arg(1)->Arg(MANY_FLOWS)->UseManualTime()->Iterations(3)->Unit(benchmark::kNanosecond);

BENCHMARK_MAIN();
