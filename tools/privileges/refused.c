/* SPDX-License-Identifier: MIT */
/*
 * A refused system call: the filter has the kernel send SIGSYS to the thread that made it, and the handler makes it fail with
 * EPERM, and says which call it was and whose. It runs wherever the call stood, maybe in the midst of malloc(), so it calls
 * nothing but what a signal handler may. (A listener for the filter's notifications could name calls too, but whoever has
 * taken over this process could answer through it, and let his own calls pass.)
 */
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "tools/privileges/private.h"

#define NUMBERS_MAX 1024

static const char *names[NUMBERS_MAX];
static _Atomic uint64_t counts[NUMBERS_MAX];

struct line {
	char text[256];
	size_t length;
};

static void add(struct line *line, const char *text)
{
	while (*text && line->length < sizeof line->text)
		line->text[line->length++] = *text++;
}

static void add_number(struct line *line, uint64_t number)
{
	char digits[24];
	size_t at = sizeof digits;

	digits[--at] = '\0';
	do
		digits[--at] = (char)('0' + number % 10);
	while (number /= 10);
	add(line, digits + at);
}

/* 1, 10, 100 and so on: no flood of lines. */
static bool is_said(uint64_t count)
{
	while (count % 10 == 0)
		count /= 10;
	return count == 1;
}

static void say(int number, uint64_t count)
{
	const char *name = names[number] ? names[number] : "?";
	struct line line = {.length = 0};
	char thread[16] = "?";

	prctl(PR_GET_NAME, thread, 0, 0, 0);
	add(&line, "verdict: thread ");
	add(&line, thread);
	add(&line, " called ");
	add(&line, name);
	add(&line, "(), which is refused");
	if (count > 1) {
		add(&line, ", as ");
		add_number(&line, count);
		add(&line, " times before");
	}
	add(&line, ": allow it with seccomp-allow ");
	add(&line, name);
	add(&line, ", if a function needs it\n");
	(void)!write(STDERR_FILENO, line.text, line.length);
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
	if (is_said(count))
		say(info->si_syscall, count);
	errno = saved;
}

bool vd_refused_init(void)
{
	struct sigaction action = {.sa_sigaction = take_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

	for (int number = 0; number < NUMBERS_MAX; number++)
		if (!names[number])
			names[number] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
	sigemptyset(&action.sa_mask);
	return !sigaction(SIGSYS, &action, NULL);
}

#else

bool vd_refused_init(void)
{
	return false;
}

#endif
