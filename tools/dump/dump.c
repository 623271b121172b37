/* SPDX-License-Identifier: MIT */
/*
 * verdict dump: packets that a running daemon decides on, with their verdicts, as pcapng into a file or a pipe.
 *
 * The daemon makes the pcapng; here it is only passed on, whole blocks at a time, so that the output is in order wherever it ends. Who
 * has seen enough closes its direction of the socket, and the daemon sends what it still has and its last statistics. That is
 * all that a signal does, so it is done in the handler; should the output take nothing meanwhile, an alarm ends that.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/commands.h"
#include "tools/config/origin.h"
#include "tools/control/client.h"
#include "tools/dump/blocks.h"
#include "tools/dump/dump.h"
#include "tools/options.h"

static const char HELP[] =
	"usage: verdict dump [NAME|PATH] [OPTION ...]\n"
	"\n"
	"Shows packets that a running `verdict run --control NAME` decides on, as they go on, with their verdict and the function\n"
	"that decided as a comment: as pcapng, to a file, or to tcpdump or Wireshark at the end of a pipe. Packets never wait for\n"
	"it; what it is too slow for is missed, and counted. It ends when it is interrupted, and with the daemon.\n"
	"The name is 'default' if none is given; a path is that of the control socket, and has a slash in it.\n"
	"\n"
	"  --accepted            packets that go on (all)\n"
	"  --dropped             packets that were dropped\n"
	"  --rejected            packets that were rejected\n"
	"  --faulted             packets of a faulty function or a refused edit\n"
	"  --held                packets that a function holds, when they begin to wait; these five add up\n"
	"  --queue N             packets of this queue only (all)\n"
	"  --function NAME       packets only that this function decided (whoever)\n"
	"  --sample N            of all these, one in N, drawn by lot (1)\n"
	"  -s, --snap BYTES      so much of each packet (what the daemon has of it)\n"
	"  -c, --count N         end after N packets\n"
	"  --for TIME            end after this time, in seconds or as in 10min\n"
	"  -w, --write FILE      to this file, which is replaced; - is standard output (standard output)\n"
	"  --help\n"
	"\n"
	"examples\n"
	"  verdict dump --dropped | tcpdump -n -r -\n"
	"  verdict dump --sample 100 | wireshark -k -i -\n"
	"  ssh router verdict dump edge --function no-icmp --count 1000 >icmp.pcapng\n"
	"\n"
	"exit status: 0 done, interrupted, or nobody reads any more; 1 the daemon did not answer or ended, or the output could\n"
	"not be written; 2 wrong usage. More in verdict-dump(1).\n";

enum { OPTION_WHAT = 256, OPTION_QUEUE = OPTION_WHAT + VD_DUMP_WORD_COUNT, OPTION_FUNCTION, OPTION_SAMPLE, OPTION_FOR };

static const struct option OPTIONS[] = {
	{"accepted", no_argument, NULL, OPTION_WHAT},
	{"dropped", no_argument, NULL, OPTION_WHAT + 1},
	{"rejected", no_argument, NULL, OPTION_WHAT + 2},
	{"faulted", no_argument, NULL, OPTION_WHAT + 3},
	{"held", no_argument, NULL, OPTION_WHAT + 4},
	{"queue", required_argument, NULL, OPTION_QUEUE},
	{"function", required_argument, NULL, OPTION_FUNCTION},
	{"sample", required_argument, NULL, OPTION_SAMPLE},
	{"snap", required_argument, NULL, 's'},
	{"count", required_argument, NULL, 'c'},
	{"for", required_argument, NULL, OPTION_FOR},
	{"write", required_argument, NULL, 'w'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* How long a last word may take: of the daemon, and of the output. */
#define LAST_MS 5000
#define SECONDS_MAX (1u << 30)
#define ROOM (2 * VD_BLOCK_MAX)

struct dump {
	json_t *request;
	uint64_t count;	  /* 0: no end */
	uint64_t seconds; /* likewise */
	const char *path; /* NULL: standard output */

	struct vd_client client;
	struct vd_error error;
	struct vd_blocks blocks;
	int output;
	bool is_regular;
	off_t written; /* as far as there are whole blocks */
	uint64_t asked_to_end_ns;
	size_t length;
	uint8_t bytes[ROOM];
};

/* ---- options ---- */

static bool set_number(struct dump *dump, const char *member, const char *name, const char *text, uint64_t min, uint64_t max)
{
	uint64_t value;

	if (!vd_option_number(name, text, min, max, &value))
		return false;
	json_object_set_new(dump->request, member, json_integer((json_int_t)value));
	return true;
}

static bool read_option(void *argument, int option, const char *text)
{
	static const char *const WORDS[] = VD_DUMP_WORDS;
	struct dump *dump = argument;
	json_t *value;

	switch (option) {
	case OPTION_QUEUE:
		return set_number(dump, "queue", "--queue", text, 0, 65535);
	case OPTION_SAMPLE:
		return set_number(dump, "sample", "--sample", text, 1, VD_ENGINE_TAP_SAMPLE_MAX);
	case 's':
		return set_number(dump, "snap", "--snap", text, 1, VD_DUMP_SNAP_MAX);
	case 'c':
		return set_number(dump, "count", "--count", text, 1, INT64_MAX) && vd_value_number(text, 1, INT64_MAX, &dump->count);
	case OPTION_FOR:
		return vd_value_time(text, 1000000, 1, SECONDS_MAX, &dump->seconds) ||
		       (fprintf(stderr, "verdict: --for takes a time from 1s to %us (us, ms, s, min, h or d), not '%s'\n", SECONDS_MAX, text), false);
	case 'w':
		dump->path = strcmp(text, "-") ? text : NULL;
		return true;
	case OPTION_FUNCTION:
		value = json_string(text);
		if (value)
			json_object_set_new(dump->request, "function", value);
		else
			fprintf(stderr, "verdict: --function takes the name of a function, which has no such bytes\n");
		return value;
	default:
		value = json_object_get(dump->request, "what");
		if (!value)
			json_object_set_new(dump->request, "what", value = json_array());
		json_array_append_new(value, json_string(WORDS[option - OPTION_WHAT]));
		return true;
	}
}

/* ---- signals ---- */

static volatile sig_atomic_t interrupts, alarms;
static volatile sig_atomic_t ending_socket = -1;

static void interrupt(int signal)
{
	int before = errno;

	(void)signal;
	interrupts++;
	shutdown(ending_socket, SHUT_WR);
	alarm(LAST_MS / 1000); /* a write that is under way is not waited for any longer */
	errno = before;
}

static void ring(int signal)
{
	(void)signal;
	alarms++;
	alarm(1);
}

static bool has_no_time(void)
{
	return interrupts > 1 || alarms;
}

/* `seconds`: how long it is to go on, 0: for ever. */
static void take_signals(int socket, uint64_t seconds)
{
	struct sigaction action = {.sa_handler = interrupt}, hangup; /* no SA_RESTART: calls are to be left */

	ending_socket = socket;
	if (seconds)
		alarm((unsigned)seconds + LAST_MS / 1000);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN) /* nohup(1) means it */
		sigaction(SIGHUP, &action, NULL);
	action.sa_handler = ring;
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- the output ---- */

static int open_output(struct dump *dump)
{
	struct stat status;
	char shown[VD_SHOWN_SIZE];

	dump->output = STDOUT_FILENO;
	if (dump->path) {
		/* other people's packets: nobody else's business */
		dump->output = open(dump->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (dump->output < 0) {
			fprintf(stderr, "verdict: %s cannot be written: %s\n", vd_show_text(dump->path, shown), strerror(errno));
			return 1;
		}
	}
	if (!fstat(dump->output, &status) && S_ISREG(status.st_mode)) {
		dump->written = lseek(dump->output, 0, SEEK_CUR);
		dump->is_regular = dump->written >= 0 && !(fcntl(dump->output, F_GETFL) & O_APPEND);
	}
	return 0;
}

/* Of these bytes so many have been written, and then there was an error; 0: it took too long. */
static int cannot_write(struct dump *dump, const uint8_t *bytes, size_t done, int error)
{
	struct vd_blocks blocks = {0};
	char shown[VD_SHOWN_SIZE];

	if (error == EPIPE) /* who read it has seen enough */
		return -EPIPE;
	/* a part of a block would make a reader stumble */
	dump->written += vd_blocks_take(&blocks, bytes, done);
	if (dump->is_regular && ftruncate(dump->output, dump->written))
		dump->is_regular = false;
	fprintf(stderr, "verdict: %s cannot be written any further: %s%s\n",
		dump->path ? vd_show_text(dump->path, shown) : "standard output", error ? strerror(error) : "nobody reads it",
		dump->is_regular && dump->written ? "; what it has is in order" : "");
	return 1;
}

/* These are whole blocks. 0, the exit code, or -EPIPE. */
static int put(struct dump *dump, const uint8_t *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t result = write(dump->output, bytes + done, length - done);

		if (result >= 0)
			done += (size_t)result;
		else if (errno != EINTR)
			return cannot_write(dump, bytes, done, errno);
		if (done < length && has_no_time())
			return cannot_write(dump, bytes, done, 0);
	}
	dump->written += (off_t)length;
	return 0;
}

/* Some file systems say only now that there was no room. */
static int close_output(struct dump *dump)
{
	return dump->path && close(dump->output) ? cannot_write(dump, dump->bytes, 0, errno) : 0;
}

/* ---- from the socket to the output ---- */

static int pass_on(struct dump *dump)
{
	long whole = vd_blocks_take(&dump->blocks, dump->bytes, dump->length);
	int result;

	if (whole < 0) {
		fprintf(stderr, "verdict: what listens at %s does not answer as verdict does\n", dump->client.address.sun_path);
		return 1;
	}
	result = put(dump, dump->bytes, (size_t)whole);
	dump->length -= (size_t)whole;
	memmove(dump->bytes, dump->bytes + whole, dump->length);
	return result;
}

static void ask_for_the_end(struct dump *dump)
{
	if (!dump->asked_to_end_ns)
		dump->asked_to_end_ns = vd_clock_ns();
	shutdown(dump->client.socket, SHUT_WR);
}

/* Milliseconds until there is something to do beside reading; -1: never. */
static int time_to_wait(struct dump *dump, uint64_t end_ns)
{
	uint64_t now = vd_clock_ns(), due;

	if (interrupts || (end_ns && now >= end_ns))
		ask_for_the_end(dump);
	if (!dump->asked_to_end_ns)
		due = end_ns;
	else
		due = dump->asked_to_end_ns + LAST_MS * 1000000ull;
	if (!due)
		return -1;
	if (due <= now)
		return 0;
	return due - now > 3600000000000u ? 3600000 : (int)((due - now) / 1000000 + 1);
}

/* Until the daemon has hung up. 0, the exit code, or -EPIPE. */
static int work(struct dump *dump)
{
	uint64_t end_ns = dump->seconds ? vd_clock_ns() + dump->seconds * 1000000000u : 0;
	struct pollfd ready[2] = {{.fd = dump->client.socket, .events = POLLIN}, {.fd = dump->output}};
	int result = pass_on(dump); /* some may have come with the reply */

	if (dump->is_regular)
		ready[1].fd = -1;
	while (!result) {
		int timeout = time_to_wait(dump, end_ns), count;
		ssize_t received;

		if (!timeout || has_no_time())
			break;
		count = poll(ready, 2, timeout);
		if (count > 0 && ready[1].revents & (POLLERR | POLLNVAL)) /* a pipe that nobody reads */
			return -EPIPE;
		if (count <= 0 || !ready[0].revents)
			continue;
		received = recv(dump->client.socket, dump->bytes + dump->length, ROOM - dump->length, MSG_DONTWAIT);
		if (received < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (received <= 0)
			break;
		dump->length += (size_t)received;
		result = pass_on(dump);
	}
	return result;
}

static int tell(const struct dump *dump)
{
	fprintf(stderr, "verdict: %" PRIu64 " packet%s, %" PRIu64 " missed\n", dump->blocks.packets,
		dump->blocks.packets == 1 ? "" : "s", dump->blocks.missed);
	if (interrupts || dump->asked_to_end_ns || (dump->count && dump->blocks.packets == dump->count))
		return 0;
	if (dump->blocks.has_end)
		fprintf(stderr, "verdict: the daemon at %s has come to its end\n", dump->client.address.sun_path);
	else
		fprintf(stderr, "verdict: the daemon at %s has hung up: it was killed, or threw this client out\n",
			dump->client.address.sun_path);
	return 1;
}

static int ask(struct dump *dump, const char *name)
{
	json_t *reply;
	int result = vd_client_connect(&dump->client, name, VD_CLIENT_PATIENCE_MS, &dump->error);

	if (!result) {
		json_t *request = dump->request;

		dump->request = NULL;
		result = vd_client_call(&dump->client, request, VD_CLIENT_PATIENCE_MS, &reply, &dump->error);
	}
	if (result) {
		fprintf(stderr, "verdict: %s\n", dump->error.text);
		return result == -EINVAL ? EXIT_USAGE : 1;
	}
	json_decref(reply);
	dump->length = dump->client.length;
	memcpy(dump->bytes, dump->client.bytes, dump->length);
	take_signals(dump->client.socket, dump->seconds);
	result = open_output(dump);
	if (result)
		return result;
	result = work(dump);
	if (!result)
		result = close_output(dump);
	if (result == -EPIPE)
		return 0;
	return result ? result : tell(dump);
}

int verdict_dump(int argc, char **argv)
{
	struct dump *dump = calloc(1, sizeof *dump);
	int result;

	if (!dump) {
		fprintf(stderr, "verdict: out of memory\n");
		return 1;
	}
	dump->client.socket = -1;
	dump->request = json_pack("{s:s}", "command", "dump");
	result = vd_options_read("dump", HELP, "hs:c:w:", OPTIONS, read_option, dump, argc, argv);
	if (!result && optind < argc - 1) {
		fprintf(stderr, "verdict: dump asks one daemon at a time, not '%s' as well\n", argv[optind + 1]);
		result = vd_option_usage("dump");
	}
	if (!result && !dump->path && isatty(STDOUT_FILENO)) {
		fprintf(stderr, "verdict: what dump writes is not for a terminal: give it a file (-w FILE) or a program "
				"(| tcpdump -n -r -)\n");
		result = vd_option_usage("dump");
	}
	if (!result)
		result = ask(dump, optind < argc ? argv[optind] : VD_CONTROL_NAME_DEFAULT);
	vd_client_close(&dump->client);
	json_decref(dump->request);
	free(dump);
	return result < 0 ? 0 : result;
}
