/* SPDX-License-Identifier: MIT */
/*
 * For iptables-restore --noflush, which changes a table as a whole, or not at all, and empties a chain of ours that is declared:
 *
 *	*mangle
 *	:VERDICT - [0:0]				made, or emptied
 *	-D FORWARD -j VERDICT				as iptables-save shows an earlier set
 *	-A VERDICT -j NFQUEUE --queue-num 0
 *	-I FORWARD -j VERDICT
 *	COMMIT
 *
 * Packets are queued in the table mangle, whose chains come before those that filter. Their marks are saved in a chain that they
 * come to later.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/rules/rules.h"

static const char *const TABLES[VD_RULES_TABLE_COUNT] = {[VD_RULES_FILTER] = "filter", [VD_RULES_MANGLE] = "mangle"};

#define BIT(hook) (1u << (hook))

/* Where the packets of a hook pass later: bits of hooks of each table. Behind postrouting there is nothing. */
static const unsigned BEHIND[VD_RULES_HOOK_COUNT][VD_RULES_TABLE_COUNT] = {
	[VD_RULES_PREROUTING] = {[VD_RULES_MANGLE] = BIT(VD_RULES_INPUT) | BIT(VD_RULES_FORWARD)},
	[VD_RULES_INPUT] = {[VD_RULES_FILTER] = BIT(VD_RULES_INPUT)},
	[VD_RULES_FORWARD] = {[VD_RULES_MANGLE] = BIT(VD_RULES_POSTROUTING)},
	[VD_RULES_OUTPUT] = {[VD_RULES_MANGLE] = BIT(VD_RULES_POSTROUTING)},
};

void vd_rules_set_fini(struct vd_rules_set *set)
{
	for (unsigned table = 0; table < VD_RULES_TABLE_COUNT; table++) {
		free(set->parts[table].rules);
		free(set->parts[table].jumps);
	}
	*set = (struct vd_rules_set){0};
}

static bool is_empty(const struct vd_rules_part *part)
{
	return !part->has_chain && !part->has_mark_chain;
}

bool vd_rules_set_is_empty(const struct vd_rules_set *set)
{
	for (unsigned table = 0; table < VD_RULES_TABLE_COUNT; table++)
		if (!is_empty(&set->parts[table]))
			return false;
	return true;
}

/* ---- what is wanted ---- */

static void write_hook_name(FILE *file, enum vd_rules_hook hook)
{
	for (const char *c = vd_rules_hook_names[hook]; *c; c++)
		fputc(toupper((unsigned char)*c), file);
}

static void write_queue(FILE *file, const struct vd_rules_plan *plan, enum vd_rules_family family)
{
	vd_rules_write_why_queue(file, plan, "");
	fprintf(file, "-A " VD_RULES_CHAIN);
	if (plan->protocol)
		fprintf(file, " -p %s%s", family == VD_RULES_IPV6 && !strcmp(plan->protocol, "icmp") ? "ipv6-" : "", plan->protocol);
	if (plan->match)
		fprintf(file, " %s", plan->match);
	fprintf(file, " -j NFQUEUE");
	if (plan->queue_first == plan->queue_last)
		fprintf(file, " --queue-num %u", plan->queue_first);
	else
		fprintf(file, " --queue-balance %u:%u", plan->queue_first, plan->queue_last);
	fprintf(file, "%s%s\n", plan->has_bypass ? " --queue-bypass" : "", plan->has_fanout ? " --queue-cpu-fanout" : "");
}

static void write_queue_chain(FILE *file, const struct vd_rules_plan *plan, enum vd_rules_family family)
{
	if (plan->reject_mark)
		fprintf(file, "# " VD_RULES_WHY_REJECT "\n-A " VD_RULES_CHAIN " -m mark --mark 0x%x -j RETURN\n", plan->reject_mark);
	if (plan->connmask)
		fprintf(file, "# " VD_RULES_WHY_CONNMARK "\n-A " VD_RULES_CHAIN " -m connmark --mark 0x%x/0x%x -j RETURN\n", plan->connmark,
			plan->connmask);
	write_queue(file, plan, family);
}

static void write_mark_chain(FILE *file, const struct vd_rules_plan *plan)
{
	fprintf(file, "# " VD_RULES_WHY_SAVE "\n");
	fprintf(file, "-A " VD_RULES_MARK_CHAIN " -m mark --mark 0x%x/0x%x -j CONNMARK --save-mark --nfmask 0x%x --ctmask 0x%x\n",
		plan->connmark, plan->connmask, plan->connmask, plan->connmask);
}

static void write_queue_jumps(FILE *file, const struct vd_rules_plan *plan)
{
	fprintf(file, "# the hook's packets go through the rules above, before its other rules\n");
	for (unsigned hook = 0; hook < VD_RULES_HOOK_COUNT; hook++) {
		if (!(plan->hooks & BIT(hook)))
			continue;
		write_hook_name(file, (enum vd_rules_hook)hook);
		if (plan->in && vd_rules_hook_has_in((enum vd_rules_hook)hook))
			fprintf(file, " -i %s", plan->in);
		if (plan->out && vd_rules_hook_has_out((enum vd_rules_hook)hook))
			fprintf(file, " -o %s", plan->out);
		fprintf(file, " -j " VD_RULES_CHAIN "\n");
	}
}

static void write_mark_jumps(FILE *file, unsigned hooks)
{
	fprintf(file, "# " VD_RULES_WHY_PLACE "\n");
	for (unsigned hook = 0; hook < VD_RULES_HOOK_COUNT; hook++)
		if (hooks & BIT(hook)) {
			write_hook_name(file, (enum vd_rules_hook)hook);
			fprintf(file, " -j " VD_RULES_MARK_CHAIN "\n");
		}
}

static int plan_part(struct vd_rules_part *part, const struct vd_rules_plan *plan, enum vd_rules_family family,
		     enum vd_rules_table table)
{
	size_t rules_size, jumps_size;
	FILE *rules = open_memstream(&part->rules, &rules_size), *jumps = open_memstream(&part->jumps, &jumps_size);
	unsigned behind = 0;
	int result = -ENOMEM;

	for (unsigned hook = 0; hook < VD_RULES_HOOK_COUNT; hook++)
		if (plan->connmask && plan->hooks & BIT(hook))
			behind |= BEHIND[hook][table];
	part->has_chain = table == VD_RULES_MANGLE;
	part->has_mark_chain = behind;
	if (rules && jumps && part->has_chain) {
		write_queue_chain(rules, plan, family);
		write_queue_jumps(jumps, plan);
	}
	if (rules && jumps && behind) {
		write_mark_chain(rules, plan);
		write_mark_jumps(jumps, behind);
	}
	if (rules && jumps && !ferror(rules) && !ferror(jumps))
		result = 0;
	if (rules && fclose(rules))
		result = -ENOMEM;
	if (jumps && fclose(jumps))
		result = -ENOMEM;
	return result;
}

int vd_rules_set_plan(struct vd_rules_set *set, const struct vd_rules_plan *plan, enum vd_rules_family family)
{
	int result = 0;

	*set = (struct vd_rules_set){0};
	for (unsigned table = 0; table < VD_RULES_TABLE_COUNT && !result; table++)
		result = plan_part(&set->parts[table], plan, family, (enum vd_rules_table)table);
	return result;
}

/* ---- what is there ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && !strcmp(text + length - end_length, end);
}

static bool begins_with(const char *text, const char *beginning)
{
	return !strncmp(text, beginning, strlen(beginning));
}

/* Makes *text of BEFORE, the line, and AFTER, of which one is what was there. 0 or -ENOMEM. */
static int join(char **text, const char *before, const char *line, const char *after)
{
	char *joined;

	if (asprintf(&joined, "%s%s\n%s", before ? before : "", line, after ? after : "") < 0)
		return -ENOMEM;
	free(*text);
	*text = joined;
	return 0;
}

static int read_line(struct vd_rules_part *part, const char *line)
{
	if (begins_with(line, ":" VD_RULES_CHAIN " ")) {
		part->has_chain = true;
	} else if (begins_with(line, ":" VD_RULES_MARK_CHAIN " ")) {
		part->has_mark_chain = true;
	} else if (begins_with(line, "-A " VD_RULES_CHAIN " ") || begins_with(line, "-A " VD_RULES_MARK_CHAIN " ")) {
		return join(&part->rules, part->rules, line, NULL);
	} else if (begins_with(line, "-A ") &&
		   (ends_with(line, " -j " VD_RULES_CHAIN) || ends_with(line, " -j " VD_RULES_MARK_CHAIN))) {
		return join(&part->jumps, NULL, line + strlen("-A "), part->jumps);
	}
	return 0;
}

int vd_rules_set_read(struct vd_rules_set *set, const char *saved)
{
	char *copy = strdup(saved), *rest = copy, *line;
	struct vd_rules_part *part = NULL;
	int result = copy ? 0 : -ENOMEM;

	*set = (struct vd_rules_set){0};
	while (!result && (line = strsep(&rest, "\n"))) {
		if (*line == '*') {
			part = NULL;
			for (unsigned table = 0; table < VD_RULES_TABLE_COUNT; table++)
				if (!strcmp(line + 1, TABLES[table]))
					part = &set->parts[table];
		} else if (part) {
			result = read_line(part, line);
		}
	}
	free(copy);
	return result;
}

/* ---- from one to the other ---- */

/* Each line behind `word`; comments, if they are wanted, as they are. */
static void write_lines(FILE *file, const char *word, const char *lines, bool with_comments)
{
	while (lines && *lines) {
		int length = (int)strcspn(lines, "\n");

		if (*lines != '#')
			fprintf(file, "%s %.*s\n", word, length, lines);
		else if (with_comments)
			fprintf(file, "%.*s\n", length, lines);
		lines += length + (lines[length] == '\n');
	}
}

static void write_part(FILE *file, const char *table, const struct vd_rules_part *there, const struct vd_rules_part *wanted)
{
	fprintf(file, "*%s\n", table);
	if (!is_empty(wanted))
		fprintf(file, "# chains of our own, empty at first\n");
	if (there->has_chain || wanted->has_chain)
		fprintf(file, ":" VD_RULES_CHAIN " - [0:0]\n");
	if (there->has_mark_chain || wanted->has_mark_chain)
		fprintf(file, ":" VD_RULES_MARK_CHAIN " - [0:0]\n");
	write_lines(file, "-D", there->jumps, false);
	fputs(wanted->rules ? wanted->rules : "", file);
	write_lines(file, "-I", wanted->jumps, true);
	if (there->has_chain && !wanted->has_chain)
		fprintf(file, "-X " VD_RULES_CHAIN "\n");
	if (there->has_mark_chain && !wanted->has_mark_chain)
		fprintf(file, "-X " VD_RULES_MARK_CHAIN "\n");
	fprintf(file, "COMMIT\n");
}

void vd_rules_set_write(FILE *file, const struct vd_rules_set *there, const struct vd_rules_set *wanted)
{
	for (unsigned table = 0; table < VD_RULES_TABLE_COUNT; table++)
		if (!is_empty(&there->parts[table]) || !is_empty(&wanted->parts[table]))
			write_part(file, TABLES[table], &there->parts[table], &wanted->parts[table]);
}
