/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "tools/config/origin.h"
#include "tools/config/values.h"
#include "tools/rules/rules.h"

const char *const vd_rules_backend_names[VD_RULES_BACKEND_COUNT] = {"iptables-legacy", "iptables-nft", "nft"};
const char *const vd_rules_hook_names[VD_RULES_HOOK_COUNT] = {"prerouting", "input", "forward", "output", "postrouting"};

#define BIT(hook) (1u << (hook))
#define HOOKS_WITH_IN (BIT(VD_RULES_PREROUTING) | BIT(VD_RULES_INPUT) | BIT(VD_RULES_FORWARD))
#define HOOKS_WITH_OUT (BIT(VD_RULES_FORWARD) | BIT(VD_RULES_OUTPUT) | BIT(VD_RULES_POSTROUTING))

bool vd_rules_hook_has_in(enum vd_rules_hook hook)
{
	return BIT(hook) & HOOKS_WITH_IN;
}

bool vd_rules_hook_has_out(enum vd_rules_hook hook)
{
	return BIT(hook) & HOOKS_WITH_OUT;
}

/* ---- values ---- */

/* The place of the first `length` bytes among `names`; `count`: they are none of them. */
static unsigned find(const char *text, size_t length, const char *const *names, unsigned count)
{
	unsigned i = 0;

	while (i < count && (strlen(names[i]) != length || strncmp(names[i], text, length) != 0))
		i++;
	return i;
}

bool vd_rules_read_hooks(const char *text, unsigned *hooks)
{
	unsigned seen = 0;

	for (;; text++) {
		size_t length = strcspn(text, ",");
		unsigned hook = find(text, length, vd_rules_hook_names, VD_RULES_HOOK_COUNT);

		if (hook == VD_RULES_HOOK_COUNT)
			return false;
		seen |= BIT(hook);
		text += length;
		if (!*text)
			break;
	}
	*hooks |= seen;
	return true;
}

bool vd_rules_read_backend(const char *text, enum vd_rules_backend *backend)
{
	unsigned found = find(text, strlen(text), vd_rules_backend_names, VD_RULES_BACKEND_COUNT);

	if (found == VD_RULES_BACKEND_COUNT && strcmp(text, "auto"))
		return false;
	*backend = (enum vd_rules_backend)found; /* auto is behind the last */
	return true;
}

bool vd_rules_read_families(const char *text, bool families[VD_RULES_FAMILY_COUNT])
{
	static const char *const names[] = {"ipv4", "ipv6", "both"};
	unsigned found = find(text, strlen(text), names, 3);

	if (found == 3)
		return false;
	families[VD_RULES_IPV4] = found != VD_RULES_IPV6;
	families[VD_RULES_IPV6] = found != VD_RULES_IPV4;
	return true;
}

bool vd_rules_read_mark(const char *text, uint32_t *mark, uint32_t *mask)
{
	size_t length = strcspn(text, "/");
	uint64_t value, bits = UINT32_MAX;
	char first[32];

	if (length >= sizeof first)
		return false;
	memcpy(first, text, length);
	first[length] = '\0';
	if (!vd_value_number(first, 1, UINT32_MAX, &value) ||
	    (text[length] && !vd_value_number(text + length + 1, 1, UINT32_MAX, &bits)) || value & ~bits)
		return false;
	*mark = (uint32_t)value;
	*mask = (uint32_t)bits;
	return true;
}

bool vd_rules_read_interface(const char *text)
{
	size_t length = strlen(text);

	if (!length || length >= IFNAMSIZ || *text == '-' || *text == '+')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("._:@-", text[i]) && (text[i] != '+' || i + 1 < length))
			return false;
	return true;
}

bool vd_rules_read_protocol(const char *text)
{
	static const char *const names[] = {"tcp", "udp", "udplite", "sctp", "dccp", "icmp", "esp", "ah", "gre"};
	uint64_t number;

	return find(text, strlen(text), names, sizeof names / sizeof *names) < sizeof names / sizeof *names ||
	       (isdigit((unsigned char)*text) && strspn(text, "0123456789") == strlen(text) && *text != '0' &&
		vd_value_number(text, 1, 255, &number));
}

/* ---- what does not go together ---- */

/* Any of these in the middle of a rule would end it, and begin another. */
static int check_match(const char *match, enum vd_rules_backend backend, struct vd_error *error)
{
	for (const char *c = match; *c; c++)
		if (iscntrl((unsigned char)*c))
			return vd_error_set(error, -EINVAL, "--match takes one line of text, without control characters");
	if (!*match || strspn(match, " ") == strlen(match))
		return vd_error_set(error, -EINVAL, "--match takes conditions of %s, not ''", vd_rules_backend_names[backend]);
	if (backend == VD_RULES_NFT && strpbrk(match, ";#"))
		return vd_error_set(error, -EINVAL, "--match takes conditions for one rule: without ';' and '#'");
	if (backend != VD_RULES_NFT && *match != '-' && *match != '!')
		return vd_error_set(error, -EINVAL, "--match takes conditions of iptables, as in '-s 192.0.2.0/24', not '%.100s'", match);
	return 0;
}

/* In a hook where an interface is given and the packets do not have it, they would all be queued. */
static int check_interfaces(const struct vd_rules_plan *plan, struct vd_error *error)
{
	unsigned with = (plan->in ? HOOKS_WITH_IN : 0) | (plan->out ? HOOKS_WITH_OUT : 0);

	for (unsigned hook = 0; (plan->in || plan->out) && hook < VD_RULES_HOOK_COUNT; hook++)
		if (plan->hooks & BIT(hook) & ~with)
			return vd_error_set(error, -EINVAL, "packets in %s have no %s interface: say %s as well, or leave %s out",
					    vd_rules_hook_names[hook], plan->in ? "incoming" : "outgoing",
					    plan->in ? "--out" : "--in", plan->in ? "--in" : "--out");
	if (plan->in && !(plan->hooks & HOOKS_WITH_IN))
		return vd_error_set(error, -EINVAL, "--in %s says nothing: packets in these hooks have no incoming interface", plan->in);
	if (plan->out && !(plan->hooks & HOOKS_WITH_OUT))
		return vd_error_set(error, -EINVAL, "--out %s says nothing: packets in these hooks have no outgoing interface", plan->out);
	return 0;
}

static int check_marks(const struct vd_rules_plan *plan, enum vd_rules_backend backend, struct vd_error *error)
{
	if (!plan->connmask)
		return 0;
	if (plan->reject_mark && (plan->reject_mark & plan->connmask) == plan->connmark)
		return vd_error_set(error, -EINVAL,
				    "answers with the mark 0x%x have the mark of decided connections in them, 0x%x/0x%x: choose another one",
				    plan->reject_mark, plan->connmark, plan->connmask);
	if (backend != VD_RULES_NFT && plan->hooks & BIT(VD_RULES_POSTROUTING))
		return vd_error_set(error, -EINVAL,
				    "--connmark cannot be with --hook postrouting and %s, which has no chain behind it that could see the mark: "
				    "choose --hook forward,output, or --backend nft",
				    vd_rules_backend_names[backend]);
	return 0;
}

int vd_rules_check(const struct vd_rules_plan *plan, enum vd_rules_backend backend, struct vd_error *error)
{
	int result = plan->match ? check_match(plan->match, backend, error) : 0;

	if (!result)
		result = check_interfaces(plan, error);
	if (!result)
		result = check_marks(plan, backend, error);
	if (!result && plan->has_fanout && plan->queue_first == plan->queue_last)
		return vd_error_set(error, -EINVAL, "--cpu-fanout needs several queues to choose from: --queue A-B");
	return result;
}

/* ---- words ---- */

const char *vd_rules_queues(const struct vd_rules_plan *plan, char room[VD_RULES_QUEUES_SIZE])
{
	if (plan->queue_first == plan->queue_last)
		snprintf(room, VD_RULES_QUEUES_SIZE, "queue %u", plan->queue_first);
	else
		snprintf(room, VD_RULES_QUEUES_SIZE, "queues %u-%u", plan->queue_first, plan->queue_last);
	return room;
}

void vd_rules_write_why_queue(FILE *file, const struct vd_rules_plan *plan, const char *indent)
{
	char queues[VD_RULES_QUEUES_SIZE];

	fprintf(file, "%s# %s to %s, and while nobody reads %s\n", indent,
		plan->protocol || plan->match || plan->in || plan->out ? "what fits goes" : "the rest goes", vd_rules_queues(plan, queues),
		plan->has_bypass ? "there it passes (bypass)" : "there it is dropped (no bypass)");
	if (plan->queue_first != plan->queue_last)
		fprintf(file, "%s# %s\n", indent,
			plan->has_fanout ? "the CPU on which a packet comes chooses the queue: each flow has to come on one" :
					   "a hash of the addresses chooses the queue: a connection keeps to one");
	fprintf(file, "%s# whether packets pass when a queue is full is not for the rule to say: verdict run --fail-open\n", indent);
}

void vd_rules_write_head(FILE *file, const struct vd_rules_plan *plan, const char *program)
{
	char queues[VD_RULES_QUEUES_SIZE], shown[VD_SHOWN_SIZE];

	fprintf(file, "# Sends packets to %s. Made by `verdict rules`, and with --apply set by it: then a later set replaces it.\n",
		vd_rules_queues(plan, queues));
	fprintf(file, "# `verdict rules --remove --apply` takes it away as a whole.\n");
	if (plan->netns)
		fprintf(file, "# It is for another network namespace: nsenter --net=%s%s %s FILE\n", *plan->netns == '/' ? "" : "/run/netns/",
			vd_show_text(plan->netns, shown), program);
}
