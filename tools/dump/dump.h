/* SPDX-License-Identifier: MIT */
/*
 * Showing packets while they are decided: a running daemon sends pcapng over its control socket, `verdict dump` puts it into a
 * file or a pipe. What goes over the socket is in verdict-control(7).
 */
#ifndef VERDICT_TOOLS_DUMP_H
#define VERDICT_TOOLS_DUMP_H

#include "tools/control/control.h"

/* The words of "what", by the bit of VD_TAP_*. */
#define VD_DUMP_WORDS {"accepted", "dropped", "rejected", "faulted", "held"}
#define VD_DUMP_WORD_COUNT 5

#define VD_DUMP_SNAP_MAX 65535u

/* The daemon's side: the handler of {"command": "dump"}. */
int vd_dump_answer(struct vd_engine *engine, const json_t *request, struct vd_control_reply *reply, struct vd_error *error);

#endif
