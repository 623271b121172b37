/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/program.h"
#include "tools/rules/rules.h"

/* The programs of both back ends of iptables; what tells whether the kernel has a table, and a target, for a legacy one. */
static const struct {
	const char *save, *restore;
} PROGRAMS[][VD_RULES_FAMILY_COUNT] = {
	[VD_RULES_LEGACY] = {{"iptables-legacy-save", "iptables-legacy-restore"}, {"ip6tables-legacy-save", "ip6tables-legacy-restore"}},
	[VD_RULES_COMPATIBLE] = {{"iptables-nft-save", "iptables-nft-restore"}, {"ip6tables-nft-save", "ip6tables-nft-restore"}},
};
static const char *const TABLE_NAMES[] = {"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"};
static const char *const TARGET_NAMES[] = {"/proc/thread-self/net/ip_tables_targets", "/proc/thread-self/net/ip6_tables_targets"};

static const struct vd_rules_set NOTHING;

static int no_memory(struct vd_error *error)
{
	return vd_error_set(error, -ENOMEM, "out of memory");
}

/* ---- programs ---- */

static bool is_forbidden(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);

	if (descriptor >= 0)
		close(descriptor);
	return descriptor < 0 && errno == EACCES;
}

/* Whether xt_NFQUEUE is there; if that cannot be told, it is. */
static bool knows_target(enum vd_rules_family family)
{
	FILE *file = fopen(TARGET_NAMES[family], "re");
	char line[64];
	bool is_known = !file;

	while (file && fgets(line, sizeof line, file))
		is_known |= !strcmp(line, "NFQUEUE\n");
	if (file)
		fclose(file);
	return is_known;
}

/* What it prints, for the caller to free; NULL with the sentence and -errno in *result. */
static char *run(enum vd_rules_backend backend, enum vd_rules_family family, const char *const *arguments, const char *input,
		 int *result, struct vd_error *error)
{
	char path[VD_PROGRAM_PATH_SIZE], *text;
	struct vd_program_run run = {.path = path, .arguments = arguments, .input = input};

	if (!vd_program_find(arguments[0], path, sizeof path)) {
		*result = vd_error_set(error, -ENOENT, "%s is not installed: install it (Debian: %s), or choose another --backend",
				       arguments[0], backend == VD_RULES_NFT ? "nftables" : "iptables");
		return NULL;
	}
	text = vd_program_run(&run);
	*result = text ? 0 : vd_rules_complain(backend, arguments[0], run.complaint, run.why, knows_target(family), error);
	return text;
}

/* ---- iptables ---- */

static int read_set(enum vd_rules_backend backend, enum vd_rules_family family, struct vd_rules_set *set, struct vd_error *error)
{
	const char *const arguments[] = {PROGRAMS[backend][family].save, NULL};
	char *text;
	int result;

	*set = NOTHING;
	if (backend == VD_RULES_LEGACY && is_forbidden(TABLE_NAMES[family])) /* it would say that there is nothing */
		return vd_rules_complain(backend, arguments[0], "Permission denied", "", true, error);
	text = run(backend, family, arguments, NULL, &result, error);
	if (text && vd_rules_set_read(set, text))
		result = no_memory(error);
	free(text);
	return result;
}

static int restore(enum vd_rules_backend backend, enum vd_rules_family family, const struct vd_rules_set *there,
		   const struct vd_rules_set *wanted, bool is_test, struct vd_error *error)
{
	const char *const arguments[] = {PROGRAMS[backend][family].restore, "--noflush", "--wait=5", is_test ? "--test" : NULL, NULL};
	char *input = NULL, *output;
	size_t size;
	FILE *file = open_memstream(&input, &size);
	int result;

	if (!file)
		return no_memory(error);
	vd_rules_set_write(file, there, wanted);
	if (fclose(file)) {
		free(input);
		return no_memory(error);
	}
	if (!*input) { /* nothing there, nothing wanted */
		free(input);
		return 0;
	}
	output = run(backend, family, arguments, input, &result, error);
	free(output);
	free(input);
	return result;
}

/* A table that was changed when a later one could not be gets what it had. */
static void put_back(enum vd_rules_backend backend, enum vd_rules_family family, const struct vd_rules_set *before,
		     struct vd_error *error)
{
	struct vd_rules_set now;
	struct vd_error ignored;
	int result = read_set(backend, family, &now, &ignored);

	if (!result)
		result = restore(backend, family, &now, before, false, &ignored);
	vd_rules_set_fini(&now);
	if (result) {
		size_t used = strlen(error->text);

		snprintf(error->text + used, sizeof error->text - used, "; and what was there could not be put back: see %s",
			 PROGRAMS[backend][family].save);
	}
}

static int apply_iptables(const struct vd_rules_plan *plan, enum vd_rules_backend backend, struct vd_error *error)
{
	struct vd_rules_set there[VD_RULES_FAMILY_COUNT] = {0}, wanted[VD_RULES_FAMILY_COUNT] = {0};
	char path[VD_PROGRAM_PATH_SIZE];
	int result = 0;

	for (unsigned i = 0; i < VD_RULES_FAMILY_COUNT && !result; i++) {
		enum vd_rules_family family = (enum vd_rules_family)i;

		if (!plan->families[i] && !vd_program_find(PROGRAMS[backend][i].save, path, sizeof path))
			continue;
		result = read_set(backend, family, &there[i], error);
		if (!result && plan->families[i] && vd_rules_set_plan(&wanted[i], plan, family))
			result = no_memory(error);
	}
	/* what can be seen without changing anything, before the first one is changed */
	for (unsigned i = 0; i < VD_RULES_FAMILY_COUNT && !result; i++)
		result = restore(backend, (enum vd_rules_family)i, &there[i], &wanted[i], true, error);
	for (unsigned i = 0; i < VD_RULES_FAMILY_COUNT && !result; i++) {
		result = restore(backend, (enum vd_rules_family)i, &there[i], &wanted[i], false, error);
		for (unsigned j = 0; j <= i && result; j++)
			put_back(backend, (enum vd_rules_family)j, &there[j], error);
	}
	for (unsigned i = 0; i < VD_RULES_FAMILY_COUNT; i++) {
		vd_rules_set_fini(&there[i]);
		vd_rules_set_fini(&wanted[i]);
	}
	return result;
}

/* ---- nft ---- */

/* What the plan says; without one, what takes a set away. */
static int run_nft(const struct vd_rules_plan *plan, bool keeps_chains, struct vd_error *error)
{
	static const char *const arguments[] = {"nft", "-f", "-", NULL};
	char *input = NULL, *output;
	size_t size;
	FILE *file = open_memstream(&input, &size);
	int result;

	if (file && plan)
		vd_rules_write_nft(file, plan, keeps_chains);
	else if (file)
		vd_rules_write_nft_removal(file);
	if (!file || fclose(file)) {
		free(input);
		return no_memory(error);
	}
	output = run(VD_RULES_NFT, VD_RULES_IPV4, arguments, input, &result, error);
	free(output);
	free(input);
	return result;
}

static int find_table(bool *is_there, struct vd_error *error)
{
	static const char *const arguments[] = {"nft", "list", "tables", NULL};
	int result;
	char *text = run(VD_RULES_NFT, VD_RULES_IPV4, arguments, NULL, &result, error), *rest = text, *line;

	*is_there = false;
	while (text && (line = strsep(&rest, "\n")))
		*is_there |= !strcmp(line, "table " VD_RULES_NFT_TABLE);
	free(text);
	return result;
}

static int apply_nft(const struct vd_rules_plan *plan, struct vd_error *error)
{
	static const char *const arguments[] = {"nft", "list", "table", "inet", "verdict", NULL};
	bool is_there, keeps_chains = false;
	int result = find_table(&is_there, error);

	if (!result && is_there) {
		char *listed = run(VD_RULES_NFT, VD_RULES_IPV4, arguments, NULL, &result, error);

		keeps_chains = listed && vd_rules_nft_keeps_chains(plan, listed);
		free(listed);
	}
	return result ? result : run_nft(plan, keeps_chains, error);
}

/* ---- any of them ---- */

static bool is_installed(enum vd_rules_backend backend)
{
	char path[VD_PROGRAM_PATH_SIZE];

	return vd_program_find(backend == VD_RULES_NFT ? "nft" : PROGRAMS[backend][VD_RULES_IPV4].save, path, sizeof path);
}

enum vd_rules_backend vd_rules_choose(void)
{
	static const char *const arguments[] = {"iptables", "--version", NULL};
	enum vd_rules_backend backend = VD_RULES_NFT;
	char path[VD_PROGRAM_PATH_SIZE], *text;
	struct vd_program_run run = {.path = path, .arguments = arguments};

	if (!vd_program_find("iptables", path, sizeof path))
		return VD_RULES_NFT;
	text = vd_program_run(&run);
	if (text)
		backend = strstr(text, "nf_tables") ? VD_RULES_COMPATIBLE : VD_RULES_LEGACY;
	free(text);
	return backend;
}

static int print_iptables(FILE *file, const struct vd_rules_plan *plan, enum vd_rules_backend backend)
{
	int result = 0;

	fprintf(file, "#!/bin/sh\n");
	vd_rules_write_head(file, plan, "sh");
	fprintf(file, "# Where such a set is already, --apply is the way: this script would add its jumps once more.\nset -e\n");
	for (unsigned i = 0; i < VD_RULES_FAMILY_COUNT && !result; i++) {
		struct vd_rules_set wanted;

		if (!plan->families[i])
			continue;
		result = vd_rules_set_plan(&wanted, plan, (enum vd_rules_family)i);
		if (!result) {
			fprintf(file, "\n%s --noflush <<'END'\n", PROGRAMS[backend][i].restore);
			vd_rules_set_write(file, &NOTHING, &wanted);
			fprintf(file, "END\n");
		}
		vd_rules_set_fini(&wanted);
	}
	return result;
}

int vd_rules_print(FILE *file, const struct vd_rules_plan *plan, enum vd_rules_backend backend)
{
	if (backend != VD_RULES_NFT)
		return print_iptables(file, plan, backend);
	vd_rules_write_nft(file, plan, false);
	return 0;
}

/* How many families have a set of this back end; or -errno. With `file` or `is_real`, it is printed how, or done. */
static int remove_iptables(FILE *file, enum vd_rules_backend backend, bool is_real, struct vd_error *error)
{
	char path[VD_PROGRAM_PATH_SIZE];
	int count = 0, result = 0;

	for (unsigned i = 0; i < VD_RULES_FAMILY_COUNT && !result; i++) {
		enum vd_rules_family family = (enum vd_rules_family)i;
		struct vd_rules_set there;

		if (i && !vd_program_find(PROGRAMS[backend][i].save, path, sizeof path))
			continue;
		result = read_set(backend, family, &there, error);
		if (!result && !vd_rules_set_is_empty(&there)) {
			count++;
			if (file) {
				fprintf(file, "%s --noflush <<'END'\n", PROGRAMS[backend][i].restore);
				vd_rules_set_write(file, &there, &NOTHING);
				fprintf(file, "END\n");
			} else if (is_real) {
				result = restore(backend, family, &there, &NOTHING, false, error);
			}
		}
		vd_rules_set_fini(&there);
	}
	return result ? result : count;
}

static int remove_nft(FILE *file, bool is_real, struct vd_error *error)
{
	bool is_there;
	int result = find_table(&is_there, error);

	if (!result && is_there && file)
		fprintf(file, "nft delete table " VD_RULES_NFT_TABLE "\n");
	else if (!result && is_there && is_real)
		result = run_nft(NULL, false, error);
	return result ? result : is_there;
}

static int remove_one(FILE *file, enum vd_rules_backend backend, bool is_real, struct vd_error *error)
{
	return backend == VD_RULES_NFT ? remove_nft(file, is_real, error) : remove_iptables(file, backend, is_real, error);
}

int vd_rules_remove(FILE *file, enum vd_rules_backend backend, struct vd_error *error)
{
	int count = 0;

	if (backend != VD_RULES_AUTO)
		return remove_one(file, backend, !file, error);
	for (unsigned i = 0; i < VD_RULES_BACKEND_COUNT; i++) {
		enum vd_rules_backend each = (enum vd_rules_backend)i;
		int result = is_installed(each) ? remove_one(NULL, each, false, error) : 0;

		if (result > 0)
			result = remove_one(file, each, !file, error);
		else if (result != -EPERM && result != -ENOMEM) /* a kernel without this back end has no rules of it */
			result = 0;
		if (result < 0)
			return result;
		count += result;
	}
	return count;
}

/* Two sets would queue each packet twice. */
static int check_others(enum vd_rules_backend backend, struct vd_error *error)
{
	struct vd_error ignored;

	for (unsigned i = 0; i < VD_RULES_BACKEND_COUNT; i++)
		if (i != backend && is_installed((enum vd_rules_backend)i) &&
		    remove_one(NULL, (enum vd_rules_backend)i, false, &ignored) > 0)
			return vd_error_set(error, -EEXIST,
					    "there is a set already, by %s: take it away first, with `verdict rules --remove --apply`",
					    vd_rules_backend_names[i]);
	return 0;
}

int vd_rules_apply(const struct vd_rules_plan *plan, enum vd_rules_backend backend, struct vd_error *error)
{
	int result = check_others(backend, error);

	if (result)
		return result;
	return backend == VD_RULES_NFT ? apply_nft(plan, error) : apply_iptables(plan, backend, error);
}
