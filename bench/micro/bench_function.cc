// SPDX-License-Identifier: MIT
//
// What calling functions costs for one packet, by engine/chain.c: the functions do nothing.
//
//	call/FORM/SCOPE/functions:N/burst:B	FORM: decide or decide_burst; SCOPE: shared, worker, flow, or flow_dealt, where
//						each packet of a burst meets another state than the one before it
//	call/none/burst:B			a chain without functions: every packet gets the default verdict
//
// The packets are in the cache, branches are foreseen.
#include <cstdint>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench/micro/function.h"

namespace {

constexpr unsigned COUNTS[] = {1, 4, 16};
constexpr unsigned BURSTS[] = {1, VD_BURST_MAX};
constexpr unsigned SHARDS = 8; // as engines of two workers have

struct scope {
	const char *name;
	enum vd_scope scope;
	unsigned shards;
};

const struct scope SCOPES[] = {
	{"shared", VD_SCOPE_SHARED, 1},
	{"worker", VD_SCOPE_WORKER, 1},
	{"flow", VD_SCOPE_FLOW, 1},
	{"flow_dealt", VD_SCOPE_FLOW, SHARDS},
};

void call(benchmark::State &state, struct call_shape shape, unsigned burst)
{
	if (!call_open(&shape))
		return state.SkipWithError("the chain cannot be opened");
	while (state.KeepRunningBatch(burst))
		call_decide(burst);
	if (!call_has_decided(static_cast<std::uint64_t>(state.iterations()), burst))
		state.SkipWithError("not every packet met every function");
	call_close();
}

void add(const std::string &name, const struct call_shape &shape)
{
	for (unsigned burst : BURSTS)
		benchmark::RegisterBenchmark(("call/" + name + "/burst:" + std::to_string(burst)).c_str(), call, shape, burst);
}

} // namespace

int main(int argc, char **argv)
{
	std::vector<char *> arguments(argv, argv + argc);
	char by_turns[] = "--benchmark_enable_random_interleaving=true";
	int count = argc + 1;

	add("none", {0, false, VD_SCOPE_SHARED, 1});
	for (bool is_burst : {false, true})
		for (const struct scope &scope : SCOPES)
			for (unsigned functions : COUNTS)
				add(std::string(is_burst ? "decide_burst" : "decide") + "/" + scope.name + "/functions:" +
					    std::to_string(functions),
				    {functions, is_burst, scope.scope, scope.shards});
	arguments.insert(arguments.begin() + 1, by_turns);
	arguments.push_back(nullptr);
	benchmark::Initialize(&count, arguments.data());
	if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
