/* SPDX-License-Identifier: MIT */
/* What a running daemon answers on its control socket. */
#ifndef VERDICT_TOOLS_RUN_CONTROL_H
#define VERDICT_TOOLS_RUN_CONTROL_H

#include <limits.h>

#include "tools/config/settings.h"
#include "tools/run/daemon.h"

/* The control thread's own. */
struct vd_daemon_answers {
	struct vd_daemon *daemon;
	char config[PATH_MAX]; /* empty: no file */
	struct vd_snapshot snapshot;
};

/* Opens daemon->control, if these settings ask for one; `config_path`: NULL, there is none. */
int vd_daemon_control(struct vd_daemon *daemon, const struct vd_settings *settings, const char *config_path,
		      struct vd_daemon_answers *answers, struct vd_error *error);

#endif
