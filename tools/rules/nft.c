/* SPDX-License-Identifier: MIT */
/*
 * One table for both families. Each hook has a chain that jumps to the common one, and, a step behind it in the same hook, one that
 * saves marks: an accepted packet goes on with the hook's next chain.
 */
#include <string.h>

#include "tools/rules/rules.h"

static void write_interface(FILE *file, const char *key, const char *name)
{
	size_t length = strlen(name);
	bool is_beginning = name[length - 1] == '+';

	fprintf(file, "%s \"%.*s%s\" ", key, (int)(length - is_beginning), name, is_beginning ? "*" : "");
}

static void write_hook(FILE *file, const struct vd_rules_plan *plan, enum vd_rules_hook hook)
{
	const char *name = vd_rules_hook_names[hook];

	fprintf(file, "\tchain %s {\n\t\ttype filter hook %s priority mangle; policy accept;\n\n", name, name);
	fprintf(file, "\t\t# to the rules above\n\t\t");
	if (plan->in && vd_rules_hook_has_in(hook))
		write_interface(file, "iifname", plan->in);
	if (plan->out && vd_rules_hook_has_out(hook))
		write_interface(file, "oifname", plan->out);
	fprintf(file, "jump undecided\n\t}\n");
	if (!plan->connmask)
		return;
	fprintf(file, "\n\t# " VD_RULES_WHY_PLACE "\n");
	fprintf(file, "\tchain %s_mark {\n\t\ttype filter hook %s priority mangle + 1; policy accept;\n\n", name, name);
	fprintf(file, "\t\t# " VD_RULES_WHY_SAVE "\n");
	fprintf(file, "\t\tmeta mark & 0x%x == 0x%x ct mark set ct mark & 0x%x | 0x%x\n\t}\n", plan->connmask, plan->connmark,
		~plan->connmask, plan->connmark);
}

static void write_queue_rule(FILE *file, const struct vd_rules_plan *plan)
{
	vd_rules_write_why_queue(file, plan, "\t\t");
	fprintf(file, "\t\t");
	if (!plan->families[VD_RULES_IPV6])
		fprintf(file, "meta nfproto ipv4 ");
	if (!plan->families[VD_RULES_IPV4])
		fprintf(file, "meta nfproto ipv6 ");
	if (plan->protocol && !strcmp(plan->protocol, "icmp"))
		fprintf(file, "meta l4proto { icmp, ipv6-icmp } ");
	else if (plan->protocol)
		fprintf(file, "meta l4proto %s ", plan->protocol);
	if (plan->match)
		fprintf(file, "%s ", plan->match);
	fprintf(file, "counter queue "); /* what is missing in the engine's accounts has passed undecided */
	if (plan->has_bypass || plan->has_fanout)
		fprintf(file, "flags %s%s%s ", plan->has_bypass ? "bypass" : "", plan->has_bypass && plan->has_fanout ? "," : "",
			plan->has_fanout ? "fanout" : "");
	fprintf(file, "to %u", plan->queue_first);
	if (plan->queue_last != plan->queue_first)
		fprintf(file, "-%u", plan->queue_last);
	fputc('\n', file);
}

/* Of a chain in the plan: "input", or with the mark's, "input_mark". */
static bool is_planned(const struct vd_rules_plan *plan, const char *name, size_t length)
{
	static const char suffix[] = "_mark";
	size_t suffix_length = strlen(suffix);

	if (length == strlen("undecided") && !strncmp(name, "undecided", length))
		return true;
	if (plan->connmask && length > suffix_length && !strncmp(name + length - suffix_length, suffix, suffix_length))
		length -= suffix_length;
	for (unsigned hook = 0; hook < VD_RULES_HOOK_COUNT; hook++)
		if (plan->hooks & 1u << hook && strlen(vd_rules_hook_names[hook]) == length &&
		    !strncmp(vd_rules_hook_names[hook], name, length))
			return true;
	return false;
}

bool vd_rules_nft_keeps_chains(const struct vd_rules_plan *plan, const char *listed)
{
	static const char chain[] = "\tchain ";

	for (const char *line = listed; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, chain, strlen(chain))) {
			const char *name = line + strlen(chain);

			if (!is_planned(plan, name, strcspn(name, " {\n")))
				return false;
		}
	return true;
}

void vd_rules_write_nft(FILE *file, const struct vd_rules_plan *plan, bool keeps_chains)
{
	fprintf(file, "#!/usr/sbin/nft -f\n");
	vd_rules_write_head(file, plan, "nft -f");
	fprintf(file, "\n# the rules of an earlier set go; first there has to be one; nft does all of this at once\n");
	if (keeps_chains)
		fprintf(file, "table " VD_RULES_NFT_TABLE "\nflush table " VD_RULES_NFT_TABLE "\n");
	else
		vd_rules_write_nft_removal(file);
	fprintf(file, "\ntable " VD_RULES_NFT_TABLE " {\n\tchain undecided {\n");
	if (plan->reject_mark)
		fprintf(file, "\t\t# " VD_RULES_WHY_REJECT "\n\t\tmeta mark 0x%x return\n", plan->reject_mark);
	if (plan->connmask)
		fprintf(file, "\t\t# " VD_RULES_WHY_CONNMARK "\n\t\tct mark & 0x%x == 0x%x return\n", plan->connmask, plan->connmark);
	write_queue_rule(file, plan);
	fprintf(file, "\t}\n");
	for (unsigned hook = 0; hook < VD_RULES_HOOK_COUNT; hook++)
		if (plan->hooks & 1u << hook) {
			fputc('\n', file);
			write_hook(file, plan, (enum vd_rules_hook)hook);
		}
	fprintf(file, "}\n");
}

void vd_rules_write_nft_removal(FILE *file)
{
	fprintf(file, "table " VD_RULES_NFT_TABLE "\ndelete table " VD_RULES_NFT_TABLE "\n");
}
