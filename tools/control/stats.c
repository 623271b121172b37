/* SPDX-License-Identifier: MIT */
/*
 * verdict stats: what a running daemon has counted, once or again and again.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "tools/commands.h"
#include "tools/control/client.h"
#include "tools/options.h"
#include "tools/stats.h"

static const char HELP[] =
	"usage: verdict stats [NAME|PATH] [OPTION ...]\n"
	"\n"
	"Prints what a running `verdict run --control NAME` has counted since its start, as its own summary would.\n"
	"The name is 'default' if none is given; a path is that of the control socket, and has a slash in it.\n"
	"\n"
	"  --json                as JSON, one object\n"
	"  --watch TIME          a line each time this has passed, in seconds or as in 500ms, until the daemon ends\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  verdict run --queue 0 --function accept --control default &\n"
	"  verdict stats\n"
	"  verdict stats --json | jq '.queues[] | {queue, waiting, queue_dropped}'\n"
	"\n"
	"exit status: 0 done, 1 the daemon did not answer, or its end while it was watched, 2 wrong usage. More in\n"
	"verdict-stats(1).\n";

enum { OPTION_JSON = 256, OPTION_WATCH };

static const struct option OPTIONS[] = {
	{"json", no_argument, NULL, OPTION_JSON},
	{"watch", required_argument, NULL, OPTION_WATCH},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

struct stats {
	bool is_json;
	unsigned interval_ms; /* 0: once */
	struct vd_client client;
	struct vd_error error;
	struct vd_stats_read reads[2]; /* now, and before */
};

static bool read_option(void *argument, int option, const char *text)
{
	struct stats *stats = argument;

	if (option == OPTION_WATCH)
		return vd_option_interval("--watch", text, &stats->interval_ms);
	stats->is_json = true;
	return true;
}

static void print_head(const json_t *reply)
{
	const char *config = json_string_value(json_object_get(reply, "config"));
	char uptime[48];

	printf("%s, pid %lld, %s, %s%s\n", json_string_value(json_object_get(reply, "version")),
	       (long long)json_integer_value(json_object_get(reply, "pid")),
	       vd_stats_uptime(uptime, json_number_value(json_object_get(reply, "uptime"))),
	       config ? "configuration " : "no configuration file", config ? config : "");
}

static int print(struct stats *stats, json_t *reply, bool is_first)
{
	struct vd_stats_read *now = &stats->reads[0], *before = &stats->reads[1];

	if (!json_is_string(json_object_get(reply, "version")) || vd_stats_json_read(now, reply)) {
		snprintf(stats->error.text, sizeof stats->error.text, "what listens at %s does not answer as verdict does",
			 stats->client.address.sun_path);
		return -EPROTO;
	}
	if (stats->is_json) {
		json_object_del(reply, "ok");
		vd_stats_json_dump(stdout, reply);
		return 0;
	}
	if (is_first)
		print_head(reply);
	if (!stats->interval_ms)
		vd_stats_text_summary(stdout, &now->snapshot);
	else if (!is_first)
		vd_stats_text_line(stdout, &before->snapshot, &now->snapshot);
	fflush(stdout);
	*before = *now; /* of which only numbers are used later */
	return 0;
}

static int ask(struct stats *stats, const char *name)
{
	unsigned patience_ms = VD_CLIENT_PATIENCE_MS;
	json_t *request = json_pack("{s:s}", "command", "stats"), *reply;
	bool is_first = true;
	int result = vd_client_connect(&stats->client, name, patience_ms, &stats->error);

	if (result) {
		json_decref(request);
		return result;
	}
	if (stats->interval_ms)
		json_object_set_new(request, "every_ms", json_integer(stats->interval_ms));
	result = vd_client_call(&stats->client, request, patience_ms, &reply, &stats->error);
	while (!result) {
		result = print(stats, reply, is_first);
		json_decref(reply);
		if (result || !stats->interval_ms)
			break;
		is_first = false;
		result = vd_client_receive(&stats->client, stats->interval_ms + patience_ms, &reply, &stats->error);
	}
	vd_client_close(&stats->client);
	return result;
}

int verdict_stats(int argc, char **argv)
{
	struct stats *stats = calloc(1, sizeof *stats);
	int result;

	if (!stats) {
		fprintf(stderr, "verdict: out of memory\n");
		return 1;
	}
	signal(SIGPIPE, SIG_DFL); /* who reads what is printed may have seen enough */
	result = vd_options_read("stats", HELP, "h", OPTIONS, read_option, stats, argc, argv);
	if (!result && optind < argc - 1) {
		fprintf(stderr, "verdict: stats asks one daemon at a time, not '%s' as well\n", argv[optind + 1]);
		result = vd_option_usage("stats");
	}
	if (!result) {
		result = ask(stats, optind < argc ? argv[optind] : VD_CONTROL_NAME_DEFAULT);
		if (result)
			fprintf(stderr, "verdict: %s\n", stats->error.text);
		result = result == -EINVAL ? EXIT_USAGE : result ? 1 : 0;
	}
	free(stats);
	return result < 0 ? 0 : result;
}
