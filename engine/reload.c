/* SPDX-License-Identifier: MIT */
/*
 * Changing an engine while packets flow.
 *
 *	1. what can be refused		the functions open, new queues are bound, others get room for longer packets
 *	2. the kernel gives all that the old functions and the new ones need, and what had come before is answered
 *	3. queues that go are held, and all of them if a function takes over state (hold.c)
 *	4. the new plan is published: one store
 *	5. when no thread has the old plan any more (grace.h), what only it had is closed and freed
 *	6. the kernel gives no more than the new functions need
 *
 * Up to 3 everything can be undone; from 4 on nothing can fail.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "engine/grace.h"
#include "engine/held.h"
#include "engine/host.h"
#include "engine/migrate.h"
#include "engine/reload.h"

#ifdef __SANITIZE_THREAD__
char vd_grace_order;
#endif

/* Between two looks at visitors. */
#define LOOK_NS 50000

/* ---- what it comes to ---- */

static bool is_same_text(const char *one, const char *other)
{
	return one && other ? !strcmp(one, other) : one == other;
}

static bool has_same_cpus(const struct vd_engine *one, const struct vd_engine *other)
{
	return one->options.cpu_count == other->options.cpu_count &&
	       (!one->options.cpu_count || !memcmp(one->cpus, other->cpus, one->options.cpu_count * sizeof *one->cpus));
}

static int check_what_cannot_change(const struct reload *reload)
{
	const struct vd_engine *engine = reload->engine, *next = reload->next;
	const char *what = engine->worker_count != next->worker_count		? "the number of workers" :
			   engine->writer_count != next->writer_count		? "the number of writers" :
			   !is_same_text(engine->netns, next->netns)		? "the network namespace" :
			   !has_same_cpus(engine, next)				? "the CPUs of its threads" :
			   engine->options.packets_max != next->options.packets_max ? "after how many packets it stops" :
										      NULL;

	if (what)
		return vd_error_set(reload->error, -ENOTSUP, "%s cannot change while it runs: restart it for that", what);
	for (unsigned i = 0; i < next->lane_count; i++)
		if (strcmp(next->lanes[i]->port->operations->kind, "queue"))
			return vd_error_set(reload->error, -ENOTSUP, "only queues can be added while it runs");
	return 0;
}

/* ---- the steps ---- */

/*
 * Functions open in a thread of their own with less of the CPU than those that packets wait for, where there is not enough: a large
 * table takes milliseconds to be made.
 */
#define NICE 10

static void *open_quietly(void *argument)
{
	struct reload *reload = argument;

	if (!reload->next->chain->is_isolated) /* the process that they open in would keep it, and those made of that */
		setpriority(PRIO_PROCESS, 0, NICE); /* of this thread */
	reload->opened = vd_open_functions(reload->engine, reload->next->chain, reload->lane_limit, reload->error);
	return NULL;
}

static int open_functions(struct reload *reload)
{
	pthread_t thread;
	int result = pthread_create(&thread, NULL, open_quietly, reload);

	if (result)
		return vd_error_set(reload->error, -result, "no thread can be made for it");
	pthread_join(thread, NULL);
	return reload->opened;
}

static void let_all_go(struct reload *reload)
{
	while (reload->held) {
		unsigned last = --reload->held;

		vd_lane_let_go(reload->engine, last < reload->removed_count ? reload->removed[last] :
									      reload->kept[last - reload->removed_count]);
	}
}

/* Step 3. */
static int hold(struct reload *reload)
{
	unsigned count = reload->removed_count;
	int result = 0;

	if (vd_chain_migrates(reload->before->chain, reload->next->chain))
		count += reload->kept_count;
	while (reload->held < count && !result) {
		struct vd_lane *lane = reload->held < reload->removed_count ? reload->removed[reload->held] :
									      reload->kept[reload->held - reload->removed_count];

		result = vd_lane_hold(reload->engine, lane, reload->error);
		reload->held += !result;
	}
	if (result)
		let_all_go(reload);
	return result;
}

/* Watching begins with the second lane. */
static int watch(struct reload *reload)
{
	struct vd_watch *watch = &reload->engine->watch;
	int result = 0;

	if (reload->plan->lane_count > 1 && !vd_watch_is_on(watch))
		result = vd_watch_open(watch, reload->plan->lanes, reload->plan->lane_count);
	else if (vd_watch_is_on(watch))
		for (unsigned i = 0; i < reload->added_count && !result; i++)
			result = vd_watch_add(watch, reload->added[i]);
	if (result)
		vd_error_set(reload->error, result, "epoll cannot be set up: %s", strerror(-result));
	return result;
}

static void make_plan(struct reload *reload)
{
	for (unsigned i = 0; i < reload->kept_count; i++)
		vd_plan_add(reload->plan, reload->kept[i], &reload->kept_options[i]);
	for (unsigned i = 0; i < reload->added_count; i++)
		vd_plan_add(reload->plan, reload->added[i], &reload->added[i]->options);
}

/* What threads counted of a lane that had the same index. */
static void forget_tallies(struct vd_sender *sender, unsigned index)
{
	sender->tallies[index] = (struct vd_lane_tally){0};
	sender->latencies[index] = (struct vd_latencies){0};
}

static void forget_lane(struct vd_engine *engine, unsigned index)
{
	for (unsigned i = 0; i < engine->worker_count; i++)
		forget_tallies(&engine->workers[i].sender, index);
	for (unsigned i = 0; i < engine->writer_count; i++)
		forget_tallies(&engine->writers[i].sender, index);
	if (engine->holder->sender.tallies) /* nothing of that lane is held any more */
		forget_tallies(&engine->holder->sender, index);
}

static int open_added(struct reload *reload)
{
	int result = vd_check_lanes(reload->engine, reload->next->chain, reload->added, reload->added_count, reload->error);

	if (!result)
		result = vd_open_lanes(reload->engine, reload->next->chain, reload->added, reload->added_count, reload->error);
	for (unsigned i = 0; i < reload->added_count && !result; i++)
		forget_lane(reload->engine, reload->added[i]->index);
	return result;
}

static void close_added(struct reload *reload)
{
	for (unsigned i = 0; i < reload->added_count; i++) {
		vd_watch_remove(&reload->engine->watch, reload->added[i]);
		vd_close_lane(reload->engine, reload->added[i], true);
	}
}

static void wait_for_visitors(struct vd_engine *engine)
{
	/* sequentially consistent: see vd_engine_visit() */
	while (atomic_load_explicit(&engine->visitors, memory_order_seq_cst))
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
}

/* Everybody finds out that there is another plan. */
static void wake_all(struct vd_engine *engine, const struct vd_plan *plan)
{
	for (unsigned i = 0; i < plan->lane_count; i++) {
		/* who watched them, or waited for one, may not do so any more */
		atomic_store_explicit(&plan->lanes[i]->readable, true, memory_order_release);
		vd_lane_wake(plan->lanes[i]);
	}
	vd_watch_wake(&engine->watch);
	vd_parking_wake_all(&engine->parking);
}

/* Of processes that functions run in, also of chains before this one. */
static uint64_t restarts_of(const struct vd_chain *chain)
{
	return chain->restarts_before + (chain->host ? vd_host_restarts(chain->host) : 0);
}

static void say_what_begins_anew(struct vd_engine *engine, struct vd_chain *old, const struct vd_chain *chain)
{
	const char *name = vd_chain_forgets(old, chain);

	if (name)
		vd_engine_log(engine, "note: the state of function %s begins empty: where functions run in processes, it is not handed on",
			      name);
}

/* Steps 4 and 5. */
static void replace(struct reload *reload)
{
	struct vd_engine *engine = reload->engine, *next = reload->next;
	struct vd_chain *old = reload->before->chain;
	const char *name = "";
	unsigned failed = 0;

	if (reload->held > reload->removed_count)
		failed = vd_chain_migrate(old, next->chain, reload->has_lane, &name);
	for (unsigned i = 0; i < reload->added_count; i++) {
		engine->lanes[reload->added[i]->index] = reload->added[i];
		for (unsigned j = 0; j < next->lane_count; j++)
			if (next->lanes[j] == reload->added[i])
				next->lanes[j] = NULL;
	}
	vd_tally_write(&next->chain->restarts_before, restarts_of(old));
	vd_engine_publish(engine, reload->plan);
	vd_grace_wait();
	vd_tally_write(&next->chain->restarts_before, restarts_of(old)); /* nobody asks those hosts any more */
	/* not earlier: somebody with the old functions could have read more, whose state has been taken over */
	while (reload->held > reload->removed_count)
		vd_lane_let_go(engine, reload->kept[--reload->held - reload->removed_count]);
	wake_all(engine, reload->plan);
	vd_chain_fold(old, next->chain);
	wait_for_visitors(engine);
	vd_chain_forget(next->chain);

	for (unsigned i = 0; i < reload->removed_count; i++) {
		struct vd_lane *lane = reload->removed[i];

		vd_watch_remove(&engine->watch, lane);
		vd_holder_empty(engine->holder, lane);
		vd_close_lane(engine, lane, true);
		engine->lanes[lane->index] = NULL;
		vd_lane_fini(lane);
		free(lane);
	}
	vd_plan_destroy(reload->before);
	engine->chain = next->chain;
	next->chain = old; /* goes with it */
	say_what_begins_anew(engine, old, engine->chain);
	vd_chain_close(old);
	if (failed)
		vd_engine_log(engine, "note: function %s could not take over all of its state: it begins empty", name);
}

/* The options of queues that a later one begins with, and what notes are made by; threads read none of them. */
static void take_options(struct vd_engine *engine, const struct vd_engine_options *options)
{
	engine->options.maxlen = options->maxlen;
	engine->options.copy_range = options->copy_range;
	engine->options.no_gso = options->no_gso;
	engine->options.fail_open = options->fail_open;
	engine->options.default_verdict = options->default_verdict;
	engine->options.fault_verdict = options->fault_verdict;
	engine->options.reject_rate = options->reject_rate;
	engine->options.reject_mark = options->reject_mark;
	engine->options.held_max = options->held_max;
	vd_holder_limit(engine->holder, options->held_max);
}

static int keep_names(struct reload *reload)
{
	struct vd_chain *chain = reload->next->chain;

	for (unsigned i = 0; i < chain->count; i++) {
		chain->links[i].names = vd_names_keep(&reload->engine->names, &chain->links[i].function);
		if (!chain->links[i].names)
			return -ENOMEM;
	}
	return 0;
}

static int change(struct reload *reload)
{
	struct vd_engine *engine = reload->engine, *next = reload->next;
	int result;

	vd_reload_sort_queues(reload);
	result = vd_reload_choose_indices(reload);
	if (!result)
		result = open_functions(reload);
	if (result)
		return result;
	result = keep_names(reload) || vd_chain_follow(reload->before->chain, next->chain) ? -ENOMEM : 0;
	if (result)
		return vd_error_set(reload->error, result, "out of memory");
	result = next->chain->needs & VD_NEEDS_HOLD ? vd_holder_start(engine->holder) : 0;
	if (result)
		return vd_error_set(reload->error, result, "no thread can be made for held packets: %s", strerror(-result));
	vd_reload_choose_settings(reload);
	make_plan(reload);
	result = vd_open_answers(engine, &next->options, reload->plan, reload->error);
	if (!result)
		result = open_added(reload);
	if (result)
		return result;
	result = watch(reload);
	if (!result)
		result = vd_reload_prepare_queues(reload);
	if (!result)
		result = hold(reload);
	if (result) {
		vd_reload_settle_queues(reload, true);
		close_added(reload);
		return result;
	}
	replace(reload);
	vd_reload_settle_queues(reload, false);
	take_options(engine, &next->options);
	vd_say_what_is_cut(engine, reload->plan);
	vd_say_what_may_fill(engine, reload->plan);
	return 0;
}

int vd_engine_reload(struct vd_engine *engine, struct vd_engine *next, struct vd_error *error)
{
	struct reload *reload = calloc(1, sizeof *reload);
	int result;

	if (!reload)
		return vd_error_set(error, -ENOMEM, "out of memory");
	*reload = (struct reload){.engine = engine, .next = next, .error = error};
	pthread_mutex_lock(&engine->reloading);
	reload->before = vd_engine_plan(engine);
	result = check_what_cannot_change(reload);
	if (!result && (!engine->may_reload || vd_engine_is_stopping(engine)))
		result = vd_error_set(error, -ECANCELED, "it does not run");
	if (!result) {
		reload->plan = vd_plan_create(next->chain, &next->options);
		result = reload->plan ? change(reload) : vd_error_set(error, -ENOMEM, "out of memory");
		if (result)
			vd_plan_destroy(reload->plan);
	}
	pthread_mutex_unlock(&engine->reloading);
	free(reload);
	return result;
}

void vd_reload_allow(struct vd_engine *engine)
{
	pthread_mutex_lock(&engine->reloading);
	engine->may_reload = true;
	pthread_mutex_unlock(&engine->reloading);
}

void vd_reload_forbid(struct vd_engine *engine)
{
	vd_engine_stop(engine); /* a reload that waits for something gives up */
	pthread_mutex_lock(&engine->reloading);
	engine->may_reload = false;
	pthread_mutex_unlock(&engine->reloading);
}
