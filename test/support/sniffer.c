/* SPDX-License-Identifier: MIT */
#include "test/support/sniffer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "test/support/traffic.h"

#define WAIT_MS 3000u
#define RECEIVE_BUFFER (8 << 20)

static void need(bool truth, const char *what)
{
	if (truth)
		return;
	perror(what);
	abort();
}

struct request {
	const char *device;
	int result;
};

static void open_here(void *argument)
{
	struct request *request = argument;
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int size = RECEIVE_BUFFER;

	request->result = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	need(request->result >= 0, "sniffer: socket");
	need(!setsockopt(request->result, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size), "sniffer: SO_RCVBUFFORCE");
	address.sll_ifindex = (int)if_nametoindex(request->device);
	need(address.sll_ifindex, request->device);
	need(!bind(request->result, (const struct sockaddr *)&address, sizeof address), "sniffer: bind");
}

int sniffer_open(int where, const char *device)
{
	struct request request = {.device = device};

	traffic_do_in(where, open_here, &request);
	return request.result;
}

static bool is_of(unsigned protocol, const uint8_t *packet, ssize_t length)
{
	return (length >= 20 && packet[0] >> 4 == 4 && packet[9] == protocol) ||
	       (length >= 40 && packet[0] >> 4 == 6 && packet[6] == protocol);
}

ssize_t sniffer_receive(int sniffer, unsigned protocol, uint8_t *packet, size_t size)
{
	uint64_t end_ms = traffic_now_ms() + WAIT_MS * traffic_patience(), now_ms;

	while ((now_ms = traffic_now_ms()) < end_ms) {
		struct pollfd poll_one = {.fd = sniffer, .events = POLLIN};
		struct sockaddr_ll from;
		socklen_t from_size = sizeof from;
		ssize_t length;

		if (poll(&poll_one, 1, (int)(end_ms - now_ms)) <= 0)
			continue;
		length = recvfrom(sniffer, packet, size, MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);
		if (length >= 0 && from.sll_pkttype != PACKET_OUTGOING && is_of(protocol, packet, length))
			return length;
	}
	return -ETIMEDOUT;
}
