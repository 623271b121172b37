/* SPDX-License-Identifier: MIT */
/*
 * verdict run: reads queues of the kernel until it is told to stop.
 *
 * The engine runs in a thread of its own; this one waits for signals and for the next second to report.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/stats.h"

#define CPUS_MAX 1024

struct run {
	struct vd_engine_options options;
	unsigned cpus[CPUS_MAX];
	uint64_t seconds; /* --for; 0: no limit */
	enum vd_stats_form stats;
	bool has_stats;
	const char *functions[VD_ENGINE_FUNCTIONS_MAX + 1];
	unsigned function_count;
	unsigned queues[VD_ENGINE_QUEUES_MAX + 1];
	unsigned queue_count;

	struct vd_engine *engine;
	struct vd_error error;
	int result;
	int ended; /* an eventfd: the engine's thread has come to its end */
	struct vd_snapshot snapshots[2];
};

static const char HELP[] =
	"usage: verdict run --queue N [OPTION ...]\n"
	"\n"
	"Reads packets that netfilter queues, has functions decide on them, and answers.\n"
	"\n"
	"what to read\n"
	"  --queue N|A-B         a queue or a range of them, 0 to 65535; may be repeated\n"
	"  --netns NAME          in this network namespace (`ip netns`, or a path)\n"
	"  --maxlen N            packets that the kernel queues (16384)\n"
	"  --copy-range BYTES    of each packet that are copied (what the functions need)\n"
	"  --no-gso              have the kernel cut large packets into segments\n"
	"  --fail-open           when the queue is full, packets pass instead of being dropped\n"
	"\n"
	"who decides\n"
	"  --function SPEC       NAME[:ARGUMENTS] or ./FILE.so[:ARGUMENTS]; may be repeated: the first verdict counts\n"
	"  --default VERDICT     accept or drop, when no function has an opinion (accept)\n"
	"  --on-fault VERDICT    accept or drop, for a faulty function's packet, and at the stop for what is still\n"
	"                        queued (drop)\n"
	"\n"
	"how\n"
	"  --workers N           threads that read and decide (one per CPU)\n"
	"  --writers N           threads that only send verdicts (0: workers send their own)\n"
	"  --cpu LIST            pin the threads to these CPUs, as in 0-2,5\n"
	"  --batch N             packets and verdicts handled together, 1 to 64 (64)\n"
	"  --batch-delay µs      how long packets may wait for company (0)\n"
	"  --reject-rate N       answers to the senders of rejected packets, a second, 1 to 1000000 (1000)\n"
	"  --reject-mark MARK    the mark of these answers, for rules that let them past the queue (none)\n"
	"\n"
	"until when, and what to show\n"
	"  --for SECONDS         stop by itself after this time\n"
	"  --packets N           stop by itself after N packets\n"
	"  --stats FORM          text, json or none (text; a line each second only on a terminal)\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  iptables -A FORWARD -j NFQUEUE --queue-balance 0:3 --queue-bypass\n"
	"  verdict run --queue 0-3 --function accept\n"
	"  verdict run --queue 0 --function match:'udp port 53=drop' --function ./mine.so:strict --stats json\n"
	"\n"
	"exit status: 0 stopped as asked, 1 an error, 2 wrong usage. More in verdict-run(1) and verdict-functions(7).\n";

static bool read_queues(struct run *run, const char *text)
{
	uint64_t first, last;

	if (!vd_option_range("--queue", text, 0, UINT16_MAX, &first, &last))
		return false;
	for (uint64_t queue = first; queue <= last; queue++) {
		if (run->queue_count == VD_ENGINE_QUEUES_MAX) {
			fprintf(stderr, "verdict: --queue: more than %d queues\n", VD_ENGINE_QUEUES_MAX);
			return false;
		}
		run->queues[run->queue_count++] = (unsigned)queue;
	}
	return true;
}

static bool read_cpus(struct run *run, const char *text)
{
	char part[32];

	run->options.cpu_count = 0;
	while (*text) {
		size_t length = strcspn(text, ",");
		uint64_t first, last;

		snprintf(part, sizeof part, "%.*s", (int)length, text);
		if (!vd_option_range("--cpu", part, 0, CPUS_MAX - 1, &first, &last))
			return false;
		for (uint64_t cpu = first; cpu <= last && run->options.cpu_count < CPUS_MAX; cpu++)
			run->cpus[run->options.cpu_count++] = (unsigned)cpu;
		text += length + (text[length] == ',');
	}
	run->options.cpus = run->cpus;
	return run->options.cpu_count || (fprintf(stderr, "verdict: --cpu takes a list of CPUs, as in 0-2,5\n"), false);
}

static bool add_function(struct run *run, const char *specification)
{
	if (run->function_count == VD_ENGINE_FUNCTIONS_MAX) {
		fprintf(stderr, "verdict: --function: more than %d functions\n", VD_ENGINE_FUNCTIONS_MAX);
		return false;
	}
	run->functions[run->function_count++] = specification;
	return true;
}

enum {
	OPTION_QUEUE = 256, OPTION_FUNCTION, OPTION_WORKERS, OPTION_WRITERS, OPTION_MAXLEN, OPTION_COPY_RANGE, OPTION_NO_GSO,
	OPTION_FAIL_OPEN, OPTION_DEFAULT, OPTION_ON_FAULT, OPTION_CPU, OPTION_BATCH, OPTION_BATCH_DELAY, OPTION_NETNS,
	OPTION_STATS, OPTION_FOR, OPTION_PACKETS, OPTION_REJECT_RATE, OPTION_REJECT_MARK,
};

static const struct option OPTIONS[] = {
	{"queue", required_argument, NULL, OPTION_QUEUE},
	{"function", required_argument, NULL, OPTION_FUNCTION},
	{"workers", required_argument, NULL, OPTION_WORKERS},
	{"writers", required_argument, NULL, OPTION_WRITERS},
	{"maxlen", required_argument, NULL, OPTION_MAXLEN},
	{"copy-range", required_argument, NULL, OPTION_COPY_RANGE},
	{"no-gso", no_argument, NULL, OPTION_NO_GSO},
	{"fail-open", no_argument, NULL, OPTION_FAIL_OPEN},
	{"default", required_argument, NULL, OPTION_DEFAULT},
	{"on-fault", required_argument, NULL, OPTION_ON_FAULT},
	{"cpu", required_argument, NULL, OPTION_CPU},
	{"batch", required_argument, NULL, OPTION_BATCH},
	{"batch-delay", required_argument, NULL, OPTION_BATCH_DELAY},
	{"reject-rate", required_argument, NULL, OPTION_REJECT_RATE},
	{"reject-mark", required_argument, NULL, OPTION_REJECT_MARK},
	{"netns", required_argument, NULL, OPTION_NETNS},
	{"stats", required_argument, NULL, OPTION_STATS},
	{"for", required_argument, NULL, OPTION_FOR},
	{"packets", required_argument, NULL, OPTION_PACKETS},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool read_option(void *argument, int option, const char *text)
{
	struct run *run = argument;
	struct vd_engine_options *options = &run->options;
	uint64_t number = 0;
	bool good;

	switch (option) {
	case OPTION_QUEUE:
		return read_queues(run, text);
	case OPTION_FUNCTION:
		return add_function(run, text);
	case OPTION_WORKERS:
		good = vd_option_number("--workers", text, 1, VD_ENGINE_WORKERS_MAX, &number);
		options->workers = (unsigned)number;
		return good;
	case OPTION_WRITERS:
		good = vd_option_number("--writers", text, 0, VD_ENGINE_WRITERS_MAX, &number);
		options->writers = (unsigned)number;
		return good;
	case OPTION_MAXLEN:
		good = vd_option_number("--maxlen", text, 1, VD_ENGINE_MAXLEN_MAX, &number);
		options->maxlen = (uint32_t)number;
		return good;
	case OPTION_COPY_RANGE:
		good = vd_option_number("--copy-range", text, 1, 65531, &number);
		options->copy_range = (uint32_t)number;
		return good;
	case OPTION_NO_GSO:
		options->no_gso = true;
		return true;
	case OPTION_FAIL_OPEN:
		options->fail_open = true;
		return true;
	case OPTION_DEFAULT:
		return vd_option_verdict("--default", text, &options->default_verdict);
	case OPTION_ON_FAULT:
		return vd_option_verdict("--on-fault", text, &options->fault_verdict);
	case OPTION_CPU:
		return read_cpus(run, text);
	case OPTION_BATCH:
		good = vd_option_number("--batch", text, 1, VD_BURST_MAX, &number);
		options->batch = (unsigned)number;
		return good;
	case OPTION_BATCH_DELAY:
		good = vd_option_number("--batch-delay", text, 0, 1000000, &number);
		options->batch_delay_us = (uint32_t)number;
		return good;
	case OPTION_REJECT_RATE:
		good = vd_option_number("--reject-rate", text, 1, VD_ENGINE_REJECT_RATE_MAX, &number);
		options->reject_rate = (uint32_t)number;
		return good;
	case OPTION_REJECT_MARK:
		good = vd_option_number("--reject-mark", text, 1, UINT32_MAX, &number);
		options->reject_mark = (uint32_t)number;
		return good;
	case OPTION_NETNS:
		options->netns = text;
		return true;
	case OPTION_STATS:
		run->has_stats = true;
		return vd_option_stats("--stats", text, &run->stats);
	case OPTION_FOR:
		return vd_option_number("--for", text, 1, 1u << 30, &run->seconds);
	case OPTION_PACKETS:
		return vd_option_number("--packets", text, 1, INT64_MAX, &options->packets_max);
	default:
		return false;
	}
}

/* 0 go on, -1 help was given, otherwise the exit code. */
static int read_options(struct run *run, int argc, char **argv)
{
	int result = vd_options_read("run", HELP, "h", OPTIONS, read_option, run, argc, argv);

	if (result)
		return result;
	if (optind < argc) {
		fprintf(stderr, "verdict: run takes options only, not '%s'\n", argv[optind]);
		return vd_option_usage("run");
	}
	if (!run->queue_count) {
		fprintf(stderr, "verdict: run needs a queue to read: --queue N\n");
		return vd_option_usage("run");
	}
	return 0;
}

static void say(void *unused, const char *line)
{
	(void)unused;
	fprintf(stderr, "verdict: %s\n", line);
}

/* What was given was wrong, or it could not be done. */
static int exit_code(int result)
{
	return result == -EINVAL ? EXIT_USAGE : 1;
}

/* Everything that can be refused before a queue is bound. Returns the exit code. */
static int prepare(struct run *run)
{
	int result;

	run->options.log = say;
	result = vd_engine_create(&run->engine, &run->options, &run->error);
	if (result) {
		say(NULL, run->error.text);
		return exit_code(result);
	}
	for (unsigned i = 0; i < run->queue_count; i++)
		if (vd_engine_add_queue(run->engine, run->queues[i], &run->error)) {
			say(NULL, run->error.text);
			return EXIT_USAGE;
		}
	for (unsigned i = 0; i < run->function_count; i++)
		if ((result = vd_engine_load_function(run->engine, run->functions[i], &run->error))) {
			say(NULL, run->error.text);
			return exit_code(result);
		}
	return 0;
}

static void *engine_main(void *argument)
{
	struct run *run = argument;
	uint64_t one = 1;

	run->result = vd_engine_run(run->engine, &run->error);
	(void)!write(run->ended, &one, sizeof one);
	return NULL;
}

static void show(struct run *run, double seconds)
{
	struct vd_snapshot *before = &run->snapshots[0], *now = &run->snapshots[1];

	vd_snapshot_take(now, run->engine, seconds);
	if (run->stats == VD_STATS_JSON)
		vd_stats_json_line(stdout, now, false);
	else
		vd_stats_text_line(stdout, before, now);
	*before = *now;
}

/* A second request to stop, while the first is still being served: somebody does not want to wait. */
static void take_signal(struct run *run, int signals, bool *has_stopped)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (*has_stopped) {
		say(NULL, "stopped a second time before all packets were answered: leaving now, the kernel drops them");
		_exit(1);
	}
	*has_stopped = true;
	vd_engine_stop(run->engine);
}

static void wait_until_ended(struct run *run, int signals)
{
	struct pollfd pollfds[2] = {{.fd = run->ended, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	bool shows = run->stats == VD_STATS_JSON || (run->stats == VD_STATS_TEXT && (run->has_stats || isatty(STDOUT_FILENO)));
	uint64_t start = vd_clock_ns(), next = start + 1000000000u;
	uint64_t end = run->seconds ? start + run->seconds * 1000000000u : UINT64_MAX;
	bool has_stopped = false;

	for (;;) {
		uint64_t now = vd_clock_ns(), until = shows && next < end ? next : end;
		int timeout = until == UINT64_MAX ? -1 : until > now ? (int)((until - now) / 1000000u + 1) : 0;

		poll(pollfds, 2, timeout > 1000000 ? 1000000 : timeout);
		now = vd_clock_ns();
		if (pollfds[0].revents)
			return;
		if (pollfds[1].revents)
			take_signal(run, signals, &has_stopped);
		if (now >= end) {
			vd_engine_stop(run->engine);
			end = UINT64_MAX;
		}
		if (shows && now >= next) {
			show(run, (double)(now - start) / 1e9);
			next += 1000000000u;
		}
	}
}

static int run_engine(struct run *run)
{
	uint64_t start = vd_clock_ns();
	struct sigaction hangup;
	pthread_t thread;
	sigset_t set;
	int signals;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN) /* nohup(1) means it */
		sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	run->ended = eventfd(0, EFD_CLOEXEC);
	if (signals < 0 || run->ended < 0 || pthread_create(&thread, NULL, engine_main, run)) {
		say(NULL, "out of descriptors or threads");
		return 1;
	}
	wait_until_ended(run, signals);
	pthread_join(thread, NULL);
	close(signals);
	close(run->ended);
	if (run->result) {
		say(NULL, run->error.text);
		return exit_code(run->result);
	}
	vd_snapshot_take(&run->snapshots[1], run->engine, (double)(vd_clock_ns() - start) / 1e9);
	if (run->stats == VD_STATS_JSON)
		vd_stats_json_line(stdout, &run->snapshots[1], true);
	else if (run->stats == VD_STATS_TEXT)
		vd_stats_text_summary(stdout, &run->snapshots[1]);
	return 0;
}

int verdict_run(int argc, char **argv)
{
	struct run *run = calloc(1, sizeof *run);
	int result;

	if (!run) {
		say(NULL, "out of memory");
		return 1;
	}
	run->options = (struct vd_engine_options)VD_ENGINE_OPTIONS_INIT;
	result = read_options(run, argc, argv);
	if (!result)
		result = prepare(run);
	if (!result)
		result = run_engine(run);
	vd_engine_destroy(run->engine);
	free(run);
	return result < 0 ? 0 : result;
}
