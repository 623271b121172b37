/* SPDX-License-Identifier: MIT */
/*
 * A rewritten packet with its checksums complete, as pieces of a message: the program's buffer is only read, and not copied but
 * for an IPv4 header.
 *
 *	| IPv4 header | up to the field | field | rest |		IPv6 has no checksum in its header: three pieces
 *	  copy		program's	  ours	  program's
 *
 * In full, whatever stands there: what the program changed, nobody knows.
 */
#include "ipq.h"

#include <linux/if_ether.h>

#include "lib/packet/place.h"

static void add(struct ipq_completed *completed, const void *bytes, size_t length)
{
	if (length)
		completed->pieces[completed->count++] =
			(struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
}

static void complete_header(struct ipq_completed *completed, const uint8_t *payload, uint32_t length)
{
	uint16_t checksum = vd_packet_ipv4_checksum_be(payload, length);

	memcpy(completed->header, payload, length);
	memcpy(completed->header + 10, &checksum, sizeof checksum);
	add(completed, completed->header, length);
}

/* 0 says that there is none, which the sender may want. */
static bool is_none(const struct vd_checksum_place *place, const uint8_t *payload)
{
	return place->zero_is_none && !payload[place->field] && !payload[place->field + 1];
}

void ipq_complete(struct ipq_completed *completed, uint8_t family, const uint8_t *payload, uint32_t length)
{
	struct vd_packet packet = {.ethertype = family == AF_INET6 ? ETH_P_IPV6 : ETH_P_IP, .length = length, .wire_length = length};
	struct vd_checksum_place place;
	uint32_t done = 0, size;

	completed->count = 0;
	vd_packet_parse(&packet, payload);
	if (!(packet.parsed & VD_PARSED_MALFORMED)) {
		if (packet.ip_version == 4) {
			done = packet.network_length;
			complete_header(completed, payload, done);
		}
		if (!vd_packet_find_checksum(&packet, payload, &place) && place.kind != VD_CHECKSUM_NONE && !is_none(&place, payload)) {
			size = vd_packet_make_checksum(&place, payload, completed->field);
			add(completed, payload + done, place.field - done);
			add(completed, completed->field, size);
			done = place.field + size;
		}
	}
	add(completed, payload + done, length - done);
}
