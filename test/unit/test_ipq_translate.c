/* SPDX-License-Identifier: MIT */
/*
 * lib/ipq/translate.c: what a program sees of a message of nfnetlink_queue, however long, cut or false that is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "test/support/bytes.h"
#include "test/support/ipq_deliver.h"

#define ID 0x80000001u
#define QUEUE 7
#define PORTID 4711
#define HEAD sizeof(struct ipq_packet_head)
#define BEGINNING sizeof(((struct ipq_incoming *)0)->beginning)

static struct bytes bytes;
static struct ipq_full_handle handle;
static uint8_t data[70000];

static int set_up(void **state)
{
	(void)state;
	handle = (struct ipq_full_handle){.queue = QUEUE, .family = AF_INET};
	handle.nfq.portid = PORTID;
	handle.nfq.status_descriptor = -ENOENT;
	handle.public.fd = socket(AF_INET, SOCK_DGRAM, 0); /* any socket can be asked for names */
	pthread_mutex_init(&handle.devices.lock, NULL);
	for (unsigned i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	return handle.public.fd < 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(handle.public.fd);
	if (handle.nfq.status_descriptor >= 0)
		close(handle.nfq.status_descriptor);
	pthread_mutex_destroy(&handle.devices.lock);
	return 0;
}

static struct nlmsghdr *begin(void)
{
	return bytes_begin_message(&bytes, QUEUE, ID, 0x0800, 3);
}

static struct ipq_delivered deliver(size_t size)
{
	return ipq_deliver(&handle, bytes.data, bytes.used, size, 0);
}

static struct ipq_packet_head head_of(const struct ipq_delivered *delivered)
{
	struct ipq_packet_head head;

	assert_true(delivered->size >= sizeof head);
	memcpy(&head, delivered->buffer, sizeof head);
	return head;
}

/* A packet with `length` bytes of payload, and attributes in front of it that make it begin at `at`, or a bit behind. */
static void build(size_t at, size_t length)
{
	struct nlmsghdr *netlink = begin();

	if (at > netlink->nlmsg_len + 2 * sizeof(struct nlattr))
		mnl_attr_put(netlink, 40, at - netlink->nlmsg_len - 2 * sizeof(struct nlattr), data);
	bytes_end_message(&bytes, data, (uint32_t)length);
}

/* The whole packet, as a program sees it. */
static void expect_packet(const struct ipq_delivered *delivered, size_t length)
{
	struct ipq_packet_head head = head_of(delivered);
	size_t padded = (HEAD + length + 3) & ~(size_t)3;

	assert_int_equal(delivered->kind, IPQ_PACKET);
	assert_int_equal(delivered->id, ID);
	assert_int_equal(delivered->length, padded < delivered->size ? padded : delivered->size);
	assert_int_equal(head.netlink.nlmsg_len, delivered->length);
	assert_int_equal(head.netlink.nlmsg_type, IPQM_PACKET);
	assert_int_equal(head.packet.packet_id, ID);
	assert_int_equal(head.packet.data_len, length);
	assert_memory_equal(delivered->buffer + HEAD, data, length);
	for (size_t at = HEAD + length; at < delivered->length; at++)
		assert_int_equal(delivered->buffer[at], 0);
	ipq_deliver_check(delivered->buffer + delivered->length,
			  length < BEGINNING / 2 ? delivered->size - delivered->length : 0);
}

/* ---- attributes ---- */

static void says_all_of_a_packet(void **state)
{
	struct nfqnl_msg_packet_hw hardware = {.hw_addrlen = htons(6), .hw_addr = "\x02\x03\x04\x05\x06\x07"};
	struct nfqnl_msg_packet_timestamp when = {.sec = htobe64(1234567890), .usec = htobe64(999999)};
	struct nlmsghdr *netlink = begin();
	struct ipq_delivered delivered;
	struct ipq_packet_head head;

	(void)state;
	mnl_attr_put_u32(netlink, NFQA_IFINDEX_INDEV, htonl(1));
	mnl_attr_put_u32(netlink, NFQA_IFINDEX_OUTDEV, htonl(1));
	mnl_attr_put_u32(netlink, NFQA_MARK, htonl(0xdeadbeef));
	mnl_attr_put(netlink, NFQA_HWADDR, sizeof hardware, &hardware);
	mnl_attr_put(netlink, NFQA_TIMESTAMP, sizeof when, &when);
	bytes_end_message(&bytes, data, 33);
	delivered = deliver(2048);
	expect_packet(&delivered, 33);
	head = head_of(&delivered);
	assert_int_equal(head.netlink.nlmsg_flags, 0);
	assert_int_equal(head.netlink.nlmsg_seq, 0);
	assert_int_equal(head.netlink.nlmsg_pid, PORTID);
	assert_int_equal(head.packet.mark, 0xdeadbeef);
	assert_int_equal(head.packet.timestamp_sec, 1234567890);
	assert_int_equal(head.packet.timestamp_usec, 999999);
	assert_int_equal(head.packet.hook, 3);
	assert_string_equal(head.packet.indev_name, "lo");
	assert_string_equal(head.packet.outdev_name, "lo");
	assert_int_equal(head.packet.hw_protocol, htons(0x0800));
	assert_int_equal(head.packet.hw_type, ARPHRD_LOOPBACK);
	assert_int_equal(head.packet.hw_addrlen, 6);
	assert_memory_equal(head.packet.hw_addr, "\x02\x03\x04\x05\x06\x07\0\0", 8);
	ipq_deliver_free(&delivered);
}

static void says_nothing_of_what_is_missing(void **state)
{
	struct ipq_delivered delivered;
	struct ipq_packet_head head;
	struct timeval before, after;

	(void)state;
	gettimeofday(&before, NULL);
	begin();
	bytes_end_message(&bytes, NULL, 0);
	delivered = deliver(HEAD);
	gettimeofday(&after, NULL);
	expect_packet(&delivered, 0);
	head = head_of(&delivered);
	assert_int_equal(head.packet.mark, 0);
	assert_int_equal(head.packet.hw_type, 0);
	assert_int_equal(head.packet.hw_addrlen, 0);
	for (unsigned i = 0; i < sizeof head.packet.indev_name; i++)
		assert_int_equal(head.packet.indev_name[i] | head.packet.outdev_name[i], 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(head.packet.hw_addr[i], 0);
	assert_true(head.packet.timestamp_sec >= before.tv_sec && head.packet.timestamp_sec <= after.tv_sec);
	assert_in_range(head.packet.timestamp_usec, 0, 999999);
	ipq_deliver_free(&delivered);
}

/* Hardware addresses belong to the interface that it came in by. Those of longer ones are cut, of InfiniBand for example. */
static void hardware_belongs_to_the_way_in(void **state)
{
	for (unsigned indev = 0; indev < 2; indev++)
		for (unsigned length = 0; length < 12; length++) {
			struct nfqnl_msg_packet_hw hardware = {.hw_addrlen = htons((uint16_t)length), .hw_addr = "12345678"};
			struct nlmsghdr *netlink = begin();
			struct ipq_delivered delivered;
			struct ipq_packet_head head;

			(void)state;
			mnl_attr_put_u32(netlink, indev ? NFQA_IFINDEX_INDEV : NFQA_IFINDEX_OUTDEV, htonl(1));
			mnl_attr_put(netlink, NFQA_HWADDR, sizeof hardware, &hardware);
			bytes_end_message(&bytes, data, 20);
			delivered = deliver(2048);
			head = head_of(&delivered);
			assert_string_equal(head.packet.indev_name, indev ? "lo" : "");
			assert_string_equal(head.packet.outdev_name, indev ? "" : "lo");
			assert_int_equal(head.packet.hw_type, indev ? ARPHRD_LOOPBACK : 0);
			assert_in_range(head.packet.hw_addrlen, 0, indev ? 8 : 0);
			if (length <= 8)
				assert_int_equal(head.packet.hw_addrlen, indev ? length : 0);
			ipq_deliver_free(&delivered);
		}
}

static void an_interface_that_is_gone_has_no_name(void **state)
{
	struct nlmsghdr *netlink = begin();
	struct ipq_delivered delivered;

	(void)state;
	mnl_attr_put_u32(netlink, NFQA_IFINDEX_INDEV, htonl(0x7ffffff1));
	bytes_end_message(&bytes, data, 20);
	errno = 0;
	delivered = deliver(2048);
	assert_int_equal(errno, 0);
	expect_packet(&delivered, 20);
	assert_string_equal(head_of(&delivered).packet.indev_name, "");
	ipq_deliver_free(&delivered);
}

/* ---- pieces ---- */

/* Every place of the payload around the end of the first piece, every length that ends around it, every alignment. */
static void puts_the_pieces_together(void **state)
{
	static const size_t more[] = {0, 1, 2, 3, 5, 500, 1023, 1024, 1025, 3000, 64000};

	(void)state;
	for (size_t at = BEGINNING - 48; at <= BEGINNING; at += 4)
		for (size_t to_end = 0; to_end <= 8; to_end++)
			for (unsigned i = 0; i < sizeof more / sizeof *more; i++) {
				size_t length = BEGINNING - at + to_end + more[i] - (to_end < 4 ? 0 : 4);
				struct ipq_delivered delivered;

				build(at, length);
				assert_int_equal(bytes.used, at + length);
				delivered = ipq_deliver(&handle, bytes.data, bytes.used, HEAD + length + 4, i % 8);
				expect_packet(&delivered, length);
				ipq_deliver_free(&delivered);
			}
}

static void fits_as_soon_as_it_can(void **state)
{
	static const size_t lengths[] = {0, 1, 2, 3, 4, 20, 99, 100, 972, 973, 1500, 65531};

	(void)state;
	for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		build(0, lengths[i]);
		for (size_t spare = 0; spare < 9; spare++) {
			struct ipq_delivered delivered = deliver(HEAD + lengths[i] + spare);

			expect_packet(&delivered, lengths[i]);
			ipq_deliver_free(&delivered);
		}
	}
}

/* The bytes that are there are right, and the id is known. */
static void what_does_not_fit_is_cut(void **state)
{
	static const size_t lengths[] = {1, 2, 20, 100, 972, 1500, 4000};

	(void)state;
	for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++)
		for (size_t size = 20; size < HEAD + lengths[i]; size += 1 + size / 50) {
			struct ipq_delivered delivered;
			struct nlmsghdr netlink;

			build(0, lengths[i]);
			delivered = deliver(size);
			assert_int_equal(delivered.kind, IPQ_PACKET_CUT);
			assert_int_equal(delivered.id, ID);
			assert_int_equal(delivered.length, size);
			memcpy(&netlink, delivered.buffer, sizeof netlink);
			assert_int_equal(netlink.nlmsg_type, IPQM_PACKET);
			assert_int_equal(netlink.nlmsg_len, (HEAD + lengths[i] + 3) & ~3u);
			if (size > HEAD)
				assert_memory_equal(delivered.buffer + HEAD, data, size - HEAD);
			ipq_deliver_free(&delivered);
		}
}

/* ---- lies ---- */

static void set_length(uint32_t length)
{
	((struct nlmsghdr *)bytes.data)->nlmsg_len = length;
}

/* The message ends before the datagram: what follows is not part of the packet. */
static void a_message_ends_where_it_says(void **state)
{
	static const size_t wholes[] = {100, 1000, 3000};

	(void)state;
	for (unsigned i = 0; i < sizeof wholes / sizeof *wholes; i++) {
		build(0, wholes[i]);
		for (size_t keep = 0; keep < wholes[i]; keep += 1 + keep / 20) {
			struct ipq_delivered delivered;

			set_length((uint32_t)(bytes.used - wholes[i] + keep));
			delivered = deliver(HEAD + wholes[i] + 4);
			assert_int_equal(delivered.kind, IPQ_PACKET);
			assert_int_equal(head_of(&delivered).packet.data_len, keep);
			assert_memory_equal(delivered.buffer + HEAD, data, keep);
			ipq_deliver_free(&delivered);
		}
	}
}

/* The datagram ends before the message says it does. */
static void nothing_is_made_up(void **state)
{
	(void)state;
	for (size_t received = 20; received < 3000; received += received < 60 ? 1 : 37) {
		struct ipq_delivered delivered;
		size_t start;

		build(0, 3000);
		start = bytes.used - 3000;
		delivered = ipq_deliver(&handle, bytes.data, received, HEAD + 3000 + 4, 0);
		if (received <= BEGINNING) { /* such a one is no message */
			assert_int_equal(delivered.kind, IPQ_NOTHING);
		} else {
			assert_int_equal(delivered.kind, IPQ_PACKET);
			assert_int_equal(head_of(&delivered).packet.data_len, received - start);
			assert_memory_equal(delivered.buffer + HEAD, data, received - start);
		}
		ipq_deliver_free(&delivered);
	}
}

static void attributes_may_lie(void **state)
{
	(void)state;
	for (unsigned length = 0; length < 300; length++) {
		struct nlattr attribute = {.nla_type = NFQA_PAYLOAD};
		struct ipq_delivered delivered;
		size_t expected;

		build(0, 100);
		attribute.nla_len = (uint16_t)(length < 290 ? length : 0xffff - length);
		memcpy(bytes.data + bytes.used - 100 - sizeof attribute, &attribute, sizeof attribute);
		delivered = deliver(2048);
		expected = attribute.nla_len < 4 ? 0 : ipq_deliver_min(attribute.nla_len - 4u, 100);
		assert_int_equal(delivered.kind, IPQ_PACKET);
		assert_int_equal(head_of(&delivered).packet.data_len, expected);
		assert_memory_equal(delivered.buffer + HEAD, data, expected);
		ipq_deliver_free(&delivered);
	}
}

static void what_is_no_packet_is_nothing(void **state)
{
	struct nlmsghdr *netlink;
	struct ipq_delivered delivered;

	(void)state;
	for (size_t received = 0; received < 31; received++) { /* the header attribute ends at 31 */
		build(0, 100);
		set_length((uint32_t)received);
		delivered = ipq_deliver(&handle, bytes.data, received, 2048, 0);
		assert_int_equal(delivered.kind, IPQ_NOTHING);
		ipq_deliver_free(&delivered);
	}
	build(0, 100);
	netlink = (void *)bytes.data;
	netlink->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT;
	delivered = deliver(2048);
	assert_int_equal(delivered.kind, IPQ_NOTHING);
	ipq_deliver_free(&delivered);
}

static void other_families_are_told_apart(void **state)
{
	static const uint8_t families[] = {AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6, 255};

	(void)state;
	for (unsigned i = 0; i < sizeof families; i++)
		for (unsigned own = 0; own < 2; own++)
			for (size_t size = 20; size < 300; size += 93) {
				struct ipq_delivered delivered;

				handle.family = own ? AF_INET6 : AF_INET;
				build(0, 50);
				((struct nfgenmsg *)(bytes.data + NLMSG_HDRLEN))->nfgen_family = families[i];
				delivered = deliver(size);
				if (families[i] != handle.family)
					assert_int_equal(delivered.kind, IPQ_PACKET_OTHER);
				else
					assert_int_equal(delivered.kind, size < HEAD + 50 ? IPQ_PACKET_CUT : IPQ_PACKET);
				assert_int_equal(delivered.id, ID);
				ipq_deliver_free(&delivered);
			}
}

/* ---- refusals ---- */

/* What the kernel answers to a verdict on `id`, or to a configuration. */
static void build_error(int code, bool is_verdict, uint32_t id, uint32_t verdict)
{
	struct nfqnl_msg_verdict_hdr header = {.verdict = htonl(verdict), .id = htonl(id)};
	struct nlmsghdr *netlink, request = {.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG};

	if (is_verdict)
		request = (struct nlmsghdr){.nlmsg_len = 32, .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT, .nlmsg_seq = id};
	bytes_reset(&bytes);
	netlink = mnl_nlmsg_put_header(bytes.data);
	netlink->nlmsg_type = NLMSG_ERROR;
	bytes.used = sizeof *netlink;
	bytes_put(&bytes, &(int){-code}, sizeof code);
	bytes_put(&bytes, &request, sizeof request);
	bytes_put(&bytes, &(struct nfgenmsg){.res_id = htons(QUEUE)}, sizeof(struct nfgenmsg));
	if (is_verdict) {
		bytes_put(&bytes, &(struct nlattr){.nla_len = 12, .nla_type = NFQA_VERDICT_HDR}, sizeof(struct nlattr));
		bytes_put(&bytes, &header, sizeof header);
	}
	netlink->nlmsg_len = bytes.used;
}

static void expect_error(int code, int old_code, bool is_verdict)
{
	for (size_t size = 20; size < 130; size++) {
		struct ipq_delivered delivered;
		struct nlmsghdr netlink;
		struct nlmsgerr error;
		ipq_peer_msg_t request;

		build_error(code, is_verdict, 99, NF_REPEAT);
		delivered = ipq_deliver(&handle, bytes.data, bytes.used, size, size % 8);
		assert_int_equal(delivered.kind, size < 36 ? IPQ_ERROR_CUT : IPQ_ERROR);
		if (size >= 36) {
			assert_int_equal(delivered.length, size < 60 ? 36 : 60);
			memcpy(&netlink, delivered.buffer, sizeof netlink);
			memcpy(&error, delivered.buffer + 16, sizeof error);
			assert_int_equal(netlink.nlmsg_type, NLMSG_ERROR);
			assert_int_equal(netlink.nlmsg_len, delivered.length);
			assert_int_equal(netlink.nlmsg_pid, PORTID);
			assert_int_equal(error.error, -old_code);
			assert_int_equal(error.msg.nlmsg_type, is_verdict ? IPQM_VERDICT : IPQM_MODE);
			assert_int_equal(error.msg.nlmsg_pid, PORTID);
		}
		if (size >= 60 && is_verdict) {
			memcpy(&request, delivered.buffer + 36, sizeof request);
			assert_int_equal(request.msg.verdict.value, NF_REPEAT);
			assert_int_equal(request.msg.verdict.id, 99);
		}
		ipq_deliver_free(&delivered);
	}
}

static void refusals_have_the_old_numbers(void **state)
{
	(void)state;
	for (unsigned is_verdict = 0; is_verdict < 2; is_verdict++) {
		expect_error(ENOENT, ENOENT, is_verdict);
		expect_error(EINVAL, EINVAL, is_verdict);
		expect_error(EPERM, EPERM, is_verdict);
		expect_error(ENODEV, ENOENT, is_verdict);
		expect_error(4095, 4095, is_verdict);
	}
}

static void a_queue_of_another_is_busy(void **state)
{
	static const char theirs[] = "    0      1     0 2 65531     0     0        0  1\n"
				     "    7   9999     0 2 65531     0     0        0  1\n";
	static const char ours[] = "    7   4711     0 2 65531     0     0        0  1\n";

	(void)state;
	handle.nfq.status_descriptor = memfd_create("status", MFD_CLOEXEC);
	assert_int_equal(write(handle.nfq.status_descriptor, theirs, strlen(theirs)), strlen(theirs));
	expect_error(EPERM, EBUSY, false);
	expect_error(EPERM, EBUSY, true);
	expect_error(ENODEV, EBUSY, true);
	expect_error(EINVAL, EINVAL, true);
	assert_int_equal(ftruncate(handle.nfq.status_descriptor, 0), 0);
	assert_int_equal(pwrite(handle.nfq.status_descriptor, ours, strlen(ours), 0), strlen(ours));
	expect_error(EPERM, EPERM, false);
	expect_error(EPERM, EPERM, true);
}

static void acknowledgements_are_nothing(void **state)
{
	static const int codes[] = {0, -1, -EPERM, 4096, INT32_MIN};

	(void)state;
	for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct ipq_delivered delivered;

		build_error(0, true, 1, 1);
		memcpy(bytes.data + 16, &(int){-(unsigned)codes[i]}, 4);
		delivered = deliver(2048);
		assert_int_equal(delivered.kind, IPQ_NOTHING);
		ipq_deliver_free(&delivered);
	}
	for (size_t received = 0; received < 36; received++) { /* stumps */
		struct ipq_delivered delivered;

		build_error(EPERM, true, 1, 1);
		set_length((uint32_t)received);
		delivered = ipq_deliver(&handle, bytes.data, received, 2048, 0);
		assert_int_equal(delivered.kind, IPQ_NOTHING);
		ipq_deliver_free(&delivered);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(says_all_of_a_packet),
		TEST(says_nothing_of_what_is_missing),
		TEST(hardware_belongs_to_the_way_in),
		TEST(an_interface_that_is_gone_has_no_name),
		TEST(puts_the_pieces_together),
		TEST(fits_as_soon_as_it_can),
		TEST(what_does_not_fit_is_cut),
		TEST(a_message_ends_where_it_says),
		TEST(nothing_is_made_up),
		TEST(attributes_may_lie),
		TEST(what_is_no_packet_is_nothing),
		TEST(other_families_are_told_apart),
		TEST(refusals_have_the_old_numbers),
		TEST(a_queue_of_another_is_busy),
		TEST(acknowledgements_are_nothing),
	};

	return cmocka_run_group_tests_name("ipq_translate", tests, NULL, NULL);
}
