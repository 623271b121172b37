/* SPDX-License-Identifier: MIT */
/*
 * Reading option values. Each call prints one sentence on stderr and returns false when the text is not what the option
 * takes; *value is then unchanged.
 */
#ifndef VERDICT_TOOLS_OPTIONS_H
#define VERDICT_TOOLS_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/config/values.h"

/* `name` is the option as the user wrote it, "--maxlen". What the values are is in config/values.h. */
bool vd_option_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *value);
bool vd_option_verdict(const char *name, const char *text, enum vd_verdict *verdict);
bool vd_option_stats(const char *name, const char *text, enum vd_stats_form *form);

/* How often: seconds, or with a unit; 100 ms to an hour. */
bool vd_option_interval(const char *name, const char *text, unsigned *interval_ms);

/*
 * Reads the options of a subcommand: --help prints `help`, each other one is given to read(), which says false when it has
 * complained. `letters` as for getopt(), 'h' among them. optind is then where the rest begins. 0 go on, -1 help was given,
 * otherwise the exit code.
 */
int vd_options_read(const char *command, const char *help, const char *letters, const struct option *options,
		    bool (*read)(void *argument, int option, const char *text), void *argument, int argc, char **argv);

/* What getopt_long() could not read has been said by it; this points to the help. Returns the exit code. */
int vd_option_usage(const char *command);

#endif
