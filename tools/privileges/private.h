/* SPDX-License-Identifier: MIT */
/* What the files of this room have for each other. */
#ifndef VERDICT_TOOLS_PRIVILEGES_PRIVATE_H
#define VERDICT_TOOLS_PRIVILEGES_PRIVATE_H

#include "tools/privileges/privileges.h"

/* ---- user.c ---- */

int vd_user_find(struct vd_privileges *privileges, const char *text, struct vd_error *error);
int vd_user_check(const struct vd_privileges *privileges, void (*log)(void *log_argument, const char *line),
		  struct vd_error *error);
bool vd_user_changes(const struct vd_privileges *privileges);

/* For all threads, as glibc does it. */
int vd_user_change(const struct vd_privileges *privileges, struct vd_error *error);

/* ---- capabilities.c: of the calling thread ---- */

/* Empties the bounding set; has capabilities survive a change of user. */
int vd_capabilities_prepare(bool user_changes);

/* Keeps CAP_NET_ADMIN, in effect or not, and nothing else. */
int vd_capabilities_keep(bool is_effective);

/* The same, at the end: no way back. */
int vd_capabilities_drop(bool is_effective);

bool vd_capability_is_effective(unsigned capability);

/* Whether no thread of this process has more, and all are the user's. Else -EPERM, with the sentence. */
int vd_capabilities_look(const struct vd_privileges *privileges, struct vd_error *error);

/* ---- filter.c ---- */

/* Whether there are system calls of these names. */
int vd_filter_check(const char *calls, struct vd_error *error);

/*
 * For all threads, from now on. `calls` are allowed besides; or NULL. `isolates`: and what a reload needs to make processes for
 * functions. `refusals` as below.
 */
int vd_filter_install(const char *calls, bool isolates, int refusals, struct vd_error *error);

/* For another filter (scmp_filter_ctx): a call of that name, if there is one here; and a list as that of --seccomp-allow, or NULL. */
int vd_filter_allow(void *filter, const char *name);
int vd_filter_allow_list(void *filter, const char *calls);
bool vd_filter_is_listed(const char *calls, const char *wanted);

/* ---- calls.c ---- */

#define VD_CALLS_HOT 8 /* the first of them: those of the packet path */
extern const char *const vd_calls[]; /* ended by NULL */

/* ---- refused.c ---- */

/* From now on a refused call fails with EPERM, and the descriptor, of a pipe, has it. False: not on this architecture. */
bool vd_refused_init(int descriptor);

/* Says what the pipe has, a line each; its other end does not wait. How many. */
int vd_refused_say(int descriptor, void (*log)(void *log_argument, const char *line));

#endif
