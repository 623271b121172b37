/* SPDX-License-Identifier: MIT */
#include "tools/run/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "tools/dump/dump.h"
#include "tools/log/log.h"

#define EVERY_MS_MIN 100
#define EVERY_MS_MAX 3600000

/* ---- {"command": "stats"}, and with "every_ms" again and again ---- */

static void fill(struct vd_daemon_answers *answers, json_t *members)
{
	double seconds = (double)(vd_clock_ns() - answers->daemon->start_ns) / 1e9;

	json_object_set_new(members, "version", json_string(vd_version()));
	json_object_set_new(members, "pid", json_integer(getpid()));
	json_object_set_new(members, "uptime", json_real(vd_stats_json_seconds(seconds)));
	/* a name that is not UTF-8 cannot be said in JSON */
	if (!*answers->config || json_object_set_new(members, "config", json_string(answers->config)))
		json_object_set_new(members, "config", json_null());
	vd_daemon_look(answers->daemon, &answers->snapshot, seconds);
	vd_stats_json(members, &answers->snapshot, false);
}

static bool pump_stats(void *argument, struct vd_control_stream *stream)
{
	json_t *line = json_pack("{s:b}", "ok", 1);

	fill(argument, line);
	json_object_set_new(line, "dropped", json_integer((json_int_t)vd_control_dropped(stream)));
	vd_control_write_json(stream, line);
	return true;
}

static int answer_stats(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *error)
{
	const json_t *every = json_object_get(request, "every_ms");
	struct vd_control_source source = {.pump = pump_stats, .argument = argument};

	if (every) {
		if (json_integer_value(every) < EVERY_MS_MIN || json_integer_value(every) > EVERY_MS_MAX)
			return vd_error_set(error, -EINVAL, "every_ms takes a number from %d to %d", EVERY_MS_MIN, EVERY_MS_MAX);
		source.interval_ms = (unsigned)json_integer_value(every);
		if (vd_control_subscribe(reply, &source))
			return vd_error_set(error, -EBUSY, "this connection gets lines already; every_ms needs one for itself");
	}
	fill(argument, reply->members);
	return 0;
}

/* ---- {"command": "dump"}: what follows the reply is no JSON ---- */

static int answer_dump(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *error)
{
	struct vd_daemon_answers *answers = argument;

	return vd_dump_answer(answers->daemon->engine, request, reply, error);
}

/* ---- {"command": "reload"}: answered when it is done ---- */

static int answer_reload(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *error)
{
	struct vd_daemon_answers *answers = argument;

	(void)request;
	vd_control_say(reply, "asks for a reload");
	return vd_daemon_reload(answers->daemon, error);
}

/* ---- {"command": "takeover"}: the queues' sockets, when they are not read any more; then this process ends ---- */

static int answer_takeover(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *error)
{
	struct vd_daemon_answers *answers = argument;
	const struct vd_snapshot *snapshot = &answers->snapshot;
	json_t *queues = json_array();
	int result = 0;

	(void)request;
	json_object_set_new(reply->members, "queues", queues);
	vd_snapshot_take(&answers->snapshot, answers->daemon->engine, 0);
	for (unsigned i = 0; i < snapshot->queue_count && !result; i++) {
		json_array_append_new(queues, json_integer(snapshot->queues[i].queue));
		result = vd_control_attach(reply, vd_engine_queue_socket(answers->daemon->engine, snapshot->queues[i].queue));
	}
	if (result)
		return vd_error_set(error, result, "the queues' sockets cannot be handed over: %s", strerror(-result));
	vd_control_say(reply, "takes the queues over");
	return vd_daemon_leave(answers->daemon, error);
}

/* ---- opening it ---- */

int vd_daemon_control(struct vd_daemon *daemon, const struct vd_settings *settings, const char *config_path,
		      struct vd_daemon_answers *answers, struct vd_error *error)
{
	const struct vd_setting *name = &settings->general[VD_KEY_CONTROL], *mode = &settings->general[VD_KEY_CONTROL_MODE];
	int result;

	if (!name->is_given)
		return 0;
	answers->daemon = daemon;
	if (config_path && !realpath(config_path, answers->config)) /* a pipe has no path */
		snprintf(answers->config, sizeof answers->config, "%s", config_path);
	result = vd_control_open(&daemon->control, name->text,
				 mode->is_given ? (mode_t)mode->number : VD_CONTROL_MODE_DEFAULT, error);
	if (result)
		return vd_origin_prefix(error, &name->origin, result);
	vd_control_log_to(daemon->control, vd_log_take, NULL);
	vd_control_add(daemon->control, "stats", answer_stats, answers);
	vd_control_add(daemon->control, "dump", answer_dump, answers);
	vd_control_add(daemon->control, "reload", answer_reload, answers);
	vd_control_add(daemon->control, "takeover", answer_takeover, answers);
	return 0;
}
