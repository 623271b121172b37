/* SPDX-License-Identifier: MIT */
/*
 * What kernel tests of libipq share: handles, messages, UDP from near to far that is queued on its way out. For the thread that
 * runs the tests.
 */
#ifndef VERDICT_TEST_IPQ_KERNEL_H
#define VERDICT_TEST_IPQ_KERNEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <libipq.h>

#include "test/support/net.h"
#include "test/support/traffic.h"

#define IPQ_PORT 7000
#define IPQ_BUFFER (sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t) + 65536)

static unsigned char ipq_buffer[IPQ_BUFFER];

/* Microseconds that something which has to happen may take. */
static inline int ipq_wait_us(void)
{
	return 2000000 * (int)traffic_patience();
}

static inline struct ipq_handle *ipq_open(uint32_t family, uint8_t mode, size_t range)
{
	struct ipq_handle *handle = ipq_create_handle(0, family);

	assert_non_null(handle);
	assert_int_equal(ipq_set_mode(handle, mode, range), 56);
	return handle;
}

static inline ipq_packet_msg_t *ipq_expect_packet(struct ipq_handle *handle)
{
	ssize_t length = ipq_read(handle, ipq_buffer, sizeof ipq_buffer, ipq_wait_us());
	ipq_packet_msg_t *packet = ipq_get_packet(ipq_buffer);

	if (length <= 0)
		ipq_perror("ipq_expect_packet");
	assert_true(length >= (ssize_t)(sizeof(struct nlmsghdr) + sizeof *packet));
	assert_int_equal(ipq_message_type(ipq_buffer), IPQM_PACKET);
	assert_int_equal(length, (sizeof(struct nlmsghdr) + sizeof *packet + packet->data_len + 3) & ~3u);
	return packet;
}

static inline void ipq_expect_error(struct ipq_handle *handle, int code)
{
	assert_true(ipq_read(handle, ipq_buffer, sizeof ipq_buffer, ipq_wait_us()) > 0);
	assert_int_equal(ipq_message_type(ipq_buffer), NLMSG_ERROR);
	assert_int_equal(ipq_get_msgerr(ipq_buffer), code);
}

/* Nothing lies on its socket. What is sent in a namespace is there when the send returns. */
static inline void ipq_expect_silence(struct ipq_handle *handle)
{
	assert_int_equal(ipq_read(handle, ipq_buffer, sizeof ipq_buffer, -1), 0);
	assert_string_equal(ipq_errstr(), "Timeout");
}

static inline void ipq_accept(struct ipq_handle *handle, ipq_packet_msg_t *packet)
{
	assert_int_equal(ipq_set_verdict(handle, packet->packet_id, NF_ACCEPT, 0, NULL), 40);
}

static inline struct ipq_stats ipq_stats_of(struct ipq_handle *handle)
{
	struct ipq_stats stats;

	assert_int_equal(ipq_ctl(handle, IPQ_CTL_GET_STATS, &stats), 1);
	return stats;
}

/* UDP that goes out of near is queued, `target`: "QUEUE", or "NFQUEUE --queue-num N". */
static inline void ipq_queue_output(const char *target)
{
	vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %d -m comment --comment queued -j %s;"
		       "ip6tables-legacy -A OUTPUT -p udp --dport %d -m comment --comment queued -j %s",
		       IPQ_PORT, target, IPQ_PORT, target);
}

static inline void ipq_send_text(int sender, const char *address, const char *text)
{
	assert_int_equal(traffic_send(sender, address, IPQ_PORT, text, strlen(text)), 0);
}

static inline void ipq_expect_text(int receiver, const char *text)
{
	static char got[65536];
	ssize_t length = traffic_receive(receiver, got, sizeof got - 1, 2000 * traffic_patience());

	assert_true(length >= 0);
	got[length] = '\0';
	assert_string_equal(got, text);
}

static inline void ipq_expect_nothing(int receiver)
{
	char got[1];

	/* an accepted packet has nearly always arrived before the send of its verdict returns */
	assert_int_equal(traffic_receive(receiver, got, sizeof got, 20), -ETIMEDOUT);
}

#endif
