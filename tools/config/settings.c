/* SPDX-License-Identifier: MIT */
#include "tools/config/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/error.h"

enum kind {
	NUMBER,
	TIME, /* `unit` is what a mere number means */
	SWITCH,
	VERDICT,
	STATS,
	LOG,
	LOG_TO,
	NAMESPACE,
	CPUS,
	USER,
	CALLS,
	CONTROL,
	MODE,
	ADDRESS, /* or "none" */
	ISOLATION,
	PATH,
};

static const struct about {
	const char *name;
	enum kind kind;
	uint64_t min, max;
	const char *unit;
	uint64_t unit_us;
} ABOUT[VD_KEY_COUNT] = {
	[VD_KEY_MAXLEN] = {"maxlen", NUMBER, 1, VD_ENGINE_MAXLEN_MAX},
	[VD_KEY_COPY_RANGE] = {"copy-range", NUMBER, 1, 65531},
	[VD_KEY_GSO] = {"gso", SWITCH},
	[VD_KEY_FAIL_OPEN] = {"fail-open", SWITCH},
	[VD_KEY_ON_FAULT] = {"on-fault", VERDICT},
	[VD_KEY_NETNS] = {"netns", NAMESPACE},
	[VD_KEY_DEFAULT] = {"default", VERDICT},
	[VD_KEY_WORKERS] = {"workers", NUMBER, 1, VD_ENGINE_WORKERS_MAX},
	[VD_KEY_WRITERS] = {"writers", NUMBER, 0, VD_ENGINE_WRITERS_MAX},
	[VD_KEY_CPU] = {"cpu", CPUS},
	[VD_KEY_BATCH] = {"batch", NUMBER, 1, VD_BURST_MAX},
	[VD_KEY_BATCH_DELAY] = {"batch-delay", TIME, 0, 1000000, "us", 1},
	[VD_KEY_REJECT_RATE] = {"reject-rate", NUMBER, 1, VD_ENGINE_REJECT_RATE_MAX},
	[VD_KEY_REJECT_MARK] = {"reject-mark", NUMBER, 1, UINT32_MAX},
	[VD_KEY_HELD_MAX] = {"held-max", NUMBER, 1, VD_ENGINE_HELD_MAX_MAX},
	[VD_KEY_ISOLATION] = {"isolation", ISOLATION},
	[VD_KEY_DEADLINE] = {"deadline", TIME, VD_ENGINE_DEADLINE_MIN_US, VD_ENGINE_DEADLINE_MAX_US, "us", 1},
	[VD_KEY_FAULT_CAPTURE] = {"fault-capture", PATH},
	[VD_KEY_FOR] = {"for", TIME, 1, 1u << 30, "s", 1000000},
	[VD_KEY_PACKETS] = {"packets", NUMBER, 1, INT64_MAX},
	[VD_KEY_STATS] = {"stats", STATS},
	[VD_KEY_SUPERVISE] = {"supervise", SWITCH},
	[VD_KEY_LOG] = {"log", LOG},
	[VD_KEY_LOG_TO] = {"log-to", LOG_TO},
	[VD_KEY_LOG_RATE] = {"log-rate", NUMBER, 0, VD_SETTINGS_LOG_RATE_MAX},
	[VD_KEY_USER] = {"user", USER},
	[VD_KEY_SECCOMP] = {"seccomp", SWITCH},
	[VD_KEY_SECCOMP_ALLOW] = {"seccomp-allow", CALLS},
	[VD_KEY_CONTROL] = {"control", CONTROL},
	[VD_KEY_CONTROL_MODE] = {"control-mode", MODE},
	[VD_KEY_METRICS] = {"metrics", ADDRESS},
};

const char *vd_key_name(enum vd_key key)
{
	return ABOUT[key].name;
}

enum vd_key vd_key_find(const char *name)
{
	unsigned key = 0;

	while (key < VD_KEY_COUNT && strcmp(ABOUT[key].name, name))
		key++;
	return (enum vd_key)key;
}

const char *vd_key_expects(enum vd_key key, char room[VD_KEY_EXPECTS_SIZE])
{
	const struct about *about = &ABOUT[key];
	const char *words = NULL;

	switch (about->kind) {
	case NUMBER:
		snprintf(room, VD_KEY_EXPECTS_SIZE, "a number from %" PRIu64 " to %" PRIu64, about->min, about->max);
		break;
	case TIME:
		snprintf(room, VD_KEY_EXPECTS_SIZE, "a time from %" PRIu64 "%s to %" PRIu64 "%s (us, ms, s, min, h or d)", about->min,
			 about->unit, about->max, about->unit);
		break;
	case SWITCH:
		words = "yes or no";
		break;
	case VERDICT:
		words = "accept or drop";
		break;
	case STATS:
		words = "text, json or none";
		break;
	case LOG:
		words = "text or json";
		break;
	case LOG_TO:
		words = "stderr or journal";
		break;
	case NAMESPACE:
		words = "the name of a network namespace, or a path";
		break;
	case CPUS:
		words = "a list of CPUs from 0 to 1023, as in 0-2,5";
		break;
	case USER:
		words = "USER, or USER:GROUP, names or numbers";
		break;
	case CALLS:
		words = "a list of system calls, as in socket,connect";
		break;
	case CONTROL:
		words = "a name of letters, digits, '-', '_' and '.', or a path with a slash, of up to 107 bytes";
		break;
	case MODE:
		words = "a mode of a file in octal digits, as in 0660";
		break;
	case ADDRESS:
		words = "a port, an address and a port as in 127.0.0.1:9100 or [::1]:9100, or none";
		break;
	case ISOLATION:
		words = "thread or process";
		break;
	case PATH:
		words = "the name of a file";
		break;
	}
	if (words)
		snprintf(room, VD_KEY_EXPECTS_SIZE, "%s", words);
	return room;
}

/* Reads it into the number; false: it is something else. */
static bool read_value(const struct about *about, const char *text, uint64_t *number)
{
	unsigned cpus[VD_SETTINGS_CPUS_MAX], count;
	struct sockaddr_storage address;
	enum vd_verdict verdict;
	enum vd_stats_form form;
	enum vd_log_form log;
	enum vd_log_place log_to;
	enum vd_isolation isolation;
	unsigned mode;
	bool is_on, good;

	switch (about->kind) {
	case NUMBER:
		return vd_value_number(text, about->min, about->max, number);
	case TIME:
		return vd_value_time(text, about->unit_us, about->min, about->max, number);
	case SWITCH:
		good = vd_value_switch(text, &is_on);
		*number = good && is_on;
		return good;
	case VERDICT:
		good = vd_value_verdict(text, &verdict);
		*number = good ? verdict : 0;
		return good;
	case STATS:
		good = vd_value_stats(text, &form);
		*number = good ? form : 0;
		return good;
	case LOG:
		good = vd_value_log(text, &log);
		*number = good ? log : 0;
		return good;
	case LOG_TO:
		good = vd_value_log_to(text, &log_to);
		*number = good ? log_to : 0;
		return good;
	case NAMESPACE:
		return *text;
	case CPUS:
		return vd_value_cpus(text, VD_SETTINGS_CPUS_MAX, cpus, VD_SETTINGS_CPUS_MAX, &count);
	case USER:
		return vd_value_user(text);
	case CALLS:
		return vd_value_calls(text);
	case CONTROL:
		return vd_value_control(text);
	case MODE:
		good = vd_value_mode(text, &mode);
		*number = good ? mode : 0;
		return good;
	case ADDRESS:
		*number = strcmp(text, "none") != 0;
		return !*number || vd_value_address(text, &address);
	case ISOLATION:
		good = vd_value_isolation(text, &isolation);
		*number = good ? isolation : 0;
		return good;
	case PATH:
		return *text;
	}
	return false;
}

int vd_setting_read(struct vd_setting *setting, enum vd_key key, const char *name, const char *text,
		    const struct vd_origin *origin, struct vd_error *error)
{
	char expects[VD_KEY_EXPECTS_SIZE], shown[VD_SHOWN_SIZE];
	uint64_t number = 0;

	if (!read_value(&ABOUT[key], text, &number))
		return vd_error_set(error, -EINVAL, "%s takes %s, not '%s'", name, vd_key_expects(key, expects),
				    vd_show_text(text, shown));
	*setting = (struct vd_setting){.is_given = true, .number = number, .text = text, .origin = *origin};
	return 0;
}

static struct vd_queue_setting *find_queue(struct vd_settings *settings, unsigned queue)
{
	for (unsigned i = 0; i < settings->queue_count; i++)
		if (settings->queues[i].queue == queue)
			return &settings->queues[i];
	return NULL;
}

static int given_twice(const struct vd_queue_setting *first, struct vd_error *error)
{
	if (!first->origin.file)
		return vd_error_set(error, -EINVAL, "queue %u is given twice", first->queue);
	return vd_error_set(error, -EINVAL, "queue %u is given twice: first in %.200s:%u", first->queue, first->origin.file,
			    first->origin.line);
}

int vd_settings_add_queues(struct vd_settings *settings, const char *name, const char *text, const struct vd_setting *own,
			   const struct vd_origin *origin, struct vd_error *error)
{
	char shown[VD_SHOWN_SIZE];
	uint64_t first, last;

	if (!vd_value_range(text, 0, UINT16_MAX, &first, &last))
		return vd_error_set(error, -EINVAL, "%s takes a number or a range A-B from 0 to 65535, not '%s'", name,
				    vd_show_text(text, shown));
	for (uint64_t queue = first; queue <= last; queue++) {
		struct vd_queue_setting *there = find_queue(settings, (unsigned)queue);

		if (there)
			return given_twice(there, error);
		if (settings->queue_count == VD_ENGINE_QUEUES_MAX)
			return vd_error_set(error, -EINVAL, "%s: more than %d queues", name, VD_ENGINE_QUEUES_MAX);
		there = &settings->queues[settings->queue_count++];
		*there = (struct vd_queue_setting){.queue = (unsigned)queue, .origin = *origin};
		if (own)
			memcpy(there->own, own, sizeof there->own);
	}
	return 0;
}

int vd_settings_add_function(struct vd_settings *settings, const char *name, const char *specification,
			     const struct vd_origin *origin, struct vd_error *error)
{
	if (settings->function_count == VD_ENGINE_FUNCTIONS_MAX)
		return vd_error_set(error, -EINVAL, "%s: more than %d functions", name, VD_ENGINE_FUNCTIONS_MAX);
	settings->functions[settings->function_count++] =
		(struct vd_function_setting){.specification = specification, .origin = *origin};
	return 0;
}

/* ---- one over the other ---- */

static void overlay_queues(struct vd_settings *settings, const struct vd_settings *over)
{
	struct vd_queue_setting queues[VD_ENGINE_QUEUES_MAX];

	for (unsigned i = 0; i < over->queue_count; i++) {
		const struct vd_queue_setting *there = find_queue(settings, over->queues[i].queue);

		queues[i] = over->queues[i];
		for (unsigned key = 0; there && key < VD_QUEUE_KEY_COUNT; key++)
			if (!queues[i].own[key].is_given)
				queues[i].own[key] = there->own[key];
	}
	memcpy(settings->queues, queues, over->queue_count * sizeof *queues);
	settings->queue_count = over->queue_count;
}

void vd_settings_overlay(struct vd_settings *settings, const struct vd_settings *over)
{
	for (unsigned key = 0; key < VD_KEY_COUNT; key++) {
		if (!over->general[key].is_given)
			continue;
		settings->general[key] = over->general[key];
		for (unsigned i = 0; key < VD_QUEUE_KEY_COUNT && i < settings->queue_count; i++)
			settings->queues[i].own[key].is_given = false;
	}
	if (over->queue_count)
		overlay_queues(settings, over);
	if (over->function_count) {
		memcpy(settings->functions, over->functions, over->function_count * sizeof *over->functions);
		settings->function_count = over->function_count;
	}
}

int vd_settings_check(const struct vd_settings *settings, struct vd_error *error)
{
	const struct vd_setting *form = &settings->general[VD_KEY_LOG], *place = &settings->general[VD_KEY_LOG_TO];
	const struct vd_setting *mode = &settings->general[VD_KEY_CONTROL_MODE], *deadline = &settings->general[VD_KEY_DEADLINE];
	const struct vd_setting *capture = &settings->general[VD_KEY_FAULT_CAPTURE];
	bool isolates = settings->general[VD_KEY_ISOLATION].number == VD_ISOLATION_PROCESS;

	if (mode->is_given && !settings->general[VD_KEY_CONTROL].is_given)
		return vd_origin_error(error, &mode->origin, -EINVAL,
				       "control-mode is for the control socket, and there is none: say control as well");
	if (deadline->is_given && !isolates)
		return vd_origin_error(error, &deadline->origin, -EINVAL, "deadline is for isolation process: a function that runs in the "
				       "engine's own threads cannot be taken a packet from");
	if (capture->is_given && !isolates)
		return vd_origin_error(error, &capture->origin, -EINVAL, "fault-capture is for isolation process: a function that crashes in "
				       "the engine's own threads ends it");
	if (!form->is_given || form->number != VD_LOG_JSON || !place->is_given || place->number != VD_LOG_JOURNAL)
		return 0;
	return vd_origin_error(error, &place->origin, -EINVAL,
			       "log-to journal does not go with log json: entries of the journal have fields of their own");
}
