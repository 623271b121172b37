/* SPDX-License-Identifier: MIT */
#include "tools/run/daemon.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/commands.h"

void vd_daemon_say(void *unused, const char *line)
{
	(void)unused;
	fprintf(stderr, "verdict: %s\n", line);
}

int vd_daemon_exit_code(int result)
{
	return result == -EINVAL ? EXIT_USAGE : 1;
}

static void *engine_main(void *argument)
{
	struct vd_daemon *daemon = argument;
	uint64_t one = 1;

	daemon->result = vd_engine_run(daemon->engine, &daemon->error);
	(void)!write(daemon->ended, &one, sizeof one);
	return NULL;
}

static void show(struct vd_daemon *daemon, double seconds)
{
	struct vd_snapshot *before = &daemon->snapshots[0], *now = &daemon->snapshots[1];

	vd_snapshot_take(now, daemon->engine, seconds);
	if (daemon->stats == VD_STATS_JSON)
		vd_stats_json_line(stdout, now, false);
	else
		vd_stats_text_line(stdout, before, now);
	*before = *now;
}

/* A second request to stop, while the first is still being served: somebody does not want to wait. */
static void take_signal(struct vd_daemon *daemon, int signals, bool *has_stopped)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (*has_stopped) {
		vd_daemon_say(NULL, "stopped a second time before all packets were answered: leaving now, the kernel drops them");
		_exit(1);
	}
	*has_stopped = true;
	vd_engine_stop(daemon->engine);
}

static void wait_until_ended(struct vd_daemon *daemon, int signals)
{
	struct pollfd pollfds[2] = {{.fd = daemon->ended, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	bool shows = daemon->stats == VD_STATS_JSON ||
		     (daemon->stats == VD_STATS_TEXT && (daemon->stats_are_asked_for || isatty(STDOUT_FILENO)));
	uint64_t start = vd_clock_ns(), next = start + 1000000000u;
	uint64_t end = daemon->seconds ? start + daemon->seconds * 1000000000u : UINT64_MAX;
	bool has_stopped = false;

	for (;;) {
		uint64_t now = vd_clock_ns(), until = shows && next < end ? next : end;
		int timeout = until == UINT64_MAX ? -1 : until > now ? (int)((until - now) / 1000000u + 1) : 0;

		poll(pollfds, 2, timeout > 1000000 ? 1000000 : timeout);
		now = vd_clock_ns();
		if (pollfds[0].revents)
			return;
		if (pollfds[1].revents)
			take_signal(daemon, signals, &has_stopped);
		if (now >= end) {
			vd_engine_stop(daemon->engine);
			end = UINT64_MAX;
		}
		if (shows && now >= next) {
			show(daemon, (double)(now - start) / 1e9);
			next += 1000000000u;
		}
	}
}

int vd_daemon_run(struct vd_daemon *daemon)
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
	daemon->ended = eventfd(0, EFD_CLOEXEC);
	if (signals < 0 || daemon->ended < 0 || pthread_create(&thread, NULL, engine_main, daemon)) {
		vd_daemon_say(NULL, "out of descriptors or threads");
		return 1;
	}
	wait_until_ended(daemon, signals);
	pthread_join(thread, NULL);
	close(signals);
	close(daemon->ended);
	if (daemon->result) {
		vd_daemon_say(NULL, daemon->error.text);
		return vd_daemon_exit_code(daemon->result);
	}
	vd_snapshot_take(&daemon->snapshots[1], daemon->engine, (double)(vd_clock_ns() - start) / 1e9);
	if (daemon->stats == VD_STATS_JSON)
		vd_stats_json_line(stdout, &daemon->snapshots[1], true);
	else if (daemon->stats == VD_STATS_TEXT)
		vd_stats_text_summary(stdout, &daemon->snapshots[1]);
	return 0;
}
