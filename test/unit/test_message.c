/* SPDX-License-Identifier: MIT */
/*
 * lib/nfq/message.c: packets and errors as the kernel sends them, cut, lying and in pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "test/support/bytes.h"

#define QUEUE 300
#define ID 0x80000001u
#define HEADERS 20u	 /* nlmsghdr, nfgenmsg */
#define PACKET_HDR_END (HEADERS + 4 + 7)
#define SPARE 64u

static struct bytes bytes;
static enum vd_nfq_kind kind;
static struct vd_nfq_error error;

static struct nlmsghdr *begin(void)
{
	return bytes_begin_message(&bytes, QUEUE, ID, 0x0800, 3);
}

static void put_be32(struct nlmsghdr *netlink, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(netlink, type, htonl(value));
}

static void put_header_attributes(struct nlmsghdr *netlink)
{
	put_be32(netlink, NFQA_IFINDEX_INDEV, 2);
	put_be32(netlink, NFQA_IFINDEX_OUTDEV, 3);
	put_be32(netlink, NFQA_MARK, 0xcafe);
	put_be32(netlink, NFQA_SKB_INFO, VD_SKB_GSO | VD_SKB_CHECKSUM_NOT_READY);
	put_be32(netlink, NFQA_PRIORITY, 0x10001);
}

static struct vd_packet *read_all(void)
{
	struct vd_packet *packet = bytes_read(bytes.data, bytes.used, SPARE, false, &kind, &error);

	if (kind == VD_NFQ_PACKET)
		assert_null(bytes_accessor_fault(packet));
	return packet;
}

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 7 + 1);
}

static const uint8_t *data(uint32_t length)
{
	static uint8_t bytes_of_data[65536];

	assert_true(length <= sizeof bytes_of_data);
	for (uint32_t i = 0; i < length; i++)
		bytes_of_data[i] = pattern(i);
	return bytes_of_data;
}

static void everything_that_a_packet_needs_is_read(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_header_attributes(begin());
	bytes_end_message(&bytes, data(50), 50);
	packet = read_all();
	assert_int_equal(kind, VD_NFQ_PACKET);
	assert_int_equal(vd_packet_queue(packet), QUEUE);
	assert_int_equal(vd_packet_id(packet), ID);
	assert_int_equal(vd_packet_hook(packet), 3);
	assert_int_equal(vd_packet_ethertype(packet), 0x0800);
	assert_int_equal(packet->family, AF_INET);
	assert_int_equal(vd_packet_mark(packet), 0xcafe);
	assert_int_equal(vd_packet_priority(packet), 0x10001);
	assert_int_equal(vd_packet_indev(packet), 2);
	assert_int_equal(vd_packet_outdev(packet), 3);
	assert_true(vd_packet_is_gso(packet));
	assert_true(vd_packet_checksum_not_ready(packet));
	assert_int_equal(packet->changed, 0);
	assert_int_equal(packet->reject, VD_REJECT_CLOSED); /* what a function said of the packet that was here before */
	assert_int_equal(packet->reject_code, 0);
	assert_int_equal(packet->verdict, 0);
	assert_int_equal(vd_packet_length(packet), 50);
	assert_int_equal(vd_packet_wire_length(packet), 50);
	assert_int_equal(packet->original_length, 50);
	assert_int_equal(packet->room, 50 + SPARE);
	assert_memory_equal(vd_packet_data(packet), data(50), 50);
	free(packet);
}

static void what_the_kernel_left_out_is_0(void **state)
{
	struct vd_packet *packet;

	(void)state;
	begin();
	bytes_end_message(&bytes, data(50), 50);
	packet = read_all(); /* in memory that held something else before */
	assert_int_equal(kind, VD_NFQ_PACKET);
	assert_int_equal(vd_packet_mark(packet), 0);
	assert_int_equal(vd_packet_priority(packet), 0);
	assert_int_equal(vd_packet_indev(packet), 0);
	assert_int_equal(vd_packet_outdev(packet), 0);
	assert_int_equal(packet->skb_info, 0);
	assert_int_equal(packet->link_length, 0);
	free(packet);
}

static void family_queue_and_hook_are_passed_on(void **state)
{
	const uint8_t families[] = {AF_UNSPEC, AF_INET, AF_INET6, AF_BRIDGE, 255};

	(void)state;
	for (size_t i = 0; i < sizeof families; i++) {
		struct nlmsghdr *netlink = bytes_begin_message(&bytes, (uint16_t)(65535 - i), (uint32_t)i, 0x88b5, (uint8_t)i);
		struct vd_packet *packet;

		((struct nfgenmsg *)mnl_nlmsg_get_payload(netlink))->nfgen_family = families[i];
		bytes_end_message(&bytes, data(1), 1);
		packet = read_all();
		assert_int_equal(kind, VD_NFQ_PACKET);
		assert_int_equal(packet->family, families[i]);
		assert_int_equal(vd_packet_queue(packet), 65535 - i);
		assert_int_equal(vd_packet_id(packet), i);
		assert_int_equal(vd_packet_hook(packet), i);
		assert_int_equal(vd_packet_ethertype(packet), 0x88b5);
		free(packet);
	}
}

static void a_packet_on_a_bridge_is_known_by_its_ports(void **state)
{
	const uint16_t types[] = {NFQA_IFINDEX_INDEV, NFQA_IFINDEX_PHYSINDEV, NFQA_IFINDEX_PHYSOUTDEV};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct vd_packet *packet;

		put_be32(begin(), types[i], 5);
		bytes_end_message(&bytes, data(20), 20);
		packet = read_all();
		assert_int_equal(packet->has_bridge_ports, i > 0);
		free(packet);
	}
}

/* NFQA_PAYLOAD is not padded: the datagram ends with it. */
static void a_payload_of_any_length_is_whole(void **state)
{
	(void)state;
	for (uint32_t length = 0; length <= 70; length++) {
		struct vd_packet *packet;

		begin();
		bytes_end_message(&bytes, data(length), length);
		packet = bytes_read(bytes.data, bytes.used, 0, false, &kind, &error);
		assert_int_equal(kind, VD_NFQ_PACKET);
		assert_int_equal(vd_packet_length(packet), length);
		assert_int_equal(vd_packet_wire_length(packet), length);
		assert_memory_equal(vd_packet_data(packet), data(length), length);
		assert_null(bytes_accessor_fault(packet));
		free(packet);
	}
}

static void the_largest_payload_is_whole(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_be32(begin(), NFQA_CAP_LEN, 200000);
	bytes_end_message(&bytes, data(VD_NFQ_COPY_RANGE_MAX), VD_NFQ_COPY_RANGE_MAX);
	packet = read_all();
	assert_int_equal(vd_packet_length(packet), VD_NFQ_COPY_RANGE_MAX);
	assert_int_equal(vd_packet_wire_length(packet), 200000);
	assert_memory_equal(vd_packet_data(packet), data(VD_NFQ_COPY_RANGE_MAX), VD_NFQ_COPY_RANGE_MAX);
	free(packet);
}

/* What grew into all of the room must still fit an attribute of a verdict, whose length has 16 bits. */
static void room_never_exceeds_what_a_verdict_can_carry(void **state)
{
	struct vd_packet *packet;

	(void)state;
	begin();
	bytes_end_message(&bytes, data(65500), 65500);
	packet = bytes_read(bytes.data, bytes.used, 1000, false, &kind, &error);
	assert_int_equal(kind, VD_NFQ_PACKET);
	assert_in_range(packet->room, 65500, VD_NFQ_COPY_RANGE_MAX);
	free(packet);
}

static void cap_len_is_the_length_on_the_wire(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_be32(begin(), NFQA_CAP_LEN, 1500);
	bytes_end_message(&bytes, data(128), 128);
	packet = read_all();
	assert_int_equal(vd_packet_length(packet), 128);
	assert_int_equal(vd_packet_wire_length(packet), 1500);
	assert_true(vd_packet_is_truncated(packet));
	free(packet);
}

static void a_wire_length_below_what_was_copied_is_a_lie(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_be32(begin(), NFQA_CAP_LEN, 10);
	bytes_end_message(&bytes, data(128), 128);
	packet = read_all();
	assert_int_equal(vd_packet_length(packet), 128);
	assert_int_equal(vd_packet_wire_length(packet), 128);
	free(packet);
}

static void a_packet_without_payload_is_a_packet(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_header_attributes(begin());
	bytes_end_message(&bytes, NULL, 0);
	packet = read_all();
	assert_int_equal(kind, VD_NFQ_PACKET);
	assert_int_equal(vd_packet_id(packet), ID);
	assert_int_equal(vd_packet_mark(packet), 0xcafe);
	assert_int_equal(vd_packet_length(packet), 0);
	free(packet);
}

static void unknown_attributes_are_skipped(void **state)
{
	struct nlmsghdr *netlink = begin();
	struct vd_packet *packet;

	(void)state;
	for (uint16_t length = 0; length < 9; length++)
		mnl_attr_put(netlink, 40 + length, length, "whatever");
	put_header_attributes(netlink);
	mnl_attr_put(netlink, 0x3fff, 5, "12345");
	bytes_end_message(&bytes, data(33), 33);
	packet = read_all();
	assert_int_equal(kind, VD_NFQ_PACKET);
	assert_int_equal(vd_packet_mark(packet), 0xcafe);
	assert_int_equal(vd_packet_priority(packet), 0x10001);
	assert_int_equal(vd_packet_length(packet), 33);
	assert_memory_equal(vd_packet_data(packet), data(33), 33);
	free(packet);
}

static void type_flags_do_not_hide_an_attribute(void **state)
{
	struct nlmsghdr *netlink = begin();
	struct vd_packet *packet;

	(void)state;
	put_be32(netlink, NFQA_MARK | NLA_F_NET_BYTEORDER, 0xcafe);
	bytes_end_message(&bytes, data(1), 1);
	packet = read_all();
	assert_int_equal(vd_packet_mark(packet), 0xcafe);
	free(packet);
}

/* Without an id there is nothing to give a verdict on. */
static void a_message_without_an_id_is_nothing(void **state)
{
	struct nlmsghdr *netlink = begin();

	(void)state;
	netlink->nlmsg_len = HEADERS;
	bytes_end_message(&bytes, data(40), 40);
	free(read_all());
	assert_int_equal(kind, VD_NFQ_NOTHING);
}

static void a_packet_header_too_short_for_an_id_is_nothing(void **state)
{
	(void)state;
	for (uint16_t length = 0; length < 7; length++) {
		struct nlmsghdr *netlink = begin();

		netlink->nlmsg_len = HEADERS;
		mnl_attr_put(netlink, NFQA_PACKET_HDR, length, "\0\0\0\1\10\0\0");
		bytes_end_message(&bytes, data(40), 40);
		free(read_all());
		assert_int_equal(kind, VD_NFQ_NOTHING);
	}
}

static void header_attributes_that_are_too_short_are_ignored(void **state)
{
	const uint16_t types[] = {NFQA_MARK, NFQA_IFINDEX_INDEV, NFQA_IFINDEX_OUTDEV, NFQA_CAP_LEN, NFQA_SKB_INFO, NFQA_PRIORITY};
	struct vd_packet *packet;

	(void)state;
	for (uint16_t length = 0; length < 4; length++) {
		struct nlmsghdr *netlink = begin();

		for (size_t i = 0; i < sizeof types / sizeof *types; i++)
			mnl_attr_put(netlink, types[i], length, "\xff\xff\xff");
		bytes_end_message(&bytes, data(9), 9);
		packet = read_all();
		assert_int_equal(kind, VD_NFQ_PACKET);
		assert_int_equal(vd_packet_mark(packet) | vd_packet_indev(packet) | vd_packet_outdev(packet) |
				 packet->skb_info | vd_packet_priority(packet), 0);
		assert_int_equal(vd_packet_wire_length(packet), 9);
		free(packet);
	}
}

/* From the lie on nothing is believed; the id, which came before it, is. */
static void an_attribute_with_a_lying_length_ends_the_message(void **state)
{
	const uint16_t lies[] = {0, 1, 2, 3, 200, 1000, 65535};

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		struct nlmsghdr *netlink = begin();
		struct nlattr *liar = mnl_nlmsg_get_payload_tail(netlink);
		struct vd_packet *packet;

		put_be32(netlink, NFQA_IFINDEX_INDEV, 2);
		put_be32(netlink, NFQA_MARK, 0xcafe);
		liar->nla_len = lies[i];
		bytes_end_message(&bytes, data(40), 40);
		packet = bytes_read(bytes.data, bytes.used, 0, false, &kind, &error);
		assert_int_equal(kind, VD_NFQ_PACKET);
		assert_int_equal(vd_packet_id(packet), ID);
		assert_int_equal(vd_packet_indev(packet), 0);
		assert_int_equal(vd_packet_mark(packet), 0);
		assert_int_equal(vd_packet_length(packet), 0);
		assert_null(bytes_accessor_fault(packet));
		free(packet);
	}
}

static void a_payload_with_a_lying_length_stays_inside(void **state)
{
	(void)state;
	for (uint32_t lie = 0; lie < 65536; lie += lie < 300 ? 1 : 251) {
		uint16_t length = (uint16_t)lie;
		struct vd_packet *packet;

		begin();
		bytes_end_message(&bytes, data(40), 40);
		memcpy(bytes.data + bytes.used - 44, &length, 2);
		packet = bytes_read(bytes.data, bytes.used, 0, false, &kind, &error);
		assert_int_equal(kind, VD_NFQ_PACKET);
		assert_true(vd_packet_length(packet) <= 40);
		assert_true(vd_packet_length(packet) <= packet->room);
		if (lie >= 4 && lie <= 44)
			assert_int_equal(vd_packet_length(packet), lie - 4);
		assert_null(bytes_accessor_fault(packet));
		free(packet);
	}
}

/* A buffer that was too small: at every byte, in a block that ends there. */
static void a_cut_datagram_keeps_what_is_there(void **state)
{
	struct nlmsghdr *netlink = begin();
	uint32_t mark_end, payload_at, full;

	(void)state;
	put_be32(netlink, NFQA_MARK, 0xcafe);
	mark_end = netlink->nlmsg_len;
	put_be32(netlink, NFQA_CAP_LEN, 4000);
	put_header_attributes(netlink);
	payload_at = netlink->nlmsg_len + 4;
	bytes_end_message(&bytes, data(301), 301);
	full = bytes.used;
	for (uint32_t received = 0; received <= full; received++) {
		struct vd_packet *packet = bytes_read(bytes.data, received, 0, received < full, &kind, &error);

		if (received < PACKET_HDR_END) {
			assert_int_equal(kind, VD_NFQ_NOTHING);
		} else {
			assert_int_equal(kind, VD_NFQ_PACKET);
			assert_int_equal(vd_packet_id(packet), ID);
			assert_int_equal(vd_packet_queue(packet), QUEUE);
			assert_int_equal(vd_packet_mark(packet), received >= mark_end ? 0xcafe : 0);
			assert_int_equal(vd_packet_length(packet), received > payload_at ? received - payload_at : 0);
			assert_memory_equal(vd_packet_data(packet), data(301), vd_packet_length(packet));
			if (received >= payload_at)
				assert_int_equal(vd_packet_wire_length(packet), 4000);
			assert_true(vd_packet_length(packet) <= packet->room || !packet->room);
			assert_null(bytes_accessor_fault(packet));
		}
		free(packet);
	}
}

/* Without a CAP_LEN the payload's own length says how much there was. */
static void a_cut_payload_is_truncated(void **state)
{
	(void)state;
	for (uint32_t missing = 1; missing <= 40; missing++) {
		struct vd_packet *packet;

		begin();
		bytes_end_message(&bytes, data(40), 40);
		packet = bytes_read(bytes.data, bytes.used - missing, 0, true, &kind, &error);
		assert_int_equal(kind, VD_NFQ_PACKET);
		assert_int_equal(vd_packet_length(packet), 40 - missing);
		assert_int_equal(vd_packet_wire_length(packet), 40);
		assert_true(vd_packet_is_truncated(packet));
		free(packet);
	}
}

static void a_message_longer_than_its_datagram_is_nothing(void **state)
{
	(void)state;
	put_header_attributes(begin());
	bytes_end_message(&bytes, data(40), 40);
	for (uint32_t received = 0; received < bytes.used; received++) {
		free(bytes_read(bytes.data, received, 0, false, &kind, &error));
		assert_int_equal(kind, VD_NFQ_NOTHING);
	}
}

/* What the message does not claim is not read: at every length that it may claim. */
static void a_message_shorter_than_its_datagram_ends_where_it_says(void **state)
{
	(void)state;
	for (uint32_t claimed = 0; claimed <= 120; claimed++) {
		struct nlmsghdr *netlink = begin();
		struct vd_packet *packet;
		uint32_t full;

		put_be32(netlink, NFQA_MARK, 0xcafe);
		bytes_end_message(&bytes, data(40), 40);
		full = bytes.used;
		netlink->nlmsg_len = claimed;
		packet = bytes_read(bytes.data, full, 0, false, &kind, &error);
		assert_int_equal(kind, claimed >= PACKET_HDR_END && claimed <= full ? VD_NFQ_PACKET : VD_NFQ_NOTHING);
		if (kind == VD_NFQ_PACKET) {
			assert_int_equal(vd_packet_length(packet), claimed + 40 > full ? claimed + 40 - full : 0);
			assert_int_equal(vd_packet_mark(packet), claimed >= full - 44 ? 0xcafe : 0);
			assert_null(bytes_accessor_fault(packet));
		}
		free(packet);
	}
}

static void other_messages_are_nothing(void **state)
{
	const uint16_t types[] = {NLMSG_NOOP, NLMSG_DONE, NLMSG_OVERRUN, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
				  NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG, NFNL_SUBSYS_ULOG << 8, 0xffff};

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		struct nlmsghdr *netlink = begin();

		netlink->nlmsg_type = types[i];
		bytes_end_message(&bytes, data(40), 40);
		free(read_all());
		assert_int_equal(kind, VD_NFQ_NOTHING);
	}
}

/* ---- errors ---- */

/* As netlink_ack() does: the errno, then the refused message, whole or (NETLINK_CAP_ACK) its header only. */
static void put_error(int code, const void *refused, uint32_t length)
{
	struct nlmsghdr netlink = {.nlmsg_len = sizeof netlink + 4 + length, .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 5};

	bytes_reset(&bytes);
	bytes_put(&bytes, &netlink, sizeof netlink);
	bytes_put(&bytes, &code, 4);
	bytes_put(&bytes, refused, length);
}

/* One verdict, or (count above 1) one for a range of packets, as verdict.c builds it. */
static const struct vd_nfq_batch *batch_of(uint32_t count, uint32_t id, enum vd_verdict verdict)
{
	static struct vd_nfq_batch batch;
	struct vd_packet packet = {.queue = QUEUE, .id = id, .verdict = (uint8_t)verdict};

	vd_nfq_batch_reset(&batch);
	if (count > 1)
		assert_true(vd_nfq_batch_add_range(&batch, &packet, count));
	else
		assert_true(vd_nfq_batch_add(&batch, &packet));
	return &batch;
}

static void a_refused_verdict_is_named(void **state)
{
	const int codes[] = {ENOENT, ENODEV, EPERM, EINVAL};
	const enum vd_verdict verdicts[] = {VD_ACCEPT, VD_DROP, VD_REPEAT, VD_STOP, VD_QUEUE};

	(void)state;
	for (uint32_t i = 0; i < 4 * 5 * 2; i++) {
		const uint32_t count = i & 1 ? 1 + i : 1;
		const struct vd_nfq_batch *batch = batch_of(count, ID + i, verdicts[i % 5]);

		put_error(-codes[i % 4], batch->buffer, batch->used);
		free(read_all());
		assert_int_equal(kind, VD_NFQ_ERROR);
		assert_int_equal(error.code, codes[i % 4]);
		assert_true(error.is_verdict);
		assert_int_equal(error.count, count);
		assert_int_equal(error.id, ID + i);
		assert_int_equal(vd_nfq_verdict(error.netfilter_verdict), verdicts[i % 5]);
	}
}

static void a_refused_run_says_what_belongs_together(void **state)
{
	static struct vd_nfq_batch batch;
	struct vd_packet first = {.queue = QUEUE, .id = ID, .verdict = VD_ACCEPT}, last = first;

	(void)state;
	last.id = ID + 40;
	vd_nfq_batch_reset(&batch);
	assert_true(vd_nfq_batch_add_run(&batch, &first, &last, 33));

	put_error(-ENOENT, batch.buffer, batch.used / 2);
	free(read_all());
	assert_int_equal(kind, VD_NFQ_ERROR);
	assert_int_equal(error.id, ID);
	assert_int_equal(error.count, 1);
	assert_int_equal(error.rest, 32);
	assert_int_equal(error.behind, 0);

	put_error(-ENOENT, batch.buffer + batch.used / 2, batch.used / 2);
	free(read_all());
	assert_int_equal(kind, VD_NFQ_ERROR);
	assert_int_equal(error.id, ID + 40);
	assert_int_equal(error.count, 32);
	assert_int_equal(error.rest, 0);
	assert_int_equal(error.behind, 40);
}

/* A capped error has only the header: its sequence number is the id. */
static void a_refused_verdict_without_its_body_still_has_its_id(void **state)
{
	const struct vd_nfq_batch *batch = batch_of(1, ID, VD_ACCEPT);

	(void)state;
	put_error(-ENOENT, batch->buffer, sizeof(struct nlmsghdr));
	free(read_all());
	assert_int_equal(kind, VD_NFQ_ERROR);
	assert_int_equal(error.code, ENOENT);
	assert_true(error.is_verdict);
	assert_int_equal(error.id, ID);
}

static void a_refused_configuration_is_no_verdict(void **state)
{
	struct nlmsghdr *netlink;
	uint8_t refused[64];

	(void)state;
	netlink = begin();
	netlink->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG;
	memcpy(refused, netlink, 31);
	put_error(-EOPNOTSUPP, refused, 31);
	free(read_all());
	assert_int_equal(kind, VD_NFQ_ERROR);
	assert_int_equal(error.code, EOPNOTSUPP);
	assert_false(error.is_verdict);
}

static void an_acknowledgement_is_nothing(void **state)
{
	const struct vd_nfq_batch *batch = batch_of(1, ID, VD_ACCEPT);

	(void)state;
	put_error(0, batch->buffer, sizeof(struct nlmsghdr));
	free(read_all());
	assert_int_equal(kind, VD_NFQ_NOTHING);
	put_error(0, batch->buffer, batch->used);
	free(read_all());
	assert_int_equal(kind, VD_NFQ_NOTHING);
}

static void an_errno_that_is_none_is_read_without_harm(void **state)
{
	const int codes[] = {1, INT_MAX, INT_MIN, INT_MIN + 1};
	const struct vd_nfq_batch *batch = batch_of(1, ID, VD_ACCEPT);

	(void)state;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		put_error(codes[i], batch->buffer, batch->used);
		free(read_all());
		assert_true(kind == VD_NFQ_NOTHING || error.code > 0);
	}
}

static void an_error_is_read_at_every_length(void **state)
{
	const struct vd_nfq_batch *batch = batch_of(1, ID, VD_STOP);
	const uint32_t header_end = sizeof(struct nlmsghdr) + 4 + sizeof(struct nlmsghdr);

	(void)state;
	put_error(-ENOENT, batch->buffer, batch->used);
	for (uint32_t received = 0; received <= bytes.used; received++) {
		free(bytes_read(bytes.data, received, 0, true, &kind, &error));
		assert_int_equal(kind, received < header_end ? VD_NFQ_NOTHING : VD_NFQ_ERROR);
		if (kind == VD_NFQ_ERROR) {
			assert_int_equal(error.id, ID);
			assert_int_equal(error.netfilter_verdict, received == bytes.used ? NF_STOP : 0);
		}
	}
}

/* ---- garbage ---- */

static void garbage_of_every_length_is_survived(void **state)
{
	uint64_t random = bytes_seed("message garbage");
	const uint16_t types[] = {NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET, NLMSG_ERROR};

	(void)state;
	for (int round = 0; round < 300; round++)
		for (uint32_t length = 0; length <= 128; length++) {
			struct vd_packet *packet;
			const char *fault;

			bytes_reset(&bytes);
			for (uint32_t i = 0; i < length; i++)
				bytes_put_number(&bytes, bytes_random_below(&random, round & 4 ? 256 : 24), 1);
			if (round & 1 && length >= 16) {
				memcpy(bytes.data, &length, 4);
				memcpy(bytes.data + 4, &types[round >> 1 & 1], 2);
			}
			packet = bytes_read(bytes.data, length, 0, round & 8, &kind, &error);
			fault = kind == VD_NFQ_PACKET ? bytes_accessor_fault(packet) : NULL;
			if (fault)
				fail_msg("round %d, %u bytes: %s", round, length, fault);
			free(packet);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_that_a_packet_needs_is_read),
		cmocka_unit_test(what_the_kernel_left_out_is_0),
		cmocka_unit_test(family_queue_and_hook_are_passed_on),
		cmocka_unit_test(a_packet_on_a_bridge_is_known_by_its_ports),
		cmocka_unit_test(a_payload_of_any_length_is_whole),
		cmocka_unit_test(the_largest_payload_is_whole),
		cmocka_unit_test(room_never_exceeds_what_a_verdict_can_carry),
		cmocka_unit_test(cap_len_is_the_length_on_the_wire),
		cmocka_unit_test(a_wire_length_below_what_was_copied_is_a_lie),
		cmocka_unit_test(a_packet_without_payload_is_a_packet),
		cmocka_unit_test(unknown_attributes_are_skipped),
		cmocka_unit_test(type_flags_do_not_hide_an_attribute),
		cmocka_unit_test(a_message_without_an_id_is_nothing),
		cmocka_unit_test(a_packet_header_too_short_for_an_id_is_nothing),
		cmocka_unit_test(header_attributes_that_are_too_short_are_ignored),
		cmocka_unit_test(an_attribute_with_a_lying_length_ends_the_message),
		cmocka_unit_test(a_payload_with_a_lying_length_stays_inside),
		cmocka_unit_test(a_cut_datagram_keeps_what_is_there),
		cmocka_unit_test(a_cut_payload_is_truncated),
		cmocka_unit_test(a_message_longer_than_its_datagram_is_nothing),
		cmocka_unit_test(a_message_shorter_than_its_datagram_ends_where_it_says),
		cmocka_unit_test(other_messages_are_nothing),
		cmocka_unit_test(a_refused_verdict_is_named),
		cmocka_unit_test(a_refused_run_says_what_belongs_together),
		cmocka_unit_test(a_refused_verdict_without_its_body_still_has_its_id),
		cmocka_unit_test(a_refused_configuration_is_no_verdict),
		cmocka_unit_test(an_acknowledgement_is_nothing),
		cmocka_unit_test(an_errno_that_is_none_is_read_without_harm),
		cmocka_unit_test(an_error_is_read_at_every_length),
		cmocka_unit_test(garbage_of_every_length_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
