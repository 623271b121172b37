/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: parse, edit, complete. The oracle is a model that does each edit on plain bytes and then makes all checksums
 * anew, byte by byte:
 *
 *	- what was edited and completed is what the model says, to the byte;
 *	- vd_packet_verify() agrees with it about what is right;
 *	- a refusal changes nothing, and no accessor offers a byte outside of the packet.
 *
 * Input: a byte of choices, eight bytes that the edits are drawn from, the packet, whose checksums are made right first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/model.h"

#define IP 0x0800
#define IPV6 0x86dd

/* choices: bits 0-1 how many edits, 2 the checksum is not ready, 3 segments in one packet, 4-6 the hook, 7 a part was copied */
#define CHOICE_NOT_READY 0x04
#define CHOICE_GSO 0x08
#define CHOICE_PART 0x80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "oracle: %s\n", what);
	abort();
}

static void print_bytes(const char *what, const uint8_t *data, uint32_t length)
{
	fprintf(stderr, "%s ", what);
	for (uint32_t i = 0; i < length; i++)
		fprintf(stderr, "%02x", data[i]);
	fprintf(stderr, "\n");
}

static bool is_udp_segments(const struct vd_packet *packet)
{
	return packet->protocol == 17 && packet->skb_info & VD_SKB_GSO;
}

static void check_completed(struct vd_packet *packet, struct bytes *model, bool was_fragment)
{
	bool is_right;

	vd_packet_complete(packet);
	if (was_fragment) /* the checksum of a datagram of which this is a part */
		return;
	is_right = model_complete(model->data, model->used);
	if (is_right && is_udp_segments(packet))
		model_set_not_ready(model->data, model->used);
	if (packet->length != model->used || (is_right && memcmp(vd_packet_data(packet), model->data, model->used))) {
		print_bytes("packet", vd_packet_data(packet), packet->length);
		print_bytes("model ", model->data, model->used);
	}
	must(packet->length == model->used, "another length than the model's");
	if (is_right)
		must(!memcmp(vd_packet_data(packet), model->data, model->used), "other bytes than the model's");
	if (is_right && !is_udp_segments(packet))
		must(!vd_packet_verify(packet), "completed, and said to be wrong");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes model;
	struct vd_packet *packet;
	uint64_t random;
	uint32_t copied, skb_info;
	uint16_t ethertype;
	uint8_t choices;
	bool is_whole, is_fragment, is_right, has_model;

	if (size < 10 || size > 4000)
		return 0;
	choices = data[0];
	memcpy(&random, data + 1, sizeof random);
	bytes_reset(&model);
	bytes_put(&model, data + 9, (uint32_t)size - 9);
	ethertype = model.data[0] >> 4 == 6 ? IPV6 : IP;
	skb_info = (choices & CHOICE_NOT_READY ? VD_SKB_CHECKSUM_NOT_READY : 0u) | (choices & CHOICE_GSO ? VD_SKB_GSO : 0u);

	packet = bytes_packet(model.data, model.used, model.used, model.used, ethertype, skb_info);
	is_whole = packet->ip_version && !(packet->parsed & VD_PARSED_MALFORMED) &&
		   (packet->ip_version == 4 ? (uint32_t)(model.data[2] << 8 | model.data[3]) :
					      40u + (uint32_t)(model.data[4] << 8 | model.data[5])) == model.used;
	is_fragment = packet->parsed & VD_PARSED_FRAGMENT;
	free(packet);
	is_right = is_whole && model_complete(model.data, model.used);
	if (is_right && choices & CHOICE_NOT_READY)
		model_set_not_ready(model.data, model.used);

	copied = choices & CHOICE_PART && !is_right ? model.used / 2 : model.used;
	packet = bytes_packet(model.data, copied, model.used, model.used + 64, ethertype, skb_info);
	has_model = is_whole && copied == model.used;
	packet->hook = choices >> 4 & 7;
	if (is_right && !skb_info)
		must(vd_packet_verify(packet) != -EBADMSG, "right, and said to be wrong");
	for (unsigned i = 0; i <= (choices & 3u); i++) {
		const char *fault;

		if (has_model) {
			fault = model_random_edit(&random, packet, &model);
			must(!fault, fault);
			continue;
		}
		/* no model of it: only that nothing is read or written that is not there */
		vd_packet_set_ttl(packet, 3);
		vd_packet_set_destination_port(packet, 3);
		vd_packet_clamp_mss(packet, 3);
		vd_packet_insert_payload(packet, 0, data, 5);
		fault = bytes_accessor_fault(packet);
		must(!fault, fault);
	}
	if (is_right && packet->changed)
		check_completed(packet, &model, is_fragment);
	else
		vd_packet_complete(packet);
	free(packet);
	return 0;
}
