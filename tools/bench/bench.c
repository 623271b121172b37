/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: how fast functions and this machine are, beside a plain loop and beside no queue at all.
 */
#include "tools/bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/commands.h"
#include "tools/options.h"

#define CASES_MAX 4096u

static const char HELP[] =
	"usage: verdict bench [OPTION ...]\n"
	"\n"
	"Measures what functions and this machine can do: packets a second, loss, latency and CPU time, beside a plain loop\n"
	"that answers packet by packet (yardstick), and beside no queue (none). It sends packets between two network\n"
	"namespaces of its own, which are gone when it ends. Needs root.\n"
	"\n"
	"what is measured\n"
	"  --function SPEC       NAME[:ARGUMENTS] or ./FILE.so[:ARGUMENTS]; may be repeated (none: all is accepted)\n"
	"  --compare LIST        beside verdict: none, yardstick (none,yardstick); verdict: nothing else\n"
	"  --find-max            also find the highest rate at which no packet is lost\n"
	"\n"
	"with what traffic; each combination of the lists, with commas, as in 64,1500\n"
	"  --rate LIST           packets a second, k and M for thousands and millions, or max: all that can be sent (max)\n"
	"  --size LIST           bytes of a packet, headers included, 48 to 1500 (64)\n"
	"  --flows LIST          1 to 16384 (64)\n"
	"  --workers LIST        threads of verdict that read and decide, 1 to 64 (one per CPU)\n"
	"\n"
	"how long\n"
	"  --seconds N           each measurement, 0.05 to 3600 (1)\n"
	"  --rounds N            how often each is repeated, in turn, 1 to 100 (5)\n"
	"\n"
	"what to show; a table in any case\n"
	"  --json FILE           all numbers, as JSON; - is standard output, instead of the table\n"
	"  --report FILE         plots and tables, as one page of HTML; - likewise\n"
	"  --no-progress         no progress bar on a terminal\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  verdict bench --function ./mine.so\n"
	"  verdict bench --function match:'udp port 53=drop' --rate 50k,100k,max --size 64,1500 --report bench.html\n"
	"  verdict bench --find-max --workers 1,2 --json - | jq '.without_loss'\n"
	"\n"
	"exit status: 0 measured, 1 an error, 2 wrong usage, 130 interrupted. More in verdict-bench(1).\n";

static void say(const char *line)
{
	fprintf(stderr, "verdict: %s\n", line);
}

/* ---- options ---- */

enum { OPTION_FUNCTION = 256, OPTION_COMPARE, OPTION_FIND_MAX, OPTION_RATE, OPTION_SIZE, OPTION_FLOWS, OPTION_WORKERS,
       OPTION_SECONDS, OPTION_ROUNDS, OPTION_JSON, OPTION_REPORT, OPTION_NO_PROGRESS };

static const struct option OPTIONS[] = {
	{"function", required_argument, NULL, OPTION_FUNCTION},
	{"compare", required_argument, NULL, OPTION_COMPARE},
	{"find-max", no_argument, NULL, OPTION_FIND_MAX},
	{"rate", required_argument, NULL, OPTION_RATE},
	{"size", required_argument, NULL, OPTION_SIZE},
	{"flows", required_argument, NULL, OPTION_FLOWS},
	{"workers", required_argument, NULL, OPTION_WORKERS},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"rounds", required_argument, NULL, OPTION_ROUNDS},
	{"json", required_argument, NULL, OPTION_JSON},
	{"report", required_argument, NULL, OPTION_REPORT},
	{"no-progress", no_argument, NULL, OPTION_NO_PROGRESS},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool add_function(struct bench_settings *settings, const char *specification)
{
	if (settings->function_count == VD_ENGINE_FUNCTIONS_MAX) {
		fprintf(stderr, "verdict: --function: more than %d functions\n", VD_ENGINE_FUNCTIONS_MAX);
		return false;
	}
	settings->functions[settings->function_count++] = specification;
	return true;
}

static bool read_option(void *argument, int option, const char *text)
{
	struct bench_settings *settings = argument;
	uint64_t number = 0;
	bool good;

	switch (option) {
	case OPTION_FUNCTION:
		return add_function(settings, text);
	case OPTION_COMPARE:
		return bench_read_programs("--compare", text, settings->has_program);
	case OPTION_FIND_MAX:
		settings->finds_max = true;
		return true;
	case OPTION_RATE:
		return bench_read_list("--rate", text, 1, BENCH_RATE_MAX, true, &settings->rates);
	case OPTION_SIZE:
		return bench_read_list("--size", text, BENCH_SIZE_MIN, BENCH_SIZE_MAX, false, &settings->sizes);
	case OPTION_FLOWS:
		return bench_read_list("--flows", text, 1, BENCH_FLOWS_MAX, false, &settings->flows);
	case OPTION_WORKERS:
		return bench_read_list("--workers", text, 1, VD_ENGINE_WORKERS_MAX, false, &settings->workers);
	case OPTION_SECONDS:
		return bench_read_seconds("--seconds", text, &settings->duration_ns);
	case OPTION_ROUNDS:
		good = vd_option_number("--rounds", text, 1, BENCH_ROUNDS_MAX, &number);
		settings->rounds = (unsigned)number;
		return good;
	case OPTION_JSON:
		settings->json_path = text;
		return true;
	case OPTION_REPORT:
		settings->report_path = text;
		return true;
	case OPTION_NO_PROGRESS:
		settings->has_no_progress = true;
		return true;
	default:
		return false;
	}
}

/* 0 go on, -1 help was given, otherwise the exit code. */
static int read_options(struct bench_settings *settings, int argc, char **argv)
{
	int result = vd_options_read("bench", HELP, "h", OPTIONS, read_option, settings, argc, argv);

	if (result)
		return result;
	if (optind < argc) {
		fprintf(stderr, "verdict: bench takes options only, not '%s'\n", argv[optind]);
		return vd_option_usage("bench");
	}
	if (settings->json_path && settings->report_path && !strcmp(settings->json_path, "-") &&
	    !strcmp(settings->report_path, "-")) {
		say("--json and --report cannot both be written to standard output: name a file for one");
		return vd_option_usage("bench");
	}
	if (settings->rates.count * settings->sizes.count * settings->flows.count * settings->workers.count > CASES_MAX) {
		fprintf(stderr, "verdict: bench measures up to %u combinations: shorten a list\n", CASES_MAX);
		return vd_option_usage("bench");
	}
	return 0;
}

/* ---- before anything is measured ---- */

/* A function that cannot be loaded is said before namespaces are made. Returns the exit code. */
static int try_functions(const struct bench_settings *settings)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_engine *engine;
	struct vd_error error;
	int result = vd_engine_create(&engine, &options, &error);

	for (unsigned i = 0; i < settings->function_count && !result; i++)
		result = vd_engine_load_function(engine, settings->functions[i], &error);
	if (result)
		say(error.text);
	vd_engine_destroy(engine);
	return result == -EINVAL ? EXIT_USAGE : result ? 1 : 0;
}

static int out_of_memory(void)
{
	say("out of memory");
	return 1;
}

static int prepare_cases(struct bench *bench)
{
	const struct bench_settings *settings = &bench->settings;
	unsigned count = settings->sizes.count * settings->flows.count * settings->workers.count;
	struct bench_case *one;

	one = bench->cases = calloc(count * settings->rates.count, sizeof *bench->cases);
	bench->found = calloc(count, sizeof *bench->found);
	if (!bench->cases || !bench->found)
		return out_of_memory();
	for (unsigned w = 0; w < settings->workers.count; w++)
		for (unsigned f = 0; f < settings->flows.count; f++)
			for (unsigned s = 0; s < settings->sizes.count; s++) {
				const struct bench_traffic traffic = {
					.size = (uint32_t)settings->sizes.values[s],
					.flows = (uint32_t)settings->flows.values[f],
					.workers = (uint32_t)settings->workers.values[w],
				};

				if (settings->finds_max) {
					bench->found[bench->found_count].traffic = traffic;
					bench->found[bench->found_count++].traffic.rate = BENCH_RATE_ANY;
				}
				for (unsigned r = 0; r < settings->rates.count; r++, one++) {
					one->traffic = traffic;
					one->traffic.rate = settings->rates.values[r];
					bench->case_count++;
				}
			}
	return 0;
}

/* From here on a signal is something to read. */
static int take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void count_steps(struct bench *bench)
{
	unsigned programs = 0;

	for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++)
		programs += bench->settings.has_program[program];
	bench->steps = (uint64_t)bench->case_count * bench->settings.rounds * programs;
	bench->steps += (uint64_t)bench->found_count *
			(1 + (bench->settings.has_program[BENCH_YARDSTICK] ? 2 : 1) *
				     (BENCH_FIND_STEPS + BENCH_FIND_CONFIRMATIONS));
}

/* ---- measuring ---- */

static int measure_into(struct bench *bench, struct bench_case *one, enum bench_program program)
{
	struct bench_series *series = &one->series[program];
	char what[128], kind[96];

	bench_describe(kind, sizeof kind, &one->traffic);
	snprintf(what, sizeof what, "%s, %s", bench_program_names[program], kind);
	bench_progress(bench, what);
	if (bench_measure(bench, program, &one->traffic))
		return -1;
	if (!series->latency && !(series->latency = calloc(1, sizeof *series->latency)))
		return bench_fail(bench, "out of memory");
	histogram_merge(series->latency, &bench->shared->latency);
	series->rounds[series->count++] = bench->shared->round;
	bench->steps_done++;
	return 0;
}

/* The programs in turn, and that again and again: what disturbs for a while disturbs all of them. */
static int measure_all(struct bench *bench)
{
	const struct bench_settings *settings = &bench->settings;

	for (unsigned i = 0; i < bench->case_count; i++)
		for (unsigned round = 0; round < settings->rounds; round++)
			for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++)
				if (settings->has_program[program] && measure_into(bench, &bench->cases[i], program))
					return -1;
	for (unsigned i = 0; i < bench->found_count; i++)
		if (bench_find(bench, &bench->found[i]))
			return -1;
	return 0;
}

/* ---- what was asked to be shown ---- */

static FILE *open_output(const char *option, const char *path, bool *good)
{
	FILE *file;

	if (!path)
		return NULL;
	if (!strcmp(path, "-"))
		return stdout;
	file = fopen(path, "we");
	if (!file) {
		fprintf(stderr, "verdict: %s: '%s' cannot be written: %s\n", option, path, strerror(errno));
		*good = false;
	}
	return file;
}

static bool close_output(const char *path, FILE *file)
{
	bool good = !fflush(file) && !ferror(file);

	if (file != stdout && fclose(file))
		good = false;
	if (!good)
		fprintf(stderr, "verdict: '%s' could not be written: is the disk full?\n", path);
	return good;
}

static void drop_output(FILE *file)
{
	if (file && file != stdout)
		fclose(file);
}

static bool show(const struct bench *bench, FILE *json, FILE *report)
{
	bool good = true;

	if (json != stdout && report != stdout)
		bench_text(bench, stdout);
	good = !fflush(stdout) && good;
	if (json) {
		bench_json(bench, json);
		good = close_output(bench->settings.json_path, json) && good;
	}
	if (report) {
		bench_report(bench, report);
		good = close_output(bench->settings.report_path, report) && good;
	}
	return good;
}

/* Everything behind the options. Returns the exit code. */
static int run(struct bench *bench)
{
	bool good = true;
	FILE *json, *report;
	int result;

	bench->shared = mmap(NULL, sizeof *bench->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bench->shared == MAP_FAILED)
		return out_of_memory();
	if ((result = try_functions(&bench->settings)) || (result = prepare_cases(bench)))
		return result;
	if (geteuid()) {
		say("bench makes network namespaces and reads a queue in them: run it as root");
		return 1;
	}
	json = open_output("--json", bench->settings.json_path, &good);
	report = good ? open_output("--report", bench->settings.report_path, &good) : NULL;
	if (!good) {
		drop_output(json);
		return 1;
	}
	bench_machine_read(&bench->machine);
	bench->signals = take_signals();
	bench->shows_progress = !bench->settings.has_no_progress && isatty(STDERR_FILENO);
	count_steps(bench);
	result = bench_net_make(bench);
	if (!result)
		result = measure_all(bench);
	bench_progress_end(bench);
	if (result && !bench->interrupted) {
		say(bench->error.text);
		drop_output(json);
		drop_output(report);
		return bench->exit_code;
	}
	if (!show(bench, json, report))
		return 1;
	if (!bench->interrupted)
		return 0;
	say("interrupted: what was measured until then is shown");
	return 128 + bench->interrupted;
}

static void free_all(struct bench *bench)
{
	for (unsigned i = 0; i < bench->case_count; i++)
		for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++)
			free(bench->cases[i].series[program].latency);
	free(bench->cases);
	free(bench->found);
	free(bench);
}

int verdict_bench(int argc, char **argv)
{
	struct bench *bench = calloc(1, sizeof *bench);
	int result;

	if (!bench)
		return out_of_memory();
	bench->settings = (struct bench_settings){
		.rates = {.count = 1, .values = {0}},
		.sizes = {.count = 1, .values = {64}},
		.flows = {.count = 1, .values = {64}},
		.workers = {.count = 1, .values = {0}},
		.duration_ns = BENCH_SECOND_NS,
		.rounds = 5,
		.has_program = {[BENCH_VERDICT] = true, [BENCH_YARDSTICK] = true, [BENCH_NONE] = true},
	};
	result = read_options(&bench->settings, argc, argv);
	if (!result)
		result = run(bench);
	free_all(bench);
	return result < 0 ? 0 : result;
}
