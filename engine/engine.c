/* SPDX-License-Identifier: MIT */
/*
 * An engine from outside: create, add functions and lanes, stop, destroy. run.c runs it, reload.c changes it meanwhile.
 */
#include "engine/state.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/held.h"
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
	if (options->isolation != VD_ISOLATION_THREAD && options->isolation != VD_ISOLATION_PROCESS)
		return vd_error_set(error, -EINVAL, "isolation has to be by thread or by process");
	if (options->deadline_us &&
	    (options->deadline_us < VD_ENGINE_DEADLINE_MIN_US || options->deadline_us > VD_ENGINE_DEADLINE_MAX_US))
		return vd_error_set(error, -EINVAL, "deadline: %u µs is not between %u and %u", options->deadline_us,
				    VD_ENGINE_DEADLINE_MIN_US, VD_ENGINE_DEADLINE_MAX_US);
	for (unsigned i = 0; i < options->cpu_count; i++)
		if (!may_use_cpu(options->cpus[i]))
			return vd_error_set(error, -EINVAL, "CPU %u is not one that this process may use", options->cpus[i]);
	if (options->reject_rate > VD_ENGINE_REJECT_RATE_MAX)
		return vd_error_set(error, -EINVAL, "reject rate: %u is more than %u", options->reject_rate,
				    VD_ENGINE_REJECT_RATE_MAX);
	if (options->held_max > VD_ENGINE_HELD_MAX_MAX)
		return vd_error_set(error, -EINVAL, "held max: %u is more than %u", options->held_max, VD_ENGINE_HELD_MAX_MAX);
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
	engine->chain->default_verdict = options->default_verdict;
	engine->chain->holder = engine->holder;
	vd_holder_limit(engine->holder, options->held_max);
	engine->chain->is_isolated = options->isolation == VD_ISOLATION_PROCESS;
	engine->chain->deadline_us = options->deadline_us;
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
	pthread_mutex_init(&(*engine)->reloading, NULL);
	pthread_mutex_init(&(*engine)->taps.changing, NULL);
	(*engine)->chain = calloc(1, sizeof *(*engine)->chain);
	(*engine)->holder = vd_holder_create(*engine);
	result = (*engine)->chain && (*engine)->holder ? vd_watch_init(&(*engine)->watch) : -ENOMEM;
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
	int result = vd_chain_add(engine->chain, &engine->names, function, arguments, NULL, error);

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
	result = vd_chain_add(engine->chain, &engine->names, loaded.function, loaded.arguments, loaded.library, error);
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
		result = vd_chain_open(engine->chain, 1, 1, 1, error);
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
	struct vd_lane *lane;

	if (engine->lane_count == VD_ENGINE_QUEUES_MAX) {
		port->operations->destroy(port);
		return vd_error_set(error, -E2BIG, "there are %u queues already, which is the limit", engine->lane_count);
	}
	lane = aligned_alloc(VD_CACHE_LINE, sizeof *lane);
	if (!lane) {
		port->operations->destroy(port);
		return vd_error_set(error, -ENOMEM, "out of memory");
	}
	vd_lane_init(lane, engine->lane_count, port, options);
	engine->lanes[engine->lane_count] = lane;
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
		if (vd_lane_is_queue(engine->lanes[i], queue))
			return engine->lanes[i];
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
		port->queue += engine->lanes[i]->port->operations == port->operations;
	return vd_engine_add_port(engine, port, error);
}

/* ---- stop ---- */

void vd_engine_stop(struct vd_engine *engine)
{
	struct vd_plan *plan = vd_engine_visit(engine);

	/* release, pairs with vd_engine_is_stopping() */
	atomic_store_explicit(&engine->stopping, true, memory_order_release);
	for (unsigned i = 0; plan && i < plan->lane_count; i++)
		vd_lane_wake(plan->lanes[i]);
	vd_engine_end_visit(engine);
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
	const struct vd_plan *plan = vd_engine_visit(engine);
	int descriptor = -1;

	for (unsigned i = 0; plan && i < plan->lane_count; i++)
		if (vd_lane_is_queue(plan->lanes[i], queue) && atomic_load_explicit(&plan->lanes[i]->is_open, memory_order_acquire))
			descriptor = plan->lanes[i]->port->descriptor;
	vd_engine_end_visit(engine);
	return descriptor;
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
	if (!vd_parking_wake_one(&engine->parking) &&
	    atomic_load_explicit(&engine->watch.watching, memory_order_relaxed))
		vd_watch_wake(&engine->watch);
}

void vd_engine_log(struct vd_engine *engine, const char *format, ...)
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

void vd_engine_destroy(struct vd_engine *engine)
{
	if (!engine)
		return;
	vd_watch_fini(&engine->watch);
	for (unsigned i = 0; i < VD_ENGINE_QUEUES_MAX; i++)
		if (engine->lanes[i]) {
			vd_lane_fini(engine->lanes[i]);
			free(engine->lanes[i]);
		}
	for (unsigned i = 0; engine->workers && i < engine->worker_count; i++) {
		vd_free_sender(&engine->workers[i].sender);
		free(engine->workers[i].holding);
	}
	for (unsigned i = 0; engine->writers && i < engine->writer_count; i++)
		vd_free_sender(&engine->writers[i].sender);
	free(engine->workers);
	free(engine->writers);
	vd_plan_destroy(vd_engine_plan(engine));
	if (engine->chain)
		vd_chain_fini(engine->chain);
	free(engine->chain);
	vd_holder_destroy(engine->holder); /* behind the functions, which may have it */
	vd_names_free(&engine->names);
	pthread_mutex_destroy(&engine->reloading);
	pthread_mutex_destroy(&engine->taps.changing);
	free(engine->netns);
	free(engine->cpus);
	free(engine);
}
