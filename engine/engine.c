/* SPDX-License-Identifier: MIT */
/*
 * The engine's life: create, add functions and lanes, run, stop, destroy.
 *
 * run: functions open, then all ports are checked, then all open, then the threads start: what fails, fails before a
 * packet is touched. At the end the threads decide what was read, and the ports settle what was not.
 */
#include "engine/state.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine/load.h"
#include "lib/nfq/nfq.h"

const char *vd_version(void)
{
	return "verdict " VERDICT_VERSION;
}

/* ---- create and add ---- */

static bool may_use_cpu(unsigned cpu)
{
	cpu_set_t set;

	return cpu < CPU_SETSIZE && !sched_getaffinity(0, sizeof set, &set) && CPU_ISSET(cpu, &set);
}

/* What an engine has for all queues, and each queue for itself. */
static int check_queue_options(const struct vd_queue_options *options, struct vd_error *error)
{
	if (options->maxlen > VD_ENGINE_MAXLEN_MAX)
		return vd_error_set(error, -EINVAL, "maxlen: %u is more than %u", options->maxlen, VD_ENGINE_MAXLEN_MAX);
	if (options->copy_range > VD_NFQ_COPY_RANGE_MAX)
		return vd_error_set(error, -EINVAL, "copy range: %u is more than %u", options->copy_range, VD_NFQ_COPY_RANGE_MAX);
	if (options->fault_verdict != VD_ACCEPT && options->fault_verdict != VD_DROP)
		return vd_error_set(error, -EINVAL, "the fault verdict has to be accept or drop");
	return 0;
}

static struct vd_queue_options queue_options(const struct vd_engine_options *options)
{
	return (struct vd_queue_options){.maxlen = options->maxlen,
					 .copy_range = options->copy_range,
					 .no_gso = options->no_gso,
					 .fail_open = options->fail_open,
					 .fault_verdict = options->fault_verdict};
}

static int check_options(const struct vd_engine_options *options, struct vd_error *error)
{
	struct vd_queue_options every_queue = queue_options(options);

	if (options->workers > VD_ENGINE_WORKERS_MAX)
		return vd_error_set(error, -EINVAL, "workers: %u is more than %u", options->workers, VD_ENGINE_WORKERS_MAX);
	if (options->writers > VD_ENGINE_WRITERS_MAX)
		return vd_error_set(error, -EINVAL, "writers: %u is more than %u", options->writers, VD_ENGINE_WRITERS_MAX);
	if (options->batch > VD_BURST_MAX)
		return vd_error_set(error, -EINVAL, "batch: %u is more than %u", options->batch, VD_BURST_MAX);
	if (options->batch_delay_us > 1000000)
		return vd_error_set(error, -EINVAL, "batch delay: %u µs is more than a second", options->batch_delay_us);
	if (options->default_verdict != VD_ACCEPT && options->default_verdict != VD_DROP)
		return vd_error_set(error, -EINVAL, "the default verdict has to be accept or drop");
	for (unsigned i = 0; i < options->cpu_count; i++)
		if (!may_use_cpu(options->cpus[i]))
			return vd_error_set(error, -EINVAL, "CPU %u is not one that this process may use", options->cpus[i]);
	if (options->reject_rate > VD_ENGINE_REJECT_RATE_MAX)
		return vd_error_set(error, -EINVAL, "reject rate: %u is more than %u", options->reject_rate,
				    VD_ENGINE_REJECT_RATE_MAX);
	if (options->packets_max > INT64_MAX)
		return vd_error_set(error, -EINVAL, "packets: more than can be counted");
	return check_queue_options(&every_queue, error);
}

static unsigned usable_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

static int copy_options(struct vd_engine *engine, const struct vd_engine_options *options)
{
	engine->options = *options;
	if (!engine->options.batch)
		engine->options.batch = VD_BURST_MAX;
	engine->worker_count = options->workers	  ? options->workers :
			       options->cpu_count ? options->cpu_count :
						    usable_cpus();
	if (engine->worker_count > VD_ENGINE_WORKERS_MAX)
		engine->worker_count = VD_ENGINE_WORKERS_MAX;
	engine->writer_count = options->writers;
	if (options->netns && !(engine->netns = strdup(options->netns)))
		return -ENOMEM;
	engine->options.netns = engine->netns;
	if (options->cpu_count) {
		engine->cpus = malloc(options->cpu_count * sizeof *engine->cpus);
		if (!engine->cpus)
			return -ENOMEM;
		memcpy(engine->cpus, options->cpus, options->cpu_count * sizeof *engine->cpus);
	}
	engine->options.cpus = engine->cpus;
	engine->chain.default_verdict = options->default_verdict;
	return 0;
}

int vd_engine_create(struct vd_engine **engine, const struct vd_engine_options *options, struct vd_error *error)
{
	int result = check_options(options, error);

	*engine = NULL;
	if (result)
		return result;
	*engine = calloc(1, sizeof **engine);
	if (!*engine)
		return vd_error_set(error, -ENOMEM, "out of memory");
	result = vd_watch_init(&(*engine)->watch);
	if (!result)
		result = copy_options(*engine, options);
	if (result) {
		vd_engine_destroy(*engine);
		*engine = NULL;
		return vd_error_set(error, result, "the engine cannot be made: %s", strerror(-result));
	}
	vd_parking_init(&(*engine)->parking);
	return 0;
}

int vd_engine_add_function(struct vd_engine *engine, const struct vd_function *function, const char *arguments,
			   struct vd_error *error)
{
	int result = vd_chain_add(&engine->chain, function, arguments, NULL, error);

	if (result)
		vd_error_prefix(error, "function");
	return result;
}

int vd_engine_load_function(struct vd_engine *engine, const char *specification, struct vd_error *error)
{
	struct vd_loaded loaded;
	int result = vd_load_function(specification, &loaded, error);

	if (result)
		return result;
	result = vd_chain_add(&engine->chain, loaded.function, loaded.arguments, loaded.library, error);
	if (result) {
		dlclose(loaded.library);
		vd_error_prefix(error, "function %.200s", specification);
	}
	return result;
}

int vd_engine_try_function(const char *specification, struct vd_error *error)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_engine *engine;
	int result;

	options.workers = 1;
	result = vd_engine_create(&engine, &options, error);
	if (!result)
		result = vd_engine_load_function(engine, specification, error);
	if (!result)
		result = vd_chain_open(&engine->chain, 1, 1, 1, error);
	vd_engine_destroy(engine); /* closes it */
	return result;
}

void vd_engine_set_crowded(struct vd_engine *engine, bool is_crowded)
{
	atomic_store_explicit(&engine->crowd.until_ns, UINT64_MAX, memory_order_relaxed);
	atomic_store_explicit(&engine->crowd.is_crowded, is_crowded, memory_order_relaxed);
}

static int add_lane(struct vd_engine *engine, struct vd_port *port, const struct vd_queue_options *options,
		    struct vd_error *error)
{
	struct vd_lane *lanes;

	if (engine->lane_count == VD_ENGINE_QUEUES_MAX) {
		port->operations->destroy(port);
		return vd_error_set(error, -E2BIG, "there are %u queues already, which is the limit", engine->lane_count);
	}
	lanes = aligned_alloc(VD_CACHE_LINE, (engine->lane_count + 1) * sizeof *lanes);
	if (!lanes) {
		port->operations->destroy(port);
		return vd_error_set(error, -ENOMEM, "out of memory");
	}
	if (engine->lane_count) /* nothing runs yet, and nothing points into the old ones */
		memcpy((void *)lanes, engine->lanes, engine->lane_count * sizeof *lanes);
	free(engine->lanes);
	engine->lanes = lanes;
	vd_lane_init(&lanes[engine->lane_count], engine->lane_count, port, options);
	engine->lane_count++;
	return 0;
}

void vd_engine_queue_options(const struct vd_engine *engine, struct vd_queue_options *options)
{
	*options = queue_options(&engine->options);
}

int vd_engine_add_port(struct vd_engine *engine, struct vd_port *port, struct vd_error *error)
{
	struct vd_queue_options options = queue_options(&engine->options);

	return add_lane(engine, port, &options, error);
}

static struct vd_lane *find_queue(struct vd_engine *engine, unsigned queue)
{
	for (unsigned i = 0; i < engine->lane_count; i++)
		if (!strcmp(engine->lanes[i].port->operations->kind, "queue") && engine->lanes[i].port->queue == queue)
			return &engine->lanes[i];
	return NULL;
}

static int check_queue(struct vd_engine *engine, unsigned queue, const struct vd_queue_options *options, struct vd_error *error)
{
	int result = check_queue_options(options, error);

	if (result)
		return result;
	if (queue > UINT16_MAX)
		return vd_error_set(error, -EINVAL, "queue %u is out of range: queues are 0 to 65535", queue);
	if (find_queue(engine, queue))
		return vd_error_set(error, -EEXIST, "queue %u is given twice", queue);
	return 0;
}

int vd_engine_add_queue_with(struct vd_engine *engine, unsigned queue, const struct vd_queue_options *options,
			     struct vd_error *error)
{
	struct vd_port *port;
	int result = check_queue(engine, queue, options, error);

	if (result)
		return result;
	if (vd_port_nfq_create(&port, queue))
		return vd_error_set(error, -ENOMEM, "out of memory");
	return add_lane(engine, port, options, error);
}

int vd_engine_add_queue_socket(struct vd_engine *engine, unsigned queue, const struct vd_queue_options *options, int descriptor,
			       struct vd_error *error)
{
	struct vd_queue_options own = queue_options(&engine->options);
	struct vd_port *port;
	int result = check_queue(engine, queue, options ? options : &own, error);

	if (result) {
		close(descriptor);
		return result;
	}
	if (vd_port_nfq_create_adopted(&port, queue, descriptor))
		return vd_error_set(error, -ENOMEM, "out of memory");
	return add_lane(engine, port, options ? options : &own, error);
}

int vd_engine_add_queue(struct vd_engine *engine, unsigned queue, struct vd_error *error)
{
	struct vd_queue_options options = queue_options(&engine->options);

	return vd_engine_add_queue_with(engine, queue, &options, error);
}

int vd_engine_add_capture(struct vd_engine *engine, const struct vd_capture_options *options, struct vd_error *error)
{
	struct vd_port *port;
	int result;

	if (options->verify && engine->options.copy_range && engine->options.copy_range < VD_NFQ_COPY_RANGE_MAX)
		return vd_error_set(error, -EINVAL, "verifying takes whole packets, and %u bytes are copied: set no copy range",
				    engine->options.copy_range);
	result = vd_port_pcap_create(&port, options, error);
	if (result)
		return result;
	engine->copies_whole |= options->verify;
	for (unsigned i = 0; i < engine->lane_count; i++)
		port->queue += engine->lanes[i].port->operations == port->operations;
	return vd_engine_add_port(engine, port, error);
}

/* ---- stop ---- */

void vd_engine_stop(struct vd_engine *engine)
{
	/* release, pairs with vd_engine_is_stopping() */
	atomic_store_explicit(&engine->stopping, true, memory_order_release);
	for (unsigned i = 0; i < engine->lane_count; i++) {
		struct vd_lane *lane = &engine->lanes[i];

		if (atomic_load_explicit(&lane->is_open, memory_order_acquire) && lane->port->operations->wake)
			lane->port->operations->wake(lane->port);
	}
	vd_watch_wake(&engine->watch);
	vd_parking_wake_all(&engine->parking);
}

void vd_engine_leave(struct vd_engine *engine)
{
	/* relaxed: read after the threads have ended, which vd_engine_stop() makes them do */
	atomic_store_explicit(&engine->leaving, true, memory_order_relaxed);
	vd_engine_stop(engine);
}

int vd_engine_queue_socket(struct vd_engine *engine, unsigned queue)
{
	struct vd_lane *lane = find_queue(engine, queue);

	return lane && atomic_load_explicit(&lane->is_open, memory_order_acquire) ? lane->port->descriptor : -1;
}

void vd_engine_fail(struct vd_engine *engine, int code, const char *format, ...)
{
	va_list arguments;

	/* acquire and release: one thread writes the failure, which is read when all threads have ended */
	if (!atomic_exchange_explicit(&engine->failed, true, memory_order_acq_rel)) {
		engine->failure_code = code;
		va_start(arguments, format);
		vsnprintf(engine->failure.text, sizeof engine->failure.text, format, arguments);
		va_end(arguments);
	}
	vd_engine_stop(engine);
}

void vd_engine_fail_port(struct vd_engine *engine, const struct vd_port *port, int code, const char *what)
{
	if (*port->failure)
		vd_engine_fail(engine, code, "%s", port->failure);
	else
		vd_engine_fail(engine, code, "%s %u: %s: %s", port->operations->kind, port->queue, what, strerror(-code));
}

void vd_engine_call_for_help(struct vd_engine *engine)
{
	if (!vd_parking_wake_one(&engine->parking) && vd_watch_is_on(&engine->watch) &&
	    atomic_load_explicit(&engine->watch.watching, memory_order_relaxed))
		vd_watch_wake(&engine->watch);
}

/* ---- run ---- */

static void log_line(struct vd_engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void log_line(struct vd_engine *engine, const char *format, ...)
{
	char line[512];
	va_list arguments;

	if (!engine->options.log)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	engine->options.log(engine->options.log_argument, line);
}

/* Shards for every worker to choose from; a lone worker without writers needs no choice. */
static unsigned shards_for(const struct vd_engine *engine)
{
	unsigned shards = 8;

	if (engine->worker_count == 1 && engine->writer_count <= 1)
		return 1;
	while (shards < VD_SHARDS_MAX && shards < 4 * engine->worker_count)
		shards *= 2;
	return shards;
}

/* Bytes of each packet that functions read. */
static uint32_t bytes_needed(const struct vd_engine *engine)
{
	bool whole = engine->chain.bytes == VD_WHOLE || engine->chain.bytes > VD_NFQ_COPY_RANGE_MAX || engine->copies_whole;

	return whole ? VD_NFQ_COPY_RANGE_MAX : engine->chain.bytes;
}

static void choose_settings(struct vd_engine *engine, const struct vd_lane *lane, struct vd_lane_settings *settings)
{
	const struct vd_queue_options *options = &lane->options;

	*settings = (struct vd_lane_settings){
		.port = {.maxlen = options->maxlen ? options->maxlen : VD_ENGINE_MAXLEN_DEFAULT,
			 .copy_range = options->copy_range ? options->copy_range : bytes_needed(engine),
			 .needs = engine->chain.needs | (options->no_gso ? VD_NEEDS_SEGMENTS : 0),
			 .fail_open = options->fail_open,
			 .fault_verdict = options->fault_verdict,
			 .netns = engine->netns,
			 .slot_room = lane->slots.room, /* once it is prepared */
			 .log = engine->options.log,
			 .log_argument = engine->options.log_argument},
		.shards = engine->chain.shards,
		.has_writers = engine->writer_count > 0,
	};
	if (getrandom(&settings->hash_key, sizeof settings->hash_key, GRND_NONBLOCK) != (ssize_t)sizeof settings->hash_key)
		settings->hash_key = (uint64_t)(uintptr_t)engine * 0x9e3779b97f4a7c15u; /* a machine that has just booted */
}

/* Once for all queues that have the engine's copy range, and for each queue with one of its own. */
static void say_what_is_cut(struct vd_engine *engine)
{
	uint32_t needed = bytes_needed(engine);
	bool is_said = false;

	for (unsigned i = 0; i < engine->lane_count; i++) {
		uint32_t copied = engine->lanes[i].options.copy_range;
		bool is_own = copied != engine->options.copy_range;

		if (!copied || copied >= needed || (!is_own && is_said))
			continue;
		if (is_own)
			log_line(engine, "note: %u bytes of each packet of queue %u are copied, but a function reads %u: it will "
				 "see longer packets cut", copied, engine->lanes[i].port->queue, needed);
		else
			log_line(engine, "note: %u bytes of each packet are copied, but a function reads %u: it will see longer "
				 "packets cut", copied, needed);
		is_said |= !is_own;
	}
}

/* `has_run`: it did not fail to start; then a queue that somebody else has too was not touched, and is left to the next try. */
static void close_lanes(struct vd_engine *engine, bool has_run)
{
	bool leaves = atomic_load_explicit(&engine->leaving, memory_order_relaxed);

	for (unsigned i = 0; i < engine->lane_count; i++) {
		struct vd_port *port = engine->lanes[i].port;

		if (!atomic_exchange_explicit(&engine->lanes[i].is_open, false, memory_order_acq_rel))
			continue;
		if (port->operations->leave && (leaves || (port->is_adopted && !has_run)))
			port->operations->leave(port);
		else
			port->operations->close(port);
	}
}

/* Only where a function rejects, and somebody can be told. */
static int open_answers(struct vd_engine *engine, struct vd_error *error)
{
	bool has_senders = false;

	for (unsigned i = 0; i < engine->lane_count; i++)
		has_senders |= engine->lanes[i].port->operations->has_senders;
	if (!has_senders || !(engine->chain.needs & VD_NEEDS_REJECT))
		return 0;
	return vd_answers_open(&engine->answers, &engine->options, engine->worker_count, error);
}

static int open_lanes(struct vd_engine *engine, struct vd_error *error)
{
	struct vd_lane_settings settings;
	int result = 0;

	say_what_is_cut(engine);
	for (unsigned i = 0; i < engine->lane_count && !result; i++) {
		struct vd_port *port = engine->lanes[i].port;

		choose_settings(engine, &engine->lanes[i], &settings);
		result = port->operations->check ? port->operations->check(port, &settings.port, error) : 0;
	}
	if (!result)
		result = open_answers(engine, error);
	for (unsigned i = 0; i < engine->lane_count && !result; i++) {
		choose_settings(engine, &engine->lanes[i], &settings);
		result = vd_lane_prepare(&engine->lanes[i], &settings);
		if (result)
			vd_error_set(error, result, "out of memory for the packets of %u queues", engine->lane_count);
	}
	for (unsigned i = 0; i < engine->lane_count && !result; i++) {
		struct vd_lane *lane = &engine->lanes[i];

		choose_settings(engine, lane, &settings);
		result = lane->port->operations->open(lane->port, &settings.port, error);
		if (!result) /* release: a stop from elsewhere may wake it from now on */
			atomic_store_explicit(&lane->is_open, true, memory_order_release);
	}
	if (!result) {
		result = vd_watch_open(&engine->watch, engine->lanes, engine->lane_count);
		if (result)
			vd_error_set(error, result, "epoll cannot be set up: %s", strerror(-result));
	}
	if (result)
		close_lanes(engine, false);
	return result;
}

static int make_sender(struct vd_engine *engine, struct vd_sender *sender)
{
	size_t scratch = VD_CACHE_LINE, tallies = engine->lane_count * sizeof *sender->tallies;

	for (unsigned i = 0; i < engine->lane_count; i++)
		if (engine->lanes[i].port->scratch_size > scratch)
			scratch = engine->lanes[i].port->scratch_size;
	scratch = (scratch + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE;
	tallies = (tallies + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE;
	sender->scratch = aligned_alloc(VD_CACHE_LINE, scratch);
	sender->tallies = aligned_alloc(VD_CACHE_LINE, tallies);
	if (!sender->scratch || !sender->tallies)
		return -ENOMEM;
	memset(sender->scratch, 0, scratch);
	memset(sender->tallies, 0, tallies);
	return 0;
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
		result = make_sender(engine, &engine->workers[i].sender);
	}
	for (unsigned i = 0; i < engine->writer_count && !result; i++) {
		engine->writers[i].engine = engine;
		engine->writers[i].index = i;
		vd_parking_init(&engine->writers[i].parking);
		result = make_sender(engine, &engine->writers[i].sender);
	}
	return result;
}

/* Pins the engine's n-th thread, and names it for top(1). */
static int start_thread(struct vd_engine *engine, pthread_t *thread, void *(*start)(void *), void *argument, const char *role,
			unsigned number, unsigned nth)
{
	pthread_attr_t attributes;
	char name[16];
	int result = pthread_attr_init(&attributes);

	if (result)
		return -result;
	if (engine->options.cpu_count) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(engine->cpus[nth % engine->options.cpu_count], &set);
		result = pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
	}
	if (!result)
		result = pthread_create(thread, &attributes, start, argument);
	pthread_attr_destroy(&attributes);
	if (!result) {
		snprintf(name, sizeof name, "%s-%u", role, number);
		pthread_setname_np(*thread, name);
	}
	return -result;
}

/* Starts all threads; when one cannot be started, ends the others and fails. Returns when all have ended. */
static void run_threads(struct vd_engine *engine)
{
	unsigned workers = 0, writers = 0;
	sigset_t all, before;
	int result = 0;

	sigfillset(&all); /* signals are the program's business: its own threads take them */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (; writers < engine->writer_count && !result; writers += !result)
		result = start_thread(engine, &engine->writers[writers].thread, vd_writer_main, &engine->writers[writers],
				      "writer", writers, engine->worker_count + writers);
	for (; workers < engine->worker_count && !result; workers += !result)
		result = start_thread(engine, &engine->workers[workers].thread, vd_worker_main, &engine->workers[workers],
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
	const struct vd_port *first = engine->lanes[0].port;

	if (strcmp(first->operations->kind, "queue"))
		return;
	log_line(engine, "reading queue %u%s: %u worker%s, %u writer%s, %u function%s", first->queue,
		 engine->lane_count > 1 ? " and others" : "", engine->worker_count, engine->worker_count == 1 ? "" : "s",
		 engine->writer_count, engine->writer_count == 1 ? "" : "s", engine->chain.count,
		 engine->chain.count == 1 ? "" : "s");
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
	for (unsigned i = 0; i < engine->lane_count && !engine->failed; i++)
		if (*engine->lanes[i].port->failure)
			vd_engine_fail(engine, -EIO, "%s", engine->lanes[i].port->failure);
}

struct opening {
	struct vd_engine *engine;
	struct vd_error *error;
	bool has_failed; /* the opening: the error says why */
};

static int open_chain(void *argument)
{
	struct opening *opening = argument;
	struct vd_engine *engine = opening->engine;
	int result = vd_chain_open(&engine->chain, engine->worker_count, engine->lane_count, shards_for(engine), opening->error);

	opening->has_failed = result != 0;
	return result;
}

/* In the queues' namespace, so that the sockets of functions see the same interfaces and routes as their packets. */
static int open_functions(struct vd_engine *engine, struct vd_error *error)
{
	struct opening opening = {.engine = engine, .error = error};
	int result = vd_nfq_in_netns(engine->netns, open_chain, &opening);

	if (!result || opening.has_failed)
		return result;
	vd_chain_close(&engine->chain); /* it was the way back */
	return vd_error_netns(error, engine->netns, result);
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

	result = open_functions(engine, error);
	if (result)
		return result;
	if (make_threads_room(engine))
		result = vd_error_set(error, -ENOMEM, "out of memory");
	if (!result)
		result = open_lanes(engine, error);
	if (!result) {
		/* release, pairs with the acquire in stats.c */
		atomic_store_explicit(&engine->is_counting, true, memory_order_release);
		bool is_ready = tell_ready(engine);

		if (is_ready) {
			say_what_runs(engine);
			run_threads(engine);
		}
		close_lanes(engine, is_ready);
		look_for_late_failures(engine);
		if (engine->failed) {
			*error = engine->failure;
			result = engine->failure_code;
		}
	}
	vd_answers_close(&engine->answers);
	vd_chain_close(&engine->chain);
	return result;
}

void vd_engine_destroy(struct vd_engine *engine)
{
	if (!engine)
		return;
	vd_watch_fini(&engine->watch);
	for (unsigned i = 0; i < engine->lane_count; i++)
		vd_lane_fini(&engine->lanes[i]);
	for (unsigned i = 0; engine->workers && i < engine->worker_count; i++) {
		free(engine->workers[i].sender.scratch);
		free(engine->workers[i].sender.tallies);
	}
	for (unsigned i = 0; engine->writers && i < engine->writer_count; i++) {
		free(engine->writers[i].sender.scratch);
		free(engine->writers[i].sender.tallies);
	}
	free(engine->workers);
	free(engine->writers);
	free(engine->lanes);
	vd_chain_fini(&engine->chain);
	free(engine->netns);
	free(engine->cpus);
	free(engine);
}
