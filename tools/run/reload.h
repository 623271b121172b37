/* SPDX-License-Identifier: MIT */
/*
 * The settings of a run, and how they are replaced while it goes on: the file is read again, the command line laid over it
 * again, and the engine changed into what that says; or nothing changes, and a sentence says why.
 */
#ifndef VERDICT_TOOLS_RELOAD_H
#define VERDICT_TOOLS_RELOAD_H

#include "tools/config/config.h"
#include "tools/metrics/metrics.h"

struct vd_source {
	struct vd_settings command; /* what the command line says */
	const char *config_path;    /* NULL: there is no file */
	struct vd_config *config;   /* both together, as they are in effect; NULL: not read yet */
};

/* Reads the file, and lays the command line over it. 0 or -errno; -ENOKEY: there is no queue in either. */
int vd_source_read(struct vd_source *source, struct vd_error *error);
void vd_source_fini(struct vd_source *source);

/* The log as these settings want it: at the start, and by a reload. */
int vd_source_open_log(const struct vd_settings *settings, struct vd_error *error);

/* Where these settings want metrics to be shown: vd_metrics_listen(). */
int vd_source_listen(const struct vd_settings *settings, struct vd_metrics *metrics, struct vd_metrics_server **server,
		     struct vd_error *error);

/*
 * Changes a running engine. One at a time. `log` as in struct vd_engine_options, without an argument. 0 or -errno: then nothing
 * has changed.
 */
int vd_source_reload(struct vd_source *source, struct vd_engine *engine, struct vd_metrics *metrics,
		     void (*log)(void *log_argument, const char *line), struct vd_error *error);

#endif
