/* SPDX-License-Identifier: MIT */
/*
 * Finds the rules that queue in what the firewall programs print, and what the others do that concerns them. Pure: text
 * in, rules out.
 *
 * iptables-save; the target's options follow it:
 *
 *	*filter
 *	-A INPUT -p tcp -m comment --comment "a \"b\"" -j NFQUEUE --queue-balance 0:3 --queue-bypass --queue-cpu-fanout
 *
 * nft list ruleset; older releases write the second form, and what iptables-nft made looks like that in all of them:
 *
 *	table inet filter {
 *		chain input {
 *			tcp dport 80 queue flags bypass,fanout to 0-3
 *			tcp dport 80 queue num 0-3 bypass,fanout
 *			queue to symhash mod 4 offset 100
 *			queue to oifname map { "eth0" : 0, "eth1" : 2 }
 *			xt target "NFQUEUE"			(built without the iptables libraries; formerly: # xt_NFQUEUE)
 *
 * A word in quotation marks is never a keyword: comments may say what they like.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor/doctor.h"

#define WORD_SIZE DOCTOR_NAME_SIZE

/* ---- words ---- */

struct word {
	char text[WORD_SIZE]; /* cut to what fits */
	bool is_quoted;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next word off the line. In quotation marks, a backslash hides the next character if `escapes`. */
static bool next_word(const char **cursor, struct word *word, bool escapes)
{
	const char *c = *cursor;
	size_t used = 0;
	bool is_inside = false;

	while (is_space(*c))
		c++;
	if (!*c)
		return false;
	word->is_quoted = *c == '"';
	for (; *c && (is_inside || !is_space(*c)); c++) {
		if (*c == '"') {
			is_inside = !is_inside;
			continue;
		}
		if (escapes && is_inside && *c == '\\' && c[1])
			c++;
		if (used + 1 < sizeof word->text)
			word->text[used++] = *c;
	}
	word->text[used] = '\0';
	*cursor = c;
	return true;
}

static bool is_word(const struct word *word, const char *text)
{
	return !word->is_quoted && strcmp(word->text, text) == 0;
}

/* A decimal number up to 65535 at the beginning of the text; *end is what follows. */
static bool read_queue(const char *text, uint16_t *queue, const char **end)
{
	uint32_t value = 0;

	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		value = value * 10 + (uint32_t)(*text - '0');
		if (value > UINT16_MAX)
			return false;
	}
	*queue = (uint16_t)value;
	*end = text;
	return true;
}

/* "7", or "0-3" with '-' as separator. */
static bool read_range(const char *text, char separator, struct doctor_rule *rule)
{
	uint16_t first, last;
	const char *end;

	if (!read_queue(text, &first, &end))
		return false;
	last = first;
	if (*end == separator && !read_queue(end + 1, &last, &end))
		return false;
	if (*end || last < first)
		return false;
	rule->queue_first = first;
	rule->queue_last = last;
	rule->is_known = true;
	return true;
}

/* ---- the list ---- */

static void copy_printable(char *to, size_t size, const char *from)
{
	size_t used = 0;

	while (is_space(*from))
		from++;
	for (; *from && used + 1 < size; from++)
		to[used++] = *from == '\t' ? ' ' : *from < ' ' || *from > '~' ? '?' : *from;
	while (used && is_space(to[used - 1]))
		used--;
	to[used] = '\0';
}

static int add(struct doctor_rules *rules, const struct doctor_rule *rule)
{
	if (rules->count >= DOCTOR_RULES_MAX) {
		rules->left_out++;
		return 0;
	}
	if (rules->count == rules->capacity) {
		unsigned capacity = rules->capacity ? rules->capacity * 2 : 16;
		struct doctor_rule *larger = realloc(rules->rule, capacity * sizeof *larger);

		if (!larger)
			return -ENOMEM;
		rules->rule = larger;
		rules->capacity = capacity;
	}
	rules->rule[rules->count++] = *rule;
	return 0;
}

void doctor_rules_fini(struct doctor_rules *rules)
{
	free(rules->rule);
	*rules = (struct doctor_rules){0};
}

/* Calls `call` for each line, until it fails. */
static int for_each_line(const char *text, int (*call)(void *state, const char *line), void *state)
{
	char *copy = strdup(text), *rest = copy, *line;
	int result = copy ? 0 : -ENOMEM;

	while (!result && (line = strsep(&rest, "\n")))
		result = call(state, line);
	free(copy);
	return result;
}

/* ---- what else a rule says ---- */

static bool is_one_of(const struct word *word, const char *const *texts)
{
	for (; *texts; texts++)
		if (is_word(word, *texts))
			return true;
	return false;
}

/* A protocol, also as one of several: "tcp,". */
static bool is_protocol(const struct word *word, const char *name)
{
	size_t length = strlen(name);

	return !word->is_quoted && strncmp(word->text, name, length) == 0 && (!word->text[length] || word->text[length] == ',');
}

/* In the words of iptables and of nft, which have none in common that mean different things here. */
static void read_words(struct doctor_rules *rules, struct doctor_rule *rule, const char *cursor, bool escapes)
{
	static const char *const no_tracking[] = {"--notrack", "NOTRACK", "notrack", NULL};
	static const char *const flow_marks[] = {"connmark", "CONNMARK", "connbytes", NULL};
	static const char *const of_connection[] = {"mark", "bytes", "packets", NULL};
	static const char *const nat[] = {"MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP", "masquerade", "snat", "dnat", "redirect", NULL};
	struct word word, before = {.text = ""};

	while (next_word(&cursor, &word, escapes)) {
		rule->is_tcp |= is_protocol(&word, "tcp");
		rule->is_udp |= is_protocol(&word, "udp");
		rules->has_notrack |= is_one_of(&word, no_tracking);
		rules->has_flow_mark |= is_one_of(&word, flow_marks) || (is_word(&before, "ct") && is_one_of(&word, of_connection));
		rules->has_nat |= is_one_of(&word, nat);
		before = word;
	}
}

/* ---- iptables-save ---- */

struct iptables_state {
	struct doctor_rules *rules;
	enum doctor_back_end back_end;
	const char *family;
	char table[DOCTOR_NAME_SIZE];
};

/* The words behind -j NFQUEUE. */
static void read_target_options(struct doctor_rule *rule, const char *cursor)
{
	struct word word;

	rule->is_known = true; /* without a number it is queue 0 */
	while (next_word(&cursor, &word, true)) {
		if (is_word(&word, "--queue-num") || is_word(&word, "--queue-balance")) {
			rule->is_known = false;
			if (next_word(&cursor, &word, true))
				(void)read_range(word.text, ':', rule);
		} else if (is_word(&word, "--queue-bypass")) {
			rule->has_bypass = true;
		} else if (is_word(&word, "--queue-cpu-fanout")) {
			rule->has_fanout = true;
		}
	}
}

static int read_iptables_line(void *argument, const char *line)
{
	struct iptables_state *state = argument;
	struct doctor_rule rule = {.back_end = state->back_end};
	const char *cursor = line;
	struct word word, chain;

	if (!next_word(&cursor, &word, true))
		return 0;
	if (word.text[0] == '*') {
		copy_printable(state->table, sizeof state->table, word.text + 1);
		return 0;
	}
	if (word.text[0] == '[' && !next_word(&cursor, &word, true)) /* [packets:bytes], from iptables-save -c */
		return 0;
	if (!is_word(&word, "-A") || !next_word(&cursor, &chain, true))
		return 0;
	read_words(state->rules, &rule, cursor, true);
	while (next_word(&cursor, &word, true)) {
		if (!is_word(&word, "-j") && !is_word(&word, "--jump"))
			continue;
		if (!next_word(&cursor, &word, true))
			return 0;
		if (is_word(&word, "QUEUE"))
			rule.is_known = rule.is_plain_queue = true;
		else if (is_word(&word, "NFQUEUE"))
			read_target_options(&rule, cursor);
		else
			return 0;
		snprintf(rule.family, sizeof rule.family, "%s", state->family);
		memcpy(rule.table, state->table, sizeof rule.table);
		copy_printable(rule.chain, sizeof rule.chain, chain.text);
		copy_printable(rule.text, sizeof rule.text, line);
		return add(state->rules, &rule);
	}
	return 0;
}

int doctor_rules_parse_iptables(struct doctor_rules *rules, enum doctor_back_end back_end, const char *family, const char *text)
{
	struct iptables_state state = {.rules = rules, .back_end = back_end, .family = family, .table = "?"};

	return for_each_line(text, read_iptables_line, &state);
}

/* ---- nft list ruleset ---- */

#define DEPTH_CHAIN 2u /* of braces, inside a chain */

struct nft_state {
	struct doctor_rules *rules;
	unsigned depth;
	bool in_chain;
	char family[16];
	char table[DOCTOR_NAME_SIZE];
	char chain[DOCTOR_NAME_SIZE];
};

/* "bypass", "fanout", "bypass,fanout": false if it is something else. */
static bool read_flags(struct doctor_rule *rule, const struct word *word)
{
	const char *c = word->text;
	bool has_bypass = rule->has_bypass, has_fanout = rule->has_fanout;

	do {
		size_t length = strcspn(c, ",");

		if (length == 6 && memcmp(c, "bypass", 6) == 0)
			has_bypass = true;
		else if (length == 6 && memcmp(c, "fanout", 6) == 0)
			has_fanout = true;
		else if (length)
			return false;
		c += length;
	} while (*c && *++c);
	rule->has_bypass = has_bypass;
	rule->has_fanout = has_fanout;
	return true;
}

/* The words behind `queue`. */
static void read_queue_statement(struct doctor_rule *rule, const char *cursor)
{
	uint16_t modulus = 0, offset = 0;
	bool has_map = false, has_number = false;
	const char *end;
	struct word word;

	while (next_word(&cursor, &word, false) && !is_word(&word, "comment") && !is_word(&word, "#")) {
		if (is_word(&word, "flags") || is_word(&word, "num") || is_word(&word, "to") || read_flags(rule, &word))
			continue;
		if (!rule->is_computed && !has_number) {
			has_number = read_range(word.text, '-', rule);
			if (has_number)
				continue;
		}
		if (has_number)
			continue;
		rule->is_computed = true;
		if (is_word(&word, "map") || word.text[0] == '{' || word.text[0] == '@')
			has_map = true;
		else if (is_word(&word, "mod") && next_word(&cursor, &word, false))
			(void)read_queue(word.text, &modulus, &end);
		else if (is_word(&word, "offset") && next_word(&cursor, &word, false))
			(void)read_queue(word.text, &offset, &end);
	}
	if (!rule->is_computed) {
		rule->is_known = true; /* without a number it is queue 0 */
	} else if (modulus && !has_map && offset + modulus - 1 <= UINT16_MAX) {
		rule->is_known = true;
		rule->queue_first = offset;
		rule->queue_last = (uint16_t)(offset + modulus - 1);
	}
}

/* Whether the rule queues, and where. */
static bool read_nft_rule(struct doctor_rule *rule, const char *line)
{
	const char *cursor = line;
	struct word word, before = {.text = ""};

	while (next_word(&cursor, &word, false)) {
		if (is_word(&word, "#"))
			return next_word(&cursor, &word, false) && is_word(&word, "xt_NFQUEUE");
		if (is_word(&word, "queue") && !is_word(&before, "jump") && !is_word(&before, "goto")) {
			read_queue_statement(rule, cursor);
			return true;
		}
		if (is_word(&before, "target") && word.is_quoted && strcmp(word.text, "NFQUEUE") == 0)
			return true;
		before = word;
	}
	return false;
}

/* The rule that iptables-nft-save has shown already, if any; each stands for one of nft's. */
static bool was_shown(struct doctor_rules *rules, const struct doctor_rule *rule)
{
	for (unsigned i = 0; i < rules->count; i++) {
		struct doctor_rule *known = &rules->rule[i];

		if (known->back_end == DOCTOR_COMPATIBLE && !known->is_shown_again &&
		    strcmp(known->family, rule->family) == 0 && strcmp(known->table, rule->table) == 0 &&
		    strcmp(known->chain, rule->chain) == 0 &&
		    ((!rule->is_known && !rule->is_computed) ||
		     (known->queue_first == rule->queue_first && known->queue_last == rule->queue_last &&
		      known->has_bypass == rule->has_bypass))) {
			known->is_shown_again = true;
			return true;
		}
	}
	return false;
}

static void enter_table(struct nft_state *state, const char *cursor)
{
	struct word first, second;

	state->depth = 0; /* tables are never inside something: also a way out of text that was cut */
	state->in_chain = false;
	if (!next_word(&cursor, &first, false) || !next_word(&cursor, &second, false))
		return;
	if (second.text[0] == '{') { /* formerly, ip was left out */
		second = first;
		snprintf(first.text, sizeof first.text, "ip");
	}
	copy_printable(state->family, sizeof state->family, first.text);
	copy_printable(state->table, sizeof state->table, second.text);
}

static void count_braces(struct nft_state *state, const char *line)
{
	bool is_inside = false;

	for (const char *c = line; *c && (is_inside || *c != '#'); c++) {
		if (*c == '"')
			is_inside = !is_inside;
		else if (!is_inside && *c == '{')
			state->depth++;
		else if (!is_inside && *c == '}' && state->depth)
			state->depth--;
	}
	if (state->depth < DEPTH_CHAIN)
		state->in_chain = false;
}

static int read_nft_line(void *argument, const char *line)
{
	struct nft_state *state = argument;
	struct doctor_rule rule = {.back_end = DOCTOR_NFT};
	const char *cursor = line;
	struct word word;
	int result = 0;

	if (!next_word(&cursor, &word, false))
		return 0;
	if (is_word(&word, "table") && !is_space(line[0])) {
		enter_table(state, cursor);
	} else if (state->depth + 1 == DEPTH_CHAIN && is_word(&word, "chain") && next_word(&cursor, &word, false)) {
		copy_printable(state->chain, sizeof state->chain, word.text);
		state->in_chain = true;
		count_braces(state, line);
		state->in_chain = state->depth == DEPTH_CHAIN;
		return 0;
	} else if (state->in_chain && state->depth == DEPTH_CHAIN) {
		read_words(state->rules, &rule, line, false);
		if (read_nft_rule(&rule, line)) {
			memcpy(rule.family, state->family, sizeof rule.family);
			memcpy(rule.table, state->table, sizeof rule.table);
			memcpy(rule.chain, state->chain, sizeof rule.chain);
			copy_printable(rule.text, sizeof rule.text, line);
			if (!was_shown(state->rules, &rule))
				result = add(state->rules, &rule);
		}
	}
	count_braces(state, line);
	return result;
}

int doctor_rules_parse_nft(struct doctor_rules *rules, const char *text)
{
	struct nft_state state = {.rules = rules};

	return for_each_line(text, read_nft_line, &state);
}
