/* SPDX-License-Identifier: MIT */
/* One reading of all there is: what queues were offered, what rules have counted, and the former again. ruled.c says why so. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ruled/private.h"

#define INTERRUPTED_LOOKS 10

/* What the kernel shows of its queues into statuses; how many, or -errno. */
static int read_statuses(struct vd_ruled_sources *sources)
{
	int count = vd_nfq_status_read(sources->status, sources->statuses, sources->status_room);

	while (count > (int)sources->status_room) {
		struct vd_nfq_status *larger = realloc(sources->statuses, (unsigned)count * sizeof *larger);

		if (!larger)
			return -ENOMEM;
		sources->statuses = larger;
		sources->status_room = (unsigned)count;
		count = vd_nfq_status_read(sources->status, sources->statuses, sources->status_room);
	}
	return count;
}

int vd_ruled_look_queues(struct vd_ruled_sources *sources, struct vd_ruled_queue *queues, unsigned queue_count)
{
	int count = read_statuses(sources);

	for (unsigned i = 0; i < queue_count; i++) {
		queues[i].is_bound = false;
		for (int j = 0; j < count; j++) {
			const struct vd_nfq_status *status = &sources->statuses[j];

			if (status->queue != queues[i].number)
				continue;
			queues[i].is_bound = true;
			queues[i].portid = status->portid;
			queues[i].offered = status->id_sequence + status->queue_dropped;
		}
	}
	return count < 0 ? count : 0;
}

/* A table that changes in the midst of it is read again, with all others. */
static int read_rules(struct vd_ruled_sources *sources, struct vd_ruled_rules *rules)
{
	int result = -EINTR;

	if (!sources->is_elsewhere)
		vd_ruled_legacy_open_again(&sources->legacy);
	for (unsigned looks = 0; looks < INTERRUPTED_LOOKS && result == -EINTR; looks++) {
		rules->count = 0;
		rules->has_computed = false;
		result = vd_ruled_legacy_read(&sources->legacy, rules);
		if (!result)
			result = vd_ruled_nft_read(&sources->nft, rules);
	}
	return result;
}

bool vd_ruled_has_ours(const void *argument, uint16_t first, uint16_t last)
{
	const struct vd_ruled_look *look = argument;

	for (unsigned i = 0; i < look->queue_count; i++)
		if (look->queues[i].number >= first && look->queues[i].number <= last)
			return true;
	return false;
}

void vd_ruled_look_take(struct vd_ruled_sources *sources, struct vd_ruled_look *look)
{
	struct vd_ruled_rules rules = {0};
	int result;

	look->error = vd_ruled_look_queues(sources, look->queues, look->queue_count);
	memcpy(look->before, look->queues, look->queue_count * sizeof *look->queues);
	result = read_rules(sources, &rules);
	if (!look->error)
		look->error = result;
	look->has_computed = rules.has_computed;
	look->sum_count = vd_ruled_sum(&rules, vd_ruled_has_ours, look, look->sums, VD_RULED_MAX);
	free(rules.rule);
	result = vd_ruled_look_queues(sources, look->queues, look->queue_count);
	if (!look->error)
		look->error = result;
}

/* ---- life ---- */

static int open_here(void *argument)
{
	struct vd_ruled_sources *sources = argument;

	vd_ruled_legacy_open(&sources->legacy);
	vd_ruled_nft_open(&sources->nft);
	sources->status = vd_nfq_status_open();
	return 0;
}

int vd_ruled_sources_open(struct vd_ruled_sources *sources, const char *netns)
{
	*sources = (struct vd_ruled_sources){.is_elsewhere = netns};
	return vd_nfq_in_netns(netns, open_here, sources);
}

void vd_ruled_sources_close(struct vd_ruled_sources *sources)
{
	vd_ruled_legacy_close(&sources->legacy);
	vd_ruled_nft_close(&sources->nft);
	if (sources->status >= 0)
		close(sources->status);
	free(sources->statuses);
}
