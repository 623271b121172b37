/* SPDX-License-Identifier: MIT */
/*
 * What follows from what was seen. Pure: a view in, sentences out. Each says what is wrong, and what to do about it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor/doctor.h"

#define QUEUES 65536u

/* A set of queue numbers. */
struct set {
	uint64_t bits[QUEUES / 64];
};

static void set_add(struct set *set, uint32_t queue)
{
	set->bits[queue / 64] |= UINT64_C(1) << queue % 64;
}

static bool set_has(const struct set *set, uint32_t queue)
{
	return set->bits[queue / 64] >> queue % 64 & 1;
}

struct judge {
	const struct doctor_view *view;
	struct doctor_findings *findings;
	bool is_out_of_memory;
	bool knows_all_rules; /* every source could be read, and every rule understood */
	struct set is_read;   /* a socket has bound the queue */
	struct set is_sent;   /* a rule sends to it */
};

static int append(struct doctor_findings *findings, enum doctor_level level, const char *format, va_list arguments)
{
	findings->attention += level == DOCTOR_ATTENTION;
	if (findings->count >= DOCTOR_FINDINGS_MAX) {
		findings->left_out++;
		return 0;
	}
	if (findings->count == findings->capacity) {
		unsigned capacity = findings->capacity ? findings->capacity * 2 : 16;
		struct doctor_finding *larger = realloc(findings->finding, capacity * sizeof *larger);

		if (!larger)
			return -ENOMEM;
		findings->finding = larger;
		findings->capacity = capacity;
	}
	findings->finding[findings->count].level = level;
	vsnprintf(findings->finding[findings->count].text, sizeof findings->finding->text, format, arguments);
	findings->count++;
	return 0;
}

int doctor_findings_add(struct doctor_findings *findings, enum doctor_level level, const char *format, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, format);
	result = append(findings, level, format, arguments);
	va_end(arguments);
	return result;
}

__attribute__((format(printf, 3, 4))) static void find(struct judge *judge, enum doctor_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (append(judge->findings, level, format, arguments))
		judge->is_out_of_memory = true;
	va_end(arguments);
}

/* ---- the kernel and this process ---- */

static void judge_kernel(struct judge *judge)
{
	const struct doctor_kernel *kernel = &judge->view->kernel;

	if (!kernel->has_cap_net_admin)
		find(judge, DOCTOR_ATTENTION,
		     "CAP_NET_ADMIN is missing: the kernel cannot be asked for its features, and no queue can be read; run this as root");
	else if (!kernel->may_ask)
		find(judge, DOCTOR_ATTENTION,
		     "CAP_NET_ADMIN does not count here: this network namespace belongs to another user namespace");
	if (kernel->queues == DOCTOR_ABSENT)
		find(judge, DOCTOR_ATTENTION,
		     "the kernel has no nfnetlink_queue: load it with `modprobe nfnetlink_queue`, or use a kernel that has it");
	else if (kernel->queues == DOCTOR_FORBIDDEN)
		find(judge, DOCTOR_ATTENTION,
		     "only root may read /proc/net/netfilter/nfnetlink_queue: who reads which queue is not known");
	else if (kernel->may_ask && kernel->flags[DOCTOR_GSO])
		find(judge, DOCTOR_NOTE, "without the gso feature, large TCP packets are cut before they are queued: slower, not wrong");
}

static void judge_limits(struct judge *judge)
{
	const struct doctor_kernel *kernel = &judge->view->kernel;
	size_t wanted = kernel->wanted_bytes[DOCTOR_WHOLE], granted = kernel->granted_bytes[DOCTOR_WHOLE];

	if (granted >= wanted)
		return;
	if (kernel->has_cap_net_admin) /* but not in the first user namespace, where it passes over the limit */
		find(judge, DOCTOR_ATTENTION,
		     "the receive buffer gets %zu bytes, and the default queue length needs %zu: packets are lost in bursts; set"
		     " net.core.rmem_max to %zu (sysctl -w), or give the reader a smaller --maxlen",
		     granted, wanted, wanted / 2);
	else
		find(judge, DOCTOR_HINT,
		     "without CAP_NET_ADMIN the receive buffer gets %zu bytes of the %zu that the default queue length needs; with it, no"
		     " limit applies; or set net.core.rmem_max to %zu (sysctl -w)",
		     granted, wanted, wanted / 2);
}

static void judge_sources(struct judge *judge)
{
	const struct doctor_sources *sources = &judge->view->sources;
	bool may_ask = judge->view->kernel.may_ask;
	unsigned installed = 0, failed = 0;

	judge->knows_all_rules = judge->view->rules.left_out == 0;
	for (unsigned i = 0; i < sources->count; i++) {
		const struct doctor_source *source = &sources->source[i];

		installed += source->state != DOCTOR_NOT_INSTALLED;
		if (source->state == DOCTOR_FAILED) {
			judge->knows_all_rules = false;
			failed++;
			if (may_ask)
				find(judge, DOCTOR_HINT, "the rules of %s could not be read: %s", source->name, source->why);
		}
	}
	if (failed && !may_ask)
		find(judge, DOCTOR_HINT, "not all rules could be read, for the same reason");
	if (installed == 0) {
		judge->knows_all_rules = false;
		find(judge, DOCTOR_HINT, "neither iptables nor nft is installed: which rules send packets to queues is not known");
	}
	if (judge->view->rules.left_out)
		find(judge, DOCTOR_HINT, "%u more rules that queue were not looked at", judge->view->rules.left_out);
}

/* ---- rules ---- */

/* The last queue that the rule can choose: with fanout it adds the number of the CPU. */
static uint32_t last_of(const struct judge *judge, const struct doctor_rule *rule)
{
	uint32_t last = rule->queue_last;

	if (rule->has_fanout && last - rule->queue_first >= judge->view->cpus)
		last = rule->queue_first + judge->view->cpus - 1;
	return last;
}

/* The queues of the rule that nobody reads, as "1-3, 6"; returns how many. */
static unsigned list_unread(const struct judge *judge, const struct doctor_rule *rule, char *text, size_t size)
{
	uint32_t last = last_of(judge, rule);
	unsigned count = 0;
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t first = rule->queue_first; first <= last; first++) {
		uint32_t end = first;

		if (set_has(&judge->is_read, first))
			continue;
		while (end < last && !set_has(&judge->is_read, end + 1))
			end++;
		count += end - first + 1;
		if (used + sizeof ", 65535-65535, ..." <= size)
			used += (size_t)snprintf(text + used, size - used, end > first ? "%s%u-%u" : "%s%u", used ? ", " : "", first, end);
		else if (used && text[used - 1] != '.')
			used += (size_t)snprintf(text + used, size - used, ", ...");
		first = end;
	}
	return count;
}

static const char *how_to_bypass(const struct doctor_rule *rule)
{
	if (rule->is_plain_queue)
		return "write -j NFQUEUE --queue-num 0 --queue-bypass instead of -j QUEUE";
	return rule->back_end == DOCTOR_NFT ? "write `queue flags bypass to` in the rule" : "add --queue-bypass to the rule";
}

static void judge_unread(struct judge *judge, const struct doctor_rule *rule, const char *place, const char *unread, unsigned count)
{
	const char *plural = count > 1 ? "s" : "", *them = count > 1 ? "them" : "it";

	if (rule->has_bypass)
		find(judge, DOCTOR_NOTE, "queue%s %s: nobody reads %s; packets of the rule in %s pass undecided (it has bypass)", plural,
		     unread, them, place);
	else
		find(judge, DOCTOR_ATTENTION,
		     "queue%s %s: nobody reads %s; packets of the rule in %s are dropped: start a reader, or %s", plural, unread, them,
		     place, how_to_bypass(rule));
}

static void judge_bypass(struct judge *judge, const struct doctor_rule *rule, const char *place)
{
	char queues[32] = "queues";

	if (rule->is_known)
		snprintf(queues, sizeof queues, rule->queue_last > rule->queue_first ? "queues %u-%u" : "queue %u", rule->queue_first,
			 rule->queue_last);
	find(judge, DOCTOR_HINT, "%s: the rule in %s has no bypass: while nobody reads, packets are dropped; if they should pass, %s",
	     queues, place, how_to_bypass(rule));
}

static void judge_rule(struct judge *judge, const struct doctor_rule *rule)
{
	char place[2 * DOCTOR_NAME_SIZE + 32], unread[120];
	unsigned count = 0;

	snprintf(place, sizeof place, "%s %s %s", rule->family, rule->table, rule->chain);
	if (!rule->is_known) {
		judge->knows_all_rules = false;
		find(judge, DOCTOR_NOTE, "the rule in %s sends packets to queues that its text does not tell: not checked", place);
	} else {
		for (uint32_t queue = rule->queue_first; queue <= last_of(judge, rule); queue++)
			set_add(&judge->is_sent, queue);
		if (judge->view->kernel.queues != DOCTOR_FORBIDDEN)
			count = list_unread(judge, rule, unread, sizeof unread);
	}
	if (count)
		judge_unread(judge, rule, place, unread, count);
	else if (!rule->has_bypass && (rule->is_known || rule->is_computed))
		judge_bypass(judge, rule, place);
}

/* ---- queues ---- */

static void judge_queue(struct judge *judge, const struct doctor_queue *queue)
{
	const struct vd_nfq_status *status = &queue->status;

	if (!set_has(&judge->is_sent, status->queue))
		find(judge, judge->knows_all_rules ? DOCTOR_ATTENTION : DOCTOR_HINT,
		     "queue %u is read, but no rule %ssends packets to it: add a rule, or stop its reader", status->queue,
		     judge->knows_all_rules ? "" : "that could be checked ");
	if (status->queue_dropped)
		find(judge, DOCTOR_ATTENTION,
		     "queue %u was full: %u packets dropped since its reader began; give the reader a larger --maxlen, more --workers, or"
		     " --fail-open to let packets pass",
		     status->queue, status->queue_dropped);
	if (status->user_dropped)
		find(judge, DOCTOR_ATTENTION,
		     "queue %u's receive buffer was full: %u packets lost since its reader began (with --fail-open, passed undecided); give"
		     " the reader a larger --maxlen or more --workers",
		     status->queue, status->user_dropped);
	if (queue->is_stuck)
		find(judge, DOCTOR_ATTENTION,
		     "queue %u: %u packets wait, and none was answered in %d ms: its reader is stuck, or holds them on purpose",
		     status->queue, status->waiting, DOCTOR_WATCH_MS);
}

int doctor_findings_make(struct doctor_findings *findings, const struct doctor_view *view)
{
	struct judge *judge = calloc(1, sizeof *judge);
	bool is_out_of_memory;

	*findings = (struct doctor_findings){0};
	if (!judge)
		return -ENOMEM;
	judge->view = view;
	judge->findings = findings;
	for (unsigned i = 0; i < view->queues.count; i++)
		set_add(&judge->is_read, view->queues.queue[i].status.queue);
	judge_kernel(judge);
	judge_limits(judge);
	judge_sources(judge);
	for (unsigned i = 0; i < view->rules.count; i++)
		judge_rule(judge, &view->rules.rule[i]);
	for (unsigned i = 0; i < view->queues.count; i++)
		judge_queue(judge, &view->queues.queue[i]);
	is_out_of_memory = judge->is_out_of_memory || doctor_levers_judge(findings, view);
	free(judge);
	return is_out_of_memory ? -ENOMEM : 0;
}

void doctor_findings_fini(struct doctor_findings *findings)
{
	free(findings->finding);
	*findings = (struct doctor_findings){0};
}
