/* SPDX-License-Identifier: MIT */
/* What a daemon has counted, and what the rules have that send to its queues. */
#include <stdlib.h>

#include "tools/run/daemon.h"

void vd_daemon_look(struct vd_daemon *daemon, struct vd_snapshot *snapshot, double seconds)
{
	vd_snapshot_take(snapshot, daemon->engine, seconds);
	vd_privileges_raise(&daemon->privileges); /* the kernel shows rules to nobody else */
	vd_ruled_read(daemon->ruled, VD_RULED_LATELY, snapshot->queues, snapshot->queue_count, &snapshot->ruled);
	vd_privileges_lower(&daemon->privileges);
}

void vd_daemon_follow_rules(struct vd_daemon *daemon, enum vd_ruled_when when)
{
	struct vd_queue_stats *queues = daemon->ruled ? calloc(VD_ENGINE_QUEUES_MAX, sizeof *queues) : NULL;

	if (queues)
		vd_ruled_read(daemon->ruled, when, queues, vd_engine_queue_stats(daemon->engine, queues, VD_ENGINE_QUEUES_MAX), NULL);
	free(queues);
}
