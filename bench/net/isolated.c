/* SPDX-License-Identifier: MIT */
/*
 * isolated: an engine over packets from memory, with its function in its threads or in a process of its own, that crashes now and
 * then or not. So many packets in, as many verdicts out; what is measured is the time that took from the first call of the function
 * to the last one, and the CPU time of all processes.
 */
#include "program.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

#define FLOWS 1024

static const char usage[] =
	"usage: isolated [options]\n"
	"Has an engine decide on packets from memory, and prints JSON.\n"
	"  --isolation HOW  thread or process; default process\n"
	"  --crash N        the function crashes with every N-th packet; default: with none. Needs isolation process\n"
	"  --work NS        it takes so long for each packet; default 0\n"
	"  --workers N      threads; default: one per CPU\n"
	"  --batch N        packets in a burst; default 64\n"
	"  --count N        packets; default 2000000\n";

static struct {
	uint64_t crash, work, workers, batch, count;
	enum vd_isolation isolation;
} settings = {.batch = VD_BURST_MAX, .count = 2000000, .isolation = VD_ISOLATION_PROCESS};

/* In memory that all processes have: when the first packet was seen. */
static _Atomic uint64_t *begin_ns;

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	uint64_t none = 0;

	(void)state;
	if (!atomic_load_explicit(begin_ns, memory_order_relaxed))
		atomic_compare_exchange_strong(begin_ns, &none, now_ns());
	if (settings.work)
		for (uint64_t until = now_ns() + settings.work; now_ns() < until;)
			;
	if (settings.crash && vd_packet_id(packet) % settings.crash == settings.crash - 1)
		__builtin_trap();
	return VD_ACCEPT;
}

static const struct vd_function function = {
	.abi = VD_FUNCTION_ABI,
	.size = sizeof function,
	.name = "isolated",
	.bytes = VD_HEADERS,
	.decide = decide,
};

static void read_arguments(int argc, char **argv)
{
	enum { ISOLATION = 1, CRASH, WORK, WORKERS, BATCH, COUNT };
	static const struct option options[] = {
		{"isolation", required_argument, NULL, ISOLATION}, {"crash", required_argument, NULL, CRASH},
		{"work", required_argument, NULL, WORK}, {"workers", required_argument, NULL, WORKERS},
		{"batch", required_argument, NULL, BATCH}, {"count", required_argument, NULL, COUNT},
		{"help", no_argument, NULL, 'h'}, {0},
	};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case ISOLATION:
			if (strcmp(optarg, "thread") && strcmp(optarg, "process"))
				fail(BAD_ARGUMENT, "--isolation takes thread or process, not '%s'", optarg);
			settings.isolation = *optarg == 't' ? VD_ISOLATION_THREAD : VD_ISOLATION_PROCESS;
			break;
		case CRASH: settings.crash = number("crash", optarg, 1, UINT32_MAX); break;
		case WORK: settings.work = number("work", optarg, 0, SECOND_NS); break;
		case WORKERS: settings.workers = number("workers", optarg, 1, VD_ENGINE_WORKERS_MAX); break;
		case BATCH: settings.batch = number("batch", optarg, 1, VD_BURST_MAX); break;
		case COUNT: settings.count = number("count", optarg, 1, UINT32_MAX); break;
		}
	if (settings.crash && settings.isolation == VD_ISOLATION_THREAD)
		fail(BAD_ARGUMENT, "--crash needs --isolation process: in a thread it would be the end");
}

static double cpu_ns(int who)
{
	struct rusage usage_now;

	getrusage(who, &usage_now);
	return (double)(usage_now.ru_utime.tv_sec + usage_now.ru_stime.tv_sec) * 1e9 +
	       (double)(usage_now.ru_utime.tv_usec + usage_now.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_sim_options sim = VD_SIM_OPTIONS_INIT;
	struct vd_function_stats stats;
	struct vd_queue_stats queue;
	struct vd_host_stats host;
	struct vd_engine *engine;
	struct vd_error error;
	struct vd_port *port;
	uint64_t took_ns;
	double cpu;

	read_arguments(argc, argv);
	begin_ns = mmap(NULL, sizeof *begin_ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (begin_ns == MAP_FAILED)
		fail(FAILED, "out of memory");
	sim.bench = true;
	sim.packets = settings.count;
	sim.flows = FLOWS;
	options.isolation = settings.isolation;
	options.workers = (unsigned)settings.workers;
	options.batch = (unsigned)settings.batch;
	if (vd_port_sim_create(&port, &sim))
		fail(FAILED, "out of memory");
	if (vd_engine_create(&engine, &options, &error) || vd_engine_add_function(engine, &function, "", &error) ||
	    vd_engine_add_port(engine, port, &error))
		fail(FAILED, "%s", error.text);
	cpu = cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN);
	if (vd_engine_run(engine, &error))
		fail(FAILED, "%s", error.text);
	took_ns = now_ns() - atomic_load(begin_ns);
	cpu = cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN) - cpu;
	vd_engine_function_stats(engine, &stats, 1);
	vd_engine_queue_stats(engine, &queue, 1);
	vd_engine_host_stats(engine, &host);
	vd_engine_destroy(engine);
	if (stats.verdicts[VD_ACCEPT] + stats.crashes + queue.without_host != settings.count)
		fail(FAILED, "of %" PRIu64 " packets only %" PRIu64 " were accepted", settings.count, stats.verdicts[VD_ACCEPT]);
	printf("{\"packets\":%" PRIu64 ",\"crashes\":%" PRIu64 ",\"without_host\":%" PRIu64 ",\"restarts\":%" PRIu64
	       ",\"ns_per_packet\":%.1f,\"cpu_ns_per_packet\":%.1f}\n", settings.count, stats.crashes, queue.without_host, host.restarts,
	       (double)took_ns / (double)settings.count, cpu / (double)settings.count);
	return 0;
}
