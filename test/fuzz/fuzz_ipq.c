/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: libipq's translation of the kernel's messages against a second reader (libmnl's walk): what went in is what
 * the program sees. Where the message is not well formed, nothing is read outside of it, nothing but the program's buffer is
 * written, and what the program sees still holds together.
 *
 * Input: three bytes of choices, then the datagram; or what one is built of, which then may be longer than the input.
 */
#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "test/support/bytes.h"
#include "test/support/ipq_deliver.h"

#define CHOICE_BUILD 1
#define CHOICE_TYPE 2	/* make it a packet message, whatever the rest is */
#define CHOICE_LENGTH 4 /* of the right length; of a built one: not that of the datagram */
#define CHOICE_SHORT CHOICE_TYPE
#define CHOICE_FAMILY 8
#define CHOICE_LARGE 16 /* a payload of tens of thousands of bytes */
#define CHOICE_PLACE 32 /* that begins near the end of the first piece */
#define CHOICE_EXACT 64 /* a buffer of about the size that it needs */
#define CHOICE_CUT 128	/* the datagram is shorter than the message */

#define PACKET_TYPE (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)
#define HEAD sizeof(struct ipq_packet_head)
#define SIZE_MIN 20u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "oracle: %s\n", what);
	abort();
}

/* Attributes of the input, then a payload of what is left of it, repeated. */
static void build(struct bytes *bytes, uint8_t choices, const uint8_t *data, size_t size)
{
	static uint8_t payload[65536];
	struct nlmsghdr *netlink = bytes_begin_message(bytes, 7, 0, 0x0800, 3);
	size_t length;

	while (size >= 2 && data[0] != 0xff && netlink->nlmsg_len < 800) {
		uint8_t type = data[0] & 31, long_enough = data[1] < size - 2 ? data[1] : (uint8_t)(size - 2);

		if (type == NFQA_PAYLOAD)
			break;
		mnl_attr_put(netlink, type, long_enough, data + 2);
		data += 2 + long_enough;
		size -= 2 + long_enough;
	}
	if (size && choices & CHOICE_PLACE) {
		static const uint8_t filler[1024];
		uint32_t place = 1024 - 4 * (data[0] % 16), at = netlink->nlmsg_len + 2 * sizeof(struct nlattr);

		mnl_attr_put(netlink, 40, (uint16_t)(place > at ? place - at : 0), filler);
	}
	length = choices & CHOICE_LARGE && size ? size * 150 + data[0] : size;
	length = length < 65531 ? length : 65531;
	for (size_t i = 0; i < length; i++)
		payload[i] = (uint8_t)(data[i % size] + i / size);
	bytes_end_message(bytes, length ? payload : NULL, (uint32_t)length);
}

/* What the second reader finds. */
struct found {
	bool is_packet;	     /* of the queue, with its header */
	bool is_well_formed; /* all attributes in it, the payload last */
	uint32_t id, mark;
	uint16_t protocol;
	uint8_t hook, family;
	const uint8_t *payload;
	uint32_t payload_length;
};

static uint32_t be32(const struct nlattr *attribute, uint32_t otherwise)
{
	uint32_t value;

	if (mnl_attr_get_payload_len(attribute) < 4)
		return otherwise;
	memcpy(&value, mnl_attr_get_payload(attribute), 4);
	return ntohl(value);
}

static void take(struct found *found, const struct nlattr *attribute)
{
	const uint8_t *value = mnl_attr_get_payload(attribute);

	switch (mnl_attr_get_type(attribute)) {
	case NFQA_PACKET_HDR:
		if (mnl_attr_get_payload_len(attribute) < 7)
			break;
		found->is_packet = true;
		found->id = be32(attribute, 0);
		memcpy(&found->protocol, value + 4, 2);
		found->hook = value[6];
		break;
	case NFQA_MARK:
		found->mark = be32(attribute, found->mark);
		break;
	case NFQA_PAYLOAD:
		found->payload = value;
		found->payload_length = mnl_attr_get_payload_len(attribute);
		break;
	default:
		break;
	}
}

static struct found look(const struct bytes *bytes)
{
	const struct nlmsghdr *netlink = (const void *)bytes->data;
	struct found found = {0};
	uint32_t at = 20;

	if (!mnl_nlmsg_ok(netlink, (int)bytes->used) || netlink->nlmsg_type != PACKET_TYPE || netlink->nlmsg_len < at)
		return found;
	found.family = ((const struct nfgenmsg *)(bytes->data + 16))->nfgen_family;
	while (at < netlink->nlmsg_len && !found.payload) {
		const struct nlattr *attribute = (const void *)(bytes->data + at);

		if (netlink->nlmsg_len - at < 4 || !mnl_attr_ok(attribute, (int)(netlink->nlmsg_len - at)))
			return found;
		take(&found, attribute);
		/* the library looks for attributes in the first piece: what the kernel sends has them there */
		if (at + (found.payload ? 4u : attribute->nla_len) > 1024)
			return found;
		at += found.payload ? attribute->nla_len : MNL_ALIGN(attribute->nla_len);
	}
	found.is_well_formed = at >= netlink->nlmsg_len;
	return found;
}

/* What holds for any input. */
static void check_sanity(const struct ipq_full_handle *handle, const struct ipq_delivered *delivered, uint32_t message_length)
{
	struct nlmsghdr netlink;
	struct ipq_packet_head head;

	if (delivered->kind == IPQ_NOTHING || delivered->kind == IPQ_PACKET_OTHER)
		return;
	must(delivered->length <= delivered->size, "longer than the buffer");
	must(delivered->length >= SIZE_MIN, "shorter than any message");
	memcpy(&netlink, delivered->buffer, sizeof netlink);
	must(netlink.nlmsg_pid == handle->nfq.portid, "another's");
	if (delivered->kind == IPQ_ERROR || delivered->kind == IPQ_ERROR_CUT) {
		must(netlink.nlmsg_type == NLMSG_ERROR, "an error that is none");
		must((netlink.nlmsg_len > delivered->size) == (delivered->kind == IPQ_ERROR_CUT), "an error cut, or not");
		must(delivered->kind == IPQ_ERROR_CUT || netlink.nlmsg_len == delivered->length, "an error of another length");
		return;
	}
	must(netlink.nlmsg_type == IPQM_PACKET, "no packet");
	if (delivered->kind == IPQ_PACKET_CUT) {
		must(netlink.nlmsg_len > delivered->size, "cut and yet whole");
		must(delivered->length == delivered->size, "cut before its end");
		return;
	}
	must(netlink.nlmsg_len == delivered->length, "lengths differ");
	must(delivered->length >= HEAD, "a packet without its head");
	memcpy(&head, delivered->buffer, HEAD);
	must(head.packet.data_len <= delivered->length - HEAD, "more data than there is");
	must(delivered->length - HEAD - head.packet.data_len < 4, "more than padding behind the data");
	must(head.packet.data_len < message_length, "more data than the message had");
	must(head.packet.hw_addrlen <= sizeof head.packet.hw_addr, "a hardware address without end");
	must(memchr(head.packet.indev_name, 0, IFNAMSIZ) && memchr(head.packet.outdev_name, 0, IFNAMSIZ), "a name without end");
}

static void check_packet(const struct found *found, const struct ipq_delivered *delivered)
{
	const bool fits = delivered->size >= HEAD + found->payload_length;
	const size_t there = ipq_deliver_min(found->payload_length, delivered->size > HEAD ? delivered->size - HEAD : 0);
	struct ipq_packet_head head;

	must(delivered->kind == (found->family != AF_INET ? IPQ_PACKET_OTHER : fits ? IPQ_PACKET : IPQ_PACKET_CUT), "another kind");
	must(delivered->id == found->id, "another id to settle");
	if (found->family != AF_INET)
		return;
	must(!there || !memcmp(delivered->buffer + HEAD, found->payload, there), "other data");
	if (delivered->size < HEAD)
		return;
	memcpy(&head, delivered->buffer, HEAD);
	must(head.packet.packet_id == found->id, "another id");
	must(head.packet.mark == found->mark, "another mark");
	must(head.packet.hook == found->hook, "another hook");
	must(head.packet.hw_protocol == found->protocol, "another protocol");
	must(head.packet.data_len == found->payload_length, "another length");
}

static void fill(struct bytes *bytes, const uint8_t *choices, const uint8_t *data, size_t size)
{
	if (choices[0] & CHOICE_BUILD) {
		build(bytes, choices[0], data, size);
		if (choices[0] & CHOICE_LENGTH) /* the datagram goes on behind the message */
			bytes_put_fill(bytes, 0x5a, choices[2]);
		if (choices[0] & CHOICE_SHORT) /* or the message ends within an attribute */
			((struct nlmsghdr *)bytes->data)->nlmsg_len -= choices[1] % (((struct nlmsghdr *)bytes->data)->nlmsg_len - 20);
	} else {
		bytes_reset(bytes);
		memset(bytes->data, 0, NLMSG_HDRLEN);
		bytes_put(bytes, data, (uint32_t)size);
		if (choices[0] & CHOICE_LENGTH && bytes->used >= 20)
			memcpy(bytes->data, &bytes->used, 4);
		if (choices[0] & CHOICE_TYPE && bytes->used >= 20)
			memcpy(bytes->data + 4, &(uint16_t){PACKET_TYPE}, 2);
	}
	if (choices[0] & CHOICE_FAMILY && bytes->used >= 20)
		bytes->data[16] = AF_INET6;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes bytes;
	static struct ipq_full_handle handle = {.public.fd = -1, .queue = 7, .family = AF_INET,
						.nfq = {.status_descriptor = -ENOENT, .portid = 4711},
						.devices.lock = PTHREAD_MUTEX_INITIALIZER};
	struct ipq_delivered delivered;
	struct found found;
	size_t received, room;

	if (size < 3 || size > 60000)
		return 0;
	fill(&bytes, data, data + 3, size - 3);
	found = look(&bytes);
	room = data[0] & CHOICE_EXACT ? bytes.used + HEAD - 30 + data[1] % 64 : SIZE_MIN + data[1] * 9u;
	room = room < SIZE_MIN ? SIZE_MIN : room;
	received = data[0] & CHOICE_CUT ? bytes.used * data[2] / 256u : bytes.used;
	delivered = ipq_deliver(&handle, bytes.data, received, room, data[2] % 8);
	check_sanity(&handle, &delivered, ((const struct nlmsghdr *)bytes.data)->nlmsg_len);
	must(!(data[0] & CHOICE_BUILD) || data[0] & CHOICE_SHORT || (found.is_packet && found.is_well_formed), "the builder builds badly");
	if (found.is_packet && found.is_well_formed && received == bytes.used)
		check_packet(&found, &delivered);
	ipq_deliver_free(&delivered);
	return 0;
}
