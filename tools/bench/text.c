/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: the table on standard output.
 */
#include <inttypes.h>

#include "tools/bench/bench.h"

static double quantile_us(const struct bench_series *series, unsigned per_million)
{
	return (double)histogram_quantile(series->latency, per_million) / 1e3;
}

static void show_machine(const struct bench *bench, FILE *file)
{
	const struct bench_machine *machine = &bench->machine;

	fprintf(file, "%s%s%s%s on %s, %u CPU%s, %s%s%s\n", vd_version(), machine->commit[0] ? " (" : "", machine->commit,
		machine->commit[0] ? ")" : "", machine->cpu, machine->cpus, machine->cpus == 1 ? "" : "s", machine->kernel,
		machine->flags[0] ? ", built with " : "", machine->flags);
	fprintf(file, "functions:");
	for (unsigned i = 0; i < bench->settings.function_count; i++)
		fprintf(file, " %s", bench->settings.functions[i]);
	fprintf(file, "%s\n", bench->settings.function_count ? "" : " none, all is accepted");
}

static void show_series(enum bench_program program, const struct bench_series *series, FILE *file)
{
	struct bench_summary summary = bench_summarize(series);

	fprintf(file, "  %-9s %10.0f %11.0f %7.3f %6" PRIu64, bench_program_names[program], summary.sent_rate.median,
		summary.rate.median, summary.loss * 100, summary.out_of_order);
	if (series->latency && series->latency->count)
		fprintf(file, " %9.1f %9.1f %9.1f %9.1f %9.1f", quantile_us(series, 500000), quantile_us(series, 900000),
			quantile_us(series, 990000), quantile_us(series, 999000), (double)series->latency->max / 1e3);
	else
		fprintf(file, " %9s %9s %9s %9s %9s", "-", "-", "-", "-", "-");
	if (program == BENCH_NONE)
		fprintf(file, " %8s\n", "-");
	else
		fprintf(file, " %8.3f\n", summary.program.user + summary.program.system);
	if (summary.dropped_by_verdict)
		fprintf(file, "            of those lost, %" PRIu64 " were dropped by a function\n",
			summary.dropped_by_verdict);
	if (summary.changed)
		fprintf(file, "            %" PRIu64 " packets arrived with other content: they have no latency\n",
			summary.changed);
}

/* CPU time of one packet, and whose it is. */
static void show_bill(const struct bench_series *series, FILE *file)
{
	struct bench_summary summary = bench_summarize(series);
	double sender, engine, receiver;

	if (!summary.delivered && !summary.dropped_by_verdict)
		return;
	sender = summary.sender.user + summary.sender.system;
	engine = summary.program.user + summary.program.system;
	receiver = summary.receiver.user + summary.receiver.system;
	fprintf(file, "  one packet with verdict costs %.3f µs of CPU: sender %.3f, engine %.3f (functions and itself %.3f, "
		"kernel %.3f), receiver %.3f\n",
		sender + engine + receiver, sender, engine, summary.program.user, summary.program.system, receiver);
}

static void show_case(const struct bench_case *one, FILE *file)
{
	struct bench_spread ratio;
	char kind[96];

	if (!one->series[BENCH_VERDICT].count)
		return;
	bench_describe(kind, sizeof kind, &one->traffic);
	fprintf(file, "\n%s; %u round%s\n", kind, one->series[BENCH_VERDICT].count,
		one->series[BENCH_VERDICT].count == 1 ? "" : "s");
	/* the sign for micro takes two bytes: its columns are one wider here than below */
	fprintf(file, "  %-9s %10s %11s %7s %6s %10s %10s %10s %10s %10s %9s\n", "", "sent/s", "delivered/s", "loss %",
		"order", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs", "CPU µs");
	for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++)
		if (one->series[program].count)
			show_series(program, &one->series[program], file);
	if (bench_ratio(one, &ratio))
		fprintf(file, "  verdict / yardstick, packets a second: %.2f (%.2f to %.2f by round)\n", ratio.median,
			ratio.min, ratio.max);
	show_bill(&one->series[BENCH_VERDICT], file);
}

static void show_found(const struct bench_found *found, FILE *file)
{
	struct bench_traffic traffic = found->traffic;
	char kind[96];

	bench_describe(kind, sizeof kind, &traffic);
	fprintf(file, "\nhighest rate without loss: %s\n", kind);
	for (unsigned program = 0; program < BENCH_NONE; program++) {
		const struct bench_max *max = &found->maxima[program];

		if (!max->is_known)
			continue;
		if (max->rate)
			fprintf(file, "  %-9s %10" PRIu64 " packets/s%s\n", bench_program_names[program], max->rate,
				max->is_of_sender ? ", or more: the sender cannot do more" : "");
		else
			fprintf(file, "  %-9s none of the rates tried was without loss each time\n",
				bench_program_names[program]);
	}
}

void bench_text(const struct bench *bench, FILE *file)
{
	char text[512];
	const char *warning;

	show_machine(bench, file);
	for (unsigned i = 0; i < bench->case_count; i++)
		show_case(&bench->cases[i], file);
	for (unsigned i = 0; i < bench->found_count; i++)
		if (bench->found[i].maxima[BENCH_VERDICT].is_known)
			show_found(&bench->found[i], file);
	for (unsigned i = 0; (warning = bench_warning(bench, i, text, sizeof text)); i++)
		fprintf(file, "%snote: %s\n", i ? "" : "\n", warning);
}
