/* SPDX-License-Identifier: MIT */
/*
 * verdict replay: the functions of `verdict run` over a capture, with no kernel queue and no privileges.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/stats.h"

struct replay {
	struct vd_engine_options options;
	struct vd_capture_options capture;
	const char *functions[VD_ENGINE_FUNCTIONS_MAX];
	unsigned function_count;
	enum vd_stats_form stats;
	FILE *summary; /* standard output, or standard error when packets go to the former */

	struct vd_engine *engine;
	struct vd_error error;
	struct vd_snapshot snapshot;
};

static const char HELP[] =
	"usage: verdict replay CAPTURE [OPTION ...]\n"
	"\n"
	"Has functions decide on the packets of a capture, as `verdict run` does on those of a queue. Needs no privileges.\n"
	"CAPTURE is a pcap or pcapng file, or - for standard input: Ethernet (also with VLAN tags), raw IP, Linux cooked\n"
	"or BSD loopback. Packets that are not IP pass undecided.\n"
	"\n"
	"where packets go\n"
	"  -w, --write FILE      accepted packets, as rewritten; - is standard output (nowhere)\n"
	"  --dropped FILE        dropped packets, rejected ones too, as they came (nowhere)\n"
	"\n"
	"who decides\n"
	"  --function SPEC       NAME[:ARGUMENTS] or ./FILE.so[:ARGUMENTS]; may be repeated: the first verdict counts\n"
	"  --default VERDICT     accept or drop, when no function has an opinion (accept)\n"
	"  --on-fault VERDICT    accept or drop, for a faulty function's packet (drop)\n"
	"\n"
	"how, and what to show\n"
	"  --workers N           threads; the packets come out in the same order (1)\n"
	"  --copy-range BYTES    of each packet that functions see (what they need)\n"
	"  --verify              count packets with wrong checksums, before and after; copies whole packets\n"
	"  --stats FORM          text, json or none (text)\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  verdict replay in.pcap --function ./mine.so -w accepted.pcap --dropped dropped.pcap\n"
	"  verdict replay in.pcap --function match:'udp port 53=drop' -w - | tcpdump -nr -\n"
	"  verdict replay in.pcap --function ./mine.so --stats json | jq '.functions[0].counters'\n"
	"\n"
	"exit status: 0 decided to the end, 1 an error, 2 wrong usage. More in verdict-replay(1) and verdict-functions(7).\n";

static void say(void *unused, const char *line)
{
	(void)unused;
	fprintf(stderr, "verdict: %s\n", line);
}

/* ---- options ---- */

enum { OPTION_FUNCTION = 256, OPTION_DROPPED, OPTION_WORKERS, OPTION_DEFAULT, OPTION_ON_FAULT, OPTION_COPY_RANGE,
       OPTION_VERIFY, OPTION_STATS };

static const struct option OPTIONS[] = {
	{"function", required_argument, NULL, OPTION_FUNCTION},
	{"write", required_argument, NULL, 'w'},
	{"dropped", required_argument, NULL, OPTION_DROPPED},
	{"workers", required_argument, NULL, OPTION_WORKERS},
	{"default", required_argument, NULL, OPTION_DEFAULT},
	{"on-fault", required_argument, NULL, OPTION_ON_FAULT},
	{"copy-range", required_argument, NULL, OPTION_COPY_RANGE},
	{"verify", no_argument, NULL, OPTION_VERIFY},
	{"stats", required_argument, NULL, OPTION_STATS},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool add_function(struct replay *replay, const char *specification)
{
	if (replay->function_count == VD_ENGINE_FUNCTIONS_MAX) {
		fprintf(stderr, "verdict: --function: more than %d functions\n", VD_ENGINE_FUNCTIONS_MAX);
		return false;
	}
	replay->functions[replay->function_count++] = specification;
	return true;
}

static bool read_option(void *argument, int option, const char *text)
{
	struct replay *replay = argument;
	uint64_t number = 0;
	bool good;

	switch (option) {
	case OPTION_FUNCTION:
		return add_function(replay, text);
	case 'w':
		replay->capture.accepted_path = text;
		return true;
	case OPTION_DROPPED:
		replay->capture.dropped_path = text;
		return true;
	case OPTION_WORKERS:
		good = vd_option_number("--workers", text, 1, VD_ENGINE_WORKERS_MAX, &number);
		replay->options.workers = (unsigned)number;
		return good;
	case OPTION_DEFAULT:
		return vd_option_verdict("--default", text, &replay->options.default_verdict);
	case OPTION_ON_FAULT:
		return vd_option_verdict("--on-fault", text, &replay->options.fault_verdict);
	case OPTION_COPY_RANGE:
		good = vd_option_number("--copy-range", text, 1, 65531, &number);
		replay->options.copy_range = (uint32_t)number;
		return good;
	case OPTION_VERIFY:
		replay->capture.verify = true;
		return true;
	case OPTION_STATS:
		return vd_option_stats("--stats", text, &replay->stats);
	default:
		return false;
	}
}

static bool is_standard(const char *path)
{
	return path && !strcmp(path, "-");
}

/* 0 go on, -1 help was given, otherwise the exit code. */
static int read_options(struct replay *replay, int argc, char **argv)
{
	int result = vd_options_read("replay", HELP, "w:h", OPTIONS, read_option, replay, argc, argv);

	if (result)
		return result;
	if (optind != argc - 1) {
		if (optind == argc)
			say(NULL, "replay needs a capture to read: verdict replay CAPTURE");
		else
			fprintf(stderr, "verdict: replay reads one capture at a time, not '%s' as well\n", argv[optind + 1]);
		return vd_option_usage("replay");
	}
	if (replay->capture.verify && replay->options.copy_range) {
		say(NULL, "--verify needs whole packets: leave out --copy-range");
		return vd_option_usage("replay");
	}
	replay->capture.path = argv[optind];
	if (is_standard(replay->capture.accepted_path) || is_standard(replay->capture.dropped_path)) {
		replay->summary = stderr;
		if (isatty(STDOUT_FILENO)) {
			say(NULL, "packets are not written to a terminal: name a file, or pipe them into a program");
			return EXIT_USAGE;
		}
	}
	return 0;
}

/* ---- the summary ---- */

static void row(FILE *file, const char *name, uint64_t number)
{
	fprintf(file, "  %-22s %14" PRIu64 "\n", name, number);
}

static void row_if_any(FILE *file, const char *name, uint64_t number)
{
	if (number)
		row(file, name, number);
}

static void summarize_capture(FILE *file, const struct vd_queue_stats *stats)
{
	const uint64_t *verdicts = stats->verdicts;

	row(file, "packets", stats->received);
	row(file, "accepted", verdicts[VD_ACCEPT] + verdicts[VD_STOP] + verdicts[VD_REPEAT] + verdicts[VD_QUEUE]);
	row_if_any(file, "of them stopped", verdicts[VD_STOP]);
	row_if_any(file, "of them repeated", verdicts[VD_REPEAT]);
	row_if_any(file, "of them requeued", verdicts[VD_QUEUE]);
	row(file, "dropped", verdicts[VD_DROP] + verdicts[VD_REJECT]);
	row_if_any(file, "of them rejected", verdicts[VD_REJECT]);
	row(file, "by default", stats->by_default);
	row(file, "rewritten", stats->rewritten);
	row(file, "malformed", stats->malformed);
	row(file, "faults", stats->faults);
	row(file, "edits refused", stats->edits_refused);
	if (!stats->verified)
		return;
	row(file, "checksums checked", stats->checksums_checked);
	row(file, "wrong before", stats->checksums_wrong_before);
	row(file, "wrong after", stats->checksums_wrong_after);
	row(file, "cannot be told", stats->checksums_unknown);
}

static void summarize(FILE *file, const char *path, const struct vd_snapshot *snapshot)
{
	uint64_t packets = snapshot->queues[0].received;

	fprintf(file, "capture %s:\n", path);
	summarize_capture(file, &snapshot->queues[0]);
	for (unsigned i = 0; i < snapshot->function_count; i++)
		vd_stats_text_function(file, &snapshot->functions[i]);
	fprintf(file, "%.3f s, %.0f packets/s\n", snapshot->seconds,
		snapshot->seconds > 0 ? (double)packets / snapshot->seconds : 0);
}

/* Returns false when it could not be written. */
static bool show(struct replay *replay)
{
	if (replay->stats == VD_STATS_JSON)
		vd_stats_json_line(replay->summary, &replay->snapshot, true);
	else if (replay->stats == VD_STATS_TEXT)
		summarize(replay->summary, replay->capture.path, &replay->snapshot);
	return !fflush(replay->summary) && !ferror(replay->summary);
}

/* ---- the run ---- */

/* What was given was wrong, or it could not be done. */
static int exit_code(int result)
{
	return result == -EINVAL ? EXIT_USAGE : 1;
}

/* Everything that can be refused before a file is written. Returns the exit code. */
static int prepare(struct replay *replay)
{
	int result;

	replay->options.log = say;
	if (vd_engine_create(&replay->engine, &replay->options, &replay->error) ||
	    vd_engine_add_capture(replay->engine, &replay->capture, &replay->error)) {
		say(NULL, replay->error.text);
		return 1;
	}
	for (unsigned i = 0; i < replay->function_count; i++)
		if ((result = vd_engine_load_function(replay->engine, replay->functions[i], &replay->error))) {
			say(NULL, replay->error.text);
			return exit_code(result);
		}
	return 0;
}

static struct vd_engine *running; /* for the signal's handler; set before there is one, and as long as there is */

static void stop(int number)
{
	(void)number;
	vd_engine_stop(running);
}

/* The first signal makes it come to an end, with whole files; a second one ends it at once. */
static void handle_signals(struct vd_engine *engine)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = engine ? stop : SIG_DFL, .sa_flags = (int)SA_RESETHAND};

	if (engine)
		running = engine;
	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &action, NULL);
}

static int run(struct replay *replay)
{
	uint64_t start = vd_clock_ns();
	const struct vd_queue_stats *stats = &replay->snapshot.queues[0];
	int result;

	handle_signals(replay->engine);
	result = vd_engine_run(replay->engine, &replay->error);
	handle_signals(NULL);
	vd_snapshot_take(&replay->snapshot, replay->engine, (double)(vd_clock_ns() - start) / 1e9);
	/* of a capture that is cut short, what came before is told as well */
	if ((!result || stats->received) && !show(replay) && !result) {
		say(NULL, "the summary could not be written: give standard output a place that takes it");
		return 1;
	}
	if (result) {
		say(NULL, replay->error.text);
		return exit_code(result);
	}
	if (!stats->ended) {
		say(NULL, "stopped before the end of the capture: what was decided is complete, replay again for the rest");
		return 1;
	}
	return 0;
}

int verdict_replay(int argc, char **argv)
{
	struct replay *replay = calloc(1, sizeof *replay);
	int result;

	if (!replay) {
		say(NULL, "out of memory");
		return 1;
	}
	replay->options = (struct vd_engine_options)VD_ENGINE_OPTIONS_INIT;
	replay->options.workers = 1;
	replay->summary = stdout;
	result = read_options(replay, argc, argv);
	if (!result)
		result = prepare(replay);
	if (!result)
		result = run(replay);
	vd_engine_destroy(replay->engine);
	free(replay);
	return result < 0 ? 0 : result;
}
