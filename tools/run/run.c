/* SPDX-License-Identifier: MIT */
/*
 * verdict run: what its options say, and a file, becomes an engine; daemon.h runs it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "tools/commands.h"
#include "tools/log/log.h"
#include "tools/options.h"
#include "tools/run/control.h"
#include "tools/run/culprits.h"
#include "tools/run/daemon.h"
#include "tools/run/reload.h"
#include "tools/run/takeover.h"
#include "tools/service/selftest.h"
#include "tools/service/supervisor.h"

struct run {
	struct vd_source source;
	struct vd_error error;
	struct vd_daemon daemon;
	struct vd_daemon_answers answers;
	struct vd_service service;
	struct vd_culprits *culprits; /* NULL: they are not kept */
	bool takes_over;
};

static const char HELP[] =
	"usage: verdict run --queue N [OPTION ...]\n"
	"       verdict run --config FILE [OPTION ...]\n"
	"\n"
	"Reads packets that netfilter queues, has functions decide on them, and answers.\n"
	"\n"
	"what to read\n"
	"  --config FILE         settings from a file: every option has a key there, see verdict.conf(5); options win\n"
	"  --queue N|A-B         a queue or a range of them, 0 to 65535; may be repeated\n"
	"  --netns NAME          in this network namespace (`ip netns`, or a path)\n"
	"  --maxlen N            packets that the kernel queues (16384)\n"
	"  --copy-range BYTES    of each packet that are copied (what the functions need)\n"
	"  --no-gso              have the kernel cut large packets into segments\n"
	"  --gso                 let them come whole, whatever the file says\n"
	"  --fail-open           when the queue is full, packets pass instead of being dropped\n"
	"  --no-fail-open        they are dropped, whatever the file says\n"
	"\n"
	"who decides\n"
	"  --function SPEC       NAME[:ARGUMENTS] or ./FILE.so[:ARGUMENTS]; may be repeated: the first verdict counts\n"
	"  --default VERDICT     accept or drop, when no function has an opinion (accept)\n"
	"  --on-fault VERDICT    accept or drop, for a faulty function's packet, and at the stop for what is still\n"
	"                        queued (drop)\n"
	"\n"
	"  --isolation HOW       thread: in this process; process: in one of their own, where a crash or a hang of a\n"
	"                        function costs one packet (thread)\n"
	"  --deadline TIME       how long functions may take for a burst, in µs or as in 100ms, with isolation process (1s)\n"
	"  --fault-capture FILE  write packets there with which a function crashed or hung (nowhere)\n"
	"\n"
	"how\n"
	"  --workers N           threads that read and decide (one per CPU)\n"
	"  --writers N           threads that only send verdicts (0: workers send their own)\n"
	"  --cpu LIST            pin the threads to these CPUs, as in 0-2,5\n"
	"  --batch N             packets and verdicts handled together, 1 to 64 (64)\n"
	"  --batch-delay TIME    how long packets may wait for company, in µs or as in 2ms (0)\n"
	"  --reject-rate N       answers to the senders of rejected packets, a second, 1 to 1000000 (1000)\n"
	"  --reject-mark MARK    the mark of these answers, for rules that let them past the queue (none)\n"
	"  --held-max N          packets that functions may hold, to decide them later, 1 to 1048576 (8192)\n"
	"\n"
	"with what privileges\n"
	"  --user USER[:GROUP]   become this user when the queues are bound, and keep CAP_NET_ADMIN only (stay who starts it)\n"
	"  --seccomp yes|no      refuse system calls that it does not need (yes with --user, no without)\n"
	"  --seccomp-allow LIST  of these, allow some that functions need, as in socket,connect\n"
	"\n"
	"until when, and what to show\n"
	"  --for TIME            stop by itself after this time, in seconds or as in 10min\n"
	"  --packets N           stop by itself after N packets\n"
	"  --supervise           read the queues in a second process, and start it again when it dies: verdict-service(7)\n"
	"  --no-supervise        in this one, whatever the file says\n"
	"  --stats FORM          text, json or none (text; a line each second only on a terminal)\n"
	"  --control NAME|PATH   be seen from outside: `verdict stats NAME`, `verdict top NAME`, `verdict dump NAME` (not)\n"
	"  --control-mode MODE   who may: the mode of that socket (0600)\n"
	"  --takeover            go on with the queues of the one that has that control socket now, and that ends\n"
	"  --metrics WHERE       show metrics for Prometheus over HTTP: a port of 127.0.0.1, or ADDRESS:PORT (none)\n"
	"\n"
	"what to say\n"
	"  --log FORM            text or json, on standard error: notes and errors (text)\n"
	"  --log-to PLACE        stderr, or journal: entries of systemd's journal (stderr)\n"
	"  --log-rate N          lines a second, the rest is counted, 0 to 1000000, 0 for no limit (100); errors always\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  iptables -A FORWARD -j NFQUEUE --queue-balance 0:3 --queue-bypass\n"
	"  verdict run --queue 0-3 --function accept\n"
	"  verdict run --queue 0 --function match:'udp port 53=drop' --function ./mine.so:strict --stats json\n"
	"\n"
	"exit status: 0 stopped as asked, 1 an error, 2 wrong usage. More in verdict-run(1) and verdict-functions(7).\n";

/* An option that is a key of the file as well is that key, and OPTION_KEY. */
enum { OPTION_QUEUE = 256, OPTION_FUNCTION, OPTION_CONFIG, OPTION_NO_GSO, OPTION_NO_FAIL_OPEN, OPTION_NO_SUPERVISE, OPTION_TAKEOVER, OPTION_KEY };

static const struct option OPTIONS[] = {
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"queue", required_argument, NULL, OPTION_QUEUE},
	{"function", required_argument, NULL, OPTION_FUNCTION},
	{"workers", required_argument, NULL, OPTION_KEY + VD_KEY_WORKERS},
	{"writers", required_argument, NULL, OPTION_KEY + VD_KEY_WRITERS},
	{"maxlen", required_argument, NULL, OPTION_KEY + VD_KEY_MAXLEN},
	{"copy-range", required_argument, NULL, OPTION_KEY + VD_KEY_COPY_RANGE},
	{"gso", no_argument, NULL, OPTION_KEY + VD_KEY_GSO},
	{"no-gso", no_argument, NULL, OPTION_NO_GSO},
	{"fail-open", no_argument, NULL, OPTION_KEY + VD_KEY_FAIL_OPEN},
	{"no-fail-open", no_argument, NULL, OPTION_NO_FAIL_OPEN},
	{"default", required_argument, NULL, OPTION_KEY + VD_KEY_DEFAULT},
	{"on-fault", required_argument, NULL, OPTION_KEY + VD_KEY_ON_FAULT},
	{"cpu", required_argument, NULL, OPTION_KEY + VD_KEY_CPU},
	{"batch", required_argument, NULL, OPTION_KEY + VD_KEY_BATCH},
	{"batch-delay", required_argument, NULL, OPTION_KEY + VD_KEY_BATCH_DELAY},
	{"isolation", required_argument, NULL, OPTION_KEY + VD_KEY_ISOLATION},
	{"deadline", required_argument, NULL, OPTION_KEY + VD_KEY_DEADLINE},
	{"fault-capture", required_argument, NULL, OPTION_KEY + VD_KEY_FAULT_CAPTURE},
	{"reject-rate", required_argument, NULL, OPTION_KEY + VD_KEY_REJECT_RATE},
	{"reject-mark", required_argument, NULL, OPTION_KEY + VD_KEY_REJECT_MARK},
	{"held-max", required_argument, NULL, OPTION_KEY + VD_KEY_HELD_MAX},
	{"netns", required_argument, NULL, OPTION_KEY + VD_KEY_NETNS},
	{"stats", required_argument, NULL, OPTION_KEY + VD_KEY_STATS},
	{"log", required_argument, NULL, OPTION_KEY + VD_KEY_LOG},
	{"log-to", required_argument, NULL, OPTION_KEY + VD_KEY_LOG_TO},
	{"log-rate", required_argument, NULL, OPTION_KEY + VD_KEY_LOG_RATE},
	{"metrics", required_argument, NULL, OPTION_KEY + VD_KEY_METRICS},
	{"user", required_argument, NULL, OPTION_KEY + VD_KEY_USER},
	{"seccomp", required_argument, NULL, OPTION_KEY + VD_KEY_SECCOMP},
	{"seccomp-allow", required_argument, NULL, OPTION_KEY + VD_KEY_SECCOMP_ALLOW},
	{"control", required_argument, NULL, OPTION_KEY + VD_KEY_CONTROL},
	{"takeover", no_argument, NULL, OPTION_TAKEOVER},
	{"control-mode", required_argument, NULL, OPTION_KEY + VD_KEY_CONTROL_MODE},
	{"for", required_argument, NULL, OPTION_KEY + VD_KEY_FOR},
	{"packets", required_argument, NULL, OPTION_KEY + VD_KEY_PACKETS},
	{"supervise", no_argument, NULL, OPTION_KEY + VD_KEY_SUPERVISE},
	{"no-supervise", no_argument, NULL, OPTION_NO_SUPERVISE},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* `text` NULL: an option without a value, which says yes. */
static int read_key(struct run *run, enum vd_key key, const char *text)
{
	char name[32];

	snprintf(name, sizeof name, "--%s", vd_key_name(key));
	return vd_setting_read(&run->source.command.general[key], key, name, text ? text : "yes", &(struct vd_origin){0}, &run->error);
}

static bool read_option(void *argument, int option, const char *text)
{
	static const struct vd_origin here = {0};
	struct run *run = argument;
	int result;

	switch (option) {
	case OPTION_CONFIG:
		run->source.config_path = text;
		return true;
	case OPTION_TAKEOVER:
		run->takes_over = true;
		return true;
	case OPTION_QUEUE:
		result = vd_settings_add_queues(&run->source.command, "--queue", text, NULL, &here, &run->error);
		break;
	case OPTION_FUNCTION:
		result = vd_settings_add_function(&run->source.command, "--function", text, &here, &run->error);
		break;
	case OPTION_NO_GSO:
		result = read_key(run, VD_KEY_GSO, "no");
		break;
	case OPTION_NO_FAIL_OPEN:
		result = read_key(run, VD_KEY_FAIL_OPEN, "no");
		break;
	case OPTION_NO_SUPERVISE:
		result = read_key(run, VD_KEY_SUPERVISE, "no");
		break;
	default:
		result = read_key(run, (enum vd_key)(option - OPTION_KEY), text);
	}
	if (result)
		vd_daemon_say(NULL, run->error.text);
	return !result;
}

/* The file, and the command line over it. Returns the exit code. */
static int read_source(struct run *run)
{
	int result = vd_source_read(&run->source, &run->error);

	if (result)
		vd_daemon_say(NULL, run->error.text);
	if (result == -ENOKEY && !run->source.config_path)
		return vd_option_usage("run");
	return result ? EXIT_USAGE : 0;
}

static int check_takeover(const struct run *run)
{
	const struct vd_setting *general = run->source.config->settings.general;

	if (!run->takes_over || (general[VD_KEY_CONTROL].is_given && !general[VD_KEY_SUPERVISE].number))
		return 0;
	vd_daemon_say(NULL, general[VD_KEY_SUPERVISE].number ?
				    "--takeover does not go with supervise: the supervisor starts another engine by SIGUSR2" :
				    "--takeover needs --control: the name that the one to be taken over from has");
	return vd_option_usage("run");
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
	result = read_source(run);
	return result ? result : check_takeover(run);
}

static int reload(void *argument, struct vd_error *error)
{
	struct run *run = argument;

	return vd_source_reload(&run->source, run->daemon.engine, run->daemon.metrics, vd_log_take, error);
}

/* What a scrape shows. */
static void look(void *argument, struct vd_snapshot *snapshot, double seconds)
{
	vd_daemon_look(argument, snapshot, seconds);
}

/* What a running daemon is seen by. */
static int open_doors(struct run *run)
{
	const struct vd_settings *settings = &run->source.config->settings;
	struct vd_metrics_server *server;
	int result = vd_daemon_control(&run->daemon, settings, run->source.config_path, &run->answers, &run->error);

	if (!result)
		result = vd_metrics_create(&run->daemon.metrics, run->daemon.engine, &run->error);
	if (!result)
		vd_metrics_take_by(run->daemon.metrics, look, &run->daemon);
	if (!result)
		result = vd_source_listen(settings, run->daemon.metrics, &server, &run->error);
	if (!result)
		vd_metrics_move(run->daemon.metrics, server);
	if (result)
		vd_daemon_say(NULL, run->error.text);
	return result ? 1 : 0;
}

/* First what is given up: a manager is told that it is ready when it is. */
static int ready(void *argument)
{
	struct run *run = argument;
	int result = vd_privileges_ready(&run->daemon.privileges);

	if (result)
		return result;
	vd_daemon_follow_rules(&run->daemon, VD_RULED_NOW);
	vd_service_ready(&run->service, run->daemon.engine);
	return 0;
}

static void ending(void *argument)
{
	vd_daemon_follow_rules(&((struct run *)argument)->daemon, VD_RULED_LAST);
}

static int take_socket(void *argument, unsigned queue)
{
	return vd_service_take_socket(&((struct run *)argument)->service, queue);
}

/* Of all that can be refused as much as possible is behind us: what is handed over cannot be given back. */
static int take_over(struct run *run)
{
	const struct vd_setting *control = &run->source.config->settings.general[VD_KEY_CONTROL];
	int result = vd_takeover(&run->service, control->text, &run->error);

	if (result == -ENOENT || result == -ECONNREFUSED) {
		vd_log_take(NULL, "note: nobody has that control socket, so there is nothing to take over: starting anew");
		return 0;
	}
	return result;
}

/* What functions in processes of their own need of the program. */
static int open_isolation(struct run *run, struct vd_engine_options *calls)
{
	const struct vd_setting *capture = &run->source.config->settings.general[VD_KEY_FAULT_CAPTURE];
	int result = 0;

	calls->confine = vd_privileges_confine;
	calls->confine_argument = &run->daemon.privileges;
	calls->confine_descriptor = run->daemon.privileges.refusals[1] > 0 ? run->daemon.privileges.refusals[1] : 0;
	if (capture->is_given) {
		result = vd_culprits_open(&run->culprits, capture->text, vd_log_take, &run->error);
		calls->culprit = run->culprits ? vd_culprits_take : NULL;
		calls->culprit_argument = run->culprits;
	}
	return result ? vd_origin_prefix(&run->error, &capture->origin, result) : 0;
}

/* Everything that can be refused before a queue is bound. Returns the exit code. */
static int prepare(struct run *run)
{
	const struct vd_settings *settings = &run->source.config->settings;
	const struct vd_setting *general = settings->general;
	struct vd_daemon *daemon = &run->daemon;
	struct vd_engine_options calls = {.log = vd_log_take, .ready = ready, .ready_argument = run, .ending = ending, .ending_argument = run};
	const struct vd_settings_sockets sockets = {.take = take_socket, .argument = run};
	int result = vd_source_open_log(settings, &run->error);

	daemon->service = &run->service;
	/* of a namespace that is not there the engine tells */
	daemon->ruled = vd_ruled_open(general[VD_KEY_NETNS].is_given ? general[VD_KEY_NETNS].text : NULL);
	if (!result)
		result = vd_privileges_init(&daemon->privileges, settings, &run->error);
	if (!result)
		result = vd_privileges_check(&daemon->privileges, vd_log_take, &run->error);
	if (!result && (run->service.has_manager || run->takes_over)) /* who starts it again does not look on; or there is no way back */
		result = vd_selftest(settings, &run->error);
	if (!result)
		result = open_isolation(run, &calls);
	if (!result && run->takes_over)
		result = take_over(run);
	if (!result) {
		vd_service_choose_sockets(&run->service, settings, vd_log_take);
		result = vd_settings_engine(settings, &calls, &sockets, &daemon->engine, &run->error);
	}
	if (result) {
		vd_daemon_say(NULL, run->error.text);
		return vd_daemon_exit_code(result);
	}
	daemon->seconds = general[VD_KEY_FOR].is_given ? general[VD_KEY_FOR].number : 0;
	daemon->stats_are_asked_for = general[VD_KEY_STATS].is_given;
	daemon->stats = daemon->stats_are_asked_for ? (enum vd_stats_form)general[VD_KEY_STATS].number : VD_STATS_TEXT;
	if (run->source.config_path) {
		daemon->reload = reload;
		daemon->reload_argument = run;
	}
	return open_doors(run);
}

/* A manager that is there does the same. */
static bool supervises(const struct run *run)
{
	const struct vd_setting *supervise = &run->source.config->settings.general[VD_KEY_SUPERVISE];

	if (!supervise->is_given || !supervise->number)
		return false;
	if (run->service.has_manager && run->service.supervisor < 0)
		vd_log_take(NULL, "note: supervise is left to the service manager that started this process");
	return !run->service.has_manager;
}

/* It has the log of the settings; what else they say is the engine's, which reads them itself. */
static int prepare_to_supervise(struct run *run)
{
	int result = vd_source_open_log(&run->source.config->settings, &run->error);

	if (result)
		vd_daemon_say(NULL, run->error.text);
	return result ? vd_daemon_exit_code(result) : 0;
}

static int work(struct run *run)
{
	int result = prepare(run);

	return result ? result : vd_daemon_run(&run->daemon);
}

int verdict_run(int argc, char **argv)
{
	struct run *run = calloc(1, sizeof *run);
	bool is_supervisor = false;
	int result;

	if (!run) {
		vd_daemon_say(NULL, "out of memory");
		return 1;
	}
	run->daemon.privileges = (struct vd_privileges){.asked = -1, .refusals = {-1, -1}};
	vd_service_open(&run->service, vd_log_take);
	result = read_options(run, argc, argv);
	if (!result) {
		is_supervisor = supervises(run);
		result = is_supervisor ? prepare_to_supervise(run) : work(run);
	}
	vd_metrics_destroy(run->daemon.metrics);
	vd_control_close(run->daemon.control); /* last: who takes over waits for that */
	vd_engine_destroy(run->daemon.engine);
	vd_culprits_close(run->culprits);
	vd_ruled_close(run->daemon.ruled);
	vd_service_close(&run->service);
	vd_privileges_fini(&run->daemon.privileges);
	vd_source_fini(&run->source);
	free(run);
	if (is_supervisor && !result)
		result = vd_supervisor_run(argc, argv);
	vd_log_close();
	return result < 0 ? 0 : result;
}
