/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: values from the command line, and the schedule of the sender.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"

const char *const bench_program_names[BENCH_PROGRAM_COUNT] = {"verdict", "yardstick", "none"};

/* One value of a list, `length` bytes long. */
static bool read_value(const char *text, size_t length, uint64_t *value)
{
	uint64_t unit = 1;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (*end == 'k')
		unit = 1000;
	else if (*end == 'M')
		unit = 1000000;
	end += unit > 1;
	if (errno || end != text + length || *value > UINT64_MAX / unit)
		return false;
	*value *= unit;
	return true;
}

bool bench_read_list(const char *option, const char *text, uint64_t min, uint64_t max, bool has_max, struct bench_list *list)
{
	struct bench_list read = {0};
	const char *at = text;

	for (;; at++) {
		size_t length = strcspn(at, ",");
		uint64_t value = 0;
		bool is_max = has_max && length == 3 && !strncmp(at, "max", 3);

		if (!is_max && (!read_value(at, length, &value) || value < min || value > max)) {
			fprintf(stderr, "verdict: %s takes numbers from %" PRIu64 " to %" PRIu64
				"%s, with commas between and k and M for thousands and millions, not '%s'\n",
				option, min, max, has_max ? " or max" : "", text);
			return false;
		}
		if (read.count == BENCH_VALUES_MAX) {
			fprintf(stderr, "verdict: %s takes up to %u values, not '%s'\n", option, BENCH_VALUES_MAX, text);
			return false;
		}
		read.values[read.count++] = value;
		at += length;
		if (!*at)
			break;
	}
	*list = read;
	return true;
}

bool bench_read_seconds(const char *option, const char *text, uint64_t *nanoseconds)
{
	char *end;
	double value = strtod(text, &end);

	if (!isdigit((unsigned char)*text) || *end || !(value >= 0.05 && value <= 3600)) {
		fprintf(stderr, "verdict: %s takes seconds from 0.05 to 3600, not '%s'\n", option, text);
		return false;
	}
	*nanoseconds = (uint64_t)(value * BENCH_SECOND_NS + 0.5);
	return true;
}

bool bench_read_programs(const char *option, const char *text, bool *has_program)
{
	bool has[BENCH_PROGRAM_COUNT] = {[BENCH_VERDICT] = true};
	const char *at = text;

	for (;; at++) {
		size_t length = strcspn(at, ",");
		unsigned program = 0;

		while (program < BENCH_PROGRAM_COUNT && (strlen(bench_program_names[program]) != length ||
							 strncmp(at, bench_program_names[program], length)))
			program++;
		if (program == BENCH_PROGRAM_COUNT) {
			fprintf(stderr, "verdict: %s takes none, yardstick and verdict, with commas between, not '%s'\n",
				option, text);
			return false;
		}
		has[program] = true;
		at += length;
		if (!*at)
			break;
	}
	memcpy(has_program, has, sizeof has);
	return true;
}

void bench_describe(char *text, size_t size, const struct bench_traffic *traffic)
{
	char rate[32] = "", workers[32] = "";

	if (!traffic->rate)
		snprintf(rate, sizeof rate, ", as fast as possible");
	else if (traffic->rate != BENCH_RATE_ANY)
		snprintf(rate, sizeof rate, ", %" PRIu64 "/s", traffic->rate);
	if (traffic->workers)
		snprintf(workers, sizeof workers, ", %u worker%s", traffic->workers, traffic->workers == 1 ? "" : "s");
	snprintf(text, size, "%u bytes, %u flow%s%s%s", traffic->size, traffic->flows, traffic->flows == 1 ? "" : "s", rate,
		 workers);
}

uint64_t bench_due_ns(uint64_t rate, uint64_t start, uint64_t index, uint64_t now)
{
	if (!rate)
		return now;
	return start + (uint64_t)((unsigned __int128)index * BENCH_SECOND_NS / rate);
}

uint64_t bench_due_count(uint64_t rate, uint64_t start, uint64_t now)
{
	if (!rate)
		return UINT64_MAX;
	return (uint64_t)((unsigned __int128)(now - start) * rate / BENCH_SECOND_NS) + 1;
}
