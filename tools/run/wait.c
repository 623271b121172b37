/* SPDX-License-Identifier: MIT */
/*
 * What the first thread waits for while the engine runs: descriptors, each with a call that takes what comes, and moments.
 */
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/log/log.h"
#include "tools/run/daemon.h"

#define SECOND_NS ((uint64_t)1000000000u)

/* How long an engine without a supervisor may take to settle its queues. */
#define ALONE_NS (10 * SECOND_NS)

#define TIMEOUT_MS_MAX 1000000
#define DESCRIPTORS_MAX 8

struct waiting {
	struct vd_daemon *daemon;
	struct pollfd pollfds[DESCRIPTORS_MAX];
	void (*takers[DESCRIPTORS_MAX])(struct waiting *waiting);
	unsigned count;
	int signals;
	bool has_ended;
	bool has_control;
	uint64_t start_ns;
	uint64_t report_ns;   /* the next line of statistics; UINT64_MAX: never */
	uint64_t end_ns;      /* when it stops by itself */
	uint64_t deadline_ns; /* when nobody waits any more for the engine to come to its end */
};

/* ---- what comes ---- */

static void take_end(struct waiting *waiting)
{
	waiting->has_ended = true;
}

/* A second request to stop, while the first is still being served: somebody does not want to wait. */
static void take_signal(struct waiting *waiting)
{
	struct vd_daemon *daemon = waiting->daemon;
	struct signalfd_siginfo info;

	if (read(waiting->signals, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (info.ssi_signo == SIGHUP && daemon->reload) {
		if (!vd_privileges_are_settled(&daemon->privileges)) /* a thread from now would keep them */
			vd_daemon_say(NULL, "not reloaded: it is starting, and has just read the file");
		else if (!daemon->has_stopped)
			vd_daemon_reload_soon(daemon);
		return;
	}
	if (daemon->has_stopped) {
		vd_daemon_say(NULL, "stopped a second time before all packets were answered: leaving now, the kernel drops them");
		vd_control_remove(daemon->control);
		_exit(1);
	}
	vd_daemon_stop(daemon, info.ssi_signo == SIGTERM && vd_service_keeps_queues(daemon->service));
}

static void take_log(struct waiting *waiting)
{
	(void)waiting;
	vd_log_tick();
}

static void take_drop(struct waiting *waiting)
{
	vd_privileges_drop(&waiting->daemon->privileges);
}

static void take_refused(struct waiting *waiting)
{
	vd_privileges_say_refused(&waiting->daemon->privileges, vd_daemon_warn);
}

/* It is served at each turn: its connections have time limits too. */
static void take_scrape(struct waiting *waiting)
{
	(void)waiting;
}

/* Nobody would start it again, nor end it. */
static void lose_supervisor(struct waiting *waiting)
{
	struct vd_daemon *daemon = waiting->daemon;

	for (unsigned i = 0; i < waiting->count; i++) /* it goes on being readable */
		if (waiting->takers[i] == lose_supervisor)
			waiting->pollfds[i].fd = -1;
	vd_daemon_say(NULL, "the supervisor is gone: settling the queues and ending");
	waiting->deadline_ns = vd_clock_ns() + ALONE_NS;
	if (!daemon->has_stopped)
		vd_daemon_stop(daemon, false);
}

/* ---- moments ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* As poll(2) takes it: -1 is never. */
static int timeout_ms(const struct waiting *waiting, uint64_t tick_ns)
{
	uint64_t now = vd_clock_ns(), until = earlier(earlier(waiting->report_ns, waiting->end_ns), earlier(waiting->deadline_ns, tick_ns));
	uint64_t left_ms = until > now ? (until - now) / 1000000u + 1 : 0;
	int timeout = until == UINT64_MAX ? -1 : left_ms > TIMEOUT_MS_MAX ? TIMEOUT_MS_MAX : (int)left_ms;
	int scrape = vd_metrics_timeout_ms(waiting->daemon->metrics);

	return scrape >= 0 && (timeout < 0 || scrape < timeout) ? scrape : timeout;
}

static void show(struct vd_daemon *daemon, double seconds)
{
	struct vd_snapshot *before = &daemon->snapshots[0], *now = &daemon->snapshots[1];

	vd_daemon_look(daemon, now, seconds);
	if (daemon->stats == VD_STATS_JSON)
		vd_stats_json_line(stdout, now, false);
	else
		vd_stats_text_line(stdout, before, now);
	*before = *now;
}

static void look_at_clock(struct waiting *waiting)
{
	uint64_t now = vd_clock_ns();

	if (now >= waiting->deadline_ns) {
		vd_daemon_say(NULL, "the engine does not come to its end: leaving now, the kernel drops what is not answered");
		vd_control_remove(waiting->daemon->control);
		_exit(1);
	}
	if (now >= waiting->end_ns) {
		vd_daemon_stop(waiting->daemon, false);
		waiting->end_ns = UINT64_MAX;
	}
	if (now >= waiting->report_ns) {
		show(waiting->daemon, (double)(now - waiting->start_ns) / 1e9);
		waiting->report_ns += SECOND_NS;
	}
}

/* ---- waiting ---- */

/* Without it packets are decided all the same. A thread from before privileges were given up would keep them. */
static void start_control(struct waiting *waiting)
{
	struct vd_daemon *daemon = waiting->daemon;
	struct vd_error error;

	if (waiting->has_control || !vd_privileges_are_settled(&daemon->privileges))
		return;
	waiting->has_control = true;
	if (daemon->control && vd_control_start(daemon->control, &error))
		vd_daemon_warn(NULL, error.text);
}

static void add(struct waiting *waiting, int descriptor, void (*taker)(struct waiting *waiting))
{
	waiting->pollfds[waiting->count] = (struct pollfd){.fd = descriptor, .events = POLLIN}; /* poll(2) leaves -1 out */
	waiting->takers[waiting->count++] = taker;
}

static void begin(struct waiting *waiting)
{
	struct vd_daemon *daemon = waiting->daemon;
	bool shows = daemon->stats == VD_STATS_JSON ||
		     (daemon->stats == VD_STATS_TEXT && (daemon->stats_are_asked_for || isatty(STDOUT_FILENO)));

	waiting->start_ns = vd_clock_ns();
	waiting->report_ns = shows ? waiting->start_ns + SECOND_NS : UINT64_MAX;
	waiting->end_ns = daemon->seconds ? waiting->start_ns + daemon->seconds * SECOND_NS : UINT64_MAX;
	waiting->deadline_ns = UINT64_MAX;
	add(waiting, daemon->ended, take_end);
	add(waiting, waiting->signals, take_signal);
	add(waiting, vd_log_descriptor(), take_log);
	add(waiting, daemon->privileges.asked, take_drop);
	add(waiting, daemon->privileges.refusals[0], take_refused);
	add(waiting, vd_metrics_descriptor(daemon->metrics), take_scrape);
	add(waiting, daemon->service->supervisor, lose_supervisor);
}

void vd_daemon_wait(struct vd_daemon *daemon, int signals)
{
	struct waiting waiting = {.daemon = daemon, .signals = signals};

	begin(&waiting);
	while (!waiting.has_ended) {
		uint64_t tick_ns = vd_service_tick(daemon->service, daemon->engine, vd_clock_ns());

		start_control(&waiting);
		poll(waiting.pollfds, waiting.count, timeout_ms(&waiting, tick_ns));
		vd_metrics_serve(daemon->metrics);
		for (unsigned i = 0; i < waiting.count && !waiting.has_ended; i++)
			if (waiting.pollfds[i].revents)
				waiting.takers[i](&waiting);
		if (!waiting.has_ended)
			look_at_clock(&waiting);
	}
}
