/* SPDX-License-Identifier: MIT */
/*
 * An engine whose functions are in processes of their own, over a simulated queue that knows what the verdict of each packet has to be.
 * The functions do a deed on some packets, the bad ones. Whatever that is, these get the fault verdict, all others are decided as they
 * should be, each once, and all of it is counted to the packet.
 *
 * One at a time; for the thread that runs the tests.
 */
#ifndef VERDICT_TEST_ISOLATED_H
#define VERDICT_TEST_ISOLATED_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/port_sim.h"

#define ISOLATED_PACKETS 24000
#define ISOLATED_FLOWS 64

/* A bad packet, and then so many good ones: between two of them a host decides more than are too few (host_nursery.c). */
#define ISOLATED_EVERY 4000

/* Nothing is bad there. */
#define ISOLATED_INNOCENT_QUEUE 77

/* What a function does on a bad packet. */
enum deed {
	DEED_NOTHING, DEED_SEGFAULT, DEED_ABORT, DEED_TRAP, DEED_DIVIDE, DEED_EXIT, DEED_RAISE_BUS, DEED_RAISE_TRAP, DEED_HANG,
	DEED_OVERFLOW, DEED_NO_VERDICT,
	DEED_EXIT_IN_COMPANY, /* when another packet is with a function of the same process */
	DEED_SCRIBBLE,	      /* over what is behind the packet */
	DEED_SCRIBBLE_BACK,   /* over what is in front of it: the mailbox, which says where the thread stands */
	DEED_LIE,	      /* as long as it lives its answers cannot be believed */
};

/* Seen by the test and by all processes. */
extern struct isolated_common {
	_Atomic int host;	/* one that decides */
	_Atomic unsigned opened, closed, states_closed;
	_Atomic unsigned opener; /* the process in which it opened */
	_Atomic unsigned decided;
	_Atomic int bad_host, good_host; /* where a packet is that waits for the other */
	_Atomic unsigned met, strangers;
	_Atomic unsigned shared_mappings; /* that a host does not have */
} *isolated_common;

extern struct isolated {
	enum deed deed;
	struct vd_engine *engine;
	struct vd_port *port;
	struct vd_error error;
	struct vd_function_stats functions[3];
	struct vd_queue_stats queue;
	struct vd_host_stats host;
	_Atomic unsigned culprits, wrong_culprits;
	_Atomic unsigned lines;
	char line[512];
	bool all_are_bad, faults_are_drops;
	_Atomic bool has_ended;
	int result;
} isolated;

#define ISOLATED_FUNCTION(NAME, ...) \
	{.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = NAME, .bytes = VD_HEADERS, __VA_ARGS__}

/* They do the deed. In front of them is always `table`, which knows that the packets of its flows come in order. */
extern const struct vd_function ISOLATED_ONE_BY_ONE, ISOLATED_IN_BURSTS;

bool isolated_is_bad(const struct vd_packet *packet);
enum vd_verdict isolated_right_verdict(const struct vd_packet *packet);
enum vd_verdict isolated_decide(struct vd_packet *packet, void *state);

/* For a queue: the verdict that a packet has to have. */
enum vd_verdict isolated_expect(const struct vd_packet *packet, void *argument);

/* For cmocka: before the first test. */
int isolated_set_up(void **state);

struct vd_engine_options isolated_options(void);

/* An engine that does not run yet, over so many packets, or over a queue of the test's own. */
void isolated_make(const struct vd_engine_options *options, enum deed deed, const struct vd_function *function, uint64_t packets);
void isolated_make_over(const struct vd_engine_options *options, enum deed deed, const struct vd_function *function,
			const struct vd_sim_options *sim);

/* Runs it to the end of its packets: each has had its verdict, once. */
void isolated_go(uint64_t packets);

/* Frees it: no process is left behind. */
void isolated_end(void);

/* What the functions counted, if all packets that came to them were decided, and so many are bad and were found so. */
void isolated_audit(uint64_t bad, uint64_t crashes, uint64_t hangs);

#endif
