/* SPDX-License-Identifier: MIT */
/*
 * An engine with a function that writes down what it is shown of each packet, and has no opinion.
 *
 *	struct engine_host *host = witness_start(1, VD_WHOLE, 0);
 *	... traffic ...
 *	witness_finish(host, 3, 0);
 *	assert_int_equal(witness_count(), 3);
 *	assert_int_equal(witness_at(0)->protocol, IPPROTO_UDP);
 *
 * One at a time. The notes can be read when it has ended. All of it is for the thread that runs the tests.
 */
#ifndef VERDICT_TEST_WITNESS_H
#define VERDICT_TEST_WITNESS_H

#include "test/support/engine_host.h"
#include "test/support/net.h"

#define WITNESS_QUEUE 8
#define WITNESS_MAX 8192u
#define WITNESS_HEAD 192u

struct witnessed {
	uint32_t flow_hash;
	uint32_t shard; /* whose state it met */
	uint32_t length, wire_length, original_length;
	uint32_t indev, outdev;
	uint32_t network_length, transport_offset; /* 0: there is none */
	uint32_t payload_offset, payload_length;   /* 0: there is none */
	uint64_t payload_digest;		   /* witness_digest() */
	uint32_t fragment_offset;
	uint16_t queue, ethertype, source_port, destination_port;
	uint8_t family, version, protocol, hook, tcp_flags;
	bool is_malformed, is_fragment, is_later_fragment, is_truncated;
	bool has_source, has_destination;
	uint8_t source[16], destination[16];
	uint8_t head[WITNESS_HEAD]; /* its first bytes; zeros behind its end */
	const char *fault;	    /* what its accessors contradict each other in; NULL: nothing */
};

/* A rule in both families: what comes from either end is queued (but not what IPv6 says by itself). In the caller's namespace. */
void witness_queue_chain(const char *table, const char *chain);

/* An engine in the caller's namespace; `bytes` is the need of its function. */
struct engine_host *witness_start(unsigned workers, uint32_t bytes, uint32_t copy_range);

/*
 * When `received` packets or more have come: ends and frees it. All were accepted, none was lost, so many are malformed, and
 * the accessors never contradicted each other.
 */
void witness_finish(struct engine_host *host, uint64_t received, uint64_t malformed);

/* How many packets it was shown; each of them, in the order in which a shard got them. */
unsigned witness_count(void);
const struct witnessed *witness_at(unsigned index);

uint64_t witness_digest(const void *data, size_t length);

/* ---- what is expected of a packet; a test that is wrong there fails ---- */

/* It is of that family, and goes from near to far (forth), or back. */
void witness_expect_ends(const struct witnessed *seen, const struct vd_net_family *family, bool forth);

/* It was whole: `length` bytes, with the transport header at `transport` and what that carries at `payload`. */
void witness_expect_whole(const struct witnessed *seen, unsigned protocol, uint32_t transport, uint32_t payload, uint32_t length);
void witness_expect_ports(const struct witnessed *seen, unsigned source, unsigned destination);

#endif
