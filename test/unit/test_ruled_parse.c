/* SPDX-License-Identifier: MIT */
/*
 * Rules that queue, from bytes as the kernel gives them: tables of iptables-legacy and messages of nf_tables, of which some kernels
 * have only the one or the other. And whatever bytes come, nothing behind them is read: there is no memory behind them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "test/support/guarded.h"
#include "test/support/random.h"
#include "tools/ruled/private.h"

#define ROUNDS 20000u

static struct guarded guarded;
static struct vd_ruled_rules rules;
static _Alignas(8) uint8_t room[4096];
static size_t used;

static int set_up(void **state)
{
	(void)state;
	used = 0;
	rules = (struct vd_ruled_rules){0};
	guarded = guarded_make(sizeof room);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(rules.rule);
	guarded_free(guarded);
	return 0;
}

static void expect_rule(unsigned i, unsigned first, unsigned last, bool has_bypass, bool is_counted, uint64_t packets)
{
	assert_true(i < rules.count);
	assert_int_equal(rules.rule[i].first, first);
	assert_int_equal(rules.rule[i].last, last);
	assert_int_equal(rules.rule[i].has_bypass, has_bypass);
	assert_int_equal(rules.rule[i].is_counted, is_counted);
	assert_int_equal(rules.rule[i].packets, packets);
}

/* ---- tables ---- */

/* An entry with `matches` bytes of matches before its target, and so many bytes of information in that. */
static void put_entry(bool is_ipv6, unsigned matches, uint64_t packets, const char *target, unsigned revision, const void *info,
		      size_t size)
{
	size_t head = is_ipv6 ? sizeof(struct ip6t_entry) : sizeof(struct ipt_entry);
	size_t target_size = XT_ALIGN(sizeof(struct xt_entry_target) + size);
	uint8_t *entry = room + used;
	struct xt_entry_target *place = (struct xt_entry_target *)(entry + head + matches);
	struct xt_counters counters = {.pcnt = packets, .bcnt = packets * 1000};
	uint16_t offset = (uint16_t)(head + matches), next = (uint16_t)(head + matches + target_size);

	assert_true(used + next <= sizeof room);
	memset(entry, 0xee, head + matches);
	memset(place, 0, target_size);
	memcpy(entry + (is_ipv6 ? offsetof(struct ip6t_entry, target_offset) : offsetof(struct ipt_entry, target_offset)), &offset, 2);
	memcpy(entry + (is_ipv6 ? offsetof(struct ip6t_entry, next_offset) : offsetof(struct ipt_entry, next_offset)), &next, 2);
	memcpy(entry + (is_ipv6 ? offsetof(struct ip6t_entry, counters) : offsetof(struct ipt_entry, counters)), &counters,
	       sizeof counters);
	place->u.user.target_size = (uint16_t)target_size;
	strcpy(place->u.user.name, target);
	place->u.user.revision = (uint8_t)revision;
	memcpy(place->data, info, size);
	used += next;
}

/* At the end of its memory. */
static int parse(const uint8_t *bytes, size_t size, bool is_ipv6)
{
	memcpy(guarded.end - size, bytes, size);
	rules.count = 0;
	rules.has_computed = false;
	return vd_ruled_legacy_parse(guarded.end - size, size, is_ipv6, &rules);
}

/* All that a table may have in it, as ip6tables or iptables would set it. */
static void put_table(bool is_ipv6)
{
	static const int32_t drop = -NF_DROP - 1, queue = -NF_QUEUE - 1, jump = 320;
	static const struct xt_NFQ_info zero = {7};
	static const struct xt_NFQ_info_v1 one = {10, 4};
	static const struct xt_NFQ_info_v2 two = {20, 1, 1};
	static const struct xt_NFQ_info_v3 three = {65535, 1, NFQ_FLAG_CPU_FANOUT}, four = {30, 2, NFQ_FLAG_BYPASS | NFQ_FLAG_CPU_FANOUT};
	static const char error[XT_FUNCTION_MAXNAMELEN] = "VERDICT";

	put_entry(is_ipv6, 0, 1, "", 0, &drop, sizeof drop);
	put_entry(is_ipv6, 48, 100, "NFQUEUE", 0, &zero, sizeof zero);
	put_entry(is_ipv6, 0, 200, "NFQUEUE", 1, &one, sizeof one);
	put_entry(is_ipv6, 40, 300, "NFQUEUE", 2, &two, sizeof two);
	put_entry(is_ipv6, 0, 5000000000, "NFQUEUE", 3, &three, sizeof three);
	put_entry(is_ipv6, 0, 400, "NFQUEUE", 3, &four, sizeof four);
	put_entry(is_ipv6, 0, 500, "", 0, &queue, sizeof queue);
	put_entry(is_ipv6, 0, 2, "", 0, &jump, sizeof jump);
	put_entry(is_ipv6, 0, 3, "NFQUEUED", 0, &zero, sizeof zero);
	put_entry(is_ipv6, 0, 4, "ERROR", 0, error, sizeof error);
}

static void tables_are_read(void **state)
{
	(void)state;
	for (unsigned is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
		used = 0;
		put_table(is_ipv6);
		assert_int_equal(parse(room, used, is_ipv6), 0);
		assert_int_equal(rules.count, 6);
		assert_false(rules.has_computed);
		expect_rule(0, 7, 7, false, true, 100);
		expect_rule(1, 10, 13, false, true, 200);
		expect_rule(2, 20, 20, true, true, 300);
		expect_rule(3, 65535, 65535, false, true, 5000000000);
		expect_rule(4, 30, 31, true, true, 400);
		expect_rule(5, 0, 0, false, true, 500);
	}
}

/* No table at all, a revision of the future, and queues that there are not. */
static void what_is_not_known_is_said(void **state)
{
	static const struct xt_NFQ_info_v3 future = {7, 1, 0}, none = {7, 0, 0}, beyond = {65535, 2, 0};

	(void)state;
	assert_int_equal(parse(room, 0, false), 0);
	assert_int_equal(rules.count, 0);
	put_entry(false, 0, 100, "NFQUEUE", 4, &future, sizeof future);
	assert_int_equal(parse(room, used, false), 0);
	assert_true(rules.has_computed && !rules.count);
	used = 0;
	put_entry(false, 0, 100, "NFQUEUE", 3, &none, sizeof none);
	assert_int_equal(parse(room, used, false), 0);
	assert_true(rules.has_computed && !rules.count);
	used = 0;
	put_entry(false, 0, 100, "NFQUEUE", 3, &beyond, sizeof beyond);
	assert_int_equal(parse(room, used, false), 0);
	assert_true(rules.has_computed && !rules.count);
}

/* Cut anywhere but behind an entry, it is none. */
static void tables_that_are_cut(void **state)
{
	size_t ends[16], count = 0;

	(void)state;
	put_table(false);
	for (size_t at = 0; at < used; at += ((struct ipt_entry *)(room + at))->next_offset)
		ends[count++] = at;
	for (size_t size = 0; size < used; size++) {
		bool is_end = false;

		for (size_t i = 0; i < count; i++)
			is_end |= ends[i] == size;
		assert_int_equal(parse(room, size, false), is_end ? 0 : -EPROTO);
	}
}

static void wrong_offsets(void **state)
{
	static const struct xt_NFQ_info_v3 info = {7, 1, 0};
	struct ipt_entry *entry = (struct ipt_entry *)room;
	struct xt_entry_target *target = (struct xt_entry_target *)entry->elems;

	(void)state;
	put_entry(false, 0, 100, "NFQUEUE", 3, &info, sizeof info);
	for (unsigned wrong = 0; wrong < 7; wrong++) {
		used = 0;
		put_entry(false, 0, 100, "NFQUEUE", 3, &info, sizeof info);
		if (wrong == 0)
			entry->next_offset = 0;
		else if (wrong == 1)
			entry->next_offset = UINT16_MAX;
		else if (wrong == 2)
			entry->target_offset = 0;
		else if (wrong == 3)
			entry->target_offset = (uint16_t)(entry->next_offset - 1);
		else if (wrong == 4)
			target->u.user.target_size = UINT16_MAX;
		else if (wrong == 5)
			target->u.user.target_size = sizeof *target - 1;
		else
			entry->next_offset = entry->target_offset;
		assert_int_equal(parse(room, used, false), -EPROTO);
	}
	/* room for the head alone: what it says is not there */
	used = 0;
	put_entry(false, 0, 100, "NFQUEUE", 3, &info, sizeof info);
	target->u.user.target_size = sizeof *target;
	assert_int_equal(parse(room, used, false), 0);
	assert_true(rules.has_computed && !rules.count);
}

/* Whatever it says of itself. */
static void tables_of_random_bytes(void **state)
{
	uint64_t seed = bytes_seed("tables_of_random_bytes");
	unsigned good = 0;

	(void)state;
	put_table(false);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t bytes[sizeof room];
		size_t size = round % 2 ? used : bytes_random_below(&seed, (uint32_t)used);

		memcpy(bytes, room, sizeof bytes);
		for (unsigned changes = bytes_random_below(&seed, 4); changes; changes--)
			bytes[bytes_random_below(&seed, (uint32_t)used)] = (uint8_t)bytes_random(&seed);
		good += !parse(bytes, size, bytes_random_below(&seed, 4) == 0);
	}
	assert_true(good > ROUNDS / 10 && good < ROUNDS);
}

/* ---- messages ---- */

static struct nlmsghdr *message;
static struct nlattr *expressions;

static void begin_rule(void)
{
	struct nfgenmsg *netfilter;

	memset(room, 0, sizeof room);
	message = mnl_nlmsg_put_header(room);
	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE;
	netfilter = mnl_nlmsg_put_extra_header(message, sizeof *netfilter);
	netfilter->nfgen_family = NFPROTO_INET;
	mnl_attr_put_strz(message, NFTA_RULE_TABLE, "filter");
	mnl_attr_put_strz(message, NFTA_RULE_CHAIN, "input");
	mnl_attr_put_u64(message, NFTA_RULE_HANDLE, 0x700000000000000);
	expressions = mnl_attr_nest_start(message, NFTA_RULE_EXPRESSIONS);
}

static struct nlattr *begin_expression(const char *name, struct nlattr **data)
{
	struct nlattr *element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);

	mnl_attr_put_strz(message, NFTA_EXPR_NAME, name);
	*data = mnl_attr_nest_start(message, NFTA_EXPR_DATA);
	return element;
}

static void end_expression(struct nlattr *element, struct nlattr *data)
{
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, element);
}

/* One that compares, or whatever it does. */
static void put_other(const char *name)
{
	struct nlattr *data, *element = begin_expression(name, &data);

	mnl_attr_put_u32(message, 1, htonl(1));
	end_expression(element, data);
}

static void put_counter(uint64_t packets)
{
	struct nlattr *data, *element = begin_expression("counter", &data);

	mnl_attr_put_u64(message, NFTA_COUNTER_BYTES, 77);
	mnl_attr_put_u64(message, NFTA_COUNTER_PACKETS, (uint64_t)htonl((uint32_t)packets) << 32 | htonl((uint32_t)(packets >> 32)));
	end_expression(element, data);
}

static void put_queue(uint16_t first, uint16_t total, uint16_t flags)
{
	struct nlattr *data, *element = begin_expression("queue", &data);

	mnl_attr_put_u16(message, NFTA_QUEUE_NUM, htons(first));
	mnl_attr_put_u16(message, NFTA_QUEUE_TOTAL, htons(total));
	mnl_attr_put_u16(message, NFTA_QUEUE_FLAGS, htons(flags));
	end_expression(element, data);
}

static void put_computed_queue(void)
{
	struct nlattr *data, *element = begin_expression("queue", &data);

	mnl_attr_put_u32(message, NFTA_QUEUE_SREG_QNUM, htonl(NFT_REG_1));
	mnl_attr_put_u16(message, NFTA_QUEUE_FLAGS, htons(NFT_QUEUE_FLAG_BYPASS));
	end_expression(element, data);
}

static void put_target(const char *name, unsigned revision, const void *info, size_t size)
{
	struct nlattr *data, *element = begin_expression("target", &data);

	mnl_attr_put_strz(message, NFTA_TARGET_NAME, name);
	mnl_attr_put_u32(message, NFTA_TARGET_REV, htonl(revision));
	mnl_attr_put(message, NFTA_TARGET_INFO, size, info);
	end_expression(element, data);
}

/* At the end of its memory, but for what makes its beginning even. */
static int parse_message(void)
{
	struct nlmsghdr *copy;

	mnl_attr_nest_end(message, expressions);
	copy = (struct nlmsghdr *)(guarded.end - MNL_ALIGN(message->nlmsg_len));
	memcpy(copy, message, message->nlmsg_len);
	return vd_ruled_nft_parse(copy, &rules);
}

static void rules_of_nf_tables_are_read(void **state)
{
	static const struct xt_NFQ_info_v3 info = {30, 2, NFQ_FLAG_BYPASS};
	static const uint8_t padded[8] = {40}; /* as XT_ALIGN makes it */

	(void)state;
	begin_rule();
	put_other("payload");
	put_other("cmp");
	put_counter(5000000000);
	put_queue(7, 1, 0);
	assert_int_equal(parse_message(), 0);
	expect_rule(0, 7, 7, false, true, 5000000000);

	begin_rule();
	put_counter(100);
	put_queue(0, 4, NFT_QUEUE_FLAG_BYPASS | NFT_QUEUE_FLAG_CPU_FANOUT);
	assert_int_equal(parse_message(), 0);
	expect_rule(1, 0, 3, true, true, 100);

	begin_rule();
	put_other("match");
	put_counter(200);
	put_target("NFQUEUE", 3, &info, sizeof info);
	assert_int_equal(parse_message(), 0);
	expect_rule(2, 30, 31, true, true, 200);

	begin_rule();
	put_counter(300);
	put_target("NFQUEUE", 0, padded, sizeof padded);
	assert_int_equal(parse_message(), 0);
	expect_rule(3, (unsigned)(padded[0] | padded[1] << 8), 40, false, true, 300);

	begin_rule();
	put_counter(400);
	put_other("log");
	put_queue(65535, 1, 0);
	assert_int_equal(parse_message(), 0);
	expect_rule(4, 65535, 65535, false, true, 400);
	assert_false(rules.has_computed);
}

/* A counter is the queue's only if each packet that it counts comes that far. */
static void rules_without_a_count_of_their_own(void **state)
{
	(void)state;
	begin_rule();
	put_queue(7, 1, 0);
	assert_int_equal(parse_message(), 0);
	expect_rule(0, 7, 7, false, false, 0);

	begin_rule();
	put_counter(100);
	put_other("cmp");
	put_queue(8, 1, 0);
	assert_int_equal(parse_message(), 0);
	expect_rule(1, 8, 8, false, false, 0);

	begin_rule();
	put_other("objref"); /* a counter with a name, that other rules may have too */
	put_queue(9, 1, 0);
	assert_int_equal(parse_message(), 0);
	expect_rule(2, 9, 9, false, false, 0);

	begin_rule();
	put_counter(100);
	put_other("limit");
	put_counter(60);
	put_queue(10, 1, 0);
	assert_int_equal(parse_message(), 0);
	expect_rule(3, 10, 10, false, true, 60);
	assert_false(rules.has_computed);
}

static void rules_that_send_anywhere_or_nowhere(void **state)
{
	static const struct xt_NFQ_info_v3 info = {30, 2, NFQ_FLAG_BYPASS};

	(void)state;
	begin_rule();
	put_counter(100);
	put_computed_queue();
	assert_int_equal(parse_message(), 0);
	assert_true(rules.has_computed && !rules.count);
	rules.has_computed = false;

	begin_rule();
	put_counter(100);
	put_target("NFQUEUE", 4, &info, sizeof info);
	assert_int_equal(parse_message(), 0);
	assert_true(rules.has_computed && !rules.count);
	rules.has_computed = false;

	begin_rule();
	put_counter(100);
	put_target("NFLOG", 3, &info, sizeof info);
	assert_int_equal(parse_message(), 0);
	begin_rule();
	put_counter(100);
	put_other("immediate");
	assert_int_equal(parse_message(), 0);
	begin_rule();
	mnl_attr_nest_cancel(message, expressions);
	memcpy(guarded.end - message->nlmsg_len, message, message->nlmsg_len);
	assert_int_equal(vd_ruled_nft_parse((struct nlmsghdr *)(guarded.end - message->nlmsg_len), &rules), 0);
	assert_true(!rules.has_computed && !rules.count);
}

/* Cut anywhere, and with any bytes in it. */
static void messages_of_random_bytes(void **state)
{
	uint64_t seed = bytes_seed("messages_of_random_bytes");
	unsigned found = 0;

	(void)state;
	begin_rule();
	put_other("cmp");
	put_counter(100);
	put_queue(7, 4, 1);
	mnl_attr_nest_end(message, expressions);
	for (uint32_t length = MNL_NLMSG_HDRLEN; length < MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg); length++) {
		uint8_t *copy = guarded.end - MNL_ALIGN(length);

		memcpy(copy, message, length);
		((struct nlmsghdr *)copy)->nlmsg_len = length;
		assert_int_equal(vd_ruled_nft_parse((struct nlmsghdr *)copy, &rules), -EPROTO);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint32_t length = round % 2 ? message->nlmsg_len : MNL_NLMSG_HDRLEN + bytes_random_below(&seed, message->nlmsg_len - 16);
		uint8_t *copy = guarded.end - MNL_ALIGN(length);

		memcpy(copy, message, length);
		for (unsigned changes = bytes_random_below(&seed, 4); changes; changes--)
			copy[bytes_random_below(&seed, length)] = (uint8_t)bytes_random(&seed);
		((struct nlmsghdr *)copy)->nlmsg_len = length;
		rules.count = 0;
		(void)vd_ruled_nft_parse((struct nlmsghdr *)copy, &rules);
		found += rules.count;
		for (unsigned i = 0; i < rules.count; i++)
			assert_true(rules.rule[i].first <= rules.rule[i].last);
	}
	assert_true(found > ROUNDS / 10 && found < ROUNDS);
}

/* ---- which belong together ---- */

static bool is_wanted(const void *argument, uint16_t first, uint16_t last)
{
	unsigned queue = *(const unsigned *)argument;

	return queue > UINT16_MAX || (queue >= first && queue <= last);
}

static void ranges_that_overlap_are_one(void **state)
{
	static const struct vd_ruled_rule all[] = {{5, 9, false, true, 1},	{7, 7, true, true, 10},	    {0, 3, false, true, 100},
						   {9, 12, false, false, 1000}, {13, 13, false, true, 5}, {65535, 65535, true, true, 7},
						   {0, 0, false, true, 200}};
	struct vd_ruled_range_sum sums[8];
	unsigned queue = 1u << 16;

	(void)state;
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
		assert_int_equal(vd_ruled_add(&rules, &all[i]), 0);
	assert_int_equal(vd_ruled_sum(&rules, is_wanted, &queue, sums, 8), 4);
	assert_true(sums[0].first == 0 && sums[0].last == 3 && sums[0].packets == 300 && sums[0].rules == 2 && !sums[0].has_bypass);
	assert_true(sums[1].first == 5 && sums[1].last == 12 && sums[1].packets == 1011 && sums[1].rules == 3 && sums[1].has_bypass);
	assert_true(sums[1].uncounted == 1 && !sums[0].uncounted);
	assert_true(sums[2].first == 13 && sums[2].last == 13 && sums[2].packets == 5);
	assert_true(sums[3].first == 65535 && sums[3].last == 65535 && sums[3].has_bypass);
	queue = 8;
	assert_int_equal(vd_ruled_sum(&rules, is_wanted, &queue, sums, 8), 1);
	assert_int_equal(sums[0].first, 5);
	queue = 4;
	assert_int_equal(vd_ruled_sum(&rules, is_wanted, &queue, sums, 8), 0);
	queue = 1u << 16;
	assert_int_equal(vd_ruled_sum(&rules, is_wanted, &queue, sums, 2), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tables_are_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_known_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tables_that_are_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_offsets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tables_of_random_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_of_nf_tables_are_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_without_a_count_of_their_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_that_send_anywhere_or_nowhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(messages_of_random_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ranges_that_overlap_are_one, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
