/* SPDX-License-Identifier: MIT */
/* After a simulated run: what the queues saw, what the model foresaw, and what the statistics say. */
#include "sim_run.h"

#include <string.h>

bool sim_is_failing_at_start(void)
{
	for (unsigned i = 0; i < sim_run->lane_count; i++)
		if (sim_run->lanes[i].check_error || sim_run->lanes[i].open_error)
			return true;
	return false;
}

/*
 * Refusals do not tell drops from rejects, so then only their sum is known to the packet; and no reject is taken for a refused
 * one as long as there are drops.
 */
static bool is_verdict_right(unsigned verdict, const struct vd_sim_report *report, const struct vd_queue_stats *stats)
{
	const uint64_t *counted = stats->verdicts, *came = report->verdicts;

	if ((verdict != VD_DROP && verdict != VD_REJECT) || !(report->flushed + report->refused))
		return counted[verdict] == came[verdict];
	return counted[VD_DROP] + counted[VD_REJECT] == came[VD_DROP] + came[VD_REJECT] &&
	       (counted[VD_REJECT] >= came[VD_REJECT] || !counted[VD_DROP]);
}

/* Whatever did not go on has one cause; and every answer has waited, once. */
static void check_causes(unsigned lane, const struct vd_sim_report *report, const struct vd_queue_stats *stats)
{
	uint64_t going = report->verdicts[VD_ACCEPT] + report->verdicts[VD_REPEAT] + report->verdicts[VD_QUEUE] +
			 report->verdicts[VD_STOP] + report->socket_passed + report->left_accepted;
	uint64_t drops = 0;
	struct vd_latency latency;

	for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++) {
		uint64_t held = cause == VD_CAUSE_FUNCTION ? stats->held_dropped : 0;

		drops += stats->drops[cause];
		if (cause <= VD_CAUSE_EDIT && stats->drops[cause] != sim_run->drops[lane][cause] + held)
			sim_complain("queue %u: %llu packets were dropped for cause %u instead of %llu", lane,
				 (unsigned long long)stats->drops[cause], cause, (unsigned long long)sim_run->drops[lane][cause]);
	}
	if (going + drops != report->offered)
		sim_complain("queue %u: of %llu packets %llu went on, and %llu have a cause why not", lane,
			 (unsigned long long)report->offered, (unsigned long long)going, (unsigned long long)drops);
	if (stats->drops[VD_CAUSE_FLUSHED] > report->flushed || stats->drops[VD_CAUSE_REFUSED] > report->refused)
		sim_complain("queue %u: more packets were to go on and did not than did not", lane);
	if (!sim_is_failing_at_start() && (vd_engine_queue_latency(sim_run->engine, lane, VD_SINCE_RECEIVED, &latency) ||
				       latency.count != stats->received))
		sim_complain("queue %u: %llu packets waited instead of %llu", lane, (unsigned long long)latency.count,
			 (unsigned long long)stats->received);
}

static void check_held(unsigned lane, const struct vd_queue_stats *stats)
{
	if (stats->held)
		sim_complain("queue %u: %u packets are still held", lane, stats->held);
	if (sim_run->more)
		sim_run->more->audit(lane, stats);
	else if (stats->held_ever || stats->drops[VD_CAUSE_HELD_FULL] || stats->drops[VD_CAUSE_DEADLINE])
		sim_complain("queue %u: packets were held, and no function does that", lane);
}

static void check_accounts(unsigned lane, const struct vd_sim_report *report, const struct vd_queue_stats *stats)
{
	uint64_t sum = stats->queue_dropped + stats->socket_dropped + stats->flushed + stats->refused + stats->left_accepted +
		       stats->left_dropped;

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++) {
		sum += stats->verdicts[verdict];
		if (!is_verdict_right(verdict, report, stats))
			sim_complain("queue %u: %llu verdicts %u in the statistics, %llu came", lane,
				 (unsigned long long)stats->verdicts[verdict], verdict,
				 (unsigned long long)report->verdicts[verdict]);
	}
	if (sum != report->offered)
		sim_complain("queue %u: the accounts do not close: offered %llu, together %llu", lane,
			 (unsigned long long)report->offered, (unsigned long long)sum);
#define SAME(number)                                                                                                    \
	if (stats->number != report->number)                                                                            \
	sim_complain("queue %u: " #number " is %llu in the statistics, %llu for the port", lane,                             \
		 (unsigned long long)stats->number, (unsigned long long)report->number)
	SAME(queue_dropped);
	SAME(socket_dropped);
	SAME(flushed);
	SAME(refused);
	SAME(left_accepted);
	SAME(left_dropped);
	SAME(bytes);
#undef SAME
	if (stats->answered + stats->answers_limited + stats->answers_none + stats->answers_failed)
		sim_complain("queue %u: there is nobody to answer", lane);
	if (stats->received != report->handed_up || stats->in_flight || stats->on_the_spot > stats->received)
		sim_complain("queue %u: received %llu of %llu, %u in flight", lane, (unsigned long long)stats->received,
			 (unsigned long long)report->handed_up, stats->in_flight);
	if (report->has_send_failed) /* decided, but not sent: they are in one account only */
		return;
	check_causes(lane, report, stats);
	check_held(lane, stats);
	if (stats->edits_refused != sim_run->edits_refused[lane])
		sim_complain("queue %u: %llu edits were refused instead of %llu", lane, (unsigned long long)stats->edits_refused,
			 (unsigned long long)sim_run->edits_refused[lane]);
	if (stats->rewritten != sim_run->rewritten[lane] || stats->faults != sim_run->faults[lane] ||
	    stats->by_default != sim_run->by_default[lane])
		sim_complain("queue %u: rewritten %llu, faults %llu, by default %llu instead of %llu, %llu, %llu", lane,
			 (unsigned long long)stats->rewritten, (unsigned long long)stats->faults,
			 (unsigned long long)stats->by_default, (unsigned long long)sim_run->rewritten[lane],
			 (unsigned long long)sim_run->faults[lane], (unsigned long long)sim_run->by_default[lane]);
}

static void check_lane(unsigned lane, const struct vd_queue_stats *stats)
{
	struct vd_sim_report report;
	bool is_everything = sim_run->ending == SIM_END_BY_ITSELF || sim_run->ending == SIM_END_IN_SILENCE;

	vd_port_sim_report(sim_run->ports[lane], &report);
	if (report.violations)
		sim_complain("%s (%llu violations)", report.first_violation, (unsigned long long)report.violations);
	check_accounts(lane, &report, stats);
	if (is_everything && report.offered + report.passed != sim_run->lanes[lane].packets)
		sim_complain("queue %u: only %llu of %llu packets came", lane, (unsigned long long)report.offered,
			 (unsigned long long)sim_run->lanes[lane].packets);
	if (is_everything && report.left_accepted + report.left_dropped)
		sim_complain("queue %u: %llu packets were left, and nobody had stopped", lane,
			 (unsigned long long)(report.left_accepted + report.left_dropped));
	if (sim_run->ending == SIM_END_BY_ITSELF && !stats->ended)
		sim_complain("queue %u ended, but the statistics do not know", lane);
	if (report.opens > 1 || report.opens != report.closes)
		sim_complain("queue %u was opened %u times and closed %u times", lane, report.opens, report.closes);
	if (sim_is_failing_at_start() && report.handed_up)
		sim_complain("queue %u was read, but another one did not open", lane);
	for (unsigned i = 0; i < sim_run->lane_count; i++)
		if (sim_run->lanes[i].check_error && report.opens)
			sim_complain("queue %u was opened, but another one had failed its check", lane);
}

static void check_ending(int result, const struct vd_error *error, const struct vd_queue_stats *stats)
{
	bool shall_fail = false, have_all_ended = true;
	uint64_t received = 0;

	for (unsigned i = 0; i < sim_run->lane_count; i++) {
		struct vd_sim_report report;

		vd_port_sim_report(sim_run->ports[i], &report);
		received += stats[i].received;
		have_all_ended &= stats[i].ended;
		shall_fail |= report.has_send_failed || report.has_receive_failed;
		shall_fail |= sim_run->lanes[i].check_error || sim_run->lanes[i].open_error;
	}
	if (!result && shall_fail)
		sim_complain("a port failed, but the run did not");
	if (result && (!shall_fail || !error->text[0]))
		sim_complain("the run failed: %d, '%s'", result, error->text);
	if (sim_run->ending == SIM_END_BY_FAILURE && !shall_fail && !result && !have_all_ended)
		sim_complain("no port failed, and yet not all packets came");
	if (sim_run->ending == SIM_END_BY_COUNT &&
	    (received > sim_run->options.packets_max || (received < sim_run->options.packets_max && !have_all_ended)))
		sim_complain("%llu packets instead of %llu", (unsigned long long)received,
			 (unsigned long long)sim_run->options.packets_max);
}

static void check_functions(const struct vd_queue_stats *queues)
{
	struct vd_function_stats stats[SIM_KINDS_MAX];
	struct vd_worker_stats workers[VD_ENGINE_WORKERS_MAX + VD_ENGINE_WRITERS_MAX];
	uint64_t packets = 0, decided = 0;

	memset(stats, 0, sizeof stats);
	if (vd_engine_function_stats(sim_run->engine, stats, SIM_KINDS_MAX) != sim_run->kind_count && !sim_is_failing_at_start())
		sim_complain("functions have gone");
	for (unsigned i = 0; i < sim_run->lane_count; i++)
		packets += queues[i].received - queues[i].held_behind;
	for (unsigned i = 0; i < sim_run->kind_count; i++) {
		uint64_t said = stats[i].faults;

		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			said += stats[i].verdicts[verdict];
		if (stats[i].packets != packets || said != packets)
			sim_complain("function %u saw %llu packets and spoke of %llu, %llu came to it", i,
				 (unsigned long long)stats[i].packets, (unsigned long long)said, (unsigned long long)packets);
		packets = stats[i].verdicts[VD_NEXT];
	}
	for (unsigned i = vd_engine_worker_stats(sim_run->engine, workers, VD_ENGINE_WORKERS_MAX); i-- > 0;)
		decided += workers[i].is_writer ? 0 : workers[i].packets;
	for (unsigned i = 0; i < sim_run->lane_count; i++)
		decided -= queues[i].received;
	if (decided)
		sim_complain("workers decided %lld packets more than there were", (long long)decided);
	if (sim_run->states_open || sim_run->functions_open)
		sim_complain("%d states and %d functions were not closed", sim_run->states_open, sim_run->functions_open);
}

void sim_audit(int result, const struct vd_error *error, const struct vd_queue_stats *stats)
{
	for (unsigned i = 0; i < sim_run->lane_count; i++)
		check_lane(i, &stats[i]);
	check_ending(result, error, stats);
	check_functions(stats);
}
