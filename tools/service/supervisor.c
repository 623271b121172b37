/* SPDX-License-Identifier: MIT */
/*
 * A supervisor's life.
 *
 * What the engine leaves in the store says what it expects: sockets, and somebody goes on with their queues; none, and it has
 * settled them and given them back, as at the end of --for or after SIGINT. So an engine that ends well is started again in the
 * first case, and the supervisor ends with it in the second. An engine that dies is started again at once; one that dies right
 * after it was ready, or before, again and again, waits longer each time, and in the end the sockets are closed: a rule's bypass
 * flag lets packets pass only then.
 */
#include "tools/service/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/log/log.h"

#define SECOND_NS ((uint64_t)1000000000u)

/* An engine that lived shorter, ready, has died quickly. */
#define QUICK_NS SECOND_NS
#define QUICK_DEATHS_MAX 10

/* The first try is at once; then it takes twice as long each time. */
#define DELAY_NS 100000000u
#define DELAY_MAX_NS (5 * SECOND_NS)

/* Between the request to dump core and the end by force. */
#define ABORT_NS (2 * SECOND_NS)

static void say(enum vd_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(enum vd_log_level level, const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	vd_log_say(level, line);
}

/* ---- the engine's end ---- */

static uint64_t delay_ns(unsigned quick_deaths)
{
	uint64_t delay = DELAY_NS;

	if (quick_deaths < 2)
		return 0;
	for (unsigned i = 2; i < quick_deaths && delay < DELAY_MAX_NS; i++)
		delay *= 2;
	return delay < DELAY_MAX_NS ? delay : DELAY_MAX_NS;
}

/* "was killed by signal 11 (Segmentation fault), core dumped" */
static void describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
			 WCOREDUMP(status) ? ", core dumped" : "");
	else
		snprintf(text, size, "ended with exit code %d", WEXITSTATUS(status));
}

/* Decides what follows. -1: another engine is to be started, at start_ns; otherwise the exit code. */
static int bury(struct vd_supervisor *supervisor, pid_t engine, int status)
{
	bool is_well = WIFEXITED(status) && !WEXITSTATUS(status), is_wanted = supervisor->restarts_now && is_well;
	uint64_t now = vd_clock_ns(), delay;
	char how[128];

	describe(status, how, sizeof how);
	if (is_well && (supervisor->is_ending || (!supervisor->kept_count && !is_wanted)))
		return 0;
	if (supervisor->is_ending || !supervisor->has_been_ready) {
		if (WIFSIGNALED(status))
			say(VD_LOG_ERROR, "the engine (pid %d) %s", (int)engine, how);
		return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
	}
	supervisor->quick_deaths = is_wanted || (supervisor->is_ready && now - supervisor->ready_ns >= QUICK_NS) ?
					   0 : supervisor->quick_deaths + 1;
	if (supervisor->quick_deaths == QUICK_DEATHS_MAX) {
		say(VD_LOG_ERROR, "the engine (pid %d) %s: that was %u times in a row right after its start; giving up, and the queues with it",
		    (int)engine, how, QUICK_DEATHS_MAX);
		return 1;
	}
	delay = delay_ns(supervisor->quick_deaths);
	supervisor->start_ns = now + delay;
	if (is_wanted)
		return -1; /* that has been said */
	if (delay)
		say(VD_LOG_WARNING, "the engine (pid %d) %s: starting it again in %.1f s; meanwhile packets wait in %u queue%s", (int)engine, how,
		    (double)delay / 1e9, supervisor->kept_count, supervisor->kept_count == 1 ? "" : "s");
	else
		say(VD_LOG_WARNING, "the engine (pid %d) %s: starting it again", (int)engine, how);
	return -1;
}

/* -1: go on; otherwise the exit code. */
static int reap(struct vd_supervisor *supervisor)
{
	int status;
	pid_t engine = supervisor->engine;

	if (!engine || waitpid(engine, &status, WNOHANG) != engine)
		return -1;
	vd_supervisor_listen(supervisor); /* its last words */
	supervisor->engine = 0;
	supervisor->deadline_ns = UINT64_MAX;
	return bury(supervisor, engine, status);
}

/* ---- signals ---- */

static void pass_on(const struct vd_supervisor *supervisor, int signal)
{
	if (supervisor->engine)
		kill(supervisor->engine, signal);
}

/* Settled, that is not left to anybody: SIGINT. -1: go on; otherwise the exit code. */
static int end(struct vd_supervisor *supervisor)
{
	supervisor->is_ending = true;
	if (supervisor->engine) {
		pass_on(supervisor, SIGINT); /* a second time as well: then it does not wait */
		supervisor->deadline_ns = vd_clock_ns() + VD_SUPERVISOR_STOP_SECONDS * SECOND_NS;
		return -1;
	}
	say(VD_LOG_ERROR, "stopped while no engine was running: the kernel drops what waits");
	return 1;
}

static void restart(struct vd_supervisor *supervisor)
{
	if (!supervisor->engine) {
		supervisor->start_ns = 0;
	} else if (supervisor->is_ready && !supervisor->is_ending && !supervisor->restarts_now) {
		say(VD_LOG_INFO, "starting %s again: the engine (pid %d) leaves its queues to the next one", supervisor->path,
		    (int)supervisor->engine);
		supervisor->restarts_now = true;
		supervisor->deadline_ns = vd_clock_ns() + VD_SUPERVISOR_STOP_SECONDS * SECOND_NS;
		pass_on(supervisor, SIGTERM);
	}
}

/* -1: go on; otherwise the exit code. */
static int take_signals(struct vd_supervisor *supervisor)
{
	struct signalfd_siginfo info;
	int result = -1;

	while (result < 0 && read(supervisor->signals, &info, sizeof info) == (ssize_t)sizeof info)
		switch (info.ssi_signo) {
		case SIGCHLD:
			result = reap(supervisor);
			break;
		case SIGINT:
		case SIGTERM:
			result = end(supervisor);
			break;
		case SIGUSR2:
			restart(supervisor);
			break;
		default: /* SIGHUP; before the engine is ready it would end it */
			if (supervisor->is_ready)
				pass_on(supervisor, (int)info.ssi_signo);
		}
	return result;
}

/* ---- time ---- */

static void enforce_deadline(struct vd_supervisor *supervisor, uint64_t now)
{
	int engine = (int)supervisor->engine;

	if (supervisor->is_aborted || supervisor->is_ending || supervisor->says_it_stops) {
		say(VD_LOG_ERROR, "the engine (pid %d) does not end: killing it", engine);
		pass_on(supervisor, SIGKILL);
		supervisor->deadline_ns = UINT64_MAX;
		return;
	}
	if (supervisor->is_ready)
		say(VD_LOG_ERROR, "the engine (pid %d) has answered no packet for %d seconds, and packets wait: aborting it", engine,
		    VD_SUPERVISOR_WATCHDOG_SECONDS);
	else
		say(VD_LOG_ERROR, "the engine (pid %d) was not ready within %d seconds: aborting it", engine, VD_SUPERVISOR_START_SECONDS);
	pass_on(supervisor, SIGABRT);
	supervisor->is_aborted = true;
	supervisor->deadline_ns = now + ABORT_NS;
}

static int milliseconds_until(uint64_t when, uint64_t now)
{
	if (when == UINT64_MAX)
		return -1;
	return when <= now ? 0 : (int)((when - now) / 1000000u + 1);
}

/* Until the end. Returns the exit code. */
static int supervise(struct vd_supervisor *supervisor)
{
	struct pollfd pollfds[2] = {{.fd = supervisor->signals, .events = POLLIN}, {.fd = supervisor->notify, .events = POLLIN}};
	int result = -1;

	while (result < 0) {
		uint64_t now = vd_clock_ns();

		if (!supervisor->engine && now >= supervisor->start_ns) {
			int failed = vd_supervisor_start(supervisor);

			if (failed) {
				say(VD_LOG_ERROR, "no process can be started: %s", strerror(-failed));
				supervisor->start_ns = now + SECOND_NS;
			}
		}
		poll(pollfds, 2, milliseconds_until(supervisor->engine ? supervisor->deadline_ns : supervisor->start_ns, now));
		vd_supervisor_listen(supervisor);
		result = take_signals(supervisor);
		now = vd_clock_ns();
		if (result < 0 && supervisor->engine && now >= supervisor->deadline_ns)
			enforce_deadline(supervisor, now);
	}
	return result;
}

/* ---- the beginning ---- */

/* As it was called, so that a link may lead to another program by the next start; from whatever directory. NULL: out of memory. */
static char *find_program(void)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	char directory[PATH_MAX] = "", *path = NULL;

	if (!name || !*name || !strncmp(name, "/dev/fd/", 8) || !strncmp(name, "/proc/", 6))
		return realpath("/proc/self/exe", NULL);
	if (*name != '/' && !getcwd(directory, sizeof directory))
		return realpath("/proc/self/exe", NULL);
	return asprintf(&path, "%s%s%s", directory, *name == '/' ? "" : "/", name) < 0 ? NULL : path;
}

static int open_signals(struct vd_supervisor *supervisor)
{
	static const int SIGNALS[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR2};
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++)
		sigaddset(&set, SIGNALS[i]);
	sigprocmask(SIG_BLOCK, &set, &supervisor->signals_before);
	supervisor->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return supervisor->signals < 0 ? -errno : 0;
}

/* `verdict run OPTION...`, as it was. */
static char **command(char *path, int argc, char **argv)
{
	static char run[] = "run";
	char **copy = calloc((size_t)argc + 2, sizeof *copy);

	if (!copy)
		return NULL;
	copy[0] = path;
	copy[1] = run;
	for (int i = 1; i < argc; i++)
		copy[i + 1] = argv[i];
	return copy;
}

int vd_supervisor_run(int argc, char **argv)
{
	struct vd_supervisor *supervisor = calloc(1, sizeof *supervisor);
	int result = 1;

	if (supervisor) {
		supervisor->notify = supervisor->signals = supervisor->life[0] = supervisor->life[1] = -1;
		supervisor->path = find_program();
		supervisor->argv = command(supervisor->path, argc, argv);
	}
	if (!supervisor || !supervisor->path || !supervisor->argv) {
		say(VD_LOG_ERROR, "out of memory");
	} else if (open_signals(supervisor) || vd_supervisor_open_notify(supervisor) || pipe2(supervisor->life, O_CLOEXEC)) {
		say(VD_LOG_ERROR, "supervise: out of descriptors: %s", strerror(errno));
	} else {
		vd_supervisor_lower_capabilities();
		result = supervise(supervisor);
	}
	if (supervisor) {
		vd_supervisor_drop_kept(supervisor);
		free(supervisor->path);
		free(supervisor->argv);
	}
	free(supervisor);
	return result;
}
