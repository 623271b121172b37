/* SPDX-License-Identifier: MIT */
/*
 * A datagram through libipq's translation, received as ipq_read() does it: in two pieces, into a buffer that ends where its
 * block ends. Both pieces and what nothing may touch are filled with bytes that do not belong to the message.
 */
#ifndef VERDICT_TEST_IPQ_DELIVER_H
#define VERDICT_TEST_IPQ_DELIVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ipq/ipq.h"

#define IPQ_DELIVER_STALE 0xa5
#define IPQ_DELIVER_GUARD 64u

struct ipq_delivered {
	enum ipq_kind kind;
	size_t length;	 /* as the library says */
	uint32_t id;
	size_t size;
	uint8_t *buffer; /* of the program */
	uint8_t *block;
};

static inline size_t ipq_deliver_min(size_t one, size_t other)
{
	return one < other ? one : other;
}

static inline void ipq_deliver_check(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != IPQ_DELIVER_STALE) {
			fprintf(stderr, "ipq_translate() wrote outside of the buffer\n");
			abort();
		}
}

/*
 * The first `received` of the datagram's bytes, into a buffer of `size` bytes whose address is `shift` (0 to 7) from an aligned
 * one. Free it with ipq_deliver_free().
 */
static inline struct ipq_delivered ipq_deliver(struct ipq_full_handle *handle, const void *datagram, size_t received, size_t size,
					       unsigned shift)
{
	struct ipq_incoming *incoming = malloc(sizeof *incoming);
	const size_t first = ipq_deliver_min(received, sizeof incoming->beginning);
	struct ipq_delivered delivered = {.size = size, .length = SIZE_MAX};

	/* AddressSanitizer watches the end itself; so it does in the fuzzer, which clang builds */
#if defined __SANITIZE_ADDRESS__ || defined __clang__
	const size_t behind = 0;
#else
	const size_t behind = IPQ_DELIVER_GUARD;
#endif
	delivered.block = malloc(IPQ_DELIVER_GUARD + shift + size + behind);
	if (!incoming || !delivered.block)
		abort();
	memset(incoming, 0xee, sizeof *incoming);
	memset(delivered.block, IPQ_DELIVER_STALE, IPQ_DELIVER_GUARD + shift + size + behind);
	delivered.buffer = delivered.block + IPQ_DELIVER_GUARD + shift;
	if (first)
		memcpy(incoming->beginning, datagram, first);
	if (received > first && size > IPQ_REST_OFFSET)
		memcpy(delivered.buffer + IPQ_REST_OFFSET, (const uint8_t *)datagram + first,
		       ipq_deliver_min(received - first, size - IPQ_REST_OFFSET));
	delivered.kind = ipq_translate(handle, incoming, received, delivered.buffer, size, &delivered.length);
	delivered.id = incoming->packet.id;
	ipq_deliver_check(delivered.block, IPQ_DELIVER_GUARD + shift);
	ipq_deliver_check(delivered.buffer + size, behind);
	free(incoming);
	return delivered;
}

static inline void ipq_deliver_free(struct ipq_delivered *delivered)
{
	free(delivered->block);
}

#endif
