/* SPDX-License-Identifier: MIT */
/*
 * Answers to rejected packets: a TCP reset (RFC 9293), or ICMP "destination unreachable" (RFC 792, 1122, 1812, 4443).
 */
#include "answer.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "checksum.h"
#include "place.h"

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define TCP_HEADER 20u
#define ICMP_HEADER 8u

#define IPV4_ANSWER_MAX 576u
#define HOPS 64

/* RFC 1812 4.3.2.5: precedence "internetwork control" for ICMP errors */
#define TOS_CONTROL 0xc0

#define FLAG_FIN 0x01u
#define FLAG_SYN 0x02u
#define FLAG_RST 0x04u
#define FLAG_ACK 0x10u

#define ICMP_UNREACHABLE 3
#define ICMP_CODE_LAST 15
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_CODE_LAST 8

/* The kernel's number for lo in every network namespace. */
#define LOOPBACK_DEVICE 1

static void write32(uint8_t *at, uint32_t number)
{
	vd_packet_write16(at, number >> 16);
	vd_packet_write16(at + 2, number);
}

/* ---- which answer ---- */

/* The packet's own word on how long it is, copied or not; it was parsed and is not malformed. */
static uint32_t ip_length(const struct vd_packet *packet, const uint8_t *data)
{
	uint32_t said = packet->ip_version == 4 ? (uint32_t)data[2] << 8 | data[3] : (uint32_t)data[4] << 8 | data[5];

	if (!said && (packet->skb_info & VD_SKB_GSO || (packet->ip_version == 6 && data[6] == IPPROTO_HOPOPTS)))
		return packet->wire_length; /* too long for the field: BIG TCP, a jumbogram */
	return packet->ip_version == 4 ? said : IPV6_HEADER + said;
}

/* The IP header, and behind it the whole TCP header, or of others 8 bytes (RFC 792), unless there are fewer. */
static bool has_headers(const struct vd_packet *packet, const uint8_t *data)
{
	uint32_t wanted = packet->transport_offset + (packet->protocol == IPPROTO_TCP ? TCP_HEADER : 8), end;

	if (!packet->transport_offset || packet->length < packet->transport_offset)
		return false;
	end = ip_length(packet, data);
	return packet->length >= (wanted < end ? wanted : end);
}

/* RFC 1122 3.2.2, RFC 1812 4.3.2.7, RFC 4443 2.4(e); and 0.0.0.0/8, which once was a broadcast as well. */
static bool is_host(const struct vd_packet *packet, const uint8_t *address)
{
	static const uint8_t unspecified[16];

	if (packet->ip_version == 4)
		return address[0] != 0 && address[0] < 224;
	return address[0] != 0xff && memcmp(address, unspecified, sizeof unspecified) != 0;
}

static bool is_loopback(const struct vd_packet *packet, const uint8_t *address)
{
	static const uint8_t loopback[16] = {[15] = 1};

	return packet->ip_version == 4 ? address[0] == 127 : !memcmp(address, loopback, sizeof loopback);
}

static bool has_hosts(const struct vd_packet *packet)
{
	const uint8_t *source = vd_packet_source(packet), *destination = vd_packet_destination(packet);

	if (!is_host(packet, source) || !is_host(packet, destination))
		return false;
	/* from a wire it is forged, and where routing has not looked yet (PREROUTING) the answer would go to this machine */
	return !is_loopback(packet, source) || packet->indev <= LOOPBACK_DEVICE;
}

/* The kernel's own bound: whether types beyond it are errors nobody knows (RFC 2521 has one), so they count as such. */
#define ICMP_TYPE_KNOWN_LAST 18

static bool is_icmp_error(uint8_t type)
{
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12 || type > ICMP_TYPE_KNOWN_LAST;
}

/* Neighbour discovery is not an error, but to answer it would be noise on the link; 137: a redirect (RFC 4861). */
static bool is_icmpv6_error(uint8_t type)
{
	return type < 128 || (type >= 133 && type <= 137);
}

static bool is_answer(const struct vd_packet *packet, const uint8_t *data)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return vd_packet_tcp_flags(packet) & FLAG_RST;
	case IPPROTO_ICMP:
		return packet->ip_version == 4 && is_icmp_error(data[packet->transport_offset]);
	case IPPROTO_ICMPV6:
		return packet->ip_version == 6 && is_icmpv6_error(data[packet->transport_offset]);
	default:
		return false;
	}
}

/* The code of "destination unreachable"; -1: there is none. */
static int unreachable_code(const struct vd_packet *packet)
{
	bool is_v6 = packet->ip_version == 6;

	switch (packet->reject) {
	case VD_REJECT_CLOSED:
	case VD_REJECT_PORT:
		return is_v6 ? 4 : 3;
	case VD_REJECT_HOST:
		return is_v6 ? 3 : 1;
	case VD_REJECT_NETWORK:
		return 0;
	case VD_REJECT_PROHIBITED:
		return is_v6 ? 1 : 13;
	case VD_REJECT_CODE:
		return packet->reject_code <= (is_v6 ? ICMPV6_CODE_LAST : ICMP_CODE_LAST) ? packet->reject_code : -1;
	default:
		return -1;
	}
}

enum vd_answer vd_answer_choose(const struct vd_packet *packet)
{
	const uint8_t *data = vd_packet_data(packet);
	bool is_tcp = packet->protocol == IPPROTO_TCP;

	if (packet->parsed & VD_PARSED_MALFORMED)
		return VD_ANSWER_MALFORMED;
	if (!packet->ip_version)
		return VD_ANSWER_NOT_IP;
	if (packet->parsed & VD_PARSED_FRAGMENT)
		return VD_ANSWER_FRAGMENT;
	if (!has_headers(packet, data))
		return VD_ANSWER_CUT;
	if (!has_hosts(packet))
		return VD_ANSWER_NO_HOST;
	if (is_answer(packet, data))
		return VD_ANSWER_IS_ANSWER;
	if (packet->reject == VD_REJECT_TCP_RESET || (packet->reject == VD_REJECT_CLOSED && is_tcp))
		/* a connection of addresses that lie in options: a reset by those in the header would be another's */
		return is_tcp && vd_packet_is_pseudo_source(packet, data) && vd_packet_is_pseudo_destination(packet, data) ?
			       VD_ANSWER_RESET : VD_ANSWER_UNFIT;
	return unreachable_code(packet) < 0 ? VD_ANSWER_UNFIT : VD_ANSWER_UNREACHABLE;
}

/* ---- its bytes ---- */

/*
 * RFC 9293 3.10.7.1: what came with ACK is answered from where the sender thinks that we are; what came without, by an
 * acknowledgment of all of it, SYN and FIN included. Of a GSO packet that is all its segments: the sender has sent them all.
 */
static uint32_t put_reset(const struct vd_packet *packet, uint8_t *to)
{
	const uint8_t *data = vd_packet_data(packet), *tcp = data + packet->transport_offset;
	unsigned flags = tcp[13];

	memset(to, 0, TCP_HEADER);
	memcpy(to, tcp + 2, 2);
	memcpy(to + 2, tcp, 2);
	to[12] = TCP_HEADER / 4 << 4;
	if (flags & FLAG_ACK) {
		memcpy(to + 4, tcp + 8, 4);
		to[13] = FLAG_RST;
	} else {
		uint32_t length = ip_length(packet, data) - packet->transport_offset - (tcp[12] >> 4) * 4u;

		length += !!(flags & FLAG_SYN) + !!(flags & FLAG_FIN);
		write32(to + 8, vd_packet_tcp_sequence(packet) + length);
		to[13] = FLAG_RST | FLAG_ACK;
	}
	return TCP_HEADER;
}

/* As much of the packet as is there and fits. */
static uint32_t put_unreachable(const struct vd_packet *packet, uint8_t *to, uint32_t room)
{
	const uint8_t *data = vd_packet_data(packet);
	uint32_t quoted = vd_packet_ip_end(packet, data);

	if (quoted > room - ICMP_HEADER)
		quoted = room - ICMP_HEADER;
	memset(to, 0, ICMP_HEADER);
	to[0] = packet->ip_version == 4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE;
	to[1] = (uint8_t)unreachable_code(packet);
	memcpy(to + ICMP_HEADER, data, quoted);
	return ICMP_HEADER + quoted;
}

static uint32_t put_transport(const struct vd_packet *packet, enum vd_answer answer, uint8_t *to, uint32_t room)
{
	return answer == VD_ANSWER_RESET ? put_reset(packet, to) : put_unreachable(packet, to, room);
}

/* `addresses` is where both lie in the answer, one behind the other. NULL: the protocol has no pseudo-header. */
static void complete(uint8_t *transport, uint32_t length, uint32_t field, unsigned protocol, const uint8_t *addresses,
		     uint32_t addresses_length)
{
	uint64_t sum = vd_checksum_part(transport, length);
	uint16_t checksum;

	if (addresses) {
		sum += vd_checksum_part(addresses, addresses_length);
		sum = vd_checksum_add_be(vd_checksum_add_be(sum, htonl(length)), htons((uint16_t)protocol));
	}
	checksum = vd_checksum_finish_be(sum);
	memcpy(transport + field, &checksum, sizeof checksum);
}

static uint32_t build_ipv4(const struct vd_packet *packet, enum vd_answer answer, const uint8_t *source, uint8_t *buffer)
{
	uint8_t *transport = buffer + IPV4_HEADER;
	uint32_t length = put_transport(packet, answer, transport, IPV4_ANSWER_MAX - IPV4_HEADER);
	bool is_reset = answer == VD_ANSWER_RESET;
	uint16_t checksum;

	memset(buffer, 0, IPV4_HEADER);
	buffer[0] = 0x45;
	buffer[1] = is_reset ? 0 : TOS_CONTROL;
	vd_packet_write16(buffer + 2, IPV4_HEADER + length);
	buffer[6] = 0x40; /* don't fragment: it is small enough, and so needs no identification (RFC 6864) */
	buffer[8] = HOPS;
	buffer[9] = is_reset ? IPPROTO_TCP : IPPROTO_ICMP;
	memcpy(buffer + 12, source, 4);
	memcpy(buffer + 16, vd_packet_source(packet), 4);
	checksum = vd_packet_ipv4_checksum_be(buffer, IPV4_HEADER);
	memcpy(buffer + 10, &checksum, sizeof checksum);
	if (is_reset)
		complete(transport, length, 16, IPPROTO_TCP, buffer + 12, 8);
	else
		complete(transport, length, 2, IPPROTO_ICMP, NULL, 0);
	return IPV4_HEADER + length;
}

static uint32_t build_ipv6(const struct vd_packet *packet, enum vd_answer answer, const uint8_t *source, uint8_t *buffer)
{
	uint8_t *transport = buffer + IPV6_HEADER;
	uint32_t length = put_transport(packet, answer, transport, VD_ANSWER_SIZE_MAX - IPV6_HEADER);
	bool is_reset = answer == VD_ANSWER_RESET;

	memset(buffer, 0, IPV6_HEADER);
	buffer[0] = 0x60;
	vd_packet_write16(buffer + 4, length);
	buffer[6] = is_reset ? IPPROTO_TCP : IPPROTO_ICMPV6;
	buffer[7] = HOPS;
	memcpy(buffer + 8, source, 16);
	memcpy(buffer + 24, vd_packet_source(packet), 16);
	complete(transport, length, is_reset ? 16 : 2, buffer[6], buffer + 8, 32);
	return IPV6_HEADER + length;
}

uint32_t vd_answer_build(const struct vd_packet *packet, enum vd_answer answer, const uint8_t *source, uint8_t *buffer)
{
	if (!source || answer == VD_ANSWER_RESET)
		source = vd_packet_destination(packet);
	return packet->ip_version == 4 ? build_ipv4(packet, answer, source, buffer) :
					 build_ipv6(packet, answer, source, buffer);
}
