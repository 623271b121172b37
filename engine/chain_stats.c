/* SPDX-License-Identifier: MIT */
/*
 * What functions counted. A function that was replaced by a reload goes on counting until no thread has it any more; then the sum
 * takes its place, in one store, so that nobody who looks finds too little or counts anything twice.
 */
#include "engine/chain.h"
#include "engine/tally.h"

/* This one's own. */
static void add_tallies(const struct vd_chain *chain, const struct vd_link *link, struct vd_function_stats *stats)
{
	for (unsigned worker = 0; worker < chain->workers; worker++) {
		const struct vd_link_tally *tally = link->tallies[worker];

		stats->packets += vd_tally_read(&tally->packets);
		stats->faults += vd_tally_read(&tally->faults);
		stats->crashes += vd_tally_read(&tally->crashes);
		stats->hangs += vd_tally_read(&tally->hangs);
		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			stats->verdicts[verdict] += vd_tally_read(&tally->verdicts[verdict]);
		for (unsigned counter = 0; counter < link->names->counter_count; counter++)
			stats->counters[counter] += vd_tally_read(&tally->context.counters[counter]);
	}
}

void vd_chain_stats(const struct vd_chain *chain, const struct vd_link *link, struct vd_function_stats *stats)
{
	/* acquire, pairs with the release in vd_chain_fold() */
	const struct vd_past *past = atomic_load_explicit(&link->past, memory_order_acquire);

	*stats = past ? past->sum : (struct vd_function_stats){0};
	stats->name = link->names->name;
	stats->counter_count = link->names->counter_count;
	stats->counter_names = link->names->counters;
	if (past && past->predecessor)
		add_tallies(chain, past->predecessor, stats); /* as many workers */
	add_tallies(chain, link, stats);
}
