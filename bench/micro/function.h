/* SPDX-License-Identifier: MIT */
/*
 * engine/chain.c for a C++ program: chains of functions that do nothing but are called.
 */
#ifndef VERDICT_BENCH_FUNCTION_H
#define VERDICT_BENCH_FUNCTION_H

#include <stdbool.h>
#include <stdint.h>

#include <verdict/function.h>

#ifdef __cplusplus
extern "C" {
#endif

struct call_shape {
	unsigned functions; /* in the chain; each leaves every packet to the next */
	bool is_burst;	    /* decide_burst() */
	enum vd_scope scope;
	unsigned shards; /* among which the packets of a burst are dealt in turn: 1 is a lone worker's */
};

/* One at a time. False: the chain could not be opened. */
bool call_open(const struct call_shape *shape);
void call_close(void);

/* A burst of so many packets, 1 to VD_BURST_MAX, through the chain. */
void call_decide(unsigned count);

/* Whether every function has been called for so many packets, and each of the last `count` has its verdict. */
bool call_has_decided(uint64_t packets, unsigned count);

#ifdef __cplusplus
}
#endif

#endif
