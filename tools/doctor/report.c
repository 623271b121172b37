/* SPDX-License-Identifier: MIT */
/*
 * What was seen and found, for a person (text) or for a program (JSON). Both say the same.
 */
#include <errno.h>
#include <jansson.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <string.h>

#include "tools/doctor/doctor.h"

static const char *const copy_modes[] = {[NFQNL_COPY_NONE] = "none", [NFQNL_COPY_META] = "meta", [NFQNL_COPY_PACKET] = "packet"};

static const char *const levels[] = {[DOCTOR_ATTENTION] = "attention", [DOCTOR_HINT] = "hint", [DOCTOR_NOTE] = "note"};

static const char *copy_mode(const struct vd_nfq_status *status)
{
	return status->copy_mode < sizeof copy_modes / sizeof *copy_modes ? copy_modes[status->copy_mode] : "unknown";
}

/* ---- text ---- */

static void print_kernel(const struct doctor_kernel *kernel)
{
	static const char *const access[] = {[DOCTOR_READABLE] = "yes", [DOCTOR_ABSENT] = "no", [DOCTOR_FORBIDDEN] = "unknown"};

	printf("kernel\n  %-16s %-8s %s\n", "nfnetlink_queue", access[kernel->queues], "packets can be queued for programs");
	for (unsigned i = 0; i < DOCTOR_FLAG_COUNT; i++)
		printf("  %-16s %-8s %s\n", doctor_flag_names[i],
		       kernel->flags[i] == 0 ? "yes" : kernel->flags[i] == -EPERM ? "unknown" : "no", doctor_flag_uses[i]);
}

static void print_owners(const struct doctor_queue *queue)
{
	if (queue->owner_count == 0)
		printf("process not visible from here");
	for (int i = 0; i < queue->owner_count && i < DOCTOR_OWNERS_MAX; i++)
		printf("%s%s, pid %d", i ? "; " : "", queue->owners[i].name, queue->owners[i].pid);
	if (queue->owner_count > DOCTOR_OWNERS_MAX)
		printf("; and %d more", queue->owner_count - DOCTOR_OWNERS_MAX);
}

static void print_queues(const struct doctor_view *view)
{
	printf("\nqueues\n");
	if (view->queues.count == 0) {
		printf("  %s\n", view->kernel.queues == DOCTOR_FORBIDDEN ? "not readable without root" : "nobody reads any");
		return;
	}
	printf("  %5s %7s %11s %12s  %-8s %-10s %s\n", "queue", "waiting", "lost: queue", "lost: buffer", "copies", "portid", "owner");
	for (unsigned i = 0; i < view->queues.count; i++) {
		const struct doctor_queue *queue = &view->queues.queue[i];
		const struct vd_nfq_status *status = &queue->status;
		char copies[16];

		if (status->copy_mode == NFQNL_COPY_PACKET)
			snprintf(copies, sizeof copies, "%u", status->copy_range);
		else
			snprintf(copies, sizeof copies, "%s", copy_mode(status));
		printf("  %5u %7u %11u %12u  %-8s %-10u ", status->queue, status->waiting, status->queue_dropped,
		       status->user_dropped, copies, status->portid);
		print_owners(queue);
		printf("\n");
	}
}

static void print_rules(const struct doctor_view *view)
{
	bool any_read = false;

	printf("\nrules\n");
	for (unsigned i = 0; i < view->rules.count; i++) {
		const struct doctor_rule *rule = &view->rules.rule[i];
		char queues[32] = "?";

		if (rule->is_known && rule->queue_first == rule->queue_last)
			snprintf(queues, sizeof queues, "%u", rule->queue_first);
		else if (rule->is_known)
			snprintf(queues, sizeof queues, "%u-%u", rule->queue_first, rule->queue_last);
		printf("  queue %-11s %-9s %s%s%s %s %s: %s\n", queues, rule->has_bypass ? "bypass" : "no bypass",
		       rule->is_computed ? "computed " : "", rule->has_fanout ? "fanout " : "", rule->family, rule->table,
		       rule->chain, rule->text);
	}
	for (unsigned i = 0; i < view->sources.count; i++) {
		const struct doctor_source *source = &view->sources.source[i];

		any_read |= source->state == DOCTOR_READ;
		if (source->state != DOCTOR_READ)
			printf("  %s: %s\n", source->name, source->state == DOCTOR_FAILED ? "could not be read" : "not installed");
	}
	if (any_read && view->rules.count == 0)
		printf("  none that queues\n");
}

#define DEVICES_PRINTED 16u

static void print_devices(const struct doctor_devices *devices)
{
	static const char *const switches[] = {[DOCTOR_UNKNOWN] = "unknown", [DOCTOR_OFF] = "off", [DOCTOR_ON] = "on"};

	printf("\ndevices\n");
	if (devices->count == 0) {
		printf("  none but lo is up\n");
		return;
	}
	printf("  %-16s %9s  %-8s %s\n", "device", "rx queues", "RPS", "UDP GRO forwarding");
	for (unsigned i = 0; i < devices->count && i < DEVICES_PRINTED; i++) {
		const struct doctor_device *device = &devices->device[i];
		char queues[16] = "unknown";

		if (device->rx_queues)
			snprintf(queues, sizeof queues, "%u", device->rx_queues);
		printf("  %-16s %9s  %-8s %s\n", device->name, queues, !device->knows_rps ? "unknown" : device->has_rps ? "on" : "off",
		       switches[device->udp_gro_forwarding]);
	}
	if (devices->count + devices->left_out > DEVICES_PRINTED)
		printf("  and %u more\n", devices->count + devices->left_out - DEVICES_PRINTED);
}

static void print_limits(const struct doctor_kernel *kernel)
{
	static const char *const names[] = {[DOCTOR_WHOLE] = "whole packets", [DOCTOR_HEADERS] = "headers only"};

	printf("\nlimits\n");
	printf("  %-18s %s\n", "CAP_NET_ADMIN",
	       !kernel->has_cap_net_admin ? "missing" : kernel->may_ask ? "yes" : "yes, but not for this network namespace");
	if (kernel->in_user_namespace)
		printf("  %-18s %s\n", "user namespace", "not the first one: limits of the machine apply, also to root");
	if (kernel->receive_limit_bytes)
		printf("  %-18s %zu bytes\n", "net.core.rmem_max", kernel->receive_limit_bytes);
	for (unsigned i = 0; i < DOCTOR_BUFFER_COUNT; i++)
		if (kernel->wanted_bytes[i])
			printf("  %-18s %zu bytes of receive buffer wanted, %zu granted\n", names[i], kernel->wanted_bytes[i],
			       kernel->granted_bytes[i]);
}

static void print_findings(const struct doctor_findings *findings)
{
	printf("\nfindings\n");
	for (enum doctor_level level = DOCTOR_ATTENTION; level <= DOCTOR_NOTE; level++)
		for (unsigned i = 0; i < findings->count; i++)
			if (findings->finding[i].level == level)
				printf("  %-9s  %s\n", levels[level], findings->finding[i].text);
	if (findings->left_out)
		printf("  and %u more\n", findings->left_out);
	if (findings->count == 0)
		printf("  none\n");
	if (findings->attention == 0)
		printf("\nall is well\n");
	else
		printf("\n%u thing%s attention\n", findings->attention, findings->attention == 1 ? " needs" : "s need");
}

void doctor_report_text(const struct doctor_view *view, const struct doctor_findings *findings)
{
	print_kernel(&view->kernel);
	print_queues(view);
	print_rules(view);
	print_devices(&view->devices);
	print_limits(&view->kernel);
	print_findings(findings);
}

/* ---- JSON; a call on NULL does nothing, and what could not be made is noticed at the end ---- */

static json_t *kernel_json(const struct doctor_kernel *kernel)
{
	json_t *object = json_object();

	json_object_set_new(object, "nfnetlink_queue",
			    kernel->queues == DOCTOR_FORBIDDEN ? json_null() : json_boolean(kernel->queues == DOCTOR_READABLE));
	for (unsigned i = 0; i < DOCTOR_FLAG_COUNT; i++)
		json_object_set_new(object, doctor_flag_names[i],
				    kernel->flags[i] == -EPERM ? json_null() : json_boolean(kernel->flags[i] == 0));
	return object;
}

static json_t *queues_json(const struct doctor_queues *queues)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < queues->count; i++) {
		const struct doctor_queue *queue = &queues->queue[i];
		const struct vd_nfq_status *status = &queue->status;
		json_t *owners = json_array();

		for (int j = 0; j < queue->owner_count && j < DOCTOR_OWNERS_MAX; j++)
			json_array_append_new(owners, json_pack("{s:s, s:i}", "name", queue->owners[j].name, "pid", queue->owners[j].pid));
		json_array_append_new(array, json_pack("{s:i, s:I, s:i, s:o, s:I, s:s, s:I, s:I, s:I, s:I, s:b}",
						       "queue", (int)status->queue, "portid", (json_int_t)status->portid,
						       "owner_count", queue->owner_count, "owners", owners,
						       "waiting", (json_int_t)status->waiting, "copy_mode", copy_mode(status),
						       "copy_range", (json_int_t)status->copy_range,
						       "queue_dropped", (json_int_t)status->queue_dropped,
						       "user_dropped", (json_int_t)status->user_dropped,
						       "id_sequence", (json_int_t)status->id_sequence,
						       "stuck", (int)queue->is_stuck));
	}
	return array;
}

static json_t *rules_json(const struct doctor_rules *rules)
{
	static const char *const back_ends[] = {
		[DOCTOR_LEGACY] = "iptables-legacy",
		[DOCTOR_COMPATIBLE] = "iptables-nft",
		[DOCTOR_NFT] = "nft",
	};
	json_t *array = json_array();

	for (unsigned i = 0; i < rules->count; i++) {
		const struct doctor_rule *rule = &rules->rule[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:s}",
						       "back_end", back_ends[rule->back_end], "family", rule->family,
						       "table", rule->table, "chain", rule->chain,
						       "queue_first", rule->is_known ? json_integer(rule->queue_first) : json_null(),
						       "queue_last", rule->is_known ? json_integer(rule->queue_last) : json_null(),
						       "computed", (int)rule->is_computed, "bypass", (int)rule->has_bypass,
						       "fanout", (int)rule->has_fanout, "rule", rule->text));
	}
	return array;
}

static json_t *sources_json(const struct doctor_sources *sources)
{
	static const char *const states[] = {[DOCTOR_NOT_INSTALLED] = "not installed", [DOCTOR_READ] = "read", [DOCTOR_FAILED] = "failed"};
	json_t *array = json_array();

	for (unsigned i = 0; i < sources->count; i++) {
		const struct doctor_source *source = &sources->source[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "program", source->name, "state", states[source->state],
						       "why", source->why));
	}
	return array;
}

static json_t *devices_json(const struct doctor_devices *devices)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < devices->count; i++) {
		const struct doctor_device *device = &devices->device[i];

		json_array_append_new(array, json_pack("{s:s, s:o, s:o, s:o, s:I}", "name", device->name,
						       "rx_queues", device->rx_queues ? json_integer(device->rx_queues) : json_null(),
						       "rps", device->knows_rps ? json_boolean(device->has_rps) : json_null(),
						       "udp_gro_forwarding",
						       device->udp_gro_forwarding == DOCTOR_UNKNOWN ? json_null() :
								json_boolean(device->udp_gro_forwarding == DOCTOR_ON),
						       "rx_packets", (json_int_t)device->rx_packets));
	}
	return array;
}

static json_t *traffic_json(const struct doctor_view *view)
{
	const struct doctor_devices *devices = &view->devices;

	return json_pack("{s:i, s:o, s:b, s:I}", "cpus", (int)view->cpus,
			 "receiving_cpus", devices->receiving_cpus ? json_integer(devices->receiving_cpus) : json_null(),
			 "forwarding", (int)devices->is_forwarding,
			 "tracked_connections", (json_int_t)devices->tracked_connections);
}

static json_t *limits_json(const struct doctor_kernel *kernel)
{
	return json_pack("{s:b, s:b, s:b, s:I, s:{s:I, s:I}, s:{s:I, s:I}}",
			 "cap_net_admin", (int)kernel->has_cap_net_admin, "may_ask", (int)kernel->may_ask,
			 "user_namespace", (int)kernel->in_user_namespace,
			 "rmem_max", (json_int_t)kernel->receive_limit_bytes,
			 "buffer_whole_packets",
			 "wanted", (json_int_t)kernel->wanted_bytes[DOCTOR_WHOLE],
			 "granted", (json_int_t)kernel->granted_bytes[DOCTOR_WHOLE],
			 "buffer_headers",
			 "wanted", (json_int_t)kernel->wanted_bytes[DOCTOR_HEADERS],
			 "granted", (json_int_t)kernel->granted_bytes[DOCTOR_HEADERS]);
}

static json_t *findings_json(const struct doctor_findings *findings)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < findings->count; i++)
		json_array_append_new(array, json_pack("{s:s, s:s}", "level", levels[findings->finding[i].level],
						       "text", findings->finding[i].text));
	return array;
}

int doctor_report_json(const struct doctor_view *view, const struct doctor_findings *findings)
{
	json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:b}",
				"kernel", kernel_json(&view->kernel), "queues", queues_json(&view->queues),
				"sources", sources_json(&view->sources), "rules", rules_json(&view->rules),
				"devices", devices_json(&view->devices), "traffic", traffic_json(view),
				"limits", limits_json(&view->kernel), "findings", findings_json(findings),
				"attention", (int)findings->attention, "well", findings->attention == 0);
	int result = all ? json_dumpf(all, stdout, JSON_INDENT(2)) : -1;

	json_decref(all);
	printf("\n");
	return result ? -ENOMEM : 0;
}
