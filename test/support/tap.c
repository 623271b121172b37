/* SPDX-License-Identifier: MIT */
#include "test/support/tap.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/support/traffic.h"

#ifndef SOL_PACKET
#define SOL_PACKET 263
#endif

struct tap {
	int socket;
	unsigned wrong, count;
	struct tapped packet;
};

struct opening {
	const char *device;
	int socket;
};

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	perror(what);
	abort();
}

static void open_here(void *argument)
{
	struct opening *opening = argument;
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = (int)if_nametoindex(opening->device)};
	int on = 1, size = 16 << 20;

	opening->socket = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	must(opening->socket >= 0 && address.sll_ifindex, "tap");
	must(!setsockopt(opening->socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size), "SO_RCVBUFFORCE");
	must(!setsockopt(opening->socket, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on), "PACKET_AUXDATA");
	must(!bind(opening->socket, (struct sockaddr *)&address, sizeof address), "tap: bind");
}

struct tap *tap_open(int where, const char *device)
{
	struct opening opening = {.device = device};
	struct tap *tap = calloc(1, sizeof *tap);

	must(tap, "tap");
	traffic_do_in(where, open_here, &opening);
	tap->socket = opening.socket;
	return tap;
}

/* RFC 1071, not complemented. */
static uint32_t add_bytes(uint32_t sum, const uint8_t *bytes, uint32_t length)
{
	uint64_t wide = sum;

	for (uint32_t i = 0; i < length; i++)
		wide += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (wide >> 16)
		wide = (wide & 0xffff) + (wide >> 16);
	return (uint32_t)wide;
}

static uint32_t pseudo_header(const struct tapped *packet)
{
	uint32_t length = packet->length - packet->transport, sum = (length >> 16) + (length & 0xffff) + packet->protocol;

	if (packet->version == 4)
		return add_bytes(sum, packet->bytes + 12, 8);
	return add_bytes(sum, packet->bytes + 8, 32);
}

static bool check_transport(const struct tapped *packet)
{
	const uint8_t *transport = packet->bytes + packet->transport;
	uint32_t length = packet->length - packet->transport, field, sum = 0;

	switch (packet->protocol) {
	case IPPROTO_TCP:
		field = 16;
		break;
	case IPPROTO_UDP:
		field = 6;
		if (!transport[6] && !transport[7])
			return packet->version == 4;
		if (((uint32_t)transport[4] << 8 | transport[5]) != length)
			return false;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		field = 2;
		break;
	default:
		return true;
	}
	if (packet->protocol != IPPROTO_ICMP)
		sum = pseudo_header(packet);
	if (!packet->is_ready)
		return add_bytes(0, transport + field, 2) == sum;
	return add_bytes(sum, transport, length) == 0xffff;
}

/* The headers of what the tests send: no IPv6 extension headers, no fragments. False: it is something else. */
static bool look_at(struct tapped *packet, uint32_t received)
{
	uint8_t *bytes = packet->bytes;
	uint32_t length;

	packet->version = received >= 20 ? bytes[0] >> 4 : 0;
	if (packet->version == 4) {
		length = (uint32_t)bytes[2] << 8 | bytes[3];
		packet->protocol = bytes[9];
		packet->transport = (bytes[0] & 15) * 4u;
	} else if (packet->version == 6 && received >= 40) {
		length = 40 + ((uint32_t)bytes[4] << 8 | bytes[5]);
		packet->protocol = bytes[6];
		packet->transport = 40;
	} else {
		return false;
	}
	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP && packet->protocol != IPPROTO_ICMP &&
	    !(packet->protocol == IPPROTO_ICMPV6 && received > 40 && (bytes[40] == 128 || bytes[40] == 129 || bytes[40] < 5)))
		return false;
	packet->length = length;
	packet->payload = packet->transport + (packet->protocol == IPPROTO_TCP ? (bytes[packet->transport + 12] >> 4) * 4u : 8);
	packet->is_wrong = length > received || (packet->version == 4 && add_bytes(0, bytes, packet->transport) != 0xffff) ||
			   !check_transport(packet);
	return true;
}

static bool take(struct tap *tap)
{
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct sockaddr_ll address;
	struct iovec iov = {.iov_base = tap->packet.bytes, .iov_len = sizeof tap->packet.bytes};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = &address, .msg_namelen = sizeof address,
				 .msg_control = control, .msg_controllen = sizeof control};
	ssize_t received = recvmsg(tap->socket, &message, MSG_DONTWAIT);
	struct cmsghdr *header = received >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
	struct tpacket_auxdata auxdata = {0};

	if (received < 0 || address.sll_pkttype == PACKET_OUTGOING)
		return false;
	if (header && header->cmsg_level == SOL_PACKET && header->cmsg_type == PACKET_AUXDATA)
		memcpy(&auxdata, CMSG_DATA(header), sizeof auxdata);
	tap->packet.is_ready = !(auxdata.tp_status & TP_STATUS_CSUMNOTREADY);
	return look_at(&tap->packet, (uint32_t)received);
}

const struct tapped *tap_next(struct tap *tap, unsigned timeout_ms)
{
	uint64_t deadline = traffic_now_ms() + timeout_ms * traffic_patience();

	for (;;) {
		struct pollfd pollfd = {.fd = tap->socket, .events = POLLIN};
		uint64_t now = traffic_now_ms();

		if (now >= deadline || poll(&pollfd, 1, (int)(deadline - now)) <= 0)
			return NULL;
		if (take(tap))
			break;
	}
	tap->count++;
	tap->wrong += tap->packet.is_wrong;
	return &tap->packet;
}

unsigned tap_wrong(const struct tap *tap)
{
	return tap->wrong;
}

unsigned tap_count(const struct tap *tap)
{
	return tap->count;
}

void tap_close(struct tap *tap)
{
	close(tap->socket);
	free(tap);
}
