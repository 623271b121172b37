/* SPDX-License-Identifier: MIT */
/* HTTP at one address: answers GET and HEAD of /metrics and /. Private to this room. */
#ifndef VERDICT_TOOLS_METRICS_SERVER_H
#define VERDICT_TOOLS_METRICS_SERVER_H

#include <stdio.h>

#include <verdict/engine.h>

struct vd_metrics_server;

/*
 * Listens at `address`, as vd_value_address() reads it; nobody is answered yet. `write` writes what /metrics is. *server is NULL on
 * failure: -ENOMEM, or why it cannot listen; the sentence says so.
 */
int vd_metrics_server_open(struct vd_metrics_server **server, const char *address, void (*write)(void *argument, FILE *file),
			   void *argument, struct vd_error *error);

/* As those of metrics.h, from one thread at a time. */
int vd_metrics_server_descriptor(const struct vd_metrics_server *server);
int vd_metrics_server_timeout_ms(struct vd_metrics_server *server);
void vd_metrics_server_run(struct vd_metrics_server *server);

/* NULL is fine. */
void vd_metrics_server_close(struct vd_metrics_server *server);

#endif
