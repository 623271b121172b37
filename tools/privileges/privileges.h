/* SPDX-License-Identifier: MIT */
/*
 * What `verdict run` gives up once its queues are bound, and what it keeps.
 *
 *	thread				permitted	effective
 *	the engine's, workers, writers	CAP_NET_ADMIN	CAP_NET_ADMIN	the kernel asks for it at each verdict
 *	the first one, and its own	CAP_NET_ADMIN	none		raised around what needs it
 *
 * All else (other capabilities, the user, groups, the bounding set, what an exec could bring) goes, in each thread, before the
 * first packet. The kernel keeps all of that by thread, and a thread can only give up its own. So two threads do it together:
 *
 *	first thread				engine's thread
 *						vd_privileges_ready(): all queues are bound; writes to `asked`
 *	vd_privileges_drop()
 *						goes on: its own, looks at all threads, filters system calls of all of them
 *						starts workers and writers, which inherit
 *
 * Threads that a function starts when it opens are there by then: when the user changes, the kernel takes their capabilities.
 */
#ifndef VERDICT_TOOLS_PRIVILEGES_H
#define VERDICT_TOOLS_PRIVILEGES_H

#include <semaphore.h>
#include <sys/types.h>

#include "tools/config/settings.h"

struct vd_privileges {
	/* what will be given up; fixed once read */
	bool has_user;
	bool drops;	   /* capabilities */
	bool filters;	   /* system calls */
	bool isolates;	   /* functions run in processes of their own, */
	bool confines;	   /* whose system calls are filtered: in any case but one */
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int group_count;
	const char *calls; /* that functions may make besides; NULL: none */

	int asked;	/* an eventfd: the first thread shall drop now */
	sem_t answered; /* it has */
	int result;	/* how it went */
	bool is_dropped;
	int refusals[2]; /* a pipe: system calls that were refused, here or where functions run; -1: nothing is filtered */
	struct vd_error error; /* why vd_privileges_ready() failed: empty if it did not */
};

/*
 * From settings, whose texts have to live until vd_privileges_ready() has returned. Says whether there are such users, groups and
 * calls; asks nothing of what this process may do. -ENOENT: there are not; the sentence begins with where the setting is. Call fini() in any case.
 */
int vd_privileges_init(struct vd_privileges *privileges, const struct vd_settings *settings, struct vd_error *error);
void vd_privileges_fini(struct vd_privileges *privileges);

/* Whether this process may become that user. -EPERM, -ENOENT: what is missing, and what to do. `log` as vd_daemon_say(). */
int vd_privileges_check(const struct vd_privileges *privileges, void (*log)(void *log_argument, const char *line),
			struct vd_error *error);

/* `ready` of struct vd_engine_options, with the struct as its argument. */
int vd_privileges_ready(void *privileges);

/* `confine` of struct vd_engine_options, with the struct as its argument; refusals[1] is the descriptor to be kept. */
int vd_privileges_confine(void *privileges, enum vd_confined who, struct vd_error *error);

/* In the first thread, when `asked` is readable. Always answers. */
void vd_privileges_drop(struct vd_privileges *privileges);

/* When refusals[0] is readable, and at the end: a line for each refused call that is to be known. How many. */
int vd_privileges_say_refused(const struct vd_privileges *privileges, void (*log)(void *log_argument, const char *line));

/* In the first thread: nothing is to be given up, or it has been. Until then no thread may be started that is to last. */
bool vd_privileges_are_settled(const struct vd_privileges *privileges);

/*
 * In the first thread, and those that it starts behind the drop: what needs the capability stands between these two. That is
 * whatever sends to a queue's socket, or binds a queue; vd_engine_stop() is one.
 */
void vd_privileges_raise(const struct vd_privileges *privileges);
void vd_privileges_lower(const struct vd_privileges *privileges);

#endif
