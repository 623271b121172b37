/* SPDX-License-Identifier: MIT */
/* What is written, as a value: of options and of keys alike. False: it is not that; *value is then unchanged. Prints nothing. */
#ifndef VERDICT_TOOLS_VALUES_H
#define VERDICT_TOOLS_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include <verdict/engine.h>

/* A whole number; k, m and g behind it are 1024 and its powers. */
bool vd_value_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* "N" or "A-B". */
bool vd_value_range(const char *text, uint64_t min, uint64_t max, uint64_t *first, uint64_t *last);

/* "200us", "2ms", "5s", "10min", "2h", "1d", in units of `unit_us` microseconds, as a mere number is too. Must be whole. */
bool vd_value_time(const char *text, uint64_t unit_us, uint64_t min, uint64_t max, uint64_t *value);

/* "accept" or "drop". */
bool vd_value_verdict(const char *text, enum vd_verdict *verdict);

/* "yes", "on", "true"; "no", "off", "false". */
bool vd_value_switch(const char *text, bool *value);

enum vd_stats_form {
	VD_STATS_TEXT,
	VD_STATS_JSON,
	VD_STATS_NONE,
};

/* "text", "json" or "none". */
bool vd_value_stats(const char *text, enum vd_stats_form *form);

enum vd_log_form {
	VD_LOG_TEXT,
	VD_LOG_JSON,
};

/* "text" or "json". */
bool vd_value_log(const char *text, enum vd_log_form *form);

enum vd_log_place {
	VD_LOG_STDERR,
	VD_LOG_JOURNAL,
};

/* "stderr" or "journal". */
bool vd_value_log_to(const char *text, enum vd_log_place *place);

/* "thread" or "process". */
bool vd_value_isolation(const char *text, enum vd_isolation *isolation);

/* "0-2,5": CPUs below `max`, into cpus[], as many as fit. At least one. */
bool vd_value_cpus(const char *text, unsigned max, unsigned *cpus, unsigned size, unsigned *count);

/* "filter", "filter:adm", "1000:1000": the form; whether there is one of that name shows later. */
bool vd_value_user(const char *text);

/* "socket,connect": the form as well. At least one. */
bool vd_value_calls(const char *text);

/* Whether a daemon's control socket can be called so: a name, or a path with a slash. */
#define VD_CONTROL_PATH_MAX 107 /* bytes of a path, unix(7) */
#define VD_CONTROL_NAME_MAX 64
bool vd_value_control(const char *text);

/* "0660": the permissions of a file, in octal. */
bool vd_value_mode(const char *text, unsigned *mode);
/* Where to listen: a port, of 127.0.0.1, or an address with a port, as in "192.0.2.1:9100" and "[::1]:9100". */
struct sockaddr_storage;
bool vd_value_address(const char *text, struct sockaddr_storage *address);

/* How long it is for bind(2). */
unsigned vd_address_size(const struct sockaddr_storage *address);

#endif
