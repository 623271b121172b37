/* SPDX-License-Identifier: MIT */
#include "bytes.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "bytes: %s\n", what);
	abort();
}

static void *allocate(size_t size)
{
	void *memory = malloc(size);

	need(memory, "no memory");
	return memory;
}

void bytes_reset(struct bytes *bytes)
{
	bytes->used = 0;
}

void bytes_put(struct bytes *bytes, const void *data, uint32_t length)
{
	need(length <= sizeof bytes->data - bytes->used, "does not fit");
	if (length)
		memcpy(bytes->data + bytes->used, data, length);
	bytes->used += length;
}

void bytes_put_fill(struct bytes *bytes, uint8_t value, uint32_t count)
{
	need(count <= sizeof bytes->data - bytes->used, "does not fit");
	memset(bytes->data + bytes->used, value, count);
	bytes->used += count;
}

void bytes_put_number(struct bytes *bytes, uint64_t number, unsigned size)
{
	while (size--)
		bytes_put(bytes, &(uint8_t){(uint8_t)(number >> 8 * size)}, 1);
}

static unsigned digit(char character)
{
	const char *digits = "0123456789abcdef", *found = character ? strchr(digits, character) : NULL;

	need(found, "not a hexadecimal digit");
	return (unsigned)(found - digits);
}

void bytes_put_hex(struct bytes *bytes, const char *hex)
{
	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		bytes_put_number(bytes, digit(hex[0]) << 4 | digit(hex[1]), 1);
		hex++;
	}
}

void bytes_set_be16(struct bytes *bytes, uint32_t at, uint16_t number)
{
	need(at + 2 <= bytes->used, "nothing there to set");
	bytes->data[at] = (uint8_t)(number >> 8);
	bytes->data[at + 1] = (uint8_t)number;
}

void bytes_put_ipv4(struct bytes *bytes, uint32_t source, uint32_t destination, uint8_t protocol, uint16_t fragment)
{
	bytes_put_hex(bytes, "4500 0000 1234");
	bytes_put_number(bytes, fragment, 2);
	bytes_put_number(bytes, 64, 1);
	bytes_put_number(bytes, protocol, 1);
	bytes_put_number(bytes, 0, 2);
	bytes_put_number(bytes, source, 4);
	bytes_put_number(bytes, destination, 4);
}

void bytes_put_ipv6(struct bytes *bytes, uint64_t source, uint64_t destination, uint8_t next)
{
	bytes_put_hex(bytes, "60000000 0000");
	bytes_put_number(bytes, next, 1);
	bytes_put_number(bytes, 64, 1);
	bytes_put_hex(bytes, "20010db8 00000000");
	bytes_put_number(bytes, source, 8);
	bytes_put_hex(bytes, "20010db8 00000000");
	bytes_put_number(bytes, destination, 8);
}

void bytes_put_tcp(struct bytes *bytes, uint16_t source_port, uint16_t destination_port, uint8_t flags)
{
	bytes_put_number(bytes, source_port, 2);
	bytes_put_number(bytes, destination_port, 2);
	bytes_put_hex(bytes, "00000001 00000000 50");
	bytes_put_number(bytes, flags, 1);
	bytes_put_hex(bytes, "ffff 0000 0000");
}

void bytes_put_udp(struct bytes *bytes, uint16_t source_port, uint16_t destination_port, uint16_t data_length)
{
	bytes_put_number(bytes, source_port, 2);
	bytes_put_number(bytes, destination_port, 2);
	bytes_put_number(bytes, 8u + data_length, 2);
	bytes_put_number(bytes, 0, 2);
}

void bytes_end_ip(struct bytes *bytes)
{
	if (bytes->data[0] >> 4 == 4)
		bytes_set_be16(bytes, 2, (uint16_t)bytes->used);
	else
		bytes_set_be16(bytes, 4, (uint16_t)(bytes->used - 40));
}

struct vd_packet *bytes_packet(const void *data, uint32_t length, uint32_t wire_length, uint32_t room, uint16_t ethertype,
			       uint32_t skb_info)
{
	struct vd_packet *packet;

	if (room < length)
		room = length;
	packet = allocate(sizeof *packet + room);
	memset(packet, 0, sizeof *packet);
	memset(packet + 1, 0xee, room);
	packet->data_offset = sizeof *packet;
	packet->length = packet->original_length = length;
	packet->room = room;
	packet->wire_length = wire_length;
	packet->ethertype = ethertype;
	packet->skb_info = skb_info;
	packet->edit_address_sum = packet->edit_transport_sum = 0x1eafed; /* what the last packet in this slot left */
	if (length)
		memcpy(packet + 1, data, length);
	vd_packet_parse(packet, vd_packet_data(packet));
	return packet;
}

struct vd_packet *bytes_packet_of(const struct bytes *bytes)
{
	uint16_t ethertype = bytes->data[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;

	return bytes_packet(bytes->data, bytes->used, bytes->used, bytes->used, ethertype, 0);
}

/* Reads the range, for the sanitizers; false when it is not inside the packet's data. */
static bool is_inside(const struct vd_packet *packet, const void *range, uint32_t length)
{
	const uint8_t *data = vd_packet_data(packet), *bytes = range;
	volatile uint8_t sum = 0;

	if (bytes < data || bytes > data + packet->length || length > (uint32_t)(data + packet->length - bytes))
		return false;
	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return true;
}

static const char *address_fault(const struct vd_packet *packet)
{
	const uint8_t *source = vd_packet_source(packet), *destination = vd_packet_destination(packet);
	unsigned version = vd_packet_ip_version(packet), size = version == 6 ? 16 : 4;

	if (version != 0 && version != 4 && version != 6)
		return "IP version is not 0, 4 or 6";
	if (!version && (source || destination))
		return "addresses without IP";
	if (source && !is_inside(packet, source, size))
		return "source outside of the data";
	if (destination && !is_inside(packet, destination, size))
		return "destination outside of the data";
	return NULL;
}

static const char *transport_fault(const struct vd_packet *packet)
{
	const uint8_t *transport = vd_packet_transport(packet, 0);
	uint32_t there = 0;

	if (vd_packet_is_malformed(packet) && transport)
		return "malformed, yet with a transport header";
	if (vd_packet_is_later_fragment(packet) && (transport || !vd_packet_is_fragment(packet)))
		return "a later fragment with a transport header, or that is none";
	if (vd_packet_fragment_offset(packet) && !vd_packet_is_fragment(packet))
		return "a fragment's offset in what is none";
	if (transport)
		there = packet->length - (uint32_t)(transport - vd_packet_data(packet));
	for (uint32_t length = 0; length <= 64; length++) {
		const uint8_t *header = vd_packet_transport(packet, length);

		if (!header != (!transport || length > there))
			return "transport header there when it is not, or the other way round";
		if (header && !is_inside(packet, header, length))
			return "transport header outside of the data";
	}
	if (vd_packet_transport(packet, UINT32_MAX) || vd_packet_bytes(packet, UINT32_MAX, 1) ||
	    vd_packet_bytes(packet, 1, UINT32_MAX) || vd_packet_bytes(packet, packet->length, 1))
		return "more bytes than there are";
	if (!transport && (vd_packet_source_port(packet) || vd_packet_destination_port(packet) || vd_packet_tcp_flags(packet)))
		return "ports or flags without a transport header";
	return NULL;
}

static const char *payload_fault(const struct vd_packet *packet)
{
	uint32_t length = 0xdeadbeef;
	const uint8_t *payload = vd_packet_payload(packet, &length);

	if (!payload)
		return length ? "a length without a payload" : NULL;
	if (!vd_packet_transport(packet, 0))
		return "a payload without a transport header";
	if (!is_inside(packet, payload, length))
		return "payload outside of the data";
	return NULL;
}

static const char *message_fault(const struct vd_packet *packet)
{
	uint32_t length, number;
	uint16_t protocol, tci;
	const uint8_t *begin = (const uint8_t *)packet + packet->message_offset;
	volatile uint64_t sum = 0;

	for (unsigned type = 0; type < 64; type++) {
		const uint8_t *value = vd_packet_attribute(packet, type, &length);

		if (!value && length)
			return "a length without an attribute";
		if (!value)
			continue;
		if (!packet->message_offset || value < begin || length > packet->message_length ||
		    value + length > begin + packet->message_length)
			return "attribute outside of the message";
		for (uint32_t i = 0; i < length; i++)
			sum += value[i];
	}
	if (vd_packet_hardware_address(packet, &length) ? length < 1 || length > 8 : length != 0)
		return "hardware address of an impossible length";
	if (!vd_packet_security_context(packet, &length) && length)
		return "a length without a security context";
	sum += vd_packet_timestamp_ns(packet) + vd_packet_physindev(packet) + vd_packet_physoutdev(packet);
	sum += !vd_packet_uid(packet, &number) + !vd_packet_gid(packet, &number) + !vd_packet_cgroup_classid(packet, &number);
	sum += !vd_packet_conntrack_info(packet, &number) + !vd_packet_conntrack_mark(packet, &number);
	sum += !vd_packet_conntrack_id(packet, &number) + !vd_packet_vlan(packet, &protocol, &tci);
	(void)sum;
	return NULL;
}

const char *bytes_accessor_fault(const struct vd_packet *packet)
{
	const char *fault = address_fault(packet);

	if (!is_inside(packet, vd_packet_data(packet), packet->length))
		return "data outside of the data";
	if (vd_packet_is_truncated(packet) != (vd_packet_length(packet) < vd_packet_wire_length(packet)))
		return "truncated, or not";
	if (!fault)
		fault = transport_fault(packet);
	if (!fault)
		fault = payload_fault(packet);
	if (!fault)
		fault = message_fault(packet);
	vd_packet_compute_flow_hash(packet, 0x0123456789abcdef);
	return fault;
}

struct nlmsghdr *bytes_begin_message(struct bytes *bytes, uint16_t queue, uint32_t id, uint16_t ethertype, uint8_t hook)
{
	struct nfqnl_msg_packet_hdr header = {.packet_id = htonl(id), .hw_protocol = htons(ethertype), .hook = hook};
	struct nlmsghdr *netlink;
	struct nfgenmsg *netfilter;

	memset(bytes->data, 0, sizeof bytes->data);
	netlink = mnl_nlmsg_put_header(bytes->data);
	netlink->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET;
	netfilter = mnl_nlmsg_put_extra_header(netlink, sizeof *netfilter);
	netfilter->nfgen_family = AF_INET;
	netfilter->version = NFNETLINK_V0;
	netfilter->res_id = htons(queue);
	mnl_attr_put(netlink, NFQA_PACKET_HDR, 7, &header); /* packed: 7 bytes */
	return netlink;
}

void bytes_end_message(struct bytes *bytes, const void *data, uint32_t length)
{
	struct nlmsghdr *netlink = (void *)bytes->data;
	struct nlattr payload = {.nla_len = (uint16_t)(sizeof payload + length), .nla_type = NFQA_PAYLOAD};

	bytes->used = netlink->nlmsg_len;
	if (data) {
		bytes_put(bytes, &payload, sizeof payload);
		bytes_put(bytes, data, length);
		netlink->nlmsg_len = bytes->used;
	}
}

struct vd_packet *bytes_read(const void *datagram, uint32_t received, uint32_t spare, bool is_cut, enum vd_nfq_kind *kind,
			     struct vd_nfq_error *error)
{
	struct vd_packet *packet = allocate(sizeof *packet + received + spare);

	memset(packet, 0xee, sizeof *packet + received + spare); /* the library has to set what it says it sets */
	packet->context = NULL;
	if (received)
		memcpy(packet + 1, datagram, received);
	*kind = vd_nfq_read_message(packet, (uint8_t *)(packet + 1), received, received + spare, is_cut, error);
	if (*kind == VD_NFQ_PACKET)
		vd_packet_parse(packet, vd_packet_data(packet));
	return packet;
}
