/* SPDX-License-Identifier: MIT */
#include "tools/run/daemon.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "tools/commands.h"
#include "tools/log/log.h"

/* How long whoever takes the queues over waits for packets that functions have. */
#define LEAVE_MS 50000

void vd_daemon_say(void *unused, const char *line)
{
	(void)unused;
	vd_log_say(VD_LOG_ERROR, line);
}

void vd_daemon_warn(void *unused, const char *line)
{
	(void)unused;
	vd_log_say(VD_LOG_WARNING, line);
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
	/* release, pairs with the acquire in vd_daemon_leave() */
	atomic_store_explicit(&daemon->has_ended, true, memory_order_release);
	(void)!write(daemon->ended, &one, sizeof one);
	return NULL;
}

/* ---- reload ---- */

static void say_how_it_went(int result, const struct vd_error *error)
{
	char line[sizeof error->text + 64];

	if (!result) {
		vd_log_say(VD_LOG_INFO, "reloaded: the new configuration is in effect");
		return;
	}
	snprintf(line, sizeof line, "not reloaded, the old configuration goes on: %s", error->text);
	vd_daemon_say(NULL, line);
}

int vd_daemon_reload(struct vd_daemon *daemon, struct vd_error *error)
{
	int result;

	pthread_mutex_lock(&daemon->reloading);
	vd_service_reloading(daemon->service);
	if (daemon->reload) {
		vd_privileges_raise(&daemon->privileges); /* queues are bound and given back */
		result = daemon->reload(daemon->reload_argument, error);
		if (!result) /* queues that are new begin here */
			vd_daemon_follow_rules(daemon, VD_RULED_NOW);
		vd_privileges_lower(&daemon->privileges);
	} else {
		result = -ENOENT;
		snprintf(error->text, sizeof error->text, "there is no file to read again: it runs without --config");
	}
	vd_service_reloaded(daemon->service, daemon->engine);
	say_how_it_went(result, error);
	vd_metrics_count_reload(daemon->metrics, !result);
	pthread_mutex_unlock(&daemon->reloading);
	return result;
}

/* What a signal's reload is about: one that comes while it goes on is served behind it, since the file may be another by then. */
enum { NO_RELOAD, RELOADING, RELOADING_AGAIN };

static void *reload_main(void *argument)
{
	struct vd_daemon *daemon = argument;
	struct vd_error error;
	int state;

	do {
		vd_daemon_reload(daemon, &error);
		state = RELOADING;
		/* acquire and release: the next thread is made by who finds NO_RELOAD, and joins this one */
		if (atomic_compare_exchange_strong(&daemon->reloader_state, &state, NO_RELOAD))
			return NULL;
		atomic_store(&daemon->reloader_state, RELOADING);
	} while (true);
}

static void join_reloader(struct vd_daemon *daemon)
{
	if (daemon->has_reloader)
		pthread_join(daemon->reloader, NULL);
	daemon->has_reloader = false;
}

void vd_daemon_reload_soon(struct vd_daemon *daemon)
{
	int state;

	do {
		state = RELOADING;
		if (atomic_compare_exchange_strong(&daemon->reloader_state, &state, RELOADING_AGAIN) || state == RELOADING_AGAIN)
			return;
	} while (!atomic_compare_exchange_strong(&daemon->reloader_state, &state, RELOADING));
	join_reloader(daemon); /* it has ended */
	daemon->has_reloader = !pthread_create(&daemon->reloader, NULL, reload_main, daemon);
	if (!daemon->has_reloader) {
		atomic_store(&daemon->reloader_state, NO_RELOAD);
		vd_daemon_say(NULL, "not reloaded: no thread can be made for it");
	}
}

/* ---- run ---- */

void vd_daemon_stop(struct vd_daemon *daemon, bool leaves)
{
	if (!daemon->has_stopped)
		vd_service_stopping(daemon->service);
	daemon->has_stopped = true;
	daemon->leaves = leaves;
	vd_privileges_raise(&daemon->privileges);
	if (leaves)
		vd_engine_leave(daemon->engine);
	else
		vd_engine_stop(daemon->engine);
	vd_privileges_lower(&daemon->privileges);
}

int vd_daemon_leave(struct vd_daemon *daemon, struct vd_error *error)
{
	if (daemon->service->has_manager)
		return vd_error_set(error, -EBUSY, "its service manager keeps its queues: have that one restart it");
	atomic_store(&daemon->leaves, true);
	vd_privileges_raise(&daemon->privileges);
	vd_engine_leave(daemon->engine);
	vd_privileges_lower(&daemon->privileges);
	for (unsigned waited_ms = 0; waited_ms < LEAVE_MS; waited_ms++) {
		/* acquire, pairs with the release in engine_main() */
		if (atomic_load_explicit(&daemon->has_ended, memory_order_acquire))
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return vd_error_set(error, -ETIMEDOUT, "a function does not let go of its packets: the queues are left when it does");
}

int vd_daemon_run(struct vd_daemon *daemon)
{
	uint64_t start = vd_clock_ns();
	struct sigaction hangup;
	pthread_t thread;
	sigset_t set;
	int signals;

	pthread_mutex_init(&daemon->reloading, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	/* nohup(1) means it; but who has a file to read again is asked for that */
	if (daemon->reload || (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN))
		sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	daemon->ended = eventfd(0, EFD_CLOEXEC);
	daemon->start_ns = start;
	if (signals < 0 || daemon->ended < 0 || pthread_create(&thread, NULL, engine_main, daemon)) {
		vd_daemon_say(NULL, "out of descriptors or threads");
		return 1;
	}
	vd_daemon_wait(daemon, signals);
	pthread_join(thread, NULL);
	join_reloader(daemon);
	vd_privileges_say_refused(&daemon->privileges, vd_daemon_warn);
	if (!daemon->leaves)
		vd_service_forget_queues(daemon->service);
	close(signals);
	close(daemon->ended);
	if (daemon->result) {
		vd_daemon_say(NULL, *daemon->privileges.error.text ? daemon->privileges.error.text : daemon->error.text);
		return vd_daemon_exit_code(daemon->result);
	}
	vd_daemon_look(daemon, &daemon->snapshots[1], (double)(vd_clock_ns() - start) / 1e9);
	if (daemon->stats == VD_STATS_JSON)
		vd_stats_json_line(stdout, &daemon->snapshots[1], true);
	else if (daemon->stats == VD_STATS_TEXT)
		vd_stats_text_summary(stdout, &daemon->snapshots[1]);
	return 0;
}
