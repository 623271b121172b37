/* SPDX-License-Identifier: MIT */
/*
 * Each edit twice: by the library's call, and on plain bytes, where the lengths are set by hand and checksums left alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/model.h"

#include <verdict/edit.h>

struct attempt {
	uint64_t *random;
	struct vd_packet *packet;
	struct bytes *model;
	uint32_t transport, payload, payload_length;
	bool has_payload;
	uint8_t other[600]; /* bytes to put in */
};

static uint32_t below(struct attempt *attempt, uint32_t bound)
{
	return bytes_random_below(attempt->random, bound);
}

static bool is_v4(const struct attempt *attempt)
{
	return attempt->model->data[0] >> 4 == 4;
}

static int edit_address(struct attempt *attempt)
{
	bool is_source = below(attempt, 2);
	uint32_t size = is_v4(attempt) ? 4 : 16, at = (is_v4(attempt) ? 12 : 8) + (is_source ? 0 : size);
	int result = is_source ? vd_packet_set_source(attempt->packet, attempt->other) :
				 vd_packet_set_destination(attempt->packet, attempt->other);

	if (!result)
		memcpy(attempt->model->data + at, attempt->other, size);
	return result;
}

static int edit_ip_field(struct attempt *attempt)
{
	uint8_t *data = attempt->model->data;
	unsigned value = below(attempt, 270), class = is_v4(attempt) ? data[1] : (data[0] & 15u) << 4 | data[1] >> 4;
	int result;

	switch (below(attempt, 3)) {
	case 0:
		result = vd_packet_set_ttl(attempt->packet, value);
		if (!result)
			data[is_v4(attempt) ? 8 : 7] = (uint8_t)value;
		return result;
	case 1:
		value %= 70;
		result = vd_packet_set_dscp(attempt->packet, value);
		class = (class & 3) | value << 2;
		break;
	default:
		value %= 5;
		result = vd_packet_set_ecn(attempt->packet, value);
		class = (class & ~3u) | value;
		break;
	}
	if (!result && is_v4(attempt)) {
		data[1] = (uint8_t)class;
	} else if (!result) {
		data[0] = (uint8_t)(0x60 | class >> 4);
		data[1] = (uint8_t)((data[1] & 15) | (class & 15) << 4);
	}
	return result;
}

static int edit_port(struct attempt *attempt)
{
	bool is_source = below(attempt, 2);
	unsigned port = below(attempt, 0x10010);
	int result = is_source ? vd_packet_set_source_port(attempt->packet, port) :
				 vd_packet_set_destination_port(attempt->packet, port);

	if (!result)
		bytes_set_be16(attempt->model, attempt->transport + (is_source ? 0 : 2), (uint16_t)port);
	return result;
}

static int edit_tcp_field(struct attempt *attempt)
{
	uint32_t number = (uint32_t)bytes_random(attempt->random);
	int result;

	switch (below(attempt, 4)) {
	case 0:
		result = vd_packet_set_tcp_flags(attempt->packet, number % 260);
		if (!result)
			attempt->model->data[attempt->transport + 13] = (uint8_t)(number % 260);
		return result;
	case 1:
		result = vd_packet_set_tcp_window(attempt->packet, number % 0x10001);
		if (!result)
			bytes_set_be16(attempt->model, attempt->transport + 14, (uint16_t)(number % 0x10001));
		return result;
	case 2:
		result = vd_packet_set_tcp_sequence(attempt->packet, number);
		break;
	default:
		result = vd_packet_set_tcp_acknowledgment(attempt->packet, number);
		attempt->transport += 4;
		break;
	}
	if (!result) {
		bytes_set_be16(attempt->model, attempt->transport + 4, (uint16_t)(number >> 16));
		bytes_set_be16(attempt->model, attempt->transport + 6, (uint16_t)number);
	}
	return result;
}

static int edit_tcp_option(struct attempt *attempt)
{
	static const uint8_t kinds[] = {2, 3, 4, 8};
	uint8_t *tcp = attempt->model->data + attempt->transport;
	unsigned kind = kinds[below(attempt, sizeof kinds)], way = below(attempt, 3), mss = 1 + below(attempt, 0xffff);
	uint32_t value_length = 0, at, end = attempt->transport ? (tcp[12] >> 4) * 4u : 0;
	const uint8_t *value = vd_packet_tcp_option(attempt->packet, kind, &value_length);
	bool is_first = true;
	int result;

	if (way == 0)
		result = vd_packet_set_tcp_option(attempt->packet, kind, attempt->other, value_length + (below(attempt, 8) ? 0 : 1));
	else if (way == 1)
		result = vd_packet_remove_tcp_option(attempt->packet, kind);
	else
		result = vd_packet_clamp_mss(attempt->packet, mss);
	if (result < 0 || (way == 2 && !result))
		return result;
	if (way < 2 && !value)
		return -EFAULT; /* it cannot have been done */
	for (at = 20; at < end && tcp[at];) {
		uint32_t size = tcp[at] == 1 ? 1 : tcp[at + 1];

		if (at + 1 >= end || size < 1 || (tcp[at] != 1 && (size < 2 || at + size > end)))
			break;
		if (way == 0 && tcp[at] == kind && is_first)
			memcpy(tcp + at + 2, attempt->other, size - 2);
		if (way == 2 && tcp[at] == 2 && is_first)
			bytes_set_be16(attempt->model, attempt->transport + at + 2, (uint16_t)mss);
		is_first &= tcp[at] != (way == 2 ? 2 : kind);
		if (way == 1 && tcp[at] == kind)
			memset(tcp + at, 1, size);
		at += size;
	}
	return 0;
}

/* The model's lengths, after its payload has become longer or shorter. */
static void set_lengths(struct attempt *attempt, uint32_t before)
{
	uint8_t *transport = attempt->model->data + attempt->transport;
	uint32_t was = before - attempt->transport, now = attempt->model->used - attempt->transport, coverage;

	bytes_end_ip(attempt->model);
	switch (vd_packet_protocol(attempt->packet)) {
	case 17:
		bytes_set_be16(attempt->model, attempt->transport + 4, (uint16_t)now);
		break;
	case 136:
		coverage = (uint32_t)transport[4] << 8 | transport[5];
		if (coverage && (coverage == was || coverage > now))
			bytes_set_be16(attempt->model, attempt->transport + 4, (uint16_t)now);
		break;
	case 33:
		if (transport[5] & 15 && transport[4] * 4u + ((transport[5] & 15) - 1u) * 4 > now)
			transport[5] &= 0xf0;
		break;
	default:
		break;
	}
}

static void splice(struct attempt *attempt, uint32_t at, uint32_t length, const uint8_t *with, uint32_t with_length)
{
	uint8_t *place = attempt->model->data + attempt->payload + at;
	uint32_t before = attempt->model->used, rest = before - attempt->payload - at - length;

	if (before + with_length - length > sizeof attempt->model->data)
		abort();
	memmove(place + with_length, place + length, rest);
	memcpy(place, with, with_length);
	attempt->model->used = before + with_length - length;
	if (with_length != length)
		set_lengths(attempt, before);
}

/* By itself, with another time to live. Of fragments the checksum would be the caller's, and the model's is an old one. */
static int edit_everything(struct attempt *attempt, uint8_t ttl)
{
	uint8_t *copy;
	int result;

	if (vd_packet_is_fragment(attempt->packet))
		return -EINVAL;
	copy = malloc(attempt->model->used + 1);
	if (!copy)
		abort();
	memcpy(copy, attempt->model->data, attempt->model->used);
	copy[is_v4(attempt) ? 8 : 7] = ttl;
	result = vd_packet_replace(attempt->packet, copy, attempt->model->used);
	free(copy);
	if (!result)
		attempt->model->data[is_v4(attempt) ? 8 : 7] = ttl;
	return result;
}

static int edit_payload(struct attempt *attempt)
{
	uint32_t length = below(attempt, 2) ? below(attempt, 8) : below(attempt, sizeof attempt->other);
	uint32_t offset = below(attempt, attempt->payload_length + 2);
	int result;

	switch (below(attempt, 5)) {
	case 0:
		length = length > attempt->payload_length ? attempt->payload_length : length;
		result = vd_packet_write_payload(attempt->packet, offset, attempt->other, length);
		if (!result)
			splice(attempt, offset, length, attempt->other, length);
		return result;
	case 1:
		result = vd_packet_replace_payload(attempt->packet, attempt->other, length);
		if (!result)
			splice(attempt, 0, attempt->payload_length, attempt->other, length);
		return result;
	case 2:
		result = vd_packet_insert_payload(attempt->packet, offset, attempt->other, length);
		if (!result)
			splice(attempt, offset, 0, attempt->other, length);
		return result;
	case 3:
		result = vd_packet_delete_payload(attempt->packet, offset, length);
		if (!result)
			splice(attempt, offset, length, attempt->other, 0);
		return result;
	default:
		return edit_everything(attempt, (uint8_t)length);
	}
}

static bool may_be_an_error(int error)
{
	switch (error) {
	case -EPROTONOSUPPORT:
	case -ENOENT:
	case -EINVAL:
	case -ENODATA:
	case -EMSGSIZE:
	case -EOPNOTSUPP:
	case -EPERM:
	case -EBADMSG:
		return true;
	default:
		return false;
	}
}

const char *model_random_edit(uint64_t *random, struct vd_packet *packet, struct bytes *model)
{
	struct attempt attempt = {.random = random, .packet = packet, .model = model, .transport = packet->transport_offset};
	const uint8_t *payload = vd_packet_payload(packet, &attempt.payload_length);
	size_t size = sizeof *packet + packet->room;
	struct vd_packet *before = malloc(size);
	const char *fault = NULL;
	int result, allowed = vd_packet_may_edit(packet);

	if (!before)
		abort();
	attempt.payload = payload ? (uint32_t)(payload - vd_packet_data(packet)) : 0;
	attempt.has_payload = payload;
	bytes_fill_random(random, attempt.other, sizeof attempt.other);
	if (!below(&attempt, 6))
		memset(attempt.other, below(&attempt, 2) ? 0xff : 0, sizeof attempt.other);
	memcpy(before, packet, size);
	switch (below(&attempt, 6)) {
	case 0:
		result = edit_address(&attempt);
		break;
	case 1:
		result = edit_ip_field(&attempt);
		break;
	case 2:
		result = edit_port(&attempt);
		break;
	case 3:
		result = edit_tcp_field(&attempt);
		break;
	case 4:
		result = edit_tcp_option(&attempt);
		break;
	default:
		result = edit_payload(&attempt);
		break;
	}
	if (result < 0 && !may_be_an_error(result))
		fault = "an error that may not be";
	else if (result >= 0 && allowed)
		fault = "edited, though it could not be";
	else if (result > 1)
		fault = "neither 0 nor an error";
	/* a refused one may have completed what others edited before it */
	if (result < 0 && !fault && !before->edited) {
		before->edit_refused = packet->edit_refused;
		if (memcmp(before, packet, size))
			fault = "a refusal changed something";
	}
	if (result >= 0 && !fault && (packet->length != model->used || packet->wire_length != model->used))
		fault = "another length";
	free(before);
	return fault ? fault : bytes_accessor_fault(packet);
}
