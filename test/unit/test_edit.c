/* SPDX-License-Identifier: MIT */
/*
 * <verdict/edit.h>: what is refused and with which error, that nothing has changed then, and what the engine is told; checksums
 * with a rule of their own. Edits at large are in test_edit_model.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "test/support/model.h"

#include <verdict/edit.h>

#define ROOM 256
#define OUTPUT 3

static struct bytes bytes;
static const uint8_t ADDRESS[16] = {10, 0, 0, 99};

/* ---- packets ---- */

static struct vd_packet *packet_with(uint32_t skb_info)
{
	struct vd_packet *packet = bytes_packet(bytes.data, bytes.used, bytes.used, bytes.used + ROOM,
						bytes.data[0] >> 4 == 4 ? 0x0800 : 0x86dd, skb_info);

	packet->hook = OUTPUT;
	return packet;
}

static void put_ip(unsigned version, uint8_t protocol, uint16_t fragment)
{
	bytes_reset(&bytes);
	if (version == 4)
		bytes_put_ipv4(&bytes, 0x0a000001, 0x0a000002, protocol, fragment);
	else
		bytes_put_ipv6(&bytes, 1, 2, protocol);
}

static void put_udp(unsigned version, uint16_t fragment, uint32_t length)
{
	put_ip(version, 17, fragment);
	bytes_put_udp(&bytes, 1000, 53, (uint16_t)length);
	bytes.data[bytes.used - 1] = 1; /* not 0, which says that there is none */
	bytes_put_fill(&bytes, 'a', length);
	bytes_end_ip(&bytes);
	model_complete(bytes.data, bytes.used);
}

static void put_tcp(unsigned version, uint8_t flags, const char *options, uint32_t length)
{
	uint32_t start;

	put_ip(version, 6, 0);
	start = bytes.used;
	bytes_put_tcp(&bytes, 1000, 80, flags);
	bytes_put_hex(&bytes, options);
	bytes.data[start + 12] = (uint8_t)((bytes.used - start) / 4 << 4);
	bytes_put_fill(&bytes, 'a', length);
	bytes_end_ip(&bytes);
	model_complete(bytes.data, bytes.used);
}

static struct vd_packet *udp(unsigned version)
{
	put_udp(version, 0, 100);
	return packet_with(0);
}

/* ---- all calls at once ---- */

enum call { SOURCE, DESTINATION, TTL, DSCP, ECN, SOURCE_PORT, DESTINATION_PORT, FLAGS, SEQUENCE, ACKNOWLEDGMENT, WINDOW, OPTION,
	    NO_OPTION, MSS, WRITE, REPLACE_PAYLOAD, INSERT, DELETE, REPLACE, CALLS };

static int call(struct vd_packet *packet, enum call which)
{
	static uint8_t copy[1u << 17];

	switch (which) {
	case SOURCE:
		return vd_packet_set_source(packet, ADDRESS);
	case DESTINATION:
		return vd_packet_set_destination(packet, ADDRESS);
	case TTL:
		return vd_packet_set_ttl(packet, 5);
	case DSCP:
		return vd_packet_set_dscp(packet, 5);
	case ECN:
		return vd_packet_set_ecn(packet, 1);
	case SOURCE_PORT:
		return vd_packet_set_source_port(packet, 5);
	case DESTINATION_PORT:
		return vd_packet_set_destination_port(packet, 5);
	case FLAGS:
		return vd_packet_set_tcp_flags(packet, 5);
	case SEQUENCE:
		return vd_packet_set_tcp_sequence(packet, 5);
	case ACKNOWLEDGMENT:
		return vd_packet_set_tcp_acknowledgment(packet, 5);
	case WINDOW:
		return vd_packet_set_tcp_window(packet, 5);
	case OPTION:
		return vd_packet_set_tcp_option(packet, 3, "x", 1);
	case NO_OPTION:
		return vd_packet_remove_tcp_option(packet, 3);
	case MSS:
		return vd_packet_clamp_mss(packet, 5);
	case WRITE:
		return vd_packet_write_payload(packet, 0, "x", 1);
	case REPLACE_PAYLOAD:
		return vd_packet_replace_payload(packet, "xyz", 3);
	case INSERT:
		return vd_packet_insert_payload(packet, 0, "x", 1);
	case DELETE:
		return vd_packet_delete_payload(packet, 0, 1);
	case REPLACE:
		memcpy(copy, vd_packet_data(packet), packet->length);
		return vd_packet_replace(packet, copy, packet->length);
	default:
		abort();
	}
}

static bool is_refusal(int error)
{
	return error == -ENODATA || error == -EMSGSIZE || error == -EOPNOTSUPP || error == -EPERM || error == -EBADMSG;
}

/* One that fails: with this error, of which the engine is told if it is a refusal, and not a byte is different. Frees it. */
static void fails(struct vd_packet *packet, enum call which, int error)
{
	size_t size = sizeof *packet + packet->room;
	struct vd_packet *copy = malloc(size);
	int result;

	assert_non_null(copy);
	memcpy(copy, packet, size);
	result = call(packet, which);
	if (result != error)
		fail_msg("call %d says %d instead of %d", which, result, error);
	assert_int_equal(packet->edit_refused, is_refusal(error) ? -error : 0);
	packet->edit_refused = 0;
	assert_memory_equal(packet, copy, size);
	free(copy);
	free(packet);
}

static void every_call_fails(struct vd_packet *(*make)(void), int error)
{
	for (enum call which = 0; which < CALLS; which++) {
		struct vd_packet *packet = make();
		bool is_tcp = which >= FLAGS && which <= MSS;

		/* what is not there cannot be refused */
		fails(packet, which, is_tcp && packet->protocol != 6 ? -EPROTONOSUPPORT : error);
	}
}

/* ---- packets that cannot be edited ---- */

static struct vd_packet *make_malformed(void)
{
	put_udp(4, 0, 100);
	bytes_set_be16(&bytes, 24, 7); /* UDP's length */
	return packet_with(0);
}

static struct vd_packet *make_truncated(void)
{
	struct vd_packet *packet;

	put_tcp(4, 2, "020405b4 01030307", 100);
	packet = bytes_packet(bytes.data, 60, bytes.used, bytes.used + ROOM, 0x0800, 0);
	return packet;
}

static struct vd_packet *make_bridged(void)
{
	struct vd_packet *packet;

	put_tcp(6, 2, "020405b4 01030307", 100);
	packet = packet_with(0);
	packet->family = AF_BRIDGE;
	return packet;
}

static struct vd_packet *make_banned(void)
{
	struct vd_packet *packet;

	put_tcp(6, 2, "020405b4 01030307", 100);
	packet = packet_with(0);
	packet->edit_ban = EPERM;
	return packet;
}

/* The field says nothing of this packet's own pseudo-header: it is another header's, further inside. */
static struct vd_packet *make_tunnel(void)
{
	put_tcp(4, 2, "020405b4 01030307", 100);
	return packet_with(VD_SKB_CHECKSUM_NOT_READY);
}

/* UDP segments in one that are on their way to a socket here. */
static struct vd_packet *make_arriving_segments(void)
{
	struct vd_packet *packet;

	put_udp(4, 0, 5000);
	assert_true(model_set_not_ready(bytes.data, bytes.used));
	packet = packet_with(VD_SKB_GSO | VD_SKB_CHECKSUM_NOT_READY);
	packet->hook = 1;
	return packet;
}

static struct vd_packet *make_sctp_segments(void)
{
	put_ip(4, 132, 0);
	bytes_put_fill(&bytes, 1, 400);
	bytes_end_ip(&bytes);
	return packet_with(VD_SKB_GSO);
}

static void packets_that_cannot_be_edited(void **state)
{
	static const struct {
		struct vd_packet *(*make)(void);
		int error;
	} cases[] = {{make_malformed, -EINVAL},	    {make_truncated, -ENODATA}, {make_bridged, -EOPNOTSUPP},
		     {make_banned, -EPERM},	    {make_tunnel, -EOPNOTSUPP}, {make_arriving_segments, -EOPNOTSUPP},
		     {make_sctp_segments, -EOPNOTSUPP}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vd_packet *packet = cases[i].make();

		assert_int_equal(vd_packet_may_edit(packet), cases[i].error);
		assert_int_equal(packet->edit_refused, 0); /* asking is not trying */
		free(packet);
		every_call_fails(cases[i].make, cases[i].error);
	}
}

static void other_than_ip(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_udp(4, 0, 10);
	for (enum call which = 0; which < CALLS; which++) {
		packet = bytes_packet(bytes.data, bytes.used, bytes.used, bytes.used, 0x0806, 0);
		fails(packet, which, -EPROTONOSUPPORT);
	}
}

static void the_wrong_protocol(void **state)
{
	static const uint8_t without_ports[] = {1, 47, 50, 89, 4};

	(void)state;
	for (size_t i = 0; i < sizeof without_ports; i++)
		for (enum call which = SOURCE_PORT; which <= MSS; which++) {
			put_ip(4, without_ports[i], 0);
			bytes_put_fill(&bytes, 0, 40);
			bytes_end_ip(&bytes);
			fails(packet_with(0), which, -EPROTONOSUPPORT);
		}
	/* what a checksum of theirs would be is not known */
	for (size_t i = 2; i < sizeof without_ports; i++)
		for (enum call which = WRITE; which <= DELETE; which++) {
			put_ip(4, without_ports[i], 0);
			bytes_put_fill(&bytes, 0, 40);
			bytes_end_ip(&bytes);
			fails(packet_with(0), which, -EPROTONOSUPPORT);
		}
}

static void numbers_out_of_range(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_tcp(4, 2, "020405b4 01030307", 20);
	packet = packet_with(0);
	assert_int_equal(vd_packet_set_ttl(packet, 256), -EINVAL);
	assert_int_equal(vd_packet_set_dscp(packet, 64), -EINVAL);
	assert_int_equal(vd_packet_set_ecn(packet, 4), -EINVAL);
	assert_int_equal(vd_packet_set_source_port(packet, 65536), -EINVAL);
	assert_int_equal(vd_packet_set_destination_port(packet, UINT32_MAX), -EINVAL);
	assert_int_equal(vd_packet_set_tcp_flags(packet, 256), -EINVAL);
	assert_int_equal(vd_packet_set_tcp_window(packet, 65536), -EINVAL);
	assert_int_equal(vd_packet_set_tcp_option(packet, 1, "", 0), -EINVAL);
	assert_int_equal(vd_packet_set_tcp_option(packet, 256, "", 0), -EINVAL);
	assert_int_equal(vd_packet_set_tcp_option(packet, 3, "xx", 2), -EINVAL);
	assert_int_equal(vd_packet_remove_tcp_option(packet, 0), -EINVAL);
	assert_int_equal(vd_packet_remove_tcp_option(packet, 5), -ENOENT);
	assert_int_equal(vd_packet_clamp_mss(packet, 0), -EINVAL);
	assert_int_equal(vd_packet_clamp_mss(packet, 65536), -EINVAL);
	assert_int_equal(packet->edited | packet->changed | packet->edit_refused, 0);
	assert_memory_equal(vd_packet_data(packet), bytes.data, bytes.used);
	free(packet);
}

static void beyond_the_payload(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		struct vd_packet *packet = udp(version);

		assert_int_equal(vd_packet_write_payload(packet, 100, "x", 1), -EINVAL);
		assert_int_equal(vd_packet_write_payload(packet, 101, "", 0), -EINVAL);
		assert_int_equal(vd_packet_write_payload(packet, 99, "xy", 2), -EINVAL);
		assert_int_equal(vd_packet_write_payload(packet, UINT32_MAX, "x", 1), -EINVAL);
		assert_int_equal(vd_packet_write_payload(packet, 1, "x", UINT32_MAX), -EINVAL);
		assert_int_equal(vd_packet_insert_payload(packet, 101, "x", 1), -EINVAL);
		assert_int_equal(vd_packet_delete_payload(packet, 50, 51), -EINVAL);
		assert_int_equal(vd_packet_delete_payload(packet, 50, UINT32_MAX), -EINVAL);
		assert_int_equal(packet->edited | packet->changed | packet->edit_refused, 0);
		assert_memory_equal(vd_packet_data(packet), bytes.data, bytes.used);
		assert_int_equal(vd_packet_write_payload(packet, 100, "", 0), 0);
		assert_int_equal(vd_packet_write_payload(packet, 99, "x", 1), 0);
		free(packet);
	}
}

static void beyond_the_room(void **state)
{
	static uint8_t much[70000];

	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		struct vd_packet *packet = udp(version);

		assert_int_equal(vd_packet_insert_payload(packet, 7, much, ROOM + 1), -EMSGSIZE);
		assert_int_equal(vd_packet_replace_payload(packet, much, 100 + ROOM + 1), -EMSGSIZE);
		assert_int_equal(vd_packet_replace_payload(packet, much, sizeof much), -EMSGSIZE);
		assert_int_equal(packet->edit_refused, EMSGSIZE);
		assert_int_equal(packet->edited | packet->changed, 0);
		assert_memory_equal(vd_packet_data(packet), bytes.data, bytes.used);
		assert_int_equal(vd_packet_insert_payload(packet, 7, much, ROOM), 0); /* and not a byte more */
		assert_int_equal(vd_packet_insert_payload(packet, 7, much, 1), -EMSGSIZE);
		assert_int_equal(vd_packet_verify(packet), 0);
		free(packet);
	}
	/* longer than a message to the kernel can be */
	put_udp(4, 0, 65531 - 28 - 10);
	{
		struct vd_packet *packet = packet_with(0);

		assert_int_equal(vd_packet_insert_payload(packet, 0, much, 11), -EMSGSIZE);
		assert_int_equal(vd_packet_insert_payload(packet, 0, much, 10), 0);
		assert_int_equal(vd_packet_verify(packet), 0);
		free(packet);
	}
}

/* ---- fragments ---- */

static void fragments_are_edited_where_that_is_right(void **state)
{
	struct vd_packet *packet;

	(void)state;
	for (enum call which = 0; which < CALLS; which++) {
		bool is_length = which == REPLACE_PAYLOAD || which == INSERT || which == DELETE;

		/* the first */
		put_udp(4, 0x2000, 104);
		packet = packet_with(0);
		if (is_length)
			fails(packet, which, -EOPNOTSUPP);
		else if (which >= FLAGS && which <= MSS)
			fails(packet, which, -EPROTONOSUPPORT);
		else {
			assert_int_equal(call(packet, which), 0);
			free(packet);
		}
		/* a later one: addresses, but no ports; what it carries is summed up in the first */
		put_udp(4, 0x2005, 104);
		packet = packet_with(0);
		if (which <= ECN || which == REPLACE) {
			assert_int_equal(call(packet, which), 0);
			free(packet);
		} else {
			fails(packet, which, which >= WRITE ? -EOPNOTSUPP : -EPROTONOSUPPORT);
		}
	}
}

/* ---- checksums with a rule of their own ---- */

/* Of UDP the computed checksum 0 is sent as 0xffff: for each way to complete it, a payload that comes to that. */
static void a_computed_zero_is_sent_as_ones(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2)
		for (unsigned is_lite = 0; is_lite < 2; is_lite++)
			for (unsigned in_full = 0; in_full < 2; in_full++) {
				struct vd_packet *packet;
				uint32_t transport, sum;
				uint8_t *field, word[2];

				put_ip(version, is_lite ? 136 : 17, 0);
				transport = bytes.used;
				bytes_put_udp(&bytes, 1000, 53, 2);
				if (is_lite)
					bytes_set_be16(&bytes, transport + 4, 0);
				bytes_set_be16(&bytes, transport + 6, 1);
				bytes_put_fill(&bytes, 0, 2);
				bytes_end_ip(&bytes);
				model_complete(bytes.data, bytes.used);
				sum = (uint32_t)bytes.data[transport + 6] << 8 | bytes.data[transport + 7];
				if (in_full)
					assert_true(model_set_not_ready(bytes.data, bytes.used));
				packet = packet_with(in_full ? VD_SKB_CHECKSUM_NOT_READY : 0);
				/* as much more as is missing to all ones */
				word[0] = (uint8_t)(sum >> 8);
				word[1] = (uint8_t)sum;
				assert_int_equal(vd_packet_write_payload(packet, 0, word, 2), 0);
				vd_packet_complete(packet);
				field = (uint8_t *)(packet + 1) + transport + 6;
				assert_int_equal(field[0] << 8 | field[1], 0xffff);
				assert_int_equal(vd_packet_verify(packet), 0);
				free(packet);
			}
}

/* TCP's may be 0. */
static void tcp_may_have_zero(void **state)
{
	(void)state;
	for (unsigned in_full = 0; in_full < 2; in_full++) {
		struct vd_packet *packet;
		uint32_t sum;

		put_tcp(4, 16, "", 0);
		sum = (uint32_t)bytes.data[36] << 8 | bytes.data[37];
		if (in_full)
			assert_true(model_set_not_ready(bytes.data, bytes.used));
		packet = packet_with(in_full ? VD_SKB_CHECKSUM_NOT_READY : 0);
		assert_int_equal(vd_packet_tcp_acknowledgment(packet), 0);
		assert_int_equal(vd_packet_set_tcp_acknowledgment(packet, sum), 0);
		vd_packet_complete(packet);
		assert_int_equal(((uint8_t *)(packet + 1))[36] | ((uint8_t *)(packet + 1))[37], 0);
		assert_int_equal(vd_packet_verify(packet), 0);
		free(packet);
	}
}

static void udp_without_a_checksum(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2)
		for (enum call which = 0; which < CALLS; which++) {
			struct vd_packet *packet;
			uint32_t field = version == 4 ? 26 : 46;
			bool has_none;

			if (which >= FLAGS && which <= MSS)
				continue;
			put_udp(version, 0, 100);
			bytes_set_be16(&bytes, field, 0);
			packet = packet_with(0);
			assert_int_equal(vd_packet_verify(packet), version == 4 ? 0 : -EBADMSG);
			assert_int_equal(call(packet, which), 0);
			assert_int_equal(vd_packet_verify(packet), 0);
			has_none = !vd_packet_data(packet)[field] && !vd_packet_data(packet)[field + 1];
			assert_int_equal(has_none, version == 4);
			free(packet);
		}
}

/* All zeros, its checksum is 0xffff, and nothing else is right: RFC 1071 has two zeros. */
static void an_echo_of_zeros(void **state)
{
	struct vd_packet *packet;
	static const uint8_t zeros[10];

	(void)state;
	put_ip(4, 1, 0);
	bytes_put_fill(&bytes, 0, 8);
	bytes_put_fill(&bytes, 0x11, 10);
	bytes_end_ip(&bytes);
	model_complete(bytes.data, bytes.used);
	packet = packet_with(0);
	assert_int_equal(vd_packet_delete_payload(packet, 0, 8), 0);
	assert_int_equal(vd_packet_replace_payload(packet, zeros, 4), 0);
	assert_int_equal(vd_packet_verify(packet), 0);
	assert_int_equal(vd_packet_data(packet)[22] << 8 | vd_packet_data(packet)[23], 0xffff);
	free(packet);
}

/* Whatever checksums the new bytes bring. */
static void a_replaced_packet_is_completed_in_full(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		struct vd_packet *packet = udp(version);
		uint8_t copy[200];

		memcpy(copy, bytes.data, bytes.used);
		copy[bytes.used - 1] ^= 0xff;
		copy[bytes.used - 102] ^= 0xff; /* the checksum */
		copy[10] ^= version == 4 ? 0xff : 0;
		assert_int_equal(vd_packet_replace(packet, copy, bytes.used), 0);
		assert_int_equal(vd_packet_verify(packet), 0);
		assert_int_equal(vd_packet_data(packet)[bytes.used - 1], copy[bytes.used - 1]);
		free(packet);
	}
}

static void padding_is_left_behind(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_udp(4, 0, 4);
	bytes_put_fill(&bytes, 0xee, 14); /* a frame has to have 46 bytes */
	packet = packet_with(0);
	assert_int_equal(vd_packet_set_ttl(packet, 9), 0);
	assert_int_equal(packet->length, 32);
	assert_int_equal(packet->wire_length, 32);
	assert_int_equal(vd_packet_verify(packet), 0);
	free(packet);
}

/* An edit, a refusal, an edit: the engine hears of it, whatever came behind. */
static void a_refusal_is_not_forgotten(void **state)
{
	struct vd_packet *packet = udp(4);
	static uint8_t much[1000];

	(void)state;
	assert_int_equal(vd_packet_set_ttl(packet, 9), 0);
	assert_int_equal(vd_packet_insert_payload(packet, 0, much, sizeof much), -EMSGSIZE);
	assert_int_equal(vd_packet_set_ttl(packet, 10), 0);
	assert_int_equal(packet->edit_refused, EMSGSIZE);
	free(packet);
}

static void accessors_tell_the_new_truth(void **state)
{
	struct vd_packet *packet;
	uint32_t length;

	(void)state;
	put_tcp(4, 2, "020405b4 01030307", 20);
	packet = packet_with(0);
	assert_int_equal(vd_packet_set_source(packet, ADDRESS), 0);
	assert_memory_equal(vd_packet_source(packet), ADDRESS, 4);
	assert_int_equal(vd_packet_set_ttl(packet, 77), 0);
	assert_int_equal(vd_packet_ttl(packet), 77);
	assert_int_equal(vd_packet_set_dscp(packet, 46), 0);
	assert_int_equal(vd_packet_set_ecn(packet, 3), 0);
	assert_int_equal(vd_packet_dscp(packet), 46);
	assert_int_equal(vd_packet_ecn(packet), 3);
	assert_int_equal(vd_packet_set_tcp_sequence(packet, 0xfedcba98), 0);
	assert_int_equal(vd_packet_tcp_sequence(packet), 0xfedcba98);
	assert_int_equal(vd_packet_set_tcp_acknowledgment(packet, 0x89abcdef), 0);
	assert_int_equal(vd_packet_tcp_acknowledgment(packet), 0x89abcdef);
	assert_int_equal(vd_packet_set_tcp_window(packet, 0x1234), 0);
	assert_int_equal(vd_packet_tcp_window(packet), 0x1234);
	assert_int_equal(vd_packet_set_tcp_flags(packet, 0xc2), 0);
	assert_int_equal(vd_packet_tcp_flags(packet), 0xc2);
	assert_int_equal(vd_packet_clamp_mss(packet, 1000), 1);
	assert_int_equal(vd_packet_clamp_mss(packet, 1001), 0);
	assert_memory_equal(vd_packet_tcp_option(packet, 2, &length), "\x03\xe8", 2);
	assert_int_equal(length, 2);
	assert_int_equal(vd_packet_remove_tcp_option(packet, 2), 0);
	assert_null(vd_packet_tcp_option(packet, 2, &length));
	assert_int_equal(vd_packet_clamp_mss(packet, 900), -ENOENT);
	assert_non_null(vd_packet_tcp_option(packet, 3, &length));
	assert_int_equal(vd_packet_insert_payload(packet, 0, "front ", 6), 0);
	assert_memory_equal(vd_packet_payload(packet, &length), "front aaaa", 10);
	assert_int_equal(length, 26);
	assert_int_equal(vd_packet_verify(packet), 0);
	free(packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_that_cannot_be_edited),
		cmocka_unit_test(other_than_ip),
		cmocka_unit_test(the_wrong_protocol),
		cmocka_unit_test(numbers_out_of_range),
		cmocka_unit_test(beyond_the_payload),
		cmocka_unit_test(beyond_the_room),
		cmocka_unit_test(fragments_are_edited_where_that_is_right),
		cmocka_unit_test(a_computed_zero_is_sent_as_ones),
		cmocka_unit_test(tcp_may_have_zero),
		cmocka_unit_test(udp_without_a_checksum),
		cmocka_unit_test(an_echo_of_zeros),
		cmocka_unit_test(a_replaced_packet_is_completed_in_full),
		cmocka_unit_test(padding_is_left_behind),
		cmocka_unit_test(a_refusal_is_not_forgotten),
		cmocka_unit_test(accessors_tell_the_new_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
