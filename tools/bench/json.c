/* SPDX-License-Identifier: MIT */
/*
 * verdict bench --json: everything that was measured, as one object.
 */
#include <jansson.h>

#include "tools/bench/bench.h"

/* Percentiles of latency that are told, in parts of a million. */
static const unsigned percentiles[] = {
	0,	10000,	50000,	100000, 200000, 300000, 400000, 500000, 600000, 700000, 800000,
	900000, 950000, 980000, 990000, 995000, 998000, 999000, 999500, 999900, 999990, 1000000,
};

static json_t *integer(uint64_t number)
{
	return json_integer((json_int_t)number);
}

static json_t *cpu(const struct bench_cpu *cpu_us)
{
	return json_pack("{s:f, s:f}", "user", cpu_us->user, "system", cpu_us->system);
}

static json_t *spread(const struct bench_spread *values)
{
	return json_pack("{s:f, s:f, s:f}", "median", values->median, "min", values->min, "max", values->max);
}

/* [[percentile, microseconds], ...] */
static json_t *latency(const struct histogram *histogram)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < sizeof percentiles / sizeof *percentiles && histogram->count; i++)
		json_array_append_new(array, json_pack("[f, f]", percentiles[i] / 1e4,
						       (double)histogram_quantile(histogram, percentiles[i]) / 1e3));
	return array;
}

static json_t *round_object(const struct bench_round *round)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:f, s:o, s:o, s:o}",
			 "sent", integer(round->sent),
			 "delivered", integer(round->delivered),
			 "lost", integer(round->sent - round->delivered),
			 "out_of_order", integer(round->out_of_order),
			 "changed", integer(round->changed),
			 "receiver_lost", integer(round->receiver_lost),
			 "dropped_by_verdict", integer(round->dropped_by_verdict),
			 "queue_lost", integer(round->queue_lost),
			 "sender_late_p99_us", (double)round->late_p99_ns / 1e3,
			 "send_seconds", round->send_seconds,
			 "seconds", round->seconds,
			 "sender_cpu_us", cpu(&round->sender),
			 "program_cpu_us", cpu(&round->program),
			 "receiver_cpu_us", cpu(&round->receiver));
}

static json_t *series_object(const struct bench_series *series)
{
	struct bench_summary summary = bench_summarize(series);
	json_t *rounds = json_array();

	for (unsigned i = 0; i < series->count; i++)
		json_array_append_new(rounds, round_object(&series->rounds[i]));
	return json_pack("{s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}",
			 "sent", integer(summary.sent),
			 "delivered", integer(summary.delivered),
			 "lost", integer(summary.lost),
			 "loss_percent", summary.loss * 100,
			 "out_of_order", integer(summary.out_of_order),
			 "changed", integer(summary.changed),
			 "dropped_by_verdict", integer(summary.dropped_by_verdict),
			 "sent_per_second", spread(&summary.sent_rate),
			 "delivered_per_second", spread(&summary.rate),
			 "noisy", (int)summary.is_noisy,
			 "latency_us", latency(series->latency),
			 "program_cpu_us_per_packet", cpu(&summary.program),
			 "sender_cpu_us_per_packet", cpu(&summary.sender),
			 "receiver_cpu_us_per_packet", cpu(&summary.receiver),
			 "rounds", rounds);
}

static json_t *traffic_object(const struct bench_traffic *traffic)
{
	json_t *object = json_pack("{s:o, s:o}", "size", integer(traffic->size), "flows", integer(traffic->flows));

	/* null: as fast as possible; as many as there are CPUs */
	json_object_set_new(object, "rate", traffic->rate ? integer(traffic->rate) : json_null());
	json_object_set_new(object, "workers", traffic->workers ? integer(traffic->workers) : json_null());
	return object;
}

static json_t *case_object(const struct bench_case *one)
{
	json_t *object = traffic_object(&one->traffic), *programs = json_object();
	struct bench_spread ratio;

	for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++)
		if (one->series[program].count)
			json_object_set_new(programs, bench_program_names[program], series_object(&one->series[program]));
	json_object_set_new(object, "programs", programs);
	json_object_set_new(object, "verdict_to_yardstick", bench_ratio(one, &ratio) ? spread(&ratio) : json_null());
	return object;
}

static json_t *found_object(const struct bench_found *found)
{
	json_t *object = traffic_object(&found->traffic), *programs = json_object();

	json_object_del(object, "rate");
	for (unsigned program = 0; program < BENCH_NONE; program++) {
		const struct bench_max *max = &found->maxima[program];

		if (max->is_known)
			json_object_set_new(programs, bench_program_names[program],
					    json_pack("{s:o, s:b, s:i}", "packets_per_second", integer(max->rate),
						      "limited_by_sender", (int)max->is_of_sender, "tries", (int)max->tries));
	}
	json_object_set_new(object, "programs", programs);
	return object;
}

static json_t *settings_object(const struct bench_settings *settings)
{
	json_t *functions = json_array();

	for (unsigned i = 0; i < settings->function_count; i++)
		json_array_append_new(functions, json_string(settings->functions[i]));
	return json_pack("{s:o, s:f, s:i}",
			 "functions", functions,
			 "seconds", (double)settings->duration_ns / BENCH_SECOND_NS,
			 "rounds", (int)settings->rounds);
}

int bench_json(const struct bench *bench, FILE *file)
{
	const struct bench_machine *machine = &bench->machine;
	json_t *object, *cases = json_array(), *found = json_array(), *notes = json_array();
	const char *warning;
	char text[512];
	int result;

	for (unsigned i = 0; i < bench->case_count; i++)
		if (bench->cases[i].series[BENCH_VERDICT].count)
			json_array_append_new(cases, case_object(&bench->cases[i]));
	for (unsigned i = 0; i < bench->found_count; i++)
		json_array_append_new(found, found_object(&bench->found[i]));
	for (unsigned i = 0; (warning = bench_warning(bench, i, text, sizeof text)); i++)
		json_array_append_new(notes, json_string(warning));
	object = json_pack("{s:s, s:s, s:s, s:{s:s, s:i, s:s}, s:o, s:b, s:o, s:o, s:o}",
			   "version", vd_version(),
			   "commit", machine->commit,
			   "flags", machine->flags,
			   "machine", "cpu", machine->cpu, "cpus", (int)machine->cpus, "kernel", machine->kernel,
			   "settings", settings_object(&bench->settings),
			   "interrupted", bench->interrupted != 0,
			   "notes", notes,
			   "cases", cases,
			   "without_loss", found);
	result = !object || json_dumpf(object, file, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) ? -1 : 0;
	fputc('\n', file);
	json_decref(object);
	return result;
}
