/* SPDX-License-Identifier: MIT */
#include "tools/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/commands.h"

/* Reads a number at *text and moves it behind; false when there is none, or it is too large. */
static bool read_number(const char **text, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	*value = strtoull(*text, &end, 0);
	if (errno)
		return false;
	for (const char *unit = "kmg"; *unit; unit++)
		if (tolower((unsigned char)*end) == *unit) {
			unsigned shift = (unsigned)(unit - "kmg" + 1) * 10;

			if (*value > UINT64_MAX >> shift)
				return false;
			*value <<= shift;
			end++;
			break;
		}
	*text = end;
	return true;
}

bool vd_option_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	const char *rest = text;
	uint64_t number;

	if (!read_number(&rest, &number) || *rest || number < min || number > max) {
		fprintf(stderr, "verdict: %s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'\n", name, min, max, text);
		return false;
	}
	*value = number;
	return true;
}

bool vd_option_range(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *first, uint64_t *last)
{
	const char *rest = text;
	uint64_t from, to;
	bool good = read_number(&rest, &from);

	to = from;
	if (good && *rest == '-') {
		rest++;
		good = read_number(&rest, &to);
	}
	if (!good || *rest || from < min || to > max || from > to) {
		fprintf(stderr, "verdict: %s takes a number or a range A-B from %" PRIu64 " to %" PRIu64 ", not '%s'\n", name, min,
			max, text);
		return false;
	}
	*first = from;
	*last = to;
	return true;
}

bool vd_option_verdict(const char *name, const char *text, enum vd_verdict *verdict)
{
	if (!strcmp(text, "accept"))
		*verdict = VD_ACCEPT;
	else if (!strcmp(text, "drop"))
		*verdict = VD_DROP;
	else
		return fprintf(stderr, "verdict: %s takes accept or drop, not '%s'\n", name, text), false;
	return true;
}

bool vd_option_stats(const char *name, const char *text, enum vd_stats_form *form)
{
	if (!strcmp(text, "text"))
		*form = VD_STATS_TEXT;
	else if (!strcmp(text, "json"))
		*form = VD_STATS_JSON;
	else if (!strcmp(text, "none"))
		*form = VD_STATS_NONE;
	else
		return fprintf(stderr, "verdict: %s takes text, json or none, not '%s'\n", name, text), false;
	return true;
}

int vd_option_usage(const char *command)
{
	fprintf(stderr, "verdict: `verdict %s --help` shows what it takes\n", command);
	return EXIT_USAGE;
}

int vd_options_read(const char *command, const char *help, const char *letters, const struct option *options,
		    bool (*read)(void *argument, int option, const char *text), void *argument, int argc, char **argv)
{
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return -1;
		}
		if (option == '?' || !read(argument, option, optarg))
			return vd_option_usage(command);
	}
	return 0;
}
