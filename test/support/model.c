/* SPDX-License-Identifier: MIT */
#include "test/support/model.h"

#include <string.h>

enum { HOP_BY_HOP = 0, ICMP = 1, TCP = 6, UDP = 17, DCCP = 33, ROUTING = 43, FRAGMENT = 44, GRE = 47, AUTHENTICATION = 51,
       ICMPV6 = 58, DESTINATION_OPTIONS = 60, SCTP = 132, MOBILITY = 135, UDP_LITE = 136 };

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, uint32_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

/* ---- where things are ---- */

struct anatomy {
	uint32_t start, end; /* of what the transport protocol has; start 0: nothing of it here */
	unsigned protocol;
	bool is_fragment;
	const uint8_t *source, *destination; /* of the pseudo-header */
	unsigned size;
};

static void look_at_ipv4(const uint8_t *data, struct anatomy *found)
{
	uint32_t header = (data[0] & 15) * 4u;

	*found = (struct anatomy){.start = header, .end = get16(data + 2), .protocol = data[9], .source = data + 12,
				  .destination = data + 16, .size = 4, .is_fragment = get16(data + 6) & 0x3fff};
	if (get16(data + 6) & 0x1fff)
		found->start = 0;
	for (uint32_t at = 20; at < header && data[at]; at += data[at] == 1 ? 1 : data[at + 1]) {
		bool is_route = data[at] == 131 || data[at] == 137;

		if (data[at] != 1 && (at + 1 >= header || data[at + 1] < 2 || at + data[at + 1] > header))
			break;
		if (is_route && data[at + 1] >= 7 && data[at + 2] <= data[at + 1]) { /* hops are left */
			found->destination = data + at + data[at + 1] - 4;
			break;
		}
	}
}

static const uint8_t *last_hop(const uint8_t *header, uint32_t length)
{
	if (length < 24)
		return NULL;
	return header[2] == 4 ? header + 8 : header[2] == 0 || header[2] == 2 ? header + length - 16 : NULL;
}

static const uint8_t *find_home(const uint8_t *header, uint32_t length)
{
	uint32_t at = 2;

	while (at + 2 <= length) {
		if (!header[at]) {
			at++;
			continue;
		}
		if (at + 2 + header[at + 1] > length)
			return NULL;
		if (header[at] == 0xc9 && header[at + 1] == 16)
			return header + at + 2;
		at += 2u + header[at + 1];
	}
	return NULL;
}

static void look_at_ipv6(const uint8_t *data, struct anatomy *found)
{
	uint32_t at = 40;
	unsigned next = data[6];

	*found = (struct anatomy){.end = 40 + get16(data + 4), .source = data + 8, .destination = data + 24, .size = 16};
	for (;;) {
		uint32_t length = (data[at + 1] + 1u) * 8;

		if (next == FRAGMENT) {
			length = 8;
			found->is_fragment |= (get16(data + at + 2) & 0xfff9) != 0;
			if (get16(data + at + 2) & 0xfff8) {
				found->protocol = data[at];
				return;
			}
		} else if (next == AUTHENTICATION) {
			length = (data[at + 1] + 2u) * 4;
		} else if (next == ROUTING) {
			if (data[at + 3])
				found->destination = last_hop(data + at, length);
		} else if (next == DESTINATION_OPTIONS) {
			const uint8_t *home = find_home(data + at, length);

			found->source = home ? home : found->source;
		} else if (next != HOP_BY_HOP && next != MOBILITY && next != 139 && next != 140) {
			break;
		}
		next = data[at];
		at += length;
	}
	found->protocol = next;
	found->start = at;
}

static void look_at(const uint8_t *data, struct anatomy *found)
{
	if (data[0] >> 4 == 4)
		look_at_ipv4(data, found);
	else
		look_at_ipv6(data, found);
}

/* ---- sums ---- */

/* Byte by byte, each in its half of a word: RFC 1071 as it reads. */
static uint32_t add(uint32_t sum, const uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static uint32_t crc32c(const uint8_t *bytes, uint32_t length)
{
	uint32_t crc = 0xffffffff;

	for (uint32_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static uint32_t pseudo_header(const struct anatomy *found, uint32_t length)
{
	uint8_t rest[8] = {0, 0, (uint8_t)(length >> 8), (uint8_t)length, 0, 0, 0, (uint8_t)found->protocol};

	return add(add(add(0, found->source, found->size), found->destination, found->size), rest, sizeof rest);
}

static bool has_pseudo_header(unsigned protocol)
{
	return protocol == TCP || protocol == UDP || protocol == UDP_LITE || protocol == DCCP || protocol == ICMPV6;
}

/* Where the field is in the transport header; 0: there is none. */
static uint32_t field_of(const struct anatomy *found, const uint8_t *header)
{
	switch (found->protocol) {
	case TCP:
		return 16;
	case UDP:
	case UDP_LITE:
	case DCCP:
		return 6;
	case ICMP:
		return found->size == 4 ? 2 : 0;
	case ICMPV6:
		return found->size == 16 ? 2 : 0;
	case SCTP:
		return 8;
	case GRE:
		return header[0] & 0x80 ? 4 : 0;
	default:
		return 0;
	}
}

/* How much of `length` bytes is covered; UINT32_MAX: that makes no sense. */
static uint32_t coverage(const struct anatomy *found, const uint8_t *header, uint32_t length)
{
	uint32_t said = get16(header + 4);

	if (found->protocol == UDP_LITE && said)
		return said < 8 || said > length ? UINT32_MAX : said;
	if (found->protocol == DCCP && header[5] & 15) {
		said = header[4] * 4u + ((header[5] & 15) - 1u) * 4;
		return said > length ? UINT32_MAX : said;
	}
	return length;
}

static uint32_t upper_length(const struct anatomy *found, const uint8_t *header)
{
	if (found->protocol == UDP && get16(header + 4))
		return get16(header + 4);
	return found->end - found->start;
}

static bool complete_transport(uint8_t *data, const struct anatomy *found)
{
	uint8_t *header = data + found->start;
	uint32_t field = found->start ? field_of(found, header) : 0, length, covered, sum = 0;

	if (!field || found->is_fragment)
		return true;
	length = upper_length(found, header);
	covered = coverage(found, header, length);
	if (covered == UINT32_MAX || covered < field + 2)
		return false;
	if (found->protocol == SCTP) {
		memset(header + field, 0, 4);
		sum = crc32c(header, covered);
		for (unsigned i = 0; i < 4; i++)
			header[field + i] = (uint8_t)(sum >> 8 * i);
		return true;
	}
	if (found->protocol == UDP && found->size == 4 && !get16(header + field))
		return true;
	if (has_pseudo_header(found->protocol)) {
		if (!found->destination)
			return false;
		sum = pseudo_header(found, length);
	}
	put16(header + field, 0);
	sum = ~add(sum, header, covered) & 0xffff;
	if (!sum && (found->protocol == UDP || found->protocol == UDP_LITE))
		sum = 0xffff;
	put16(header + field, sum);
	return true;
}

bool model_complete(uint8_t *data, uint32_t length)
{
	struct anatomy found;

	(void)length;
	if (data[0] >> 4 == 4) {
		put16(data + 10, 0);
		put16(data + 10, ~add(0, data, (data[0] & 15) * 4u) & 0xffff);
	}
	look_at(data, &found);
	return complete_transport(data, &found);
}

bool model_set_not_ready(uint8_t *data, uint32_t length)
{
	struct anatomy found;
	uint32_t field;

	(void)length;
	look_at(data, &found);
	field = found.start ? field_of(&found, data + found.start) : 0;
	if (!field || found.is_fragment || !has_pseudo_header(found.protocol) || !found.destination ||
	    coverage(&found, data + found.start, upper_length(&found, data + found.start)) == UINT32_MAX)
		return false;
	put16(data + found.start + field, pseudo_header(&found, upper_length(&found, data + found.start)));
	return true;
}

/* ---- packets ---- */

static void put_random(uint64_t *random, struct bytes *bytes, uint32_t length)
{
	uint8_t some[2048];

	/* now and then what sums up to something special */
	if (bytes_random_below(random, 8))
		bytes_fill_random(random, some, length);
	else
		memset(some, bytes_random_below(random, 2) ? 0xff : 0, length);
	bytes_put(bytes, some, length);
}

static void put_tcp_options(uint64_t *random, struct bytes *bytes)
{
	switch (bytes_random_below(random, 5)) {
	case 0:
		bytes_put_hex(bytes, "020405b4 0402080a 00112233 00000000 01030307");
		break;
	case 1:
		bytes_put_hex(bytes, "01020405 b4010101"); /* at an odd place */
		break;
	case 2:
		bytes_put_hex(bytes, "0402010102040218 04020000"); /* one twice */
		break;
	case 3:
		bytes_put_hex(bytes, "0300ffff"); /* malformed */
		break;
	default:
		break;
	}
}

static void put_transport(uint64_t *random, struct bytes *bytes, unsigned protocol)
{
	uint32_t start = bytes->used, data = bytes_random_below(random, 4) ? bytes_random_below(random, 70) :
									     bytes_random_below(random, 1300);

	switch (protocol) {
	case TCP:
		put_random(random, bytes, 12);
		bytes_put_hex(bytes, "50100000 00000000");
		put_tcp_options(random, bytes);
		bytes->data[start + 12] = (uint8_t)((bytes->used - start) / 4 << 4);
		bytes->data[start + 13] = (uint8_t)bytes_random(random);
		break;
	case UDP:
		put_random(random, bytes, 4);
		bytes_put_number(bytes, 8 + data, 2);
		bytes_put_number(bytes, bytes_random_below(random, 4), 2); /* 0: none */
		break;
	case UDP_LITE:
		put_random(random, bytes, 4);
		bytes_put_number(bytes, bytes_random_below(random, 2) ? 0 : 8 + bytes_random_below(random, data + 1), 2);
		bytes_put_number(bytes, 0, 2);
		break;
	case DCCP:
		data = (data + 3) & ~3u;
		put_random(random, bytes, 4);
		bytes_put_number(bytes, 4, 1);
		bytes_put_number(bytes, data ? bytes_random_below(random, data / 4 + 1) & 15 : 0, 1);
		put_random(random, bytes, 10);
		break;
	case ICMP:
		bytes_put_number(bytes, bytes_random_below(random, 2) * 8, 1);
		bytes_put_number(bytes, 0, 3);
		put_random(random, bytes, 4);
		break;
	case ICMPV6:
		bytes_put_number(bytes, 128 + bytes_random_below(random, 2), 1);
		bytes_put_number(bytes, 0, 3);
		put_random(random, bytes, 4);
		break;
	case SCTP:
		data = (data + 3) & ~3u;
		put_random(random, bytes, 12);
		break;
	case GRE:
		bytes_put_number(bytes, bytes_random_below(random, 2) ? 0x80 : 0, 1);
		bytes_put_hex(bytes, "000800");
		if (bytes->data[start] & 0x80)
			bytes_put_number(bytes, 0, 4);
		break;
	default:
		break;
	}
	put_random(random, bytes, data);
}

static const uint8_t PROTOCOLS[] = {TCP, TCP, TCP, UDP, UDP, UDP, UDP_LITE, DCCP, ICMP, SCTP, GRE, 50};

static void random_ipv4(uint64_t *random, struct bytes *bytes)
{
	static const char *const options[] = {"", "", "", "", "01010101", "94040000", "83070400 0102030a", "8307080a 00000100",
					      "890b0801 02030405 06070800"};
	unsigned protocol = PROTOCOLS[bytes_random_below(random, sizeof PROTOCOLS)];
	uint16_t fragment = bytes_random_below(random, 12) ? 0x4000 : bytes_random_below(random, 2) ? 0x2000 : 0x2000 + 5;

	bytes_put_ipv4(bytes, (uint32_t)bytes_random(random), (uint32_t)bytes_random(random), (uint8_t)protocol, fragment);
	bytes_put_hex(bytes, options[bytes_random_below(random, sizeof options / sizeof *options)]);
	bytes->data[0] = (uint8_t)(0x40 | bytes->used / 4);
	put_transport(random, bytes, protocol);
}

/* An extension header, of the kind `kind`, that says `next`; its length is a multiple of 8. */
static void put_extension(uint64_t *random, struct bytes *bytes, unsigned kind, unsigned next)
{
	uint32_t start = bytes->used;

	bytes_put_number(bytes, next, 1);
	switch (kind) {
	case ROUTING: {
		static const uint8_t types[] = {0, 2, 4};
		unsigned type = types[bytes_random_below(random, 3)], hops = type == 2 ? 1 : 1 + bytes_random_below(random, 3);

		bytes_put_number(bytes, hops * 2, 1);
		bytes_put_number(bytes, type, 1);
		bytes_put_number(bytes, bytes_random_below(random, hops + 1), 1);
		bytes_put_number(bytes, 0, 4);
		put_random(random, bytes, hops * 16);
		break;
	}
	case FRAGMENT:
		bytes_put_number(bytes, 0, 1);
		bytes_put_number(bytes, bytes_random_below(random, 3) ? 0 : bytes_random_below(random, 2) ? 1 : 0x0041, 2);
		bytes_put_number(bytes, bytes_random(random), 4);
		break;
	default:
		if (kind == DESTINATION_OPTIONS && bytes_random_below(random, 2)) {
			bytes_put_hex(bytes, "02 0102 0000 c910"); /* with a home address */
			put_random(random, bytes, 16);
		} else {
			bytes_put_hex(bytes, "00 0104 00000000");
		}
		break;
	}
	if ((bytes->used - start) % 8)
		bytes_put_fill(bytes, 0, 8 - (bytes->used - start) % 8);
	if (kind != FRAGMENT)
		bytes->data[start + 1] = (uint8_t)((bytes->used - start) / 8 - 1);
}

static void random_ipv6(uint64_t *random, struct bytes *bytes)
{
	static const uint8_t kinds[] = {HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, FRAGMENT};
	unsigned protocol = PROTOCOLS[bytes_random_below(random, sizeof PROTOCOLS)], count = 0;
	uint8_t chain[4];

	if (protocol == ICMP)
		protocol = ICMPV6;
	for (unsigned i = 0; i < sizeof kinds; i++)
		if (!bytes_random_below(random, 5))
			chain[count++] = kinds[i];
	bytes_put_ipv6(bytes, bytes_random(random), bytes_random(random), count ? chain[0] : (uint8_t)protocol);
	for (unsigned i = 0; i < count; i++)
		put_extension(random, bytes, chain[i], i + 1 < count ? chain[i + 1] : protocol);
	put_transport(random, bytes, protocol);
}

void model_random_packet(uint64_t *random, struct bytes *bytes)
{
	bytes_reset(bytes);
	if (bytes_random_below(random, 2))
		random_ipv4(random, bytes);
	else
		random_ipv6(random, bytes);
	bytes_end_ip(bytes);
	model_complete(bytes->data, bytes->used);
}
