/* SPDX-License-Identifier: MIT */
#include "isolated.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* How long a packet waits for company, which it has not when its burst is tried alone. */
#define COMPANY_MS 100

struct isolated_common *isolated_common;
struct isolated isolated;

bool isolated_is_bad(const struct vd_packet *packet)
{
	uint32_t nth = vd_sim_packet_index(packet) % ISOLATED_EVERY;

	if (isolated.deed == DEED_EXIT_IN_COMPANY) /* two, in bursts one after the other */
		return packet->queue != ISOLATED_INNOCENT_QUEUE && (nth == ISOLATED_EVERY - 1 || nth == ISOLATED_EVERY - 1 - VD_BURST_MAX);
	return isolated.all_are_bad || nth == ISOLATED_EVERY - 1;
}

enum vd_verdict isolated_right_verdict(const struct vd_packet *packet)
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

	for (unsigned i = 0; i < 1u << 18; i++) /* a burst's packets, and what is in front of them */
		*--bytes = 0x5a;
	abort();
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
	if (atomic_load(&isolated_common->bad_host) != getpid())
		return;
	atomic_store(&isolated_common->good_host, getpid());
	for (unsigned ms = 0; ms < COMPANY_MS; ms++) /* that is its end */
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void exit_in_company(void)
{
	atomic_store(&isolated_common->bad_host, getpid());
	if (wait_for_company(&isolated_common->good_host))
		atomic_fetch_add(&isolated_common->met, 1);
	_exit(3);
}

__attribute__((no_sanitize("undefined"))) static void do_it(struct vd_packet *packet)
{
	volatile unsigned depth = 0;

	switch (isolated.deed) {
	case DEED_SEGFAULT:
		*(volatile int *)(uintptr_t)zero = 1;
		break;
	case DEED_ABORT:
		abort();
	case DEED_TRAP:
		__builtin_trap();
	case DEED_DIVIDE:
		zero = 1 / zero;
		raise(SIGFPE); /* where that is defined: arm64 */
		break;
	case DEED_EXIT:
		_exit(3);
	case DEED_EXIT_IN_COMPANY:
		exit_in_company();
		break;
	case DEED_RAISE_BUS:
		raise(SIGBUS);
		break;
	case DEED_RAISE_TRAP:
		raise(SIGTRAP);
		break;
	case DEED_HANG:
		for (;;)
			pause();
	case DEED_OVERFLOW:
		overflow(&depth);
		break;
	case DEED_SCRIBBLE:
		scribble(packet);
		break;
	case DEED_SCRIBBLE_BACK:
		scribble_back(packet);
		break;
	case DEED_LIE:
		packet->message_offset += 4;
		break;
	default:
		break;
	}
}

static int open_deed(struct vd_open *open, void **shared)
{
	(void)open;
	atomic_fetch_add(&isolated_common->opened, 1);
	atomic_store(&isolated_common->opener, (unsigned)getpid());
	*shared = calloc(1, 1);
	return 0;
}

static void close_deed(void *shared)
{
	atomic_fetch_add(&isolated_common->closed, 1);
	free(shared);
}

enum vd_verdict isolated_decide(struct vd_packet *packet, void *state)
{
	(void)state;
	vd_count(packet, 0, 1);
	atomic_store_explicit(&isolated_common->host, getpid(), memory_order_relaxed);
	if (isolated.deed == DEED_EXIT_IN_COMPANY && packet->queue == ISOLATED_INNOCENT_QUEUE)
		keep_company();
	if (isolated_is_bad(packet)) {
		do_it(packet);
		if (isolated.deed == DEED_NO_VERDICT)
			return (enum vd_verdict)(VD_VERDICT_COUNT + 77);
	}
	return isolated_right_verdict(packet);
}

static void decide_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	for (unsigned i = 0; i < count; i++)
		verdicts[i] = isolated_decide(packets[i], state);
}

/* A table of flows, which knows that its packets come in order. */
struct table {
	unsigned packets;
	uint32_t last[ISOLATED_FLOWS];
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
	atomic_fetch_add(&isolated_common->states_closed, 1);
	free(state);
}

static enum vd_verdict keep_order(struct vd_packet *packet, void *state)
{
	struct table *table = state;
	uint32_t flow = vd_sim_packet_flow(packet), index = vd_sim_packet_index(packet);

	table->packets++;
	if (flow < ISOLATED_FLOWS) {
		if (table->last[flow] > index)
			vd_count(packet, 0, 1);
		table->last[flow] = index;
	}
	return VD_NEXT;
}

static const char *const CALLS[] = {"calls", NULL};
static const char *const OVERTAKEN[] = {"overtaken", NULL};

const struct vd_function ISOLATED_ONE_BY_ONE = ISOLATED_FUNCTION("deed", .counters = CALLS, .open = open_deed, .close = close_deed, .decide = isolated_decide);
const struct vd_function ISOLATED_IN_BURSTS = ISOLATED_FUNCTION("deeds", .counters = CALLS, .open = open_deed, .close = close_deed,
						     .decide_burst = decide_burst);
static const struct vd_function TABLE = ISOLATED_FUNCTION("table", .counters = OVERTAKEN, .scope = VD_SCOPE_FLOW, .open_state = open_table,
						 .close_state = close_table, .decide = keep_order);

/* ---- a run ---- */

enum vd_verdict isolated_expect(const struct vd_packet *packet, void *argument)
{
	(void)argument;
	/* which packets of a burst it hits, nobody knows */
	if ((isolated.deed == DEED_SCRIBBLE || isolated.deed == DEED_SCRIBBLE_BACK) && packet->verdict == VD_ACCEPT)
		return VD_ACCEPT;
	if (isolated.faults_are_drops)
		return VD_DROP;
	return isolated_is_bad(packet) && isolated.deed != DEED_NOTHING ? VD_ACCEPT : isolated_right_verdict(packet);
}

static void take_culprit(void *argument, const struct vd_packet *packet, const char *function, const char *reason)
{
	(void)argument;
	atomic_fetch_add(&isolated.culprits, 1);
	/* of an answer that is none it is not known which function it was: the first one stands for all */
	if (!isolated_is_bad(packet) || strncmp(function, isolated.deed == DEED_LIE ? "tabl" : "deed", 4) || !*reason)
		atomic_fetch_add(&isolated.wrong_culprits, 1);
}

static void take_line(void *argument, const char *line)
{
	(void)argument;
	if (!atomic_fetch_add(&isolated.lines, 1))
		snprintf(isolated.line, sizeof isolated.line, "%s", line);
}

int isolated_set_up(void **state)
{
	(void)state;
	isolated_common = mmap(NULL, sizeof *isolated_common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return isolated_common == MAP_FAILED ? -1 : 0;
}

struct vd_engine_options isolated_options(void)
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

void isolated_make_over(const struct vd_engine_options *options, enum deed deed, const struct vd_function *function,
			const struct vd_sim_options *sim)
{
	memset(&isolated, 0, sizeof isolated);
	memset(isolated_common, 0, sizeof *isolated_common);
	isolated.deed = deed;
	assert_int_equal(vd_port_sim_create(&isolated.port, sim), 0);
	if (vd_engine_create(&isolated.engine, options, &isolated.error) ||
	    vd_engine_add_function(isolated.engine, &TABLE, "", &isolated.error) ||
	    vd_engine_add_function(isolated.engine, function, "", &isolated.error) ||
	    vd_engine_add_port(isolated.engine, isolated.port, &isolated.error))
		fail_msg("%s", isolated.error.text);
}

void isolated_make(const struct vd_engine_options *options, enum deed deed, const struct vd_function *function, uint64_t packets)
{
	struct vd_sim_options sim = VD_SIM_OPTIONS_INIT;

	sim.packets = packets;
	sim.flows = ISOLATED_FLOWS;
	sim.expect = isolated_expect;
	isolated_make_over(options, deed, function, &sim);
}

/* Every packet has had its verdict, once. */
static void look_at_accounts(uint64_t packets)
{
	struct vd_sim_report report;

	vd_port_sim_report(isolated.port, &report);
	if (report.violations)
		fail_msg("%s", report.first_violation);
	assert_int_equal(report.handed_up, report.answered);
	assert_int_equal(report.handed_up + report.queue_dropped, packets);
	assert_int_equal(vd_engine_function_stats(isolated.engine, isolated.functions, 3), 2);
	assert_int_equal(vd_engine_queue_stats(isolated.engine, &isolated.queue, 1), 1);
	vd_engine_host_stats(isolated.engine, &isolated.host);
	assert_int_equal(isolated.queue.received, report.handed_up);
}

void isolated_go(uint64_t packets)
{
	if (vd_engine_run(isolated.engine, &isolated.error))
		fail_msg("%s", isolated.error.text);
	look_at_accounts(packets);
}

void isolated_end(void)
{
	vd_engine_destroy(isolated.engine);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no process is left behind */
	assert_int_equal(errno, ECHILD);
}

/* Of those that came to the functions. */
void isolated_audit(uint64_t bad, uint64_t crashes, uint64_t hangs)
{
	const struct vd_function_stats *table = &isolated.functions[0], *deed = &isolated.functions[1];
	uint64_t all = isolated.queue.received;

	assert_int_equal(isolated.queue.without_host, 0);
	assert_int_equal(isolated.queue.faults, bad);
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
	assert_int_equal(atomic_load(&isolated.culprits), crashes + hangs);
	assert_int_equal(atomic_load(&isolated.wrong_culprits), 0);
}
