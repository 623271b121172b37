/* SPDX-License-Identifier: MIT */
/*
 * The scene of the tests about verdicts: datagrams go from near to far through a queue in near's OUTPUT, with a running engine
 * behind it, and both sides are counted.
 */
#ifndef VERDICT_TEST_SCENE_H
#define VERDICT_TEST_SCENE_H

#include "test/support/engine_host.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define SCENE_QUEUE 5
#define SCENE_PORT 7000
#define SCENE_FLOWS 16u
#define SCENE_ROUNDS 40u
#define SCENE_PACKETS (SCENE_FLOWS * SCENE_ROUNDS)

extern struct vd_net scene_net;

/* Threads that most tests are run with. */
struct scene_shape {
	unsigned workers, writers;
};
#define SCENE_SHAPE_COUNT 5
extern const struct scene_shape SCENE_SHAPES[SCENE_SHAPE_COUNT];

struct vd_engine_options scene_options(const struct scene_shape *shape);

/* near and far, and datagrams of near queued behind `match` in that table's OUTPUT. */
void scene_set_up(const char *table, const char *match);

/* For cmocka. */
int scene_tear_down(void **state);

/* A rule behind the queue that counts what comes by, and what it says. */
void scene_count_behind(const char *table, const char *chain, const char *match, const char *comment);
uint64_t scene_counted(const char *table, const char *comment);

/* An engine that reads the queue with this function; NULL: none. */
struct engine_host *scene_start(const struct vd_engine_options *options, const char *function);

/* Sends SCENE_PACKETS through a running engine, and stops it when all have their verdict; what arrived. */
struct traffic_tally scene_send_through(struct engine_host *host, uint64_t expected);

/* The verdict that all of SCENE_PACKETS got. */
void scene_expect_all(struct engine_host *host, enum vd_verdict verdict);

#endif
