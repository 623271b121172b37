/* SPDX-License-Identifier: MIT */
/*
 * Running an engine: functions open, then all ports are checked, then all open, then the threads start: what fails, fails before
 * a packet is touched. At the end the threads decide what was read, and the ports settle what was not.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/held.h"
#include "engine/state.h"

int vd_make_sender(const struct vd_engine *engine, struct vd_sender *sender)
{
	/* for all lanes that there can be: a reload may bring some */
	size_t scratch = vd_port_nfq_scratch_size(), tallies = VD_ENGINE_QUEUES_MAX * sizeof *sender->tallies;

	for (unsigned i = 0; i < engine->lane_count; i++)
		if (engine->lanes[i]->port->scratch_size > scratch)
			scratch = engine->lanes[i]->port->scratch_size;
	scratch = (scratch + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE;
	tallies = (tallies + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE;
	sender->scratch = aligned_alloc(VD_CACHE_LINE, scratch);
	sender->tallies = aligned_alloc(VD_CACHE_LINE, tallies);
	sender->latencies = calloc(VD_ENGINE_QUEUES_MAX, sizeof *sender->latencies);
	if (!sender->scratch || !sender->tallies || !sender->latencies)
		return -ENOMEM;
	memset(sender->scratch, 0, scratch);
	memset(sender->tallies, 0, tallies);
	return 0;
}

void vd_free_sender(struct vd_sender *sender)
{
	free(sender->scratch);
	free(sender->tallies);
	free(sender->latencies);
}

static int make_threads_room(struct vd_engine *engine)
{
	int result = 0;

	engine->workers = calloc(engine->worker_count, sizeof *engine->workers);
	engine->writers = calloc(engine->writer_count ? engine->writer_count : 1, sizeof *engine->writers);
	if (!engine->workers || !engine->writers)
		return -ENOMEM;
	for (unsigned i = 0; i < engine->worker_count && !result; i++) {
		engine->workers[i].engine = engine;
		engine->workers[i].index = i;
		result = vd_make_sender(engine, &engine->workers[i].sender);
		engine->workers[i].holding = calloc(1, sizeof *engine->workers[i].holding);
		if (!engine->workers[i].holding)
			result = -ENOMEM;
		else
			engine->workers[i].holding->holder = engine->holder;
	}
	for (unsigned i = 0; i < engine->writer_count && !result; i++) {
		engine->writers[i].engine = engine;
		engine->writers[i].index = i;
		vd_parking_init(&engine->writers[i].parking);
		result = vd_make_sender(engine, &engine->writers[i].sender);
	}
	return result;
}

/*
 * Pins the engine's n-th thread, and names it for top(1): a thread begins with the name of the one that starts it. To name it
 * later is to write to /proc, which a process that has changed its user may not.
 */
int vd_start_thread(struct vd_engine *engine, pthread_t *thread, void *(*start)(void *), void *argument, const char *role,
		    unsigned number, unsigned nth)
{
	pthread_attr_t attributes;
	char name[16], own[16] = "";
	int result = pthread_attr_init(&attributes);

	if (result)
		return -result;
	if (engine->options.cpu_count) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(engine->cpus[nth % engine->options.cpu_count], &set);
		result = pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
	}
	snprintf(name, sizeof name, "%s-%u", role, number);
	pthread_getname_np(pthread_self(), own, sizeof own);
	pthread_setname_np(pthread_self(), name);
	if (!result)
		result = pthread_create(thread, &attributes, start, argument);
	pthread_setname_np(pthread_self(), own);
	pthread_attr_destroy(&attributes);
	return -result;
}

/* Starts all threads; when one cannot be started, ends the others and fails. Returns when all have ended. */
static void run_threads(struct vd_engine *engine)
{
	unsigned workers = 0, writers = 0;
	sigset_t all, before;
	int result = 0;

	sigfillset(&all); /* signals are the program's business: its own threads take them */
	sigdelset(&all, SIGSYS); /* but a system call that a filter refuses: blocked, it is the end of the process */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (; writers < engine->writer_count && !result; writers += !result)
		result = vd_start_thread(engine, &engine->writers[writers].thread, vd_writer_main, &engine->writers[writers],
					 "writer", writers, engine->worker_count + writers);
	for (; workers < engine->worker_count && !result; workers += !result)
		result = vd_start_thread(engine, &engine->workers[workers].thread, vd_worker_main, &engine->workers[workers],
					 "worker", workers, workers);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result)
		vd_engine_fail(engine, result, "a thread cannot be started%s: %s",
			       result == -EINVAL && engine->options.cpu_count ? " on the given CPUs" : "", strerror(-result));

	for (unsigned i = 0; i < workers; i++)
		pthread_join(engine->workers[i].thread, NULL);
	/* release, pairs with the acquire in vd_writer_main(): all that workers handed over comes before */
	atomic_store_explicit(&engine->workers_ended, true, memory_order_release);
	for (unsigned i = 0; i < writers; i++) {
		vd_parking_wake_all(&engine->writers[i].parking);
		pthread_join(engine->writers[i].thread, NULL);
	}
}

/* For the log of a daemon: from here on its queues are read. */
static void say_what_runs(struct vd_engine *engine)
{
	const struct vd_port *first = engine->lanes[0]->port;

	if (strcmp(first->operations->kind, "queue"))
		return;
	vd_engine_log(engine, "reading queue %u%s: %u worker%s, %u writer%s, %u function%s", first->queue,
		 engine->lane_count > 1 ? " and others" : "", engine->worker_count, engine->worker_count == 1 ? "" : "s",
		 engine->writer_count, engine->writer_count == 1 ? "" : "s", engine->chain->count,
		 engine->chain->count == 1 ? "" : "s");
}

/* The last chance to say no. */
static bool tell_ready(struct vd_engine *engine)
{
	int result = engine->options.ready ? engine->options.ready(engine->options.ready_argument) : 0;

	if (result)
		vd_engine_fail(engine, result, "what had to be done before the first packet could not be done: %s", strerror(-result));
	return !result;
}

/* What was found out in closing: no call was left that could return it. */
static void look_for_late_failures(struct vd_engine *engine)
{
	for (unsigned i = 0; i < VD_ENGINE_QUEUES_MAX && !engine->failed; i++)
		if (engine->lanes[i] && *engine->lanes[i]->port->failure)
			vd_engine_fail(engine, -EIO, "%s", engine->lanes[i]->port->failure);
}

/* The first plan: everything that was added, open. On failure nothing is. */
static int open_all(struct vd_engine *engine, struct vd_error *error)
{
	struct vd_plan *plan = vd_plan_create(engine->chain, &engine->options);
	int result;

	if (!plan)
		return vd_error_set(error, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < engine->lane_count; i++)
		vd_plan_add(plan, engine->lanes[i], &engine->lanes[i]->options);
	vd_say_what_is_cut(engine, plan);
	result = vd_check_lanes(engine, engine->chain, plan->lanes, plan->lane_count, error);
	if (!result)
		result = vd_open_answers(engine, &engine->options, plan, error);
	if (!result)
		result = vd_open_lanes(engine, engine->chain, plan->lanes, plan->lane_count, error);
	if (!result)
		vd_say_what_may_fill(engine, plan);
	if (!result) {
		result = vd_watch_open(&engine->watch, plan->lanes, plan->lane_count);
		if (result) {
			vd_error_set(error, result, "epoll cannot be set up: %s", strerror(-result));
			for (unsigned i = 0; i < plan->lane_count; i++)
				vd_close_lane(engine, plan->lanes[i], false);
		}
	}
	if (result)
		vd_plan_destroy(plan);
	else
		vd_engine_publish(engine, plan);
	return result;
}

/* Before a reload may come, which does the same; and it is stopped when none can come any more. */
static void start_holder(struct vd_engine *engine)
{
	int result = engine->chain->needs & VD_NEEDS_HOLD ? vd_holder_start(engine->holder) : 0;

	if (result)
		vd_engine_fail(engine, result, "no thread can be made for held packets: %s", strerror(-result));
}

/* With everything open. */
static int run(struct vd_engine *engine, struct vd_error *error)
{
	bool is_ready;

	/* release, pairs with the acquire in stats.c */
	atomic_store_explicit(&engine->is_counting, true, memory_order_release);
	is_ready = tell_ready(engine);
	if (is_ready) {
		say_what_runs(engine);
		start_holder(engine);
		vd_reload_allow(engine);
		run_threads(engine);
	}
	vd_reload_forbid(engine);
	vd_holder_stop(engine->holder);
	if (is_ready && engine->options.ending)
		engine->options.ending(engine->options.ending_argument);
	for (unsigned i = 0; i < VD_ENGINE_QUEUES_MAX; i++)
		if (engine->lanes[i])
			vd_close_lane(engine, engine->lanes[i], is_ready);
	look_for_late_failures(engine);
	vd_answers_close(vd_engine_plan(engine)->answers);
	if (!engine->failed)
		return 0;
	*error = engine->failure;
	return engine->failure_code;
}

int vd_engine_run(struct vd_engine *engine, struct vd_error *error)
{
	int result;

	if (engine->has_run)
		return vd_error_set(error, -EALREADY, "an engine runs once: create another one");
	if (!engine->lane_count)
		return vd_error_set(error, -EINVAL, "there is no queue and no capture to read");
	engine->has_run = true;
	atomic_store_explicit(&engine->packets_left, (int64_t)engine->options.packets_max, memory_order_relaxed);
	atomic_store_explicit(&engine->packets_unread, (int64_t)engine->options.packets_max, memory_order_relaxed);

	result = vd_open_functions(engine, engine->chain, engine->lane_count, error);
	if (result)
		return result;
	if (make_threads_room(engine))
		result = vd_error_set(error, -ENOMEM, "out of memory");
	if (!result)
		result = open_all(engine, error);
	if (!result)
		result = run(engine, error);
	vd_chain_close(engine->chain);
	return result;
}
