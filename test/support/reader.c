/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct reader_slot reader_slot;
struct vd_nfq_batch reader_batch;

void reader_bind(struct vd_nfq *nfq, uint16_t queue, uint32_t copy_range, uint32_t flags)
{
	struct vd_nfq_settings settings = {.queue = queue, .maxlen = 1000, .copy_range = copy_range, .flags = flags};
	uint32_t granted = UINT32_MAX;

	assert_int_equal(vd_nfq_open(nfq, NULL), 0);
	assert_int_equal(vd_nfq_bind(nfq, &settings, &granted), 0);
	assert_int_equal(granted, flags);
}

enum vd_nfq_kind reader_read(struct vd_nfq *nfq, struct reader_slot *into, unsigned timeout_ms)
{
	struct pollfd wanted = {.fd = nfq->descriptor, .events = POLLIN};
	ssize_t received;
	enum vd_nfq_kind kind;

	if (poll(&wanted, 1, (int)timeout_ms) < 1)
		return VD_NFQ_NOTHING;
	received = recv(nfq->descriptor, into->room, sizeof into->room, MSG_DONTWAIT);
	assert_true(received >= 0);
	kind = vd_nfq_read_message(&into->packet, into->room, (uint32_t)received, sizeof into->room, false, &into->error);
	if (kind == VD_NFQ_PACKET)
		vd_packet_parse(&into->packet, vd_packet_data(&into->packet));
	return kind;
}

struct vd_packet *reader_expect_packet(struct vd_nfq *nfq)
{
	assert_int_equal(reader_read(nfq, &reader_slot, 1000 * traffic_patience()), VD_NFQ_PACKET);
	return &reader_slot.packet;
}

void reader_expect_error(struct vd_nfq *nfq, int code, uint32_t id)
{
	assert_int_equal(reader_read(nfq, &reader_slot, 1000 * traffic_patience()), VD_NFQ_ERROR);
	assert_int_equal(reader_slot.error.code, code);
	assert_true(reader_slot.error.is_verdict);
	assert_int_equal(reader_slot.error.id, id);
}

void reader_expect_silence(struct vd_nfq *nfq)
{
	assert_int_equal(reader_read(nfq, &reader_slot, 0), VD_NFQ_NOTHING);
	assert_int_equal(recv(nfq->descriptor, reader_slot.room, sizeof reader_slot.room, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

void reader_answer(struct vd_nfq *nfq, uint16_t queue, uint32_t id, enum vd_verdict verdict)
{
	struct vd_packet packet = {.id = id, .queue = queue, .verdict = (uint8_t)verdict};

	vd_nfq_batch_reset(&reader_batch);
	assert_true(vd_nfq_batch_add(&reader_batch, &packet));
	assert_int_equal(vd_nfq_batch_send(nfq, &reader_batch), 0);
}

void reader_answer_range(struct vd_nfq *nfq, uint32_t last, uint32_t count, enum vd_verdict verdict)
{
	struct vd_packet packet = {.id = last, .queue = READER_QUEUE, .verdict = (uint8_t)verdict};

	vd_nfq_batch_reset(&reader_batch);
	assert_true(vd_nfq_batch_add_range(&reader_batch, &packet, count));
	assert_int_equal(vd_nfq_batch_send(nfq, &reader_batch), 0);
}

struct vd_nfq_status reader_status(struct vd_nfq *nfq)
{
	struct vd_nfq_status status;

	assert_int_equal(vd_nfq_status_of(nfq->status_descriptor, nfq->queue, &status), 0);
	return status;
}

void reader_queue_output(unsigned queue)
{
	vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %d -m comment --comment queued -j NFQUEUE --queue-num %u", READER_PORT,
		       queue);
}

void reader_send_text(int sender, const char *text)
{
	assert_int_equal(traffic_send(sender, VD_NET_FAR_V4, READER_PORT, text, strlen(text)), 0);
}

void reader_expect_text(int receiver, const char *text)
{
	char got[256] = "";

	assert_int_equal(traffic_receive(receiver, got, sizeof got - 1, 1000 * traffic_patience()), strlen(text));
	assert_string_equal(got, text);
}

void reader_expect_nothing(int receiver)
{
	char got[1];

	/* an accepted packet has nearly always arrived before the send of its verdict returns */
	assert_int_equal(traffic_receive(receiver, got, sizeof got, 20), -ETIMEDOUT);
}
