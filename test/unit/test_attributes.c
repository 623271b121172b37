/* SPDX-License-Identifier: MIT */
/*
 * lib/packet/attributes.c: what the kernel says of a packet, from messages as the kernel builds them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "test/support/bytes.h"

#define CGROUP_CLASSID 22
#define DATA "\x45\0\0\x15\0\0\0\0\x40\xfd\0\0\x0a\0\0\1\x0a\0\0\2!"
#define DATA_LENGTH 21

static struct bytes bytes;

static struct nlmsghdr *begin(void)
{
	return bytes_begin_message(&bytes, 7, 4711, 0x0800, 1);
}

static struct vd_packet *end(void)
{
	enum vd_nfq_kind kind;
	struct vd_nfq_error error;
	struct vd_packet *packet;

	bytes_end_message(&bytes, DATA, DATA_LENGTH);
	packet = bytes_read(bytes.data, bytes.used, 0, false, &kind, &error);
	assert_int_equal(kind, VD_NFQ_PACKET);
	assert_null(bytes_accessor_fault(packet));
	return packet;
}

static void put_be32(struct nlmsghdr *netlink, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(netlink, type, htonl(value));
}

static void put_all(struct nlmsghdr *netlink)
{
	struct nfqnl_msg_packet_timestamp time = {.sec = htobe64(1700000000), .usec = htobe64(123456)};
	struct nfqnl_msg_packet_hw address = {.hw_addrlen = htons(6), .hw_addr = {2, 0, 0, 0xaa, 0xbb, 0xcc}};
	struct nlattr *nest;

	put_be32(netlink, NFQA_IFINDEX_PHYSINDEV, 11);
	put_be32(netlink, NFQA_IFINDEX_PHYSOUTDEV, 12);
	mnl_attr_put(netlink, NFQA_HWADDR, sizeof address, &address);
	mnl_attr_put(netlink, NFQA_TIMESTAMP, sizeof time, &time);
	put_be32(netlink, NFQA_UID, 1000);
	put_be32(netlink, NFQA_GID, 0xfffffffe);
	mnl_attr_put(netlink, NFQA_SECCTX, 5, "ctx_t");
	put_be32(netlink, CGROUP_CLASSID, 0x00100001);
	nest = mnl_attr_nest_start(netlink, NFQA_VLAN);
	mnl_attr_put_u16(netlink, NFQA_VLAN_TCI, htons(0x2064));
	mnl_attr_put_u16(netlink, NFQA_VLAN_PROTO, htons(0x88a8));
	mnl_attr_nest_end(netlink, nest);
	nest = mnl_attr_nest_start(netlink, NFQA_CT);
	put_be32(netlink, CTA_STATUS, 0x18e);
	put_be32(netlink, CTA_ID, 0xdeadbeef);
	put_be32(netlink, CTA_MARK, 0x77);
	mnl_attr_nest_end(netlink, nest);
	put_be32(netlink, NFQA_CT_INFO, 2);
}

static void each_attribute_is_found(void **state)
{
	struct vd_packet *packet;
	uint32_t length, number;
	uint16_t protocol, tci;
	const uint8_t *value;
	const char *context;

	(void)state;
	put_all(begin());
	packet = end();
	assert_int_equal(vd_packet_physindev(packet), 11);
	assert_int_equal(vd_packet_physoutdev(packet), 12);
	value = vd_packet_hardware_address(packet, &length);
	assert_int_equal(length, 6);
	assert_memory_equal(value, "\2\0\0\xaa\xbb\xcc", 6);
	assert_true(vd_packet_timestamp_ns(packet) == 1700000000123456000u);
	assert_int_equal(vd_packet_uid(packet, &number), 0);
	assert_int_equal(number, 1000);
	assert_int_equal(vd_packet_gid(packet, &number), 0);
	assert_int_equal(number, 0xfffffffe);
	context = vd_packet_security_context(packet, &length);
	assert_int_equal(length, 5);
	assert_memory_equal(context, "ctx_t", 5);
	assert_int_equal(vd_packet_cgroup_classid(packet, &number), 0);
	assert_int_equal(number, 0x00100001);
	assert_int_equal(vd_packet_vlan(packet, &protocol, &tci), 0);
	assert_int_equal(protocol, 0x88a8);
	assert_int_equal(tci, 0x2064);
	assert_int_equal(vd_packet_conntrack_info(packet, &number), 0);
	assert_int_equal(number, 2);
	assert_int_equal(vd_packet_conntrack_mark(packet, &number), 0);
	assert_int_equal(number, 0x77);
	assert_int_equal(vd_packet_conntrack_id(packet, &number), 0);
	assert_int_equal(number, 0xdeadbeef);
	value = vd_packet_attribute(packet, NFQA_PAYLOAD, &length);
	assert_ptr_equal(value, vd_packet_data(packet));
	assert_int_equal(length, DATA_LENGTH);
	free(packet);
}

static void nothing_is_there(const struct vd_packet *packet)
{
	uint32_t length = 99, number = 99;
	uint16_t protocol = 99, tci = 99;

	assert_int_equal(vd_packet_physindev(packet), 0);
	assert_int_equal(vd_packet_physoutdev(packet), 0);
	assert_null(vd_packet_hardware_address(packet, &length));
	assert_int_equal(length, 0);
	assert_true(vd_packet_timestamp_ns(packet) == 0);
	assert_int_equal(vd_packet_uid(packet, &number), -ENODATA);
	assert_int_equal(vd_packet_gid(packet, &number), -ENODATA);
	length = 99;
	assert_null(vd_packet_security_context(packet, &length));
	assert_int_equal(length, 0);
	assert_int_equal(vd_packet_cgroup_classid(packet, &number), -ENODATA);
	assert_int_equal(vd_packet_vlan(packet, &protocol, &tci), -ENODATA);
	assert_int_equal(vd_packet_conntrack_info(packet, &number), -ENODATA);
	assert_int_equal(vd_packet_conntrack_mark(packet, &number), -ENODATA);
	assert_int_equal(vd_packet_conntrack_id(packet, &number), -ENODATA);
	assert_int_equal(number, 99); /* "not there" writes nothing */
	assert_int_equal(protocol, 99);
	assert_int_equal(tci, 99);
}

static void missing_attributes_are_not_there(void **state)
{
	struct vd_packet *packet;
	uint32_t length = 99;

	(void)state;
	begin();
	packet = end();
	nothing_is_there(packet);
	assert_null(vd_packet_attribute(packet, 999, &length));
	assert_int_equal(length, 0);
	free(packet);
}

static void a_captured_packet_has_no_attributes(void **state)
{
	struct vd_packet *packet = bytes_packet(DATA, DATA_LENGTH, DATA_LENGTH, 0, 0x0800, 0);

	(void)state;
	nothing_is_there(packet);
	free(packet);
}

static void empty_nests_hold_nothing(void **state)
{
	struct nlmsghdr *netlink = begin();
	struct vd_packet *packet;

	(void)state;
	mnl_attr_nest_end(netlink, mnl_attr_nest_start(netlink, NFQA_CT));
	mnl_attr_nest_end(netlink, mnl_attr_nest_start(netlink, NFQA_VLAN));
	packet = end();
	nothing_is_there(packet);
	free(packet);
}

static void half_a_vlan_tag_is_none(void **state)
{
	(void)state;
	for (uint16_t type = NFQA_VLAN_PROTO; type <= NFQA_VLAN_TCI; type++) {
		struct nlmsghdr *netlink = begin();
		struct nlattr *nest = mnl_attr_nest_start(netlink, NFQA_VLAN);
		struct vd_packet *packet;

		mnl_attr_put_u16(netlink, type, 1);
		mnl_attr_nest_end(netlink, nest);
		packet = end();
		nothing_is_there(packet);
		free(packet);
	}
}

/* What is asked for in one nest must not be found in another, nor outside. */
static void numbers_are_looked_up_in_their_own_nest(void **state)
{
	struct nlmsghdr *netlink = begin();
	struct nlattr *nest;
	struct vd_packet *packet;
	uint32_t number;

	(void)state;
	put_be32(netlink, CTA_ID, 1); /* outside: NFQA_CT_INFO has the same number */
	nest = mnl_attr_nest_start(netlink, NFQA_VLAN);
	put_be32(netlink, CTA_MARK, 2);
	mnl_attr_nest_end(netlink, nest);
	packet = end();
	assert_int_equal(vd_packet_conntrack_id(packet, &number), -ENODATA);
	assert_int_equal(vd_packet_conntrack_mark(packet, &number), -ENODATA);
	free(packet);
}

static void a_changed_conntrack_mark_is_read_back(void **state)
{
	struct vd_packet *packet;
	uint32_t number;

	(void)state;
	put_all(begin());
	packet = end();
	vd_packet_set_conntrack_mark(packet, 0x1234);
	assert_int_equal(vd_packet_conntrack_mark(packet, &number), 0);
	assert_int_equal(number, 0x1234);
	free(packet);
}

static void values_that_are_too_short_are_not_there(void **state)
{
	const uint16_t types[] = {NFQA_IFINDEX_PHYSINDEV, NFQA_IFINDEX_PHYSOUTDEV, NFQA_UID, NFQA_GID,
				  NFQA_CT_INFO, CGROUP_CLASSID, NFQA_HWADDR, NFQA_CT, NFQA_VLAN};
	const uint8_t value[16] = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

	(void)state;
	for (unsigned length = 0; length < 4; length++) {
		struct nlmsghdr *netlink = begin();
		struct vd_packet *packet;

		for (size_t i = 0; i < sizeof types / sizeof *types; i++)
			mnl_attr_put(netlink, types[i], length, value);
		mnl_attr_put(netlink, NFQA_TIMESTAMP, 12 + length, value);
		packet = end();
		nothing_is_there(packet);
		free(packet);
	}
}

/* The length inside of the hardware address may lie; 8 bytes are the most. */
static void a_hardware_address_has_1_to_8_bytes_and_no_more_than_there_are(void **state)
{
	(void)state;
	for (uint16_t said = 0; said <= 300; said++)
		for (uint16_t there = 0; there <= 8; there += 2) {
			struct nfqnl_msg_packet_hw address = {.hw_addrlen = htons(said), .hw_addr = {1, 2, 3, 4, 5, 6, 7, 8}};
			struct nlmsghdr *netlink = begin();
			struct vd_packet *packet;
			const uint8_t *value;
			uint32_t length;

			mnl_attr_put(netlink, NFQA_HWADDR, 4u + there, &address);
			packet = end();
			value = vd_packet_hardware_address(packet, &length);
			if (said >= 1 && said <= there) {
				assert_int_equal(length, said);
				assert_memory_equal(value, address.hw_addr, said);
			} else {
				assert_null(value);
				assert_int_equal(length, 0);
			}
			free(packet);
		}
}

/* Each length of each attribute, the nested ones among them, set to each small number and to some large ones. */
static void lying_lengths_never_lead_outside(void **state)
{
	(void)state;
	put_all(begin());
	bytes_end_message(&bytes, DATA, DATA_LENGTH);
	for (uint32_t at = 20; at + 4 <= bytes.used; at += 4) {
		uint8_t saved[2];

		memcpy(saved, bytes.data + at, 2);
		for (uint32_t lie = 0; lie < 400; lie++) {
			uint16_t length = (uint16_t)(lie < 390 ? lie : 65535 - (lie - 390));
			enum vd_nfq_kind kind;
			struct vd_nfq_error error;
			struct vd_packet *packet;

			memcpy(bytes.data + at, &length, 2);
			packet = bytes_read(bytes.data, bytes.used, 0, false, &kind, &error);
			if (kind == VD_NFQ_PACKET) {
				const char *fault = bytes_accessor_fault(packet);

				if (fault)
					fail_msg("%u at %u: %s", length, at, fault);
			}
			free(packet);
		}
		memcpy(bytes.data + at, saved, 2);
	}
}

/* The parse and the payload of a replaced packet change; what the kernel said of it does not. */
static void attributes_stay_when_the_packet_is_replaced(void **state)
{
	enum vd_nfq_kind kind;
	struct vd_nfq_error error;
	struct vd_packet *packet;
	uint8_t larger[60] = DATA;
	uint32_t number;

	(void)state;
	larger[3] = sizeof larger;
	put_all(begin());
	bytes_end_message(&bytes, DATA, DATA_LENGTH);
	packet = bytes_read(bytes.data, bytes.used, 64, false, &kind, &error);
	assert_int_equal(kind, VD_NFQ_PACKET);
	assert_int_equal(vd_packet_replace(packet, larger, sizeof larger), 0);
	assert_int_equal(vd_packet_uid(packet, &number), 0);
	assert_int_equal(number, 1000);
	assert_int_equal(vd_packet_conntrack_id(packet, &number), 0);
	assert_int_equal(number, 0xdeadbeef);
	assert_null(bytes_accessor_fault(packet));
	free(packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_attribute_is_found),
		cmocka_unit_test(missing_attributes_are_not_there),
		cmocka_unit_test(a_captured_packet_has_no_attributes),
		cmocka_unit_test(empty_nests_hold_nothing),
		cmocka_unit_test(half_a_vlan_tag_is_none),
		cmocka_unit_test(numbers_are_looked_up_in_their_own_nest),
		cmocka_unit_test(a_changed_conntrack_mark_is_read_back),
		cmocka_unit_test(values_that_are_too_short_are_not_there),
		cmocka_unit_test(a_hardware_address_has_1_to_8_bytes_and_no_more_than_there_are),
		cmocka_unit_test(lying_lengths_never_lead_outside),
		cmocka_unit_test(attributes_stay_when_the_packet_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
