/* SPDX-License-Identifier: MIT */
/*
 * Going on with the queues of a daemon that runs: it is asked over its control socket, finishes what it has read, hands over the
 * queues' sockets, and ends. Packets wait in the kernel meanwhile, and none is lost.
 */
#ifndef VERDICT_TOOLS_TAKEOVER_H
#define VERDICT_TOOLS_TAKEOVER_H

#include "tools/service/service.h"

/*
 * Puts the sockets where those are that a service manager kept. Returns when the other process has ended, and what it was called is
 * free. -ENOENT: nobody listens by that name. Another -errno: it did not hand them over, and goes on.
 */
int vd_takeover(struct vd_service *service, const char *name, struct vd_error *error);

#endif
