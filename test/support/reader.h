/* SPDX-License-Identifier: MIT */
/*
 * A test that is the only reader of a queue, by lib/nfq alone: datagrams of near's OUTPUT come to it, and it says what the kernel is
 * told. Whatever fails fails the test, so all of it is for the thread that runs the tests.
 */
#ifndef VERDICT_TEST_READER_H
#define VERDICT_TEST_READER_H

#include <stdbool.h>

#include "lib/nfq/nfq.h"
#include "lib/packet/packet.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define READER_QUEUE 5
#define READER_PORT 7000

/* as in <linux/netfilter/nfnetlink_queue.h>, which does not go with the C library's headers */
#define READER_FAIL_OPEN 1u
#define READER_CONNTRACK 2u
#define READER_GSO 4u
#define READER_UID_GID 8u
#define READER_SECCTX 16u

/* Where a message is received into: the packet, then the datagram. */
struct reader_slot {
	_Alignas(8) struct vd_packet packet;
	_Alignas(8) uint8_t room[VD_NFQ_MESSAGE_ROOM + 65536];
	struct vd_nfq_error error;
};

/* The last message that was read, and what is sent. */
extern struct reader_slot reader_slot;
extern struct vd_nfq_batch reader_batch;

/* All of the flags have to be granted. */
void reader_bind(struct vd_nfq *nfq, uint16_t queue, uint32_t copy_range, uint32_t flags);

/* The next message; VD_NFQ_NOTHING also when none comes in time. */
enum vd_nfq_kind reader_read(struct vd_nfq *nfq, struct reader_slot *into, unsigned timeout_ms);

/* That is the next message, and lies in reader_slot. */
struct vd_packet *reader_expect_packet(struct vd_nfq *nfq);
void reader_expect_error(struct vd_nfq *nfq, int code, uint32_t id);
void reader_expect_silence(struct vd_nfq *nfq);

/* A verdict about `id`, with nothing else; or about `count` up to the last one. */
void reader_answer(struct vd_nfq *nfq, uint16_t queue, uint32_t id, enum vd_verdict verdict);
void reader_answer_range(struct vd_nfq *nfq, uint32_t last, uint32_t count, enum vd_verdict verdict);

struct vd_nfq_status reader_status(struct vd_nfq *nfq);

/* A rule in near that queues datagrams to READER_PORT. */
void reader_queue_output(unsigned queue);

/* A datagram from near, and whether it comes out at far. */
void reader_send_text(int sender, const char *text);
void reader_expect_text(int receiver, const char *text);
void reader_expect_nothing(int receiver);

#endif
