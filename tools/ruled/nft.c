/* SPDX-License-Identifier: MIT */
/*
 * Rules of nf_tables. A rule is a list of expressions, and each counts, compares, or does something:
 *
 *	NFTA_RULE_EXPRESSIONS
 *		NFTA_LIST_ELEM	NFTA_EXPR_NAME "cmp"	 ...
 *		NFTA_LIST_ELEM	NFTA_EXPR_NAME "counter" NFTA_EXPR_DATA: NFTA_COUNTER_PACKETS
 *		NFTA_LIST_ELEM	NFTA_EXPR_NAME "queue"	 NFTA_EXPR_DATA: NFTA_QUEUE_NUM, _TOTAL, _FLAGS; or _SREG_QNUM
 *
 * iptables-nft has "target" instead: NFTA_TARGET_NAME "NFQUEUE", _REV and _INFO, which is what iptables-legacy has. A counter counts
 * what came as far as it; so it tells what was queued only if nothing stands behind it that could let a packet go.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>

#include "tools/ruled/private.h"

#define SEND_SIZE 256
#define RECEIVE_SIZE 32768 /* as much as the kernel puts into one message of a dump */

/* ---- a rule ---- */

#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ATTRIBUTES_MAX MAX(MAX(NFTA_RULE_MAX, NFTA_EXPR_MAX), MAX(MAX(NFTA_COUNTER_MAX, NFTA_QUEUE_MAX), NFTA_TARGET_MAX))

/* Those of one list, by their types; what is not known here is left out. */
struct attributes {
	const struct nlattr *of[ATTRIBUTES_MAX + 1];
};

static int put(const struct nlattr *attribute, void *data)
{
	struct attributes *attributes = data;

	if (mnl_attr_get_type(attribute) <= ATTRIBUTES_MAX)
		attributes->of[mnl_attr_get_type(attribute)] = attribute;
	return MNL_CB_OK;
}

static struct attributes read_nested(const struct nlattr *nest)
{
	struct attributes attributes = {{0}};

	if (nest)
		mnl_attr_parse_nested(nest, put, &attributes);
	return attributes;
}

/* A number in network order, of 2, 4 or 8 bytes; 0: there is none. */
static uint64_t number(const struct nlattr *attribute)
{
	const uint8_t *bytes = attribute ? mnl_attr_get_payload(attribute) : NULL;
	unsigned size = attribute ? mnl_attr_get_payload_len(attribute) : 0;
	uint64_t value = 0;

	for (unsigned i = 0; i < size && i < sizeof value; i++)
		value = value << 8 | bytes[i];
	return value;
}

static bool is_text(const struct nlattr *attribute, const char *text)
{
	return attribute && mnl_attr_get_payload_len(attribute) == strlen(text) + 1 &&
	       !memcmp(mnl_attr_get_payload(attribute), text, strlen(text) + 1);
}

/* What is known of a rule, expression by expression. */
struct progress {
	struct vd_ruled_rule rule;
	bool queues;
	bool is_computed;
};

static void read_queue(struct progress *progress, const struct nlattr *data)
{
	struct attributes attributes = read_nested(data);
	uint64_t first = number(attributes.of[NFTA_QUEUE_NUM]), total = number(attributes.of[NFTA_QUEUE_TOTAL]);

	progress->queues = true;
	if (!total)
		total = 1;
	progress->is_computed = !attributes.of[NFTA_QUEUE_NUM] || first + total - 1 > UINT16_MAX;
	if (progress->is_computed)
		return;
	progress->rule.first = (uint16_t)first;
	progress->rule.last = (uint16_t)(first + total - 1);
	progress->rule.has_bypass = number(attributes.of[NFTA_QUEUE_FLAGS]) & NFT_QUEUE_FLAG_BYPASS;
}

static void read_target(struct progress *progress, const struct nlattr *data)
{
	struct attributes attributes = read_nested(data);
	const struct nlattr *info = attributes.of[NFTA_TARGET_INFO];

	if (!is_text(attributes.of[NFTA_TARGET_NAME], "NFQUEUE"))
		return;
	progress->queues = true;
	progress->is_computed = !info || !vd_ruled_legacy_target(mnl_attr_get_payload(info), mnl_attr_get_payload_len(info),
								 (unsigned)number(attributes.of[NFTA_TARGET_REV]), &progress->rule);
}

static void read_expression(struct progress *progress, const struct nlattr *element)
{
	struct attributes expression = read_nested(element);
	const struct nlattr *name = expression.of[NFTA_EXPR_NAME], *data = expression.of[NFTA_EXPR_DATA];

	if (progress->queues) /* nothing comes behind it */
		return;
	if (is_text(name, "queue")) {
		read_queue(progress, data);
	} else if (is_text(name, "target")) {
		read_target(progress, data);
	} else if (is_text(name, "counter")) {
		struct attributes counter = read_nested(data);

		progress->rule.is_counted = counter.of[NFTA_COUNTER_PACKETS];
		progress->rule.packets = number(counter.of[NFTA_COUNTER_PACKETS]);
	} else if (!is_text(name, "log")) {
		progress->rule.is_counted = false;
	}
}

int vd_ruled_nft_parse(const struct nlmsghdr *message, struct vd_ruled_rules *rules)
{
	struct attributes attributes = {{0}};
	struct progress progress = {0};
	const struct nlattr *element, *expressions;

	if (message->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg) ||
	    mnl_attr_parse(message, sizeof(struct nfgenmsg), put, &attributes) < 0)
		return -EPROTO;
	expressions = attributes.of[NFTA_RULE_EXPRESSIONS];
	if (!expressions)
		return 0;
	mnl_attr_for_each_nested(element, expressions)
		read_expression(&progress, element);
	if (!progress.queues)
		return 0;
	if (progress.is_computed) {
		rules->has_computed = true;
		return 0;
	}
	if (!progress.rule.is_counted)
		progress.rule.packets = 0;
	return vd_ruled_add(rules, &progress.rule);
}

/* ---- all of them ---- */

/* Any message for nf_tables makes the kernel load it. */
static bool is_there(void)
{
	char path[sizeof "/lib/modules//modules.builtin" + sizeof(((struct utsname *)0)->release)], line[512];
	struct utsname name;
	bool is_built_in = false;
	FILE *file;

	if (access("/proc/modules", F_OK) || !access("/sys/module/nf_tables", F_OK)) /* there are no modules, or this one is loaded */
		return true;
	if (uname(&name))
		return false;
	snprintf(path, sizeof path, "/lib/modules/%s/modules.builtin", name.release);
	file = fopen(path, "re");
	while (file && !is_built_in && fgets(line, sizeof line, file))
		is_built_in = strstr(line, "/nf_tables.ko");
	if (file)
		fclose(file);
	return is_built_in;
}

/* What is asked for, all families. */
static int ask(struct vd_ruled_nft *nft)
{
	_Alignas(NLMSG_ALIGNTO) char request[SEND_SIZE] = {0};
	struct nlmsghdr *message = mnl_nlmsg_put_header(request);
	struct nfgenmsg *netfilter = mnl_nlmsg_put_extra_header(message, sizeof *netfilter);

	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = ++nft->sequence;
	netfilter->nfgen_family = NFPROTO_UNSPEC;
	netfilter->version = NFNETLINK_V0;
	return mnl_socket_sendto(nft->socket, message, message->nlmsg_len) < 0 ? -errno : 0;
}

/* A message of the answer. True: it was the last one. What failed is remembered, and the rest is read all the same. */
static bool take(const struct nlmsghdr *message, struct vd_ruled_rules *rules, int *result)
{
	int code = 0;

	if (message->nlmsg_type == NLMSG_ERROR && message->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof code) {
		memcpy(&code, mnl_nlmsg_get_payload(message), sizeof code);
		if (!*result && code != -EINVAL && code != -EOPNOTSUPP) /* a kernel without nf_tables does not know what was asked */
			*result = code;
	} else if (!*result && message->nlmsg_flags & NLM_F_DUMP_INTR) {
		*result = -EINTR;
	} else if (!*result && message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE)) {
		*result = vd_ruled_nft_parse(message, rules);
	}
	return message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE;
}

int vd_ruled_nft_read(struct vd_ruled_nft *nft, struct vd_ruled_rules *rules)
{
	_Alignas(NLMSG_ALIGNTO) char answer[RECEIVE_SIZE];
	bool is_last = false;
	int result, failed = 0;

	if (!nft->socket || (!nft->is_there && !(nft->is_there = is_there())))
		return 0;
	result = ask(nft);
	while (!result && !is_last) {
		ssize_t got = mnl_socket_recvfrom(nft->socket, answer, sizeof answer);
		int left = (int)got;

		if (got < 0)
			return -errno;
		for (const struct nlmsghdr *message = (const struct nlmsghdr *)answer; mnl_nlmsg_ok(message, left) && !is_last;
		     message = mnl_nlmsg_next(message, &left))
			if (message->nlmsg_seq == nft->sequence) /* else of a dump before, that came to no end */
				is_last = take(message, rules, &failed);
	}
	return result ? result : failed;
}

/* ---- life ---- */

void vd_ruled_nft_open(struct vd_ruled_nft *nft)
{
	*nft = (struct vd_ruled_nft){.socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC)};
	if (nft->socket && mnl_socket_bind(nft->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		vd_ruled_nft_close(nft);
}

void vd_ruled_nft_close(struct vd_ruled_nft *nft)
{
	if (nft->socket)
		mnl_socket_close(nft->socket);
	nft->socket = NULL;
}
