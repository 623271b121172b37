/* SPDX-License-Identifier: MIT */
/*
 * An engine that runs in a thread of the test, and whose accounts are audited when it stops.
 *
 *	struct engine_host *host = engine_host_create(&(struct vd_engine_options)VD_ENGINE_OPTIONS_INIT);
 *
 *	engine_host_load(host, "drop");
 *	engine_host_queue(host, 5);
 *	engine_host_start(host);
 *	... traffic ...
 *	engine_host_stop(host);
 *	assert_int_equal(engine_host_stats(host, 5).verdicts[VD_DROP], 100);
 *	engine_host_destroy(host);
 *
 * Queues are those of the namespace of the caller of engine_host_start(). Whatever fails fails the test, so all of it is
 * for the thread that runs the tests.
 */
#ifndef VERDICT_TEST_ENGINE_HOST_H
#define VERDICT_TEST_ENGINE_HOST_H

#include <verdict/engine.h>

#define ENGINE_HOST_QUEUES_MAX 8
#define ENGINE_HOST_LOG_SIZE 8192

struct engine_host;

/* The options' log is replaced by one that is kept. */
struct engine_host *engine_host_create(const struct vd_engine_options *options);

/* A function of the test's own; it and its strings have to live until engine_host_destroy(). */
void engine_host_add(struct engine_host *host, const struct vd_function *function, const char *arguments);

/* "mark:7" is a stock function, "test/rewrite:longer" one of test/functions. */
void engine_host_load(struct engine_host *host, const char *specification);
void engine_host_queue(struct engine_host *host, unsigned queue);

/* The same with options of its own; NULL: the engine's. */
void engine_host_queue_with(struct engine_host *host, unsigned queue, const struct vd_queue_options *options);

/* Returns when the queues are bound, and read. */
void engine_host_start(struct engine_host *host);

/* Waits until the queue's packets, at least `received` since the start, all have their answer; fails after a while. */
void engine_host_settle(struct engine_host *host, unsigned queue, uint64_t received);

/*
 * Stops it, and audits the accounts of every queue: what the kernel's ids say was offered is the sum of what became of it
 * (struct vd_queue_stats), and the functions' counts add up. Traffic has to be over.
 */
void engine_host_stop(struct engine_host *host);
void engine_host_destroy(struct engine_host *host);

/* Stops and frees all there are: for teardown functions, also after a test that failed. */
void engine_host_destroy_all(void);

/* While it runs, and after the stop. */
struct vd_queue_stats engine_host_stats(struct engine_host *host, unsigned queue);
struct vd_latency engine_host_latency(struct engine_host *host, unsigned queue, enum vd_since since);
struct vd_function_stats engine_host_function_stats(struct engine_host *host, const char *function);
uint64_t engine_host_counter(struct engine_host *host, const char *function, const char *counter);

/* What was offered to the queue, by the kernel's own numbers; after the stop. */
uint64_t engine_host_offered(const struct engine_host *host, unsigned queue);

/* What it logged, a line each; after the stop. */
const char *engine_host_log(const struct engine_host *host);

#endif
