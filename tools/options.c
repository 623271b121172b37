/* SPDX-License-Identifier: MIT */
#include "tools/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/commands.h"

bool vd_option_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	return vd_value_number(text, min, max, value) ||
	       (fprintf(stderr, "verdict: %s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'\n", name, min, max, text), false);
}

bool vd_option_verdict(const char *name, const char *text, enum vd_verdict *verdict)
{
	return vd_value_verdict(text, verdict) ||
	       (fprintf(stderr, "verdict: %s takes accept or drop, not '%s'\n", name, text), false);
}

bool vd_option_stats(const char *name, const char *text, enum vd_stats_form *form)
{
	return vd_value_stats(text, form) ||
	       (fprintf(stderr, "verdict: %s takes text, json or none, not '%s'\n", name, text), false);
}

bool vd_option_interval(const char *name, const char *text, unsigned *interval_ms)
{
	bool is_plain = strspn(text, "0123456789") == strlen(text);
	uint64_t value;

	if (is_plain ? !vd_value_time(text, 1000000, 1, 3600, &value) : !vd_value_time(text, 1000, 100, 3600000, &value)) {
		fprintf(stderr, "verdict: %s takes a time from 100ms to 1h, in seconds or as in 500ms, not '%s'\n", name, text);
		return false;
	}
	*interval_ms = (unsigned)(is_plain ? value * 1000 : value);
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
