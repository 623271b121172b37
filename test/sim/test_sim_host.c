/* SPDX-License-Identifier: MIT */
/*
 * Functions in processes of their own, over a simulated queue that knows what the verdict of each packet has to be: whatever a
 * function does on some packets, these get the fault verdict, all others are decided as they should be, each once, and all of it
 * is counted to the packet.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

#define PACKETS 24000
#define FLOWS 64

/* A bad packet, and then so many good ones: between two of them a host decides more than are too few (host_nursery.c). */
#define EVERY 4000

/* Nothing is bad there. */
#define INNOCENT_QUEUE 77

/* How long a packet waits for company, which it has not when its burst is tried alone. */
#define COMPANY_MS 100

#ifdef __SANITIZE_THREAD__
/* Hosts are made by a process that was forked by one with threads; and how many end. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0:atexit_sleep_ms=0";
}
#endif

#ifdef __SANITIZE_ADDRESS__
/* What crashes here is meant to. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0:handle_sigbus=0";
}
#endif

/* What a function does on a bad packet. */
enum deed {
	NOTHING, SEGFAULT, ABORT, TRAP, DIVIDE, EXIT, RAISE_BUS, RAISE_TRAP, HANG, OVERFLOW, NO_VERDICT,
	EXIT_IN_COMPANY, /* when another packet is with a function of the same process */
	SCRIBBLE,	 /* over what is behind the packet */
	SCRIBBLE_BACK,	 /* and what is in front of it: the mailbox, which says where the thread stands */
	LIE,		 /* as long as it lives its answers cannot be believed */
};

/* Seen by the test and by all processes. */
static struct {
	_Atomic int host;	/* one that decides */
	_Atomic unsigned opened, closed, states_closed;
	_Atomic unsigned opener; /* the process in which it opened */
	_Atomic unsigned decider;
	_Atomic int bad_host, good_host; /* where a packet is that waits for the other */
	_Atomic unsigned met;
	_Atomic unsigned shared_mappings; /* that a host does not have */
} *common;

static struct {
	enum deed deed;
	struct vd_engine *engine;
	struct vd_port *port;
	struct vd_error error;
	struct vd_function_stats functions[3];
	struct vd_queue_stats queue;
	struct vd_host_stats host;
	_Atomic unsigned culprits, wrong_culprits;
	_Atomic unsigned lines;
	char line[512];
	bool all_are_bad, faults_are_drops;
	_Atomic bool has_ended;
} run;

static bool is_bad(const struct vd_packet *packet)
{
	uint32_t nth = vd_sim_packet_index(packet) % EVERY;

	if (run.deed == EXIT_IN_COMPANY) /* two, in bursts one after the other */
		return packet->queue != INNOCENT_QUEUE && (nth == EVERY - 1 || nth == EVERY - 1 - VD_BURST_MAX);
	return run.all_are_bad || nth == EVERY - 1;
}

static enum vd_verdict right_verdict(const struct vd_packet *packet)
{
	return vd_sim_packet_index(packet) * 2654435761u >> 31 ? VD_ACCEPT : VD_DROP;
}

/* ---- functions ---- */

static volatile int zero;

/* Its argument is never 0, which the compiler does not know. */
__attribute__((noinline)) static unsigned overflow(volatile unsigned *depth)
{
	volatile unsigned room[1024] = {0};

	room[0] = *depth + 1;
	return room[0] ? overflow(&room[0]) + room[0] : 0;
}

/* Over everything that can be written to, as far as there is something; ends by itself, with an answer or without. */
static void scribble(struct vd_packet *packet)
{
	uint8_t *bytes = (uint8_t *)packet;

	memset(bytes, 0x5a, 1u << 20);
}

__attribute__((no_sanitize("address", "thread"))) static void scribble_back(struct vd_packet *packet)
{
	volatile uint8_t *bytes = (uint8_t *)packet;

	for (unsigned i = 0; i < 1u << 28; i++) /* until it comes to what is not there */
		*--bytes = 0x5a;
}

/* True: there is somebody. */
static bool wait_for_company(_Atomic int *host)
{
	for (unsigned ms = 0; ms < COMPANY_MS; ms++) {
		if (atomic_load(host) == getpid())
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

/* It takes its time, so that there is somebody. */
static void keep_company(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
	if (atomic_load(&common->bad_host) != getpid())
		return;
	atomic_store(&common->good_host, getpid());
	for (unsigned ms = 0; ms < COMPANY_MS; ms++) /* that is its end */
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void exit_in_company(void)
{
	atomic_store(&common->bad_host, getpid());
	if (wait_for_company(&common->good_host))
		atomic_fetch_add(&common->met, 1);
	_exit(3);
}

__attribute__((no_sanitize("undefined"))) static void do_it(struct vd_packet *packet)
{
	volatile unsigned depth = 0;

	switch (run.deed) {
	case SEGFAULT:
		*(volatile int *)(uintptr_t)zero = 1;
		break;
	case ABORT:
		abort();
	case TRAP:
		__builtin_trap();
	case DIVIDE:
		zero = 1 / zero;
		raise(SIGFPE); /* where that is defined: arm64 */
		break;
	case EXIT:
		_exit(3);
	case EXIT_IN_COMPANY:
		exit_in_company();
		break;
	case RAISE_BUS:
		raise(SIGBUS);
		break;
	case RAISE_TRAP:
		raise(SIGTRAP);
		break;
	case HANG:
		for (;;)
			pause();
	case OVERFLOW:
		overflow(&depth);
		break;
	case SCRIBBLE:
		scribble(packet);
		break;
	case SCRIBBLE_BACK:
		scribble_back(packet);
		break;
	case LIE:
		packet->message_offset += 4;
		break;
	default:
		break;
	}
}

static int open_deed(struct vd_open *open, void **shared)
{
	(void)open;
	atomic_fetch_add(&common->opened, 1);
	atomic_store(&common->opener, (unsigned)getpid());
	*shared = calloc(1, 1);
	return 0;
}

static void close_deed(void *shared)
{
	atomic_fetch_add(&common->closed, 1);
	free(shared);
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	(void)state;
	vd_count(packet, 0, 1);
	atomic_store_explicit(&common->host, getpid(), memory_order_relaxed);
	if (run.deed == EXIT_IN_COMPANY && packet->queue == INNOCENT_QUEUE)
		keep_company();
	if (is_bad(packet)) {
		do_it(packet);
		if (run.deed == NO_VERDICT)
			return (enum vd_verdict)(VD_VERDICT_COUNT + 77);
	}
	return right_verdict(packet);
}

static void decide_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	for (unsigned i = 0; i < count; i++)
		verdicts[i] = decide(packets[i], state);
}

/* A table of flows, which knows that its packets come in order. */
struct table {
	unsigned packets;
	uint32_t last[FLOWS];
};

static int open_table(void *shared, void **state)
{
	(void)shared;
	*state = calloc(1, sizeof(struct table));
	return 0;
}

static void close_table(void *shared, void *state)
{
	(void)shared;
	atomic_fetch_add(&common->states_closed, 1);
	free(state);
}

static enum vd_verdict keep_order(struct vd_packet *packet, void *state)
{
	struct table *table = state;
	uint32_t flow = vd_sim_packet_flow(packet), index = vd_sim_packet_index(packet);

	table->packets++;
	if (flow < FLOWS) {
		if (table->last[flow] > index)
			vd_count(packet, 0, 1);
		table->last[flow] = index;
	}
	return VD_NEXT;
}

static const char *const CALLS[] = {"calls", NULL};
static const char *const OVERTAKEN[] = {"overtaken", NULL};

#define FUNCTION(NAME, ...) {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = NAME, .bytes = VD_HEADERS, __VA_ARGS__}
static const struct vd_function ONE_BY_ONE = FUNCTION("deed", .counters = CALLS, .open = open_deed, .close = close_deed, .decide = decide);
static const struct vd_function IN_BURSTS = FUNCTION("deeds", .counters = CALLS, .open = open_deed, .close = close_deed,
						     .decide_burst = decide_burst);
static const struct vd_function TABLE = FUNCTION("table", .counters = OVERTAKEN, .scope = VD_SCOPE_FLOW, .open_state = open_table,
						 .close_state = close_table, .decide = keep_order);

/* ---- a run ---- */

static enum vd_verdict expect(const struct vd_packet *packet, void *argument)
{
	(void)argument;
	/* which packets of a burst it hits, nobody knows */
	if ((run.deed == SCRIBBLE || run.deed == SCRIBBLE_BACK) && packet->verdict == VD_ACCEPT)
		return VD_ACCEPT;
	if (run.faults_are_drops)
		return VD_DROP;
	return is_bad(packet) && run.deed != NOTHING ? VD_ACCEPT : right_verdict(packet);
}

static void take_culprit(void *argument, const struct vd_packet *packet, const char *function, const char *reason)
{
	(void)argument;
	atomic_fetch_add(&run.culprits, 1);
	/* of an answer that is none it is not known which function it was: the first one stands for all */
	if (!is_bad(packet) || strncmp(function, run.deed == LIE ? "tabl" : "deed", 4) || !*reason)
		atomic_fetch_add(&run.wrong_culprits, 1);
}

static void take_line(void *argument, const char *line)
{
	(void)argument;
	if (!atomic_fetch_add(&run.lines, 1))
		snprintf(run.line, sizeof run.line, "%s", line);
}

static int set_up(void **state)
{
	(void)state;
	common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return common == MAP_FAILED ? -1 : 0;
}

static struct vd_engine_options default_options(void)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	options.isolation = VD_ISOLATION_PROCESS;
	options.fault_verdict = VD_ACCEPT;
	options.default_verdict = VD_DROP;
	options.workers = 2;
	options.maxlen = 65536;
	options.deadline_us = 5000000; /* a machine that has other things to do, too */
	options.culprit = take_culprit;
	options.log = take_line;
	return options;
}

static void make(const struct vd_engine_options *options, enum deed deed, const struct vd_function *function, uint64_t packets)
{
	struct vd_sim_options sim = VD_SIM_OPTIONS_INIT;

	memset(&run, 0, sizeof run);
	memset(common, 0, sizeof *common);
	run.deed = deed;
	sim.packets = packets;
	sim.flows = FLOWS;
	sim.expect = expect;
	assert_int_equal(vd_port_sim_create(&run.port, &sim), 0);
	if (vd_engine_create(&run.engine, options, &run.error) ||
	    vd_engine_add_function(run.engine, &TABLE, "", &run.error) ||
	    vd_engine_add_function(run.engine, function, "", &run.error) ||
	    vd_engine_add_port(run.engine, run.port, &run.error))
		fail_msg("%s", run.error.text);
}

/* Every packet has had its verdict, once. */
static void look_at_accounts(uint64_t packets)
{
	struct vd_sim_report report;

	vd_port_sim_report(run.port, &report);
	if (report.violations)
		fail_msg("%s", report.first_violation);
	assert_int_equal(report.handed_up, report.answered);
	assert_int_equal(report.handed_up + report.queue_dropped, packets);
	assert_int_equal(vd_engine_function_stats(run.engine, run.functions, 3), 2);
	assert_int_equal(vd_engine_queue_stats(run.engine, &run.queue, 1), 1);
	vd_engine_host_stats(run.engine, &run.host);
	assert_int_equal(run.queue.received, report.handed_up);
}

static void go(uint64_t packets)
{
	if (vd_engine_run(run.engine, &run.error))
		fail_msg("%s", run.error.text);
	look_at_accounts(packets);
}

static void end(void)
{
	vd_engine_destroy(run.engine);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no process is left behind */
	assert_int_equal(errno, ECHILD);
}

/* Of those that came to the functions. */
static void look_at_functions(uint64_t bad, uint64_t crashes, uint64_t hangs)
{
	const struct vd_function_stats *table = &run.functions[0], *deed = &run.functions[1];
	uint64_t all = run.queue.received;

	assert_int_equal(run.queue.without_host, 0);
	assert_int_equal(run.queue.faults, bad);
	assert_int_equal(table->packets, all);
	assert_int_equal(table->verdicts[VD_NEXT], all);
	assert_int_equal(table->faults, 0);
	assert_int_equal(table->counters[0], 0);
	assert_int_equal(deed->packets, all);
	assert_int_equal(deed->faults, bad);
	assert_int_equal(deed->crashes, crashes);
	assert_int_equal(deed->hangs, hangs);
	assert_int_equal(deed->verdicts[VD_ACCEPT] + deed->verdicts[VD_DROP], all - bad);
	/* a burst that was decided anew is counted once */
	assert_int_equal(deed->counters[0], all - crashes - hangs);
	assert_int_equal(atomic_load(&run.culprits), crashes + hangs);
	assert_int_equal(atomic_load(&run.wrong_culprits), 0);
}

/* ---- tests ---- */

static void functions_run_elsewhere(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 3; workers++) {
		struct vd_engine_options options = default_options();

		options.workers = workers;
		options.writers = workers == 3;
		make(&options, NOTHING, &ONE_BY_ONE, PACKETS);
		go(PACKETS);
		look_at_functions(0, 0, 0);
		assert_true(run.host.is_isolated);
		assert_int_equal(run.host.restarts, 0);
		assert_int_equal(atomic_load(&common->opened), 1);
		assert_int_equal(atomic_load(&common->closed), 1);
		assert_true(atomic_load(&common->states_closed) > 0);
		assert_int_not_equal(atomic_load(&common->opener), getpid());
		assert_int_not_equal(atomic_load(&common->host), getpid());
		assert_int_not_equal(atomic_load(&common->host), (int)atomic_load(&common->opener));
		end();
	}
}

static void crash(enum deed deed, const struct vd_function *function, uint64_t packets, bool hangs, const char *said)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		struct vd_engine_options options = default_options();
		uint64_t bad = packets / EVERY;

		options.workers = workers;
		if (hangs)
			options.deadline_us = 1000000;
		make(&options, deed, function, packets);
		go(packets);
		assert_int_equal(run.queue.received, packets); /* the queue is long enough */
		look_at_functions(bad, hangs ? 0 : bad, hangs ? bad : 0);
		if (!strstr(run.line, said))
			fail_msg("it says '%s', not '%s'", run.line, said);
		assert_true(run.host.restarts >= bad);
		end();
	}
}

static void crashes_cost_one_packet(void **state)
{
	(void)state;
	crash(SEGFAULT, &ONE_BY_ONE, PACKETS, false, "function deed crashed (Segmentation fault)");
	crash(ABORT, &ONE_BY_ONE, PACKETS, false, "function deed crashed (Aborted)");
	crash(TRAP, &ONE_BY_ONE, PACKETS, false, "function deed crashed (");
	crash(DIVIDE, &ONE_BY_ONE, PACKETS, false, "function deed crashed (");
	crash(RAISE_BUS, &ONE_BY_ONE, PACKETS, false, "function deed crashed (Bus error)");
	crash(RAISE_TRAP, &ONE_BY_ONE, PACKETS, false, "function deed crashed (Trace/breakpoint trap)");
	crash(OVERFLOW, &ONE_BY_ONE, PACKETS, false, "function deed crashed (Segmentation fault)");
}

static void an_exit_costs_one_packet(void **state)
{
	(void)state;
	crash(EXIT, &ONE_BY_ONE, PACKETS, false, "function deed ended its process (exit code 3)");
}

static void a_hang_costs_one_packet(void **state)
{
	(void)state;
	crash(HANG, &ONE_BY_ONE, 2 * EVERY, true, "function deed gave no answer within 1 s");
}

static void in_bursts_too(void **state)
{
	(void)state;
	crash(SEGFAULT, &IN_BURSTS, PACKETS, false, "function deeds crashed (Segmentation fault)");
	crash(EXIT, &IN_BURSTS, PACKETS, false, "function deeds ended its process (exit code 3)");
	crash(HANG, &IN_BURSTS, 1 * EVERY, true, "function deeds gave no answer within 1 s");
}

static void no_verdict_is_a_fault_as_ever(void **state)
{
	struct vd_engine_options options = default_options();

	(void)state;
	make(&options, NO_VERDICT, &ONE_BY_ONE, PACKETS);
	go(PACKETS);
	look_at_functions(PACKETS / EVERY, 0, 0);
	assert_int_equal(run.host.restarts, 0);
	end();
}

/* A process that writes over all that it reaches may spoil its burst; nothing else, and the engine never. */
static void scribbling_harms_nobody_else(void **state)
{
	struct vd_engine_options options = default_options();

	(void)state;
	options.fault_verdict = VD_ACCEPT;
	options.culprit = NULL;
	make(&options, SCRIBBLE, &ONE_BY_ONE, PACKETS);
	go(PACKETS);
	assert_true(run.queue.faults >= PACKETS / EVERY);
	assert_true(run.queue.faults <= PACKETS / EVERY * 4);
	assert_true(run.host.restarts > 0);
	end();
}

/*
 * Also over all of the mailbox: what that says of the culprit is not believed, and the engine lives. Until the packet is found several
 * hosts have died, and the pause is long; so how many others are not decided on is a matter of luck.
 */
static void scribbling_over_a_mailbox_is_survived(void **state)
{
	struct vd_engine_options options = default_options();

	(void)state;
	for (options.workers = 1; options.workers <= 2; options.workers++) {
		make(&options, SCRIBBLE_BACK, &ONE_BY_ONE, PACKETS);
		go(PACKETS);
		assert_true(run.queue.faults + run.queue.without_host > 0);
		assert_true(run.host.restarts > 0);
		end();
	}
}

/* An answer that cannot be believed is the last one of its process; the packet is found by asking for each alone. */
static void a_lie_costs_one_packet(void **state)
{
	const uint64_t bad = PACKETS / EVERY;

	(void)state;
	for (unsigned workers = 1; workers <= 2; workers++) {
		struct vd_engine_options options = default_options();
		const struct vd_function_stats *table = &run.functions[0];

		options.workers = workers;
		make(&options, LIE, &ONE_BY_ONE, PACKETS);
		go(PACKETS);
		assert_int_equal(run.queue.faults, bad);
		assert_int_equal(run.queue.without_host, 0);
		assert_int_equal(table->crashes, bad);
		assert_int_equal(atomic_load(&run.culprits), bad);
		assert_int_equal(atomic_load(&run.wrong_culprits), 0);
		if (!strstr(run.line, "function table or one behind it wrote over what is not its own"))
			fail_msg("it says '%s'", run.line);
		assert_true(run.host.restarts >= 2 * bad);
		end();
	}
}

/*
 * Two workers' packets are in a process when one of them ends it, and nobody says which: the other one is not guilty. Nor is it when
 * it is tried, and the first worker has the next bad packet.
 */
static void who_was_only_there_is_not_guilty(void **state)
{
	struct vd_engine_options options = default_options();
	struct vd_sim_options sim = VD_SIM_OPTIONS_INIT;
	struct vd_queue_stats queues[2];
	struct vd_sim_report report;
	struct vd_port *innocent;

	(void)state;
	make(&options, EXIT_IN_COMPANY, &ONE_BY_ONE, 3 * EVERY);
	sim.queue = INNOCENT_QUEUE;
	sim.packets = 3 * EVERY;
	sim.flows = FLOWS;
	sim.expect = expect;
	assert_int_equal(vd_port_sim_create(&innocent, &sim), 0);
	assert_int_equal(vd_engine_add_port(run.engine, innocent, &run.error), 0);
	if (vd_engine_run(run.engine, &run.error))
		fail_msg("%s", run.error.text);
	assert_int_equal(vd_engine_queue_stats(run.engine, queues, 2), 2);
	for (unsigned i = 0; i < 2; i++) {
		vd_port_sim_report(i ? innocent : run.port, &report);
		if (report.violations)
			fail_msg("%s", report.first_violation);
		assert_int_equal(report.handed_up, report.answered);
		assert_int_equal(queues[i].faults, i ? 0 : 6);
		assert_int_equal(queues[i].without_host, 0);
	}
	assert_int_equal(atomic_load(&run.culprits), 6);
	assert_int_equal(atomic_load(&run.wrong_culprits), 0);
	assert_true(atomic_load(&common->met) > 0);
	end();
}

/* Memory that processes share: of what there is when functions open, hosts do not have the page by which the nursery is told. */
static unsigned count_shared_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned count = 0;

	while (maps && fgets(line, sizeof line, maps))
		count += strstr(line, "/dev/zero (deleted)") != NULL;
	if (maps)
		fclose(maps);
	return count;
}

static unsigned mappings_at_open;

static int count_at_open(struct vd_open *open, void **shared)
{
	(void)open;
	(void)shared;
	mappings_at_open = count_shared_mappings();
	return 0;
}

static enum vd_verdict count_in_host(struct vd_packet *packet, void *state)
{
	(void)state;
	if (!atomic_load(&common->shared_mappings))
		atomic_store(&common->shared_mappings, mappings_at_open - count_shared_mappings());
	return right_verdict(packet);
}

static void the_control_page_is_out_of_reach(void **state)
{
	static const struct vd_function COUNTS = FUNCTION("counts", .open = count_at_open, .decide = count_in_host);
	struct vd_engine_options options = default_options();

	(void)state;
	options.workers = 1;
	make(&options, NOTHING, &COUNTS, 10);
	go(10);
	assert_int_equal(atomic_load(&common->shared_mappings), 1);
	end();
}

/* With every packet: hosts come more and more seldom, and packets do not wait for them. */
static void there_is_no_hurry_with_hopeless_functions(void **state)
{
	struct vd_engine_options options = default_options();
	struct vd_sim_report report;
	const struct vd_function_stats *deed = &run.functions[1];

	(void)state;
	make(&options, ABORT, &ONE_BY_ONE, PACKETS);
	run.all_are_bad = true;
	go(PACKETS);
	vd_port_sim_report(run.port, &report);
	assert_int_equal(report.verdicts[VD_ACCEPT], PACKETS);
	assert_int_equal(run.queue.faults + run.queue.without_host, PACKETS);
	assert_int_equal(run.queue.faults, deed->crashes);
	assert_true(run.queue.without_host > PACKETS / 2);
	assert_int_equal(run.queue.drops[VD_CAUSE_NO_HOST] + run.queue.drops[VD_CAUSE_FAULT], 0);
	end();
	options.fault_verdict = VD_DROP;
	make(&options, ABORT, &ONE_BY_ONE, PACKETS);
	run.all_are_bad = run.faults_are_drops = true;
	go(PACKETS);
	assert_int_equal(run.queue.drops[VD_CAUSE_NO_HOST], run.queue.without_host);
	assert_int_equal(run.queue.drops[VD_CAUSE_FAULT], run.queue.faults);
	assert_int_equal(run.queue.without_host + run.queue.faults, PACKETS);
	end();
}

static void *kill_hosts(void *argument)
{
	(void)argument;
	while (!atomic_load(&run.has_ended)) {
		int host = atomic_exchange(&common->host, 0);

		if (host)
			kill(host, SIGKILL);
		nanosleep(&(struct timespec){.tv_nsec = host ? 200000000 : 1000000}, NULL);
	}
	return NULL;
}

/* From outside, at any moment: nobody is guilty, as long as there is time between two of them. */
static void killed_processes_cost_nothing(void **state)
{
	struct vd_engine_options options = default_options();
	const uint64_t packets = 400000;
	pthread_t killer;

	(void)state;
	make(&options, NOTHING, &ONE_BY_ONE, packets);
	assert_int_equal(pthread_create(&killer, NULL, kill_hosts, NULL), 0);
	go(packets);
	atomic_store(&run.has_ended, true);
	pthread_join(killer, NULL);
	look_at_functions(0, 0, 0);
	assert_true(run.host.restarts > 0);
	end();
}

static int crash_in_open(struct vd_open *open, void **shared)
{
	(void)open;
	(void)shared;
	_exit(5);
}

static int refuse_to_open(struct vd_open *open, void **shared)
{
	(void)shared;
	return vd_open_error(open, "not today");
}

static int start_a_thread(struct vd_open *open, void **shared)
{
	static pthread_t thread;

	(void)open;
	(void)shared;
	return -pthread_create(&thread, NULL, kill_hosts, NULL);
}

/* What fails, fails before the first packet, with a sentence, and leaves nothing behind. */
static void what_cannot_open_says_why(void **state)
{
	static const struct vd_function WRONG[] = {FUNCTION("exits", .open = crash_in_open, .decide = decide),
						   FUNCTION("refuses", .open = refuse_to_open, .decide = decide),
						   FUNCTION("threads", .open = start_a_thread, .decide = decide),
						   FUNCTION("holds", .needs = VD_NEEDS_HOLD, .decide = decide)};
	static const char *const SENTENCES[] = {"a function ended its process while it was opened (exit code 5)", "function refuses: not today",
						"a function starts threads when it is opened",
						"function holds holds packets, which cannot be done from a process of its own"};

	(void)state;
	for (unsigned i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
		struct vd_engine_options options = default_options();

		make(&options, NOTHING, &WRONG[i], 10);
		assert_int_not_equal(vd_engine_run(run.engine, &run.error), 0);
		if (!strstr(run.error.text, SENTENCES[i]))
			fail_msg("it says '%s', not '%s'", run.error.text, SENTENCES[i]);
		end();
	}
}

static void options_have_ranges(void **state)
{
	static const uint32_t WRONG[] = {1, VD_ENGINE_DEADLINE_MIN_US - 1, VD_ENGINE_DEADLINE_MAX_US + 1};
	struct vd_engine_options options = default_options();

	(void)state;
	for (unsigned i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
		options.deadline_us = WRONG[i];
		assert_int_equal(vd_engine_create(&run.engine, &options, &run.error), -EINVAL);
	}
	options = default_options();
	options.isolation = (enum vd_isolation)2;
	assert_int_equal(vd_engine_create(&run.engine, &options, &run.error), -EINVAL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(functions_run_elsewhere),
	cmocka_unit_test(crashes_cost_one_packet),
	cmocka_unit_test(an_exit_costs_one_packet),
	cmocka_unit_test(a_hang_costs_one_packet),
	cmocka_unit_test(in_bursts_too),
	cmocka_unit_test(no_verdict_is_a_fault_as_ever),
	cmocka_unit_test(scribbling_harms_nobody_else),
	cmocka_unit_test(scribbling_over_a_mailbox_is_survived),
	cmocka_unit_test(a_lie_costs_one_packet),
	cmocka_unit_test(who_was_only_there_is_not_guilty),
	cmocka_unit_test(the_control_page_is_out_of_reach),
	cmocka_unit_test(there_is_no_hurry_with_hopeless_functions),
	cmocka_unit_test(killed_processes_cost_nothing),
	cmocka_unit_test(what_cannot_open_says_why),
	cmocka_unit_test(options_have_ranges),
};

int main(void)
{
	return cmocka_run_group_tests(tests, set_up, NULL);
}
