/* SPDX-License-Identifier: MIT */
/*
 * `verdict run` as a service: what a service manager is told, and what it keeps for the next process. The protocol is that of
 * sd_notify(3) and sd_listen_fds(3); the manager is systemd, anything else that speaks it, or `verdict run --supervise`
 * (supervisor.h), which the engine's process cannot tell from the others but for one thing: it ends when its supervisor does.
 *
 *	service.c     what is told and when: ready, status, reloading, stopping; the sockets that the manager keeps
 *	sockets.c     those that it kept: which of them the queues go on with
 *	progress.c    whether the watchdog is to be fed
 *	selftest.c    one packet through the functions, before anything else
 *	supervisor*.c a manager for where there is none
 *
 * Without a manager everything here does nothing. Calls are the first thread's, but for vd_service_ready(), the engine's, and
 * those around a reload: any thread's, one at a time, while the engine runs.
 */
#ifndef VERDICT_TOOLS_SERVICE_H
#define VERDICT_TOOLS_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <verdict/engine.h>

#include "tools/service/progress.h"

/* What a queue's socket is called in the manager's store: this and the number. */
#define VD_SERVICE_QUEUE_NAME "queue-"

/* The descriptor that tells of the supervisor's end by its own; see supervisor.h. */
#define VD_SERVICE_SUPERVISOR_NAME "supervisor"

struct vd_settings;

struct vd_service_socket {
	unsigned queue;
	int descriptor; /* -1: it is somebody else's now */
};

struct vd_service {
	bool has_manager;     /* somebody waits for READY=1 */
	int supervisor;	      /* has come to its end when this has; -1: there is none */
	uint64_t watchdog_ns; /* 0: nobody watches */

	/* what was handed over, sockets.c */
	struct vd_service_socket sockets[VD_ENGINE_QUEUES_MAX];
	unsigned socket_count;

	/* service.c; `kept` is the engine's thread's until is_ready, then a reload's, and at the end the first one's */
	_Atomic bool is_ready;
	unsigned kept[VD_ENGINE_QUEUES_MAX];
	unsigned kept_count;
	uint64_t next_ns, fed_ns, status_ns;
	struct vd_progress progress;
	struct vd_queue_stats before;
};

/* From the environment, which forgets what it said of descriptors. `log` gets a note for each that nobody knows; or NULL. */
void vd_service_open(struct vd_service *service, void (*log)(void *log_argument, const char *line));

/* Closes what nobody has taken. */
void vd_service_close(struct vd_service *service);

/*
 * Decides which queues go on with a socket that was handed over; for each of the others there is a note, and it is given back.
 */
void vd_service_choose_sockets(struct vd_service *service, const struct vd_settings *settings,
			       void (*log)(void *log_argument, const char *line));

/* The socket to go on with, which is the caller's from here on; -1: there is none, the queue has to be bound. */
int vd_service_take_socket(struct vd_service *service, unsigned queue);

/*
 * The queues are bound: hands their sockets to the manager, and says that the service is ready. For the hook `ready` of struct
 * vd_engine_options, in the engine's thread.
 */
void vd_service_ready(struct vd_service *service, struct vd_engine *engine);

/* Whether the queues' sockets are kept by a manager, so that a successor can go on with them. Any thread. */
bool vd_service_keeps_queues(const struct vd_service *service);

/* Before and after the settings are read again, also when they are refused: queues that came are kept, those that went are not. */
void vd_service_reloading(struct vd_service *service);
void vd_service_reloaded(struct vd_service *service, struct vd_engine *engine);

/* Feeds the watchdog and says how it goes, if it is time to. Returns when to call again, of vd_clock_ns(). */
uint64_t vd_service_tick(struct vd_service *service, struct vd_engine *engine, uint64_t now_ns);

/* The end begins. */
void vd_service_stopping(struct vd_service *service);

/* The queues were given back: nobody needs to keep their sockets. */
void vd_service_forget_queues(struct vd_service *service);

/* Says one thing to the manager: a text of assignments as sd_notify(3) has them, and a descriptor with it, or -1. */
void vd_service_say(const struct vd_service *service, int descriptor, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
