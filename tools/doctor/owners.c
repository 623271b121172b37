/* SPDX-License-Identifier: MIT */
/*
 * The queues that are read in this namespace, and which processes hold them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/doctor/doctor.h"

/* All statuses in one allocation; *count of them. */
static int read_statuses(int descriptor, struct vd_nfq_status **statuses, unsigned *count)
{
	unsigned size = 64;

	for (;;) {
		int found;

		*statuses = calloc(size, sizeof **statuses);
		if (!*statuses)
			return -ENOMEM;
		found = vd_nfq_status_read(descriptor, *statuses, size);
		if (found >= 0 && (unsigned)found <= size) {
			*count = (unsigned)found;
			return 0;
		}
		free(*statuses);
		*statuses = NULL;
		if (found < 0)
			return found;
		size = (unsigned)found + 64; /* more may come meanwhile */
	}
}

static void find_owners(struct doctor_queues *queues, struct doctor_queue *queue)
{
	/* one socket may own several queues, and looking walks through all of /proc */
	for (struct doctor_queue *known = queues->queue; known < queue; known++)
		if (known->status.portid == queue->status.portid) {
			queue->owner_count = known->owner_count;
			memcpy(queue->owners, known->owners, sizeof queue->owners);
			return;
		}
	queue->owner_count = vd_nfq_owner_find(queue->status.portid, queue->owners, DOCTOR_OWNERS_MAX);
	if (queue->owner_count < 0)
		queue->owner_count = 0;
}

/*
 * Ids are given out in order, so what was answered meanwhile is what was given out, less what was lost in the socket's buffer,
 * less what waits in addition.
 */
static bool was_answered(const struct vd_nfq_status *before, const struct vd_nfq_status *after)
{
	uint32_t given = after->id_sequence - before->id_sequence;
	uint32_t lost = after->user_dropped - before->user_dropped;

	return given - lost != after->waiting - before->waiting;
}

static void watch(int descriptor, struct doctor_queues *queues)
{
	struct timespec pause = {.tv_nsec = DOCTOR_WATCH_MS * 1000000L};
	bool any_waits = false;

	for (unsigned i = 0; i < queues->count; i++)
		any_waits |= queues->queue[i].status.waiting > 0;
	if (!any_waits)
		return;
	nanosleep(&pause, NULL);
	for (unsigned i = 0; i < queues->count; i++) {
		const struct vd_nfq_status *before = &queues->queue[i].status;
		struct vd_nfq_status after;

		queues->queue[i].is_stuck = before->waiting > 0 && !vd_nfq_status_of(descriptor, before->queue, &after) &&
					    after.portid == before->portid && after.waiting > 0 &&
					    !was_answered(before, &after);
	}
}

int doctor_queues_read(struct doctor_queues *queues)
{
	struct vd_nfq_status *statuses = NULL;
	int descriptor = vd_nfq_status_open(), result;
	unsigned count = 0;

	*queues = (struct doctor_queues){0};
	if (descriptor < 0)
		return descriptor;
	result = read_statuses(descriptor, &statuses, &count);
	if (!result && count) {
		queues->queue = calloc(count, sizeof *queues->queue);
		if (queues->queue)
			queues->count = count;
		else
			result = -ENOMEM;
	}
	for (unsigned i = 0; i < queues->count; i++) {
		queues->queue[i].status = statuses[i];
		find_owners(queues, &queues->queue[i]);
	}
	watch(descriptor, queues);
	free(statuses);
	close(descriptor);
	return result;
}

void doctor_queues_fini(struct doctor_queues *queues)
{
	free(queues->queue);
	*queues = (struct doctor_queues){0};
}
