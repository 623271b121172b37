/* SPDX-License-Identifier: MIT */
/* From settings to an engine. */
#include <errno.h>

#include "tools/config/settings.h"

/* What was given, as a number; otherwise `without`. */
static uint64_t number(const struct vd_settings *settings, enum vd_key key, uint64_t without)
{
	return settings->general[key].is_given ? settings->general[key].number : without;
}

static void fill_options(const struct vd_settings *settings, struct vd_engine_options *options)
{
	*options = (struct vd_engine_options)VD_ENGINE_OPTIONS_INIT;
	options->workers = (unsigned)number(settings, VD_KEY_WORKERS, 0);
	options->writers = (unsigned)number(settings, VD_KEY_WRITERS, 0);
	options->maxlen = (uint32_t)number(settings, VD_KEY_MAXLEN, 0);
	options->copy_range = (uint32_t)number(settings, VD_KEY_COPY_RANGE, 0);
	options->no_gso = !number(settings, VD_KEY_GSO, true);
	options->fail_open = number(settings, VD_KEY_FAIL_OPEN, false);
	options->default_verdict = (enum vd_verdict)number(settings, VD_KEY_DEFAULT, options->default_verdict);
	options->fault_verdict = (enum vd_verdict)number(settings, VD_KEY_ON_FAULT, options->fault_verdict);
	options->batch = (unsigned)number(settings, VD_KEY_BATCH, 0);
	options->batch_delay_us = (uint32_t)number(settings, VD_KEY_BATCH_DELAY, 0);
	options->packets_max = number(settings, VD_KEY_PACKETS, 0);
	options->reject_rate = (uint32_t)number(settings, VD_KEY_REJECT_RATE, 0);
	options->reject_mark = (uint32_t)number(settings, VD_KEY_REJECT_MARK, 0);
	options->held_max = (uint32_t)number(settings, VD_KEY_HELD_MAX, 0);
	options->isolation = (enum vd_isolation)number(settings, VD_KEY_ISOLATION, VD_ISOLATION_THREAD);
	options->deadline_us = (uint32_t)number(settings, VD_KEY_DEADLINE, 0);
	options->netns = settings->general[VD_KEY_NETNS].is_given ? settings->general[VD_KEY_NETNS].text : NULL;
}

static int create(const struct vd_settings *settings, const struct vd_engine_options *calls, struct vd_engine **engine,
		  struct vd_error *error)
{
	const struct vd_setting *list = &settings->general[VD_KEY_CPU];
	unsigned cpus[VD_SETTINGS_CPUS_MAX];
	struct vd_engine_options options;
	int result;

	fill_options(settings, &options);
	if (calls) {
		options.log = calls->log;
		options.log_argument = calls->log_argument;
		options.ready = calls->ready;
		options.ready_argument = calls->ready_argument;
		options.ending = calls->ending;
		options.ending_argument = calls->ending_argument;
		options.confine = calls->confine;
		options.confine_argument = calls->confine_argument;
		options.confine_descriptor = calls->confine_descriptor;
		options.culprit = calls->culprit;
		options.culprit_argument = calls->culprit_argument;
	}
	if (list->is_given) {
		options.cpus = cpus;
		vd_value_cpus(list->text, VD_SETTINGS_CPUS_MAX, cpus, VD_SETTINGS_CPUS_MAX, &options.cpu_count);
	}
	result = vd_engine_create(engine, &options, error);
	/* all else has been read within its range: of these only the CPUs can be wrong, where this machine has other ones */
	return result == -EINVAL && list->is_given ? vd_origin_prefix(error, &list->origin, result) : result;
}

static int add_queue(struct vd_engine *engine, const struct vd_queue_setting *queue, const struct vd_settings_sockets *sockets,
		     struct vd_error *error)
{
	int descriptor = sockets ? sockets->take(sockets->argument, queue->queue) : -1;
	const struct vd_setting *own = queue->own;
	struct vd_queue_options options;

	vd_engine_queue_options(engine, &options);
	if (own[VD_KEY_MAXLEN].is_given)
		options.maxlen = (uint32_t)own[VD_KEY_MAXLEN].number;
	if (own[VD_KEY_COPY_RANGE].is_given)
		options.copy_range = (uint32_t)own[VD_KEY_COPY_RANGE].number;
	if (own[VD_KEY_GSO].is_given)
		options.no_gso = !own[VD_KEY_GSO].number;
	if (own[VD_KEY_FAIL_OPEN].is_given)
		options.fail_open = own[VD_KEY_FAIL_OPEN].number;
	if (own[VD_KEY_ON_FAULT].is_given)
		options.fault_verdict = (enum vd_verdict)own[VD_KEY_ON_FAULT].number;
	return descriptor < 0 ? vd_engine_add_queue_with(engine, queue->queue, &options, error) :
				vd_engine_add_queue_socket(engine, queue->queue, &options, descriptor, error);
}

int vd_settings_engine(const struct vd_settings *settings, const struct vd_engine_options *calls,
		       const struct vd_settings_sockets *sockets, struct vd_engine **engine, struct vd_error *error)
{
	const struct vd_origin *origin = NULL;
	int result = create(settings, calls, engine, error);

	if (result)
		return result;
	for (unsigned i = 0; i < settings->queue_count && !result; i++) {
		origin = &settings->queues[i].origin;
		result = add_queue(*engine, &settings->queues[i], sockets, error);
	}
	for (unsigned i = 0; i < settings->function_count && !result; i++) {
		origin = &settings->functions[i].origin;
		result = vd_engine_load_function(*engine, settings->functions[i].specification, error);
	}
	if (result) {
		vd_engine_destroy(*engine);
		*engine = NULL;
		vd_origin_prefix(error, origin, result);
	}
	return result;
}
