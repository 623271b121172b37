/* SPDX-License-Identifier: MIT */
/*
 * /proc/net/netfilter/nfnetlink_queue, a line for each bound queue of a namespace:
 *
 *	queue  portid  waiting  copy mode  copy range  queue dropped  user dropped  id sequence  1
 *
 * An open descriptor keeps showing the namespace it was opened in.
 */
#include "nfq.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line has at most nine numbers of ten digits; 65,536 queues are all there can be. */
#define LINE_SIZE 128
#define TEXT_MAX (65536 * LINE_SIZE)

int vd_nfq_status_open(void)
{
	int descriptor = open("/proc/thread-self/net/netfilter/nfnetlink_queue", O_RDONLY | O_CLOEXEC);

	return descriptor < 0 ? -errno : descriptor;
}

/* The whole file, ended by a NUL; the caller frees it. */
static char *read_all(int descriptor)
{
	size_t size = 4096, used = 0;
	char *text = malloc(size);

	while (text) {
		ssize_t got = pread(descriptor, text + used, size - used - 1, (off_t)used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int saved = errno;

			free(text);
			errno = saved;
			return NULL;
		}
		if (got == 0) {
			text[used] = '\0';
			return text;
		}
		used += (size_t)got;
		if (size - used < LINE_SIZE) {
			char *larger = size < TEXT_MAX ? realloc(text, size * 2) : NULL;

			if (!larger) {
				free(text);
				errno = ENOMEM;
				return NULL;
			}
			text = larger;
			size *= 2;
		}
	}
	return NULL;
}

static bool read_line(const char *line, struct vd_nfq_status *status)
{
	return sscanf(line, "%" SCNu16 " %" SCNu32 " %" SCNu32 " %" SCNu8 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32,
		      &status->queue, &status->portid, &status->waiting, &status->copy_mode, &status->copy_range,
		      &status->queue_dropped, &status->user_dropped, &status->id_sequence) == 8;
}

int vd_nfq_status_read(int descriptor, struct vd_nfq_status *statuses, unsigned size)
{
	char *text = descriptor < 0 ? (errno = -descriptor, NULL) : read_all(descriptor);
	char *rest = text, *line;
	struct vd_nfq_status status;
	unsigned count = 0;

	if (!text)
		return -errno;
	while ((line = strsep(&rest, "\n")))
		if (read_line(line, &status)) {
			if (count < size)
				statuses[count] = status;
			count++;
		}
	free(text);
	return (int)count;
}

int vd_nfq_status_of(int descriptor, uint16_t queue, struct vd_nfq_status *status)
{
	char *text = descriptor < 0 ? (errno = -descriptor, NULL) : read_all(descriptor);
	char *rest = text, *line;
	int result = -ENOENT;

	if (!text)
		return -errno;
	while (result && (line = strsep(&rest, "\n")))
		if (read_line(line, status) && status->queue == queue)
			result = 0;
	free(text);
	return result;
}
