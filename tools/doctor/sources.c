/* SPDX-License-Identifier: MIT */
/* Runs the programs that print firewall rules: those that are installed. They look into the network namespace of the calling thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/doctor/doctor.h"
#include "tools/program.h"

/* The order matters: what iptables-nft-save shows is left out of what nft shows. */
struct command {
	const char *arguments[5]; /* the program first */
	enum doctor_back_end back_end;
	const char *family; /* NULL: the output names it */
	const char *tables; /* where a legacy program finds its tables: it says nothing when it may not read that */
	const char *unless[2]; /* only where neither of them is installed */
};

static const struct command commands[] = {
	{{"iptables-legacy-save"}, DOCTOR_LEGACY, "ip", "/proc/thread-self/net/ip_tables_names"},
	{{"ip6tables-legacy-save"}, DOCTOR_LEGACY, "ip6", "/proc/thread-self/net/ip6_tables_names"},
	{{"iptables-nft-save"}, DOCTOR_COMPATIBLE, "ip"},
	{{"ip6tables-nft-save"}, DOCTOR_COMPATIBLE, "ip6"},
	{{"iptables-save"}, DOCTOR_COMPATIBLE, "ip", NULL, {"iptables-legacy-save", "iptables-nft-save"}},
	{{"ip6tables-save"}, DOCTOR_COMPATIBLE, "ip6", NULL, {"ip6tables-legacy-save", "ip6tables-nft-save"}},
	{{"nft", "-s", "list", "ruleset"}, DOCTOR_NFT},
};

_Static_assert(sizeof commands / sizeof *commands == DOCTOR_SOURCES_MAX, "a source for each");

static int read_rules(struct doctor_rules *rules, const struct command *command, const char *text)
{
	return command->family ? doctor_rules_parse_iptables(rules, command->back_end, command->family, text) :
				 doctor_rules_parse_nft(rules, text);
}

static bool is_forbidden(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);

	if (descriptor >= 0)
		close(descriptor);
	return descriptor < 0 && errno == EACCES;
}

static int read_source(struct doctor_source *source, struct doctor_rules *rules, const struct command *command)
{
	char path[VD_PROGRAM_PATH_SIZE], *text;
	struct vd_program_run run = {.path = path, .arguments = command->arguments};
	int result;

	*source = (struct doctor_source){.name = command->arguments[0], .state = DOCTOR_NOT_INSTALLED};
	if (!vd_program_find(command->arguments[0], path, sizeof path))
		return 0;
	source->state = DOCTOR_FAILED;
	if (command->tables && is_forbidden(command->tables)) {
		snprintf(source->why, sizeof source->why, "only root may read %s", command->tables);
		return 0;
	}
	text = vd_program_run(&run);
	memcpy(source->why, run.why, sizeof source->why);
	if (!text)
		return 0;
	*source = (struct doctor_source){.name = source->name, .state = DOCTOR_READ};
	result = read_rules(rules, command, text);
	free(text);
	return result;
}

int doctor_sources_read(struct doctor_sources *sources, struct doctor_rules *rules)
{
	char path[VD_PROGRAM_PATH_SIZE];
	int result = 0;

	*sources = (struct doctor_sources){0};
	for (unsigned i = 0; i < DOCTOR_SOURCES_MAX && !result; i++) {
		const struct command *command = &commands[i];

		if (command->unless[0] && (vd_program_find(command->unless[0], path, sizeof path) ||
					   vd_program_find(command->unless[1], path, sizeof path) ||
					   !vd_program_find(command->arguments[0], path, sizeof path)))
			continue;
		result = read_source(&sources->source[sources->count++], rules, command);
	}
	return result;
}
