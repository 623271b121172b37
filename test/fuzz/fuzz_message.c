/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: vd_nfq_read_message() and the attribute accessors against a second reader that shares no code with them
 * (libmnl's walk). Where the message is well formed the two must agree; where it is not, nothing may be read outside of it.
 *
 * Input: a byte of choices, then the datagram; or, when the first choice says so, what a datagram is built of: then it is
 * always well formed, and the comparison always takes place.
 */
#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/bytes.h"

#define CHOICE_BUILD 1
#define CHOICE_CUT 2
#define CHOICE_SPARE 4
#define CHOICE_TYPE 8 /* make it a packet message of the right length, whatever the rest is */

#define PACKET_TYPE (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "oracle: %s\n", what);
	abort();
}

/* A message of attributes: type, length, bytes; type 0xff: the payload, with all that is left. */
static void build(struct bytes *bytes, const uint8_t *data, size_t size)
{
	struct nlmsghdr *netlink;
	uint32_t id = 0;

	if (size >= 4)
		memcpy(&id, data, 4);
	netlink = bytes_begin_message(bytes, 7, id, 0x0800, 1);
	for (data += size < 4 ? size : 4, size -= size < 4 ? size : 4; size >= 2;) {
		uint8_t type = data[0], length = data[1];

		data += 2;
		size -= 2;
		if (type == 0xff) {
			bytes_end_message(bytes, data, size > 65531 ? 65531 : (uint32_t)size);
			return;
		}
		if (length > size)
			length = (uint8_t)size;
		if ((type & 31) == NFQA_PAYLOAD || netlink->nlmsg_len > 4096)
			break;
		mnl_attr_put(netlink, type & 31, length, data);
		data += length;
		size -= length;
	}
	bytes_end_message(bytes, NULL, 0);
}

/* What the second reader finds. */
struct found {
	bool is_whole;	     /* a packet message, all attributes within it, the payload last */
	bool is_well_formed; /* and the packet header among them */
	bool has_payload;
	uint32_t id;
	uint32_t mark;
	uint32_t payload_length;
	const uint8_t *payload;
};

static uint32_t be32_or(const struct nlattr *attribute, uint32_t otherwise)
{
	uint32_t be;

	if (mnl_attr_get_payload_len(attribute) < 4)
		return otherwise;
	memcpy(&be, mnl_attr_get_payload(attribute), 4);
	return ntohl(be);
}

static struct found look(const uint8_t *datagram, uint32_t received)
{
	const struct nlmsghdr *netlink = (const void *)datagram;
	struct found found = {0};
	bool has_id = false;
	uint32_t at = 20;

	if (!mnl_nlmsg_ok(netlink, (int)received) || netlink->nlmsg_type != PACKET_TYPE || netlink->nlmsg_len < at)
		return found;
	while (at < netlink->nlmsg_len) {
		const struct nlattr *attribute = (const void *)(datagram + at);

		if (netlink->nlmsg_len - at < 4 || !mnl_attr_ok(attribute, (int)(netlink->nlmsg_len - at)))
			return found;
		switch (mnl_attr_get_type(attribute)) {
		case NFQA_PACKET_HDR:
			if (mnl_attr_get_payload_len(attribute) < 7)
				break;
			has_id = true;
			found.id = be32_or(attribute, 0);
			break;
		case NFQA_MARK:
			found.mark = be32_or(attribute, found.mark);
			break;
		case NFQA_PAYLOAD:
			found.has_payload = true;
			found.payload = mnl_attr_get_payload(attribute);
			found.payload_length = mnl_attr_get_payload_len(attribute);
			if (at + attribute->nla_len != netlink->nlmsg_len)
				return found;
			break;
		default:
			break;
		}
		at += MNL_ALIGN(attribute->nla_len);
	}
	found.is_whole = true;
	found.is_well_formed = has_id;
	return found;
}

static void check_packet(const struct vd_packet *packet, const struct found *found, uint32_t received)
{
	const char *fault = bytes_accessor_fault(packet);

	must(!fault, fault);
	must(packet->data_offset >= sizeof *packet, "data in front of the message");
	must(packet->data_offset + packet->length <= sizeof *packet + received, "data behind the message");
	must(packet->wire_length >= packet->length, "less on the wire than was copied");
	must(packet->length <= VD_NFQ_COPY_RANGE_MAX, "more than the kernel can copy");
	if (!found->is_well_formed)
		return;
	must(packet->id == found->id, "another id");
	must(packet->mark == found->mark, "another mark");
	must(packet->length == found->payload_length, "another length");
	must(!found->has_payload || !memcmp(vd_packet_data(packet), found->payload, found->payload_length), "other data");
}

static void check_error(const uint8_t *datagram, uint32_t received, const struct vd_nfq_error *error)
{
	const struct nlmsgerr *body = (const void *)(datagram + NLMSG_HDRLEN);

	must(received >= NLMSG_HDRLEN + sizeof *body, "an error read from a stump");
	must(body->error < 0 && error->code == -(int64_t)body->error, "another errno");
	must(error->is_verdict || !error->netfilter_verdict, "a verdict of what is none");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes bytes;
	enum vd_nfq_kind kind;
	struct vd_nfq_error error;
	struct vd_packet *packet;
	struct found found;
	uint8_t choices;
	bool is_cut;

	if (!size || size > 60000)
		return 0;
	choices = data[0];
	is_cut = choices & CHOICE_CUT;
	if (choices & CHOICE_BUILD) {
		build(&bytes, data + 1, size - 1);
	} else {
		bytes_reset(&bytes);
		bytes_put(&bytes, data + 1, (uint32_t)size - 1);
		if (choices & CHOICE_TYPE && bytes.used >= 20) {
			memcpy(bytes.data, &bytes.used, 4);
			memcpy(bytes.data + 4, &(uint16_t){PACKET_TYPE}, 2);
		}
	}
	found = look(bytes.data, bytes.used);
	must(!(choices & CHOICE_BUILD) || found.is_well_formed, "the builder builds badly");
	packet = bytes_read(bytes.data, bytes.used, choices & CHOICE_SPARE ? 300 : 0, is_cut, &kind, &error);
	must(kind != VD_NFQ_PACKET || !found.is_whole || found.is_well_formed, "a packet without an id");
	if (kind == VD_NFQ_PACKET)
		check_packet(packet, &found, bytes.used);
	else
		must(!found.is_well_formed, "a packet that was not seen");
	if (kind == VD_NFQ_ERROR)
		check_error(bytes.data, bytes.used, &error);
	free(packet);

	/* the same datagram in a buffer that is too small: never another id, never other data */
	if (found.is_well_formed && bytes.used > 1) {
		uint32_t received = bytes.used - 1 - choices % (bytes.used - 1);

		packet = bytes_read(bytes.data, received, 0, true, &kind, &error);
		if (kind == VD_NFQ_PACKET) {
			const char *fault = bytes_accessor_fault(packet);

			must(!fault, fault);
			must(packet->length <= found.payload_length, "more data when cut");
			must(!packet->length || !memcmp(vd_packet_data(packet), found.payload, packet->length), "other data when cut");
		}
		free(packet);
	}
	return 0;
}
