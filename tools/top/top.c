/* SPDX-License-Identifier: MIT */
/*
 * verdict top: asks a running daemon again and again, and shows what happened in between.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/commands.h"
#include "tools/control/client.h"
#include "tools/options.h"
#include "tools/top/screen.h"

#define AGAIN_MS 500u /* until a daemon that has gone is looked for again */

static const char HELP[] =
	"usage: verdict top [NAME|PATH] [OPTION ...]\n"
	"\n"
	"Shows what a running `verdict run --control NAME` does, on the terminal, until q is pressed: its queues and functions,\n"
	"what waits, what comes, what becomes of it, and what is lost. The name is 'default' if none is given; a path is that\n"
	"of the control socket, and has a slash in it. h shows the keys.\n"
	"\n"
	"  --interval TIME       between two looks, in seconds or as in 500ms (1)\n"
	"  --batch [N]           as plain text on standard output, N times, or until it is stopped\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  verdict run --queue 0-3 --function accept --control default &\n"
	"  verdict top\n"
	"  verdict top --batch 2 --interval 10\n"
	"\n"
	"exit status: 0 done, 1 there is no such daemon, or no terminal, 2 wrong usage. More in verdict-top(1).\n";

enum { OPTION_INTERVAL = 256, OPTION_BATCH };

static const struct option OPTIONS[] = {
	{"interval", required_argument, NULL, OPTION_INTERVAL},
	{"batch", optional_argument, NULL, OPTION_BATCH},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* What the daemon said once. */
struct look {
	json_t *reply; /* NULL: nothing yet, all numbers are 0 */
	struct vd_stats_read read;
};

struct top {
	int argc;
	char **argv;
	bool is_batch;
	uint64_t frames; /* left to print; 0: any number */
	struct vd_top_view view;
	bool shows_help;
	unsigned scroll;

	const char *name;
	struct vd_client client; /* its socket is -1 while there is no daemon */
	bool is_waiting;	 /* for a reply */
	bool is_late;		 /* and for long */
	uint64_t asked_ns, next_ns;
	int signals;
	bool is_over;
	int exit_code;

	struct look baseline, before, now;
	struct vd_top_model model;
	struct vd_top_frame frame;
	struct vd_error error;
};

static bool read_option(void *argument, int option, const char *text)
{
	struct top *top = argument;

	if (option == OPTION_INTERVAL)
		return vd_option_interval("--interval", text, &top->view.interval_ms);
	top->is_batch = true;
	if (!text && optind < top->argc && *top->argv[optind] && strspn(top->argv[optind], "0123456789") == strlen(top->argv[optind]))
		text = top->argv[optind++]; /* getopt_long() would want a '=' */
	return !text || vd_option_number("--batch", text, 1, UINT32_MAX, &top->frames);
}

/* ---- what the daemon says ---- */

static void set_look(struct look *to, const struct look *from)
{
	json_decref(to->reply);
	if (from)
		*to = *from;
	else
		memset(to, 0, sizeof *to);
	json_incref(to->reply);
}

static long long pid_of(const struct look *look)
{
	return look->reply ? (long long)json_integer_value(json_object_get(look->reply, "pid")) : 0;
}

/* Takes the reply. */
static bool take_reply(struct top *top, json_t *reply)
{
	bool is_other;

	set_look(&top->before, &top->now);
	json_decref(top->now.reply);
	top->now.reply = reply;
	if (!json_is_string(json_object_get(reply, "version")) || vd_stats_json_read(&top->now.read, reply)) {
		set_look(&top->now, &top->before);
		return false;
	}
	is_other = pid_of(&top->now) != pid_of(&top->before) || top->now.read.snapshot.seconds < top->before.read.snapshot.seconds;
	if (is_other) {
		set_look(&top->before, NULL);
		set_look(&top->baseline, NULL);
		top->view.is_zeroed = false;
	}
	return true;
}

/* ---- what is shown ---- */

static void make_frame(struct top *top)
{
	const json_t *reply = top->now.reply;
	struct vd_top_about about = {.version = json_string_value(json_object_get(reply, "version")),
				     .config = json_string_value(json_object_get(reply, "config")),
				     .pid = pid_of(&top->now),
				     .uptime = json_number_value(json_object_get(reply, "uptime"))};

	top->view.message = top->client.socket < 0 ? "the daemon has gone, this is what it said last; it is looked for again and again"
			    : top->is_late	    ? "the daemon does not answer"
						    : NULL;
	vd_top_model_make(&top->model, &top->baseline.read.snapshot, &top->before.read.snapshot, &top->now.read.snapshot);
	vd_top_frame_make(&top->frame, &top->view, &about, &top->model);
}

static void draw(struct top *top)
{
	char keys[VD_TOP_WIDTH_MAX];
	unsigned hidden;

	if (!top->now.reply)
		return;
	if (top->is_batch) {
		make_frame(top);
		for (unsigned i = 0; i < top->frame.count; i++)
			puts(top->frame.lines[i].text);
		putchar('\n');
		fflush(stdout);
		return;
	}
	top->view.width = vd_screen_width();
	if (top->view.sort >= vd_top_columns(top->view.width))
		top->view.sort = 0;
	if (top->shows_help)
		vd_top_frame_help(&top->frame);
	else
		make_frame(top);
	hidden = vd_screen_hidden(&top->frame);
	if (top->scroll > hidden)
		top->scroll = hidden;
	snprintf(keys, sizeof keys, "q quit  s sort %s%s  r reverse  z zero  p %s  +/- interval  h help%s",
		 vd_top_column_title(top->view.sort), top->view.is_reversed ? " reversed" : "", top->view.is_paused ? "go on" : "pause",
		 hidden ? "  up/down" : "");
	vd_screen_draw(&top->frame, top->scroll, keys);
}

/* ---- asking ---- */

/* The connection is of no use any more. */
static void lose(struct top *top)
{
	vd_client_close(&top->client);
	top->is_waiting = top->is_late = false;
	top->next_ns = vd_clock_ns() + AGAIN_MS * 1000000ull;
	if (top->is_batch) {
		fprintf(stderr, "verdict: %s\n", top->error.text);
		top->is_over = true;
		top->exit_code = 1;
		return;
	}
	draw(top);
}

static void ask(struct top *top, uint64_t now)
{
	/* without a daemon the keys still want to be heard */
	unsigned patience_ms = top->now.reply ? 0 : VD_CLIENT_PATIENCE_MS;

	if ((top->client.socket < 0 && vd_client_connect(&top->client, top->name, patience_ms, &top->error)) ||
	    vd_client_send(&top->client, json_pack("{s:s}", "command", "stats"), patience_ms, &top->error)) {
		lose(top);
		return;
	}
	top->is_waiting = true;
	top->asked_ns = now;
	top->next_ns = now + top->view.interval_ms * 1000000ull;
}

static void receive(struct top *top)
{
	json_t *reply;
	int result = vd_client_receive(&top->client, 0, &reply, &top->error);

	if (result == -ETIMEDOUT) /* a part of it */
		return;
	if (!result && top->view.is_paused) { /* asked for before that */
		json_decref(reply);
		top->is_waiting = top->is_late = false;
		return;
	}
	if (!result && !take_reply(top, reply)) {
		snprintf(top->error.text, sizeof top->error.text, "what listens at %s does not answer as verdict does",
			 top->client.address.sun_path);
		result = -EPROTO;
	}
	if (result) {
		lose(top);
		return;
	}
	top->is_waiting = top->is_late = false;
	draw(top);
	if (top->is_batch && top->frames && !--top->frames)
		top->is_over = true;
}

/* ---- keys ---- */

static void change_interval(struct top *top, bool is_longer)
{
	static const unsigned STEPS_MS[] = {100, 250, 500, 1000, 2000, 5000, 10000, 30000, 60000};
	enum { STEP_COUNT = sizeof STEPS_MS / sizeof *STEPS_MS };
	unsigned chosen = top->view.interval_ms;

	for (unsigned i = 0; i < STEP_COUNT; i++) {
		unsigned step = STEPS_MS[is_longer ? i : STEP_COUNT - 1 - i];

		if (is_longer ? step > chosen : step < chosen) {
			top->view.interval_ms = step;
			break;
		}
	}
	top->next_ns = top->asked_ns + top->view.interval_ms * 1000000ull;
}

static void press(struct top *top, int key)
{
	switch (key) {
	case 'q':
	case VD_SCREEN_END:
		top->is_over = true;
		break;
	case 's':
		top->view.sort = (top->view.sort + 1) % vd_top_columns(top->view.width);
		break;
	case 'r':
		top->view.is_reversed = !top->view.is_reversed;
		break;
	case 'z':
		set_look(&top->baseline, &top->now);
		top->view.is_zeroed = true;
		break;
	case 'p':
	case ' ':
		top->view.is_paused = !top->view.is_paused;
		break;
	case '+':
	case '-':
		change_interval(top, key == '+');
		break;
	case 'h':
	case '?':
		top->shows_help = !top->shows_help;
		top->scroll = 0;
		break;
	case VD_SCREEN_UP:
		top->scroll -= top->scroll > 0;
		break;
	case VD_SCREEN_DOWN:
		top->scroll++;
		break;
	case VD_SCREEN_PAGE_UP:
		top->scroll -= top->scroll > 10 ? 10 : top->scroll;
		break;
	case VD_SCREEN_PAGE_DOWN:
		top->scroll += 10;
		break;
	}
}

static void take_keys(struct top *top)
{
	int key;

	while (!top->is_over && (key = vd_screen_key()) != VD_SCREEN_NONE)
		press(top, key);
	draw(top);
}

static void take_signal(struct top *top)
{
	struct signalfd_siginfo info;

	if (read(top->signals, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (info.ssi_signo != SIGWINCH) {
		top->is_over = true;
	} else if (!top->is_batch) {
		vd_screen_resize();
		draw(top);
	}
}

/* ---- the loop ---- */

/* Milliseconds until something is due, -1: never. */
static int time_to_wait(const struct top *top, uint64_t now)
{
	uint64_t due = top->is_waiting ? top->asked_ns + VD_CLIENT_PATIENCE_MS * 1000000ull : top->next_ns;

	if ((top->is_waiting && top->is_late) || (!top->is_waiting && top->view.is_paused))
		return -1;
	return due <= now ? 0 : (int)((due - now) / 1000000 + 1);
}

static void watch(struct top *top)
{
	while (!top->is_over) {
		struct pollfd ready[] = {{.fd = top->signals, .events = POLLIN},
					 {.fd = top->client.socket, .events = POLLIN}, /* -1 is left out */
					 {.fd = top->is_batch ? -1 : STDIN_FILENO, .events = POLLIN}};
		uint64_t now;

		poll(ready, 3, time_to_wait(top, vd_clock_ns()));
		now = vd_clock_ns();
		if (ready[0].revents)
			take_signal(top);
		if (!top->is_over && ready[1].revents)
			receive(top);
		if (!top->is_over && ready[2].revents)
			take_keys(top);
		if (top->is_over)
			break;
		if (top->is_waiting && !top->is_late && now - top->asked_ns > VD_CLIENT_PATIENCE_MS * 1000000ull) {
			top->is_late = true;
			draw(top);
		}
		if (!top->is_waiting && !top->view.is_paused && now >= top->next_ns)
			ask(top, now);
	}
}

/* The first look is taken before the terminal is: what is wrong with the name can be read then. Returns the exit code. */
static int run(struct top *top)
{
	json_t *reply;
	sigset_t set;
	int result = vd_client_connect(&top->client, top->name, VD_CLIENT_PATIENCE_MS, &top->error);

	if (!result)
		result = vd_client_call(&top->client, json_pack("{s:s}", "command", "stats"), VD_CLIENT_PATIENCE_MS, &reply, &top->error);
	if (!result && !take_reply(top, reply)) {
		snprintf(top->error.text, sizeof top->error.text, "what listens at %s does not answer as verdict does",
			 top->client.address.sun_path);
		result = -EPROTO;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	top->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (!result && !top->is_batch)
		result = vd_screen_begin(&top->error);
	if (result) {
		fprintf(stderr, "verdict: %s\n", top->error.text);
		return result == -EINVAL ? EXIT_USAGE : 1;
	}
	top->asked_ns = vd_clock_ns();
	top->next_ns = top->asked_ns + top->view.interval_ms * 1000000ull;
	if (top->is_batch && top->frames == 1)
		top->is_over = true;
	else if (top->frames)
		top->frames--;
	draw(top);
	watch(top);
	vd_screen_end();
	return top->exit_code;
}

int verdict_top(int argc, char **argv)
{
	struct top *top = calloc(1, sizeof *top);
	int result;

	if (!top) {
		fprintf(stderr, "verdict: out of memory\n");
		return 1;
	}
	signal(SIGPIPE, SIG_DFL); /* who reads the frames may have seen enough */
	top->argc = argc;
	top->argv = argv;
	top->client.socket = -1;
	top->view = (struct vd_top_view){.width = VD_TOP_WIDTH_DEFAULT, .interval_ms = 1000};
	result = vd_options_read("top", HELP, "h", OPTIONS, read_option, top, argc, argv);
	if (!result && optind < argc - 1) {
		fprintf(stderr, "verdict: top watches one daemon at a time, not '%s' as well\n", argv[optind + 1]);
		result = vd_option_usage("top");
	}
	if (!result) {
		top->name = optind < argc ? argv[optind] : VD_CONTROL_NAME_DEFAULT;
		result = run(top);
	}
	vd_client_close(&top->client);
	set_look(&top->baseline, NULL);
	set_look(&top->before, NULL);
	set_look(&top->now, NULL);
	free(top);
	return result < 0 ? 0 : result;
}
