/* SPDX-License-Identifier: MIT */
/* What the files of the simulated queue share, and nobody else includes. */
#ifndef VERDICT_ENGINE_PORT_SIM_PRIVATE_H
#define VERDICT_ENGINE_PORT_SIM_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/port.h"
#include "engine/port_sim.h"

enum sim_flow_kind {
	SIM_FLOW_PLAIN,
	SIM_FLOW_FRAGMENTS,
	SIM_FLOW_SHORT,	      /* malformed: shorter than its IP header */
	SIM_FLOW_LONG,	      /* malformed: its IP header promises more than there is */
	SIM_FLOW_LONG_UDP,    /* malformed: its UDP header does */
};

struct sim_flow {
	enum sim_flow_kind kind;
	uint8_t ip_version;
	uint8_t protocol;
	bool is_answered;	/* last_answered is the index of a packet */
	uint32_t last_answered;
	bool was_held; /* some of its packets, and those behind them had to wait */
	uint16_t ports[2];
	uint8_t addresses[2][16];
};

enum sim_state {
	SIM_LOST = 0,	/* the socket's buffer was full */
	SIM_IN_SOCKET,	/* sent up, not received yet */
	SIM_HANDED_UP,
	SIM_ANSWERED,
};

/* A packet that consumed an id; its place in sim.entries is its index. */
struct sim_entry {
	enum sim_state state;
	uint32_t flow;
	uint32_t length;
	uint32_t copied;
	uint64_t checksum; /* of the bytes handed up */
	bool is_held;
	bool is_passed;	   /* held, and others of its flow may be answered before it */
};

struct sim {
	struct vd_port port; /* first: a port's address is its simulation's */
	struct vd_sim_options options;
	struct vd_port_settings settings;
	struct sim_flow *flows;

	_Atomic bool is_receiving;
	_Atomic bool is_woken;
	uint64_t reader_touched; /* deliberately without the lock: ThreadSanitizer then sees a reader's role badly handed over */
	int timer;		 /* sleepy: expires when packets arrive; -1 */

	pthread_mutex_t lock;	/* everything below, in the checking kind */
	bool is_open;
	uint64_t random;
	uint64_t came;		/* of options.packets */
	struct sim_entry *entries;
	uint32_t id_count;	/* entries in use: ids given out */
	uint32_t next_up;	/* the index from which to look for the next packet to hand up */
	uint32_t in_socket;
	uint32_t waiting;	/* in the queue: not settled */
	uint32_t flushed_until; /* packets before this index were flushed, if they were not settled before */
	uint64_t refused_verdicts[VD_VERDICT_COUNT];
	uint64_t flushed_going; /* of the report's flushed and refused: they were to go on, or nobody had decided */
	uint64_t refused_going;
	struct vd_sim_report report;

	struct sim_bench *bench;
};

static inline struct sim *sim_of(struct vd_port *port)
{
	return (struct sim *)port;
}

static inline bool sim_dice(struct sim *sim, unsigned share, unsigned whole)
{
	return share && vd_sim_random(&sim->random) % whole < share;
}

/* ---- port_sim_queue.c ---- */

#define SIM_SCRATCH_SIZE 64

int sim_receive(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait);
int sim_send(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch);
int sim_hold(struct vd_port *port, struct vd_packet *packet, bool in_order, void *scratch);
void sim_wake(struct vd_port *port);

/* The sleepy kind: something arrives that late; 0: nothing more by itself. */
void sim_set_timer(struct sim *sim, uint64_t delay_ns);

/* ---- port_sim_traffic.c ---- */

/* Room in front of the data, odd on purpose: the kernel's packets begin at any address. */
#define SIM_MESSAGE_ROOM 37u

void sim_traffic_make_flows(struct sim *sim);

/* Which flow the next packet is of, and how long it is. */
void sim_traffic_draw(struct sim *sim, struct sim_entry *entry);

/* Writes the packet's bytes, as many as are copied, and fills the struct. */
void sim_traffic_write(struct sim *sim, uint32_t index, struct vd_packet *packet);

/* ---- port_sim_check.c: the lock is held ---- */

__attribute__((format(printf, 2, 3))) void sim_violation(struct sim *sim, const char *format, ...);

uint64_t sim_checksum(const uint8_t *data, uint32_t length);

/* Whether this verdict may be sent; the packet's entry, or NULL: it is nobody's. */
struct sim_entry *sim_check_verdict(struct sim *sim, const struct vd_packet *packet);

/* The client says that these are all that it has, in order, and that nobody receives. */
void sim_check_all(struct sim *sim, struct vd_packet *const *packets, unsigned count);

/* All is over: who was forgotten? */
void sim_check_end(struct sim *sim);

/* ---- port_sim_bench.c ---- */

int sim_bench_init(struct sim *sim);
void sim_bench_fini(struct sim *sim);
void sim_bench_report(struct sim *sim, struct vd_sim_report *report);
int sim_bench_receive(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait);
int sim_bench_send(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch);

#endif
