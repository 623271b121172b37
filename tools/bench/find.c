/* SPDX-License-Identifier: MIT */
/*
 * verdict bench --find-max: the highest rate at which no packet is lost, by bisection, of the programs in turn.
 *
 * Above is what the sender can do without a queue. A rate that the sender does not reach counts as too high; when such a one
 * bounds the result, that is said, for it is then the sender's and not the program's.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tools/bench/bench.h"

#define REACHED 0.98 /* of the rate asked for, the sender's packets a second */
#define LOWER 0.95   /* how much less is tried after a confirmation that failed */
#define CONFIRM_TRIES 8u

struct search {
	uint64_t low, high;	     /* low was without loss, high was not */
	bool high_is_of_sender;
	unsigned confirmed;
};

enum outcome { OUTCOME_GOOD, OUTCOME_LOST, OUTCOME_NOT_REACHED, OUTCOME_FAILED };

static enum outcome try_rate(struct bench *bench, enum bench_program program, const struct bench_found *found, uint64_t rate)
{
	struct bench_traffic traffic = found->traffic;
	const struct bench_round *round = &bench->shared->round;
	char what[128], kind[96];

	traffic.rate = rate;
	bench_describe(kind, sizeof kind, &traffic);
	snprintf(what, sizeof what, "find max: %s, %s", bench_program_names[program], kind);
	bench_progress(bench, what);
	if (bench_measure(bench, program, &traffic))
		return OUTCOME_FAILED;
	bench->steps_done++;
	if (round->sent != round->delivered + round->dropped_by_verdict)
		return OUTCOME_LOST;
	if (!rate)
		return OUTCOME_GOOD;
	return (double)round->sent / round->send_seconds < REACHED * (double)rate ? OUTCOME_NOT_REACHED : OUTCOME_GOOD;
}

static int bisect(struct bench *bench, enum bench_program program, struct bench_found *found, struct search *search)
{
	uint64_t middle = search->low + (search->high - search->low) / 2;
	enum outcome outcome;

	if (!middle)
		return 0;
	outcome = try_rate(bench, program, found, middle);
	found->maxima[program].tries++;
	if (outcome == OUTCOME_FAILED)
		return -1;
	if (outcome == OUTCOME_GOOD) {
		search->low = middle;
	} else {
		search->high = middle;
		search->high_is_of_sender = outcome == OUTCOME_NOT_REACHED;
	}
	return 0;
}

static int confirm(struct bench *bench, enum bench_program program, struct bench_found *found, struct search *search)
{
	enum outcome outcome;

	if (search->confirmed == BENCH_FIND_CONFIRMATIONS || !search->low)
		return 0;
	outcome = try_rate(bench, program, found, search->low);
	found->maxima[program].tries++;
	if (outcome == OUTCOME_FAILED)
		return -1;
	if (outcome == OUTCOME_GOOD) {
		search->confirmed++;
	} else {
		search->confirmed = 0;
		search->high_is_of_sender = outcome == OUTCOME_NOT_REACHED;
		search->low = (uint64_t)((double)search->low * LOWER);
	}
	return 0;
}

/* What can be sent at all, with nothing in the way. */
static int find_ceiling(struct bench *bench, struct bench_found *found, uint64_t *ceiling)
{
	if (try_rate(bench, BENCH_NONE, found, 0) == OUTCOME_FAILED)
		return -1;
	*ceiling = (uint64_t)((double)bench->shared->round.sent / bench->shared->round.send_seconds) + 1;
	return 0;
}

int bench_find(struct bench *bench, struct bench_found *found)
{
	struct search searches[BENCH_PROGRAM_COUNT] = {0};
	uint64_t ceiling;

	if (find_ceiling(bench, found, &ceiling))
		return -1;
	for (unsigned program = 0; program < BENCH_NONE; program++)
		searches[program] = (struct search){.high = ceiling, .high_is_of_sender = true};
	for (unsigned step = 0; step < BENCH_FIND_STEPS; step++)
		for (unsigned program = 0; program < BENCH_NONE; program++)
			if (bench->settings.has_program[program] && bisect(bench, program, found, &searches[program]))
				return -1;
	for (unsigned try = 0; try < CONFIRM_TRIES; try++)
		for (unsigned program = 0; program < BENCH_NONE; program++)
			if (bench->settings.has_program[program] && confirm(bench, program, found, &searches[program]))
				return -1;
	for (unsigned program = 0; program < BENCH_NONE; program++)
		if (bench->settings.has_program[program]) {
			bool is_confirmed = searches[program].confirmed == BENCH_FIND_CONFIRMATIONS;

			found->maxima[program].is_known = true;
			found->maxima[program].is_of_sender = searches[program].high_is_of_sender;
			found->maxima[program].rate = is_confirmed ? searches[program].low : 0;
		}
	return 0;
}
