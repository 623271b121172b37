/* SPDX-License-Identifier: MIT */
/*
 * Load for kernel tests: traffic as fast as it goes, a function that holds packets back, an engine that is watched from
 * outside. Beside <test/support/traffic.h>, whose datagrams these are: their header is the same, their content is not checked.
 *
 * What is wrong with the test itself aborts, so that any thread may call this.
 */
#ifndef VERDICT_TEST_LOAD_H
#define VERDICT_TEST_LOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <verdict/engine.h>
#include "lib/nfq/nfq.h"

/* ---- traffic ---- */

/* What scopes.so can tell apart. */
#define LOAD_FLOWS_MAX 4096u

struct load_sender {
	int where;
	const char *address;
	uint16_t port;	  /* flow i goes to port + i % ports */
	unsigned ports;	  /* 0: 1 */
	unsigned flows;
	unsigned burst;	  /* datagrams in a row of the same flow, 1 to 64 */
	size_t length;
	uint64_t count;
	unsigned pause_us; /* after each burst */

	/* results */
	uint64_t sent;
	pthread_t thread;
	_Atomic bool stopping;
	int *sockets;
	uint32_t *sequences; /* the last one of each flow */
};

/* Opens the sockets, a source port each. Then send as often as wanted, each time `count` more. */
void load_sender_open(struct load_sender *sender);
void load_sender_send(struct load_sender *sender);
void load_sender_close(struct load_sender *sender);

/* The same in a thread; stop() ends it before its count is done. */
void load_sender_start(struct load_sender *sender);
void load_sender_join(struct load_sender *sender);
void load_sender_stop(struct load_sender *sender);

struct load_receiver;

/* A thread that receives on `ports` ports from `port` on. `sequence_max`: of each flow. */
struct load_receiver *load_receiver_start(int where, int family, uint16_t port, unsigned ports, unsigned flows,
					  uint32_t sequence_max);

struct load_tally {
	uint64_t received;   /* all datagrams */
	uint64_t disordered; /* came after a later one of their flow */
	uint64_t duplicates;
	uint64_t strangers;
	uint64_t lost; /* by the receiver's own sockets: 0, or the test has to be slower */
};

/* How many have come so far. */
uint64_t load_receiver_count(struct load_receiver *receiver);

/* Until that many have come, or (count UINT64_MAX) none for 200 ms; gives up after timeout_ms times patience. */
uint64_t load_receiver_wait(struct load_receiver *receiver, uint64_t count, unsigned timeout_ms);

/* Ends and frees it. What lies on its sockets counts. */
struct load_tally load_receiver_stop(struct load_receiver *receiver);

/* ---- a gate: a function that lets packets through only while it is open, and leaves them to the next one ---- */

extern const struct vd_function load_gate;

void load_gate_close(void);
void load_gate_open(void);

/* Lets so many packets through and no more. */
void load_gate_pass(unsigned packets);

/* Opens it after a while: for a test that has to wait for the engine meanwhile. */
void load_gate_open_later(unsigned ms);

/* Waits until so many threads stand before the gate; false: not in time. */
bool load_gate_wait(unsigned threads, unsigned timeout_ms);

/* ---- an engine, and what the kernel says of its queues ---- */

struct load_engine {
	struct vd_engine *engine;
	struct vd_error error;
	pthread_t thread;
	_Atomic bool has_ended;
	int result; /* of vd_engine_run() */
};

/* An engine with the queues first to first + count - 1; NULL: no function. It does not run yet. */
void load_engine_create(struct load_engine *engine, const struct vd_engine_options *options, const struct vd_function *function,
			unsigned first_queue, unsigned count);

/* Runs it in a thread of its own, in the caller's namespace. */
void load_engine_launch(struct load_engine *engine);

/* Until its queues are bound in the caller's namespace and it counts, or it has ended. */
void load_engine_await(struct load_engine *engine);

/* Both. */
void load_engine_start(struct load_engine *engine);

/* Waits for its end. False: it does not end in time (it then goes on, and may use what it was given). */
bool load_engine_join(struct load_engine *engine, unsigned timeout_ms);
void load_engine_destroy(struct load_engine *engine);

/* The queues' statistics added up; `queue` and what is not a count are those of the first. */
struct vd_queue_stats load_engine_stats(const struct load_engine *engine);

uint64_t load_verdicts(const struct vd_queue_stats *stats);

/* Everything that the accounts say was offered. */
uint64_t load_offered(const struct vd_queue_stats *stats);

/* The kernel's line for a queue of the caller's namespace; false: nobody has bound it. */
bool load_queue(unsigned queue, struct vd_nfq_status *status);

/* Waits until the kernel says that so many packets wait; false: not in time. */
bool load_wait_waiting(unsigned queue, uint32_t waiting);

/* How many queues are bound in the caller's namespace. */
unsigned load_queues_bound(void);

/* Microseconds of CPU that this process has used. */
uint64_t load_cpu_us(void);

#endif
