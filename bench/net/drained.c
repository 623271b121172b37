/* SPDX-License-Identifier: MIT */
/*
 * drained: wakes a stopped program (SIGCONT) and measures how long it takes to empty its netfilter queue, and how much
 * CPU time of all its threads that costs it.
 *
 * It shares the CPUs with what it measures: it looks rarely while much is waiting, and every 50 us towards the end.
 * The kernel takes packets off the queue's list just before it goes on with them, a whole batch of them for one batch
 * verdict. So with --device, for accepted packets, it ends when that device has sent them all, too.
 */
#include "program.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SLEEP_NS_MIN 50000u
#define SLEEP_NS_MAX 2000000u
#define GONE UINT32_MAX

static const char usage[] =
	"usage: drained --pid P --queue N [options]\n"
	"Wakes the stopped process P and measures how long it takes to empty queue N; prints JSON.\n"
	"  --device NAME      also wait until this device has sent as many packets as were waiting\n"
	"  --timeout SECONDS  give up after that time; default 60\n";

struct settings {
	uint64_t pid, queue, timeout_ns;
	const char *device;
};

static struct settings read_arguments(int argc, char **argv)
{
	enum { PID = 1, QUEUE, DEVICE, TIMEOUT };
	static const struct option options[] = {
		{"pid", required_argument, NULL, PID},	     {"queue", required_argument, NULL, QUEUE},
		{"device", required_argument, NULL, DEVICE}, {"timeout", required_argument, NULL, TIMEOUT},
		{"help", no_argument, NULL, 'h'},	     {0},
	};
	struct settings settings = {.queue = UINT64_MAX, .timeout_ns = 60 * SECOND_NS};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case PID: settings.pid = number("pid", optarg, 1, 1 << 30); break;
		case QUEUE: settings.queue = number("queue", optarg, 0, 65535); break;
		case DEVICE: settings.device = optarg; break;
		case TIMEOUT: settings.timeout_ns = duration_ns("timeout", optarg); break;
		}
	if (!settings.pid || settings.queue == UINT64_MAX)
		fail(BAD_ARGUMENT, "--pid and --queue are needed; see --help");
	return settings;
}

/* A small file of /proc, read anew through its open descriptor. */
static const char *reread(int descriptor)
{
	static char text[16384];
	ssize_t got = pread(descriptor, text, sizeof text - 1, 0);

	if (got < 0)
		fail(FAILED, "cannot read from /proc: %s", strerror(errno));
	text[got] = '\0';
	return text;
}

/* How many packets wait for a verdict; GONE: nobody has bound the queue. */
static uint32_t count_waiting(int status, uint64_t queue)
{
	uint32_t number_here, waiting;

	for (const char *line = reread(status); line; line = strchr(line, '\n')) {
		line += strspn(line, "\n ");
		if (sscanf(line, "%" SCNu32 " %*u %" SCNu32, &number_here, &waiting) == 2 && number_here == queue)
			return waiting;
	}
	return GONE;
}

static uint64_t count_sent(int devices, const char *device)
{
	size_t length = strlen(device);
	uint64_t packets;

	for (const char *line = reread(devices); line; line = strchr(line, '\n')) {
		line += strspn(line, "\n ");
		if (!strncmp(line, device, length) && line[length] == ':' &&
		    sscanf(line + length + 1, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &packets) == 1)
			return packets;
	}
	fail(FAILED, "there is no device '%s' here", device);
}

/* Of all threads, ended ones too, up to this moment. */
static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time))
		fail(FAILED, "cannot read the CPU time of the process: %s", strerror(errno));
	return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

/* A quarter of the time that the rest will take at the speed seen so far. */
static void sleep_a_little(uint64_t elapsed_ns, uint32_t total, uint32_t waiting)
{
	uint64_t done = total - waiting, sleep_ns = done ? elapsed_ns * waiting / done / 4 : SLEEP_NS_MAX;
	struct timespec time = {0};

	if (sleep_ns > SLEEP_NS_MAX)
		sleep_ns = SLEEP_NS_MAX;
	time.tv_nsec = (long)(sleep_ns > SLEEP_NS_MIN ? sleep_ns : SLEEP_NS_MIN);
	nanosleep(&time, NULL);
}

static int open_file(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);

	if (descriptor < 0)
		fail(FAILED, "cannot open %s: %s", path, strerror(errno));
	return descriptor;
}

int main(int argc, char **argv)
{
	struct settings settings = read_arguments(argc, argv);
	int status = open_file("/proc/self/net/netfilter/nfnetlink_queue"), devices = -1;
	uint64_t start, elapsed_ns, cpu_before, sent_before = 0;
	uint32_t total, waiting;
	clockid_t clock;

	if (settings.device) {
		devices = open_file("/proc/self/net/dev");
		sent_before = count_sent(devices, settings.device);
	}
	if (clock_getcpuclockid((pid_t)settings.pid, &clock))
		fail(FAILED, "there is no process %" PRIu64, settings.pid);
	total = count_waiting(status, settings.queue);
	if (!total || total == GONE)
		fail(FAILED, "queue %" PRIu64 " is %s", settings.queue, total ? "not bound" : "empty");
	prctl(PR_SET_TIMERSLACK, 1ul);
	cpu_before = cpu_ns(clock);
	start = now_ns();
	if (kill((pid_t)settings.pid, SIGCONT))
		fail(FAILED, "cannot wake process %" PRIu64 ": %s", settings.pid, strerror(errno));
	for (;;) {
		waiting = count_waiting(status, settings.queue);
		elapsed_ns = now_ns() - start;
		if (waiting == GONE)
			fail(FAILED, "the program gave the queue up before it was empty");
		if (!waiting && (devices < 0 || count_sent(devices, settings.device) - sent_before >= total))
			break;
		if (elapsed_ns > settings.timeout_ns)
			fail(FAILED, "%" PRIu32 " packets still wait after %.0f seconds", waiting,
			     (double)elapsed_ns / SECOND_NS);
		sleep_a_little(elapsed_ns, total, waiting > total ? total : waiting);
	}
	printf("{\"packets\":%" PRIu32 ",\"elapsed_ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 "}\n", total, elapsed_ns,
	       cpu_ns(clock) - cpu_before);
	return 0;
}
