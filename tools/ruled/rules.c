/* SPDX-License-Identifier: MIT */
/*
 * Which queues belong together. Rules with the same queues count what these were offered together; and so do rules whose queues
 * overlap: of each alone it could not be told, of all of them it can.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/ruled/private.h"

int vd_ruled_add(struct vd_ruled_rules *rules, const struct vd_ruled_rule *rule)
{
	if (rules->count == rules->capacity) {
		unsigned capacity = rules->capacity ? 2 * rules->capacity : 16;
		struct vd_ruled_rule *larger = realloc(rules->rule, capacity * sizeof *larger);

		if (!larger)
			return -ENOMEM;
		rules->rule = larger;
		rules->capacity = capacity;
	}
	rules->rule[rules->count++] = *rule;
	return 0;
}

static int compare(const void *one, const void *other)
{
	return ((const struct vd_ruled_rule *)one)->first - ((const struct vd_ruled_rule *)other)->first;
}

unsigned vd_ruled_sum(struct vd_ruled_rules *rules, bool (*is_wanted)(const void *argument, uint16_t first, uint16_t last),
		      const void *argument, struct vd_ruled_range_sum *sums, unsigned size)
{
	unsigned count = 0, next = 0;

	if (rules->count)
		qsort(rules->rule, rules->count, sizeof *rules->rule, compare);
	while (next < rules->count) {
		struct vd_ruled_range_sum sum = {.first = rules->rule[next].first, .last = rules->rule[next].last};

		for (; next < rules->count && rules->rule[next].first <= sum.last; next++) {
			const struct vd_ruled_rule *rule = &rules->rule[next];

			if (rule->last > sum.last)
				sum.last = rule->last;
			sum.rules++;
			sum.uncounted += !rule->is_counted;
			sum.has_bypass |= rule->has_bypass;
			sum.packets += rule->packets;
		}
		if (is_wanted(argument, sum.first, sum.last) && count < size)
			sums[count++] = sum;
	}
	return count;
}
