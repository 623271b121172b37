/* SPDX-License-Identifier: MIT */
/*
 * What the tests of an engine's life share: queues in near's INPUT, and traffic from far to them. For the thread that runs the tests.
 */
#ifndef VERDICT_TEST_LIFE_H
#define VERDICT_TEST_LIFE_H

#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define LIFE_QUEUE 3
#define LIFE_PORT 7000
#define LIFE_FLOWS 64 /* as many as queues: flow i goes to queue i */
#define LIFE_SEQUENCE_MAX 100000
#define LIFE_MANY 64 /* queues */

static struct vd_net life_net;

/* Ports LIFE_PORT + i to queues LIFE_QUEUE + i, in near's INPUT. */
static inline void life_set_up(unsigned queues)
{
	vd_net_setup(&life_net);
	for (unsigned i = 0; i < queues; i++)
		vd_net_command("iptables-legacy -A INPUT -p udp --dport %u -m comment --comment queued -j NFQUEUE --queue-num %u",
			       LIFE_PORT + i, LIFE_QUEUE + i);
}

static inline int life_tear_down(void **state)
{
	load_gate_open();
	return vd_net_teardown_any(state);
}

static inline struct load_sender life_far_sender(unsigned ports, uint64_t count)
{
	return (struct load_sender){.where = life_net.far, .address = VD_NET_NEAR_V4, .port = LIFE_PORT, .ports = ports, .flows = LIFE_FLOWS,
				    .burst = 8, .length = 64, .count = count};
}

#endif
