/* SPDX-License-Identifier: MIT */
/*
 * What the engine offers to the rest of this tree beside <verdict/engine.h>: other ports (tests, benchmarks).
 */
#ifndef VERDICT_ENGINE_ENGINE_H
#define VERDICT_ENGINE_ENGINE_H

#include "engine/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds a lane that reads this port. The engine owns the port from here on, also when this fails. */
int vd_engine_add_port(struct vd_engine *engine, struct vd_port *port, struct vd_error *error);

/*
 * Whether vd_engine_load_function() and vd_engine_run() would take it: loads the function, opens it with its arguments for one
 * worker, in the caller's network namespace, and closes it. Opening is whatever the function makes of it.
 */
int vd_engine_try_function(const char *specification, struct vd_error *error);

/* Says that the CPUs are crowded (crowd.h) or no longer, whatever is found out. Any thread, while it runs. */
void vd_engine_set_crowded(struct vd_engine *engine, bool is_crowded);

#ifdef __cplusplus
}
#endif

#endif
