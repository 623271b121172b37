/* SPDX-License-Identifier: MIT */
/*
 * Packets with which functions crashed or hung in their process, as a capture: --fault-capture. As they came to the chain, so that the
 * same functions meet the same again: verdict replay FILE --function ...
 *
 * A file that is there is added to. It has a limit, since whoever sends such packets may send many.
 */
#ifndef VERDICT_TOOLS_CULPRITS_H
#define VERDICT_TOOLS_CULPRITS_H

#include <verdict/engine.h>

#define VD_CULPRITS_MAX 1000 /* packets in one file */

struct vd_culprits;

/* *culprits is NULL on failure: -errno, and the sentence. */
int vd_culprits_open(struct vd_culprits **culprits, const char *path, void (*log)(void *log_argument, const char *line),
		     struct vd_error *error);

/* `culprit` of struct vd_engine_options. Any thread; the file has the packet when it returns. */
void vd_culprits_take(void *culprits, const struct vd_packet *packet, const char *function, const char *reason);

/* NULL is fine. */
void vd_culprits_close(struct vd_culprits *culprits);

#endif
