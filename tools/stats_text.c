/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "tools/stats.h"

const char *vd_stats_brief(char text[16], double number)
{
	static const char UNITS[] = " kMGTPE";
	unsigned unit = 0;

	while (number >= 999.5 && unit < 6) {
		number /= 1000;
		unit++;
	}
	if (unit)
		snprintf(text, 16, "%.*f%c", number < 99.95 ? 1 : 0, number, UNITS[unit]);
	else
		snprintf(text, 16, "%.0f", number);
	return text;
}

const char *vd_stats_uptime(char text[48], double seconds)
{
	unsigned long long whole = seconds > 0 ? (unsigned long long)seconds : 0;

	if (whole < 60)
		snprintf(text, 48, "up %.1f s", seconds);
	else if (whole < 3600)
		snprintf(text, 48, "up %llu min %llu s", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(text, 48, "up %llu h %llu min", whole / 3600, whole / 60 % 60);
	else
		snprintf(text, 48, "up %llu d %llu h", whole / 86400, whole / 3600 % 24);
	return text;
}

static void put(FILE *file, const char *name, uint64_t before, uint64_t now, bool even_if_none)
{
	char text[16];

	if (now > before || even_if_none)
		fprintf(file, "  %s %s", name, vd_stats_brief(text, (double)(now > before ? now - before : 0)));
}

void vd_stats_text_line(FILE *file, const struct vd_snapshot *before_snapshot, const struct vd_snapshot *now_snapshot)
{
	struct vd_queue_stats before = vd_snapshot_total(before_snapshot), now = vd_snapshot_total(now_snapshot);
	double seconds = now_snapshot->seconds - before_snapshot->seconds;
	char text[16];

	fprintf(file, "%6.0f s  %5s packets/s", now_snapshot->seconds,
		vd_stats_brief(text, seconds > 0 ? (double)(now.received - before.received) / seconds : 0));
	put(file, "accepted", before.verdicts[VD_ACCEPT], now.verdicts[VD_ACCEPT], true);
	put(file, "dropped", before.verdicts[VD_DROP], now.verdicts[VD_DROP], true);
	put(file, "repeated", before.verdicts[VD_REPEAT], now.verdicts[VD_REPEAT], false);
	put(file, "requeued", before.verdicts[VD_QUEUE], now.verdicts[VD_QUEUE], false);
	put(file, "stopped", before.verdicts[VD_STOP], now.verdicts[VD_STOP], false);
	put(file, "rejected", before.verdicts[VD_REJECT], now.verdicts[VD_REJECT], false);
	put(file, "answered", before.answered, now.answered, false);
	put(file, "answers limited", before.answers_limited, now.answers_limited, false);
	put(file, "answers failed", before.answers_failed, now.answers_failed, false);
	put(file, "faults", before.faults, now.faults, false);
	put(file, "without host", before.without_host, now.without_host, false);
	put(file, "edits refused", before.edits_refused, now.edits_refused, false);
	fprintf(file, "  waiting %s", vd_stats_brief(text, now.waiting));
	put(file, "lost: queue full", before.queue_dropped, now.queue_dropped, true);
	put(file, "buffer full", before.socket_dropped, now.socket_dropped, true);
	put(file, "flushed", before.flushed, now.flushed, false);
	put(file, "refused", before.refused, now.refused, false);
	fputc('\n', file);
	fflush(file);
}

static void row(FILE *file, const char *name, uint64_t number, const char *remark, bool even_if_none)
{
	if (number || even_if_none)
		fprintf(file, "  %-22s %14" PRIu64 "%s%s\n", name, number, *remark ? "  " : "", remark);
}

/* What did not go on, and why. */
static void summarize_drops(FILE *file, const struct vd_queue_stats *queue)
{
	static const char *const NAMES[VD_CAUSE_COUNT] = {
		[VD_CAUSE_FUNCTION] = "- by a function",  [VD_CAUSE_DEFAULT] = "- by default",
		[VD_CAUSE_FAULT] = "- after a fault",	  [VD_CAUSE_EDIT] = "- edit refused",
		[VD_CAUSE_DEADLINE] = "- held too long", [VD_CAUSE_HELD_FULL] = "- too many held",
		[VD_CAUSE_NO_HOST] = "- without a host",
		[VD_CAUSE_QUEUE_FULL] = "- queue full",	  [VD_CAUSE_BUFFER_FULL] = "- buffer full",
		[VD_CAUSE_FLUSHED] = "- flushed",	  [VD_CAUSE_REFUSED] = "- refused",
		[VD_CAUSE_LEFT] = "- left at the stop",
	};
	uint64_t sum = 0;

	for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
		sum += queue->drops[cause];
	row(file, "did not go on", sum, "", true);
	for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
		row(file, NAMES[cause], queue->drops[cause], "", false);
}

static void summarize_waits(FILE *file, const struct vd_waits *all)
{
	static const char *const NAMES[VD_SINCE_COUNT] = {"waited since read", "waited since arrival"};

	for (unsigned since = 0; since < VD_SINCE_COUNT; since++)
		if (all[since].count)
			fprintf(file, "  %-22s %14s  half %.1f, 90 %% %.1f, 99 %% %.1f, 99.9 %% %.1f, all %.1f µs\n", NAMES[since], "",
				(double)all[since].p50_ns / 1e3, (double)all[since].p90_ns / 1e3, (double)all[since].p99_ns / 1e3,
				(double)all[since].p999_ns / 1e3, (double)all[since].max_ns / 1e3);
}

static void summarize_queue(FILE *file, const struct vd_queue_stats *queue)
{
	row(file, "offered", vd_stats_offered(queue), "", true);
	row(file, "accepted", queue->verdicts[VD_ACCEPT], "", true);
	row(file, "dropped by verdict", queue->verdicts[VD_DROP], "", true);
	row(file, "repeated", queue->verdicts[VD_REPEAT], "", false);
	row(file, "requeued", queue->verdicts[VD_QUEUE], "", false);
	row(file, "stopped", queue->verdicts[VD_STOP], "accepted, past the rest of the hook", false);
	row(file, "rejected", queue->verdicts[VD_REJECT], "", false);
	row(file, "lost: queue full", queue->queue_dropped, "a longer --maxlen, more --workers, or --fail-open", true);
	row(file, "lost: buffer full", queue->socket_dropped, "the receive buffer is smaller than the queue", true);
	row(file, "flushed", queue->flushed, "the kernel emptied the queue before the verdict", false);
	row(file, "maybe flushed", queue->maybe_flushed, "up to so many more, of those accepted", false);
	row(file, "refused", queue->refused, "the kernel did not take the verdict", false);
	row(file, "waiting", queue->waiting, "in the kernel, now", false);
	row(file, "left, accepted", queue->left_accepted, "still queued at the stop", false);
	row(file, "left, dropped", queue->left_dropped, "still queued at the stop", false);
	row(file, "inherited, accepted", queue->inherited_accepted, "besides: read by the process before, not answered", false);
	row(file, "inherited, dropped", queue->inherited_dropped, "besides: read by the process before, not answered", false);
	row(file, "of them by default", queue->by_default, "", false);
	row(file, "of them faults", queue->faults, "a function returned what is no verdict, crashed or hung", false);
	row(file, "of them without host", queue->without_host, "functions had crashed too often to be asked", false);
	row(file, "of them rewritten", queue->rewritten, "", false);
	row(file, "of them unedited", queue->edits_refused, "an edit was refused", false);
	row(file, "held", queue->held, "functions decide later, now", false);
	row(file, "of them held", queue->held_ever, "", false);
	row(file, "held: deadline", queue->held_expired, "nobody had decided", false);
	row(file, "held: dropped", queue->held_dropped, "by a function, later", false);
	row(file, "not shown", queue->held_behind, "their flow was held", false);
	row(file, "not held", queue->held_refused, "a higher --held-max, or fewer or shorter holds", false);
	row(file, "of them malformed", queue->malformed, "", false);
	row(file, "rejected: answered", queue->answered, "", false);
	row(file, "rejected: over limit", queue->answers_limited, "a higher --reject-rate", false);
	row(file, "rejected: no answer", queue->answers_none, "must not be answered, or not like this", false);
	row(file, "rejected: failed", queue->answers_failed, "the kernel did not send the answer", false);
	summarize_drops(file, queue);
}

/* Of the rules that send to a queue, or to several. */
static void summarize_rules(FILE *file, const struct vd_ruled_range *range)
{
	static const char *const DOUBTS[VD_RULED_DOUBTS] = {
		[VD_RULED_COMPUTED] = "a rule computes the queue's number",
		[VD_RULED_UNCOUNTED] = "a rule has no counter right before it queues",
		[VD_RULED_OTHER] = "not all of these queues are read by this process",
		[VD_RULED_SEGMENTS] = "the kernel cuts large packets behind the rule",
	};
	char queues[VD_STATS_QUEUES_SIZE], remark[80];

	fprintf(file, "rules for queue%s %s: %" PRIu32 "%s\n", range->last == range->first ? "" : "s", vd_stats_queues(queues, range),
		range->rules, range->has_bypass ? ", with bypass" : "");
	snprintf(remark, sizeof remark, "%" PRIu64 " of them when it was bound", range->packets_before);
	row(file, "sent to it", range->packets, range->packets_before ? remark : "", true);
	if (range->doubt)
		fprintf(file, "  %-22s %14s  %s\n", "passed: queue full", "unknown", DOUBTS[range->doubt]);
	else
		row(file, "passed: queue full", range->queue_passed,
		    range->resets ? "undecided; at least, as rules were changed" : range->queue_passed ? "undecided: --fail-open" : "", true);
}

void vd_stats_text_function(FILE *file, const struct vd_function_stats *function)
{
	static const char *const NAMES[VD_VERDICT_COUNT] = {"no opinion", "accept", "drop",	"repeat",
							     "queue",	   "stop",   "reject", "hold"};

	fprintf(file, "function %s: %" PRIu64 " packets", function->name, function->packets);
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		if (function->verdicts[verdict])
			fprintf(file, ", %s %" PRIu64, NAMES[verdict], function->verdicts[verdict]);
	if (function->faults)
		fprintf(file, ", faults %" PRIu64, function->faults);
	if (function->crashes)
		fprintf(file, ", crashes %" PRIu64, function->crashes);
	if (function->hangs)
		fprintf(file, ", hangs %" PRIu64, function->hangs);
	fputc('\n', file);
	for (unsigned i = 0; i < function->counter_count; i++)
		fprintf(file, "  %-22s %14" PRIu64 "\n", function->counter_names[i], function->counters[i]);
}

void vd_stats_text_summary(FILE *file, const struct vd_snapshot *snapshot)
{
	struct vd_queue_stats total = vd_snapshot_total(snapshot);
	char rate[16];

	for (unsigned i = 0; i < snapshot->queue_count; i++) {
		fprintf(file, "queue %u:\n", snapshot->queues[i].queue);
		summarize_queue(file, &snapshot->queues[i]);
		summarize_waits(file, snapshot->waits[i]);
	}
	if (snapshot->queue_count > 1) {
		fprintf(file, "all queues:\n");
		summarize_queue(file, &total);
	}
	for (unsigned i = 0; i < snapshot->ruled.count; i++)
		summarize_rules(file, &snapshot->ruled.ranges[i]);
	if (snapshot->ruled.is_unread)
		fprintf(file, "what rules have sent to queues cannot be read here\n");
	for (unsigned i = 0; i < snapshot->function_count; i++)
		vd_stats_text_function(file, &snapshot->functions[i]);
	if (snapshot->host.restarts)
		fprintf(file, "processes of functions that were replaced: %" PRIu64 "\n", snapshot->host.restarts);
	fprintf(file, "%.1f s, %s packets/s, %.1f packets a read, %.1f verdicts a send, %.0f %% on the spot\n", snapshot->seconds,
		vd_stats_brief(rate, snapshot->seconds > 0 ? (double)total.received / snapshot->seconds : 0),
		total.reads ? (double)total.received / (double)total.reads : 0,
		total.sends ? (double)total.received / (double)total.sends : 0,
		total.received ? 100.0 * (double)total.on_the_spot / (double)total.received : 0);
	fflush(file);
}
