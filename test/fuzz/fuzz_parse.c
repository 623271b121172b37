/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: vd_packet_parse(), the accessors, the flow hash and vd_packet_replace(). The oracle:
 *
 *	- no accessor offers a byte outside of what was copied;
 *	- what is said of a packet of which less was copied never contradicts what is said of the whole;
 *	- turning a packet around (addresses and ports exchanged) leaves its flow hash;
 *	- a packet whose lengths agree can be replaced by itself, and is what it was; a refusal changes nothing;
 *	- it cannot be replaced by one that differs in a single byte of IP options, extension headers or fragment fields.
 *
 * Input: a byte of choices, two bytes (how much is copied of the part), the packet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/packet/place.h"
#include "test/support/bytes.h"

#define IP 0x0800
#define IPV6 0x86dd
#define KEY 0x5eed5eed12345678u

/* choices: bits 0-2 skb_info, 3 keep the ethertype from the version, 4-5 which else, 6-7 bytes that were never copied */
#define CHOICE_ETHERTYPE 0x08

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "oracle: %s\n", what);
	abort();
}

static void check_part(const struct vd_packet *part, const struct vd_packet *whole)
{
	const char *fault = bytes_accessor_fault(part);

	must(!fault, fault);
	must(!part->ip_version || part->ip_version == whole->ip_version, "another IP version in part");
	must(!(part->parsed & VD_PARSED_MALFORMED) || whole->parsed & VD_PARSED_MALFORMED, "malformed in part, not as a whole");
	if (whole->parsed & VD_PARSED_MALFORMED)
		return; /* the part need not show why */
	must(!part->protocol || part->protocol == whole->protocol, "another protocol in part");
	must(!part->transport_offset || part->transport_offset == whole->transport_offset, "another transport offset in part");
	must(!(part->parsed & ~whole->parsed), "more was found in part");
	must(!part->fragment_offset || part->fragment_offset == whole->fragment_offset, "another fragment offset in part");
}

static void swap(uint8_t *a, uint8_t *b, uint32_t length)
{
	uint8_t saved[16];

	memcpy(saved, a, length);
	memcpy(a, b, length);
	memcpy(b, saved, length);
}

static void check_turned_around(const struct vd_packet *packet)
{
	uint32_t size = packet->ip_version == 6 ? 16 : 4, at = packet->ip_version == 6 ? 8 : 12;
	const uint8_t *ports = vd_protocol_has_ports(packet->protocol) ? vd_packet_transport(packet, 4) : NULL;
	struct vd_packet *turned;
	uint8_t *bytes;

	if (!vd_packet_destination(packet))
		return;
	turned = bytes_packet(vd_packet_data(packet), packet->length, packet->wire_length, 0, packet->ethertype,
			      packet->skb_info);
	bytes = (uint8_t *)(turned + 1);
	swap(bytes + at, bytes + at + size, size);
	if (ports)
		swap(bytes + packet->transport_offset, bytes + packet->transport_offset + 2, 2);
	vd_packet_parse(turned, bytes);
	must(vd_packet_compute_flow_hash(packet, KEY) == vd_packet_compute_flow_hash(turned, KEY), "not symmetric");
	free(turned);
}

static bool lengths_agree(const struct vd_packet *packet)
{
	const uint8_t *data = vd_packet_data(packet);

	if (packet->ip_version == 4)
		return ((uint32_t)data[2] << 8 | data[3]) == packet->length;
	if (packet->ip_version == 6)
		return 40 + ((uint32_t)data[4] << 8 | data[5]) == packet->length;
	return packet->length != 0;
}

static void check_replace(const struct vd_packet *original, const uint8_t *with, uint32_t length)
{
	struct vd_packet *packet = bytes_packet(vd_packet_data(original), original->length, original->wire_length, length,
						original->ethertype, original->skb_info);
	size_t size = sizeof *packet + packet->room;
	void *before = malloc(size);
	int result;

	must(before, "no memory");
	memcpy(before, packet, size);
	result = vd_packet_replace(packet, with, length);
	if (result) {
		packet->edit_refused = 0; /* the note for the engine */
		must(!memcmp(before, packet, size), "a refusal changed something");
	} else {
		const char *fault = bytes_accessor_fault(packet);

		must(!fault, fault);
		must(packet->length == length && packet->wire_length == length, "another length than was given");
		must(!memcmp(vd_packet_data(packet), with, length), "other bytes than were given");
		must(packet->ip_version == original->ip_version, "another IP version");
		must((packet->parsed & ~VD_PARSED_MALFORMED) == original->parsed, "another kind of packet");
		must(packet->fragment_offset == original->fragment_offset, "another fragment");
	}
	free(before);
	free(packet);
}

/* The end of the IPv6 extension headers, a later fragment's header included; 40: there are none. */
static uint32_t extensions_end(const uint8_t *data, uint32_t length)
{
	uint8_t next = data[6];
	uint32_t at = 40;

	while (at + 8 <= length && (next == 0 || next == 43 || next == 44 || next == 60)) {
		bool is_fragment = next == 44;

		if (is_fragment && ((data[at + 2] << 8 | data[at + 3]) & 0xfff8))
			return at + 8;
		next = data[at];
		at += is_fragment ? 8 : data[at + 1] * 8u + 8;
	}
	return at;
}

/* Whether the newest kernels drop a rewrite that changes these bits of the byte at `at`. */
static bool is_guarded(const struct vd_packet *packet, uint32_t at, uint8_t bits)
{
	const uint8_t *data = vd_packet_data(packet);

	if (packet->ip_version == 4)
		return at == 0 || at == 7 || (at == 6 && bits != 0x40) || (at >= 20 && at < (data[0] & 15) * 4u);
	return packet->ip_version == 6 && at >= 40 && at < extensions_end(data, packet->length);
}

/* Of UDP-Lite and DCCP, that what is said to be covered is there. */
static bool is_covered(const struct vd_packet *packet)
{
	struct vd_checksum_place place;

	return vd_packet_find_checksum(packet, vd_packet_data(packet), &place) != -EINVAL;
}

/* The packet, one byte of it different, as its own replacement. */
static void check_guarded(const struct vd_packet *original, uint32_t at, uint8_t bits)
{
	struct vd_packet *packet = bytes_packet(vd_packet_data(original), original->length, original->wire_length, 0,
						original->ethertype, original->skb_info);
	uint8_t *with = malloc(original->length);

	must(with, "no memory");
	memcpy(with, vd_packet_data(original), original->length);
	with[at] ^= bits;
	if (is_guarded(packet, at, bits))
		must(vd_packet_replace(packet, with, original->length) != 0, "a guarded byte was changed");
	free(with);
	free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint16_t others[] = {IP, IPV6, 0x0806, 0x88b5};
	struct vd_packet *whole, *part;
	uint32_t length, missing, copied;
	uint16_t ethertype;
	uint8_t choices, bit;
	const char *fault;

	if (size < 3 || size > 60000)
		return 0;
	choices = data[0];
	copied = (uint32_t)data[1] << 8 | data[2];
	bit = (uint8_t)(1u << (data[1] >> 5));
	data += 3;
	length = (uint32_t)size - 3;
	missing = (choices >> 6) * 13u;
	ethertype = length && data[0] >> 4 == 6 ? IPV6 : IP;
	if (choices & CHOICE_ETHERTYPE)
		ethertype = others[choices >> 4 & 3];
	copied %= length + 1;

	whole = bytes_packet(data, length, length + missing, 0, ethertype, choices & 7);
	fault = bytes_accessor_fault(whole);
	must(!fault, fault);
	part = bytes_packet(data, copied, length + missing, 0, ethertype, choices & 7);
	check_part(part, whole);
	check_turned_around(whole);
	check_turned_around(part);

	check_replace(whole, data, length);
	check_replace(whole, data + copied, length - copied);
	if (!missing && !vd_packet_may_edit(whole) && lengths_agree(whole) && is_covered(whole)) {
		check_guarded(whole, copied % length, bit);
		must(vd_packet_replace(whole, data, length) == 0, "not to be replaced by itself");
	}
	free(part);
	free(whole);
	return 0;
}
