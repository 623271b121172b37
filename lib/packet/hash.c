/* SPDX-License-Identifier: MIT */
/*
 * The symmetric flow hash.
 *
 * Each end of the flow (address, port) is hashed by itself, the two are added, which forgets who was the source, and the
 * sum is mixed once more with the protocol. A mix is a 64 x 64 -> 128 bit multiplication folded by xor, with a key that is
 * drawn at start.
 */
#include "packet.h"

#include <netinet/in.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_end(const uint8_t *address, unsigned size, uint32_t port, uint64_t key)
{
	uint64_t low, high;

	if (size == 4) {
		uint32_t word;

		memcpy(&word, address, 4);
		return mix(((uint64_t)word << 32 | port) ^ key, 0x9e3779b97f4a7c15u ^ key >> 32);
	}
	memcpy(&high, address, 8);
	memcpy(&low, address + 8, 8);
	return mix(low ^ key, mix(high ^ 0x9e3779b97f4a7c15u, key) ^ port ^ 0xc2b2ae3d27d4eb4fu);
}

/* Both ends of a ping share its identifier, in both directions. */
static uint32_t echo_identifier(const struct vd_packet *packet)
{
	const uint8_t *icmp = vd_packet_transport(packet, 6);
	bool echo;

	if (!icmp)
		return 0;
	if (packet->protocol == IPPROTO_ICMP)
		echo = icmp[0] == 8 || icmp[0] == 0;
	else
		echo = icmp[0] == 128 || icmp[0] == 129;
	return echo ? (uint32_t)icmp[4] << 8 | icmp[5] : 0;
}

uint32_t vd_packet_compute_flow_hash(const struct vd_packet *packet, uint64_t key)
{
	const uint8_t *source = vd_packet_source(packet), *destination = vd_packet_destination(packet);
	uint32_t source_port = 0, destination_port = 0;
	unsigned size = packet->ip_version == 6 ? 16 : 4;
	uint64_t ends;

	if (!source || !destination)
		return (uint32_t)(mix(packet->ethertype ^ key, 0x9e3779b97f4a7c15u) >> 32);
	if (!(packet->parsed & VD_PARSED_FRAGMENT) && packet->transport_offset) {
		const uint8_t *ports = vd_packet_transport(packet, 4);

		if (vd_protocol_has_ports(packet->protocol) && ports) {
			source_port = (uint32_t)ports[0] << 8 | ports[1];
			destination_port = (uint32_t)ports[2] << 8 | ports[3];
		} else if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6) {
			source_port = destination_port = echo_identifier(packet);
		}
	}
	ends = hash_end(source, size, source_port, key) + hash_end(destination, size, destination_port, key);
	/* fragments do not all know the protocol: in IPv6 the later ones name the header that follows theirs */
	return (uint32_t)(mix(ends ^ (packet->parsed & VD_PARSED_FRAGMENT ? 0 : packet->protocol),
			      0xd6e8feb86659fd93u ^ key) >> 32);
}
