/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says today, as the kernel of old would have said it.
 *
 *	from  nlmsghdr | nfgenmsg | attributes ... NFQA_PAYLOAD
 *	to    nlmsghdr | ipq_packet_msg_t | payload, padded to 4
 *
 *	from  nlmsghdr | nlmsgerr with our request
 *	to    nlmsghdr | nlmsgerr with the header of the old request | ipq_peer_msg_t
 */
#include "ipq.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/time.h>

_Static_assert(sizeof(struct ipq_packet_head) == sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t), "no padding");

/* ---- packets ---- */

static void fill_time(ipq_packet_msg_t *message, const struct vd_packet *packet)
{
	uint64_t ns = vd_packet_timestamp_ns(packet);
	struct timeval now;

	if (ns) {
		message->timestamp_sec = (long)(ns / 1000000000u);
		message->timestamp_usec = (long)(ns % 1000000000u / 1000);
		return;
	}
	gettimeofday(&now, NULL); /* the kernel stamps no packet of the machine's own */
	message->timestamp_sec = now.tv_sec;
	message->timestamp_usec = now.tv_usec;
}

static void fill_devices(struct ipq_full_handle *handle, ipq_packet_msg_t *message, const struct vd_packet *packet)
{
	struct ipq_device in = ipq_find_device(&handle->devices, handle->public.fd, packet->indev);
	struct ipq_device out = ipq_find_device(&handle->devices, handle->public.fd, packet->outdev);
	const uint8_t *address;
	uint32_t length;

	memcpy(message->indev_name, in.name, sizeof message->indev_name);
	memcpy(message->outdev_name, out.name, sizeof message->outdev_name);
	if (!packet->indev)
		return;
	message->hw_type = in.type;
	address = vd_packet_hardware_address(packet, &length);
	if (address) {
		message->hw_addrlen = (unsigned char)(length < sizeof message->hw_addr ? length : sizeof message->hw_addr);
		memcpy(message->hw_addr, address, message->hw_addrlen);
	}
}

static void fill_head(struct ipq_full_handle *handle, struct ipq_packet_head *head, const struct vd_packet *packet,
		      uint32_t payload)
{
	memset(head, 0, sizeof *head);
	head->netlink = (struct nlmsghdr){.nlmsg_len = (uint32_t)NLMSG_ALIGN(sizeof *head + payload), .nlmsg_type = IPQM_PACKET,
					  .nlmsg_pid = handle->nfq.portid};
	head->packet.packet_id = packet->id;
	head->packet.mark = packet->mark;
	head->packet.hook = packet->hook;
	head->packet.hw_protocol = htons(packet->ethertype);
	head->packet.data_len = payload;
	fill_time(&head->packet, packet);
	fill_devices(handle, &head->packet, packet);
}

/* How long the payload is by its own attribute, which may be longer than what lies in the first piece. */
static uint32_t payload_length(const struct ipq_incoming *incoming, size_t received)
{
	const struct vd_packet *packet = &incoming->packet;
	size_t at = packet->data_offset - offsetof(struct ipq_incoming, beginning), length, end;
	struct nlmsghdr netlink;
	struct nlattr attribute;

	if (!packet->room) /* no payload in it */
		return 0;
	memcpy(&netlink, incoming->beginning, sizeof netlink);
	memcpy(&attribute, incoming->beginning + at - sizeof attribute, sizeof attribute);
	length = attribute.nla_len - sizeof attribute;
	end = netlink.nlmsg_len < received ? netlink.nlmsg_len : received;
	return (uint32_t)(length < end - at ? length : end - at);
}

/* Puts both pieces of the payload where they belong, as far as they fit. */
static void place_payload(const struct ipq_incoming *incoming, uint32_t payload, size_t received, uint8_t *buffer, size_t size)
{
	uint32_t first = incoming->packet.length < payload ? incoming->packet.length : payload, rest = payload - first;
	size_t room = size > IPQ_REST_OFFSET ? size - IPQ_REST_OFFSET : 0;

	if (rest && first < room) {
		size_t there = received - sizeof incoming->beginning;

		there = there < room ? there : room;
		rest = rest < there ? rest : (uint32_t)there;
		memmove(buffer + IPQ_REST_OFFSET + first, buffer + IPQ_REST_OFFSET, rest < room - first ? rest : room - first);
	}
	memcpy(buffer + IPQ_REST_OFFSET, vd_packet_data(&incoming->packet), first < room ? first : room);
}

static enum ipq_kind translate_packet(struct ipq_full_handle *handle, struct ipq_incoming *incoming, size_t received,
				      uint8_t *buffer, size_t size, size_t *length)
{
	uint32_t payload = payload_length(incoming, received);
	struct ipq_packet_head head;
	size_t end = sizeof head + payload;

	if (incoming->packet.family != handle->family)
		return IPQ_PACKET_OTHER;
	fill_head(handle, &head, &incoming->packet, payload);
	if (size > sizeof head)
		place_payload(incoming, payload, received, buffer, size);
	memcpy(buffer, &head, size < sizeof head ? size : sizeof head);
	if (end > size) {
		*length = size;
		return IPQ_PACKET_CUT;
	}
	*length = head.netlink.nlmsg_len;
	if (*length > size) { /* without room for the padding it does without */
		*length = size;
		memcpy(buffer, &(uint32_t){(uint32_t)size}, sizeof head.netlink.nlmsg_len);
	}
	memset(buffer + end, 0, *length - end);
	return IPQ_PACKET;
}

/* ---- refusals ---- */

static bool is_anothers(const struct ipq_full_handle *handle)
{
	struct vd_nfq_status status;

	return !vd_nfq_status_of(handle->nfq.status_descriptor, handle->queue, &status) &&
	       status.portid != handle->nfq.portid;
}

/* The errno that ip_queue had for it. */
static int old_code(const struct ipq_full_handle *handle, const struct vd_nfq_error *error)
{
	switch (error->code) {
	case EPERM: /* no privilege, or another program's queue */
		return is_anothers(handle) ? EBUSY : EPERM;
	case ENODEV: /* no mode was set, so no packet can be known */
		return is_anothers(handle) ? EBUSY : ENOENT;
	default:
		return error->code;
	}
}

static enum ipq_kind translate_error(const struct ipq_full_handle *handle, const struct vd_nfq_error *error, uint8_t *buffer,
				     size_t size, size_t *length)
{
	struct __attribute__((packed)) { /* the old request follows at once, aligned or not */
		struct nlmsghdr netlink;
		struct nlmsgerr error;
		ipq_peer_msg_t request;
	} message;
	size_t needed = offsetof(__typeof__(message), request);

	memset(&message, 0, sizeof message);
	message.error.error = -old_code(handle, error);
	message.error.msg = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(sizeof message.request),
					      .nlmsg_type = error->is_verdict ? IPQM_VERDICT : IPQM_MODE,
					      .nlmsg_flags = NLM_F_REQUEST,
					      .nlmsg_pid = handle->nfq.portid};
	if (error->is_verdict) {
		message.request.msg.verdict.value = error->netfilter_verdict;
		message.request.msg.verdict.id = error->id;
	}
	/* a buffer for the refusal alone gets it without the request */
	*length = size < sizeof message ? needed : sizeof message;
	message.netlink = (struct nlmsghdr){.nlmsg_len = (uint32_t)*length, .nlmsg_type = NLMSG_ERROR,
					    .nlmsg_pid = handle->nfq.portid};
	if (*length > size)
		*length = size;
	memcpy(buffer, &message, *length);
	return size < needed ? IPQ_ERROR_CUT : IPQ_ERROR;
}

enum ipq_kind ipq_translate(struct ipq_full_handle *handle, struct ipq_incoming *incoming, size_t received, uint8_t *buffer,
			    size_t size, size_t *length)
{
	size_t capacity = sizeof incoming->beginning;
	bool is_cut = received > capacity;
	struct vd_nfq_error error;

	/* one more than there is: so `room` tells a payload that begins with the second piece from none */
	switch (vd_nfq_read_message(&incoming->packet, incoming->beginning, (uint32_t)(is_cut ? capacity : received),
				    (uint32_t)capacity + 1, is_cut, &error)) {
	case VD_NFQ_PACKET:
		return translate_packet(handle, incoming, received, buffer, size, length);
	case VD_NFQ_ERROR:
		return translate_error(handle, &error, buffer, size, length);
	default:
		return IPQ_NOTHING;
	}
}
