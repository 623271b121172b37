/* SPDX-License-Identifier: MIT */
/*
 * The filter of system calls (seccomp): those of calls.c are allowed, all others are refused, and named by refused.c. Refused, and
 * not the end of the process: a filter that ends takes its packets with it.
 *
 * A kernel since 5.11 knows beforehand which calls pass whatever their arguments are, and does not run the filter for them; an
 * older one runs it, and finds those of the packet path first. So none of these looks at arguments.
 *
 * glibc starts threads and programs with all signals blocked, where SIGSYS would be the end of the process. Calls that it makes
 * there are refused without one: only the kernel's log has them.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/privileges/private.h"

#define THREAD_OR_SPAWN (CLONE_THREAD | CLONE_VFORK)
#define SOCKET_TYPE 0xf /* the rest are flags (SOCK_TYPE_MASK of linux/net.h) */

/* Calls that are allowed, or refused quietly, by their arguments. */
struct part {
	const char *name;
	uint32_t action;
	unsigned condition_count;
	struct scmp_arg_cmp conditions[2];
};

/* The first name of the list; returns those behind it, NULL for none. */
static const char *next_call(const char *calls, char *name, size_t size)
{
	size_t length = strcspn(calls, ","), kept = length < size ? length : 0; /* no call has such a name */

	memcpy(name, calls, kept);
	name[kept] = '\0';
	return calls[length] ? calls + length + 1 : NULL;
}

bool vd_filter_is_listed(const char *calls, const char *wanted)
{
	char name[64];

	while (calls) {
		calls = next_call(calls, name, sizeof name);
		if (!strcmp(name, wanted))
			return true;
	}
	return false;
}

int vd_filter_check(const char *calls, struct vd_error *error)
{
	char name[64], shown[VD_SHOWN_SIZE];

	while (calls) {
		const char *call = calls;

		calls = next_call(calls, name, sizeof name);
		if (!*name || seccomp_syscall_resolve_name(name) == __NR_SCMP_ERROR)
			return vd_error_set(error, -ENOENT, "there is no system call '%s'; syscalls(2) lists them",
					    vd_show_text(*name ? name : call, shown));
	}
	return 0;
}

/* Negative numbers stand for calls that this architecture does not have. */
int vd_filter_allow(void *filter, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	return number < 0 ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
}

int vd_filter_allow_list(void *filter, const char *calls)
{
	char name[64];
	int result = 0;

	while (calls && !result) {
		calls = next_call(calls, name, sizeof name);
		result = vd_filter_allow(filter, name);
	}
	return result;
}

/* What a reload needs to make processes that functions run in, and these to confine themselves: for them this filter counts too. */
static int add_isolation(scmp_filter_ctx filter)
{
	static const char *const NEEDED[] = {"clone", "fork", "wait4", "waitid", "socketpair", "seccomp", "tgkill"};
	static const int OPTIONS[] = {PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_GET_SECCOMP,
				      PR_CAPBSET_READ, PR_CAP_AMBIENT};
	int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A1(SCMP_CMP_EQ, SIGKILL));

	for (unsigned i = 0; i < sizeof NEEDED / sizeof *NEEDED && !result; i++)
		result = vd_filter_allow(filter, NEEDED[i]);
	for (unsigned i = 0; i < sizeof OPTIONS / sizeof *OPTIONS && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)OPTIONS[i]));
	return result;
}

static int add_parts(scmp_filter_ctx filter, const char *calls, bool isolates)
{
	const struct part PARTS[] = {
		/* threads; a program that posix_spawn() starts is refused quietly, fork() loudly */
		{"clone", SCMP_ACT_ALLOW, 1, {SCMP_A0(SCMP_CMP_MASKED_EQ, THREAD_OR_SPAWN, CLONE_THREAD)}},
		{"clone", SCMP_ACT_ERRNO(EPERM), 1, {SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_VFORK, CLONE_VFORK)}},
		/* its flags are in memory, where a filter cannot look: glibc then takes clone() */
		{"clone3", SCMP_ACT_ERRNO(ENOSYS), 0},
		/* another queue */
		{"socket", SCMP_ACT_ALLOW, 2,
		 {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, NETLINK_NETFILTER)}},
		/* syslog(3), and notes to a service manager */
		{"socket", SCMP_ACT_ALLOW, 2,
		 {SCMP_A0(SCMP_CMP_EQ, AF_UNIX), SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_DGRAM)}},
		/* is it a terminal? */
		{"ioctl", SCMP_ACT_ALLOW, 1, {SCMP_A1(SCMP_CMP_EQ, TCGETS)}},
		{"ioctl", SCMP_ACT_ALLOW, 1, {SCMP_A1(SCMP_CMP_EQ, TIOCGWINSZ)}},
		/* names of threads */
		{"prctl", SCMP_ACT_ALLOW, 1, {SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)}},
		{"prctl", SCMP_ACT_ALLOW, 1, {SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME)}},
		/* to read a limit, not to set one */
		{"prlimit64", SCMP_ACT_ALLOW, 1, {SCMP_A2(SCMP_CMP_EQ, 0)}},
		/* abort() */
		{"tgkill", SCMP_ACT_ALLOW, 1, {SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())}},
	};
	int result = 0;

	for (unsigned i = 0; i < sizeof PARTS / sizeof *PARTS && !result; i++) {
		int number = seccomp_syscall_resolve_name(PARTS[i].name);

		/* what is allowed as a whole has no parts */
		if (isolates && (!strcmp(PARTS[i].name, "clone") || !strcmp(PARTS[i].name, "tgkill")))
			continue;
		if (number >= 0 && !vd_filter_is_listed(calls, PARTS[i].name))
			result = seccomp_rule_add_array(filter, PARTS[i].action, number, PARTS[i].condition_count, PARTS[i].conditions);
	}
	return result;
}

static int fill(scmp_filter_ctx filter, const char *calls, bool isolates)
{
	int result = 0;

	for (unsigned i = 0; vd_calls[i] && !result; i++) {
		int number = seccomp_syscall_resolve_name(vd_calls[i]);

		result = vd_filter_allow(filter, vd_calls[i]);
		if (i < VD_CALLS_HOT && number >= 0 && !result)
			result = seccomp_syscall_priority(filter, number, (uint8_t)(UINT8_MAX - i));
	}
	if (!result)
		result = add_parts(filter, calls, isolates);
	if (!result && isolates)
		result = add_isolation(filter);
	return result ? result : vd_filter_allow_list(filter, calls);
}

int vd_filter_install(const char *calls, bool isolates, int refusals, struct vd_error *error)
{
	scmp_filter_ctx filter = seccomp_init(vd_refused_init(refusals) ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(EPERM));
	int result = filter ? 0 : -ENOMEM;

	if (!result)
		result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!result)
		result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!result)
		seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1); /* in the kernel's log too, where it can (4.14) */
	if (!result)
		result = fill(filter, calls, isolates);
	if (!result)
		result = seccomp_load(filter);
	seccomp_release(filter);
	if (!result)
		return 0;
	return vd_error_set(error, result, "system calls cannot be filtered: %s; to do without, say --seccomp no", strerror(-result));
}
