/* SPDX-License-Identifier: MIT */
/*
 * `verdict run` while it runs: the engine has a thread of its own; the first thread waits for signals, for the end, and for the
 * next second to report. A reload that SIGHUP asks for has a thread too: it can take a while, and must not keep a stop waiting.
 */
#ifndef VERDICT_TOOLS_DAEMON_H
#define VERDICT_TOOLS_DAEMON_H

#include <pthread.h>
#include <stdatomic.h>

#include "tools/config/values.h"
#include "tools/control/control.h"
#include "tools/metrics/metrics.h"
#include "tools/privileges/privileges.h"
#include "tools/ruled/ruled.h"
#include "tools/service/service.h"
#include "tools/stats.h"

struct vd_daemon {
	struct vd_engine *engine;
	struct vd_privileges privileges; /* given up by the engine's `ready` */
	uint64_t seconds; /* until it stops by itself; 0: never */
	enum vd_stats_form stats;
	bool stats_are_asked_for; /* each second, also where nobody looks on */
	int (*reload)(void *argument, struct vd_error *error); /* for vd_daemon_reload(); NULL: SIGHUP ends it */
	void *reload_argument;
	struct vd_service *service;
	struct vd_control *control; /* NULL: there is no control socket */
	struct vd_metrics *metrics;
	struct vd_ruled *ruled; /* NULL: what rules count is not read */

	/* its own */
	struct vd_error error;
	int result;
	uint64_t start_ns;
	int ended; /* an eventfd: the engine's thread has come to its end */
	bool has_stopped; /* the end has begun: */
	_Atomic bool leaves; /* of this process, not of the queues */
	_Atomic bool has_ended; /* the engine */
	struct vd_snapshot snapshots[2];
	pthread_mutex_t reloading;
	pthread_t reloader; /* for SIGHUP */
	bool has_reloader;
	_Atomic int reloader_state;
};

/* Until the engine's end. Returns the exit code; what went wrong has been said. */
int vd_daemon_run(struct vd_daemon *daemon);

/*
 * Reads the configuration again, and says how that went. Any thread, while vd_daemon_run() runs; one waits for the other. 0 or
 * -errno: nothing has changed.
 */
int vd_daemon_reload(struct vd_daemon *daemon, struct vd_error *error);

/*
 * Ends it, and leaves its queues to whoever has their sockets. Returns when what was read is answered: nobody reads them any more.
 * Any thread but the first, while vd_daemon_run() runs. -EBUSY, -ETIMEDOUT.
 */
int vd_daemon_leave(struct vd_daemon *daemon, struct vd_error *error);

/* A sentence that says why it cannot go on: an error of the log. And one that says what was lost. */
void vd_daemon_say(void *unused, const char *line);
void vd_daemon_warn(void *unused, const char *line);

/* What was given was wrong, or it could not be done. */
int vd_daemon_exit_code(int result);

/* ---- look.c ---- */

/* All there is to show, with what rules have counted. The first thread, and those that it starts behind the drop. */
void vd_daemon_look(struct vd_daemon *daemon, struct vd_snapshot *snapshot, double seconds);

/* Reads what rules have counted, so that it is known of this moment. With the capability that this needs. */
void vd_daemon_follow_rules(struct vd_daemon *daemon, enum vd_ruled_when when);

/* ---- between daemon.c and wait.c: the first thread's ---- */

/* Until the engine has come to its end; `signals`: a signalfd. */
void vd_daemon_wait(struct vd_daemon *daemon, int signals);

/* It sends to the queues' sockets. `leaves`: they are not settled, but left to a successor. */
void vd_daemon_stop(struct vd_daemon *daemon, bool leaves);

/* vd_daemon_reload() in a thread of its own; once more behind one that goes on. */
void vd_daemon_reload_soon(struct vd_daemon *daemon);

#endif
