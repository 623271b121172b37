/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: processes of its own, one for each part of a measurement. They are killed when the process that made them
 * ends, and a signal from the terminal is for that one alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/bench/bench.h"

/* ---- in the child ---- */

void bench_report_ready(int reports)
{
	(void)!write(reports, "", 1);
}

void bench_await_order(int orders)
{
	char byte;

	while (read(orders, &byte, 1) < 0 && errno == EINTR)
		;
}

static double microseconds(struct timeval time)
{
	return (double)time.tv_sec * 1e6 + (double)time.tv_usec;
}

struct bench_cpu bench_cpu_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (struct bench_cpu){.user = microseconds(usage.ru_utime), .system = microseconds(usage.ru_stime)};
}

struct bench_cpu bench_cpu_since(struct bench_cpu before)
{
	struct bench_cpu now = bench_cpu_now();

	return (struct bench_cpu){.user = now.user - before.user, .system = now.system - before.system};
}

static void become_child(struct bench *bench, const struct bench_call *call, pid_t parent, int reports, int orders)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it was killed before that */
		_exit(1);
	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], SIG_IGN);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	if (setns(call->netns, CLONE_NEWNET)) {
		snprintf(bench->shared->error.text, sizeof bench->shared->error.text,
			 "a network namespace cannot be entered: %s", strerror(errno));
		_exit(1);
	}
	call->run(bench->shared, &bench->settings, call->traffic, reports, orders);
	_exit(0);
}

/* ---- outside ---- */

int bench_child_start(struct bench *bench, struct bench_child *child, const struct bench_call *call)
{
	int reports[2], orders[2];
	pid_t parent = getpid();

	if (pipe2(reports, O_CLOEXEC))
		return bench_fail(bench, "out of descriptors");
	if (pipe2(orders, O_CLOEXEC)) {
		close(reports[0]);
		close(reports[1]);
		return bench_fail(bench, "out of descriptors");
	}
	fflush(NULL); /* or the child has what is not written yet, too */
	child->pid = fork();
	if (!child->pid) {
		close(reports[0]);
		close(orders[1]);
		become_child(bench, call, parent, reports[1], orders[0]);
	}
	close(reports[1]);
	close(orders[0]);
	child->reports = reports[0];
	child->orders = orders[1];
	if (child->pid > 0)
		return 0;
	close(reports[0]);
	close(orders[1]);
	child->pid = 0;
	return bench_fail(bench, "out of processes");
}

/* Waits for a report or a signal. 1: there is something to read, 0: the time is over, -1: interrupted. */
static int wait_for(struct bench *bench, int reports, int timeout_ms)
{
	struct pollfd pollfds[2] = {{.fd = bench->signals, .events = POLLIN}, {.fd = reports, .events = POLLIN}};
	uint64_t end = vd_clock_ns() + (uint64_t)timeout_ms * 1000000u, now;
	struct signalfd_siginfo info;

	while ((now = vd_clock_ns()) < end) {
		poll(pollfds, reports < 0 ? 1 : 2, (int)((end - now) / 1000000u + 1));
		if (pollfds[0].revents && read(bench->signals, &info, sizeof info) == (ssize_t)sizeof info)
			bench->interrupted = (int)info.ssi_signo;
		if (bench->interrupted)
			return -1;
		if (reports >= 0 && pollfds[1].revents)
			return 1;
	}
	return 0;
}

int bench_pause(struct bench *bench, int milliseconds)
{
	return wait_for(bench, -1, milliseconds);
}

int bench_child_await(struct bench *bench, const struct bench_child *child, int timeout_ms, bool *is_ready)
{
	char byte;
	int result = wait_for(bench, child->reports, timeout_ms);

	if (result > 0)
		*is_ready = read(child->reports, &byte, 1) == 1;
	else if (!result)
		bench_fail(bench, "a part of the measurement did not begin in time: is the machine busy?");
	return result > 0 ? 0 : -1;
}

void bench_child_order(const struct bench_child *child)
{
	(void)!write(child->orders, "", 1);
}

static int reap(struct bench_child *child)
{
	int status = -1;

	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(child->reports);
	close(child->orders);
	child->pid = 0;
	return status;
}

void bench_child_kill(struct bench_child *child)
{
	if (!child->pid)
		return;
	kill(child->pid, SIGKILL);
	reap(child);
}

int bench_child_end(struct bench *bench, struct bench_child *child, int timeout_ms)
{
	int result = wait_for(bench, child->reports, timeout_ms), status;

	if (result <= 0) {
		bench_child_kill(child);
		return result ? -1 : bench_fail(bench, "a part of the measurement did not end in time: is a function stuck?");
	}
	status = reap(child);
	if (!status)
		return 0;
	if (bench->shared->error.text[0]) {
		bench->error = bench->shared->error;
		bench->exit_code = bench->shared->result == -EINVAL ? 2 : 1;
		return -1;
	}
	if (WIFSIGNALED(status))
		return bench_fail(bench, "a part of the measurement was killed by signal %d (%s)", WTERMSIG(status),
				  strsignal(WTERMSIG(status)));
	return bench_fail(bench, "a part of the measurement ended with exit code %d", WEXITSTATUS(status));
}
