/* SPDX-License-Identifier: MIT */
#include "tools/privileges/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/privileges/private.h"

/* ---- before anything is bound ---- */

/* "verdict.conf:3: user: ", or "--user: ", in front of what it says. */
static int refuse(const struct vd_setting *setting, enum vd_key key, int code, struct vd_error *error)
{
	vd_error_prefix(error, "%s%s", setting->origin.file ? "" : "--", vd_key_name(key));
	return vd_origin_prefix(error, &setting->origin, code);
}

int vd_privileges_init(struct vd_privileges *privileges, const struct vd_settings *settings, struct vd_error *error)
{
	const struct vd_setting *user = &settings->general[VD_KEY_USER], *seccomp = &settings->general[VD_KEY_SECCOMP];
	const struct vd_setting *calls = &settings->general[VD_KEY_SECCOMP_ALLOW];
	int result;

	*privileges = (struct vd_privileges){.has_user = user->is_given, .asked = -1, .refusals = {-1, -1}};
	sem_init(&privileges->answered, 0, 0);
	if (user->is_given) {
		result = vd_user_find(privileges, user->text, error);
		if (result)
			return refuse(user, VD_KEY_USER, result, error);
	}
	if (calls->is_given) {
		privileges->calls = calls->text;
		result = vd_filter_check(calls->text, error);
		if (result)
			return refuse(calls, VD_KEY_SECCOMP_ALLOW, result, error);
	}
	/* root without --user wants to be root; any other user has capabilities for what needs them only */
	privileges->drops = user->is_given || geteuid();
	privileges->filters = seccomp->is_given ? seccomp->number : user->is_given;
	privileges->isolates = settings->general[VD_KEY_ISOLATION].number == VD_ISOLATION_PROCESS;
	privileges->confines = !seccomp->is_given || seccomp->number; /* as a reload may isolate, too */
	privileges->asked = eventfd(0, EFD_CLOEXEC);
	if (privileges->asked < 0 || ((privileges->filters || privileges->confines) && pipe2(privileges->refusals, O_CLOEXEC | O_NONBLOCK)))
		return vd_error_set(error, -errno, "out of descriptors");
	return 0;
}

void vd_privileges_fini(struct vd_privileges *privileges)
{
	if (privileges->asked >= 0)
		close(privileges->asked);
	for (unsigned end = 0; end < 2; end++)
		if (privileges->refusals[end] >= 0)
			close(privileges->refusals[end]);
	free(privileges->groups);
	sem_destroy(&privileges->answered);
}

int vd_privileges_check(const struct vd_privileges *privileges, void (*log)(void *log_argument, const char *line),
			struct vd_error *error)
{
	return privileges->has_user ? vd_user_check(privileges, log, error) : 0;
}

/* ---- behind it ---- */

static int refuse_to_run(struct vd_error *error, int code)
{
	return vd_error_set(error, code, "privileges could not be given up: %s", strerror(-code));
}

void vd_privileges_drop(struct vd_privileges *privileges)
{
	uint64_t times;
	int result;

	(void)!read(privileges->asked, &times, sizeof times);
	result = vd_capabilities_prepare(vd_user_changes(privileges));
	if (result)
		refuse_to_run(&privileges->error, result);
	else if (privileges->has_user)
		result = vd_user_change(privileges, &privileges->error);
	if (!result && (result = vd_capabilities_drop(false)))
		refuse_to_run(&privileges->error, result);
	privileges->is_dropped = !result;
	privileges->result = result;
	sem_post(&privileges->answered);
}

/* Both threads, the first one in between. */
static int drop(struct vd_privileges *privileges)
{
	uint64_t one = 1;
	int result = vd_capabilities_prepare(vd_user_changes(privileges));

	if (result)
		return refuse_to_run(&privileges->error, result);
	if (write(privileges->asked, &one, sizeof one) != (ssize_t)sizeof one)
		return refuse_to_run(&privileges->error, -errno);
	while (sem_wait(&privileges->answered))
		; /* a signal */
	if (privileges->result)
		return privileges->result;
	result = vd_capabilities_drop(true);
	return result ? refuse_to_run(&privileges->error, result) : vd_capabilities_look(privileges, &privileges->error);
}

int vd_privileges_ready(void *argument)
{
	struct vd_privileges *privileges = argument;
	int result = privileges->drops ? drop(privileges) : 0;

	if (!result && privileges->filters)
		result = vd_filter_install(privileges->calls, privileges->isolates, privileges->refusals[1], &privileges->error);
	return result;
}

/* ---- while it runs ---- */

int vd_privileges_say_refused(const struct vd_privileges *privileges, void (*log)(void *log_argument, const char *line))
{
	return privileges->refusals[0] < 0 ? 0 : vd_refused_say(privileges->refusals[0], log);
}

bool vd_privileges_are_settled(const struct vd_privileges *privileges)
{
	return !privileges->drops || privileges->is_dropped;
}

/* What was kept can be raised; if it were not so, what follows says that it may not. */
void vd_privileges_raise(const struct vd_privileges *privileges)
{
	if (privileges->is_dropped)
		vd_capabilities_keep(true);
}

void vd_privileges_lower(const struct vd_privileges *privileges)
{
	if (privileges->is_dropped)
		vd_capabilities_keep(false);
}
