/* SPDX-License-Identifier: MIT */
/*
 * What threads that share a port's packets can reach: no engine, but the least that any engine has to do. One thread receives, and
 * hands full bursts to others through rings, and decides itself on what comes while they are supplied; everybody answers what it
 * decided; slots come back through rings. It looks at no flow, and keeps no order.
 */
#ifndef VERDICT_BENCH_SHARE_H
#define VERDICT_BENCH_SHARE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vd_port;

#define SHARE_THREADS_MAX 64u

/*
 * Runs a port of packets from memory to its end, with so many threads, 1 to SHARE_THREADS_MAX. `work` is called for each packet, with its id.
 * Threads spin where they wait. 0 or -errno.
 */
int share_run(struct vd_port *port, unsigned threads, void (*work)(uint32_t id));

#ifdef __cplusplus
}
#endif

#endif
