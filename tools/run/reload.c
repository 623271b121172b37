/* SPDX-License-Identifier: MIT */
#include "tools/run/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/error.h"
#include "tools/config/values.h"
#include "tools/log/log.h"

/* What the program itself has made of these lasts as long as it runs; the engine knows its own. */
static const enum vd_key LASTING[] = {VD_KEY_FAULT_CAPTURE, VD_KEY_FOR, VD_KEY_STATS, VD_KEY_SUPERVISE, VD_KEY_USER,
				      VD_KEY_SECCOMP, VD_KEY_SECCOMP_ALLOW, VD_KEY_CONTROL, VD_KEY_CONTROL_MODE};

static void free_config(struct vd_config *config)
{
	if (config)
		vd_config_fini(config);
	free(config);
}

static int read_both(const struct vd_source *source, struct vd_config **config, struct vd_error *error)
{
	int result;

	*config = calloc(1, sizeof **config);
	if (!*config)
		return vd_error_set(error, -ENOMEM, "out of memory");
	result = source->config_path ? vd_config_read(*config, source->config_path, error) : 0;
	if (!result) {
		vd_settings_overlay(&(*config)->settings, &source->command);
		if (!(*config)->settings.queue_count)
			result = source->config_path ?
					 vd_error_set(error, -ENOKEY, "%s: there is no queue to read: write queue N into it, or "
						      "say --queue N", source->config_path) :
					 vd_error_set(error, -ENOKEY, "run needs a queue to read: --queue N");
	}
	if (result) {
		free_config(*config);
		*config = NULL;
	}
	return result;
}

int vd_source_read(struct vd_source *source, struct vd_error *error)
{
	return read_both(source, &source->config, error);
}

void vd_source_fini(struct vd_source *source)
{
	free_config(source->config);
	source->config = NULL;
}

static bool is_same(const struct vd_setting *one, const struct vd_setting *other)
{
	if (one->is_given != other->is_given || one->number != other->number)
		return false;
	return one->text && other->text ? !strcmp(one->text, other->text) : one->text == other->text;
}

static int check_lasting(const struct vd_settings *before, const struct vd_settings *after, struct vd_error *error)
{
	for (size_t i = 0; i < sizeof LASTING / sizeof *LASTING; i++) {
		const struct vd_setting *was = &before->general[LASTING[i]], *is = &after->general[LASTING[i]];

		if (!is_same(was, is))
			return vd_origin_error(error, is->is_given ? &is->origin : &was->origin, -ENOTSUP,
					       "%s cannot change while it runs: restart it for that", vd_key_name(LASTING[i]));
	}
	return 0;
}

int vd_source_open_log(const struct vd_settings *settings, struct vd_error *error)
{
	const struct vd_setting *general = settings->general;
	struct vd_log_options options = {
		.form = general[VD_KEY_LOG].is_given ? (enum vd_log_form)general[VD_KEY_LOG].number : VD_LOG_TEXT,
		.place = general[VD_KEY_LOG_TO].is_given ? (enum vd_log_place)general[VD_KEY_LOG_TO].number : VD_LOG_STDERR,
		.rate = general[VD_KEY_LOG_RATE].is_given ? (uint32_t)general[VD_KEY_LOG_RATE].number : VD_LOG_RATE_DEFAULT,
	};
	int result = vd_settings_check(settings, error);

	return result ? result : vd_log_open(&options, error);
}

static const char *metrics_address(const struct vd_settings *settings)
{
	const struct vd_setting *metrics = &settings->general[VD_KEY_METRICS];

	return metrics->is_given && metrics->number ? metrics->text : NULL;
}

/* Written in the same way or not. */
static bool is_same_address(const char *one, const char *other)
{
	struct sockaddr_storage addresses[2] = {0};

	if (!one || !other)
		return !one && !other;
	return vd_value_address(one, &addresses[0]) && vd_value_address(other, &addresses[1]) &&
	       !memcmp(&addresses[0], &addresses[1], sizeof addresses[0]);
}

int vd_source_listen(const struct vd_settings *settings, struct vd_metrics *metrics, struct vd_metrics_server **server,
		     struct vd_error *error)
{
	int result = vd_metrics_listen(metrics, metrics_address(settings), server, error);

	if (result)
		vd_origin_prefix(error, &settings->general[VD_KEY_METRICS].origin, result);
	return result;
}

/* First what can be undone: the log, and another server, which nobody has seen. */
static int change(struct vd_source *source, const struct vd_settings *settings, struct vd_engine *engine, struct vd_engine *next,
		  struct vd_metrics *metrics, struct vd_error *error)
{
	const struct vd_settings *before = &source->config->settings;
	bool moves = !is_same_address(metrics_address(before), metrics_address(settings));
	struct vd_metrics_server *server = NULL;
	struct vd_error unheard;
	int result = vd_source_open_log(settings, error);

	if (result)
		return result;
	if (moves)
		result = vd_source_listen(settings, metrics, &server, error);
	if (!result)
		result = vd_engine_reload(engine, next, error);
	if (result) {
		vd_metrics_discard(server);
		vd_source_open_log(before, &unheard);
	} else if (moves) {
		vd_metrics_move(metrics, server);
	}
	return result;
}

int vd_source_reload(struct vd_source *source, struct vd_engine *engine, struct vd_metrics *metrics,
		     void (*log)(void *log_argument, const char *line), struct vd_error *error)
{
	struct vd_config *config;
	struct vd_engine_options calls = {.log = log};
	struct vd_engine *next = NULL;
	int result;

	if (!source->config_path)
		return vd_error_set(error, -ENOENT, "there is no file to read again: it runs without --config");
	result = read_both(source, &config, error);
	if (result)
		return result;
	result = check_lasting(&source->config->settings, &config->settings, error);
	if (!result)
		result = vd_settings_engine(&config->settings, &calls, NULL, &next, error);
	if (!result)
		result = change(source, &config->settings, engine, next, metrics, error);
	vd_engine_destroy(next);
	if (result) {
		free_config(config);
		return result;
	}
	free_config(source->config);
	source->config = config;
	return 0;
}
