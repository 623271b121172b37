/* SPDX-License-Identifier: MIT */
/*
 * verdict check: whether `verdict run --config FILE` would take the file. Opens nothing in the kernel; functions are loaded, and
 * those with a mere name are opened and closed again, since what comes with verdict does nothing in that but read its arguments.
 * With --self-test all are opened, and see a packet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "tools/commands.h"
#include "tools/config/config.h"
#include "tools/options.h"
#include "tools/service/selftest.h"
#include "tools/privileges/privileges.h"

static const char HELP[] =
	"usage: verdict check [--self-test] FILE\n"
	"\n"
	"Reads a configuration file as `verdict run --config FILE` does, and says whether it is in order, or what is wrong with\n"
	"it and in which line. Reads no queue, and needs no privileges. Functions are looked for and loaded; those that come\n"
	"with verdict are also asked whether they take their arguments.\n"
	"\n"
	"  --self-test           also open every function, files too, and have them decide on a test packet, in a process of\n"
	"                        its own; what opening needs is needed here as well\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  verdict check /etc/verdict/verdict.conf\n"
	"  verdict check --self-test new.conf && mv new.conf /etc/verdict/verdict.conf\n"
	"\n"
	"exit status: 0 it is in order, 1 out of memory, 2 it is not in order, or wrong usage. More in verdict-check(1) and\n"
	"verdict.conf(5).\n";

static const struct option OPTIONS[] = {
	{"self-test", no_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool read_option(void *argument, int option, const char *text)
{
	bool *has_self_test = argument;

	(void)option; /* the only one */
	(void)text;
	*has_self_test = true;
	return true;
}

/* A file may do anything when it is opened. */
static bool is_file(const char *specification)
{
	size_t length = strcspn(specification, ":");

	return memchr(specification, '/', length) || (length > 3 && !strncmp(specification + length - 3, ".so", 3));
}

static int try_functions(const struct vd_settings *settings, struct vd_error *error)
{
	for (unsigned i = 0; i < settings->function_count; i++) {
		const struct vd_function_setting *function = &settings->functions[i];
		int result = is_file(function->specification) ? 0 : vd_engine_try_function(function->specification, error);

		if (result)
			return vd_origin_prefix(error, &function->origin, result);
	}
	return 0;
}

/* Returns the exit code. */
static int check(struct vd_config *config, const char *path, bool has_self_test)
{
	const struct vd_settings *settings = &config->settings;
	struct vd_privileges privileges;
	struct vd_engine *engine = NULL;
	struct vd_error error;
	int result = vd_config_read(config, path, &error);

	if (!result && !settings->queue_count)
		result = vd_origin_error(&error, &(struct vd_origin){.file = path}, -1, "there is no queue to read: write queue N into it");
	if (!result) {
		result = vd_privileges_init(&privileges, settings, &error);
		vd_privileges_fini(&privileges);
	}
	if (!result)
		result = vd_settings_check(settings, &error);
	if (!result)
		result = vd_settings_engine(settings, NULL, NULL, &engine, &error);
	if (!result)
		result = try_functions(settings, &error);
	vd_engine_destroy(engine);
	if (!result && has_self_test)
		result = vd_selftest(settings, &error);
	if (result) {
		fprintf(stderr, "verdict: %s\n", error.text);
		return EXIT_USAGE;
	}
	printf("%s: in order: %u queue%s, %u function%s\n", path, settings->queue_count, settings->queue_count == 1 ? "" : "s",
	       settings->function_count, settings->function_count == 1 ? "" : "s");
	return 0;
}

int verdict_check(int argc, char **argv)
{
	bool has_self_test = false;
	int result = vd_options_read("check", HELP, "h", OPTIONS, read_option, &has_self_test, argc, argv);
	struct vd_config *config;

	if (result)
		return result < 0 ? 0 : result;
	if (optind != argc - 1) {
		if (optind == argc)
			fprintf(stderr, "verdict: check needs a file to read: verdict check FILE\n");
		else
			fprintf(stderr, "verdict: check reads one file at a time, not '%s' as well\n", argv[optind + 1]);
		return vd_option_usage("check");
	}
	config = calloc(1, sizeof *config);
	if (!config) {
		fprintf(stderr, "verdict: out of memory\n");
		return 1;
	}
	result = check(config, argv[optind], has_self_test);
	vd_config_fini(config);
	free(config);
	return result;
}
