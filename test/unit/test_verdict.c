/* SPDX-License-Identifier: MIT */
/*
 * lib/nfq/verdict.c: the bytes that go to the kernel, against messages that libmnl builds and reads.
 *
 * What a batch would send is its iovecs, and the piece at the end of the buffer that vd_nfq_batch_send() would add to them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "test/support/bytes.h"

#define QUEUE 513
#define ID 0x01020304u
#define GUARD 0xa5

static struct bytes stream;

/* A batch between two guards that nothing may write to. */
static struct {
	uint8_t before[64];
	struct vd_nfq_batch batch;
	uint8_t after[64];
} place;
#define batch (&place.batch)

static int begin(void **state)
{
	(void)state;
	memset(&place, GUARD, sizeof place);
	vd_nfq_batch_reset(batch);
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof place.before; i++)
		assert_true(place.before[i] == GUARD && place.after[i] == GUARD);
	return 0;
}

/* The stream as the kernel gets it, in `stream`. */
static void flatten(void)
{
	uint32_t pieces = batch->iov_count + (batch->used > batch->iov_start);

	assert_true(pieces <= sizeof batch->iov / sizeof *batch->iov);
	assert_true(batch->used <= sizeof batch->buffer);
	bytes_reset(&stream);
	for (uint32_t i = 0; i < batch->iov_count; i++)
		bytes_put(&stream, batch->iov[i].iov_base, (uint32_t)batch->iov[i].iov_len);
	bytes_put(&stream, batch->buffer + batch->iov_start, batch->used - batch->iov_start);
	assert_int_equal(stream.used, batch->bytes);
}

/* ---- a message as libmnl reads it ---- */

struct sent {
	uint16_t type;
	uint16_t flags;
	uint32_t sequence;
	uint32_t port;
	uint16_t queue;
	uint32_t verdict;
	uint32_t id;
	uint32_t attributes; /* bit n: attribute n is there */
	uint32_t mark;
	uint32_t priority;
	uint32_t conntrack_mark;
	uint16_t vlan_protocol;
	uint16_t vlan_tci;
	const uint8_t *payload;
	uint32_t payload_length;
};

static void read_nested(const struct nlattr *nest, struct sent *sent)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, nest)
	{
		unsigned type = mnl_attr_get_type(attribute);

		if (mnl_attr_get_type(nest) == NFQA_CT && type == CTA_MARK)
			sent->conntrack_mark = ntohl(mnl_attr_get_u32(attribute));
		else if (mnl_attr_get_type(nest) == NFQA_VLAN && type == NFQA_VLAN_PROTO)
			sent->vlan_protocol = ntohs(mnl_attr_get_u16(attribute));
		else if (mnl_attr_get_type(nest) == NFQA_VLAN && type == NFQA_VLAN_TCI)
			sent->vlan_tci = ntohs(mnl_attr_get_u16(attribute));
		else
			fail_msg("unknown attribute %u in a nest", type);
	}
}

static struct sent read_sent(const struct nlmsghdr *netlink)
{
	const struct nfgenmsg *netfilter = mnl_nlmsg_get_payload(netlink);
	struct sent sent = {.type = netlink->nlmsg_type,
			    .flags = netlink->nlmsg_flags,
			    .sequence = netlink->nlmsg_seq,
			    .port = netlink->nlmsg_pid,
			    .queue = ntohs(netfilter->res_id)};
	const struct nlattr *attribute;

	assert_int_equal(netfilter->nfgen_family, AF_UNSPEC);
	assert_int_equal(netfilter->version, NFNETLINK_V0);
	mnl_attr_for_each(attribute, netlink, sizeof *netfilter)
	{
		unsigned type = mnl_attr_get_type(attribute);

		assert_false(sent.attributes & 1u << type);
		sent.attributes |= 1u << type;
		if (type == NFQA_VERDICT_HDR) {
			const struct nfqnl_msg_verdict_hdr *header = mnl_attr_get_payload(attribute);

			sent.verdict = ntohl(header->verdict);
			sent.id = ntohl(header->id);
		} else if (type == NFQA_MARK) {
			sent.mark = ntohl(mnl_attr_get_u32(attribute));
		} else if (type == NFQA_PRIORITY) {
			sent.priority = ntohl(mnl_attr_get_u32(attribute));
		} else if (type == NFQA_CT || type == NFQA_VLAN) {
			read_nested(attribute, &sent);
		} else if (type == NFQA_PAYLOAD) {
			sent.payload = mnl_attr_get_payload(attribute);
			sent.payload_length = mnl_attr_get_payload_len(attribute);
		} else {
			fail_msg("unknown attribute %u", type);
		}
	}
	return sent;
}

/* Reads the stream as the kernel does, message after message; there must be `count`. */
static void read_stream(struct sent *sent, unsigned count)
{
	const struct nlmsghdr *netlink = (const void *)stream.data;
	int rest = (int)stream.used;
	unsigned found = 0;

	while (mnl_nlmsg_ok(netlink, rest)) {
		assert_true(found < count);
		assert_int_equal(netlink->nlmsg_len % 4, 0); /* else the next one would not follow at once */
		sent[found++] = read_sent(netlink);
		netlink = mnl_nlmsg_next(netlink, &rest);
	}
	assert_int_equal(found, count);
	assert_int_equal(rest, 0);
}

static struct sent sent_one(const struct vd_packet *packet)
{
	struct sent sent;

	vd_nfq_batch_reset(batch);
	assert_true(vd_nfq_batch_add(batch, packet));
	flatten();
	read_stream(&sent, 1);
	return sent;
}

static struct vd_packet decided(enum vd_verdict verdict)
{
	return (struct vd_packet){.queue = QUEUE, .id = ID, .verdict = (uint8_t)verdict};
}

/* A decided packet with `length` bytes of changed data, different for each id. free() it. */
static struct vd_packet *changed_packet(uint32_t id, uint32_t length)
{
	struct vd_packet *packet = malloc(sizeof *packet + length);

	assert_non_null(packet);
	*packet = decided(VD_ACCEPT);
	packet->id = id;
	packet->data_offset = sizeof *packet;
	packet->length = packet->wire_length = packet->room = length;
	packet->changed = VD_CHANGED_DATA;
	for (uint32_t i = 0; i < length; i++)
		((uint8_t *)(packet + 1))[i] = (uint8_t)(id * 31 + i * 7);
	return packet;
}

/* ---- tests ---- */

/* The bytes that libnetfilter_queue's example sends: nfq_nlmsg_put() and nfq_nlmsg_verdict_put(). */
static uint32_t put_reference(void *buffer, uint16_t type, uint32_t sequence, uint32_t verdict)
{
	struct nfqnl_msg_verdict_hdr header = {.verdict = htonl(verdict), .id = htonl(ID)};
	struct nlmsghdr *netlink = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *netfilter;

	netlink->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	netlink->nlmsg_flags = NLM_F_REQUEST;
	netlink->nlmsg_seq = sequence;
	netfilter = mnl_nlmsg_put_extra_header(netlink, sizeof *netfilter);
	netfilter->nfgen_family = AF_UNSPEC;
	netfilter->version = NFNETLINK_V0;
	netfilter->res_id = htons(QUEUE);
	mnl_attr_put(netlink, NFQA_VERDICT_HDR, sizeof header, &header);
	return netlink->nlmsg_len;
}

static void a_bare_verdict_is_the_bytes_that_libmnl_makes(void **state)
{
	const struct {
		enum vd_verdict verdict;
		uint32_t netfilter;
	} pairs[] = {{VD_ACCEPT, 1}, {VD_DROP, 0}, {VD_REPEAT, 4}, {VD_STOP, 5}, {VD_QUEUE, 3 | 7u << 16}};
	_Alignas(8) uint8_t reference[128];

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		struct vd_packet packet = decided(pairs[i].verdict);
		uint32_t length = put_reference(reference, NFQNL_MSG_VERDICT, ID, pairs[i].netfilter);

		packet.requeue = 7;
		vd_nfq_batch_reset(batch);
		assert_true(vd_nfq_batch_add(batch, &packet));
		flatten();
		assert_int_equal(stream.used, length);
		assert_memory_equal(stream.data, reference, length);
	}
}

static void a_range_is_the_bytes_that_libmnl_makes(void **state)
{
	const enum vd_verdict verdicts[] = {VD_DROP, VD_ACCEPT};
	_Alignas(8) uint8_t reference[128];

	(void)state;
	for (uint32_t verdict = 0; verdict < 2; verdict++) {
		struct vd_packet last = decided(verdicts[verdict]);
		uint32_t length = put_reference(reference, NFQNL_MSG_VERDICT_BATCH, 33, verdict);

		vd_nfq_batch_reset(batch);
		assert_true(vd_nfq_batch_add_range(batch, &last, 33));
		flatten();
		assert_int_equal(stream.used, length);
		assert_memory_equal(stream.data, reference, length);
	}
}

/* Two messages that know of each other, for the day on which one of them is refused. */
static void a_run_is_its_first_packet_and_a_range(void **state)
{
	struct vd_packet first = decided(VD_ACCEPT), last = first;
	struct sent sent[2];

	(void)state;
	last.id = first.id + 40; /* some ids were lost */
	vd_nfq_batch_reset(batch);
	assert_true(vd_nfq_batch_add_run(batch, &first, &last, 33));
	flatten();
	read_stream(sent, 2);
	assert_int_equal(sent[0].type, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT);
	assert_int_equal(sent[0].id, ID);
	assert_int_equal(sent[0].sequence, ID);
	assert_int_equal(sent[1].type, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT_BATCH);
	assert_int_equal(sent[1].id, ID + 40);
	assert_int_equal(sent[1].sequence, 32);
	assert_int_equal(sent[0].port, 32);
	assert_int_equal(sent[1].port, 40);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(sent[i].verdict, NF_ACCEPT);
		assert_int_equal(sent[i].attributes, 1u << NFQA_VERDICT_HDR);
	}
}

static void a_range_carries_none_of_the_last_packets_changes(void **state)
{
	struct vd_packet last = decided(VD_ACCEPT);
	struct sent sent;

	(void)state;
	vd_packet_set_mark(&last, 1);
	vd_packet_set_priority(&last, 2);
	assert_true(vd_nfq_batch_add_range(batch, &last, 2));
	flatten();
	read_stream(&sent, 1);
	assert_int_equal(sent.attributes, 1u << NFQA_VERDICT_HDR);
	assert_int_equal(sent.id, ID);
}

static void each_combination_of_changes_is_carried(void **state)
{
	(void)state;
	for (unsigned changes = 0; changes < 32; changes++) {
		struct vd_packet *packet = changed_packet(ID, 21);
		struct sent sent;

		packet->changed = 0;
		if (changes & VD_CHANGED_MARK)
			vd_packet_set_mark(packet, 0xcafe0001);
		if (changes & VD_CHANGED_PRIORITY)
			vd_packet_set_priority(packet, 0x00010002);
		if (changes & VD_CHANGED_CONNTRACK_MARK)
			vd_packet_set_conntrack_mark(packet, 0xcafe0003);
		if (changes & VD_CHANGED_VLAN)
			vd_packet_set_vlan(packet, 0x88a8, 0x2064);
		packet->changed |= changes & VD_CHANGED_DATA;
		sent = sent_one(packet);
		assert_int_equal(sent.type, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT);
		assert_int_equal(sent.flags, NLM_F_REQUEST);
		assert_int_equal(sent.sequence, ID);
		assert_int_equal(sent.port, 0);
		assert_int_equal(sent.queue, QUEUE);
		assert_int_equal(sent.verdict, NF_ACCEPT);
		assert_int_equal(sent.id, ID);
		assert_int_equal(sent.attributes, 1u << NFQA_VERDICT_HDR |
				 (changes & VD_CHANGED_MARK ? 1u << NFQA_MARK : 0) |
				 (changes & VD_CHANGED_PRIORITY ? 1u << NFQA_PRIORITY : 0) |
				 (changes & VD_CHANGED_CONNTRACK_MARK ? 1u << NFQA_CT : 0) |
				 (changes & VD_CHANGED_VLAN ? 1u << NFQA_VLAN : 0) |
				 (changes & VD_CHANGED_DATA ? 1u << NFQA_PAYLOAD : 0));
		assert_int_equal(sent.mark, changes & VD_CHANGED_MARK ? 0xcafe0001 : 0);
		assert_int_equal(sent.priority, changes & VD_CHANGED_PRIORITY ? 0x00010002 : 0);
		assert_int_equal(sent.conntrack_mark, changes & VD_CHANGED_CONNTRACK_MARK ? 0xcafe0003 : 0);
		assert_int_equal(sent.vlan_protocol, changes & VD_CHANGED_VLAN ? 0x88a8 : 0);
		assert_int_equal(sent.vlan_tci, changes & VD_CHANGED_VLAN ? 0x2064 : 0);
		assert_int_equal(sent.payload_length, changes & VD_CHANGED_DATA ? 21 : 0);
		if (sent.payload)
			assert_memory_equal(sent.payload, packet + 1, 21);
		free(packet);
	}
}

static void what_was_not_changed_is_not_sent(void **state)
{
	struct vd_packet packet = decided(VD_ACCEPT);
	struct sent sent;

	(void)state;
	packet.mark = packet.priority = packet.conntrack_mark = packet.vlan_tci = 9; /* as they came */
	sent = sent_one(&packet);
	assert_int_equal(sent.attributes, 1u << NFQA_VERDICT_HDR);
}

/* The kernel takes the last attribute unpadded or padded; the next message begins at a multiple of 4 in any case. */
static void payloads_of_all_paddings_are_found_again_byte_for_byte(void **state)
{
	struct vd_packet *packets[VD_NFQ_SEND_MAX];
	struct sent sent[VD_NFQ_SEND_MAX];

	(void)state;
	for (uint32_t base = 1; base < 1500; base += 97) {
		vd_nfq_batch_reset(batch);
		for (uint32_t i = 0; i < VD_NFQ_SEND_MAX; i++) {
			packets[i] = changed_packet(i, base + i);
			if (i % 3 == 2) /* bare ones between them */
				packets[i]->changed = i & 1 ? VD_CHANGED_MARK : 0;
			assert_true(vd_nfq_batch_add(batch, packets[i]));
			assert_int_equal(batch->used % 4, 0); /* the next message is written there as a struct */
		}
		flatten();
		read_stream(sent, VD_NFQ_SEND_MAX);
		for (uint32_t i = 0; i < VD_NFQ_SEND_MAX; i++) {
			assert_int_equal(sent[i].id, i);
			if (i % 3 == 2) {
				assert_null(sent[i].payload);
			} else {
				assert_int_equal(sent[i].payload_length, base + i);
				assert_memory_equal(sent[i].payload, packets[i] + 1, base + i);
			}
			free(packets[i]);
		}
	}
}

/* The data is not copied: it is sent from where the packet lies. */
static void data_is_sent_from_where_it_is(void **state)
{
	struct vd_packet *packet = changed_packet(ID, 100);

	(void)state;
	assert_true(vd_nfq_batch_add(batch, packet));
	assert_int_equal(batch->iov_count, 2);
	assert_ptr_equal(batch->iov[1].iov_base, vd_packet_data(packet));
	assert_int_equal(batch->iov[1].iov_len, 100);
	free(packet);
}

static void the_padding_is_zero(void **state)
{
	(void)state;
	for (uint32_t length = 21; length < 29; length++) {
		struct vd_packet *packet = changed_packet(ID, length);

		memset(batch->buffer, GUARD, sizeof batch->buffer);
		vd_nfq_batch_reset(batch);
		assert_true(vd_nfq_batch_add(batch, packet));
		flatten();
		for (uint32_t i = 32 + 4 + length; i < stream.used; i++)
			assert_int_equal(stream.data[i], 0);
		free(packet);
	}
}

static void a_dropped_packet_carries_no_changes(void **state)
{
	const enum vd_verdict dropped[] = {VD_DROP, VD_NEXT};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct vd_packet *packet = changed_packet(ID, 21);
		struct sent sent;

		packet->verdict = (uint8_t)dropped[i];
		packet->changed = 31;
		sent = sent_one(packet);
		assert_int_equal(sent.verdict, NF_DROP);
		assert_int_equal(sent.attributes, 1u << NFQA_VERDICT_HDR);
		free(packet);
	}
}

static void every_other_verdict_carries_changes(void **state)
{
	const enum vd_verdict verdicts[] = {VD_ACCEPT, VD_REPEAT, VD_QUEUE, VD_STOP};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct vd_packet packet = decided(verdicts[i]);

		vd_packet_set_mark(&packet, 3);
		assert_int_equal(sent_one(&packet).mark, 3);
	}
}

static void a_requeue_says_which_queue_and_whether_to_bypass(void **state)
{
	const uint16_t queues[] = {0, 1, 255, 256, 0x7fff, 0x8000, 65535};

	(void)state;
	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
		for (int bypass = 0; bypass < 2; bypass++) {
			struct vd_packet packet = decided(VD_DROP);

			packet.verdict = (uint8_t)vd_packet_requeue(&packet, queues[i], bypass);
			assert_int_equal(sent_one(&packet).verdict,
					 3u | (uint32_t)queues[i] << 16 | (bypass ? 0x8000u : 0));
		}
}

static void verdicts_translate_there_and_back(void **state)
{
	const enum vd_verdict verdicts[] = {VD_ACCEPT, VD_DROP, VD_REPEAT, VD_QUEUE, VD_STOP};

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		for (unsigned queue = 0; queue < 65536; queue += 257) {
			struct vd_packet packet = decided(verdicts[i]);

			packet.requeue = (uint16_t)queue;
			packet.requeue_bypass = queue & 1;
			assert_int_equal(vd_nfq_verdict(vd_nfq_netfilter_verdict(&packet)), verdicts[i]);
		}
	assert_int_equal(vd_nfq_verdict(NF_STOLEN), VD_NEXT);
	assert_int_equal(vd_nfq_verdict(6), VD_NEXT);
	assert_int_equal(vd_nfq_verdict(255), VD_NEXT);
}

static void what_is_no_verdict_drops(void **state)
{
	(void)state;
	for (unsigned verdict = 0; verdict < 256; verdict++) {
		struct vd_packet packet = decided((enum vd_verdict)verdict);

		if (verdict == VD_NEXT || verdict >= VD_VERDICT_COUNT)
			assert_int_equal(vd_nfq_netfilter_verdict(&packet), NF_DROP);
	}
}

static void a_batch_takes_send_max_and_no_more(void **state)
{
	struct vd_packet packet = decided(VD_ACCEPT);
	struct sent sent[VD_NFQ_SEND_MAX];
	uint32_t used;

	(void)state;
	for (uint32_t i = 0; i < VD_NFQ_SEND_MAX; i++) {
		packet.id = i;
		if (i & 1)
			assert_true(vd_nfq_batch_add(batch, &packet));
		else
			assert_true(vd_nfq_batch_add_range(batch, &packet, 1));
	}
	used = batch->used;
	assert_false(vd_nfq_batch_add(batch, &packet));
	assert_false(vd_nfq_batch_add_range(batch, &packet, 1));
	assert_false(vd_nfq_batch_add_run(batch, &packet, &packet, 2));
	assert_int_equal(batch->used, used);
	flatten();
	read_stream(sent, VD_NFQ_SEND_MAX);
	for (uint32_t i = 0; i < VD_NFQ_SEND_MAX; i++)
		assert_int_equal(sent[i].id, i);
}

/* All changes, data that needs padding: the largest that 64 verdicts can need of buffer and iovecs. */
static void the_largest_verdicts_fit_the_buffer(void **state)
{
	struct vd_packet *packets[VD_NFQ_SEND_MAX];
	struct sent sent[VD_NFQ_SEND_MAX];

	(void)state;
	for (uint32_t i = 0; i < VD_NFQ_SEND_MAX; i++) {
		packets[i] = changed_packet(i, 1001);
		packets[i]->changed = 31;
		assert_true(vd_nfq_batch_add(batch, packets[i]));
	}
	flatten();
	read_stream(sent, VD_NFQ_SEND_MAX);
	for (uint32_t i = 0; i < VD_NFQ_SEND_MAX; i++) {
		assert_memory_equal(sent[i].payload, packets[i] + 1, 1001);
		free(packets[i]);
	}
}

/* However much waits: what one send carries stays below its bound, and nothing is added to a full one. */
static void a_send_is_bounded_in_bytes(void **state)
{
	uint64_t random = bytes_seed("bounded sends");

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct vd_packet *packets[VD_NFQ_SEND_MAX];
		uint32_t count = 0, largest = round & 1 ? 9000 : 65531;
		struct sent sent[VD_NFQ_SEND_MAX];

		vd_nfq_batch_reset(batch);
		for (;;) {
			packets[count] = changed_packet(count, 1 + bytes_random_below(&random, largest));
			packets[count]->changed |= bytes_random(&random) & 15;
			if (!vd_nfq_batch_add(batch, packets[count]))
				break;
			if (++count == VD_NFQ_SEND_MAX)
				break;
		}
		assert_true(batch->bytes <= VD_NFQ_SEND_BYTES);
		assert_int_equal(batch->count, count);
		flatten();
		read_stream(sent, count);
		for (uint32_t i = 0; i < count; i++) {
			assert_int_equal(sent[i].payload_length, packets[i]->length);
			assert_memory_equal(sent[i].payload, packets[i] + 1, packets[i]->length);
		}
		for (uint32_t i = 0; i <= count && i < VD_NFQ_SEND_MAX; i++)
			free(packets[i]);
	}
}

/* An empty batch takes any packet, else it would never be sent. */
static void the_largest_packet_fits_an_empty_batch(void **state)
{
	struct vd_packet *packet = changed_packet(ID, VD_NFQ_COPY_RANGE_MAX);
	struct sent sent = sent_one(packet);

	(void)state;
	assert_int_equal(sent.payload_length, VD_NFQ_COPY_RANGE_MAX);
	assert_memory_equal(sent.payload, packet + 1, VD_NFQ_COPY_RANGE_MAX);
	free(packet);
}

static void a_reset_batch_is_empty(void **state)
{
	struct vd_packet *packet = changed_packet(ID, 33);

	(void)state;
	assert_true(vd_nfq_batch_add(batch, packet));
	vd_nfq_batch_reset(batch);
	flatten();
	assert_int_equal(stream.used, 0);
	assert_int_equal(batch->count, 0);
	packet->changed = 0;
	assert_int_equal(sent_one(packet).id, ID);
	free(packet);
}

#define test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_bare_verdict_is_the_bytes_that_libmnl_makes),
		test(a_range_is_the_bytes_that_libmnl_makes),
		test(a_run_is_its_first_packet_and_a_range),
		test(a_range_carries_none_of_the_last_packets_changes),
		test(each_combination_of_changes_is_carried),
		test(what_was_not_changed_is_not_sent),
		test(payloads_of_all_paddings_are_found_again_byte_for_byte),
		test(data_is_sent_from_where_it_is),
		test(the_padding_is_zero),
		test(a_dropped_packet_carries_no_changes),
		test(every_other_verdict_carries_changes),
		test(a_requeue_says_which_queue_and_whether_to_bypass),
		test(verdicts_translate_there_and_back),
		test(what_is_no_verdict_drops),
		test(a_batch_takes_send_max_and_no_more),
		test(the_largest_verdicts_fit_the_buffer),
		test(a_send_is_bounded_in_bytes),
		test(the_largest_packet_fits_an_empty_batch),
		test(a_reset_batch_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
