/* SPDX-License-Identifier: MIT */
/*
 * vd_packet_replace(): what is allowed, what is refused and with which error, and that a refusal changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "test/support/bytes.h"

#define IP 0x0800
#define IPV6 0x86dd
#define ROOM 256

static struct bytes before, after;

static void put_udp4(struct bytes *bytes, uint32_t data_length)
{
	bytes_reset(bytes);
	bytes_put_ipv4(bytes, 0x0a000001, 0x0a000002, 17, 0);
	bytes_put_udp(bytes, 1000, 53, (uint16_t)data_length);
	bytes_put_fill(bytes, 'a', data_length);
	bytes_end_ip(bytes);
}

static void put_udp6(struct bytes *bytes, uint32_t data_length)
{
	bytes_reset(bytes);
	bytes_put_ipv6(bytes, 1, 2, 17);
	bytes_put_udp(bytes, 1000, 53, (uint16_t)data_length);
	bytes_put_fill(bytes, 'a', data_length);
	bytes_end_ip(bytes);
}

static void copy(struct bytes *to, const struct bytes *from)
{
	bytes_reset(to);
	bytes_put(to, from->data, from->used);
}

static struct vd_packet *packet_of(const struct bytes *bytes)
{
	return bytes_packet(bytes->data, bytes->used, bytes->used, bytes->used + ROOM, bytes->data[0] >> 4 == 6 ? IPV6 : IP, 0);
}

/* The replacement lies in a block of its own size: reading on is seen. */
static int replace(struct vd_packet *packet, const struct bytes *with, uint32_t length)
{
	void *data = malloc(length ? length : 1);
	int result;

	assert_non_null(data);
	memcpy(data, with->data, length);
	result = vd_packet_replace(packet, data, length);
	free(data);
	return result;
}

/* Refused with this error, and not one byte is different: neither the packet's struct, nor its data, nor the room behind it. */
static void refuses(struct vd_packet *packet, const struct bytes *with, uint32_t length, int error)
{
	size_t size = sizeof *packet + packet->room;
	void *copied = malloc(size);

	assert_non_null(copied);
	memcpy(copied, packet, size);
	assert_int_equal(replace(packet, with, length), error);
	/* but for the note that something was wanted, where it was more than a mistake */
	assert_int_equal(packet->edit_refused, error == -EINVAL ? 0 : -error);
	packet->edit_refused = 0;
	assert_memory_equal(packet, copied, size);
	assert_null(bytes_accessor_fault(packet));
	free(copied);
}

static void refuses_after(int error)
{
	struct vd_packet *packet = packet_of(&before);

	refuses(packet, &after, after.used, error);
	free(packet);
}

/* Taken, and what the accessors say is what a fresh parse of the new bytes says. */
static void takes(struct vd_packet *packet, const struct bytes *with)
{
	struct vd_packet *fresh = bytes_packet(with->data, with->used, with->used, 0, packet->ethertype, packet->skb_info);
	uint32_t id = packet->id, mark = packet->mark, room = packet->room, original = packet->original_length;
	uint32_t length, fresh_length;
	const uint8_t *payload, *fresh_payload;

	assert_int_equal(replace(packet, with, with->used), 0);
	assert_int_equal(vd_packet_length(packet), with->used);
	assert_int_equal(vd_packet_wire_length(packet), with->used);
	assert_false(vd_packet_is_truncated(packet));
	assert_memory_equal(vd_packet_data(packet), with->data, with->used);
	assert_true(packet->changed & VD_CHANGED_DATA);
	assert_int_equal(packet->room, room);
	assert_int_equal(packet->id, id);
	assert_int_equal(packet->mark, mark);
	assert_int_equal(packet->original_length, original);
	assert_int_equal(vd_packet_ip_version(packet), vd_packet_ip_version(fresh));
	assert_int_equal(vd_packet_protocol(packet), vd_packet_protocol(fresh));
	assert_int_equal(packet->transport_offset, fresh->transport_offset);
	assert_int_equal(packet->parsed, fresh->parsed);
	assert_int_equal(vd_packet_fragment_offset(packet), vd_packet_fragment_offset(fresh));
	assert_int_equal(vd_packet_source_port(packet), vd_packet_source_port(fresh));
	assert_int_equal(vd_packet_destination_port(packet), vd_packet_destination_port(fresh));
	payload = vd_packet_payload(packet, &length);
	fresh_payload = vd_packet_payload(fresh, &fresh_length);
	assert_int_equal(!payload, !fresh_payload);
	assert_int_equal(length, fresh_length);
	if (payload)
		assert_memory_equal(payload, fresh_payload, length);
	assert_null(bytes_accessor_fault(packet));
	free(fresh);
}

static void takes_after(void)
{
	struct vd_packet *packet = packet_of(&before);

	packet->id = 4711;
	packet->mark = 7;
	packet->flow_hash = 0xabcd;
	takes(packet, &after);
	assert_int_equal(vd_packet_flow_hash(packet), 0xabcd); /* the packet stays in its shard */
	free(packet);
}

static void grows_and_shrinks_to_every_length_up_to_the_room(void **state)
{
	(void)state;
	for (uint32_t data = 0; data <= 100 + ROOM; data++) {
		put_udp4(&before, 100);
		put_udp4(&after, data);
		takes_after();
		put_udp6(&before, 100);
		put_udp6(&after, data);
		takes_after();
	}
}

static void refuses_to_grow_beyond_the_room(void **state)
{
	(void)state;
	put_udp4(&before, 100);
	put_udp4(&after, 100 + ROOM + 1);
	refuses_after(-EMSGSIZE);
	put_udp4(&after, 60000);
	refuses_after(-EMSGSIZE);
	put_udp6(&before, 100);
	put_udp6(&after, 100 + ROOM + 1);
	refuses_after(-EMSGSIZE);
}

static void refuses_a_packet_that_was_copied_in_part(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_udp4(&before, 100);
	packet = bytes_packet(before.data, before.used - 1, before.used, before.used + ROOM, IP, 0);
	refuses(packet, &before, before.used, -ENODATA);
	refuses(packet, &before, before.used - 1, -ENODATA);
	free(packet);
}

static void refuses_lengths_that_do_not_agree(void **state)
{
	(void)state;
	put_udp4(&before, 100);
	for (int wrong = -3; wrong <= 3; wrong++) {
		if (!wrong)
			continue;
		put_udp4(&after, 100);
		bytes_set_be16(&after, 2, (uint16_t)((int)after.used + wrong));
		refuses_after(-EINVAL);
	}
	put_udp6(&before, 100);
	for (int wrong = -3; wrong <= 3; wrong++) {
		if (!wrong)
			continue;
		put_udp6(&after, 100);
		bytes_set_be16(&after, 4, (uint16_t)((int)after.used - 40 + wrong));
		refuses_after(-EINVAL);
	}
}

/* Each prefix, lying about its length or not. */
static void refuses_every_stump(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_udp4(&before, 30);
	packet = packet_of(&before);
	for (uint32_t length = 0; length < before.used; length++) {
		copy(&after, &before);
		refuses(packet, &after, length, -EINVAL);
		bytes_set_be16(&after, 2, (uint16_t)length);
		refuses(packet, &after, length, -EINVAL); /* now the UDP length is beyond the end */
	}
	free(packet);
	put_udp6(&before, 30);
	packet = packet_of(&before);
	for (uint32_t length = 0; length < before.used; length++) {
		copy(&after, &before);
		refuses(packet, &after, length, -EINVAL);
		bytes_set_be16(&after, 4, (uint16_t)(length > 40 ? length - 40 : 0));
		refuses(packet, &after, length, -EINVAL);
	}
	free(packet);
}

static void refuses_another_ip_version(void **state)
{
	(void)state;
	put_udp4(&before, 100);
	put_udp6(&after, 80);
	refuses_after(-EINVAL);
	put_udp6(&before, 100);
	put_udp4(&after, 100);
	refuses_after(-EINVAL);
	put_udp4(&before, 100);
	put_udp4(&after, 100);
	after.data[0] = 0x05; /* no version at all */
	refuses_after(-EINVAL);
}

static void refuses_when_the_old_packet_is_malformed(void **state)
{
	(void)state;
	put_udp4(&before, 100);
	copy(&after, &before);
	bytes_set_be16(&before, 20 + 4, 7);
	refuses_after(-EINVAL);
}

static void refuses_when_the_new_packet_is_malformed(void **state)
{
	(void)state;
	put_udp4(&before, 100);
	copy(&after, &before);
	bytes_set_be16(&after, 20 + 4, 7);
	refuses_after(-EINVAL);
	copy(&after, &before);
	after.data[0] = 0x44;
	refuses_after(-EINVAL);
}

static void put_options4(struct bytes *bytes, const char *options)
{
	bytes_reset(bytes);
	bytes_put_ipv4(bytes, 0x0a000001, 0x0a000002, 17, 0);
	bytes_put_hex(bytes, options);
	bytes->data[0] = (uint8_t)(0x40 | bytes->used / 4);
	bytes_put_udp(bytes, 1000, 53, 4);
	bytes_put_hex(bytes, "61626364");
	bytes_end_ip(bytes);
}

static void refuses_changed_ip_options(void **state)
{
	(void)state;
	put_options4(&before, "01010101 94040000");
	put_options4(&after, "01010101 94040001");
	refuses_after(-EOPNOTSUPP);
	put_options4(&after, "01010100 94040000");
	refuses_after(-EOPNOTSUPP);
	put_options4(&after, "01010101");
	refuses_after(-EOPNOTSUPP);
	put_options4(&after, "");
	refuses_after(-EOPNOTSUPP);
	put_options4(&before, "");
	put_options4(&after, "01010101");
	refuses_after(-EOPNOTSUPP);
}

static void takes_unchanged_ip_options(void **state)
{
	(void)state;
	put_options4(&before, "01010101 94040000");
	put_options4(&after, "01010101 94040000");
	after.data[28] ^= 0xff; /* a port */
	takes_after();
}

static void takes_another_dont_fragment(void **state)
{
	(void)state;
	put_udp4(&before, 10);
	copy(&after, &before);
	bytes_set_be16(&after, 6, 0x4000);
	takes_after();
	bytes_set_be16(&before, 6, 0x4000);
	bytes_set_be16(&after, 6, 0);
	takes_after();
}

static void refuses_other_fragment_fields(void **state)
{
	const uint16_t fields[] = {0x2000, 0x0001, 0x0010, 0x1000, 0x8000, 0x2001, 0x6000, 0x4001};

	(void)state;
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		put_udp4(&before, 16);
		copy(&after, &before);
		bytes_set_be16(&after, 6, fields[i]);
		refuses_after(-EOPNOTSUPP);
		bytes_set_be16(&before, 6, fields[i]);
		bytes_set_be16(&after, 6, fields[i] & 0x4000);
		refuses_after(-EOPNOTSUPP);
	}
	bytes_set_be16(&before, 6, 0x2002); /* a later fragment stays where it is */
	bytes_set_be16(&after, 6, 0x2003);
	refuses_after(-EOPNOTSUPP);
}

static void takes_other_data_in_a_fragment(void **state)
{
	(void)state;
	for (uint16_t fragment = 0x2000; fragment <= 0x2002; fragment++) {
		put_udp4(&before, 16);
		bytes_set_be16(&before, 6, fragment);
		copy(&after, &before);
		after.data[30] ^= 0xff;
		takes_after();
	}
}

static void put_chain6(struct bytes *bytes, uint8_t next, const char *extensions)
{
	bytes_reset(bytes);
	bytes_put_ipv6(bytes, 1, 2, next);
	bytes_put_hex(bytes, extensions);
	bytes_put_udp(bytes, 1000, 53, 4);
	bytes_put_hex(bytes, "61626364");
	bytes_end_ip(bytes);
}

static void refuses_changed_extension_headers(void **state)
{
	(void)state;
	put_chain6(&before, 60, "11 00 0104 00000000");
	put_chain6(&after, 60, "11 00 0104 00000001");
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 60, "11 01 010c 00000000 0000000000000000");
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 0, "11 00 0104 00000000"); /* the same bytes, now hop-by-hop options */
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 17, "");
	refuses_after(-EOPNOTSUPP);
	put_chain6(&before, 17, "");
	put_chain6(&after, 60, "11 00 0104 00000000");
	refuses_after(-EOPNOTSUPP);
}

static void takes_unchanged_extension_headers(void **state)
{
	(void)state;
	put_chain6(&before, 60, "11 00 0104 00000000");
	copy(&after, &before);
	after.data[49] ^= 0xff; /* a port */
	takes_after();
	put_chain6(&before, 44, "11 00 0000 00000007"); /* an atomic fragment */
	copy(&after, &before);
	after.data[after.used - 1] ^= 0xff;
	takes_after();
}

static void refuses_changed_fragment_headers_of_ipv6(void **state)
{
	(void)state;
	put_chain6(&before, 44, "11 00 0001 00000007"); /* first */
	put_chain6(&after, 44, "11 00 0000 00000007");
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 44, "11 00 0001 00000008");
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 44, "11 00 0009 00000007");
	refuses_after(-EOPNOTSUPP);
}

static void refuses_changed_headers_of_a_later_fragment_of_ipv6(void **state)
{
	(void)state;
	put_chain6(&before, 44, "11 00 0009 00000007");
	put_chain6(&after, 44, "11 00 0011 00000007"); /* elsewhere in the datagram */
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 44, "11 00 0008 00000007"); /* now the last */
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 44, "11 00 0009 00000008"); /* of another datagram */
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 44, "06 00 0009 00000007"); /* of another protocol */
	refuses_after(-EOPNOTSUPP);
	put_chain6(&before, 0, "2c 00 0104 00000000 11 00 0009 00000007");
	put_chain6(&after, 0, "2c 00 0104 00000001 11 00 0009 00000007"); /* options in front of it */
	refuses_after(-EOPNOTSUPP);
	put_chain6(&after, 44, "11 00 0009 00000007");
	refuses_after(-EOPNOTSUPP);
}

static void takes_other_data_in_a_later_fragment_of_ipv6(void **state)
{
	(void)state;
	put_chain6(&before, 44, "11 00 0009 00000007");
	copy(&after, &before);
	after.data[after.used - 1] ^= 0xff;
	takes_after();
}

static void takes_a_second_replacement_and_then_a_third(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_udp4(&before, 10);
	packet = packet_of(&before);
	put_udp4(&after, 10 + ROOM);
	takes(packet, &after);
	put_udp4(&after, 0);
	takes(packet, &after);
	put_udp4(&after, 10 + ROOM); /* room does not shrink with the packet */
	takes(packet, &after);
	free(packet);
}

/* The link's padding behind a short packet is no part of it: the packet can be replaced, and is as long as it says. */
static void takes_a_packet_that_had_padding(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_udp4(&before, 1);
	bytes_put_fill(&before, 0, 17);
	put_udp4(&after, 1);
	packet = packet_of(&before);
	takes(packet, &after);
	free(packet);
}

/* Newest kernels take no rewrite on a bridge's queue. */
static void refuses_on_a_bridge(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_udp4(&before, 10);
	put_udp4(&after, 5);
	packet = packet_of(&before);
	packet->family = 7;
	assert_int_equal(replace(packet, &after, after.used), -EOPNOTSUPP);
	assert_int_equal(packet->length, before.used);
	assert_false(packet->changed & VD_CHANGED_DATA);
	free(packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_shrinks_to_every_length_up_to_the_room),
		cmocka_unit_test(refuses_to_grow_beyond_the_room),
		cmocka_unit_test(refuses_a_packet_that_was_copied_in_part),
		cmocka_unit_test(refuses_lengths_that_do_not_agree),
		cmocka_unit_test(refuses_every_stump),
		cmocka_unit_test(refuses_another_ip_version),
		cmocka_unit_test(refuses_when_the_old_packet_is_malformed),
		cmocka_unit_test(refuses_when_the_new_packet_is_malformed),
		cmocka_unit_test(refuses_changed_ip_options),
		cmocka_unit_test(takes_unchanged_ip_options),
		cmocka_unit_test(takes_another_dont_fragment),
		cmocka_unit_test(refuses_other_fragment_fields),
		cmocka_unit_test(takes_other_data_in_a_fragment),
		cmocka_unit_test(refuses_changed_extension_headers),
		cmocka_unit_test(takes_unchanged_extension_headers),
		cmocka_unit_test(refuses_changed_fragment_headers_of_ipv6),
		cmocka_unit_test(refuses_changed_headers_of_a_later_fragment_of_ipv6),
		cmocka_unit_test(takes_other_data_in_a_later_fragment_of_ipv6),
		cmocka_unit_test(takes_a_second_replacement_and_then_a_third),
		cmocka_unit_test(takes_a_packet_that_had_padding),
		cmocka_unit_test(refuses_on_a_bridge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
