/* SPDX-License-Identifier: MIT */
/*
 * engine/port_pcap_link.c: the headers of every link type, cut at every length; and where an IP packet ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pcap/pcap.h>

#include "engine/port_pcap_link.h"
#include "test/support/bytes.h"

#define MACS "020000000002 020000000001 "

static struct bytes frame;

/* Parses the first `captured` bytes, in a block of just that size. */
static bool parse(int type, uint32_t captured, struct vd_pcap_link *link)
{
	uint8_t *data = malloc(captured ? captured : 1);
	bool is_ip;

	assert_non_null(data);
	memcpy(data, frame.data, captured);
	is_ip = vd_pcap_link_parse(type, data, captured, link);
	if (is_ip && link->address) { /* it lies in the frame */
		assert_true(link->address >= data && link->address + link->address_length <= data + captured);
		assert_in_range(link->address_length, 1, 8);
	}
	free(data);
	return is_ip;
}

static void headers_are_found_if_they_are_whole(void **state)
{
	static const struct {
		int type;
		const char *header;
		uint16_t ethertype;
		uint16_t address_length;
	} cases[] = {
		{DLT_EN10MB, MACS "0800", 0x0800, 6},
		{DLT_EN10MB, MACS "86dd", 0x86dd, 6},
		{DLT_EN10MB, MACS "8100 2007 0800", 0x0800, 6},
		{DLT_EN10MB, MACS "88a8 0008 8100 0007 86dd", 0x86dd, 6},
		{DLT_LINUX_SLL, "0000 0001 0006 0200000000010000 0800", 0x0800, 6},
		{DLT_LINUX_SLL, "0000 0001 0008 0200000000010000 86dd", 0x86dd, 8},
		{DLT_LINUX_SLL, "0000 0001 0009 0200000000010000 86dd", 0x86dd, 0},
		{DLT_LINUX_SLL, "0000 0304 0000 0000000000000000 8100 0007 88a8 0007 0800", 0x0800, 0},
		{DLT_LINUX_SLL2, "86dd 0000 00000002 0001 00 06 0200000000010000", 0x86dd, 6},
		{DLT_LINUX_SLL2, "8100 0000 00000002 0001 00 00 0200000000010000 0007 0800", 0x0800, 0},
		{DLT_LINUX_SLL2, "8100 0000 00000002 0001 00 00 0200000000010000 0007 88a8 0007 0800", 0x0800, 0},
		{DLT_NULL, "02000000", 0x0800, 0},
		{DLT_NULL, "0000001c", 0x86dd, 0},
		{DLT_LOOP, "00000018", 0x86dd, 0},
		{DLT_LOOP, "0000000a", 0x86dd, 0},
	};
	uint32_t longest = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vd_pcap_link link;
		uint32_t length;

		bytes_reset(&frame);
		bytes_put_hex(&frame, cases[i].header);
		length = frame.used;
		longest = length > longest ? length : longest;
		bytes_put_fill(&frame, 0x45, 20);
		assert_true(vd_pcap_link_is_known(cases[i].type));
		for (uint32_t captured = 0; captured <= frame.used; captured++) {
			bool is_ip = parse(cases[i].type, captured, &link);

			if (is_ip != (captured >= length))
				fail_msg("case %u, %u bytes of %u: %d", i, captured, length, is_ip);
			if (!is_ip)
				continue;
			assert_int_equal(link.length, length);
			assert_int_equal(link.ethertype, cases[i].ethertype);
			assert_int_equal(link.address_length, cases[i].address_length);
		}
	}
	assert_int_equal(longest, VD_PCAP_LINK_LENGTH_MAX);
}

static void what_is_not_ip_is_told(void **state)
{
	static const struct {
		int type;
		const char *header;
	} cases[] = {
		{DLT_EN10MB, MACS "0806"},
		{DLT_EN10MB, MACS "0800"}, /* alone: see below */
		{DLT_EN10MB, MACS "002e"},
		{DLT_EN10MB, MACS "8100 0001 0806"},
		{DLT_EN10MB, MACS "8100 0001 8100 0002 8100 0003 0800"},
		{DLT_LINUX_SLL, "0000 0001 0006 0200000000010000 0004"},
		{DLT_LINUX_SLL2, "88cc 0000 00000002 0001 00 06 0200000000010000"},
		{DLT_NULL, "00000000"},
		{DLT_NULL, "07000000"},
		{DLT_NULL, "02000002"},
		{DLT_NULL, "02010000"},
		{DLT_LOOP, "00010002"},
		{DLT_RAW, "05"},
		{DLT_RAW, "f0"},
		{DLT_IEEE802_11_RADIO, "0000"},
	};
	struct vd_pcap_link link;

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		bytes_reset(&frame);
		bytes_put_hex(&frame, cases[i].header);
		bytes_put_fill(&frame, 0x45, 20);
		if (parse(cases[i].type, frame.used, &link) != (i == 1))
			fail_msg("case %u", i);
	}
	assert_false(vd_pcap_link_is_known(DLT_IEEE802_11_RADIO));
}

static void raw_ip_is_told_by_its_version(void **state)
{
	struct vd_pcap_link link;

	(void)state;
	bytes_reset(&frame);
	bytes_put_hex(&frame, "45");
	assert_false(parse(DLT_RAW, 0, &link));
	assert_true(parse(DLT_RAW, 1, &link));
	assert_int_equal(link.ethertype, 0x0800);
	assert_int_equal(link.length, 0);
	assert_true(parse(DLT_IPV6, 1, &link)); /* the file's word counts; that the packet says otherwise, parsing finds */
	assert_int_equal(link.ethertype, 0x86dd);
	assert_true(parse(DLT_IPV4, 0, &link));
	bytes_reset(&frame);
	bytes_put_hex(&frame, "60");
	assert_true(parse(DLT_RAW, 1, &link));
	assert_int_equal(link.ethertype, 0x86dd);
}

static void an_ip_packet_ends_where_its_header_says(void **state)
{
	static const struct {
		uint16_t ethertype;
		const char *header; /* then zeros, to 40 bytes */
		uint32_t captured, wire_length, length;
	} cases[] = {
		{0x0800, "4500 0022", 46, 46, 34},
		{0x0800, "4500 0022", 20, 46, 34},
		{0x0800, "4500 0022", 19, 46, 46},	 /* too little to believe it */
		{0x0800, "4500 0022", 34, 34, 34},
		{0x0800, "4500 0023", 34, 34, 34},	 /* says more than there is */
		{0x0800, "4500 0014", 46, 46, 20},
		{0x0800, "4500 0013", 46, 46, 46},	 /* less than a header */
		{0x0800, "4500 0000", 40, 70000, 70000}, /* BIG TCP */
		{0x0800, "4500 0000", 40, 1500, 1500},
		{0x86dd, "6000 0000 0006 11", 60, 60, 46},
		{0x86dd, "6000 0000 0006 11", 40, 60, 46},
		{0x86dd, "6000 0000 0006 11", 39, 60, 60},
		{0x86dd, "6000 0000 0000 3b", 46, 46, 40},    /* no payload at all, but padding */
		{0x86dd, "6000 0000 0000 06", 46, 46, 40},
		{0x86dd, "6000 0000 0000 00", 46, 70000, 70000}, /* a jumbogram */
		{0x86dd, "6000 0000 0000 06", 46, 70000, 70000}, /* BIG TCP */
	};

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t *data = malloc(cases[i].captured);
		uint32_t length;

		assert_non_null(data);
		bytes_reset(&frame);
		bytes_put_hex(&frame, cases[i].header);
		bytes_put_fill(&frame, 0, 100);
		memcpy(data, frame.data, cases[i].captured);
		length = vd_pcap_link_ip_length(cases[i].ethertype, data, cases[i].captured, cases[i].wire_length);
		if (length != cases[i].length)
			fail_msg("case %u: %u instead of %u", i, length, cases[i].length);
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_found_if_they_are_whole),
		cmocka_unit_test(what_is_not_ip_is_told),
		cmocka_unit_test(raw_ip_is_told_by_its_version),
		cmocka_unit_test(an_ip_packet_ends_where_its_header_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
