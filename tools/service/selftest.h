/* SPDX-License-Identifier: MIT */
/*
 * One packet through the functions before the real ones open: what would end a filter with its first packet ends here, where no
 * packet is lost by it. It happens in a process of its own, in an engine that is thrown away, on a simulated queue: a function
 * that crashes or hangs takes nothing with it, and what it remembers is forgotten.
 */
#ifndef VERDICT_TOOLS_SERVICE_SELFTEST_H
#define VERDICT_TOOLS_SERVICE_SELFTEST_H

#include <verdict/engine.h>

struct vd_settings;

/* How long functions may take to open and decide, seconds. */
#define VD_SELFTEST_SECONDS 10

/*
 * 0; -EINVAL: a function refuses its arguments; -ETIMEDOUT; or another -errno. To be called while the process has one thread.
 */
int vd_selftest(const struct vd_settings *settings, struct vd_error *error);

#endif
