/* SPDX-License-Identifier: MIT */
/*
 * A reload while it goes on; private to its files. All by the thread that reloads.
 *
 *	reload.c	 the steps
 *	reload_queues.c	 what becomes of queues
 *	hold.c		 nobody reads a lane
 *	migrate.c	 functions that take the place of others
 */
#ifndef VERDICT_ENGINE_RELOAD_H
#define VERDICT_ENGINE_RELOAD_H

#include "engine/state.h"

struct reload {
	struct vd_engine *engine;
	struct vd_engine *next;
	struct vd_plan *before;
	struct vd_plan *plan;
	struct vd_error *error;

	/* queues, by where they come from and go to */
	struct vd_lane *kept[VD_ENGINE_QUEUES_MAX];
	struct vd_queue_options kept_options[VD_ENGINE_QUEUES_MAX]; /* what those are to have ... */
	struct vd_port_settings kept_before[VD_ENGINE_QUEUES_MAX], kept_after[VD_ENGINE_QUEUES_MAX]; /* ... for the kernel */
	unsigned kept_count;
	struct vd_lane *added[VD_ENGINE_QUEUES_MAX];
	unsigned added_count;
	struct vd_lane *removed[VD_ENGINE_QUEUES_MAX];
	unsigned removed_count;
	bool has_lane[VD_ENGINE_QUEUES_MAX]; /* by index: before and after */
	unsigned lane_limit;		     /* above all indices */
	unsigned held;			     /* of removed, then of kept */
	int opened;			     /* what opening the functions returned */
};

/* Fills what is kept, added and removed. */
void vd_reload_sort_queues(struct reload *reload);

/* For those that are added an index that no lane has: those that go included, until they have gone. -E2BIG. */
int vd_reload_choose_indices(struct reload *reload);

/* What the kernel is told of those that are kept, for the functions before and after, which are open. */
void vd_reload_choose_settings(struct reload *reload);

/* Has it give both what they need; packets that came before are answered then. */
int vd_reload_prepare_queues(struct reload *reload);

/* Has it give what the new functions need, or, `is_undone`, the old ones. */
void vd_reload_settle_queues(struct reload *reload, bool is_undone);

#endif
