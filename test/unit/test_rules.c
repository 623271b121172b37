/* SPDX-License-Identifier: MIT */
/*
 * verdict rules: the text that it makes for each back end; values; what does not go together; an earlier set, read from what
 * iptables-save shows, is replaced, removed and put back; and complaints of programs as sentences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tools/rules/complaint.c"
#include "tools/rules/iptables.c"
#include "tools/rules/nft.c"
#include "tools/rules/plan.c"

static const struct vd_rules_set nothing;
static struct vd_error error;

static const struct vd_rules_plan simple = {
	.hooks = BIT(VD_RULES_FORWARD),
	.families = {true, true},
	.has_bypass = true,
};

static const struct vd_rules_plan rich = {
	.queue_first = 2,
	.queue_last = 5,
	.hooks = BIT(VD_RULES_INPUT) | BIT(VD_RULES_FORWARD),
	.in = "eth+",
	.out = "wan0",
	.protocol = "icmp",
	.families = {true, true},
	.has_fanout = true,
	.connmark = 0x10,
	.connmask = 0xf0,
	.reject_mark = 0x100,
};

/* ---- text without comments ---- */

/* Drops comments, indents and empty lines. */
static char *bare(char *text)
{
	char *to = text, *from = text;

	while (*from) {
		size_t length;

		from += strspn(from, "\t\n");
		if (!*from)
			break;
		length = strcspn(from, "\n");
		if (*from != '#') {
			memmove(to, from, length);
			to += length;
			*to++ = '\n';
		}
		from += length;
	}
	*to = '\0';
	return text;
}

static char *text_of_set(const struct vd_rules_set *there, const struct vd_rules_set *wanted)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	vd_rules_set_write(file, there, wanted);
	fclose(file);
	return text;
}

static void assert_text(char *text, const char *wanted)
{
	assert_string_equal(bare(text), wanted);
	free(text);
}

static void assert_plan(const struct vd_rules_plan *plan, enum vd_rules_family family, const char *wanted)
{
	struct vd_rules_set set;

	assert_int_equal(vd_rules_set_plan(&set, plan, family), 0);
	assert_text(text_of_set(&nothing, &set), wanted);
	vd_rules_set_fini(&set);
}

static char *text_of_nft(const struct vd_rules_plan *plan)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	vd_rules_write_nft(file, plan, false);
	fclose(file);
	return text;
}

/* Every rule has its reason in the line before it, or further up behind comments. */
static void assert_explained(const char *text, const char *const *beginnings)
{
	bool was_comment = false;

	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		const char *begin = line + strspn(line, "\t");

		for (const char *const *beginning = beginnings; *beginning; beginning++)
			if (!strncmp(begin, *beginning, strlen(*beginning)) && !was_comment)
				fail_msg("no reason for: %.*s", (int)strcspn(begin, "\n"), begin);
		was_comment = *begin == '#' || (was_comment && !strncmp(begin, "-I", 2)); /* jumps share one */
	}
}

/* ---- what is printed ---- */

static void test_iptables_simple(void **state)
{
	(void)state;
	assert_plan(&simple, VD_RULES_IPV4,
		    "*mangle\n"
		    ":VERDICT - [0:0]\n"
		    "-A VERDICT -j NFQUEUE --queue-num 0 --queue-bypass\n"
		    "-I FORWARD -j VERDICT\n"
		    "COMMIT\n");
}

static void test_iptables_rich(void **state)
{
	(void)state;
	for (unsigned family = 0; family < VD_RULES_FAMILY_COUNT; family++) {
		char wanted[1024];

		snprintf(wanted, sizeof wanted,
			 "*filter\n"
			 ":VERDICT-MARK - [0:0]\n"
			 "-A VERDICT-MARK -m mark --mark 0x10/0xf0 -j CONNMARK --save-mark --nfmask 0xf0 --ctmask 0xf0\n"
			 "-I INPUT -j VERDICT-MARK\n"
			 "COMMIT\n"
			 "*mangle\n"
			 ":VERDICT - [0:0]\n"
			 ":VERDICT-MARK - [0:0]\n"
			 "-A VERDICT -m mark --mark 0x100 -j RETURN\n"
			 "-A VERDICT -m connmark --mark 0x10/0xf0 -j RETURN\n"
			 "-A VERDICT -p %s -j NFQUEUE --queue-balance 2:5 --queue-cpu-fanout\n"
			 "-A VERDICT-MARK -m mark --mark 0x10/0xf0 -j CONNMARK --save-mark --nfmask 0xf0 --ctmask 0xf0\n"
			 "-I INPUT -i eth+ -j VERDICT\n"
			 "-I FORWARD -i eth+ -o wan0 -j VERDICT\n"
			 "-I POSTROUTING -j VERDICT-MARK\n"
			 "COMMIT\n",
			 family == VD_RULES_IPV6 ? "ipv6-icmp" : "icmp");
		assert_plan(&rich, (enum vd_rules_family)family, wanted);
	}
}

/* Marks are saved where the hook's packets come later, and before they would be queued once more. */
static void test_iptables_behind(void **state)
{
	struct vd_rules_plan plan = simple;

	(void)state;
	plan.connmark = plan.connmask = 1;
	plan.hooks = BIT(VD_RULES_PREROUTING) | BIT(VD_RULES_FORWARD);
	assert_plan(&plan, VD_RULES_IPV4,
		    "*mangle\n"
		    ":VERDICT - [0:0]\n"
		    ":VERDICT-MARK - [0:0]\n"
		    "-A VERDICT -m connmark --mark 0x1/0x1 -j RETURN\n"
		    "-A VERDICT -j NFQUEUE --queue-num 0 --queue-bypass\n"
		    "-A VERDICT-MARK -m mark --mark 0x1/0x1 -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1\n"
		    "-I PREROUTING -j VERDICT\n"
		    "-I FORWARD -j VERDICT\n"
		    "-I INPUT -j VERDICT-MARK\n"
		    "-I FORWARD -j VERDICT-MARK\n"
		    "-I POSTROUTING -j VERDICT-MARK\n"
		    "COMMIT\n");
}

static void test_nft_simple(void **state)
{
	(void)state;
	assert_text(text_of_nft(&simple),
		    "table inet verdict\n"
		    "delete table inet verdict\n"
		    "table inet verdict {\n"
		    "chain undecided {\n"
		    "counter queue flags bypass to 0\n"
		    "}\n"
		    "chain forward {\n"
		    "type filter hook forward priority mangle; policy accept;\n"
		    "jump undecided\n"
		    "}\n"
		    "}\n");
}

static void test_nft_rich(void **state)
{
	struct vd_rules_plan plan = rich;

	(void)state;
	plan.families[VD_RULES_IPV4] = false;
	plan.match = "meta length 1000-65535";
	plan.has_bypass = true;
	assert_text(text_of_nft(&plan),
		    "table inet verdict\n"
		    "delete table inet verdict\n"
		    "table inet verdict {\n"
		    "chain undecided {\n"
		    "meta mark 0x100 return\n"
		    "ct mark & 0xf0 == 0x10 return\n"
		    "meta nfproto ipv6 meta l4proto { icmp, ipv6-icmp } meta length 1000-65535 counter queue flags bypass,fanout to 2-5\n"
		    "}\n"
		    "chain input {\n"
		    "type filter hook input priority mangle; policy accept;\n"
		    "iifname \"eth*\" jump undecided\n"
		    "}\n"
		    "chain input_mark {\n"
		    "type filter hook input priority mangle + 1; policy accept;\n"
		    "meta mark & 0xf0 == 0x10 ct mark set ct mark & 0xffffff0f | 0x10\n"
		    "}\n"
		    "chain forward {\n"
		    "type filter hook forward priority mangle; policy accept;\n"
		    "iifname \"eth*\" oifname \"wan0\" jump undecided\n"
		    "}\n"
		    "chain forward_mark {\n"
		    "type filter hook forward priority mangle + 1; policy accept;\n"
		    "meta mark & 0xf0 == 0x10 ct mark set ct mark & 0xffffff0f | 0x10\n"
		    "}\n"
		    "}\n");
}

/* What waits in the queues survives only if no hook loses its chain. */
static void test_nft_keeps_chains(void **state)
{
	static const char listed[] = "table inet verdict {\n"
				     "\tchain undecided {\n\t\tct mark & 0xf0 == 0x10 return comment \"chain output {\"\n\t}\n\n"
				     "\tchain input {\n\t\ttype filter hook input priority mangle; policy accept;\n\t}\n\n"
				     "\tchain input_mark {\n\t}\n}\n";
	struct vd_rules_plan plan = rich;
	char *text = NULL;
	size_t size;
	FILE *file;

	(void)state;
	assert_true(vd_rules_nft_keeps_chains(&plan, listed));
	assert_true(vd_rules_nft_keeps_chains(&plan, "table inet verdict {\n}\n"));
	assert_true(vd_rules_nft_keeps_chains(&plan, ""));
	plan.connmask = 0;
	assert_false(vd_rules_nft_keeps_chains(&plan, listed));
	plan = rich;
	plan.hooks = BIT(VD_RULES_FORWARD);
	assert_false(vd_rules_nft_keeps_chains(&plan, listed));
	assert_false(vd_rules_nft_keeps_chains(&plan, "\tchain forwards {\n"));
	assert_false(vd_rules_nft_keeps_chains(&plan, "\tchain _mark {\n"));
	assert_false(vd_rules_nft_keeps_chains(&plan, "\tchain mine"));

	file = open_memstream(&text, &size);
	vd_rules_write_nft(file, &rich, true);
	fclose(file);
	assert_non_null(strstr(text, "\ntable inet verdict\nflush table inet verdict\n"));
	assert_null(strstr(text, "delete"));
	free(text);
}

static void test_flags(void **state)
{
	static const struct {
		bool has_bypass, has_fanout;
		const char *nft, *iptables;
	} cases[] = {
		{false, false, "queue to 2-5\n", "--queue-balance 2:5\n"},
		{true, false, "queue flags bypass to 2-5\n", "--queue-balance 2:5 --queue-bypass\n"},
		{false, true, "queue flags fanout to 2-5\n", "--queue-balance 2:5 --queue-cpu-fanout\n"},
		{true, true, "queue flags bypass,fanout to 2-5\n", "--queue-balance 2:5 --queue-bypass --queue-cpu-fanout\n"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vd_rules_plan plan = rich;
		struct vd_rules_set set;
		char *text;

		plan.has_bypass = cases[i].has_bypass;
		plan.has_fanout = cases[i].has_fanout;
		text = text_of_nft(&plan);
		assert_non_null(strstr(text, cases[i].nft));
		free(text);
		assert_int_equal(vd_rules_set_plan(&set, &plan, VD_RULES_IPV4), 0);
		assert_non_null(strstr(set.parts[VD_RULES_MANGLE].rules, cases[i].iptables));
		vd_rules_set_fini(&set);
	}
}

static void test_explained(void **state)
{
	static const char *const iptables[] = {":", "-A", "-I", NULL};
	static const char *const nft[] = {"meta", "ct", "counter", "iifname", "jump", "table inet verdict\n", NULL};
	struct vd_rules_set set;
	char *text;

	(void)state;
	assert_int_equal(vd_rules_set_plan(&set, &rich, VD_RULES_IPV4), 0);
	for (unsigned table = 0; table < VD_RULES_TABLE_COUNT; table++) {
		assert_explained(set.parts[table].rules, iptables);
		assert_int_equal(*set.parts[table].jumps, '#');
	}
	vd_rules_set_fini(&set);
	text = text_of_nft(&rich);
	assert_explained(text, nft);
	free(text);
}

/* ---- an earlier set ---- */

static const char saved[] =
	"# Generated by iptables-save\n"
	"*mangle\n"
	":PREROUTING ACCEPT [0:0]\n"
	":OTHER - [0:0]\n"
	":VERDICT - [0:0]\n"
	":VERDICTS - [0:0]\n"
	":VERDICT-MARK - [0:0]\n"
	"-A FORWARD -j VERDICT-MARK\n"
	"-A FORWARD -i eth0 -j VERDICT\n"
	"-A FORWARD -j VERDICTS\n"
	"-A FORWARD -j OTHER\n"
	"-A OTHER -s 192.0.2.0/24 -j VERDICT\n"
	"-A VERDICT -j NFQUEUE --queue-num 9\n"
	"-A VERDICTS -j ACCEPT\n"
	"-A VERDICT-MARK -m mark --mark 0x1/0x1 -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1\n"
	"COMMIT\n"
	"*nat\n"
	":VERDICT - [0:0]\n"
	"-A PREROUTING -j VERDICT\n"
	"COMMIT\n"
	"*filter\n"
	":INPUT DROP [0:0]\n"
	"-A INPUT -m comment --comment \" -j VERDICT\" -j ACCEPT\n"
	"COMMIT\n";

static void test_removed(void **state)
{
	struct vd_rules_set there;

	(void)state;
	assert_int_equal(vd_rules_set_read(&there, saved), 0);
	assert_false(vd_rules_set_is_empty(&there));
	assert_text(text_of_set(&there, &nothing),
		    "*mangle\n"
		    ":VERDICT - [0:0]\n"
		    ":VERDICT-MARK - [0:0]\n"
		    "-D OTHER -s 192.0.2.0/24 -j VERDICT\n"
		    "-D FORWARD -i eth0 -j VERDICT\n"
		    "-D FORWARD -j VERDICT-MARK\n"
		    "-X VERDICT\n"
		    "-X VERDICT-MARK\n"
		    "COMMIT\n");
	vd_rules_set_fini(&there);
}

static void test_replaced(void **state)
{
	struct vd_rules_set there, wanted;

	(void)state;
	assert_int_equal(vd_rules_set_read(&there, saved), 0);
	assert_int_equal(vd_rules_set_plan(&wanted, &simple, VD_RULES_IPV4), 0);
	assert_text(text_of_set(&there, &wanted),
		    "*mangle\n"
		    ":VERDICT - [0:0]\n"
		    ":VERDICT-MARK - [0:0]\n"
		    "-D OTHER -s 192.0.2.0/24 -j VERDICT\n"
		    "-D FORWARD -i eth0 -j VERDICT\n"
		    "-D FORWARD -j VERDICT-MARK\n"
		    "-A VERDICT -j NFQUEUE --queue-num 0 --queue-bypass\n"
		    "-I FORWARD -j VERDICT\n"
		    "-X VERDICT-MARK\n"
		    "COMMIT\n");
	vd_rules_set_fini(&there);
	vd_rules_set_fini(&wanted);
}

/* What was read can be put in place again: each rule, and the jumps in their order. */
static void test_put_back(void **state)
{
	struct vd_rules_set before, now;

	(void)state;
	assert_int_equal(vd_rules_set_read(&before, saved), 0);
	assert_int_equal(vd_rules_set_read(&now, "*filter\n:VERDICT-MARK - [0:0]\n-A INPUT -j VERDICT-MARK\nCOMMIT\n"), 0);
	assert_text(text_of_set(&now, &before),
		    "*filter\n"
		    ":VERDICT-MARK - [0:0]\n"
		    "-D INPUT -j VERDICT-MARK\n"
		    "-X VERDICT-MARK\n"
		    "COMMIT\n"
		    "*mangle\n"
		    ":VERDICT - [0:0]\n"
		    ":VERDICT-MARK - [0:0]\n"
		    "-A VERDICT -j NFQUEUE --queue-num 9\n"
		    "-A VERDICT-MARK -m mark --mark 0x1/0x1 -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1\n"
		    "-I OTHER -s 192.0.2.0/24 -j VERDICT\n"
		    "-I FORWARD -i eth0 -j VERDICT\n"
		    "-I FORWARD -j VERDICT-MARK\n"
		    "COMMIT\n");
	vd_rules_set_fini(&before);
	vd_rules_set_fini(&now);
}

static void test_nothing_there(void **state)
{
	static const char *const texts[] = {"", "\n", "*mangle\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", ":VERDICT - [0:0]\n-A X -j VERDICT\n"};

	(void)state;
	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct vd_rules_set there;

		assert_int_equal(vd_rules_set_read(&there, texts[i]), 0);
		assert_true(vd_rules_set_is_empty(&there));
		assert_text(text_of_set(&there, &nothing), "");
		vd_rules_set_fini(&there);
	}
}

/* ---- values ---- */

static void test_values(void **state)
{
	static const char *const interfaces[] = {"eth0", "eth+", "br-lan.7", "a", "veth_1@x", "fifteen-letters"};
	static const char *const no_interfaces[] = {"", "+", "-i", "eth 0", "e+h", "eth0\n", "\"", "sixteen--letters", "eth*", "$x", "a/b"};
	static const char *const no_marks[] = {"", "0", "1/", "1/0", "2/1", "0x1/0x100000000", "x", "1/1/1", "-1", "/1"};
	bool families[VD_RULES_FAMILY_COUNT];
	uint32_t mark, mask;
	unsigned hooks = 0;

	(void)state;
	assert_true(vd_rules_read_hooks("input", &hooks));
	assert_true(vd_rules_read_hooks("output,postrouting,output", &hooks));
	assert_int_equal(hooks, BIT(VD_RULES_INPUT) | BIT(VD_RULES_OUTPUT) | BIT(VD_RULES_POSTROUTING));
	assert_false(vd_rules_read_hooks("forward,", &hooks));
	assert_false(vd_rules_read_hooks("", &hooks));
	assert_false(vd_rules_read_hooks("forward,inputs", &hooks));
	assert_int_equal(hooks, BIT(VD_RULES_INPUT) | BIT(VD_RULES_OUTPUT) | BIT(VD_RULES_POSTROUTING));
	for (unsigned i = 0; i < sizeof interfaces / sizeof *interfaces; i++)
		assert_true(vd_rules_read_interface(interfaces[i]));
	for (unsigned i = 0; i < sizeof no_interfaces / sizeof *no_interfaces; i++)
		assert_false(vd_rules_read_interface(no_interfaces[i]));
	assert_true(vd_rules_read_mark("0x10/0xf0", &mark, &mask));
	assert_true(mark == 0x10 && mask == 0xf0);
	assert_true(vd_rules_read_mark("7", &mark, &mask));
	assert_true(mark == 7 && mask == UINT32_MAX);
	for (unsigned i = 0; i < sizeof no_marks / sizeof *no_marks; i++)
		assert_false(vd_rules_read_mark(no_marks[i], &mark, &mask));
	assert_true(vd_rules_read_families("ipv4", families) && families[VD_RULES_IPV4] && !families[VD_RULES_IPV6]);
	assert_true(vd_rules_read_families("ipv6", families) && !families[VD_RULES_IPV4] && families[VD_RULES_IPV6]);
	assert_true(vd_rules_read_families("both", families) && families[VD_RULES_IPV4] && families[VD_RULES_IPV6]);
	assert_true(vd_rules_read_protocol("255") && vd_rules_read_protocol("gre") && vd_rules_read_protocol("1"));
	assert_false(vd_rules_read_protocol("0") || vd_rules_read_protocol("256") || vd_rules_read_protocol("ip") ||
		     vd_rules_read_protocol("0x6") || vd_rules_read_protocol("6k") || vd_rules_read_protocol(""));
}

static void assert_refused(const struct vd_rules_plan *plan, enum vd_rules_backend backend, const char *part)
{
	assert_int_equal(vd_rules_check(plan, backend, &error), -EINVAL);
	if (!strstr(error.text, part))
		fail_msg("'%s' is not in: %s", part, error.text);
}

static void test_together(void **state)
{
	struct vd_rules_plan plan = rich;

	(void)state;
	for (unsigned backend = 0; backend < VD_RULES_BACKEND_COUNT; backend++)
		assert_int_equal(vd_rules_check(&rich, (enum vd_rules_backend)backend, &error), 0);
	plan.hooks |= BIT(VD_RULES_POSTROUTING);
	assert_refused(&plan, VD_RULES_LEGACY, "--backend nft");
	assert_refused(&plan, VD_RULES_COMPATIBLE, "--backend nft");
	assert_int_equal(vd_rules_check(&plan, VD_RULES_NFT, &error), 0);
	plan.in = NULL;
	assert_refused(&plan, VD_RULES_NFT, "packets in input have no outgoing interface");
	plan = rich;
	plan.reject_mark = 0x110;
	assert_refused(&plan, VD_RULES_NFT, "choose another one");
	plan = simple;
	plan.hooks = BIT(VD_RULES_INPUT);
	plan.in = "a";
	assert_int_equal(vd_rules_check(&plan, VD_RULES_NFT, &error), 0);
	plan.out = "b";
	assert_refused(&plan, VD_RULES_NFT, "--out b says nothing");
	plan = simple;
	plan.match = "ip saddr 192.0.2.1 drop; accept";
	assert_refused(&plan, VD_RULES_NFT, "without ';'");
	plan.match = "ip saddr 192.0.2.1 #";
	assert_refused(&plan, VD_RULES_NFT, "without ';'");
	plan.match = "-s 192.0.2.1\nCOMMIT";
	assert_refused(&plan, VD_RULES_LEGACY, "one line");
	plan.match = " ";
	assert_refused(&plan, VD_RULES_LEGACY, "not ''");
}

/* ---- complaints ---- */

static void assert_complaint(enum vd_rules_backend backend, const char *complaint, bool knows_target, int code, const char *part)
{
	assert_int_equal(vd_rules_complain(backend, "program", complaint, "it ended with exit status 4", knows_target, &error), code);
	if (!strstr(error.text, part))
		fail_msg("'%s' is not in: %s", part, error.text);
	assert_null(strchr(error.text, '\n'));
}

static void test_complaints(void **state)
{
	char line[2000];

	(void)state;
	assert_complaint(VD_RULES_LEGACY, "iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'mangle'\n\n"
					  "Permission denied (you must be root)\n", true, -EPERM, "CAP_NET_ADMIN and CAP_NET_RAW");
	assert_complaint(VD_RULES_NFT, "Operation not permitted (you must be root)\n", true, -EPERM, "CAP_NET_ADMIN in the");
	assert_complaint(VD_RULES_LEGACY, "iptables-restore: line 9 failed\n", false, -EOPNOTSUPP, "no xt_NFQUEUE");
	assert_complaint(VD_RULES_LEGACY, "iptables-restore: line 9 failed\n", true, -EIO, "does not take these rules: iptables-restore: line 9");
	assert_complaint(VD_RULES_NFT, "/dev/stdin:15:3-25: Error: Could not process rule: No such file or directory\n"
				       "\t\tqueue flags bypass to 0\n", true, -EOPNOTSUPP, "no nft_queue");
	assert_complaint(VD_RULES_COMPATIBLE, "# Warning: legacy tables\niptables-nft-restore v1.8.9 (nf_tables): \n"
					      "line 8: RULE_APPEND failed (No such file or directory): rule in chain VERDICT\n", true,
			 -EOPNOTSUPP, "no nft_compat");
	assert_complaint(VD_RULES_COMPATIBLE, "# Warning: legacy tables\n\niptables-nft-restore: Couldn't load match `x'\n", true, -EIO,
			 "these rules: iptables-nft-restore: Couldn't load match `x'");
	assert_complaint(VD_RULES_NFT, "", true, -EIO, "program failed: it ended with exit status 4");
	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = '\0';
	assert_complaint(VD_RULES_NFT, line, true, -EIO, "xxxx");
	assert_complaint(VD_RULES_NFT, "\033[31mred\n", true, -EIO, "?[31mred");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iptables_simple), cmocka_unit_test(test_iptables_rich),
		cmocka_unit_test(test_iptables_behind), cmocka_unit_test(test_nft_simple),
		cmocka_unit_test(test_nft_rich),	cmocka_unit_test(test_flags),
		cmocka_unit_test(test_explained),	cmocka_unit_test(test_removed),
		cmocka_unit_test(test_replaced),	cmocka_unit_test(test_put_back),
		cmocka_unit_test(test_nothing_there),	cmocka_unit_test(test_values),
		cmocka_unit_test(test_together),	cmocka_unit_test(test_complaints),	cmocka_unit_test(test_nft_keeps_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
