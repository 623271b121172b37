/* SPDX-License-Identifier: MIT */
/*
 * verdict rules: what options and a configuration file say becomes a plan of rules, which is printed, or applied.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "lib/nfq/nfq.h"
#include "tools/commands.h"
#include "tools/config/config.h"
#include "tools/options.h"
#include "tools/rules/rules.h"

static const char HELP[] =
	"usage: verdict rules --hook HOOK --queue N|A-B [OPTION ...]\n"
	"       verdict rules --hook HOOK --config FILE [OPTION ...]\n"
	"       verdict rules --remove [--apply] [--netns NAME] [--backend NAME]\n"
	"\n"
	"Prints the firewall rules that send packets to the queues that `verdict run` reads; sets them only with --apply. Their\n"
	"chains, or table, are called verdict: a later set replaces an earlier one, and --remove takes it away as a whole.\n"
	"\n"
	"which queues\n"
	"  --config FILE         the queues, netns and reject-mark of this file, as `verdict run` reads it; options win\n"
	"  --queue N|A-B         this queue; or spread over a range of them\n"
	"  --cpu-fanout          the CPU chooses among them, not a hash of the addresses\n"
	"  --netns NAME          in this network namespace (`ip netns`, or a path)\n"
	"\n"
	"which packets\n"
	"  --hook HOOK           prerouting, input, forward, output or postrouting; several with commas, or repeated\n"
	"  --in IFACE            that came in here; eth+ is all that begin with eth\n"
	"  --out IFACE           that go out here\n"
	"  --protocol NAME       tcp, udp, udplite, sctp, dccp, icmp (of both families), esp, ah, gre or a number\n"
	"  --match TEXT          more conditions, in the words of iptables or nft, as in '--dport 53' or 'udp dport 53'\n"
	"  --family NAME         ipv4, ipv6 or both (both)\n"
	"  --connmark MARK       leave out connections that a function marked so, VALUE or VALUE/MASK: for first and mark\n"
	"  --reject-mark MARK    leave out answers that have this mark, as for `verdict run`\n"
	"\n"
	"how\n"
	"  --bypass              packets pass while nobody reads the queue (the default)\n"
	"  --no-bypass           they are dropped\n"
	"  --backend NAME        iptables-legacy, iptables-nft, nft, or auto: what iptables is here, without it nft (auto)\n"
	"  --apply               set the rules, or with --remove take them away, instead of printing how; needs root\n"
	"  --remove              the other way: what takes away what is there, of all back ends\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  verdict rules --queue 0-3 --hook forward\n"
	"  verdict rules --config verdict.conf --hook input --protocol udp --apply\n"
	"  verdict rules --queue 0 --hook forward --connmark 0x1/0x1 --apply\n"
	"  verdict run --queue 0 --function ./filter.so --function first:8\n"
	"  verdict rules --remove --apply\n"
	"\n"
	"exit status: 0 done, 1 it could not be done, and nothing was changed, 2 wrong usage. More in verdict-rules(1).\n";

enum {
	OPTION_CONFIG = 256,
	OPTION_QUEUE,
	OPTION_NETNS,
	OPTION_REJECT_MARK,
	OPTION_CPU_FANOUT,
	OPTION_HOOK,
	OPTION_IN,
	OPTION_OUT,
	OPTION_PROTOCOL,
	OPTION_MATCH,
	OPTION_FAMILY,
	OPTION_CONNMARK,
	OPTION_BYPASS,
	OPTION_NO_BYPASS,
	OPTION_BACKEND,
	OPTION_APPLY,
	OPTION_REMOVE,
};

static const struct option OPTIONS[] = {
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"queue", required_argument, NULL, OPTION_QUEUE},
	{"cpu-fanout", no_argument, NULL, OPTION_CPU_FANOUT},
	{"netns", required_argument, NULL, OPTION_NETNS},
	{"hook", required_argument, NULL, OPTION_HOOK},
	{"in", required_argument, NULL, OPTION_IN},
	{"out", required_argument, NULL, OPTION_OUT},
	{"protocol", required_argument, NULL, OPTION_PROTOCOL},
	{"match", required_argument, NULL, OPTION_MATCH},
	{"family", required_argument, NULL, OPTION_FAMILY},
	{"connmark", required_argument, NULL, OPTION_CONNMARK},
	{"reject-mark", required_argument, NULL, OPTION_REJECT_MARK},
	{"bypass", no_argument, NULL, OPTION_BYPASS},
	{"no-bypass", no_argument, NULL, OPTION_NO_BYPASS},
	{"backend", required_argument, NULL, OPTION_BACKEND},
	{"apply", no_argument, NULL, OPTION_APPLY},
	{"remove", no_argument, NULL, OPTION_REMOVE},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

struct rules {
	struct vd_settings command; /* what the command line says */
	struct vd_config config;    /* and what the file says; then both */
	const char *config_path;    /* NULL: no file */
	struct vd_rules_plan plan;
	enum vd_rules_backend backend;
	bool shall_apply, shall_remove;
	const char *surplus; /* an option that says which rules: not for --remove */
	struct vd_error error;
};

static void say(const char *sentence)
{
	fprintf(stderr, "verdict: %s\n", sentence);
}

/* ---- options ---- */

static bool refuse(const char *name, const char *expects, const char *text)
{
	char shown[VD_SHOWN_SIZE];

	fprintf(stderr, "verdict: %s takes %s, not '%s'\n", name, expects, vd_show_text(text, shown));
	return false;
}

static bool read_key(struct rules *rules, enum vd_key key, const char *name, const char *text)
{
	if (!vd_setting_read(&rules->command.general[key], key, name, text, &(struct vd_origin){0}, &rules->error))
		return true;
	say(rules->error.text);
	return false;
}

static bool read_queue(struct rules *rules, const char *text)
{
	if (!vd_settings_add_queues(&rules->command, "--queue", text, NULL, &(struct vd_origin){0}, &rules->error))
		return true;
	say(rules->error.text);
	return false;
}

static bool read_option(void *argument, int option, const char *text)
{
	struct rules *rules = argument;
	struct vd_rules_plan *plan = &rules->plan;

	switch (option) {
	case OPTION_CONFIG:
		rules->config_path = text;
		return true;
	case OPTION_NETNS:
		return read_key(rules, VD_KEY_NETNS, "--netns", text);
	case OPTION_BACKEND:
		return vd_rules_read_backend(text, &rules->backend) ||
		       refuse("--backend", "iptables-legacy, iptables-nft, nft or auto", text);
	case OPTION_APPLY:
		rules->shall_apply = true;
		return true;
	case OPTION_REMOVE:
		rules->shall_remove = true;
		return true;
	}
	for (const struct option *known = OPTIONS; known->name; known++)
		if (known->val == option)
			rules->surplus = known->name;
	switch (option) {
	case OPTION_QUEUE:
		return read_queue(rules, text);
	case OPTION_REJECT_MARK:
		return read_key(rules, VD_KEY_REJECT_MARK, "--reject-mark", text);
	case OPTION_CPU_FANOUT:
		plan->has_fanout = true;
		return true;
	case OPTION_HOOK:
		return vd_rules_read_hooks(text, &plan->hooks) ||
		       refuse("--hook", "prerouting, input, forward, output or postrouting, several with commas", text);
	case OPTION_IN:
		plan->in = text;
		return vd_rules_read_interface(text) || refuse("--in", "the name of an interface, as in eth0 or eth+", text);
	case OPTION_OUT:
		plan->out = text;
		return vd_rules_read_interface(text) || refuse("--out", "the name of an interface, as in eth0 or eth+", text);
	case OPTION_PROTOCOL:
		plan->protocol = text;
		return vd_rules_read_protocol(text) ||
		       refuse("--protocol", "tcp, udp, udplite, sctp, dccp, icmp, esp, ah, gre or a number from 1 to 255", text);
	case OPTION_MATCH:
		plan->match = text;
		return true;
	case OPTION_FAMILY:
		return vd_rules_read_families(text, plan->families) || refuse("--family", "ipv4, ipv6 or both", text);
	case OPTION_CONNMARK:
		return vd_rules_read_mark(text, &plan->connmark, &plan->connmask) ||
		       refuse("--connmark", "VALUE or VALUE/MASK, where VALUE has bits of MASK only, and not none, as in 0x1/0x1", text);
	case OPTION_BYPASS:
	case OPTION_NO_BYPASS:
		plan->has_bypass = option == OPTION_BYPASS;
		return true;
	}
	return false;
}

/* ---- from settings to a plan ---- */

static int order(const void *a, const void *b)
{
	const struct vd_queue_setting *first = a, *second = b;

	return first->queue < second->queue ? -1 : first->queue > second->queue;
}

/* A rule has one queue, or a range without gaps. */
static int plan_queues(struct rules *rules)
{
	struct vd_settings *settings = &rules->config.settings;
	struct vd_rules_plan *plan = &rules->plan;

	qsort(settings->queues, settings->queue_count, sizeof *settings->queues, order);
	plan->queue_first = settings->queues[0].queue;
	plan->queue_last = settings->queues[settings->queue_count - 1].queue;
	for (unsigned i = 1; i < settings->queue_count; i++)
		if (settings->queues[i].queue != settings->queues[i - 1].queue + 1)
			return vd_error_set(&rules->error, -EINVAL,
					    "queues %u and %u have a gap between them, and a rule takes one queue, or a range: say --queue A-B",
					    settings->queues[i - 1].queue, settings->queues[i].queue);
	return 0;
}

static int plan_it(struct rules *rules)
{
	const struct vd_setting *general = rules->config.settings.general;
	struct vd_rules_plan *plan = &rules->plan;
	int result = plan_queues(rules);

	plan->netns = general[VD_KEY_NETNS].is_given ? general[VD_KEY_NETNS].text : NULL;
	plan->reject_mark = general[VD_KEY_REJECT_MARK].is_given ? (uint32_t)general[VD_KEY_REJECT_MARK].number : 0;
	return result ? result : vd_rules_check(plan, rules->backend, &rules->error);
}

/* The file, and the command line over it. Returns the exit code. */
static int read_config(struct rules *rules)
{
	if (rules->config_path && vd_config_read(&rules->config, rules->config_path, &rules->error)) {
		say(rules->error.text);
		return EXIT_USAGE;
	}
	vd_settings_overlay(&rules->config.settings, &rules->command);
	return 0;
}

/* 0 go on, -1 help was given, otherwise the exit code. */
static int read_options(struct rules *rules, int argc, char **argv)
{
	int result = vd_options_read("rules", HELP, "h", OPTIONS, read_option, rules, argc, argv);

	if (result)
		return result;
	if (optind < argc) {
		fprintf(stderr, "verdict: rules takes options only, not '%s'\n", argv[optind]);
		return vd_option_usage("rules");
	}
	if (rules->shall_remove && rules->surplus) {
		fprintf(stderr, "verdict: --remove takes away the whole set, so --%s does not go with it\n", rules->surplus);
		return vd_option_usage("rules");
	}
	if (!rules->shall_remove && !rules->plan.hooks) {
		fprintf(stderr, "verdict: rules needs to know which packets: --hook prerouting, input, forward, output or postrouting\n");
		return vd_option_usage("rules");
	}
	result = read_config(rules);
	if (!result && !rules->shall_remove && !rules->config.settings.queue_count) {
		fprintf(stderr, "verdict: rules needs a queue to send packets to: --queue N, or a --config that has one\n");
		return vd_option_usage("rules");
	}
	return result;
}

/* ---- what it does, in the network namespace ---- */

struct work {
	struct rules *rules;
	bool has_entered;
	int count; /* sets that were there, for --remove */
};

static int do_work(void *argument)
{
	struct work *work = argument;
	struct rules *rules = work->rules;

	work->has_entered = true;
	if (!rules->shall_remove)
		return vd_rules_apply(&rules->plan, rules->backend, &rules->error);
	work->count = vd_rules_remove(rules->shall_apply ? NULL : stdout, rules->backend, &rules->error);
	return work->count < 0 ? work->count : 0;
}

static void report(const struct rules *rules, int count)
{
	char queues[VD_RULES_QUEUES_SIZE];

	if (!rules->shall_remove)
		printf("the rules for %s are in place, by %s; `verdict rules --remove --apply` takes them away\n",
		       vd_rules_queues(&rules->plan, queues), vd_rules_backend_names[rules->backend]);
	else if (!count)
		printf(rules->shall_apply ? "there are no rules of verdict here\n" : "# there are no rules of verdict here\n");
	else if (rules->shall_apply)
		printf("the rules of verdict are gone\n");
}

/* Returns the exit code. */
static int work(struct rules *rules)
{
	struct work work = {.rules = rules};
	const char *netns = rules->config.settings.general[VD_KEY_NETNS].text;
	int result;

	if (!rules->shall_remove && rules->backend == VD_RULES_AUTO)
		rules->backend = vd_rules_choose();
	if (!rules->shall_remove && plan_it(rules)) {
		say(rules->error.text);
		return vd_option_usage("rules");
	}
	if (!rules->shall_remove && !rules->shall_apply) {
		if (!vd_rules_print(stdout, &rules->plan, rules->backend))
			return 0;
		say("out of memory");
		return 1;
	}
	result = vd_nfq_in_netns(netns, do_work, &work);
	if (result && !work.has_entered)
		vd_error_netns(&rules->error, netns, result);
	if (result)
		say(rules->error.text);
	else
		report(rules, work.count);
	return result ? 1 : 0;
}

int verdict_rules(int argc, char **argv)
{
	struct rules *rules = calloc(1, sizeof *rules);
	int result;

	if (!rules) {
		say("out of memory");
		return 1;
	}
	rules->backend = VD_RULES_AUTO;
	rules->plan.has_bypass = rules->plan.families[VD_RULES_IPV4] = rules->plan.families[VD_RULES_IPV6] = true;
	result = read_options(rules, argc, argv);
	if (!result)
		result = work(rules);
	vd_config_fini(&rules->config);
	free(rules);
	if (fflush(stdout)) {
		fprintf(stderr, "verdict: cannot write: %s\n", strerror(errno));
		return 1;
	}
	return result < 0 ? 0 : result;
}
