/* SPDX-License-Identifier: MIT */
/*
 * Editing and verifying: what was wrong once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>

#include "test/support/bytes.h"

#define IP 0x0800
#define IPV6 0x86dd

static struct bytes bytes;

static uint16_t ethertype(void)
{
	return bytes.data[0] >> 4 == 6 ? IPV6 : IP;
}

/* Gives the packet in `bytes` its checksums. */
static void finish(void)
{
	struct vd_packet *packet;

	bytes_end_ip(&bytes);
	packet = bytes_packet_of(&bytes);
	assert_int_equal(vd_packet_replace(packet, bytes.data, bytes.used), 0);
	vd_packet_complete(packet);
	memcpy(bytes.data, vd_packet_data(packet), bytes.used);
	free(packet);
}

/* What is said of the first `length` bytes. */
static int verify(uint32_t length)
{
	struct vd_packet *packet = bytes_packet(bytes.data, length, bytes.used, length, ethertype(), 0);
	int result = vd_packet_verify(packet);

	free(packet);
	return result;
}

/* What was not copied is not right: nobody knows. Wherever it was cut, also in front of the checksum's field. */
static void a_part_of_a_packet_is_not_verified(void **state)
{
	(void)state;
	for (unsigned is_six = 0; is_six < 2; is_six++) {
		bytes_reset(&bytes);
		if (is_six)
			bytes_put_ipv6(&bytes, 1, 2, IPPROTO_TCP);
		else
			bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_TCP, 0);
		bytes_put_tcp(&bytes, 1000, 80, 16);
		bytes_put_fill(&bytes, 'x', 10);
		finish();
		for (uint32_t length = 0; length < bytes.used; length++)
			if (verify(length) != -ENODATA)
				fail_msg("IPv%u, %u of %u bytes: %d", is_six ? 6 : 4, length, bytes.used, verify(length));
		assert_int_equal(verify(bytes.used), 0);
	}
}

/* A later fragment has bytes that a checksum covers, too. */
static void a_fragment_is_not_verified(void **state)
{
	static const uint16_t fragments[] = {0x2000, 0x2001, 0x0002};

	(void)state;
	for (unsigned i = 0; i < sizeof fragments / sizeof *fragments; i++) {
		bytes_reset(&bytes);
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, IPPROTO_UDP, fragments[i]);
		bytes_put_udp(&bytes, 1000, 53, 16);
		bytes_put_fill(&bytes, 'x', 16);
		finish();
		assert_int_equal(verify(bytes.used), -ENODATA);
		bytes.data[8]++; /* but that of its IPv4 header is there */
		assert_int_equal(verify(bytes.used), -EBADMSG);
	}
}

/* ---- fragments, and others whose checksum covers what nobody knows here ---- */

/* | IPv6 | a routing header of an unknown type, not at its end | */
#define ROUTED(next) "60000000 0000 2b 40 fd000000000000000000000000000001 fd000000000000000000000000000002 " next "00fd0100000000"
#define FRAGMENTED(protocol) "4500 0000 0001 2000 40" protocol "0000 0a000001 0a000002"

#define UDPLITE "03e80035 000a 1234" /* covers two bytes of the payload */
#define DCCP "03e80050 0402 1234 00000001 00000000" /* four bytes */

static struct vd_packet *make(const char *network, const char *transport, uint32_t payload)
{
	bytes_reset(&bytes);
	bytes_put_hex(&bytes, network);
	bytes_put_hex(&bytes, transport);
	bytes_put_fill(&bytes, 'x', payload);
	bytes_end_ip(&bytes);
	return bytes_packet(bytes.data, bytes.used, bytes.used, bytes.used + 64, ethertype(), 0);
}

static unsigned field_at(struct vd_packet *packet, uint32_t at)
{
	const uint8_t *field = vd_packet_transport(packet, at + 2);

	assert_non_null(field);
	vd_packet_complete(packet);
	return (unsigned)field[at] << 8 | field[at + 1];
}

/* How much a partial checksum covers stands in the header: it is known, also where the rest of the packet is not. */
static void bytes_that_are_not_covered_change_no_checksum(void **state)
{
	static const struct {
		const char *network, *transport;
		uint32_t covered;
	} cases[] = {
		{FRAGMENTED("88"), UDPLITE, 2},
		{FRAGMENTED("21"), DCCP, 4},
		{ROUTED("88"), UDPLITE, 2},
		{ROUTED("21"), DCCP, 4},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vd_packet *packet = make(cases[i].network, cases[i].transport, 32);

		assert_int_equal(vd_packet_write_payload(packet, cases[i].covered, "12345678", 8), 0);
		assert_int_equal(field_at(packet, 6), 0x1234);
		assert_int_equal(vd_packet_write_payload(packet, cases[i].covered - 2, "zz12345678", 10), 0);
		assert_int_equal(field_at(packet, 6), 0x1234 - 2 * 0x101); /* 'x' is two less than 'z' */
		free(packet);
	}
}

/* What a replaced fragment has in the field is right by what its maker knows; edits behind that go by what they change. */
static void a_replaced_fragment_can_be_edited_further(void **state)
{
	struct vd_packet *packet = make(FRAGMENTED("11"), "03e80035 0064 1234", 32);

	(void)state;
	assert_int_equal(vd_packet_set_source_port(packet, 7), 0); /* is gone with the bytes that it changed */
	bytes_set_be16(&bytes, 26, 0x5678);
	assert_int_equal(vd_packet_replace(packet, bytes.data, bytes.used), 0);
	assert_int_equal(vd_packet_set_source_port(packet, 1001), 0);
	assert_int_equal(field_at(packet, 6), 0x5677);
	assert_int_equal(vd_packet_set_source(packet, "\12\0\0\3"), 0);
	assert_int_equal(field_at(packet, 6), 0x5675);
	free(packet);
}

/* Nor can a checksum that covers what is not here be made in full after a replacement. */
static void a_replacement_does_not_allow_what_cannot_be_completed(void **state)
{
	struct vd_packet *packet = make(FRAGMENTED("84"), "03e80050 00000001 12345678", 32);

	(void)state;
	assert_int_equal(vd_packet_set_source_port(packet, 7), -EOPNOTSUPP);
	assert_int_equal(vd_packet_replace(packet, bytes.data, bytes.used), 0);
	assert_int_equal(vd_packet_set_source_port(packet, 7), -EOPNOTSUPP);
	free(packet);

	packet = make(ROUTED("11"), "03e80035 0028 1234", 32);
	assert_int_equal(vd_packet_delete_payload(packet, 0, 2), -EOPNOTSUPP);
	assert_int_equal(vd_packet_replace(packet, bytes.data, bytes.used), 0);
	assert_int_equal(vd_packet_delete_payload(packet, 0, 2), -EOPNOTSUPP);
	assert_int_equal(field_at(packet, 6), 0x1234);
	free(packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_of_a_packet_is_not_verified),
		cmocka_unit_test(a_fragment_is_not_verified),
		cmocka_unit_test(bytes_that_are_not_covered_change_no_checksum),
		cmocka_unit_test(a_replaced_fragment_can_be_edited_further),
		cmocka_unit_test(a_replacement_does_not_allow_what_cannot_be_completed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
