/* SPDX-License-Identifier: MIT */
/*
 * Prometheus' text format, version 0.0.4; private to this room. A family is its name, what it means and its type, and then its
 * samples:
 *
 *	# HELP verdict_queue_drops_total Packets that did not go on, by cause.
 *	# TYPE verdict_queue_drops_total counter
 *	verdict_queue_drops_total{queue="0",cause="function"} 17
 */
#ifndef VERDICT_TOOLS_EXPOSITION_H
#define VERDICT_TOOLS_EXPOSITION_H

#include <stdint.h>
#include <stdio.h>

struct vd_snapshot;

/* `type`: "counter", "gauge" or "histogram". */
void vd_exposition_family(FILE *file, const char *name, const char *type, const char *help);

/*
 * A name, pairs of label and value up to a NULL, and the number. A value may have any characters in it; what is no UTF-8 is shown
 * as '?'.
 */
void vd_exposition_count(FILE *file, uint64_t number, const char *name, ...) __attribute__((sentinel));
void vd_exposition_number(FILE *file, double number, const char *name, ...) __attribute__((sentinel));

/* ---- what there is ---- */

void vd_metrics_write_queues(FILE *file, const struct vd_snapshot *snapshot);
void vd_metrics_write_rules(FILE *file, const struct vd_snapshot *snapshot);
void vd_metrics_write_functions(FILE *file, const struct vd_snapshot *snapshot);
void vd_metrics_write_hosts(FILE *file, const struct vd_snapshot *snapshot);
void vd_metrics_write_workers(FILE *file, const struct vd_snapshot *snapshot);

struct vd_engine;
void vd_metrics_write_latency(FILE *file, struct vd_engine *engine, const struct vd_snapshot *snapshot);

void vd_metrics_write_process(FILE *file);

#endif
