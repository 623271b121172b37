/* SPDX-License-Identifier: MIT */
/*
 * A simulated kernel queue in memory, behind the same calls as the kernel's: for tests, and to measure the engine alone.
 *
 *	port_sim.c	   its life
 *	port_sim_queue.c   packets arrive, overflow, are flushed, handed up, settled
 *	port_sim_traffic.c what the packets look like
 *	port_sim_check.c   what a client of the queue may not do
 *	port_sim_bench.c   the cheap kind
 *
 * Two kinds. The checking one does on purpose what a kernel does seldom, driven by a seed, and watches its client: every
 * id handed up gets exactly one verdict, a flow's verdicts come in the order in which its packets were handed up, the
 * packets' bytes are unharmed, one thread at a time receives. The same seed gives the same packets and losses to a single
 * thread that makes the same calls. The cheap kind (`bench`) makes packets as fast as it can and only counts.
 *
 * Flows are made so that all packets of one have the same flow hash. The number of a packet's flow, and of the packet
 * itself, travel in port_private: vd_sim_packet_flow().
 *
 * Who may call: as engine/port.h says; vd_port_sim_report() anybody, from create to destroy. Compiles as C++ too.
 */
#ifndef VERDICT_ENGINE_PORT_SIM_H
#define VERDICT_ENGINE_PORT_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include <verdict/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vd_port;

/* The most packets that a checking queue keeps account of. */
#define VD_SIM_PACKETS_MAX (1u << 24)

#define VD_SIM_BENCH_FLOWS_MAX (1u << 24)

struct vd_sim_options {
	uint64_t seed;
	unsigned queue;
	uint64_t packets;  /* that come; then receive() says VD_PORT_ENDED. Checking: 1 to VD_SIM_PACKETS_MAX */
	bool bench;	   /* the cheap kind: of the rest, only `flows` matters */
	uint32_t first_id; /* what the first packet gets: ids wrap at 2^32 */

	/* what comes */
	unsigned flows;		    /* 1 to 65536; `bench`: to VD_SIM_BENCH_FLOWS_MAX */
	uint32_t size_min, size_max; /* bytes, up to 65535; a packet is as large as its headers at least */
	unsigned ipv6_percent;	    /* of the flows, each */
	unsigned tcp_percent;
	unsigned fragment_percent;
	unsigned malformed_percent;
	unsigned garbage_percent; /* of the packets: random bytes, of no flow */

	/* how it comes; the length of the queue is the engine's setting */
	unsigned arrive_max;	 /* packets that arrive between two receives, up to */
	unsigned idle_percent;	 /* of receives before which nothing arrives */
	unsigned short_percent;	 /* of receives that hand up fewer packets than are there */
	uint32_t socket_packets; /* that fit into the socket's buffer; 0: no limit */
	unsigned flush_permille; /* of receives before which the kernel flushes the queue */
	unsigned refuse_permille; /* of verdicts, refused for no reason that the client could know */

	/*
	 * sleepy: packets arrive when time has passed, at most sleep_us_max microseconds; a waiting receive() sleeps, and
	 * `descriptor` is readable when there is something. silent_at_end: no VD_PORT_ENDED; after the last packet it is
	 * silent for ever, and only wake() ends a receive() that waits.
	 */
	bool sleepy;
	bool silent_at_end;
	unsigned sleep_us_max;

	/* failures, each -EIO (open_error: this errno) */
	int check_error;
	int open_error;
	uint64_t receive_fails_at; /* when that many packets were handed up; 0: never */
	uint64_t send_fails_at;	   /* when that many were answered: the send has no effect; 0: never */

	/* what a packet's verdict has to be, asked when it is sent; VD_NEXT: any. Several threads at once. May be NULL. */
	enum vd_verdict (*expect)(const struct vd_packet *packet, void *argument);
	void *expect_argument;
};

#define VD_SIM_OPTIONS_INIT                                                                                            \
	{.seed = 1, .packets = 1000, .first_id = 1, .flows = 16, .size_min = 40, .size_max = 1500, .arrive_max = 64,     \
	 .sleep_us_max = 200}

/* -EINVAL: an option is out of its range. -ENOMEM. The options are copied. */
int vd_port_sim_create(struct vd_port **port, const struct vd_sim_options *options);

/*
 * What happened. Exact when the port is closed:
 *
 *	offered = sum of verdicts[] + queue_dropped + socket_dropped + flushed + refused + left_accepted + left_dropped
 */
struct vd_sim_report {
	uint64_t offered;
	uint64_t passed; /* with fail_open: while the queue was full; known to nobody, not in offered */
	uint64_t handed_up;
	uint64_t bytes;			     /* of them, as on the wire */
	uint64_t answered;		     /* with or without effect */
	uint64_t verdicts[VD_VERDICT_COUNT]; /* taken effect; `bench` does not tell them apart: [VD_ACCEPT] */
	uint64_t queue_dropped;
	uint64_t socket_dropped;
	uint64_t socket_passed; /* of them, with fail_open: passed undecided */
	uint64_t flushed;
	uint64_t refused;
	uint64_t left_accepted;
	uint64_t left_dropped;
	uint64_t flushes;
	unsigned opens; /* succeeded */
	unsigned closes;
	bool has_receive_failed; /* as ordered */
	bool has_send_failed;
	uint64_t handed_up_ids; /* `bench`: sums of the ids, equal at the end */
	uint64_t answered_ids;
	uint64_t violations;
	char first_violation[256]; /* a sentence, the seed in it */
};

void vd_port_sim_report(struct vd_port *port, struct vd_sim_report *report);

/*
 * The whole life of the port without an engine, from open to close: receives bursts of up to `burst` (1 to VD_BURST_MAX) in
 * this thread and answers each with `verdict`. `maxlen`, `copy_range`: as in the engine's options, not 0. 0 or -errno.
 */
int vd_port_sim_drive(struct vd_port *port, unsigned burst, uint32_t maxlen, uint32_t copy_range, enum vd_verdict verdict);

/* A packet that is of no flow: its order does not matter. */
#define VD_SIM_NO_FLOW UINT32_MAX

static inline uint32_t vd_sim_packet_flow(const struct vd_packet *packet)
{
	return (uint32_t)(packet->port_private >> 32);
}

/* Counts the ids of its queue from 0. */
static inline uint32_t vd_sim_packet_index(const struct vd_packet *packet)
{
	return (uint32_t)packet->port_private;
}

/* splitmix64: the whole simulation's dice, and good enough for tests'. */
static inline uint64_t vd_sim_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

#ifdef __cplusplus
}
#endif

#endif
