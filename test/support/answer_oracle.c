/* SPDX-License-Identifier: MIT */
#include "answer_oracle.h"

#include <stdlib.h>

static uint32_t read16(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 8 | bytes[1];
}

static uint32_t read32(const uint8_t *bytes)
{
	return read16(bytes) << 16 | read16(bytes + 2);
}

static uint32_t add_byte(uint32_t sum, uint32_t at, uint8_t byte)
{
	sum += at % 2 ? byte : (uint32_t)byte << 8;
	return sum > 0xffff ? sum - 0xffff : sum;
}

uint16_t answer_sum(const uint8_t *ip, uint32_t at, uint32_t length, unsigned protocol, bool has_pseudo_header)
{
	uint32_t first = ip[0] >> 4 == 4 ? 12 : 8, addresses = ip[0] >> 4 == 4 ? 8 : 32, sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum = add_byte(sum, i, ip[at + i]);
	if (!has_pseudo_header)
		return (uint16_t)sum;
	for (uint32_t i = 0; i < addresses; i++)
		sum = add_byte(sum, i, ip[first + i]);
	sum = add_byte(sum, 1, (uint8_t)protocol);
	sum = add_byte(sum, 0, (uint8_t)(length >> 8));
	return (uint16_t)add_byte(sum, 1, (uint8_t)length);
}

/* ---- what must not be answered ---- */

static bool is_all(const uint8_t *bytes, uint32_t length, uint8_t value)
{
	for (uint32_t i = 0; i < length; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

static bool is_nobody(const uint8_t *address, unsigned version)
{
	return version == 4 ? address[0] == 0 || address[0] >= 224 : address[0] == 0xff || is_all(address, 16, 0);
}

static const char *forbidden(const struct vd_packet *packet)
{
	const uint8_t *data = vd_packet_data(packet), *transport = data + packet->transport_offset;
	unsigned version = data[0] >> 4;

	if (packet->parsed & VD_PARSED_MALFORMED || (version != 4 && version != 6) || !packet->transport_offset)
		return "what cannot be read";
	if (packet->parsed & VD_PARSED_FRAGMENT || (version == 4 && read16(data + 6) & 0x3fff))
		return "a fragment";
	if (packet->transport_offset > packet->length)
		return "what was cut";
	if (is_nobody(data + (version == 4 ? 12 : 8), version))
		return "nobody";
	if (is_nobody(data + (version == 4 ? 16 : 24), version))
		return "what was sent to many";
	if (packet->protocol == 6 && (packet->length < packet->transport_offset + 20u || transport[13] & 4))
		return "a reset, or half a TCP header";
	if (version == 4 && packet->protocol == 1 && (transport[0] == 3 || transport[0] == 4 || transport[0] == 5 ||
						       transport[0] == 11 || transport[0] == 12))
		return "an ICMP error";
	if (version == 6 && packet->protocol == 58 && (transport[0] < 128 || (transport[0] > 132 && transport[0] < 138)))
		return "an ICMPv6 error, a redirect, or neighbour discovery";
	return NULL;
}

/* ---- what the answer says ---- */

static const char *reset_fault(const struct vd_packet *packet, const uint8_t *reset, uint32_t length)
{
	const uint8_t *tcp = vd_packet_data(packet) + packet->transport_offset;
	unsigned flags = tcp[13];

	if (packet->protocol != 6)
		return "a reset of what is no TCP";
	if (length != 20 || reset[12] != 0x50)
		return "a reset with options or data";
	if (memcmp(reset, tcp + 2, 2) || memcmp(reset + 2, tcp, 2))
		return "the ports are not exchanged";
	if (!is_all(reset + 14, 2, 0) || !is_all(reset + 18, 2, 0))
		return "a reset with a window or urgent data";
	if (flags & 0x10) {
		if (reset[13] != 0x04 || read32(reset + 4) != read32(tcp + 8) || read32(reset + 8))
			return "with ACK: <SEQ=SEG.ACK><CTL=RST>";
	} else {
		uint32_t end = packet->wire_length, last = read32(tcp + 4);
		const uint8_t *data = vd_packet_data(packet);

		/* longer than the length fields can say: the wire's length is the packet's */
		if (data[0] >> 4 == 4 && read16(data + 2))
			end = read16(data + 2);
		else if (data[0] >> 4 == 6 && read16(data + 4))
			end = 40 + read16(data + 4);
		last += end - packet->transport_offset - (tcp[12] >> 4) * 4u + (flags & 1) + (flags >> 1 & 1);
		if (reset[13] != 0x14 || read32(reset + 4) || read32(reset + 8) != last)
			return "without ACK: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>";
	}
	return NULL;
}

static int code_of(const struct vd_packet *packet, bool is_v4)
{
	static const int v4[] = {3, -1, 3, 1, 0, 13}, v6[] = {4, -1, 4, 3, 0, 1};

	if (packet->reject == VD_REJECT_CODE)
		return packet->reject_code > (is_v4 ? 15 : 8) ? -1 : packet->reject_code;
	return packet->reject > 5 ? -1 : is_v4 ? v4[packet->reject] : v6[packet->reject];
}

static const char *error_fault(const struct vd_packet *packet, const uint8_t *error, uint32_t length, bool is_v4)
{
	const uint8_t *data = vd_packet_data(packet);
	uint32_t most = is_v4 ? 548 : 1232, there = packet->length, said = is_v4 ? read16(data + 2) : read16(data + 4);

	if (!is_v4)
		said += 40;
	if ((said > 40 || packet->wire_length <= 65535) && there > said) /* behind that is the link's padding */
		there = said;
	if (packet->protocol == 6 && packet->reject == VD_REJECT_CLOSED)
		return "an error where a reset belongs";
	if (length < 8 || error[0] != (is_v4 ? 3 : 1) || error[1] != code_of(packet, is_v4) || !is_all(error + 4, 4, 0))
		return "another type or code than was asked for";
	if (length - 8 != (there < most ? there : most) || memcmp(error + 8, data, length - 8))
		return "not as much of the packet as fits";
	return NULL;
}

const char *answer_fault(const struct vd_packet *packet, enum vd_answer answer, const uint8_t *source, const uint8_t *built,
			 uint32_t length)
{
	const char *fault = forbidden(packet);
	const uint8_t *data = vd_packet_data(packet), *from;
	bool is_v4 = packet->ip_version == 4, is_reset = answer == VD_ANSWER_RESET;
	uint32_t header = is_v4 ? 20 : 40, size = is_v4 ? 4 : 16;
	unsigned protocol = is_reset ? 6 : is_v4 ? 1 : 58;

	if (vd_answer_is_none(answer))
		return NULL;
	if (fault)
		return fault;
	if (length < header + 8 || length > (is_v4 ? 576 : 1280))
		return "too short or too long";
	if (built[0] != (is_v4 ? 0x45 : 0x60) || (is_v4 ? read16(built + 2) : read16(built + 4) + 40) != length)
		return "another version or length in the IP header";
	if (built[is_v4 ? 9 : 6] != protocol || built[is_v4 ? 8 : 7] < 32)
		return "another protocol, or few hops";
	if (is_v4 && answer_sum(built, 0, 20, 0, false) != 0xffff)
		return "a wrong header checksum";
	if (answer_sum(built, header, length - header, protocol, is_reset || !is_v4) != 0xffff)
		return "a wrong checksum";
	from = source && !is_reset ? source : data + (is_v4 ? 16 : 24);
	/* the addresses end the header: source, destination */
	if (memcmp(built + header - size, data + (is_v4 ? 12 : 8), size) || memcmp(built + header - 2 * size, from, size))
		return "not from there, or not to the sender";
	return is_reset ? reset_fault(packet, built + header, length - header) :
			  error_fault(packet, built + header, length - header, is_v4);
}

const char *answer_fault_of(const struct vd_packet *packet, const uint8_t *source, enum vd_answer *chosen)
{
	uint8_t *room = malloc(VD_ANSWER_SIZE_MAX), *exact;
	const char *fault;
	uint32_t length;

	*chosen = vd_answer_choose(packet);
	if (!room || vd_answer_is_none(*chosen)) {
		free(room);
		return room ? NULL : "no memory";
	}
	length = vd_answer_build(packet, *chosen, source, room);
	exact = length <= VD_ANSWER_SIZE_MAX ? malloc(length) : NULL;
	if (exact)
		memcpy(exact, room, length);
	fault = exact ? answer_fault(packet, *chosen, source, exact, length) : "too long";
	free(exact);
	free(room);
	return fault;
}
