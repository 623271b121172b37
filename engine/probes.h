/* SPDX-License-Identifier: MIT */
/*
 * Static probes on a burst's way, for verdict-trace, perf, bpftrace and SystemTap: provider `verdict`, and of each the
 * arguments queue, packets, id of the first packet.
 *
 *	read				a burst was received
 *	dispatch			it goes to the shards; without this it is decided on the spot
 *	decide_begin, decide_end	around the verdict functions
 *	send_begin, send_end		around sending its verdicts
 *
 * What was dispatched is decided and sent in other bursts. Ids of a queue count up, so the id of its first packet tells
 * what a burst is made of.
 *
 * Nobody looks: one load and a branch that is not taken, for a burst, not for a packet. A tracer counts the probe's
 * semaphore up while it looks; arguments are computed behind that, out of the way. They are asked for in registers,
 * because what reads them cannot follow every way in which an address is formed.
 *
 * Without <sys/sdt.h>, which is in Debian's systemtap-sdt-dev, there are no probes.
 */
#ifndef VERDICT_ENGINE_PROBES_H
#define VERDICT_ENGINE_PROBES_H

#if HAS_SDT

#define _SDT_HAS_SEMAPHORES 1
#define STAP_SDT_ARG_CONSTRAINT nr
#include <sys/sdt.h>

/* volatile: it changes without any code that the compiler sees */
#define VD_PROBE_SEMAPHORE(name) \
	extern volatile unsigned short verdict_##name##_semaphore \
		__attribute__((section(".probes"), visibility("hidden")))

VD_PROBE_SEMAPHORE(read);
VD_PROBE_SEMAPHORE(dispatch);
VD_PROBE_SEMAPHORE(decide_begin);
VD_PROBE_SEMAPHORE(decide_end);
VD_PROBE_SEMAPHORE(send_begin);
VD_PROBE_SEMAPHORE(send_end);

/* The lane's packets[0] to packets[count - 1]; count is at least 1, and none of them has gone to somebody else. */
#define VD_PROBE(name, lane, packets, count) \
	do { \
		if (__builtin_expect(verdict_##name##_semaphore, 0)) \
			STAP_PROBE3(verdict, name, (uint32_t)(lane)->port->queue, (uint32_t)(count), \
				    (packets)[0]->id); \
	} while (0)

#else

#define VD_PROBE(name, lane, packets, count) ((void)0)

#endif

#endif
