/* SPDX-License-Identifier: MIT */
/*
 * rewrite:shorter|longer|same rewrites the payload of UDP over IPv4, with the right lengths and checksums: "shorter" leaves
 * out its last 4 bytes (all, if there are no more), "longer" puts 16 times '+' behind it, "same" inverts the case of its
 * letters. Then the next function decides. Counters: "rewritten", and "refused" by vd_packet_replace().
 */
#include <ctype.h>

#include <verdict/function.h>

enum { REWRITTEN, REFUSED };
static const char *const counters[] = {[REWRITTEN] = "rewritten", [REFUSED] = "refused", NULL};

static const char *const ways[] = {"shorter", "longer", "same"};
enum way { SHORTER, LONGER, SAME };

#define LESS 4u
#define MORE 16u

static int open_rewrite(struct vd_open *open, void **shared)
{
	for (uintptr_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (!strcmp(open->arguments, ways[i])) {
			*shared = (void *)i;
			return 0;
		}
	return vd_open_error(open, "say rewrite:shorter, rewrite:longer or rewrite:same, not '%s'", open->arguments);
}

static void write16(uint8_t *bytes, uint32_t number)
{
	bytes[0] = (uint8_t)(number >> 8);
	bytes[1] = (uint8_t)number;
}

/* RFC 1071: the sum of 16-bit words, the carries added again. */
static uint32_t add_words(uint32_t sum, const uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	if (length % 2)
		sum += (uint32_t)bytes[length - 1] << 8;
	return sum; /* 32768 words at most: no overflow */
}

static uint32_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* Lengths and checksums of the IPv4 header and the UDP header behind it (RFC 791, RFC 768). */
static void finish(uint8_t *data, uint32_t length, uint32_t header_length)
{
	uint8_t *udp = data + header_length;
	uint32_t udp_length = length - header_length, sum;

	write16(data + 2, length);
	write16(data + 10, 0);
	write16(data + 10, fold(add_words(0, data, header_length)));

	write16(udp + 4, udp_length);
	write16(udp + 6, 0);
	sum = fold(add_words(add_words(IPPROTO_UDP + udp_length, data + 12, 8), udp, udp_length));
	write16(udp + 6, sum ? sum : 0xffff); /* 0 would say "no checksum" */
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	uint8_t data[UINT16_MAX + MORE];
	uint32_t payload_length, start, length;
	const uint8_t *payload = vd_packet_payload(packet, &payload_length);

	if (vd_packet_ip_version(packet) != 4 || vd_packet_protocol(packet) != IPPROTO_UDP || !payload ||
	    vd_packet_is_fragment(packet) || vd_packet_is_gso(packet))
		return VD_NEXT;

	start = (uint32_t)(payload - vd_packet_data(packet));
	length = start + payload_length;
	memcpy(data, vd_packet_data(packet), length);
	switch ((enum way)(uintptr_t)state) {
	case SHORTER:
		length -= payload_length < LESS ? payload_length : LESS;
		break;
	case LONGER:
		memset(data + length, '+', MORE);
		length += MORE;
		break;
	case SAME:
		for (uint32_t i = start; i < length; i++)
			if (isalpha(data[i]))
				data[i] ^= 0x20;
		break;
	}
	finish(data, length, start - 8);
	vd_count(packet, vd_packet_replace(packet, data, length) ? REFUSED : REWRITTEN, 1);
	return VD_NEXT;
}

VD_FUNCTION(.name = "rewrite", .summary = "rewrites UDP payloads", .usage = "shorter|longer|same", .bytes = VD_WHOLE,
	    .counters = counters, .open = open_rewrite, .decide = decide);
