/* SPDX-License-Identifier: MIT */
/*
 * Metrics for Prometheus over HTTP: what `verdict run --metrics` shows. The door of this room.
 *
 *	metrics.c     what is shown, and where
 *	server.c      answers GET and HEAD of /metrics and /
 *	exposition.c  the text format 0.0.4: lines, labels, numbers
 *	engine.c      queues, functions, threads
 *	latency.c     how long packets waited
 *	process.c     the process itself
 *
 * There is no thread for it: it works when its descriptor says so, in the calls of who polls, and between scrapes not at all. A
 * client can neither hold it up nor fill it: nothing waits for one, there are few places, and when the last is taken, who has been
 * there for longest has to go.
 *
 * Who may call: one thread, if nothing else is said.
 */
#ifndef VERDICT_TOOLS_METRICS_H
#define VERDICT_TOOLS_METRICS_H

#include <stdbool.h>

#include <verdict/engine.h>

struct vd_metrics;
struct vd_metrics_server;
struct vd_snapshot;

/* Shows nothing yet. -ENOMEM, -EMFILE: *metrics is NULL then. */
int vd_metrics_create(struct vd_metrics **metrics, struct vd_engine *engine, struct vd_error *error);

/*
 * Listens at `address`, as vd_value_address() reads it; nobody is answered there yet. NULL: nowhere, and *server is NULL. Or says why
 * it cannot. Then one of the two that follow has to be called. Any thread.
 */
int vd_metrics_listen(struct vd_metrics *metrics, const char *address, struct vd_metrics_server **server, struct vd_error *error);

/* From the next vd_metrics_serve() on it is there that metrics are shown, and nowhere else. Any thread. */
void vd_metrics_move(struct vd_metrics *metrics, struct vd_metrics_server *server);
void vd_metrics_discard(struct vd_metrics_server *server);

/* Who fills what is shown, instead of vd_snapshot_take(); before the first move. */
void vd_metrics_take_by(struct vd_metrics *metrics, void (*take)(void *argument, struct vd_snapshot *snapshot, double seconds),
			void *argument);

/* Readable when there is something to do. */
int vd_metrics_descriptor(const struct vd_metrics *metrics);

/* In how many milliseconds there is something to do also without that; -1: never. */
int vd_metrics_timeout_ms(const struct vd_metrics *metrics);

/* Does what there is to do, without waiting. */
void vd_metrics_serve(struct vd_metrics *metrics);

/* Of the configuration. Any thread. */
void vd_metrics_count_reload(struct vd_metrics *metrics, bool is_done);

/* NULL is fine. */
void vd_metrics_destroy(struct vd_metrics *metrics);

#endif
