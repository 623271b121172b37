/* SPDX-License-Identifier: MIT */
/*
 * verdict doctor: looks at the queues of one network namespace, and says what needs attention.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/commands.h"
#include "tools/doctor/doctor.h"

enum {
	EXIT_WELL = 0,
	EXIT_ATTENTION = 1,
};

static const char usage[] =
	"usage: verdict doctor [--netns NAME] [--json | --ipq]\n"
	"\n"
	"Looks at the queues of a network namespace: what the kernel can do, who reads which queue, which firewall rules send\n"
	"packets to queues, what was lost, what this user may do, and what would be faster. Changes nothing.\n"
	"\n"
	"  --netns NAME   look into this network namespace: a name of `ip netns`, or a path\n"
	"  --json         for programs\n"
	"  --ipq          only the seven lines that /proc/net/ip_queue had, of queue 0 or the one in LIBIPQ_QUEUE\n"
	"  --help         this text\n"
	"\n"
	"Exit status: 0 all is well, 1 something needs attention, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  verdict doctor                             # why are packets lost? who owns queue 0?\n"
	"  verdict doctor --netns blue                # the same in another namespace\n"
	"  verdict doctor --netns /proc/4711/ns/net   # in that of process 4711\n"
	"  verdict doctor --ipq                       # what /proc/net/ip_queue showed\n"
	"  LIBIPQ_QUEUE=6 verdict doctor --ipq        # of another queue\n"
	"  verdict doctor --json | jq '.findings[] | select(.level == \"attention\").text'\n";

struct options {
	const char *netns;
	bool is_json;
	bool is_ipq;
	bool is_help;
};

static int read_options(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"netns", required_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'j'},
		{"ipq", no_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	optind = 0; /* begin anew, whatever has been read before */
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", known, NULL)) >= 0) {
		if (option == 'n') {
			options->netns = optarg;
		} else if (option == 'j') {
			options->is_json = true;
		} else if (option == 'i') {
			options->is_ipq = true;
		} else if (option == 'h') {
			options->is_help = true;
		} else {
			fprintf(stderr, "verdict doctor: %s '%s'; verdict doctor --help lists the options\n",
				option == ':' ? "a value is missing behind" : "no such option:", argv[optind - 1]);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "verdict doctor: takes no arguments, and was given '%s'; see verdict doctor --help\n", argv[optind]);
		return EXIT_USAGE;
	}
	if (options->is_ipq && options->is_json && !options->is_help) {
		fprintf(stderr, "verdict doctor: --ipq prints seven lines of text, so it does not go with --json; see verdict doctor --help\n");
		return EXIT_USAGE;
	}
	return 0;
}

struct look {
	struct doctor_view view;
	bool has_entered;
};

/* Everything that depends on the namespace. */
static int look(void *argument)
{
	struct look *look = argument;
	struct doctor_view *view = &look->view;
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int result;

	look->has_entered = true;
	view->cpus = cpus > 0 ? (unsigned)cpus : 1;
	doctor_kernel_read(&view->kernel);
	result = doctor_queues_read(&view->queues);
	if (result && result != -ENOMEM)
		result = 0; /* the kernel part says why */
	if (!result)
		result = doctor_devices_read(&view->devices);
	return result ? result : doctor_sources_read(&view->sources, &view->rules);
}

static void say_not_entered(const char *netns, int error)
{
	if (error == ENOENT)
		fprintf(stderr, "verdict doctor: there is no network namespace '%s'; `ip netns` lists the named ones\n", netns);
	else if (error == EINVAL)
		fprintf(stderr, "verdict doctor: '%s' is not a network namespace\n", netns);
	else if (error == EPERM || error == EACCES)
		fprintf(stderr, "verdict doctor: may not enter network namespace '%s': that needs root (CAP_SYS_ADMIN)\n", netns);
	else
		fprintf(stderr, "verdict doctor: cannot enter network namespace '%s': %s\n", netns, strerror(error));
}

static int report(const struct options *options, const struct doctor_view *view)
{
	struct doctor_findings findings = {0};
	int result = doctor_findings_make(&findings, view);

	if (!result && options->is_json)
		result = doctor_report_json(view, &findings);
	else if (!result)
		doctor_report_text(view, &findings);
	if (!result)
		result = findings.attention ? EXIT_ATTENTION : EXIT_WELL;
	doctor_findings_fini(&findings);
	return result;
}

/* ---- --ipq ---- */

struct look_ipq {
	struct doctor_ipq seen;
	uint16_t queue;
	bool has_entered;
};

static int look_ipq(void *argument)
{
	struct look_ipq *look = argument;

	look->has_entered = true;
	return doctor_ipq_read(&look->seen, look->queue);
}

static int report_ipq(const struct options *options)
{
	const char *text = getenv("LIBIPQ_QUEUE");
	int queue = doctor_ipq_queue(text), result;
	struct look_ipq looked = {.queue = (uint16_t)queue};

	if (queue < 0) {
		fprintf(stderr, "verdict doctor: LIBIPQ_QUEUE is '%s', which is no queue: set it to 0 to 65535, or not at all\n", text);
		return EXIT_ATTENTION;
	}
	result = vd_nfq_in_netns(options->netns, look_ipq, &looked);
	if (!result)
		doctor_ipq_print(&looked.seen);
	else if (!looked.has_entered)
		say_not_entered(options->netns, -result);
	else if (result == -EACCES || result == -EPERM)
		fprintf(stderr, "verdict doctor: may not read the kernel's queues: that needs root\n");
	else if (result == -ENOENT)
		fprintf(stderr, "verdict doctor: this kernel has no nfnetlink_queue: try modprobe nfnetlink_queue\n");
	else
		fprintf(stderr, "verdict doctor: cannot read the kernel's queues: %s\n", strerror(-result));
	return result ? EXIT_ATTENTION : EXIT_WELL;
}

static int flush(int result)
{
	if (!fflush(stdout))
		return result;
	fprintf(stderr, "verdict doctor: cannot write: %s\n", strerror(errno));
	return EXIT_ATTENTION;
}

int verdict_doctor(int argc, char **argv)
{
	struct options options = {0};
	struct look looked = {0};
	int result = read_options(&options, argc, argv);

	if (result)
		return result;
	if (options.is_help) {
		fputs(usage, stdout);
		return EXIT_WELL;
	}
	if (options.is_ipq)
		return flush(report_ipq(&options));
	result = vd_nfq_in_netns(options.netns, look, &looked);
	if (!result)
		result = report(&options, &looked.view);
	else if (!looked.has_entered)
		say_not_entered(options.netns, -result);
	if (result < 0 && looked.has_entered)
		fprintf(stderr, "verdict doctor: %s\n", strerror(-result));
	doctor_queues_fini(&looked.view.queues);
	doctor_rules_fini(&looked.view.rules);
	doctor_devices_fini(&looked.view.devices);
	return flush(result < 0 ? EXIT_ATTENTION : result);
}
