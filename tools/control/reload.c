/* SPDX-License-Identifier: MIT */
/*
 * verdict reload: has a running daemon read its configuration again, and says how that went.
 */
#include <errno.h>
#include <stdio.h>

#include "tools/commands.h"
#include "tools/control/client.h"
#include "tools/options.h"

/* Functions may take their time to open, and old ones to let go of their last packets. */
#define PATIENCE_MS 60000

static const char HELP[] =
	"usage: verdict reload [NAME|PATH]\n"
	"\n"
	"Has a running `verdict run --control NAME --config FILE` read its file again, and waits until the new configuration\n"
	"is in effect, or was refused: then one sentence says why, and nothing has changed.\n"
	"The name is 'default' if none is given; a path is that of the control socket, and has a slash in it.\n"
	"\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  verdict check /etc/verdict/default.conf && verdict reload\n"
	"  verdict reload /run/filter/control.sock\n"
	"\n"
	"exit status: 0 done, 1 refused or not answered, 2 wrong usage. What can change is in verdict.conf(5). More in\n"
	"verdict-reload(1).\n";

static const struct option OPTIONS[] = {
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool read_option(void *unused, int option, const char *text)
{
	(void)unused;
	(void)option;
	(void)text;
	return false; /* there is none but --help */
}

static int ask(const char *name)
{
	struct vd_client client;
	struct vd_error error;
	json_t *reply;
	int result = vd_client_connect(&client, name, VD_CLIENT_PATIENCE_MS, &error);

	if (!result) {
		result = vd_client_call(&client, json_pack("{s:s}", "command", "reload"), PATIENCE_MS, &reply, &error);
		if (!result)
			json_decref(reply);
		vd_client_close(&client);
	}
	if (result)
		fprintf(stderr, "verdict: %s\n", error.text);
	return result == -EINVAL ? EXIT_USAGE : result ? 1 : 0;
}

int verdict_reload(int argc, char **argv)
{
	int result = vd_options_read("reload", HELP, "h", OPTIONS, read_option, NULL, argc, argv);

	if (result)
		return result < 0 ? 0 : result;
	if (optind < argc - 1) {
		fprintf(stderr, "verdict: reload asks one daemon at a time, not '%s' as well\n", argv[optind + 1]);
		return vd_option_usage("reload");
	}
	return ask(optind < argc ? argv[optind] : VD_CONTROL_NAME_DEFAULT);
}
