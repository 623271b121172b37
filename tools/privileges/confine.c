/* SPDX-License-Identifier: MIT */
/*
 * What is left to processes in which functions run (isolation process): no capability at all, the user of --user, and system calls on
 * what is open, on files and on memory. No program, no other process, no thread, no new socket.
 *
 * They are made of one, the nursery, and begin with what it has. It gives up all of that when functions have opened in it, but for
 * what it needs to make processes, to wait for them and to end them. That is taken from each of these by a second filter: of two the
 * stricter one counts.
 */
#include <cap-ng.h>
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/privileges/private.h"

/* ---- the nursery ---- */

static const char *const CALLS[] = {
	/* a host's own, while packets flow */
	"futex", "clock_gettime", "sched_setaffinity", "sched_getaffinity", "getcpu", "sched_yield", "restart_syscall",

	/* waiting */
	"epoll_wait", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_create1", "poll", "ppoll", "select", "pselect6", "nanosleep",
	"clock_nanosleep", "pause", "futex_waitv",

	/* sockets that open() made */
	"recvmmsg", "sendmsg", "recvfrom", "sendto", "recvmsg", "sendmmsg", "getsockopt", "setsockopt", "getsockname", "getpeername",
	"shutdown",

	/* files and descriptors */
	"read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "pwritev", "open", "openat", "close", "close_range",
	"memfd_create", "stat", "lstat", "fstat", "newfstatat", "statx", "lseek", "access", "faccessat", "faccessat2", "readlink",
	"readlinkat", "getdents64", "getcwd", "fcntl", "dup", "dup2", "dup3", "pipe2", "eventfd2", "signalfd4", "timerfd_create",
	"timerfd_settime", "timerfd_gettime", "fsync", "fdatasync", "ftruncate", "fadvise64", "statfs", "fstatfs", "flock", "unlink",
	"unlinkat", "rename", "renameat", "renameat2",

	/* memory */
	"brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mincore",

	/* signals of its own, and the end */
	"set_robust_list", "get_robust_list", "rseq", "membarrier", "set_tid_address", "sched_getparam", "sched_getscheduler",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack", "exit", "exit_group",

	/* what it may know of itself, and of the time */
	"getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getrusage",
	"getrlimit", "times", "sysinfo", "uname", "gettimeofday", "time", "clock_getres", "getrandom", "getpgrp", "getpgid", "capget",

	/* the nursery's: a host has none of these, but the signals that a thread sends to itself */
	"clone", "fork", "wait4", "waitid", "kill", "tgkill", "seccomp",
	NULL,
};

static int allow_parts(scmp_filter_ctx filter)
{
	static const int OPTIONS[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_GET_SECCOMP};
	/* its flags are in memory, where a filter cannot look: glibc then takes clone() */
	int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	for (unsigned i = 0; i < sizeof OPTIONS / sizeof *OPTIONS && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)OPTIONS[i]));
	if (!result) /* is it a terminal? */
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TCGETS));
	if (!result) /* to read a limit, not to set one */
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
	return result;
}

static int filter_nursery(const struct vd_privileges *privileges)
{
	bool is_told = vd_refused_init(privileges->refusals[1]);
	scmp_filter_ctx filter = seccomp_init(is_told ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(EPERM));
	int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;

	for (unsigned i = 0; CALLS[i] && !result; i++)
		result = vd_filter_allow(filter, CALLS[i]);
	if (!result)
		result = allow_parts(filter);
	if (!result)
		result = vd_filter_allow_list(filter, privileges->calls);
	if (!result)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result;
}

/* All of them, in a process of one thread. */
static int drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS))
		return -EPERM;
	/* no core either, and no tracing by others of the same user: what it has is packets */
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? -errno : 0;
}

static int confine_nursery(const struct vd_privileges *privileges, struct vd_error *error)
{
	int result = vd_capabilities_prepare(false);

	if (!result && privileges->has_user) {
		result = vd_user_change(privileges, error);
		if (result)
			return result;
	}
	if (!result)
		result = drop_capabilities();
	if (result)
		return vd_error_set(error, result, "functions cannot be isolated: privileges could not be given up: %s", strerror(-result));
	if (privileges->confines)
		result = filter_nursery(privileges);
	return result ? vd_error_set(error, result, "functions cannot be isolated: system calls cannot be filtered: %s; to do without, say "
				     "--seccomp no", strerror(-result)) :
			0;
}

/* ---- a host ---- */

static int filter_host(const struct vd_privileges *privileges)
{
	static const char *const REFUSED[] = {"clone", "fork", "vfork", "wait4", "waitid", "kill", "tkill", "rt_sigqueueinfo",
					      "rt_tgsigqueueinfo", "seccomp"};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	for (unsigned i = 0; i < sizeof REFUSED / sizeof *REFUSED && !result; i++) {
		int number = seccomp_syscall_resolve_name(REFUSED[i]);

		if (number >= 0 && !vd_filter_is_listed(privileges->calls, REFUSED[i]))
			result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
	}
	if (!result) /* abort() */
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid()));
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG));
	if (!result)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result;
}

int vd_privileges_confine(void *argument, enum vd_confined who, struct vd_error *error)
{
	const struct vd_privileges *privileges = argument;
	int result;

	if (who == VD_CONFINED_NURSERY)
		return confine_nursery(privileges, error);
	result = privileges->confines ? filter_host(privileges) : 0;
	return result ? vd_error_set(error, result, "functions cannot be isolated: system calls cannot be filtered: %s; to do without, say "
				     "--seccomp no", strerror(-result)) :
			0;
}
