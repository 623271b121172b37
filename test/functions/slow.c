/* SPDX-License-Identifier: MIT */
/*
 * slow:MICROSECONDS[,sleep] takes that long for each packet, then leaves it to the next function. It computes; with `sleep`
 * it gives the CPU away.
 */
#include <ctype.h>
#include <stdlib.h>
#include <time.h>

#include <verdict/function.h>

struct slow {
	long ns;
	bool sleeps;
};

static int open_slow(struct vd_open *open, void **shared)
{
	char *end;
	unsigned long us = strtoul(open->arguments, &end, 10);
	struct slow *slow;

	if (!isdigit((unsigned char)*open->arguments) || us > 10000000 || (*end && strcmp(end, ",sleep")))
		return vd_open_error(open, "say slow:MICROSECONDS or slow:MICROSECONDS,sleep, up to 10000000, not '%s'",
				     open->arguments);
	slow = malloc(sizeof *slow);
	if (!slow)
		return -ENOMEM;
	slow->ns = (long)us * 1000;
	slow->sleeps = *end == ',';
	*shared = slow;
	return 0;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const struct slow *slow = state;
	struct timespec pause = {slow->ns / 1000000000, slow->ns % 1000000000};
	int64_t until = now_ns() + slow->ns;

	(void)packet;
	if (slow->sleeps)
		nanosleep(&pause, NULL);
	else
		while (now_ns() < until)
			;
	return VD_NEXT;
}

VD_FUNCTION(.name = "slow", .summary = "takes its time", .usage = "MICROSECONDS[,sleep]", .bytes = VD_HEADERS,
	    .open = open_slow, .close = free, .decide = decide);
