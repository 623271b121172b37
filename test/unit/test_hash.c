/* SPDX-License-Identifier: MIT */
/*
 * lib/packet/hash.c: both directions meet, fragments meet, flows spread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/bytes.h"

#define KEY 0x5eed5eed12345678u
#define CLIENT 0x0a000001
#define SERVER 0x0a000002

#define TCP 6
#define UDP 17
#define SCTP 132
#define UDPLITE 136
#define DCCP 33

static struct bytes bytes;

static uint32_t hash_now(uint64_t key)
{
	struct vd_packet *packet = bytes_packet_of(&bytes);
	uint32_t hash = vd_packet_compute_flow_hash(packet, key);

	assert_false(vd_packet_is_malformed(packet));
	free(packet);
	return hash;
}

static void put_ip(unsigned version, uint32_t source, uint32_t destination, uint8_t protocol)
{
	bytes_reset(&bytes);
	if (version == 4)
		bytes_put_ipv4(&bytes, source, destination, protocol, 0);
	else
		bytes_put_ipv6(&bytes, source, destination, protocol);
}

static void put_transport(uint8_t protocol, uint16_t source_port, uint16_t destination_port)
{
	if (protocol == TCP) {
		bytes_put_tcp(&bytes, source_port, destination_port, 0x10);
	} else if (protocol == UDP || protocol == UDPLITE) {
		bytes_put_udp(&bytes, source_port, destination_port, 0);
	} else {
		bytes_put_number(&bytes, source_port, 2);
		bytes_put_number(&bytes, destination_port, 2);
		bytes_put_hex(&bytes, protocol == DCCP ? "04 00 0000 04 000001 00000002" : "00000001 00000000 0b000004");
	}
	bytes_end_ip(&bytes);
}

static uint32_t hash(unsigned version, uint8_t protocol, uint32_t source, uint16_t source_port, uint32_t destination,
		     uint16_t destination_port, uint64_t key)
{
	put_ip(version, source, destination, protocol);
	put_transport(protocol, source_port, destination_port);
	return hash_now(key);
}

static void both_directions_have_one_hash(void **state)
{
	const uint8_t protocols[] = {TCP, UDP, SCTP, UDPLITE, DCCP};
	uint64_t random = bytes_seed("symmetric hash");

	(void)state;
	for (int round = 0; round < 5000; round++) {
		unsigned version = bytes_random(&random) & 1 ? 4 : 6;
		uint8_t protocol = protocols[bytes_random_below(&random, sizeof protocols)];
		uint32_t a = (uint32_t)bytes_random(&random), b = (uint32_t)bytes_random(&random);
		uint16_t a_port = (uint16_t)bytes_random(&random), b_port = (uint16_t)bytes_random(&random);
		uint64_t key = bytes_random(&random);

		assert_int_equal(hash(version, protocol, a, a_port, b, b_port, key),
				 hash(version, protocol, b, b_port, a, a_port, key));
	}
}

/* Were ports and addresses mixed apart from each other, these two connections would be one. */
static void exchanged_ports_are_another_flow(void **state)
{
	(void)state;
	assert_int_not_equal(hash(4, TCP, CLIENT, 1000, SERVER, 80, KEY), hash(4, TCP, CLIENT, 80, SERVER, 1000, KEY));
	assert_int_not_equal(hash(6, TCP, CLIENT, 1000, SERVER, 80, KEY), hash(6, TCP, CLIENT, 80, SERVER, 1000, KEY));
}

static void every_part_of_the_flow_counts(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		uint32_t one = hash(version, TCP, CLIENT, 1000, SERVER, 80, KEY);

		assert_int_not_equal(one, hash(version, UDP, CLIENT, 1000, SERVER, 80, KEY));
		assert_int_not_equal(one, hash(version, TCP, CLIENT + 1, 1000, SERVER, 80, KEY));
		assert_int_not_equal(one, hash(version, TCP, CLIENT, 1001, SERVER, 80, KEY));
		assert_int_not_equal(one, hash(version, TCP, CLIENT, 1000, SERVER + 1, 80, KEY));
		assert_int_not_equal(one, hash(version, TCP, CLIENT, 1000, SERVER, 81, KEY));
	}
}

static void all_of_an_ipv6_address_counts(void **state)
{
	(void)state;
	for (unsigned address = 8; address <= 24; address += 16)
		for (unsigned byte = 0; byte < 16; byte++) {
			uint32_t before;

			put_ip(6, CLIENT, SERVER, UDP);
			put_transport(UDP, 1000, 53);
			before = hash_now(KEY);
			bytes.data[address + byte] ^= 1;
			assert_int_not_equal(hash_now(KEY), before);
		}
}

static void what_is_not_the_flow_does_not_count(void **state)
{
	uint32_t first;

	(void)state;
	put_ip(4, CLIENT, SERVER, TCP);
	put_transport(TCP, 1000, 80);
	first = hash_now(KEY);
	bytes.data[1] = 0xb8;	     /* type of service */
	bytes.data[4] ^= 0xff;	     /* identification */
	bytes.data[8] = 1;	     /* time to live */
	bytes.data[20 + 7] ^= 0xff;  /* sequence number */
	bytes.data[20 + 13] = 0x11;  /* FIN */
	bytes_put_fill(&bytes, 'a', 100);
	bytes_end_ip(&bytes);
	assert_int_equal(hash_now(KEY), first);
}

static void another_key_is_another_hash(void **state)
{
	uint64_t random = bytes_seed("keys");
	unsigned same = 0;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		uint64_t one = bytes_random(&random), other = bytes_random(&random);

		same += hash(4, TCP, CLIENT, 1000, SERVER, 80, one) == hash(4, TCP, CLIENT, 1000, SERVER, 80, other);
		same += hash(6, TCP, CLIENT, 1000, SERVER, 80, one) == hash(6, TCP, CLIENT, 1000, SERVER, 80, other);
	}
	assert_int_equal(same, 0);
}

/* Flows that meet under one key must part under others: else a sender could choose the shard after all. */
static void flows_that_collide_under_one_key_do_not_under_another(void **state)
{
	unsigned collisions = 0, again = 0;

	(void)state;
	for (unsigned version = 4; version <= 6; version += 2)
		for (uint32_t port = 1024; port < 5120; port++)
			if ((hash(version, TCP, CLIENT, (uint16_t)port, SERVER, 80, KEY) & 31) == 0) {
				collisions++;
				again += (hash(version, TCP, CLIENT, (uint16_t)port, SERVER, 80, ~KEY * 3) & 31) == 0;
			}
	assert_in_range(collisions, 150, 400); /* 256 are expected */
	assert_true(again < collisions / 4);   /* 1 in 32 */
}

static void ipv4_fragments_of_a_datagram_have_one_hash(void **state)
{
	uint32_t first;

	(void)state;
	put_ip(4, CLIENT, SERVER, UDP);
	bytes_set_be16(&bytes, 6, 0x2000);
	bytes_put_udp(&bytes, 1000, 53, 2000);
	bytes_put_fill(&bytes, 'a', 1472);
	bytes_end_ip(&bytes);
	first = hash_now(KEY);

	put_ip(4, CLIENT, SERVER, UDP);
	bytes_set_be16(&bytes, 6, 1480 / 8);
	bytes_put_fill(&bytes, 'b', 528);
	bytes_end_ip(&bytes);
	assert_int_equal(hash_now(KEY), first);
}

/*
 * An IPv6 fragment: `behind` is what the fragment header says comes next, also in the later ones, which begin anywhere in
 * the middle (RFC 8200, 4.5).
 */
static void put_fragment6(uint8_t behind, uint16_t offset_and_more)
{
	put_ip(6, CLIENT, SERVER, 44);
	bytes_put_number(&bytes, behind, 1);
	bytes_put_number(&bytes, 0, 1);
	bytes_put_number(&bytes, offset_and_more, 2);
	bytes_put_number(&bytes, 7, 4);
}

static void ipv6_fragments_of_a_datagram_have_one_hash(void **state)
{
	uint32_t first;

	(void)state;
	put_fragment6(UDP, 1);
	bytes_put_udp(&bytes, 1000, 53, 2000);
	bytes_end_ip(&bytes);
	first = hash_now(KEY);
	put_fragment6(UDP, 1440 | 1);
	bytes_put_fill(&bytes, 'b', 64);
	bytes_end_ip(&bytes);
	assert_int_equal(hash_now(KEY), first);
}

/* The first fragment shows what is behind the options; the later ones only know of the options. */
static void ipv6_fragments_with_options_in_them_have_one_hash(void **state)
{
	uint32_t first;

	(void)state;
	put_fragment6(60, 1);
	bytes_put_hex(&bytes, "11 00 0104 00000000");
	bytes_put_udp(&bytes, 1000, 53, 2000);
	bytes_end_ip(&bytes);
	first = hash_now(KEY);
	put_fragment6(60, 1440);
	bytes_put_fill(&bytes, 'b', 64);
	bytes_end_ip(&bytes);
	assert_int_equal(hash_now(KEY), first);
}

/* A small copy range shows of the first fragment that it is one, but not what is behind its options. */
static void ipv6_fragments_copied_in_part_have_one_hash(void **state)
{
	uint32_t wire, later;

	(void)state;
	put_fragment6(60, 1440);
	bytes_put_fill(&bytes, 'b', 200);
	bytes_end_ip(&bytes);
	later = hash_now(KEY);
	put_fragment6(60, 1);
	bytes_put_hex(&bytes, "11 0f 010c 00000000 0000000000000000 0170");
	bytes_put_fill(&bytes, 0, 128 - 18);
	bytes_put_udp(&bytes, 1000, 53, 2000);
	bytes_end_ip(&bytes);
	wire = bytes.used;
	for (uint32_t copied = 48; copied <= wire; copied++) {
		struct vd_packet *packet = bytes_packet(bytes.data, copied, wire, 0, 0x86dd, 0);

		assert_false(vd_packet_is_malformed(packet));
		assert_int_equal(vd_packet_compute_flow_hash(packet, KEY), later);
		free(packet);
	}
}

/* A first fragment too small for its TCP header (an old trick) still meets the rest. */
static void a_malformed_first_fragment_meets_the_later_ones(void **state)
{
	struct vd_packet *packet;
	uint32_t first;

	(void)state;
	put_fragment6(60, 1);
	bytes_put_hex(&bytes, "06 00 0104 00000000 03e8 0050 00000001");
	bytes_end_ip(&bytes);
	packet = bytes_packet_of(&bytes);
	first = vd_packet_compute_flow_hash(packet, KEY);
	free(packet);
	put_fragment6(60, 16);
	bytes_put_fill(&bytes, 'b', 64);
	bytes_end_ip(&bytes);
	assert_int_equal(hash_now(KEY), first);
}

static void put_echo(unsigned version, bool reply, uint16_t identifier, uint16_t sequence)
{
	put_ip(version, reply ? SERVER : CLIENT, reply ? CLIENT : SERVER, version == 4 ? 1 : 58);
	bytes_put_number(&bytes, version == 4 ? (reply ? 0 : 8) : (reply ? 129 : 128), 1);
	bytes_put_hex(&bytes, "00 0000");
	bytes_put_number(&bytes, identifier, 2);
	bytes_put_number(&bytes, sequence, 2);
	bytes_put_fill(&bytes, 'p', 56);
	bytes_end_ip(&bytes);
}

static void a_ping_and_its_reply_have_one_hash_and_other_pings_another(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		uint32_t request;

		put_echo(version, false, 77, 1);
		request = hash_now(KEY);
		put_echo(version, true, 77, 1);
		assert_int_equal(hash_now(KEY), request);
		put_echo(version, false, 77, 2);
		assert_int_equal(hash_now(KEY), request);
		put_echo(version, false, 78, 1);
		assert_int_not_equal(hash_now(KEY), request);
		put_echo(version, false, 77 + 256, 1);
		assert_int_not_equal(hash_now(KEY), request);
	}
}

static void packets_without_addresses_have_a_hash_too(void **state)
{
	struct vd_packet *arp = bytes_packet("\0\1\10\0\6\4\0\1", 8, 8, 0, 0x0806, 0);
	struct vd_packet *other = bytes_packet("\0\1\10\0\6\4\0\2", 8, 8, 0, 0x0806, 0);

	(void)state;
	assert_int_equal(vd_packet_compute_flow_hash(arp, KEY), vd_packet_compute_flow_hash(other, KEY));
	free(arp);
	free(other);
}

/* ---- spread ---- */

#define FLOWS 10000u

/* How the ports of flow i come about, as hosts really choose them. */
enum ports {
	CLIENT_RANDOM,	   /* one service, any client port */
	CLIENT_COUNTS_UP,  /* one service, client ports in turn: what a load generator does */
	CLIENT_IN_TWOS,	   /* Linux hands out even ports first */
	BOTH_OPPOSITE,	   /* source + destination is always the same: sums of the ends must not be */
	BOTH_EQUAL,	   /* IKE, NTP, DNS servers among themselves */
	PORTS_COUNT,
};

static uint32_t flow(unsigned version, uint8_t protocol, enum ports ports, uint32_t i, uint64_t *random, uint64_t key)
{
	uint16_t port = (uint16_t)(1024 + i);

	switch (ports) {
	case CLIENT_RANDOM:
		return hash(version, protocol, CLIENT, (uint16_t)bytes_random(random), SERVER, 443, key);
	case CLIENT_COUNTS_UP:
		return hash(version, protocol, CLIENT, port, SERVER, 443, key);
	case CLIENT_IN_TWOS:
		return hash(version, protocol, CLIENT, (uint16_t)(32768 + 2 * i), SERVER, 443, key);
	case BOTH_OPPOSITE:
		return hash(version, protocol, CLIENT, port, SERVER, (uint16_t)(65535 - port), key);
	default:
		return hash(version, protocol, CLIENT, port, SERVER, port, key);
	}
}

/* Even as chance is: the fullest shard within 1.3 of the mean, and chi-square below what one in a million exceeds. */
static void check_spread(const uint32_t *counts, unsigned shards, double chi_square_max, const char *what)
{
	double mean = (double)FLOWS / shards, chi_square = 0, most = 0;

	for (unsigned i = 0; i < shards; i++) {
		chi_square += (counts[i] - mean) * (counts[i] - mean) / mean;
		if (counts[i] > most)
			most = counts[i];
	}
	if (most > 1.3 * mean || chi_square > chi_square_max)
		fail_msg("%s: %u shards, fullest %.2f of the mean, chi-square %.1f", what, shards, most / mean, chi_square);
}

static void flows_between_two_hosts_spread_evenly(void **state)
{
	uint64_t random = bytes_seed("spread");

	(void)state;
	for (int round = 0; round < 60; round++) {
		unsigned version = round & 1 ? 6 : 4;
		enum ports ports = (enum ports)(round / 2 % PORTS_COUNT);
		uint64_t key = bytes_random(&random);
		uint32_t low8[8] = {0}, low32[32] = {0}, high8[8] = {0}, high32[32] = {0};
		char what[64];

		for (uint32_t i = 0; i < FLOWS; i++) {
			uint32_t h = flow(version, round % 3 ? TCP : UDP, ports, i, &random, key);

			low8[h % 8]++; /* whichever bits a shard is chosen by */
			low32[h % 32]++;
			high8[h >> 29]++;
			high32[h >> 27]++;
		}
		snprintf(what, sizeof what, "IPv%u, ports %d, key %#llx", version, ports, (unsigned long long)key);
		check_spread(low8, 8, 40, what);
		check_spread(high8, 8, 40, what);
		check_spread(low32, 32, 87, what);
		check_spread(high32, 32, 87, what);
	}
}

/* One service, many clients: a network's addresses in turn. */
static void clients_of_one_service_spread_evenly(void **state)
{
	uint64_t random = bytes_seed("spread of clients");

	(void)state;
	for (int round = 0; round < 20; round++) {
		unsigned version = round & 1 ? 6 : 4;
		uint64_t key = bytes_random(&random);
		uint32_t low8[8] = {0}, high32[32] = {0};

		for (uint32_t i = 0; i < FLOWS; i++) {
			uint32_t h = hash(version, UDP, CLIENT + i, 5000, 0x0b000001, 53, key);

			low8[h % 8]++;
			high32[h >> 27]++;
		}
		check_spread(low8, 8, 40, "clients");
		check_spread(high32, 32, 87, "clients");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_have_one_hash),
		cmocka_unit_test(exchanged_ports_are_another_flow),
		cmocka_unit_test(every_part_of_the_flow_counts),
		cmocka_unit_test(all_of_an_ipv6_address_counts),
		cmocka_unit_test(what_is_not_the_flow_does_not_count),
		cmocka_unit_test(another_key_is_another_hash),
		cmocka_unit_test(flows_that_collide_under_one_key_do_not_under_another),
		cmocka_unit_test(ipv4_fragments_of_a_datagram_have_one_hash),
		cmocka_unit_test(ipv6_fragments_of_a_datagram_have_one_hash),
		cmocka_unit_test(ipv6_fragments_with_options_in_them_have_one_hash),
		cmocka_unit_test(ipv6_fragments_copied_in_part_have_one_hash),
		cmocka_unit_test(a_malformed_first_fragment_meets_the_later_ones),
		cmocka_unit_test(a_ping_and_its_reply_have_one_hash_and_other_pings_another),
		cmocka_unit_test(packets_without_addresses_have_a_hash_too),
		cmocka_unit_test(flows_between_two_hosts_spread_evenly),
		cmocka_unit_test(clients_of_one_service_spread_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
