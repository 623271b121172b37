/* SPDX-License-Identifier: MIT */
/*
 * forbidden:CALL makes a system call for each packet that a verdict function has no business with, and accepts the packet only if
 * it fails with EPERM. CALL can also be what is allowed, and then has to work: `late` (a thread for each packet), `library`,
 * `netlink` and `unix` (what a new function, a new queue and syslog(3) take). forbidden:thread starts a thread when it opens, which lives as long as the
 * function.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <verdict/function.h>

static pthread_t companion;
static bool has_companion;

static void *sleep_long(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "companion");
	for (;;)
		pause(); /* where it is cancelled */
	return NULL;
}

static void *end_at_once(void *unused)
{
	return unused;
}

static int open_forbidden(struct vd_open *open, void **shared)
{
	static const char *const WORDS[] = {"execve", "fork", "spawn", "ptrace", "socket", "thread", "late", "library", "netlink", "unix",
					    "old-fork", "kill", "tgkill", "wait4", "waitid", "seccomp", "pdeathsig"};

	for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
		if (!strcmp(open->arguments, WORDS[i]))
			*shared = (void *)WORDS[i];
	if (!*shared)
		return vd_open_error(open, "'%s' is none of its calls", open->arguments);
	has_companion = !strcmp(open->arguments, "thread");
	return has_companion ? -pthread_create(&companion, NULL, sleep_long, NULL) : 0;
}

static void close_forbidden(void *shared)
{
	(void)shared;
	if (has_companion) {
		pthread_cancel(companion);
		pthread_join(companion, NULL);
	}
}

/* Not by clone(), as the C library does. */
static pid_t fork_as_of_old(void)
{
#ifdef SYS_fork
	return (pid_t)syscall(SYS_fork);
#else
	errno = EPERM; /* newer machines do not have it */
	return -1;
#endif
}

/* What the process may do that makes those in which functions run: none of it does anything, where it is allowed. */
static int make_what_parents_may(const char *call)
{
	uint32_t action = SECCOMP_RET_ERRNO;
	siginfo_t info;
	long result = 0;

	errno = 0;
	if (!strcmp(call, "kill"))
		result = kill(getppid(), 0);
	else if (!strcmp(call, "tgkill"))
		result = syscall(SYS_tgkill, getppid(), getppid(), 0);
	else if (!strcmp(call, "wait4"))
		result = wait4(-1, NULL, WNOHANG, NULL);
	else if (!strcmp(call, "waitid"))
		result = waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
	else if (!strcmp(call, "seccomp"))
		result = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
	else if (!strcmp(call, "pdeathsig"))
		result = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return result < 0 ? errno : 0;
}

/* 0 it was made, or why not. */
static int make(const char *call)
{
	char *const arguments[] = {(char *)"true", NULL};
	pthread_t thread;
	pid_t pid = 0;
	int result = 0;

	errno = 0;
	if (!strcmp(call, "execve")) {
		execve("/nonexistent", arguments, environ);
		result = errno;
	} else if (!strcmp(call, "fork")) {
		pid = fork();
		if (!pid)
			_exit(0);
		result = errno;
	} else if (!strcmp(call, "spawn")) {
		result = posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ);
	} else if (!strcmp(call, "ptrace")) {
		if (ptrace(PTRACE_PEEKUSER, 1, NULL, NULL) < 0)
			result = errno;
	} else if (!strcmp(call, "socket")) {
		int descriptor = socket(AF_INET, SOCK_DGRAM, 0);

		result = descriptor < 0 ? errno : close(descriptor);
	} else if (!strcmp(call, "late")) {
		result = pthread_create(&thread, NULL, end_at_once, NULL);
		if (!result)
			pthread_join(thread, NULL);
	} else if (!strcmp(call, "library")) {
		void *library = dlopen("libBrokenLocale.so.1", RTLD_NOW | RTLD_LOCAL); /* that nobody has loaded yet */

		result = library ? dlclose(library) : EPERM;
	} else if (!strcmp(call, "netlink") || !strcmp(call, "unix")) {
		int descriptor = !strcmp(call, "unix") ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) :
							 socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

		result = descriptor < 0 ? errno : close(descriptor);
	} else if (!strcmp(call, "old-fork")) {
		pid = fork_as_of_old();
		if (!pid)
			_exit(0);
		result = errno;
	} else {
		result = make_what_parents_may(call);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return result;
}

static bool is_allowed(const char *call)
{
	static const char *const WORDS[] = {"thread", "late", "library", "netlink", "unix"};

	for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
		if (!strcmp(call, WORDS[i]))
			return true;
	return false;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	int result = make(state);

	(void)packet;
	return result == (is_allowed(state) ? 0 : EPERM) ? VD_ACCEPT : VD_DROP;
}

VD_FUNCTION(.name = "forbidden", .summary = "does what it should not", .usage = "CALL", .bytes = VD_HEADERS,
	    .open = open_forbidden, .close = close_forbidden, .decide = decide);
