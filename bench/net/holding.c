/* SPDX-License-Identifier: MIT */
/*
 * holding: how fast packets get through while others are held. It is the engine with a function that holds the first --held
 * packets, for longer than it runs, and accepts all others.
 */
#include "engine.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <unistd.h>

static const char usage[] =
	"usage: holding [options]\n"
	"Holds the first packets of a netfilter queue, accepts those behind them, and prints as JSON how many a second got through\n"
	"meanwhile, and what the held ones take of memory.\n"
	"  --queue N   default 0\n"
	"  --held N    packets that are held; default 1000\n"
	"  --count N   packets that are accepted then; default 1000000\n";

struct settings {
	unsigned queue;
	uint32_t held;
	uint64_t count;
};

static struct settings settings = {.held = 1000, .count = 1000000};
static _Atomic uint64_t seen; /* relaxed: only who meets one of its marks writes what belongs to it */
static uint64_t begin_ns, end_ns;
static long resident_before, resident_held;

static long resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long size, resident = 0;

	if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
		fail(FAILED, "/proc/self/statm cannot be read");
	fclose(file);
	return resident * sysconf(_SC_PAGESIZE);
}

static enum vd_verdict hold_first(struct vd_packet *packet, void *state)
{
	static const struct vd_hold hold = {.deadline_ms = VD_HOLD_DEADLINE_MS_MAX, .verdict = VD_DROP};
	uint64_t nth = atomic_fetch_add_explicit(&seen, 1, memory_order_relaxed), ticket;

	(void)state;
	if (nth == 0)
		resident_before = resident_bytes();
	if (nth < settings.held)
		return vd_packet_hold(packet, &hold, &ticket);
	if (nth == settings.held) {
		resident_held = resident_bytes();
		begin_ns = now_ns();
	}
	if (nth == settings.held + settings.count) {
		end_ns = now_ns();
		vd_engine_stop(engine);
	}
	return VD_ACCEPT;
}

static const struct vd_function function = {
	.abi = VD_FUNCTION_ABI,
	.size = sizeof function,
	.name = "hold-first",
	.bytes = VD_HEADERS,
	.needs = VD_NEEDS_HOLD,
	.decide = hold_first,
};

static void read_arguments(int argc, char **argv)
{
	enum { QUEUE = 1, HELD, COUNT };
	static const struct option options[] = {
		{"queue", required_argument, NULL, QUEUE}, {"held", required_argument, NULL, HELD},
		{"count", required_argument, NULL, COUNT}, {"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case QUEUE: settings.queue = (unsigned)number("queue", optarg, 0, 65535); break;
		case HELD: settings.held = (uint32_t)number("held", optarg, 0, VD_ENGINE_HELD_MAX_MAX); break;
		case COUNT: settings.count = number("count", optarg, 1, UINT32_MAX); break;
		}
}

int main(int argc, char **argv)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_queue_stats stats;

	read_arguments(argc, argv);
	options.held_max = settings.held;
	options.maxlen = settings.held + VD_ENGINE_MAXLEN_DEFAULT;
	run_engine(&options, &function, settings.queue);
	vd_engine_queue_stats(engine, &stats, 1);
	if (!end_ns)
		fail(FAILED, "it was to accept %" PRIu64 " packets behind the %u that it holds, but only %" PRIu64 " came",
		     settings.count, settings.held, seen);
	if (stats.held_ever != settings.held)
		fail(FAILED, "only %" PRIu64 " packets were held", stats.held_ever);
	printf("{\"held\":%u,\"packets\":%" PRIu64 ",\"packets_per_second\":%.0f,\"bytes_each\":%.0f}\n", settings.held, settings.count,
	       (double)settings.count * 1e9 / (double)(end_ns - begin_ns),
	       settings.held ? (double)(resident_held - resident_before) / settings.held : 0.0);
	vd_engine_destroy(engine);
	return 0;
}
