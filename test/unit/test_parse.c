/* SPDX-License-Identifier: MIT */
/*
 * lib/packet/parse.c and the accessors: packets written out in hexadecimal against what the RFCs say they are; the same
 * packets copied only in part, cut on the wire, and damaged at random.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <inttypes.h>

#include "test/support/bytes.h"

#define IP 0x0800
#define IPV6 0x86dd
#define ARP 0x0806

#define MALFORMED VD_PARSED_MALFORMED
#define FRAGMENT VD_PARSED_FRAGMENT
#define LATER (VD_PARSED_FRAGMENT | VD_PARSED_LATER_FRAGMENT)

#define NONE (-1)

/* From byte 0 (version and header length) on; the addresses are 10.0.0.1 and 10.0.0.2. */
#define V4_(first, total, fragment, protocol) first " 00 " total " 1234 " fragment " 40 " protocol " 0000 0a000001 0a000002 "
#define V4(total, fragment, protocol) V4_("45", total, fragment, protocol)
#define V6(length, next)                                                                                              \
	"60000000 " length " " next " 40 20010db8000000000000000000000001 20010db8000000000000000000000002 "
#define PORTS "d431 0035 "
#define TCP_(offset) PORTS "00000001 00000002 " offset " 12 ffff 0000 0000 "
#define TCP TCP_("50")
#define UDP(length) PORTS length " 0000 "
#define SCTP PORTS "00000001 00000000 "
#define ECHO "08 00 0000 0007 0001 "
#define ECHO6 "80 00 0000 0007 0001 "
#define EIGHT "0001020304050607 "

#define SOURCE_PORT 0xd431
#define DESTINATION_PORT 0x35

struct row {
	const char *name;
	uint16_t ethertype;
	const char *hex;
	uint8_t parsed;
	uint8_t version;
	uint8_t protocol;
	uint16_t transport;	  /* offset; 0: none */
	bool ports;
	int payload;		  /* bytes, or NONE */
	uint16_t fragment_offset;
	uint16_t padding;	  /* bytes behind the IP packet */
	uint32_t skb_info;
};

static const struct row rows[] = {
	{"IPv4 TCP", IP, V4("0028", "0000", "06") TCP, 0, 4, 6, 20, true, 0},
	{"IPv4 TCP with data", IP, V4("002d", "0000", "06") TCP "68656c6c6f", 0, 4, 6, 20, true, 5},
	{"IPv4 TCP with TCP options", IP, V4("0036", "0000", "06") TCP_("80") "01010101 01010101 01010101 6162", 0, 4, 6, 20,
	 true, 2},
	{"IPv4 TCP, as many options as go", IP, V4("0050", "0000", "06") TCP_("f0") EIGHT EIGHT EIGHT EIGHT EIGHT, 0, 4, 6, 20,
	 true, 0},
	{"IPv4 with IP options", IP, V4_("46", "002c", "0000", "06") "01010101 " TCP, 0, 4, 6, 24, true, 0},
	{"IPv4, as many IP options as go", IP,
	 V4_("4f", "0045", "0000", "11") EIGHT EIGHT EIGHT EIGHT EIGHT UDP("0009") "61", 0, 4, 17, 60, true, 1},
	{"IPv4 header length below 5", IP, V4_("44", "0028", "0000", "06") TCP, MALFORMED, 4, 6, 0, false, NONE},
	{"IPv4 header length 0", IP, V4_("40", "0028", "0000", "06") TCP, MALFORMED, 4, 6, 0, false, NONE},
	{"IPv4 header beyond the total length", IP, V4_("4f", "0028", "0000", "06") TCP, MALFORMED, 4, 6, 0, false, NONE},
	{"IPv4 total length beyond the packet", IP, V4("0029", "0000", "06") TCP, MALFORMED, 4, 6, 0, false, NONE},
	{"IPv4 total length within the header", IP, V4("0013", "0000", "06") TCP, MALFORMED, 4, 6, 0, false, NONE},
	{"IPv4 total length 0", IP, V4("0000", "0000", "06") TCP, MALFORMED, 4, 6, 0, false, NONE},
	{"IPv4 and nothing else", IP, V4("0014", "0000", "fd"), 0, 4, 0xfd, 20, false, 0},
	{"IPv4 TCP, padded by the link", IP, V4("0028", "0000", "06") TCP "000000000000", 0, 4, 6, 20, true, 0, 0, 6},
	{"IPv4 UDP, padded by the link", IP, V4("001d", "0000", "11") UDP("0009") "61" EIGHT EIGHT "00", 0, 4, 17, 20, true, 1,
	 0, 17},
	{"IPv4, \"don't fragment\"", IP, V4("001c", "4000", "11") UDP("0008"), 0, 4, 17, 20, true, 0},
	{"IPv4 first fragment", IP, V4("0024", "2000", "11") UDP("0100") EIGHT, FRAGMENT, 4, 17, 20, true, 8},
	{"IPv4 first fragment, \"don't fragment\"", IP, V4("0024", "6000", "11") UDP("0100") EIGHT, FRAGMENT, 4, 17, 20, true,
	 8},
	{"IPv4 middle fragment", IP, V4("001c", "2002", "11") EIGHT, LATER, 4, 17, 0, false, NONE, 16},
	{"IPv4 last fragment", IP, V4("0015", "0001", "06") "61", LATER, 4, 6, 0, false, NONE, 8},
	{"IPv4 last fragment, as far out as goes", IP, V4("0015", "1fff", "06") "61", LATER, 4, 6, 0, false, NONE, 65528},
	{"IPv4 TCP, header cut", IP, V4("0027", "0000", "06") PORTS "00000001 00000002 50 12 ffff 0000 00", MALFORMED, 4, 6, 0,
	 false, NONE},
	{"IPv4 TCP, header cut by the total length", IP, V4("0027", "0000", "06") TCP, MALFORMED, 4, 6, 0, false, NONE, 0, 1},
	{"IPv4 TCP data offset below 5", IP, V4("0028", "0000", "06") TCP_("40"), MALFORMED, 4, 6, 0, false, NONE},
	{"IPv4 TCP data offset beyond the end", IP, V4("0028", "0000", "06") TCP_("60"), MALFORMED, 4, 6, 0, false, NONE},
	{"IPv4 UDP", IP, V4("0020", "0000", "11") UDP("000c") "61626364", 0, 4, 17, 20, true, 4},
	{"IPv4 UDP shorter than its IP packet", IP, V4("0020", "0000", "11") UDP("000a") "61626364", 0, 4, 17, 20, true, 2},
	{"IPv4 UDP length beyond the end", IP, V4("001c", "0000", "11") UDP("0009"), MALFORMED, 4, 17, 0, false, NONE},
	{"IPv4 UDP length below 8", IP, V4("001c", "0000", "11") UDP("0007"), MALFORMED, 4, 17, 0, false, NONE},
	{"IPv4 UDP length 0", IP, V4("001c", "0000", "11") UDP("0000"), MALFORMED, 4, 17, 0, false, NONE},
	{"IPv4 UDP, header cut", IP, V4("001b", "0000", "11") PORTS "0008 00", MALFORMED, 4, 17, 0, false, NONE},
	{"IPv4 UDP, GSO: the length is the whole's", IP, V4("0020", "0000", "11") UDP("0100") "61626364", 0, 4, 17, 20, true, 4,
	 0, 0, VD_SKB_GSO | VD_SKB_CHECKSUM_NOT_READY},
	{"IPv4 UDP-Lite, checksum covers all", IP, V4("001e", "0000", "88") UDP("0000") "6162", 0, 4, 136, 20, true, 2},
	{"IPv4 UDP-Lite, checksum covers the header", IP, V4("001e", "0000", "88") UDP("0008") "6162", 0, 4, 136, 20, true, 2},
	{"IPv4 UDP-Lite, header cut", IP, V4("001b", "0000", "88") PORTS "0008 00", MALFORMED, 4, 136, 0, false, NONE},
	{"IPv4 ICMP echo", IP, V4("0024", "0000", "01") ECHO EIGHT, 0, 4, 1, 20, false, 8},
	{"IPv4 ICMP, header cut", IP, V4("0017", "0000", "01") "08 00 00", MALFORMED, 4, 1, 0, false, NONE},
	{"IPv4 SCTP", IP, V4("0024", "0000", "84") SCTP "0b000004", 0, 4, 132, 20, true, 4},
	{"IPv4 SCTP, header cut", IP, V4("001f", "0000", "84") PORTS "00000001 000000", MALFORMED, 4, 132, 0, false, NONE},
	{"IPv4 DCCP", IP, V4("0026", "0000", "21") PORTS "04 00 0000 04 000001 00000002 6162", 0, 4, 33, 20, true, 2},
	{"IPv4 DCCP, header cut", IP, V4("001f", "0000", "21") PORTS "04 00 0000 04 0000", MALFORMED, 4, 33, 0, false, NONE},
	{"IPv4 DCCP data offset within the header", IP, V4("0026", "0000", "21") PORTS "02 00 0000 04 000001 00000002 6162",
	 MALFORMED, 4, 33, 0, false, NONE},
	{"IPv4 DCCP data offset beyond the end", IP, V4("0026", "0000", "21") PORTS "ff 00 0000 04 000001 00000002 6162",
	 MALFORMED, 4, 33, 0, false, NONE},
	{"IPv4 GRE", IP, V4("001a", "0000", "2f") "0000 0800 4500", 0, 4, 47, 20, false, 2},
	{"IPv4 GRE with key and sequence number", IP, V4("0022", "0000", "2f") "3000 0800 00000007 00000001 4500", 0, 4, 47, 20,
	 false, 2},
	{"IPv4 GRE with all there is", IP, V4("0026", "0000", "2f") "b000 0800 00000000 00000007 00000001 4500", 0, 4, 47, 20,
	 false, 2},
	{"IPv4 GRE, header cut", IP, V4("0017", "0000", "2f") "0000 08", MALFORMED, 4, 47, 0, false, NONE},
	{"IPv4 ESP", IP, V4("0024", "0000", "32") "00001000 00000001 " EIGHT, 0, 4, 50, 20, false, 16},
	{"IPv4 AH is a protocol of its own", IP, V4("0030", "0000", "33") "06 04 0000 00001000 00000001 " EIGHT EIGHT, 0, 4, 51,
	 20, false, 28},
	{"IPv4, a protocol that nobody knows", IP, V4("001c", "0000", "fd") EIGHT, 0, 4, 0xfd, 20, false, 8},

	{"IPv6 TCP", IPV6, V6("0014", "06") TCP, 0, 6, 6, 40, true, 0},
	{"IPv6 TCP with data, padded", IPV6, V6("0016", "06") TCP "6162 000000", 0, 6, 6, 40, true, 2, 0, 3},
	{"IPv6 UDP", IPV6, V6("000a", "11") UDP("000a") "6162", 0, 6, 17, 40, true, 2},
	{"IPv6 UDP shorter than its IP packet", IPV6, V6("000a", "11") UDP("0009") "6162", 0, 6, 17, 40, true, 1},
	{"IPv6 UDP-Lite", IPV6, V6("000a", "88") UDP("0008") "6162", 0, 6, 136, 40, true, 2},
	{"IPv6 ICMPv6 echo", IPV6, V6("0010", "3a") ECHO6 EIGHT, 0, 6, 58, 40, false, 8},
	{"IPv6 ICMPv6, header cut", IPV6, V6("0003", "3a") "80 00 00", MALFORMED, 6, 58, 0, false, NONE},
	{"IPv6 SCTP", IPV6, V6("0010", "84") SCTP "0b000004", 0, 6, 132, 40, true, 4},
	{"IPv6 DCCP", IPV6, V6("0012", "21") PORTS "04 00 0000 04 000001 00000002 6162", 0, 6, 33, 40, true, 2},
	{"IPv6 GRE", IPV6, V6("0006", "2f") "0000 86dd 6000", 0, 6, 47, 40, false, 2},
	{"IPv6 ESP", IPV6, V6("0010", "32") "00001000 00000001 " EIGHT, 0, 6, 50, 40, false, 16},
	{"IPv6, no next header", IPV6, V6("0000", "3b"), 0, 6, 59, 40, false, 0},
	{"IPv6 payload length beyond the packet", IPV6, V6("0015", "06") TCP, MALFORMED, 6, 0, 0, false, NONE},
	{"IPv6 payload length 0 for a TCP header", IPV6, V6("0000", "06") TCP, MALFORMED, 6, 6, 0, false, NONE},
	{"IPv6 TCP, header cut by the payload length", IPV6, V6("0013", "06") TCP, MALFORMED, 6, 6, 0, false, NONE, 0, 1},
	{"IPv6 hop-by-hop options", IPV6, V6("0010", "00") "11 00 0104 00000000 " UDP("0008"), 0, 6, 17, 48, true, 0},
	{"IPv6 destination options, 16 bytes", IPV6, V6("0018", "3c") "3a 01 010c 00000000 0000000000000000 " ECHO6, 0, 6, 58,
	 56, false, 0},
	{"IPv6 routing header", IPV6, V6("002c", "2b") "06 02 04 01 00000000 20010db8000000000000000000000003 " TCP, 0, 6, 6, 64,
	 true, 0},
	{"IPv6 authentication header", IPV6, V6("002c", "33") "06 04 0000 00001000 00000001 0102030405060708090a0b0c " TCP, 0, 6,
	 6, 64, true, 0},
	{"IPv6 authentication header, not a multiple of 8", IPV6, V6("0014", "33") "3b 03 0000 00001000 00000001 " EIGHT, 0, 6,
	 59, 60, false, 0},
	{"IPv6 all extension headers in their order", IPV6,
	 V6("0040", "00") "2b 00 0104 00000000 " /* hop by hop */
			  "2c 00 04 00 00000000 " /* routing */
			  "33 00 0000 00000007 "  /* atomic fragment */
			  "3c 02 0000 00001000 00000001 01020304 " /* authentication */
			  "11 00 0104 00000000 " /* destination options */
	 UDP("0010") EIGHT,
	 0, 6, 17, 88, true, 8},
	{"IPv6 first fragment", IPV6, V6("0018", "2c") "11 00 0001 00000007 " UDP("0100") EIGHT, FRAGMENT, 6, 17, 48, true, 8},
	{"IPv6 first fragment with options behind it", IPV6,
	 V6("0018", "2c") "3c 00 0001 00000007 11 00 0104 00000000 " UDP("0100"), FRAGMENT, 6, 17, 56, true, 0},
	{"IPv6 middle fragment", IPV6, V6("0010", "2c") "11 00 0009 00000007 " EIGHT, LATER, 6, 17, 0, false, NONE, 8},
	{"IPv6 last fragment", IPV6, V6("0009", "2c") "06 00 fff8 00000007 61", LATER, 6, 6, 0, false, NONE, 65528},
	{"IPv6 later fragment behind hop-by-hop options", IPV6,
	 V6("0018", "00") "2c 00 0104 00000000 11 00 0010 00000007 " EIGHT, LATER, 6, 17, 0, false, NONE, 16},
	{"IPv6 atomic fragment is a whole packet", IPV6, V6("0010", "2c") "11 00 0000 00000007 " UDP("0008"), 0, 6, 17, 48, true,
	 0},
	{"IPv6 atomic fragment, reserved bits set", IPV6, V6("0010", "2c") "11 ff 0006 00000007 " UDP("0008"), 0, 6, 17, 48,
	 true, 0},
	{"IPv6 fragment header cut", IPV6, V6("0007", "2c") "11 00 0001 000000", MALFORMED, 6, 0, 0, false, NONE},
	{"IPv6 extension header cut", IPV6, V6("0004", "00") "11 00 0104", MALFORMED, 6, 0, 0, false, NONE},
	{"IPv6 extension header missing", IPV6, V6("0000", "3c"), MALFORMED, 6, 0, 0, false, NONE},
	{"IPv6 extension header beyond the end", IPV6, V6("0010", "00") "11 ff 0104 00000000 " UDP("0008"), MALFORMED, 6, 0, 0,
	 false, NONE},
	{"IPv6 extension header a little beyond the end", IPV6, V6("0008", "3c") "3b 01 010c 00000000", MALFORMED, 6, 0, 0, false,
	 NONE},
	{"IPv6 authentication header a little beyond the end", IPV6, V6("0014", "33") "3b 04 0000 00001000 00000001 " EIGHT,
	 MALFORMED, 6, 0, 0, false, NONE},
	{"IPv6 authentication header beyond the end", IPV6, V6("0010", "33") "11 ff 0104 00000000 " UDP("0008"), MALFORMED, 6, 0,
	 0, false, NONE},
	{"IPv6 extension header up to the end, nothing behind", IPV6, V6("0008", "3c") "11 00 0104 00000000", MALFORMED, 6, 17,
	 0, false, NONE},

	{"ARP", ARP, "0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002", 0, 0, 0, 0, false, NONE},
	{"an ethertype that nobody knows", 0x88b5, V4("0028", "0000", "06") TCP, 0, 0, 0, 0, false, NONE},
	{"IPv6 said to be IPv4", IP, V6("0014", "06") TCP, MALFORMED, 0, 0, 0, false, NONE},
	{"IPv4 said to be IPv6", IPV6, V4("0028", "0000", "06") TCP, MALFORMED, 0, 0, 0, false, NONE},
	{"IPv4 with version 0", IP, V4_("05", "0028", "0000", "06") TCP, MALFORMED, 0, 0, 0, false, NONE},
	{"IPv6 with version 0", IPV6, "00000000 0000 3b 40" EIGHT EIGHT EIGHT EIGHT, MALFORMED, 0, 0, 0, false, NONE},
	{"IPv4 with version 15", IP, V4_("f5", "0028", "0000", "06") TCP, MALFORMED, 0, 0, 0, false, NONE},
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

static struct bytes bytes;

static void fill(const struct row *row)
{
	bytes_reset(&bytes);
	bytes_put_hex(&bytes, row->hex);
}

/* All rows are tried, and all that are wrong are named. */
static unsigned wrong;

#define expect(row, truth)                                                                                            \
	do {                                                                                                          \
		if (!(truth)) {                                                                                       \
			print_error("%s: not so: %s\n", (row)->name, #truth);                                         \
			wrong++;                                                                                      \
		}                                                                                                     \
	} while (0)

static int begin(void **state)
{
	(void)state;
	wrong = 0;
	return 0;
}

static void each_packet_is_what_the_rfc_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &rows[i];
		struct vd_packet *packet;
		uint32_t length;
		const uint8_t *payload;

		fill(row);
		packet = bytes_packet(bytes.data, bytes.used, bytes.used, 0, row->ethertype, row->skb_info);
		payload = vd_packet_payload(packet, &length);
		expect(row, packet->parsed == row->parsed);
		expect(row, vd_packet_is_malformed(packet) == !!(row->parsed & MALFORMED));
		expect(row, vd_packet_is_fragment(packet) == !!(row->parsed & FRAGMENT));
		expect(row, vd_packet_ip_version(packet) == row->version);
		expect(row, vd_packet_protocol(packet) == row->protocol);
		expect(row, packet->transport_offset == row->transport);
		expect(row, vd_packet_fragment_offset(packet) == row->fragment_offset);
		expect(row, vd_packet_source_port(packet) == (row->ports ? SOURCE_PORT : 0));
		expect(row, vd_packet_destination_port(packet) == (row->ports ? DESTINATION_PORT : 0));
		expect(row, vd_packet_tcp_flags(packet) == (row->protocol == 6 && row->transport ? 0x12 : 0));
		expect(row, (payload ? (int)length : NONE) == row->payload);
		if (payload && row->payload >= 0)
			expect(row, payload + length <= vd_packet_data(packet) + bytes.used - row->padding);
		if (row->version == 4 && bytes.used >= 20) {
			expect(row, !memcmp(vd_packet_source(packet), bytes.data + 12, 4));
			expect(row, !memcmp(vd_packet_destination(packet), bytes.data + 16, 4));
		}
		if (row->version == 6) {
			expect(row, !memcmp(vd_packet_source(packet), bytes.data + 8, 16));
			expect(row, !memcmp(vd_packet_destination(packet), bytes.data + 24, 16));
		}
		expect(row, bytes_accessor_fault(packet) == NULL);
		free(packet);
	}
	assert_int_equal(wrong, 0);
}

/* Not copied is not the packet's fault; and what is said of the beginning holds for the whole. */
static void a_packet_copied_in_part_is_never_called_malformed_nor_something_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &rows[i];

		if (row->parsed & MALFORMED)
			continue;
		fill(row);
		for (uint32_t copied = 0; copied <= bytes.used; copied++) {
			struct vd_packet *packet =
				bytes_packet(bytes.data, copied, bytes.used, 0, row->ethertype, row->skb_info);

			expect(row, !vd_packet_is_malformed(packet));
			expect(row, !packet->protocol || packet->protocol == row->protocol);
			expect(row, !packet->transport_offset || packet->transport_offset == row->transport);
			expect(row, !(packet->parsed & ~row->parsed));
			expect(row, !packet->ip_version || packet->ip_version == row->version);
			expect(row, !copied || packet->ip_version == row->version);
			expect(row, bytes_accessor_fault(packet) == NULL);
			free(packet);
		}
	}
	assert_int_equal(wrong, 0);
}

static void what_is_malformed_whole_is_not_misread_in_part(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &rows[i];

		fill(row);
		for (uint32_t copied = 0; copied <= bytes.used; copied++) {
			struct vd_packet *packet =
				bytes_packet(bytes.data, copied, bytes.used, 0, row->ethertype, row->skb_info);

			expect(row, bytes_accessor_fault(packet) == NULL);
			free(packet);
		}
	}
	assert_int_equal(wrong, 0);
}

/* The same bytes, but this time the rest does not exist. */
static void a_packet_cut_on_the_wire_is_malformed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &rows[i];

		if (row->parsed & MALFORMED || !row->version)
			continue;
		fill(row);
		for (uint32_t there = 0; there < bytes.used - row->padding; there++) {
			struct vd_packet *packet = bytes_packet(bytes.data, there, there, 0, row->ethertype, row->skb_info);

			expect(row, vd_packet_is_malformed(packet));
			expect(row, bytes_accessor_fault(packet) == NULL);
			free(packet);
		}
	}
	assert_int_equal(wrong, 0);
}

/* What was not copied may still be known not to exist: there are 19 bytes for a TCP header. */
static void a_transport_header_that_does_not_fit_is_malformed_copied_or_not(void **state)
{
	(void)state;
	bytes_reset(&bytes);
	bytes_put_hex(&bytes, V4("0027", "0000", "06") TCP);
	for (uint32_t copied = 20; copied <= 39; copied++) {
		struct vd_packet *packet = bytes_packet(bytes.data, copied, 39, 0, IP, 0);

		assert_true(vd_packet_is_malformed(packet));
		free(packet);
	}
}

/* A chain of `count` options headers in front of a UDP header. */
static void put_chain(unsigned count)
{
	bytes_reset(&bytes);
	bytes_put_ipv6(&bytes, 1, 2, 60);
	for (unsigned i = 0; i < count; i++)
		bytes_put_hex(&bytes, i + 1 < count ? "3c 00 0104 00000000" : "11 00 0104 00000000");
	bytes_put_udp(&bytes, 1000, 2000, 0);
	bytes_end_ip(&bytes);
}

static void a_chain_of_16_extension_headers_is_walked_and_17_are_an_attack(void **state)
{
	struct vd_packet *packet;

	(void)state;
	put_chain(16);
	packet = bytes_packet_of(&bytes);
	assert_false(vd_packet_is_malformed(packet));
	assert_int_equal(packet->transport_offset, 40 + 16 * 8);
	assert_int_equal(vd_packet_source_port(packet), 1000);
	free(packet);
	put_chain(17);
	packet = bytes_packet_of(&bytes);
	assert_true(vd_packet_is_malformed(packet));
	assert_null(vd_packet_transport(packet, 0));
	assert_null(bytes_accessor_fault(packet));
	free(packet);
}

/* The largest headers there are: 16 of 2,048 bytes. */
static void the_longest_chain_has_a_transport_offset(void **state)
{
	struct vd_packet *packet;

	(void)state;
	bytes_reset(&bytes);
	bytes_put_ipv6(&bytes, 1, 2, 60);
	for (unsigned i = 0; i < 16; i++) {
		bytes_put_hex(&bytes, i < 15 ? "3c ff" : "06 ff");
		bytes_put_fill(&bytes, 0, 2046);
	}
	bytes_put_tcp(&bytes, 1000, 2000, 2);
	bytes_end_ip(&bytes);
	packet = bytes_packet_of(&bytes);
	assert_int_equal(packet->parsed, 0);
	assert_int_equal(packet->transport_offset, 40 + 16 * 2048);
	assert_int_equal(vd_packet_destination_port(packet), 2000);
	assert_null(bytes_accessor_fault(packet));
	free(packet);
}

/*
 * A packet beyond 64 KB, of which the kernel copies 65,531 bytes and says GSO: `header` bytes of IP header, then TCP, then data to
 * the end.
 */
static void check_big(uint32_t header, uint16_t ethertype)
{
	const uint32_t copied = 65531, wire = 150000;
	const uint32_t some[] = {0, 1, 19, 20, 21, 39, 40, 41, 47, 48, 53, 60, 61, 67, 68, 128, 1000, copied};

	bytes_put_tcp(&bytes, 1000, 2000, 0x10);
	bytes_put_fill(&bytes, 0x61, copied - bytes.used);
	for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
		struct vd_packet *packet = bytes_packet(bytes.data, some[i], wire, 0, ethertype,
							VD_SKB_GSO | VD_SKB_CHECKSUM_NOT_READY);
		uint32_t length;

		assert_int_equal(packet->parsed, 0);
		assert_null(bytes_accessor_fault(packet));
		if (some[i] >= header + 4)
			assert_int_equal(vd_packet_source_port(packet), 1000);
		if (some[i] >= header + 20) {
			assert_ptr_equal(vd_packet_payload(packet, &length), vd_packet_data(packet) + header + 20);
			assert_int_equal(length, some[i] - header - 20);
		} else {
			assert_null(vd_packet_payload(packet, &length));
		}
		free(packet);
	}
}

static void big_tcp_over_ipv4_has_total_length_0(void **state)
{
	(void)state;
	bytes_reset(&bytes);
	bytes_put_ipv4(&bytes, 1, 2, 6, 0x4000);
	check_big(20, IP);
}

static void big_tcp_over_ipv6_has_payload_length_0(void **state)
{
	(void)state;
	bytes_reset(&bytes);
	bytes_put_ipv6(&bytes, 1, 2, 6);
	check_big(40, IPV6);
}

static void a_jumbogram_says_its_length_in_an_option(void **state)
{
	(void)state;
	bytes_reset(&bytes);
	bytes_put_ipv6(&bytes, 1, 2, 0);
	bytes_put_hex(&bytes, "06 00 c204"); /* RFC 2675: the length without the IPv6 header */
	bytes_put_number(&bytes, 150000 - 40, 4);
	check_big(48, IPV6);
}

static void nothing_copied_is_unknown_and_nothing_there_is_malformed(void **state)
{
	const uint16_t ethertypes[] = {IP, IPV6};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct vd_packet *packet = bytes_packet(NULL, 0, 1500, 0, ethertypes[i], 0);

		assert_int_equal(packet->parsed, 0);
		assert_int_equal(vd_packet_ip_version(packet), 0);
		assert_null(bytes_accessor_fault(packet));
		free(packet);
		packet = bytes_packet(NULL, 0, 0, 0, ethertypes[i], 0);
		assert_true(vd_packet_is_malformed(packet));
		assert_null(bytes_accessor_fault(packet));
		free(packet);
	}
}

/* What a packet was before leaves no trace. */
static void parsing_again_forgets_the_packet_before(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROW_COUNT; i++) {
		struct vd_packet *fresh, *used;

		fill(&rows[i]);
		fresh = bytes_packet(bytes.data, bytes.used, bytes.used, 0, rows[i].ethertype, rows[i].skb_info);
		used = bytes_packet(bytes.data, bytes.used, bytes.used, 0, rows[i].ethertype, rows[i].skb_info);
		used->ip_version = used->protocol = 255;
		used->parsed = 255;
		used->transport_offset = used->fragment_offset = 9999;
		vd_packet_parse(used, vd_packet_data(used));
		assert_memory_equal(fresh, used, sizeof *fresh);
		free(fresh);
		free(used);
	}
}

static void damaged_packets_never_offer_bytes_outside_of_themselves(void **state)
{
	uint64_t random = bytes_seed("damaged packets");
	const uint16_t ethertypes[] = {IP, IPV6, ARP};

	(void)state;
	for (int round = 0; round < 100000; round++) {
		const struct row *row = &rows[bytes_random_below(&random, ROW_COUNT)];
		uint32_t damages = 1 + bytes_random_below(&random, 4), length, wire;
		uint16_t ethertype = row->ethertype;
		struct vd_packet *packet;
		const char *fault;

		fill(row);
		bytes_put_fill(&bytes, 0, bytes_random_below(&random, 40));
		while (damages--)
			bytes.data[bytes_random_below(&random, bytes.used)] = (uint8_t)bytes_random(&random);
		length = bytes_random_below(&random, bytes.used + 1);
		wire = length + (bytes_random(&random) & 1 ? bytes_random_below(&random, 200) : 0);
		if (!bytes_random_below(&random, 8))
			ethertype = ethertypes[bytes_random_below(&random, 3)];
		packet = bytes_packet(bytes.data, length, wire, 0, ethertype, bytes_random_below(&random, 8));
		fault = bytes_accessor_fault(packet);
		if (fault)
			fail_msg("round %d, from %s: %s", round, row->name, fault);
		free(packet);
	}
}

static void random_bytes_never_offer_bytes_outside_of_themselves(void **state)
{
	uint64_t random = bytes_seed("random packets");

	(void)state;
	for (int round = 0; round < 100000; round++) {
		uint32_t length = bytes_random_below(&random, 160);
		uint32_t wire = length + bytes_random_below(&random, 3) * bytes_random_below(&random, 1000);
		uint16_t ethertype = bytes_random(&random) & 1 ? IP : IPV6;
		struct vd_packet *packet;
		const char *fault;

		bytes_reset(&bytes);
		for (uint32_t i = 0; i < length; i++)
			bytes_put_number(&bytes, bytes_random(&random), 1);
		if (length && bytes_random_below(&random, 16))
			bytes.data[0] = (uint8_t)((ethertype == IP ? 0x40 : 0x60) | (bytes.data[0] & 0x0f));
		packet = bytes_packet(bytes.data, length, wire, 0, ethertype, bytes_random_below(&random, 8));
		fault = bytes_accessor_fault(packet);
		if (fault)
			fail_msg("round %d, %u of %u bytes: %s", round, length, wire, fault);
		free(packet);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_packet_is_what_the_rfc_says, begin),
		cmocka_unit_test_setup(a_packet_copied_in_part_is_never_called_malformed_nor_something_else, begin),
		cmocka_unit_test_setup(what_is_malformed_whole_is_not_misread_in_part, begin),
		cmocka_unit_test_setup(a_packet_cut_on_the_wire_is_malformed, begin),
		cmocka_unit_test(a_transport_header_that_does_not_fit_is_malformed_copied_or_not),
		cmocka_unit_test(a_chain_of_16_extension_headers_is_walked_and_17_are_an_attack),
		cmocka_unit_test(the_longest_chain_has_a_transport_offset),
		cmocka_unit_test(big_tcp_over_ipv4_has_total_length_0),
		cmocka_unit_test(big_tcp_over_ipv6_has_payload_length_0),
		cmocka_unit_test(a_jumbogram_says_its_length_in_an_option),
		cmocka_unit_test(nothing_copied_is_unknown_and_nothing_there_is_malformed),
		cmocka_unit_test(parsing_again_forgets_the_packet_before),
		cmocka_unit_test(damaged_packets_never_offer_bytes_outside_of_themselves),
		cmocka_unit_test(random_bytes_never_offer_bytes_outside_of_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
