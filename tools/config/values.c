/* SPDX-License-Identifier: MIT */
#include "tools/config/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a number at *text and moves it behind; false when there is none, or it is too large. */
static bool read_plain(const char **text, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	*value = strtoull(*text, &end, 0);
	*text = end;
	return !errno;
}

/* The same, with a unit. */
static bool read_number(const char **text, uint64_t *value)
{
	if (!read_plain(text, value))
		return false;
	for (const char *unit = "kmg"; *unit; unit++)
		if (tolower((unsigned char)**text) == *unit) {
			unsigned shift = (unsigned)(unit - "kmg" + 1) * 10;

			if (*value > UINT64_MAX >> shift)
				return false;
			*value <<= shift;
			++*text;
			break;
		}
	return true;
}

bool vd_value_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t number;

	if (!read_number(&text, &number) || *text || number < min || number > max)
		return false;
	*value = number;
	return true;
}

bool vd_value_range(const char *text, uint64_t min, uint64_t max, uint64_t *first, uint64_t *last)
{
	uint64_t from, to;
	bool good = read_number(&text, &from);

	to = from;
	if (good && *text == '-') {
		text++;
		good = read_number(&text, &to);
	}
	if (!good || *text || from < min || to > max || from > to)
		return false;
	*first = from;
	*last = to;
	return true;
}

bool vd_value_time(const char *text, uint64_t unit_us, uint64_t min, uint64_t max, uint64_t *value)
{
	static const struct {
		const char *name;
		uint64_t us;
	} UNITS[] = {{"us", 1},	     {"µs", 1},		 {"ms", 1000},	       {"s", 1000000},
		     {"min", 60000000}, {"h", 3600000000u}, {"d", 86400000000u}};
	uint64_t number, us = 0;

	if (!read_plain(&text, &number))
		return false;
	if (!*text)
		us = unit_us;
	for (unsigned i = 0; i < sizeof UNITS / sizeof *UNITS && !us; i++)
		if (!strcmp(text, UNITS[i].name))
			us = UNITS[i].us;
	if (!us || number > UINT64_MAX / us || number * us % unit_us)
		return false;
	number = number * us / unit_us;
	if (number < min || number > max)
		return false;
	*value = number;
	return true;
}

bool vd_value_verdict(const char *text, enum vd_verdict *verdict)
{
	if (!strcmp(text, "accept"))
		*verdict = VD_ACCEPT;
	else if (!strcmp(text, "drop"))
		*verdict = VD_DROP;
	else
		return false;
	return true;
}

bool vd_value_switch(const char *text, bool *value)
{
	static const char *const WORDS[] = {"no", "yes", "off", "on", "false", "true"};

	for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
		if (!strcmp(text, WORDS[i])) {
			*value = i % 2;
			return true;
		}
	return false;
}

bool vd_value_stats(const char *text, enum vd_stats_form *form)
{
	if (!strcmp(text, "text"))
		*form = VD_STATS_TEXT;
	else if (!strcmp(text, "json"))
		*form = VD_STATS_JSON;
	else if (!strcmp(text, "none"))
		*form = VD_STATS_NONE;
	else
		return false;
	return true;
}

bool vd_value_log(const char *text, enum vd_log_form *form)
{
	if (strcmp(text, "text") && strcmp(text, "json"))
		return false;
	*form = *text == 't' ? VD_LOG_TEXT : VD_LOG_JSON;
	return true;
}

bool vd_value_log_to(const char *text, enum vd_log_place *place)
{
	if (strcmp(text, "stderr") && strcmp(text, "journal"))
		return false;
	*place = *text == 's' ? VD_LOG_STDERR : VD_LOG_JOURNAL;
	return true;
}

bool vd_value_isolation(const char *text, enum vd_isolation *isolation)
{
	if (strcmp(text, "thread") && strcmp(text, "process"))
		return false;
	*isolation = *text == 't' ? VD_ISOLATION_THREAD : VD_ISOLATION_PROCESS;
	return true;
}

bool vd_value_cpus(const char *text, unsigned max, unsigned *cpus, unsigned size, unsigned *count)
{
	unsigned found = 0;
	char part[32];

	while (*text) {
		size_t length = strcspn(text, ",");
		uint64_t first, last;

		if (length >= sizeof part)
			return false;
		memcpy(part, text, length);
		part[length] = '\0';
		if (!vd_value_range(part, 0, max - 1, &first, &last))
			return false;
		for (uint64_t cpu = first; cpu <= last && found < size; cpu++)
			cpus[found++] = (unsigned)cpu;
		text += length + (text[length] == ',');
	}
	if (!found)
		return false;
	*count = found;
	return true;
}

bool vd_value_user(const char *text)
{
	size_t name = strcspn(text, ":");
	const char *group = text + name;

	for (const char *c = text; *c; c++)
		if (isspace((unsigned char)*c))
			return false;
	return name && (!*group || (group[1] && !strchr(group + 1, ':')));
}

bool vd_value_calls(const char *text)
{
	static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

	for (;;) {
		size_t length = strspn(text, LETTERS);

		text += length;
		if (!length || !*text)
			return length;
		if (*text++ != ',')
			return false;
	}
}

bool vd_value_control(const char *text)
{
	size_t length = strlen(text);

	if (strchr(text, '/'))
		return length <= VD_CONTROL_PATH_MAX && text[length - 1] != '/';
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return false;
	return length && length <= VD_CONTROL_NAME_MAX && *text != '.' && *text != '-';
}

bool vd_value_mode(const char *text, unsigned *mode)
{
	size_t length = strlen(text);

	if (!length || length > 4 || strspn(text, "01234567") != length || strtoul(text, NULL, 8) > 0777)
		return false;
	*mode = (unsigned)strtoul(text, NULL, 8);
	return true;
}
bool vd_value_address(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	const char *colon = strrchr(text, ':'), *first = text + (*text == '[');
	size_t length = colon ? (size_t)(colon - first) - (*text == '[') : 0;
	char host[INET6_ADDRSTRLEN];
	uint64_t port;
	bool is_v6 = false;

	if (!vd_value_number(colon ? colon + 1 : text, 1, UINT16_MAX, &port))
		return false;
	if (colon) {
		if (colon <= first || length >= sizeof host)
			return false;
		memcpy(host, first, length);
		host[length] = '\0';
		is_v6 = *text == '[' && colon[-1] == ']' && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
		if (!is_v6 && (*text == '[' || inet_pton(AF_INET, host, &v4.sin_addr) != 1))
			return false;
	}
	v4.sin_port = v6.sin6_port = htons((uint16_t)port);
	memset(address, 0, sizeof *address);
	if (is_v6)
		memcpy(address, &v6, sizeof v6);
	else
		memcpy(address, &v4, sizeof v4);
	return true;
}

unsigned vd_address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}
