/* SPDX-License-Identifier: MIT */
#include "sums.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint16_t sums_add(uint16_t before, const uint8_t *bytes, uint32_t length)
{
	uint32_t sum = before;

	for (uint32_t i = 0; i < length; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

struct layout {
	uint32_t header;
	uint32_t field; /* from the network header on; 0: no checksum that is known */
	uint8_t protocol;
};

static struct layout look(const uint8_t *ip)
{
	bool is_ipv4 = ip[0] >> 4 == 4;
	struct layout layout = {.header = is_ipv4 ? (ip[0] & 0x0fu) * 4 : 40, .protocol = ip[is_ipv4 ? 9 : 6]};

	switch (layout.protocol) {
	case IPPROTO_TCP:
		layout.field = layout.header + 16;
		break;
	case IPPROTO_UDP:
		layout.field = layout.header + 6;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		layout.field = layout.header + 2;
		break;
	}
	return layout;
}

static uint16_t sum_transport(const uint8_t *ip, uint32_t length, const struct layout *layout)
{
	uint32_t covered = length - layout->header;
	uint8_t end[8] = {0, 0, 0, 0, 0, layout->protocol, (uint8_t)(covered >> 8), (uint8_t)covered};
	uint16_t sum = 0;

	if (layout->protocol != IPPROTO_ICMP) {
		sum = ip[0] >> 4 == 4 ? sums_add(0, ip + 12, 8) : sums_add(0, ip + 8, 32);
		sum = sums_add(sum, end, sizeof end);
	}
	return sums_add(sum, ip + layout->header, covered);
}

static void put(uint8_t *field, uint16_t sum, bool never_zero)
{
	uint16_t checksum = (uint16_t)~sum;

	if (!checksum && never_zero)
		checksum = 0xffff;
	field[0] = (uint8_t)(checksum >> 8);
	field[1] = (uint8_t)checksum;
}

void sums_make(uint8_t *ip, uint32_t length)
{
	struct layout layout = look(ip);

	if (!layout.field || layout.field + 2 > length) {
		fprintf(stderr, "sums: a packet without a checksum that is known\n");
		abort();
	}
	if (ip[0] >> 4 == 4) {
		ip[10] = ip[11] = 0;
		put(ip + 10, sums_add(0, ip, layout.header), false);
	}
	ip[layout.field] = ip[layout.field + 1] = 0;
	put(ip + layout.field, sum_transport(ip, length, &layout), layout.protocol == IPPROTO_UDP);
}

const char *sums_fault(const uint8_t *ip, uint32_t length)
{
	struct layout layout = look(ip);

	if (ip[0] >> 4 == 4 && sums_add(0, ip, layout.header) != 0xffff)
		return "the IPv4 header's checksum is wrong";
	if (!layout.field || layout.field + 2 > length)
		return NULL;
	if (layout.protocol == IPPROTO_UDP && !ip[layout.field] && !ip[layout.field + 1])
		return ip[0] >> 4 == 4 ? NULL : "there is no UDP checksum";
	return sum_transport(ip, length, &layout) == 0xffff ? NULL : "the transport checksum is wrong";
}

struct vd_packet *sums_packet(struct bytes *bytes)
{
	bytes_end_ip(bytes);
	sums_make(bytes->data, bytes->used);
	return bytes_packet_of(bytes);
}
