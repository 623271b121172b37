/* SPDX-License-Identifier: MIT */
/*
 * Queues, functions and threads. What is a counter here never goes down, as Prometheus would take that for a restart: verdicts are
 * those that were sent, and those that came to nothing are counted apart.
 */
#include <stddef.h>

#include "tools/metrics/exposition.h"
#include "tools/stats.h"

#define NUMBER_SIZE 16

static const char *decimal(char room[NUMBER_SIZE], unsigned number)
{
	snprintf(room, NUMBER_SIZE, "%u", number);
	return room;
}

/* ---- queues ---- */

#define MEMBER(name) offsetof(struct vd_queue_stats, name)

static const struct family {
	const char *name;
	const char *help;
	size_t member;
} COUNTERS[] = {
	{"verdict_queue_packets_received_total", "Packets read from the kernel.", MEMBER(received)},
	{"verdict_queue_bytes_received_total", "Bytes of the packets read, as they came and not as copied.", MEMBER(bytes)},
	{"verdict_queue_passed_total", "Packets that passed undecided because the receive buffer was full (fail-open).",
	 MEMBER(socket_passed)},
	{"verdict_queue_flushed_total", "Packets that the kernel flushed before the verdict, whatever it was.", MEMBER(flushed)},
	{"verdict_queue_refused_total", "Packets whose verdict the kernel refused for another reason.", MEMBER(refused)},
	{"verdict_queue_default_total", "Packets on which no function had an opinion.", MEMBER(by_default)},
	{"verdict_queue_faults_total", "Packets for which a function returned what is no verdict, crashed or hung.", MEMBER(faults)},
	{"verdict_queue_without_host_total", "Packets that no process was there to decide on.", MEMBER(without_host)},
	{"verdict_queue_edits_refused_total", "Packets that were to be changed and could not be.", MEMBER(edits_refused)},
	{"verdict_queue_rewritten_total", "Packets sent back with other contents.", MEMBER(rewritten)},
	{"verdict_queue_held_total", "Packets that functions held, also behind a held one of their flow.", MEMBER(held_ever)},
	{"verdict_queue_held_behind_total", "Packets that no function has seen, as their flow was held.", MEMBER(held_behind)},
	{"verdict_queue_held_expired_total", "Held packets that got their deadline's verdict.", MEMBER(held_expired)},
	{"verdict_queue_held_dropped_total", "Held packets that were dropped by a later decision.", MEMBER(held_dropped)},
	{"verdict_queue_held_refused_total", "Packets that could not be held: too many were (--held-max).", MEMBER(held_refused)},
	{"verdict_queue_malformed_total", "Packets that contradict their own headers.", MEMBER(malformed)},
	{"verdict_queue_reads_total", "Receive calls that brought packets.", MEMBER(reads)},
	{"verdict_queue_sends_total", "Send calls.", MEMBER(sends)},
	{"verdict_queue_on_the_spot_total", "Packets decided by the thread that read them, without a hand-over.",
	 MEMBER(on_the_spot)},
}, GAUGES[] = {
	{"verdict_queue_waiting_packets", "Packets without a verdict in the kernel, now.", MEMBER(waiting)},
	{"verdict_queue_limit_packets", "Packets that the kernel queues at most (--maxlen).", MEMBER(maxlen)},
	{"verdict_queue_in_flight_packets", "Packets read and not answered yet, now.", MEMBER(in_flight)},
	{"verdict_queue_ring_packets", "Packets in flight that wait in rings between threads, now.", MEMBER(in_rings)},
	{"verdict_queue_held_packets", "Packets that functions hold, now.", MEMBER(held)},
	{"verdict_queue_receive_buffer_bytes", "Receive buffer that the kernel granted.", MEMBER(receive_buffer)},
	{"verdict_queue_copy_range_bytes", "Bytes of each packet that are copied.", MEMBER(copy_range)},
};

/* A family's samples come together, so queues are the inner loop everywhere. */
#define FOR_EACH_QUEUE(queue, number)                                                                                    \
	for (const struct vd_queue_stats *queue = snapshot->queues;                                                      \
	     queue < snapshot->queues + snapshot->queue_count && decimal(number, queue->queue); queue++)

static void write_by_word(FILE *file, const struct vd_snapshot *snapshot)
{
	char number[NUMBER_SIZE];

	vd_exposition_family(file, "verdict_queue_verdicts_total", "counter",
			     "Verdicts sent, by kind. Those that a flush made void are in verdict_queue_flushed_total as well.");
	FOR_EACH_QUEUE(queue, number)
		for (unsigned verdict = VD_ACCEPT; verdict < VD_HELD; verdict++)
			vd_exposition_count(file, queue->sent[verdict], "verdict_queue_verdicts_total", "queue", number, "verdict",
					    vd_stats_verdict_word((enum vd_verdict)verdict), NULL);
	vd_exposition_family(file, "verdict_queue_drops_total", "counter", "Packets that did not go on, each by its one cause.");
	FOR_EACH_QUEUE(queue, number)
		for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
			vd_exposition_count(file, queue->drops[cause], "verdict_queue_drops_total", "queue", number, "cause",
					    vd_stats_cause_word((enum vd_cause)cause), NULL);
}

static void write_inherited(FILE *file, const struct vd_snapshot *snapshot)
{
	char number[NUMBER_SIZE];

	vd_exposition_family(file, "verdict_queue_inherited_total", "counter",
			     "Packets that a process before had read and not answered, by the verdict that they got here.");
	FOR_EACH_QUEUE(queue, number) {
		vd_exposition_count(file, queue->inherited_accepted, "verdict_queue_inherited_total", "queue", number, "verdict", "accept",
				    NULL);
		vd_exposition_count(file, queue->inherited_dropped, "verdict_queue_inherited_total", "queue", number, "verdict", "drop",
				    NULL);
	}
}

static void write_answers(FILE *file, const struct vd_snapshot *snapshot)
{
	static const struct {
		const char *fate;
		size_t member;
	} FATES[] = {{"sent", MEMBER(answered)},
		     {"limited", MEMBER(answers_limited)},
		     {"none", MEMBER(answers_none)},
		     {"failed", MEMBER(answers_failed)}};
	char number[NUMBER_SIZE];

	vd_exposition_family(file, "verdict_queue_answers_total", "counter",
			     "Rejected packets by what became of the answer: sent, over the limit, none due, not sent by the kernel.");
	FOR_EACH_QUEUE(queue, number)
		for (unsigned i = 0; i < sizeof FATES / sizeof *FATES; i++)
			vd_exposition_count(file, *(const uint64_t *)((const char *)queue + FATES[i].member),
					    "verdict_queue_answers_total", "queue", number, "fate", FATES[i].fate, NULL);
}

void vd_metrics_write_queues(FILE *file, const struct vd_snapshot *snapshot)
{
	char number[NUMBER_SIZE];

	for (unsigned i = 0; i < sizeof COUNTERS / sizeof *COUNTERS; i++) {
		vd_exposition_family(file, COUNTERS[i].name, "counter", COUNTERS[i].help);
		FOR_EACH_QUEUE(queue, number)
			vd_exposition_count(file, *(const uint64_t *)((const char *)queue + COUNTERS[i].member), COUNTERS[i].name,
					    "queue", number, NULL);
	}
	for (unsigned i = 0; i < sizeof GAUGES / sizeof *GAUGES; i++) {
		vd_exposition_family(file, GAUGES[i].name, "gauge", GAUGES[i].help);
		FOR_EACH_QUEUE(queue, number)
			vd_exposition_count(file, *(const uint32_t *)((const char *)queue + GAUGES[i].member), GAUGES[i].name,
					    "queue", number, NULL);
	}
	vd_exposition_family(file, "verdict_queue_maybe_flushed_packets", "gauge",
			     "Of the packets that went on, up to so many were flushed as well.");
	FOR_EACH_QUEUE(queue, number)
		vd_exposition_count(file, queue->maybe_flushed, "verdict_queue_maybe_flushed_packets", "queue", number, NULL);
	write_by_word(file, snapshot);
	write_inherited(file, snapshot);
	write_answers(file, snapshot);
}

/* ---- rules: of each range of queues ---- */

void vd_metrics_write_rules(FILE *file, const struct vd_snapshot *snapshot)
{
	static const struct {
		const char *name, *help;
		size_t member;
	} COUNTERS_OF_RULES[] = {
		{"verdict_rules_packets_total", "Packets that rules have sent to these queues, by the kernel's counts of the rules.",
		 offsetof(struct vd_ruled_range, packets)},
		{"verdict_rules_offered_total", "Packets that these queues took or dropped, by the kernel's counts of the queues.",
		 offsetof(struct vd_ruled_range, offered)},
		{"verdict_rules_queue_passed_total", "Packets that passed undecided because a queue was full (fail-open).",
		 offsetof(struct vd_ruled_range, queue_passed)},
	};
	const struct vd_ruled_range *end = snapshot->ruled.ranges + snapshot->ruled.count;
	char queues[VD_STATS_QUEUES_SIZE];

	for (unsigned i = 0; i < sizeof COUNTERS_OF_RULES / sizeof *COUNTERS_OF_RULES; i++) {
		vd_exposition_family(file, COUNTERS_OF_RULES[i].name, "counter", COUNTERS_OF_RULES[i].help);
		for (const struct vd_ruled_range *range = snapshot->ruled.ranges; range < end; range++)
			if (!range->doubt || COUNTERS_OF_RULES[i].member == offsetof(struct vd_ruled_range, packets))
				vd_exposition_count(file, *(const uint64_t *)((const char *)range + COUNTERS_OF_RULES[i].member),
						    COUNTERS_OF_RULES[i].name, "queues", vd_stats_queues(queues, range), NULL);
	}
	vd_exposition_family(file, "verdict_rules_resets_total", "counter",
			     "How often rules were changed so that what passed is what has passed at least.");
	for (const struct vd_ruled_range *range = snapshot->ruled.ranges; range < end; range++)
		vd_exposition_count(file, range->resets, "verdict_rules_resets_total", "queues", vd_stats_queues(queues, range), NULL);
	vd_exposition_family(file, "verdict_rules_unread", "gauge", "1: rules cannot be read, so what is shown of them is old.");
	vd_exposition_count(file, snapshot->ruled.is_unread, "verdict_rules_unread", NULL);
}

/* ---- functions: two of the chain may have one name, so each has its place as well ---- */

#define FOR_EACH_FUNCTION(function, number)                                                                              \
	for (const struct vd_function_stats *function = snapshot->functions;                                             \
	     function < snapshot->functions + snapshot->function_count &&                                                \
	     decimal(number, (unsigned)(function - snapshot->functions)); function++)

void vd_metrics_write_functions(FILE *file, const struct vd_snapshot *snapshot)
{
	char number[NUMBER_SIZE];

	vd_exposition_family(file, "verdict_function_packets_total", "counter", "Packets that came to the function undecided.");
	FOR_EACH_FUNCTION(function, number)
		vd_exposition_count(file, function->packets, "verdict_function_packets_total", "function", function->name, "place",
				    number, NULL);
	vd_exposition_family(file, "verdict_function_verdicts_total", "counter", "What the function said; next is no opinion.");
	FOR_EACH_FUNCTION(function, number)
		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			vd_exposition_count(file, function->verdicts[verdict], "verdict_function_verdicts_total", "function",
					    function->name, "place", number, "verdict",
					    vd_stats_verdict_word((enum vd_verdict)verdict), NULL);
	vd_exposition_family(file, "verdict_function_faults_total", "counter", "How often it said what is no verdict, or nothing at all.");
	FOR_EACH_FUNCTION(function, number)
		vd_exposition_count(file, function->faults, "verdict_function_faults_total", "function", function->name, "place",
				    number, NULL);
	vd_exposition_family(file, "verdict_function_crashes_total", "counter", "Of its faults, those that ended its process.");
	FOR_EACH_FUNCTION(function, number)
		vd_exposition_count(file, function->crashes, "verdict_function_crashes_total", "function", function->name, "place",
				    number, NULL);
	vd_exposition_family(file, "verdict_function_hangs_total", "counter", "Of its faults, those with no answer within the deadline.");
	FOR_EACH_FUNCTION(function, number)
		vd_exposition_count(file, function->hangs, "verdict_function_hangs_total", "function", function->name, "place",
				    number, NULL);
	vd_exposition_family(file, "verdict_function_events_total", "counter", "What the function counted itself.");
	FOR_EACH_FUNCTION(function, number)
		for (unsigned i = 0; i < function->counter_count; i++)
			vd_exposition_count(file, function->counters[i], "verdict_function_events_total", "function", function->name,
					    "place", number, "counter", function->counter_names[i], NULL);
}

/* ---- processes that functions run in ---- */

void vd_metrics_write_hosts(FILE *file, const struct vd_snapshot *snapshot)
{
	vd_exposition_family(file, "verdict_isolated", "gauge", "1: functions run in processes of their own (isolation).");
	vd_exposition_count(file, snapshot->host.is_isolated, "verdict_isolated", NULL);
	vd_exposition_family(file, "verdict_host_restarts_total", "counter", "Such processes that ended and were replaced.");
	vd_exposition_count(file, snapshot->host.restarts, "verdict_host_restarts_total", NULL);
}

/* ---- threads, by the names that top(1) shows ---- */

#define FOR_EACH_WORKER(worker, name)                                                                                    \
	for (const struct vd_worker_stats *worker = snapshot->workers;                                                   \
	     worker < snapshot->workers + snapshot->worker_count && name_of(name, worker); worker++)

static const char *name_of(char room[NUMBER_SIZE], const struct vd_worker_stats *worker)
{
	snprintf(room, NUMBER_SIZE, "%s-%u", worker->is_writer ? "writer" : "worker", worker->index);
	return room;
}

void vd_metrics_write_workers(FILE *file, const struct vd_snapshot *snapshot)
{
	char name[NUMBER_SIZE];

	vd_exposition_family(file, "verdict_worker_packets_total", "counter", "Packets that the thread decided; a writer: sent.");
	FOR_EACH_WORKER(worker, name)
		vd_exposition_count(file, worker->packets, "verdict_worker_packets_total", "worker", name, NULL);
	vd_exposition_family(file, "verdict_worker_bursts_total", "counter", "Bursts that these packets came in.");
	FOR_EACH_WORKER(worker, name)
		vd_exposition_count(file, worker->bursts, "verdict_worker_bursts_total", "worker", name, NULL);
	vd_exposition_family(file, "verdict_worker_sleeps_total", "counter", "How often the thread gave up the CPU.");
	FOR_EACH_WORKER(worker, name)
		vd_exposition_count(file, worker->sleeps, "verdict_worker_sleeps_total", "worker", name, NULL);
	vd_exposition_family(file, "verdict_worker_cpu_seconds_total", "counter", "CPU time of the thread.");
	FOR_EACH_WORKER(worker, name)
		vd_exposition_number(file, (double)worker->cpu_ns / 1e9, "verdict_worker_cpu_seconds_total", "worker", name, NULL);
}
