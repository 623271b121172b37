/* SPDX-License-Identifier: MIT */
/*
 * What would make packets faster on the kernel's side. Pure, as findings.c: a view in, sentences out.
 *
 * Nobody is told what does not concern him: a hint is given only for queues through which a good many packets went, and
 * only where it is seen that the lever is not in use. One of each kind is enough. None says that something is wrong, so
 * none is DOCTOR_ATTENTION. What each gains is measured by bench/net/levers.
 */
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tools/doctor/doctor.h"

/* Fewer packets than this, since the reader began, need not be fast. */
#define BUSY_PACKETS 10000u

/* So many that wait have left the caches of most CPUs: 832 bytes each, at least. */
#define LONG_QUEUE 8192u

#define WHOLE_PACKETS 65531u

#define PLACE_SIZE (2 * DOCTOR_NAME_SIZE + 32)

/* What the queues of a rule have seen, all together. */
static uint64_t packets_of(const struct doctor_view *view, const struct doctor_rule *rule)
{
	uint64_t packets = 0;

	for (unsigned i = 0; rule->is_known && i < view->queues.count; i++) {
		const struct vd_nfq_status *status = &view->queues.queue[i].status;
		/* fan-out never goes beyond the range */
		if (status->queue >= rule->queue_first && status->queue <= rule->queue_last)
			packets += status->id_sequence;
	}
	return packets;
}

static bool is_busy(const struct doctor_view *view, const struct doctor_rule *rule)
{
	return packets_of(view, rule) >= BUSY_PACKETS;
}

static const char *place_of(const struct doctor_rule *rule, char place[static PLACE_SIZE])
{
	snprintf(place, PLACE_SIZE, "%s %s %s", rule->family, rule->table, rule->chain);
	return place;
}

/* The device through which most packets came. NULL if none can be told. */
static const struct doctor_device *busiest_device(const struct doctor_devices *devices)
{
	const struct doctor_device *busiest = NULL;

	for (unsigned i = 0; i < devices->count; i++)
		if (devices->device[i].rx_packets > (busiest ? busiest->rx_packets : 0))
			busiest = &devices->device[i];
	return busiest;
}

/* ---- queues ---- */

static int judge_length(struct doctor_findings *findings, const struct doctor_view *view)
{
	for (unsigned i = 0; i < view->queues.count; i++) {
		const struct doctor_queue *queue = &view->queues.queue[i];

		if (queue->status.waiting >= LONG_QUEUE && !queue->is_stuck)
			return doctor_findings_add(findings, DOCTOR_HINT,
						   "queue %u: %u packets wait: a queue that long leaves the CPU's caches, which makes each packet"
						   " slower, and late; it helps to outlast a burst, but where packets keep coming faster than they are"
						   " decided, --maxlen 1024 is the better length for the reader",
						   queue->status.queue, queue->status.waiting);
	}
	return 0;
}

/* `verdict run` knows what its functions need. */
static bool knows_what_it_copies(const struct doctor_queue *queue)
{
	return queue->owner_count == 1 && strcmp(queue->owners[0].name, "verdict") == 0;
}

static int judge_copies(struct doctor_findings *findings, const struct doctor_view *view)
{
	for (unsigned i = 0; i < view->queues.count; i++) {
		const struct doctor_queue *queue = &view->queues.queue[i];

		if (queue->status.copy_mode == NFQNL_COPY_PACKET && queue->status.copy_range >= WHOLE_PACKETS &&
		    queue->status.id_sequence >= BUSY_PACKETS && !knows_what_it_copies(queue))
			return doctor_findings_add(findings, DOCTOR_HINT,
						   "queue %u: whole packets are copied to its reader; if it decides by their headers, have it ask for a"
						   " copy range of %u bytes (nfq_set_mode() in libnetfilter_queue, or NFQA_CFG_PARAMS)",
						   queue->status.queue, DOCTOR_HEADERS_COPY_RANGE);
	}
	return 0;
}

/* ---- rules ---- */

static int judge_fanout(struct doctor_findings *findings, const struct doctor_view *view)
{
	char place[PLACE_SIZE];

	if (view->cpus < 2 || view->devices.receiving_cpus < 2)
		return 0;
	for (unsigned i = 0; i < view->rules.count; i++) {
		const struct doctor_rule *rule = &view->rules.rule[i];

		if (rule->queue_last > rule->queue_first && !rule->has_fanout && !rule->is_computed && is_busy(view, rule))
			return doctor_findings_add(findings, DOCTOR_HINT,
						   "queues %u-%u: the rule in %s chooses one by address, and packets arrive on %u CPUs: with %s each"
						   " stays on the CPU where it arrived, and packets of two hosts no longer all meet in one queue",
						   rule->queue_first, rule->queue_last, place_of(rule, place), view->devices.receiving_cpus,
						   rule->back_end == DOCTOR_NFT ? "`queue flags fanout to`" : "--queue-cpu-fanout");
	}
	return 0;
}

/* Whether the rule queues only the beginning of a connection already. */
static bool is_about_beginnings(const struct doctor_rule *rule)
{
	static const char *const words[] = {"--syn", "--tcp-flags", "ctstate NEW", "state NEW", "tcp flags", "ct state new"};

	for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
		if (strstr(rule->text, words[i]))
			return true;
	return false;
}

static int judge_flows(struct doctor_findings *findings, const struct doctor_view *view)
{
	char place[PLACE_SIZE];

	if (view->rules.has_flow_mark)
		return 0;
	for (unsigned i = 0; i < view->rules.count; i++) {
		const struct doctor_rule *rule = &view->rules.rule[i];

		if (rule->is_tcp && !is_about_beginnings(rule) && is_busy(view, rule))
			return doctor_findings_add(findings, DOCTOR_HINT,
						   "the rule in %s queues every packet of a TCP connection: if the first ones decide, a connection mark"
						   " keeps the rest out of the queue (`first` in verdict-functions(7) has the rules for that)",
						   place_of(rule, place));
	}
	return 0;
}

/* With NAT, or where connections are marked, they have to be tracked. */
static int judge_tracking(struct doctor_findings *findings, const struct doctor_view *view)
{
	char place[PLACE_SIZE];

	if (!view->devices.tracked_connections || view->rules.has_notrack || view->rules.has_nat || view->rules.has_flow_mark)
		return 0;
	for (unsigned i = 0; i < view->rules.count; i++) {
		const struct doctor_rule *rule = &view->rules.rule[i];

		if (is_busy(view, rule))
			return doctor_findings_add(findings, DOCTOR_NOTE,
						   "connections are tracked (%llu now), those of the rule in %s as well: flows for which no rule asks"
						   " the state are faster without, by %s",
						   (unsigned long long)view->devices.tracked_connections, place_of(rule, place),
						   rule->back_end == DOCTOR_NFT ? "`notrack` in a chain of priority raw" :
										  "-j CT --notrack in the raw table");
	}
	return 0;
}

/* ---- devices ---- */

static bool has_losses(const struct doctor_view *view)
{
	for (unsigned i = 0; i < view->queues.count; i++)
		if (view->queues.queue[i].status.queue_dropped || view->queues.queue[i].status.user_dropped)
			return true;
	return false;
}

static int judge_spreading(struct doctor_findings *findings, const struct doctor_view *view)
{
	const struct doctor_device *device = busiest_device(&view->devices);

	if (view->cpus < 2 || !device || device->rx_queues != 1 || !device->knows_rps || device->has_rps ||
	    device->rx_packets < BUSY_PACKETS || !has_losses(view))
		return 0;
	return doctor_findings_add(findings, DOCTOR_HINT,
				   "%s has one receive queue, so one CPU receives all its packets, and queues lose some: if other CPUs are idle"
				   " then (not if they are all busy), let them help by a mask of them in /sys/class/net/%s/queues/rx-0/rps_cpus",
				   device->name, device->name);
}

/* A chain that packets on their way through go past, as far as its name says. */
static bool may_forward(const struct doctor_rule *rule)
{
	return strcasecmp(rule->chain, "input") && strcasecmp(rule->chain, "output");
}

static int judge_joining(struct doctor_findings *findings, const struct doctor_view *view)
{
	const struct doctor_device *device = busiest_device(&view->devices);
	char place[PLACE_SIZE];

	if (!view->devices.is_forwarding || !device || device->udp_gro_forwarding != DOCTOR_OFF || view->kernel.flags[DOCTOR_GSO])
		return 0;
	for (unsigned i = 0; i < view->rules.count; i++) {
		const struct doctor_rule *rule = &view->rules.rule[i];

		if (rule->is_udp && may_forward(rule) && is_busy(view, rule))
			return doctor_findings_add(findings, DOCTOR_HINT,
						   "the rule in %s queues UDP that is forwarded: the kernel can join what follows each other in a flow"
						   " before that, so that one verdict is for up to 64 packets: ethtool -K %s rx-udp-gro-forwarding on",
						   place_of(rule, place), device->name);
	}
	return 0;
}

int doctor_levers_judge(struct doctor_findings *findings, const struct doctor_view *view)
{
	static int (*const judges[])(struct doctor_findings *, const struct doctor_view *) = {
		judge_length, judge_copies, judge_fanout, judge_flows, judge_tracking, judge_spreading, judge_joining,
	};
	int result = 0;

	for (unsigned i = 0; i < sizeof judges / sizeof *judges && !result; i++)
		result = judges[i](findings, view);
	return result;
}
