/* SPDX-License-Identifier: MIT */
/*
 * A refused system call: the filter has the kernel send SIGSYS to the thread that made it, and the handler makes it fail with
 * EPERM, and tells the first thread by a pipe which call it was and whose. It runs wherever the call stood, maybe in the midst of
 * malloc(), so it calls nothing but what a signal handler may. (A listener for the filter's notifications could name calls too, but whoever has
 * taken over this process could answer through it, and let his own calls pass.)
 */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "tools/privileges/private.h"

#define NUMBERS_MAX 1024

static const char *names[NUMBERS_MAX];
static _Atomic uint64_t counts[NUMBERS_MAX];

static int pipe_in = -1;

/* From the thread that made the call to the first one, which says it. Short enough to be written at once (PIPE_BUF). */
struct refusal {
	uint64_t count;
	int number;
	char thread[16];
};

/* 1, 10, 100 and so on: no flood of lines. */
static bool is_said(uint64_t count)
{
	while (count % 10 == 0)
		count /= 10;
	return count == 1;
}

/* Also where nothing is filtered here, but where functions run. */
static const char *name_of(int number)
{
	if (!names[number])
		names[number] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
	return names[number] ? names[number] : "?";
}

int vd_refused_say(int descriptor, void (*log)(void *log_argument, const char *line))
{
	struct refusal refusal;
	int said = 0;

	while (read(descriptor, &refusal, sizeof refusal) == (ssize_t)sizeof refusal) {
		bool is_call = refusal.number >= 0 && refusal.number < NUMBERS_MAX; /* functions could write to it, too */
		const char *name = is_call ? name_of(refusal.number) : "?";
		char line[256], times[64] = "";

		if (refusal.count > 1)
			snprintf(times, sizeof times, ", for the %" PRIu64 "th time", refusal.count);
		snprintf(line, sizeof line, "thread %.15s called %s(), which is refused%s: allow it with seccomp-allow %s, if a function "
			 "needs it", refusal.thread, name, times, name);
		log(NULL, line);
		said++;
	}
	return said;
}

#if defined(__x86_64__) || defined(__aarch64__)

static void make_it_fail(ucontext_t *context)
{
#ifdef __x86_64__
	context->uc_mcontext.gregs[REG_RAX] = -EPERM;
#else
	context->uc_mcontext.regs[0] = (unsigned long long)-EPERM;
#endif
}

static void take_signal(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	uint64_t count;

	(void)signal;
	if (info->si_code != 1 /* SYS_SECCOMP: else somebody sent it */ || info->si_syscall < 0 || info->si_syscall >= NUMBERS_MAX)
		return;
	make_it_fail(context);
	/* relaxed: nothing hangs on its order */
	count = atomic_fetch_add_explicit(&counts[info->si_syscall], 1, memory_order_relaxed) + 1;
	if (is_said(count)) {
		struct refusal refusal = {.count = count, .number = info->si_syscall};

		prctl(PR_GET_NAME, refusal.thread, 0, 0, 0);
		(void)!write(pipe_in, &refusal, sizeof refusal); /* does not wait: who does not read misses it */
	}
	errno = saved;
}

bool vd_refused_init(int descriptor)
{
	struct sigaction action = {.sa_sigaction = take_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

	pipe_in = descriptor;
	for (int number = 0; number < NUMBERS_MAX; number++)
		if (!names[number])
			names[number] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
	sigemptyset(&action.sa_mask);
	return !sigaction(SIGSYS, &action, NULL);
}

#else

bool vd_refused_init(int descriptor)
{
	(void)descriptor;
	return false;
}

#endif
