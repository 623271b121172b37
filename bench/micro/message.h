/* SPDX-License-Identifier: MIT */
/*
 * Messages from and to the kernel for a C++ program: ours (lib/nfq), and libnetfilter_queue's, on the same bytes.
 */
#ifndef VERDICT_BENCH_MESSAGE_H
#define VERDICT_BENCH_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <verdict/packet.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MESSAGE_BATCH_MAX 64u
#define MESSAGE_PAYLOAD_MAX 1400u
/* A message, and room. */
#define MESSAGE_ROOM 1856u
/* A send: all verdicts of a batch, with their packets' data. */
#define MESSAGE_SEND_MAX (MESSAGE_BATCH_MAX * (64 + MESSAGE_PAYLOAD_MAX))

struct message_kind {
	const char *name;

	/* Reads a message of so many bytes into the packet's members. False: it is no packet. */
	bool (*parse)(struct vd_packet *packet, uint8_t *message, uint32_t received);

	/* Builds the verdicts of decided packets in a place of its own; a changed mark and changed data go with them. */
	void (*build)(struct vd_packet *const *packets, unsigned count);

	/* Copies what was built last as it would be sent; returns how many bytes, up to MESSAGE_SEND_MAX. */
	uint32_t (*copy)(uint8_t *bytes);
};

/* Up to one without a name. */
extern const struct message_kind message_kinds[];

/*
 * Writes what the kernel sends for a forwarded IPv4 packet with a mark: headers and attributes in its order, `payload` bytes
 * behind them. Returns the length.
 */
uint32_t message_write(uint8_t *message, uint32_t id, uint32_t payload);

#ifdef __cplusplus
}
#endif

#endif
