/* SPDX-License-Identifier: MIT */
/*
 * What those programs of bench/net share that are an engine: it, with a function of the program's own, on one queue.
 */
#ifndef VERDICT_BENCH_ENGINE_H
#define VERDICT_BENCH_ENGINE_H

#include "program.h"

#include <verdict/engine.h>

static struct vd_engine *engine;

static inline void stop_engine(int signal_number)
{
	(void)signal_number;
	vd_engine_stop(engine);
}

/* Until packets end it, or SIGINT or SIGTERM. Whoever has looked at its statistics destroys it. */
static inline void run_engine(const struct vd_engine_options *options, const struct vd_function *function, unsigned queue)
{
	struct sigaction action = {.sa_handler = stop_engine};
	struct vd_error error;

	if (vd_engine_create(&engine, options, &error) ||
	    vd_engine_add_function(engine, function, "", &error) ||
	    vd_engine_add_queue(engine, queue, &error))
		fail(FAILED, "%s", error.text);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (vd_engine_run(engine, &error))
		fail(FAILED, "%s", error.text);
}

#endif
