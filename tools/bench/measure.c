/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: one measurement. The program that is measured and the receiver are there first; then the sender does its
 * work, and when the queue is empty and nothing arrives any more, all of them end.
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "engine/clock.h"
#include "lib/nfq/nfq.h"
#include "tools/bench/bench.h"

#define START_MS 10000
#define END_MS 20000
#define QUIET_MS 20	   /* nothing arrived for so long: all is there */
#define DRAIN_MS_MAX 10000 /* what waits in the queue then is lost: a function is very slow */
#define BAR_WIDTH 30u

int bench_fail(struct bench *bench, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(bench->error.text, sizeof bench->error.text, format, arguments);
	va_end(arguments);
	bench->exit_code = 1;
	return -1;
}

/* ---- progress ---- */

void bench_progress(struct bench *bench, const char *what)
{
	double done = bench->steps ? fmin((double)bench->steps_done / (double)bench->steps, 1) : 0;
	unsigned filled = (unsigned)(BAR_WIDTH * done);
	char bar[BAR_WIDTH + 1];

	if (!bench->shows_progress)
		return;
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', filled);
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r\033[K[%s] %3u %%  %s", bar, (unsigned)(100 * done), what);
	fflush(stderr);
}

void bench_progress_end(struct bench *bench)
{
	if (bench->shows_progress)
		fprintf(stderr, "\r\033[K");
}

/* ---- one measurement ---- */

enum { PROGRAM, RECEIVER, SENDER, CHILD_COUNT };

/* Starts it and waits until it is ready. */
static int start(struct bench *bench, struct bench_child *child, const struct bench_call *call)
{
	bool is_ready = false;

	if (bench_child_start(bench, child, call) || bench_child_await(bench, child, START_MS, &is_ready))
		return -1;
	if (is_ready)
		return 0;
	if (!bench_child_end(bench, child, END_MS))
		bench_fail(bench, "a part of the measurement ended before it began");
	return -1;
}

/* Until the queue is empty and nothing has arrived for a while. */
static int await_quiet(struct bench *bench)
{
	uint64_t end = vd_clock_ns() + DRAIN_MS_MAX * 1000000ull, before = UINT64_MAX;

	while (vd_clock_ns() < end) {
		uint64_t received = atomic_load_explicit(&bench->shared->received, memory_order_relaxed);
		struct vd_nfq_status status = {0};

		vd_nfq_status_of(bench->status, BENCH_QUEUE, &status);
		if (received == before && !status.waiting)
			return 0;
		before = received;
		if (bench_pause(bench, QUIET_MS))
			return -1;
	}
	return 0;
}

static int measure(struct bench *bench, enum bench_program program, const struct bench_traffic *traffic,
		   struct bench_child *children)
{
	const struct bench_call program_call = {
		.run = program == BENCH_VERDICT ? bench_run_engine : bench_run_yardstick,
		.traffic = traffic,
		.netns = bench->near,
	};
	const struct bench_call receiver_call = {.run = bench_receive, .traffic = traffic, .netns = bench->far};
	const struct bench_call sender_call = {.run = bench_send, .traffic = traffic, .netns = bench->near};
	int duration_ms = (int)(bench->settings.duration_ns / 1000000u);

	if (program != BENCH_NONE && start(bench, &children[PROGRAM], &program_call))
		return -1;
	if (start(bench, &children[RECEIVER], &receiver_call) ||
	    bench_child_start(bench, &children[SENDER], &sender_call) ||
	    bench_child_end(bench, &children[SENDER], duration_ms + END_MS) || await_quiet(bench))
		return -1;
	if (program != BENCH_NONE) {
		bench_child_order(&children[PROGRAM]);
		if (bench_child_end(bench, &children[PROGRAM], END_MS))
			return -1;
	}
	bench_child_order(&children[RECEIVER]);
	return bench_child_end(bench, &children[RECEIVER], END_MS);
}

int bench_measure(struct bench *bench, enum bench_program program, const struct bench_traffic *traffic)
{
	struct bench_child children[CHILD_COUNT] = {0};
	int result;

	if (bench_net_set_rule(bench, program != BENCH_NONE))
		return -1;
	memset(bench->shared, 0, sizeof *bench->shared);
	result = measure(bench, program, traffic, children);
	for (unsigned i = 0; i < CHILD_COUNT; i++)
		bench_child_kill(&children[i]);
	bench->shared->round.late_p99_ns = histogram_quantile(&bench->shared->late, 990000);
	return result;
}
