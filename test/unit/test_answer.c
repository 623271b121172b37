/* SPDX-License-Identifier: MIT */
/*
 * The answer to a rejected packet: some to the byte, many by their properties (test/support/answer_oracle.c), and all that must
 * not be answered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "test/support/answer_oracle.h"
#include "test/support/bytes.h"

#define NEAR 0x0a090001
#define FAR 0x0a090002

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

#define AT_SEQUENCE 4
#define AT_ACKNOWLEDGMENT 8
#define AT_OFFSET 12

static struct bytes bytes;

/* ---- packets ---- */

static void begin(unsigned version, uint8_t protocol)
{
	bytes_reset(&bytes);
	if (version == 4)
		bytes_put_ipv4(&bytes, NEAR, FAR, protocol, 0);
	else
		bytes_put_ipv6(&bytes, 1, 2, protocol);
}

static uint32_t header_of(unsigned version)
{
	return version == 4 ? 20 : 40;
}

static void set_be32(uint32_t at, uint32_t number)
{
	bytes_set_be16(&bytes, at, (uint16_t)(number >> 16));
	bytes_set_be16(&bytes, at + 2, (uint16_t)number);
}

static void begin_tcp(unsigned version, uint8_t flags, uint32_t sequence, uint32_t acknowledgment, uint32_t payload)
{
	uint32_t at = header_of(version);

	begin(version, IPPROTO_TCP);
	bytes_put_tcp(&bytes, 40000, 80, flags);
	set_be32(at + AT_SEQUENCE, sequence);
	set_be32(at + AT_ACKNOWLEDGMENT, acknowledgment);
	bytes_put_fill(&bytes, 'x', payload);
	bytes_end_ip(&bytes);
}

static void begin_udp(unsigned version, const char *payload, uint32_t length)
{
	begin(version, IPPROTO_UDP);
	bytes_put_udp(&bytes, 1000, 2000, (uint16_t)length);
	if (payload)
		bytes_put(&bytes, payload, length);
	else
		bytes_put_fill(&bytes, 'x', length);
	bytes_end_ip(&bytes);
}

/* ---- asking for an answer ---- */

static enum vd_answer answer_to(const struct vd_packet *packet)
{
	enum vd_answer answer;
	const char *fault = answer_fault_of(packet, NULL, &answer);

	if (fault)
		fail_msg("%s", fault);
	return answer;
}

/* To what is in `bytes`, of which `length` bytes were copied. */
static enum vd_answer answer_to_part(unsigned how, unsigned code, uint32_t length)
{
	struct vd_packet *packet = bytes_packet(bytes.data, length, bytes.used, 0, bytes.data[0] >> 4 == 6 ? 0x86dd : 0x0800, 0);
	enum vd_answer answer;

	packet->reject = (uint8_t)how;
	packet->reject_code = (uint8_t)code;
	answer = answer_to(packet);
	free(packet);
	return answer;
}

static enum vd_answer answer_to_all(unsigned how, unsigned code)
{
	return answer_to_part(how, code, bytes.used);
}

static void expect_bytes(unsigned how, const uint8_t *source, const char *hex)
{
	struct vd_packet *packet = bytes_packet_of(&bytes);
	static struct bytes expected;
	uint8_t buffer[VD_ANSWER_SIZE_MAX];
	uint32_t length;

	bytes_reset(&expected);
	bytes_put_hex(&expected, hex);
	packet->reject = (uint8_t)how;
	length = vd_answer_build(packet, vd_answer_choose(packet), source, buffer);
	assert_int_equal(length, expected.used);
	assert_memory_equal(buffer, expected.data, length);
	free(packet);
}

/* ---- to the byte ---- */

static void answers_to_the_byte(void **state)
{
	static const uint8_t router[4] = {10, 9, 0, 254};

	(void)state;
	begin_tcp(4, SYN, 0x1234, 0, 0);
	expect_bytes(VD_REJECT_CLOSED, NULL,
		     "4500 0028 0000 4000 4006 26bc 0a09 0002 0a09 0001"
		     "0050 9c40 0000 0000 0000 1235 5014 0000 ecf6 0000");
	expect_bytes(VD_REJECT_TCP_RESET, router, /* a reset comes from the destination whatever is said */
		     "4500 0028 0000 4000 4006 26bc 0a09 0002 0a09 0001"
		     "0050 9c40 0000 0000 0000 1235 5014 0000 ecf6 0000");
	begin_tcp(6, ACK | PSH, 99, 0x12345678, 5);
	expect_bytes(VD_REJECT_CLOSED, NULL,
		     "6000 0000 0014 0640 2001 0db8 0000 0000 0000 0000 0000 0002 2001 0db8 0000 0000 0000 0000 0000 0001"
		     "0050 9c40 1234 5678 0000 0000 5004 0000 4f2f 0000");
	begin_udp(4, "hi", 2);
	expect_bytes(VD_REJECT_CLOSED, router,
		     "45c0 003a 0000 4000 4001 24f3 0a09 00fe 0a09 0001 0303 dd58 0000 0000"
		     "4500 001e 1234 0000 4011 0000 0a09 0001 0a09 0002 03e8 07d0 000a 0000 6869");
	begin_udp(6, "hi", 2);
	expect_bytes(VD_REJECT_PORT, NULL,
		     "6000 0000 003a 3a40 2001 0db8 0000 0000 0000 0000 0000 0002 2001 0db8 0000 0000 0000 0000 0000 0001"
		     "0104 6227 0000 0000"
		     "6000 0000 000a 1140 2001 0db8 0000 0000 0000 0000 0000 0001 2001 0db8 0000 0000 0000 0000 0000 0002"
		     "03e8 07d0 000a 0000 6869");
}

/* ---- resets ---- */

static uint32_t number_at(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Of what is in `bytes`, as long on the wire as `wire_length`. */
static void expect_reset(uint32_t wire_length, uint32_t skb_info, uint32_t sequence, uint32_t acknowledgment, uint8_t flags)
{
	uint16_t ethertype = bytes.data[0] >> 4 == 6 ? 0x86dd : 0x0800;
	struct vd_packet *packet = bytes_packet(bytes.data, bytes.used, wire_length, 0, ethertype, skb_info);
	uint8_t buffer[VD_ANSWER_SIZE_MAX], *tcp = buffer + header_of(packet->ip_version);

	assert_int_equal(answer_to(packet), VD_ANSWER_RESET);
	vd_answer_build(packet, VD_ANSWER_RESET, NULL, buffer);
	assert_int_equal(number_at(tcp + AT_SEQUENCE), sequence);
	assert_int_equal(number_at(tcp + AT_ACKNOWLEDGMENT), acknowledgment);
	assert_int_equal(tcp[13], flags);
	free(packet);
}

static void resets_have_the_numbers_that_the_sender_waits_for(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		begin_tcp(version, SYN, 1000, 0, 0);
		expect_reset(bytes.used, 0, 0, 1001, RST | ACK);
		begin_tcp(version, SYN, UINT32_MAX, 77, 0); /* an acknowledgment number without ACK means nothing */
		expect_reset(bytes.used, 0, 0, 0, RST | ACK);
		begin_tcp(version, SYN, UINT32_MAX - 2, 0, 10); /* TCP fast open */
		expect_reset(bytes.used, 0, 0, 8, RST | ACK);
		begin_tcp(version, FIN, 1000, 0, 10);
		expect_reset(bytes.used, 0, 0, 1011, RST | ACK);
		begin_tcp(version, SYN | FIN, 1000, 0, 0);
		expect_reset(bytes.used, 0, 0, 1002, RST | ACK);
		begin_tcp(version, 0, 1000, 0, 7);
		expect_reset(bytes.used, 0, 0, 1007, RST | ACK);
		expect_reset(bytes.used + 6, 0, 0, 1007, RST | ACK); /* padding is not TCP's */
		begin_tcp(version, ACK, 1000, UINT32_MAX, 7);
		expect_reset(bytes.used, 0, UINT32_MAX, 0, RST);
		begin_tcp(version, SYN | ACK, 1000, 5, 0);
		expect_reset(bytes.used, 0, 5, 0, RST);

		begin_tcp(version, SYN, 1000, 0, 30); /* options are not data */
		bytes.data[header_of(version) + AT_OFFSET] = 0xb0;
		expect_reset(bytes.used, 0, 0, 1000 + 1 + 30 - 24, RST | ACK);
	}
}

/* Of large packets only the beginning is copied, and of the largest the length field says nothing. */
static void resets_count_all_segments_of_a_gso_packet(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		uint32_t header = header_of(version);

		begin_tcp(version, 0, 1000, 0, 88);
		bytes_set_be16(&bytes, version == 4 ? 2 : 4, (uint16_t)(version == 4 ? 60000 : 60000 - 40));
		expect_reset(60000, VD_SKB_GSO, 0, 1000 + 60000 - header - 20, RST | ACK);
		begin_tcp(version, FIN, 1000, 0, 88);
		bytes_set_be16(&bytes, version == 4 ? 2 : 4, 0);
		expect_reset(200000, VD_SKB_GSO, 0, 1000 + 200000 - header - 20 + 1, RST | ACK);
	}
}

/* ---- errors ---- */

static void errors_say_what_was_asked_for(void **state)
{
	static const struct {
		uint8_t how, code;
		int v4, v6;
	} kinds[] = {
		{VD_REJECT_CLOSED, 0, 3, 4},	  {VD_REJECT_PORT, 0, 3, 4},  {VD_REJECT_HOST, 0, 1, 3},
		{VD_REJECT_NETWORK, 0, 0, 0},	  {VD_REJECT_CODE, 0, 0, 0},  {VD_REJECT_CODE, 8, 8, 8},
		{VD_REJECT_PROHIBITED, 0, 13, 1}, {VD_REJECT_CODE, 9, 9, -1}, {VD_REJECT_CODE, 15, 15, -1},
		{VD_REJECT_CODE, 16, -1, -1},	  {VD_REJECT_CODE, 255, -1, -1}, {VD_REJECT_TCP_RESET, 0, -1, -1},
		{7, 0, -1, -1},			  {255, 3, -1, -1},
	};

	(void)state;
	for (unsigned version = 4; version <= 6; version += 2)
		for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
			int code = version == 4 ? kinds[i].v4 : kinds[i].v6;
			uint8_t buffer[VD_ANSWER_SIZE_MAX];
			struct vd_packet *packet;

			begin_udp(version, "hello", 5);
			packet = bytes_packet_of(&bytes);
			packet->reject = kinds[i].how;
			packet->reject_code = kinds[i].code;
			assert_int_equal(answer_to(packet), code < 0 ? VD_ANSWER_UNFIT : VD_ANSWER_UNREACHABLE);
			if (code >= 0) {
				vd_answer_build(packet, VD_ANSWER_UNREACHABLE, NULL, buffer);
				assert_int_equal(buffer[header_of(version)], version == 4 ? 3 : 1);
				assert_int_equal(buffer[header_of(version) + 1], code);
			}
			free(packet);
		}
}

static void tcp_gets_an_error_when_one_is_asked_for(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		begin_tcp(version, SYN, 1, 0, 0);
		assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_RESET);
		assert_int_equal(answer_to_all(VD_REJECT_TCP_RESET, 0), VD_ANSWER_RESET);
		assert_int_equal(answer_to_all(VD_REJECT_PORT, 0), VD_ANSWER_UNREACHABLE);
		assert_int_equal(answer_to_all(VD_REJECT_CODE, 3), VD_ANSWER_UNREACHABLE);
	}
}

static void errors_quote_what_fits_and_no_more(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2)
		for (uint32_t length = 0; length < 3000; length += length < 60 ? 1 : 37) {
			struct vd_packet *packet;
			uint8_t buffer[VD_ANSWER_SIZE_MAX];
			uint32_t most = version == 4 ? 576 : 1280, whole;

			begin_udp(version, NULL, length);
			packet = bytes_packet_of(&bytes);
			assert_int_equal(answer_to(packet), VD_ANSWER_UNREACHABLE);
			whole = header_of(version) + 8 + bytes.used;
			if (whole > most)
				whole = most;
			assert_int_equal(vd_answer_build(packet, VD_ANSWER_UNREACHABLE, NULL, buffer), whole);
			free(packet);
			assert_int_equal(answer_to_part(VD_REJECT_PORT, 0, header_of(version) + 8), VD_ANSWER_UNREACHABLE);
			assert_int_equal(answer_to_part(VD_REJECT_PORT, 0, header_of(version) + 7), VD_ANSWER_CUT);
		}
}

/* ---- none ---- */

static void what_is_an_answer_is_not_answered(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		for (unsigned flags = 0; flags < 256; flags++) {
			begin_tcp(version, (uint8_t)flags, 1, 2, 3);
			assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0),
					 flags & RST ? VD_ANSWER_IS_ANSWER : VD_ANSWER_RESET);
			assert_int_equal(answer_to_all(VD_REJECT_HOST, 0),
					 flags & RST ? VD_ANSWER_IS_ANSWER : VD_ANSWER_UNREACHABLE);
		}
		for (unsigned type = 0; type < 256; type++) {
			bool is_error = version == 4 ? (type >= 3 && type <= 5) || type == 11 || type == 12 || type > 18 :
						       type < 128 || (type >= 133 && type <= 137);

			begin(version, version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
			bytes_put_number(&bytes, (uint64_t)type << 56, 8);
			bytes_end_ip(&bytes);
			assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0),
					 is_error ? VD_ANSWER_IS_ANSWER : VD_ANSWER_UNREACHABLE);
		}
	}
	/* the other version's ICMP is just a protocol */
	begin(4, IPPROTO_ICMPV6);
	bytes_put_number(&bytes, 0x0104, 2);
	bytes_put_fill(&bytes, 0, 6);
	bytes_end_ip(&bytes);
	assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_UNREACHABLE);
}

static void set_address(unsigned version, bool is_source, const char *hex)
{
	static struct bytes address;

	bytes_reset(&address);
	bytes_put_hex(&address, hex);
	memcpy(bytes.data + (version == 4 ? 12 : 8) + (is_source ? 0 : address.used), address.data, address.used);
}

static void who_is_no_host_is_not_answered(void **state)
{
	static const struct {
		unsigned version;
		const char *address;
		bool is_host;
	} addresses[] = {
		{4, "00000000", false}, {4, "00010203", false}, {4, "e0000001", false}, {4, "efffffff", false},
		{4, "f0000000", false}, {4, "ffffffff", false}, {4, "01000000", true},	{4, "dfffffff", true},
		{4, "7f000001", true},	{4, "a9fe0101", true},	{4, "0a0900ff", true}, /* only the kernel knows that */
		{6, "00000000000000000000000000000000", false}, {6, "ff020000000000000000000000000001", false},
		{6, "ff000000000000000000000000000000", false}, {6, "00000000000000000000000000000001", true},
		{6, "fe800000000000000000000000000001", true},	{6, "fd000009000000000000000000000001", true},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++)
		for (unsigned how = 0; how < 4; how++) {
			enum vd_answer answer = how & 1 ? VD_ANSWER_UNREACHABLE : VD_ANSWER_RESET;
			unsigned version = addresses[i].version;

			if (how & 1)
				begin_udp(version, "x", 1);
			else
				begin_tcp(version, SYN, 1, 0, 0);
			set_address(version, how & 2, addresses[i].address);
			assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), addresses[i].is_host ? answer : VD_ANSWER_NO_HOST);
		}
}

static void a_loopback_source_from_a_wire_is_not_answered(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2)
		for (unsigned device = 0; device < 4; device++) {
			struct vd_packet *packet;

			begin_udp(version, "x", 1);
			set_address(version, true, version == 4 ? "7f000001" : "00000000000000000000000000000001");
			packet = bytes_packet_of(&bytes);
			packet->indev = device; /* 0: made here; 1: lo */
			assert_int_equal(answer_to(packet), device > 1 ? VD_ANSWER_NO_HOST : VD_ANSWER_UNREACHABLE);
			free(packet);
		}
}

static void fragments_are_not_answered(void **state)
{
	static const uint16_t v4[] = {0x2000, 0x2001, 0x0001, 0x1fff}, v6[] = {0x0001, 0x0009, 0x0008, 0xfff8};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		begin_udp(4, "12345678", 8);
		bytes_set_be16(&bytes, 6, v4[i]);
		assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_FRAGMENT);
		begin(6, IPPROTO_FRAGMENT);
		bytes_put_number(&bytes, 0x1100, 2);
		bytes_put_number(&bytes, v6[i], 2);
		bytes_put_number(&bytes, 4711, 4);
		bytes_put_udp(&bytes, 1000, 2000, 8);
		bytes_put_fill(&bytes, 'x', 8);
		bytes_end_ip(&bytes);
		assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_FRAGMENT);
	}
	begin_udp(4, "12345678", 8);
	bytes_set_be16(&bytes, 6, 0x4000); /* don't fragment */
	assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_UNREACHABLE);
}

static void what_cannot_be_read_is_not_answered(void **state)
{
	struct vd_packet *packet;

	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		uint32_t header = header_of(version);

		for (uint32_t length = 0; length < header + 20; length++) {
			begin_tcp(version, SYN, 1, 0, 0);
			assert_int_equal(answer_to_part(VD_REJECT_CLOSED, 0, length), length ? VD_ANSWER_CUT : VD_ANSWER_NOT_IP);
		}
		begin_tcp(version, SYN, 1, 0, 0);
		bytes.data[header + AT_OFFSET] = 0x40;
		assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_MALFORMED);
		begin_udp(version, "x", 1);
		bytes_set_be16(&bytes, header + 4, 100);
		assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_MALFORMED);
	}
	begin_udp(4, "x", 1);
	packet = bytes_packet(bytes.data, bytes.used, bytes.used, 0, 0x0806, 0); /* ARP, on a bridge */
	assert_int_equal(answer_to(packet), VD_ANSWER_NOT_IP);
	free(packet);
	begin_udp(4, "x", 1);
	packet = bytes_packet(bytes.data, bytes.used, bytes.used, 0, 0x86dd, 0);
	assert_int_equal(answer_to(packet), VD_ANSWER_MALFORMED);
	free(packet);
}

/* IPv4 options and IPv6 extension headers are quoted, and TCP is found behind them. */
static void headers_may_have_options(void **state)
{
	(void)state;
	begin(4, IPPROTO_TCP);
	bytes.data[0] = 0x46;
	bytes_put_hex(&bytes, "94040000"); /* router alert */
	bytes_put_tcp(&bytes, 1, 2, SYN);
	bytes_end_ip(&bytes);
	assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_RESET);
	begin(6, IPPROTO_DSTOPTS);
	bytes_put_hex(&bytes, "0600 0104 0000 0000");
	bytes_put_tcp(&bytes, 1, 2, SYN);
	bytes_end_ip(&bytes);
	assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_RESET);
	assert_int_equal(answer_to_all(VD_REJECT_PROHIBITED, 0), VD_ANSWER_UNREACHABLE);

	/* a source route that is not at its end: the connection is with another address than the header's */
	begin(4, IPPROTO_TCP);
	bytes.data[0] = 0x47;
	bytes_put_hex(&bytes, "8307 040a 0900 0300");
	bytes_put_tcp(&bytes, 1, 2, SYN);
	bytes_end_ip(&bytes);
	assert_int_equal(answer_to_all(VD_REJECT_CLOSED, 0), VD_ANSWER_UNFIT);
	assert_int_equal(answer_to_all(VD_REJECT_HOST, 0), VD_ANSWER_UNREACHABLE);
}

/* ---- many ---- */

static void any_packet_gets_a_right_answer_or_none(void **state)
{
	uint64_t random = bytes_seed("any packet");
	unsigned answers[VD_ANSWER_UNFIT + 1] = {0};

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		static const uint8_t protocols[] = {IPPROTO_TCP,    IPPROTO_TCP,  IPPROTO_UDP, IPPROTO_ICMP,
						    IPPROTO_ICMPV6, IPPROTO_SCTP, 59};
		unsigned version = bytes_random_below(&random, 2) ? 4 : 6;
		uint32_t length = bytes_random_below(&random, bytes_random_below(&random, 20) ? 100 : 2000), at;
		struct vd_packet *packet;
		uint8_t source[16];
		enum vd_answer answer;
		const char *fault;

		begin(version, protocols[bytes_random_below(&random, sizeof protocols)]);
		bytes_fill_random(&random, bytes.data + bytes.used, length);
		if (bytes_random_below(&random, 2)) /* a data offset that is right */
			bytes.data[bytes.used + AT_OFFSET] = 0x50;
		bytes.used += length;
		bytes_end_ip(&bytes);
		if (!bytes_random_below(&random, 3)) {
			at = bytes_random_below(&random, header_of(version));
			bytes.data[at] = (uint8_t)bytes_random_below(&random, 256);
		}
		length = bytes_random_below(&random, 2) ? bytes.used : bytes_random_below(&random, bytes.used + 1);
		packet = bytes_packet(bytes.data, length, bytes.used + bytes_random_below(&random, 2) * 9, 0,
				      version == 6 ? 0x86dd : 0x0800, bytes_random_below(&random, 8));
		packet->reject = (uint8_t)bytes_random_below(&random, 8);
		packet->reject_code = (uint8_t)bytes_random_below(&random, 20);
		bytes_fill_random(&random, source, sizeof source);
		fault = answer_fault_of(packet, bytes_random_below(&random, 2) ? source : NULL, &answer);
		if (fault)
			fail_msg("%u: %s", i, fault);
		answers[answer]++;
		free(packet);
	}
	for (unsigned answer = 0; answer <= VD_ANSWER_UNFIT; answer++) /* or it would prove nothing */
		assert_true(answers[answer] > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_to_the_byte),
		cmocka_unit_test(resets_have_the_numbers_that_the_sender_waits_for),
		cmocka_unit_test(resets_count_all_segments_of_a_gso_packet),
		cmocka_unit_test(errors_say_what_was_asked_for),
		cmocka_unit_test(tcp_gets_an_error_when_one_is_asked_for),
		cmocka_unit_test(errors_quote_what_fits_and_no_more),
		cmocka_unit_test(what_is_an_answer_is_not_answered),
		cmocka_unit_test(who_is_no_host_is_not_answered),
		cmocka_unit_test(a_loopback_source_from_a_wire_is_not_answered),
		cmocka_unit_test(fragments_are_not_answered),
		cmocka_unit_test(what_cannot_be_read_is_not_answered),
		cmocka_unit_test(headers_may_have_options),
		cmocka_unit_test(any_packet_gets_a_right_answer_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
