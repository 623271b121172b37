/* SPDX-License-Identifier: MIT */
/*
 * verdict: finds the subcommand and calls it.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <verdict/engine.h>

#include "tools/commands.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} COMMANDS[] = {
	{"run", verdict_run, "read queues of the kernel and decide on their packets"},
	{"replay", verdict_replay, "run the same functions over a capture"},
	{"check", verdict_check, "say whether a configuration file is in order, and where it is not"},
	{"rules", verdict_rules, "print the firewall rules that send packets to the queues, or set them"},
	{"reload", verdict_reload, "have a running verdict read its configuration again"},
	{"stats", verdict_stats, "print what a running verdict has counted"},
	{"top", verdict_top, "watch a running verdict on the terminal"},
	{"dump", verdict_dump, "show packets that a running verdict decides on, for tcpdump and Wireshark"},
	{"doctor", verdict_doctor, "say what the kernel can do, who owns which queue, and what is wrong"},
	{"bench", verdict_bench, "measure how fast functions and this machine are"},
};
#define COMMAND_COUNT (sizeof COMMANDS / sizeof *COMMANDS)

static void help(FILE *file)
{
	fprintf(file, "verdict decides on packets that netfilter queues, by C functions.\n\n"
		      "usage: verdict COMMAND [OPTION ...]\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(file, "  %-8s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
	fprintf(file, "\n  --version, --help; `verdict COMMAND --help` shows a command's options and examples\n\n"
		      "example: drop what is not DNS, and count it\n"
		      "  iptables -A INPUT -p udp -j NFQUEUE --queue-num 0\n"
		      "  verdict run --queue 0 --function match:'udp port 53=accept' --default drop\n");
}

int main(int argc, char **argv)
{
	static char name[] = "verdict";

	signal(SIGPIPE, SIG_IGN); /* a reader of our output that goes away must not end the filter */
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(argv[1], COMMANDS[i].name)) {
			argv[1] = name; /* what getopt_long() calls us */
			return COMMANDS[i].run(argc - 1, argv + 1);
		}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
		puts(vd_version());
		return 0;
	}
	fprintf(stderr, "verdict: there is no command '%s'; `verdict --help` lists them\n", argv[1]);
	return EXIT_USAGE;
}
