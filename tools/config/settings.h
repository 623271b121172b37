/* SPDX-License-Identifier: MIT */
/*
 * The settings of `verdict run`, each with where it was written: what options, a configuration file, or both said. An option
 * --NAME and a key NAME are one setting, and read by the same code.
 *
 *	command line ──▶ vd_settings ──┐
 *	file ──▶ vd_settings ──────────┴─▶ vd_settings_overlay() ──▶ vd_settings_engine()
 *
 * Plain values, to be compared with those of another time. Texts are the caller's, and have to live as long as the settings.
 */
#ifndef VERDICT_TOOLS_SETTINGS_H
#define VERDICT_TOOLS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/config/origin.h"
#include "tools/config/values.h"

#define VD_SETTINGS_CPUS_MAX 1024
#define VD_SETTINGS_LOG_RATE_MAX 1000000u

/* Those that a queue may have for itself come first. */
enum vd_key {
	VD_KEY_MAXLEN,
	VD_KEY_COPY_RANGE,
	VD_KEY_GSO,
	VD_KEY_FAIL_OPEN,
	VD_KEY_ON_FAULT,
	VD_QUEUE_KEY_COUNT,

	VD_KEY_NETNS = VD_QUEUE_KEY_COUNT,
	VD_KEY_DEFAULT,
	VD_KEY_WORKERS,
	VD_KEY_WRITERS,
	VD_KEY_CPU,
	VD_KEY_BATCH,
	VD_KEY_BATCH_DELAY,
	VD_KEY_REJECT_RATE,
	VD_KEY_REJECT_MARK,
	VD_KEY_HELD_MAX,
	VD_KEY_ISOLATION,
	VD_KEY_DEADLINE,
	VD_KEY_FAULT_CAPTURE,
	VD_KEY_FOR,
	VD_KEY_PACKETS,
	VD_KEY_STATS,
	VD_KEY_SUPERVISE,
	VD_KEY_LOG,
	VD_KEY_LOG_TO,
	VD_KEY_LOG_RATE,
	VD_KEY_METRICS,
	VD_KEY_USER,
	VD_KEY_SECCOMP,
	VD_KEY_SECCOMP_ALLOW,
	VD_KEY_CONTROL,
	VD_KEY_CONTROL_MODE,
	VD_KEY_COUNT,
};

struct vd_setting {
	bool is_given;
	uint64_t number;  /* as <verdict/engine.h> wants it; yes is 1; enum vd_verdict, enum vd_stats_form and so on; --for: seconds;
			     --control-mode: a mode of a file */
	const char *text; /* as written: netns, cpu, fault-capture, metrics, user, seccomp-allow, control */
	struct vd_origin origin;
};

struct vd_queue_setting {
	unsigned queue;
	struct vd_origin origin;
	struct vd_setting own[VD_QUEUE_KEY_COUNT];
};

struct vd_function_setting {
	const char *specification; /* as behind --function */
	struct vd_origin origin;
};

struct vd_settings {
	struct vd_setting general[VD_KEY_COUNT];
	struct vd_queue_setting queues[VD_ENGINE_QUEUES_MAX];
	unsigned queue_count;
	struct vd_function_setting functions[VD_ENGINE_FUNCTIONS_MAX]; /* the chain */
	unsigned function_count;
};

const char *vd_key_name(enum vd_key key);

/* The key of that name; VD_KEY_COUNT: none. */
enum vd_key vd_key_find(const char *name);

/* "a number from 1 to 64": what stands behind "takes". Returns `room`. */
#define VD_KEY_EXPECTS_SIZE 160
const char *vd_key_expects(enum vd_key key, char room[VD_KEY_EXPECTS_SIZE]);

/*
 * 0 or -EINVAL; then the sentence has neither where it was written nor whose it was, and begins with `name`: "--maxlen",
 * "maxlen".
 */
int vd_setting_read(struct vd_setting *setting, enum vd_key key, const char *name, const char *text,
		    const struct vd_origin *origin, struct vd_error *error);

/* `text`: a number or a range. `own`: for all of them; NULL: nothing of their own. */
int vd_settings_add_queues(struct vd_settings *settings, const char *name, const char *text, const struct vd_setting *own,
			   const struct vd_origin *origin, struct vd_error *error);
int vd_settings_add_function(struct vd_settings *settings, const char *name, const char *specification,
			     const struct vd_origin *origin, struct vd_error *error);

/*
 * What `over` has wins: a general setting also over those that queues have for themselves; queues are then the only ones, and
 * keep what `settings` has for them; functions are then the whole chain.
 */
void vd_settings_overlay(struct vd_settings *settings, const struct vd_settings *over);

/* Whether settings go together, as far as each of them does not show it. 0, or -EINVAL with where the second one was written. */
int vd_settings_check(const struct vd_settings *settings, struct vd_error *error);

/* Sockets that are bound to queues already: the one to go on with, which is the engine's from here on; -1: there is none. */
struct vd_settings_sockets {
	int (*take)(void *argument, unsigned queue);
	void *argument;
};

/*
 * An engine with these queues and functions, that does not run yet and has asked nothing of the kernel's queues. The sentence
 * begins with where the setting is that was refused. Of `calls` it takes `log`, `ready`, `confine` and `culprit` with their
 * arguments; or NULL.
 * `sockets` NULL: all queues are to be bound. *engine is NULL on failure.
 */
int vd_settings_engine(const struct vd_settings *settings, const struct vd_engine_options *calls,
		       const struct vd_settings_sockets *sockets, struct vd_engine **engine, struct vd_error *error);

#endif
