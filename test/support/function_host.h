/* SPDX-License-Identifier: MIT */
/*
 * One verdict function out of its .so, called the way the engine does, without an engine: for tests of functions.
 *
 *	struct function_host host;
 *
 *	assert_int_equal(function_host_open(&host, "mark", "7/7", 1), 0);
 *	assert_int_equal(function_host_decide(&host, packet, 0), VD_NEXT);
 *	function_host_close(&host);
 *
 * What is wrong with the test itself (no such file, an unknown counter) aborts.
 */
#ifndef VERDICT_TEST_FUNCTION_HOST_H
#define VERDICT_TEST_FUNCTION_HOST_H

#include <verdict/function.h>

#define FUNCTION_HOST_COUNTERS_MAX 64

struct function_host {
	void *library;
	const struct vd_function *function;
	void *shared;
	void **states;
	unsigned state_count;
	uint32_t bytes; /* after open() */
	uint32_t needs;
	char error[256]; /* what open() said */
	uint64_t counters[FUNCTION_HOST_COUNTERS_MAX];
	struct vd_context context;
};

/*
 * The file of a function: "mark" is a stock one, "test/slow" one of test/functions. Built files are looked for in $VD_BUILD (a
 * directory like build/plain), or else where the running test was built. The string is static.
 */
const char *function_host_path(const char *name);

/* As function_host_path(), open: dlopen() and the symbol. `library` is for dlclose(). NULL: no such symbol. */
const struct vd_function *function_host_load(const char *name, void **library);

/*
 * Loads and opens it, with `states` states (1 for VD_SCOPE_SHARED). 0, or -errno as from the function, with host->error, and
 * nothing is left open.
 */
int function_host_open(struct function_host *host, const char *name, const char *arguments, unsigned states);
void function_host_close(struct function_host *host);

/* What the function says in state `state` (0 for VD_SCOPE_SHARED). Computes the packet's flow hash. */
enum vd_verdict function_host_decide(struct function_host *host, struct vd_packet *packet, unsigned state);

/* Up to VD_BURST_MAX packets at once. */
void function_host_decide_burst(struct function_host *host, struct vd_packet *const *packets, enum vd_verdict *verdicts,
				unsigned count, unsigned state);

/* A counter by its name. */
uint64_t function_host_counter(const struct function_host *host, const char *name);

#endif
