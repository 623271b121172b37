/* SPDX-License-Identifier: MIT */
/*
 * `verdict run --supervise`: a service manager of one service, for where there is no other. It starts the engine as a process of
 * its own, keeps the sockets of its queues, and starts it again when it dies; it reads no packet and knows no function. It speaks
 * to the engine as systemd does (sd_notify(3), sd_listen_fds(3)), so that the engine has one way to be started again.
 *
 *	supervisor.c	    its life: signals, deaths, how long to wait before the next try
 *	supervisor_child.c  starts the engine
 *	supervisor_store.c  reads what the engine says, and keeps what it hands over
 *
 * A pipe is handed to the engine under the name VD_SERVICE_SUPERVISOR_NAME: when this process is no more, however it came to that,
 * the pipe has its end, and so has the engine. A parent-death signal would not do: it is lost when a process changes its user.
 */
#ifndef VERDICT_TOOLS_SUPERVISOR_H
#define VERDICT_TOOLS_SUPERVISOR_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Sockets of queues and, of a foreign engine, whatever else. */
#define VD_SUPERVISOR_KEPT_MAX 512

/* How long the engine may take to be ready, to end, and between two signs of life. Seconds. */
#define VD_SUPERVISOR_START_SECONDS 90
#define VD_SUPERVISOR_STOP_SECONDS 90
#define VD_SUPERVISOR_WATCHDOG_SECONDS 10

struct vd_kept {
	char name[256];
	int descriptor;
};

struct vd_supervisor {
	char *path;    /* what is started: the name by which this program was, so that it can be another file by then */
	char **argv;   /* with what */
	int notify;    /* where the engine's messages come */
	char address[64]; /* what it is called in the engine's environment */
	int life[2];   /* the pipe: [0] is handed to the engine */
	int signals;
	sigset_t signals_before;

	struct vd_kept kept[VD_SUPERVISOR_KEPT_MAX];
	unsigned kept_count;

	pid_t engine; /* 0: none runs */
	bool is_ready;
	bool says_it_stops;
	uint64_t ready_ns;
	uint64_t deadline_ns; /* of whatever is to come next; UINT64_MAX: none */
	bool is_aborted;      /* it was asked to dump core, and will be killed next */

	bool has_been_ready; /* any engine */
	bool is_ending;	     /* somebody wants an end */
	bool restarts_now;   /* somebody wants another engine */
	unsigned quick_deaths;
	uint64_t start_ns; /* no engine runs: when the next one starts */
};

/* `argv` as verdict_run() got it. Returns the exit code. */
int vd_supervisor_run(int argc, char **argv);

/* ---- between the files of it ---- */

/* 0 or -errno. */
int vd_supervisor_start(struct vd_supervisor *supervisor);

/* Reads all messages that are there. */
void vd_supervisor_listen(struct vd_supervisor *supervisor);
int vd_supervisor_open_notify(struct vd_supervisor *supervisor);
void vd_supervisor_drop_kept(struct vd_supervisor *supervisor);

/* Holding sockets needs no privilege: what this process may do is put away, and taken out again for the engine. */
void vd_supervisor_lower_capabilities(void);
void vd_supervisor_raise_capabilities(void);

#endif
