/* SPDX-License-Identifier: MIT */
/* Simulated runs: drawn, made, disturbed while they run, and added up. */
#include "sim_run.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RUN_SECONDS_MAX 20
#define SILENCE_SECONDS_MAX 10

/* ---- making a run ---- */

static void choose_traffic(struct vd_sim_options *lane, unsigned number)
{
	*lane = (struct vd_sim_options)VD_SIM_OPTIONS_INIT;
	lane->seed = vd_sim_random(&sim_run->random);
	lane->queue = number;
	lane->packets = 1 + sim_up_to(sim_one_in(4) ? 4000 : 800);
	lane->first_id = sim_one_in(4) ? UINT32_MAX - sim_up_to(300) : 1;
	lane->flows = 1 + sim_up_to(SIM_FLOWS_MAX - 1);
	lane->size_max = 40 + sim_up_to(sim_one_in(8) ? 20000 : 600);
	lane->ipv6_percent = sim_up_to(60);
	lane->tcp_percent = sim_up_to(100);
	lane->fragment_percent = sim_up_to(30);
	lane->malformed_percent = sim_up_to(30);
	lane->garbage_percent = sim_up_to(10);
	lane->arrive_max = 1 + sim_up_to(sim_one_in(2) ? 8 : 150);
	lane->idle_percent = sim_up_to(70);
	lane->short_percent = sim_one_in(2) ? sim_up_to(60) : 0;
	lane->socket_packets = sim_one_in(3) ? 8 + sim_up_to(150) : 0;
	lane->flush_permille = sim_one_in(3) ? sim_up_to(50) : 0;
	lane->refuse_permille = sim_one_in(3) ? sim_up_to(50) : 0;
	lane->sleep_us_max = 1 + sim_up_to(sim_one_in(4) ? 1000 : 60);
	lane->expect = sim_expect;
}

static void choose_failure(void)
{
	struct vd_sim_options *lane = &sim_run->lanes[sim_up_to(sim_run->lane_count - 1)];

	switch (sim_up_to(3)) {
	case 0:
		lane->check_error = EPERM;
		break;
	case 1:
		lane->open_error = EBUSY;
		break;
	case 2:
		lane->receive_fails_at = 1 + sim_up_to(400);
		break;
	default:
		lane->send_fails_at = 1 + sim_up_to(400);
		break;
	}
}

static void choose_functions(void)
{
	bool has_used[SIM_KIND_COUNT] = {false};
	unsigned count = sim_up_to(6);

	has_used[SIM_STOPPER] = has_used[SIM_CHANGER] = true;
	for (unsigned i = 0; i < count; i++) {
		enum sim_kind kind = (enum sim_kind)sim_up_to(SIM_FAULTY);

		if (!has_used[kind])
			sim_run->kinds[sim_run->kind_count++] = kind;
		has_used[kind] = true;
	}
	if (sim_run->ending == SIM_END_BY_FUNCTION) {
		sim_run->kinds[sim_run->kind_count++] = sim_run->kinds[0];
		sim_run->kinds[0] = SIM_STOPPER;
		if (sim_run->kind_count > 1 && sim_run->kinds[sim_run->kind_count - 1] == SIM_STOPPER)
			sim_run->kind_count--;
	}
	if (sim_one_in(2))
		sim_run->kinds[sim_run->kind_count++] = SIM_CHANGER;
	if (sim_run->more) {
		memmove(sim_run->kinds + 1, sim_run->kinds, sim_run->kind_count++ * sizeof *sim_run->kinds);
		sim_run->kinds[0] = SIM_MORE;
	}
	for (unsigned i = 0; i < sim_run->kind_count; i++) {
		sim_run->functions[i] = sim_run->kinds[i] == SIM_MORE ? sim_run->more->choose() : sim_function(sim_run->kinds[i]);
		sim_run->functions[i].abi = VD_FUNCTION_ABI;
		sim_run->functions[i].size = sizeof sim_run->functions[i];
		if (!sim_run->functions[i].open)
			sim_run->functions[i].open = sim_open_function;
		if (!sim_run->functions[i].close)
			sim_run->functions[i].close = sim_close_function;
		sim_run->functions[i].bytes = sim_one_in(2) ? VD_HEADERS : VD_WHOLE;
		sim_run->may_reject[sim_run->kinds[i]] = !sim_one_in(4);
		if (sim_run->may_reject[sim_run->kinds[i]])
			sim_run->functions[i].needs |= VD_NEEDS_REJECT;
	}
}

static void choose_options(void)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	options.workers = 1 + sim_up_to(3);
	options.writers = sim_up_to(2);
	options.maxlen = sim_one_in(2) ? 1 + sim_up_to(400) : 0;
	options.copy_range = sim_one_in(4) ? 1 + sim_up_to(200) : 0;
	options.fail_open = sim_one_in(4);
	options.default_verdict = sim_one_in(2) ? VD_ACCEPT : VD_DROP;
	options.fault_verdict = sim_one_in(2) ? VD_ACCEPT : VD_DROP;
	options.batch = sim_one_in(4) ? 0 : 1 + sim_up_to(63);
	options.batch_delay_us = sim_one_in(8) ? 1 + sim_up_to(200) : 0;
	if (sim_run->ending == SIM_END_BY_COUNT)
		options.packets_max = 1 + sim_up_to(1000);
	sim_run->options = options;
}

static void choose(uint64_t seed)
{
	bool sleepy;

	sim_run->seed = sim_run->random = seed;
	sim_run->lane_count = sim_one_in(2) ? 1 : 1 + sim_up_to(SIM_LANES_MAX - 1);
	sim_run->ending = (enum sim_ending)sim_up_to(SIM_END_BY_FAILURE);
	sleepy = sim_run->ending == SIM_END_IN_SILENCE || sim_one_in(3);
	sim_run->stop_at = sim_up_to(600);
	sim_run->stop_delay_us = sim_up_to(sim_one_in(2) ? 300 : 3000);
	sim_run->burn_ns = sim_one_in(2) ? 0 : sim_up_to(5000);
	sim_run->stats_while_running = sim_one_in(4);
	sim_run->changes_the_crowd = sim_one_in(4);
	for (unsigned i = 0; i < sim_run->lane_count; i++) {
		choose_traffic(&sim_run->lanes[i], i);
		sim_run->lanes[i].sleepy = sleepy;
		/* a stop also has to wake who sleeps for ever */
		sim_run->lanes[i].silent_at_end = sim_run->ending == SIM_END_IN_SILENCE || (sleepy && sim_run->ending == SIM_END_BY_STOP && sim_one_in(2));
	}
	if (sim_run->ending == SIM_END_BY_FAILURE)
		choose_failure();
	choose_options();
	choose_functions();
}

static bool make(void)
{
	struct vd_error error;

	if (vd_engine_create(&sim_run->engine, &sim_run->options, &error)) {
		sim_complain("create: %s", error.text);
		return false;
	}
	for (unsigned i = 0; i < sim_run->kind_count; i++)
		if (vd_engine_add_function(sim_run->engine, &sim_run->functions[i], "", &error)) {
			sim_complain("add_function: %s", error.text);
			return false;
		}
	for (unsigned i = 0; i < sim_run->lane_count; i++)
		if (vd_port_sim_create(&sim_run->ports[i], &sim_run->lanes[i]) ||
		    vd_engine_add_port(sim_run->engine, sim_run->ports[i], &error)) {
			sim_complain("add_port: %s", error.text);
			return false;
		}
	return true;
}

/* ---- while it runs ---- */

static bool is_all_answered(void)
{
	for (unsigned i = 0; i < sim_run->lane_count; i++) {
		struct vd_sim_report report;

		vd_port_sim_report(sim_run->ports[i], &report);
		if (report.offered + report.passed != sim_run->lanes[i].packets ||
		    report.answered != report.offered - report.queue_dropped - report.socket_dropped)
			return false;
	}
	return true;
}

/* The CPUs are crowded now, and then they are not: what was begun in one way comes to its end in the other. */
static void change_the_crowd(void)
{
	static unsigned turns;

	if (sim_run->changes_the_crowd)
		vd_engine_set_crowded(sim_run->engine, turns++ & 1);
}

static void look_at_stats(void)
{
	struct vd_queue_stats queues[SIM_LANES_MAX];
	struct vd_function_stats chain[SIM_KINDS_MAX];
	struct vd_worker_stats workers[VD_ENGINE_WORKERS_MAX];
	struct vd_latency latency;

	if (!sim_run->stats_while_running)
		return;
	if (!vd_engine_queue_stats(sim_run->engine, queues, SIM_LANES_MAX)) /* it has not begun */
		return;
	if (vd_engine_worker_stats(sim_run->engine, workers, VD_ENGINE_WORKERS_MAX) != sim_run->options.workers + sim_run->options.writers ||
	    vd_engine_queue_latency(sim_run->engine, 0, VD_SINCE_RECEIVED, &latency))
		sim_complain("workers or latencies are missing");
	if (vd_engine_function_stats(sim_run->engine, chain, SIM_KINDS_MAX) != sim_run->kind_count)
		sim_complain("there are other functions than there were");
	for (unsigned i = 0; i < sim_run->lane_count; i++)
		if (queues[i].received > sim_run->lanes[i].packets || queues[i].in_flight > sim_run->lanes[i].packets)
			sim_complain("queue %u: statistics out of this world: received %llu, in flight %u", i,
				 (unsigned long long)queues[i].received, queues[i].in_flight);
}

static void *meddle(void *argument)
{
	(void)argument;
	change_the_crowd();
	look_at_stats();
	if (sim_run->ending == SIM_END_IN_SILENCE) {
		time_t deadline = time(NULL) + SILENCE_SECONDS_MAX;

		while (!is_all_answered() && !atomic_load(&sim_run->complaints)) {
			sim_sleep_us(50);
			change_the_crowd();
			look_at_stats();
			if (time(NULL) > deadline)
				sim_complain("all is silent, but packets have not been answered for %d s", SILENCE_SECONDS_MAX);
		}
		vd_engine_stop(sim_run->engine);
	} else if (sim_run->ending == SIM_END_BY_STOP) {
		if (sim_run->stop_delay_us)
			sim_sleep_us(sim_run->stop_delay_us);
		change_the_crowd();
		look_at_stats();
		vd_engine_stop(sim_run->engine);
		if (sim_run->stop_delay_us & 1)
			vd_engine_stop(sim_run->engine);
	} else {
		for (unsigned i = 0; i < 10 && (sim_run->stats_while_running || sim_run->changes_the_crowd); i++) {
			sim_sleep_us(100);
			change_the_crowd();
			look_at_stats();
		}
	}
	return NULL;
}

/* ---- all of it ---- */

static char hang_text[512];

static void on_hang(int signal_number)
{
	(void)signal_number;
	if (write(STDERR_FILENO, hang_text, strlen(hang_text)) < 0)
		_exit(2);
	abort();
}

static void describe(char *text, size_t size)
{
	static const char *const endings[] = {"by itself", "in silence", "by stop", "by function", "by count", "by failure"};
	int used = snprintf(text, size, "%u queues%s, %u workers, %u writers, batch %u, ends %s; functions:", sim_run->lane_count,
			    sim_run->lanes[0].sleepy ? " (sleepy)" : "", sim_run->options.workers, sim_run->options.writers,
			    sim_run->options.batch, endings[sim_run->ending]);

	for (unsigned i = 0; i < sim_run->kind_count && (size_t)used < size; i++)
		used += snprintf(text + used, size - (size_t)used, " %s", sim_run->functions[i].name);
}

static void add_up(struct sim_met *met, const struct vd_queue_stats *stats)
{
	met->queue_dropped += stats->queue_dropped;
	met->socket_dropped += stats->socket_dropped;
	met->flushed += stats->flushed;
	met->refused += stats->refused;
	met->left_accepted += stats->left_accepted;
	met->left_dropped += stats->left_dropped;
	met->received += stats->received;
	met->rejected += stats->verdicts[VD_REJECT];
	met->on_the_spot += stats->on_the_spot;
	met->dispatched += stats->received - stats->on_the_spot;
	met->held_behind += stats->held_behind;
	met->held_expired += stats->held_expired;
	met->held_decided += stats->held_ever - stats->held_expired;
	met->held_too_many += stats->drops[VD_CAUSE_HELD_FULL];
	met->held_refused += stats->held_refused;
}

static void run_one(uint64_t seed, const struct sim_more *more, struct sim_met *met)
{
	struct vd_queue_stats stats[SIM_LANES_MAX];
	struct vd_error error = {""};
	char description[256];
	pthread_t meddler, other;
	unsigned complaints;
	int result;

	sim_run = calloc(1, sizeof *sim_run);
	assert_non_null(sim_run);
	sim_run->more = more;
	choose(seed);
	describe(description, sizeof description);
	snprintf(hang_text, sizeof hang_text, "\nSIM_SEED=%llu hangs: %s\n", (unsigned long long)seed,
		 description);
	alarm(RUN_SECONDS_MAX);
	if (make()) {
		pthread_create(&meddler, NULL, meddle, NULL);
		if (more)
			pthread_create(&other, NULL, more->meddle, NULL);
		result = vd_engine_run(sim_run->engine, &error);
		pthread_join(meddler, NULL);
		atomic_store(&sim_run->is_over, true);
		if (more)
			pthread_join(other, NULL);
		/* of a run that did not begin there may be none */
		memset(stats, 0, sizeof stats);
		if (vd_engine_queue_stats(sim_run->engine, stats, SIM_LANES_MAX) != sim_run->lane_count && !sim_is_failing_at_start())
			sim_complain("there are no statistics");
		for (unsigned i = 0; i < sim_run->lane_count; i++)
			add_up(met, &stats[i]);
		sim_audit(result, &error, stats);
	}
	vd_engine_destroy(sim_run->engine);
	alarm(0);
	complaints = sim_run->complaints;
	if (complaints) {
		char complaint[sizeof sim_run->first_complaint];

		memcpy(complaint, sim_run->first_complaint, sizeof complaint);
		free(sim_run);
		fail_msg("SIM_SEED=%llu: %s (%u complaints) in %s", (unsigned long long)seed, complaint, complaints,
			 description);
	}
	free(sim_run);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

bool sim_run_many(const struct sim_more *more, unsigned runs, struct sim_met *met)
{
	uint64_t seed = setting("SIM_SEED", 0);

	*met = (struct sim_met){.runs = setting("SIM_RUNS", runs)};
	signal(SIGALRM, on_hang);
	for (uint64_t i = 1; i <= met->runs; i++)
		run_one(seed ? seed : i, more, met);
	print_message("%llu runs, %llu packets, %llu on the spot; lost %llu + %llu, flushed %llu, refused %llu, left %llu\n",
		      (unsigned long long)met->runs, (unsigned long long)met->received, (unsigned long long)met->on_the_spot,
		      (unsigned long long)met->queue_dropped, (unsigned long long)met->socket_dropped,
		      (unsigned long long)met->flushed, (unsigned long long)met->refused,
		      (unsigned long long)(met->left_accepted + met->left_dropped));
	return !seed && met->runs >= 100;
}
