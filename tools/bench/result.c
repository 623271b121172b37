/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: what many rounds say together, the machine they ran on, and what a reader has to know of both.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tools/bench/bench.h"

/* The Makefile knows them. */
#ifndef VERDICT_COMMIT
#define VERDICT_COMMIT ""
#endif
#ifndef VERDICT_FLAGS
#define VERDICT_FLAGS ""
#endif

#define LATE_NS 1000000u /* a sender that is more behind than this says little of latencies */

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

struct bench_spread bench_spread_of(double *values, unsigned count)
{
	if (!count)
		return (struct bench_spread){0};
	qsort(values, count, sizeof *values, compare);
	return (struct bench_spread){
		.median = count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2,
		.min = values[0],
		.max = values[count - 1],
	};
}

/* Over the time of sending at least: the last packet of a slow schedule arrives before it is over. */
static double rate_of(const struct bench_round *round)
{
	double seconds = round->seconds > round->send_seconds ? round->seconds : round->send_seconds;

	return seconds > 0 ? (double)round->delivered / seconds : 0;
}

static void add_cpu(struct bench_cpu *sum, const struct bench_cpu *cpu)
{
	sum->user += cpu->user;
	sum->system += cpu->system;
}

static void divide_cpu(struct bench_cpu *cpu, uint64_t packets)
{
	cpu->user = packets ? cpu->user / (double)packets : 0;
	cpu->system = packets ? cpu->system / (double)packets : 0;
}

struct bench_summary bench_summarize(const struct bench_series *series)
{
	struct bench_summary summary = {0};
	double sent_rates[BENCH_ROUNDS_MAX], rates[BENCH_ROUNDS_MAX];
	uint64_t decided;

	for (unsigned i = 0; i < series->count; i++) {
		const struct bench_round *round = &series->rounds[i];

		summary.sent += round->sent;
		summary.delivered += round->delivered;
		summary.out_of_order += round->out_of_order;
		summary.changed += round->changed;
		summary.receiver_lost += round->receiver_lost;
		summary.dropped_by_verdict += round->dropped_by_verdict;
		summary.queue_lost += round->queue_lost;
		if (round->late_p99_ns > summary.late_p99_ns)
			summary.late_p99_ns = round->late_p99_ns;
		add_cpu(&summary.sender, &round->sender);
		add_cpu(&summary.program, &round->program);
		add_cpu(&summary.receiver, &round->receiver);
		sent_rates[i] = round->send_seconds > 0 ? (double)round->sent / round->send_seconds : 0;
		rates[i] = rate_of(round);
	}
	summary.lost = summary.sent - summary.delivered;
	summary.loss = summary.sent ? (double)summary.lost / (double)summary.sent : 0;
	/* what a function dropped has cost as much to decide */
	decided = summary.delivered + summary.dropped_by_verdict;
	divide_cpu(&summary.sender, summary.sent);
	divide_cpu(&summary.program, decided);
	divide_cpu(&summary.receiver, summary.delivered);
	summary.sent_rate = bench_spread_of(sent_rates, series->count);
	summary.rate = bench_spread_of(rates, series->count);
	summary.is_noisy = summary.rate.max > BENCH_NOISY * summary.rate.min;
	return summary;
}

bool bench_ratio(const struct bench_case *one, struct bench_spread *ratio)
{
	const struct bench_series *verdict = &one->series[BENCH_VERDICT], *yardstick = &one->series[BENCH_YARDSTICK];
	double ratios[BENCH_ROUNDS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < verdict->count && i < yardstick->count; i++)
		if (rate_of(&yardstick->rounds[i]) > 0)
			ratios[count++] = rate_of(&verdict->rounds[i]) / rate_of(&yardstick->rounds[i]);
	*ratio = bench_spread_of(ratios, count);
	return count;
}

/* ---- the machine ---- */

static void read_cpu(char *text, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(text, size, "unknown");
	while (file && fgets(line, sizeof line, file))
		if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(text, size, "%s", strchr(line, ':') + 2);
			break;
		}
	if (file)
		fclose(file);
}

void bench_machine_read(struct bench_machine *machine)
{
	struct utsname name;
	cpu_set_t cpus;

	read_cpu(machine->cpu, sizeof machine->cpu);
	machine->commit = VERDICT_COMMIT;
	machine->flags = VERDICT_FLAGS;
	if (!uname(&name))
		snprintf(machine->kernel, sizeof machine->kernel, "%.40s %.60s %.20s", name.sysname, name.release,
			 name.machine);
	machine->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	if (!sched_getaffinity(0, sizeof cpus, &cpus))
		machine->cpus = (unsigned)CPU_COUNT(&cpus);
}

/* ---- what a reader has to know ---- */

/* Over all that was measured. */
struct faults {
	unsigned series, late_count;
	uint64_t late_ns, receiver_lost;
};

static struct faults count_faults(const struct bench *bench)
{
	struct faults faults = {0};

	for (unsigned i = 0; i < bench->case_count; i++)
		for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++) {
			struct bench_summary summary = bench_summarize(&bench->cases[i].series[program]);

			if (!bench->cases[i].series[program].count || !bench->cases[i].traffic.rate)
				continue;
			faults.series++;
			faults.late_count += summary.late_p99_ns > LATE_NS;
			if (summary.late_p99_ns > faults.late_ns)
				faults.late_ns = summary.late_p99_ns;
			faults.receiver_lost += summary.receiver_lost;
		}
	return faults;
}

/* The one number `*index` of those about one series; others make it smaller. */
static const char *warn_series(const struct bench_case *one, enum bench_program program, unsigned *index, char *text,
			       size_t size)
{
	struct bench_summary summary = bench_summarize(&one->series[program]);
	const char *name = bench_program_names[program];
	char kind[96];

	if (!one->series[program].count)
		return NULL;
	bench_describe(kind, sizeof kind, &one->traffic);
	if (summary.is_noisy && !(*index)--) {
		snprintf(text, size, "%s, %s: the machine was too noisy to conclude: its rounds made %.0f to %.0f packets/s",
			 kind, name, summary.rate.min, summary.rate.max);
		return text;
	}
	if (one->traffic.rate && summary.sent_rate.median < 0.98 * (double)one->traffic.rate && !(*index)--) {
		snprintf(text, size, "%s, %s: the sender only reached %.0f packets/s, so more was not offered", kind, name,
			 summary.sent_rate.median);
		return text;
	}
	return NULL;
}

const char *bench_warning(const struct bench *bench, unsigned index, char *text, size_t size)
{
	const struct faults faults = count_faults(bench);
	const char *warning = NULL;

	if (bench->machine.cpus == 1 && !index--)
		return "there is one CPU to use: the sender and the receiver take their time from what is measured";
	if (faults.late_count && !index--) {
		snprintf(text, size, "in %u of %u cases the sender itself was more than 1 ms late for one packet of 100, "
			 "at most %.1f ms: that is part of those latencies",
			 faults.late_count, faults.series, (double)faults.late_ns / 1e6);
		return text;
	}
	if (faults.receiver_lost && !index--) {
		snprintf(text, size, "the receiver of the measurement lost %" PRIu64 " packets itself", faults.receiver_lost);
		return text;
	}
	for (unsigned i = 0; i < bench->case_count && !warning; i++)
		for (unsigned program = 0; program < BENCH_PROGRAM_COUNT && !warning; program++)
			warning = warn_series(&bench->cases[i], program, &index, text, size);
	return warning;
}
