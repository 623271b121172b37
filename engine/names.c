/* SPDX-License-Identifier: MIT */
#include "engine/names.h"

#include <stdlib.h>
#include <string.h>

static unsigned count(const char *const *names)
{
	unsigned number = 0;

	while (names && names[number])
		number++;
	return number;
}

static bool is_same(const struct vd_names *names, const struct vd_function *function)
{
	if (strcmp(names->name, function->name) || names->counter_count != count(function->counters))
		return false;
	for (unsigned i = 0; i < names->counter_count; i++)
		if (strcmp(names->counters[i], function->counters[i]))
			return false;
	return true;
}

/* All in one piece: the pointers, then what they point at. */
static struct vd_names *copy(const struct vd_function *function)
{
	unsigned counters = count(function->counters);
	size_t pointers = sizeof(struct vd_names) + (counters + 1) * sizeof(char *), size = pointers + strlen(function->name) + 1;
	struct vd_names *names;
	char *end;

	for (unsigned i = 0; i < counters; i++)
		size += strlen(function->counters[i]) + 1;
	names = malloc(size);
	if (!names)
		return NULL;
	end = (char *)names + pointers;
	names->name = end;
	end = stpcpy(end, function->name) + 1;
	names->counter_count = counters;
	for (unsigned i = 0; i < counters; i++) {
		names->counters[i] = end;
		end = stpcpy(end, function->counters[i]) + 1;
	}
	names->counters[counters] = NULL;
	return names;
}

const struct vd_names *vd_names_keep(struct vd_names **list, const struct vd_function *function)
{
	struct vd_names *names = *list;

	while (names && !is_same(names, function))
		names = names->next;
	if (names)
		return names;
	names = copy(function);
	if (names) {
		names->next = *list;
		*list = names;
	}
	return names;
}

void vd_names_free(struct vd_names **list)
{
	while (*list) {
		struct vd_names *names = *list;

		*list = names->next;
		free(names);
	}
}
