/* SPDX-License-Identifier: MIT */
/*
 * The nursery: a process of one thread in which functions were opened. It makes hosts of itself, one that serves and a spare one, and
 * waits: for their ends, and for orders of the engine. When the engine is gone, for whatever reason, so is it, and its hosts.
 *
 * A host that dies young, and has hardly decided on anything, is no use to replace at once: functions then crash on whatever comes.
 * So there is a pause before the next one, doubled each time. Packets wait for a short pause; in a long one they get the fault verdict.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "engine/host_private.h"
#include "engine/tally.h"

#define MS_NS 1000000ull

/* What is young, and what is hardly anything. */
#define YOUNG_NS (1000 * MS_NS)
#define FEW_PACKETS 1000

#define PAUSE_MIN_NS (1 * MS_NS)
#define PAUSE_MAX_NS (1000 * MS_NS)
#define PAUSE_WAITED_FOR_NS (10 * MS_NS)

/* A host's threads are there within this, or it does not come. */
#define START_MS 10000

/* How long functions may take to close. */
#define CLOSE_NS (5000 * MS_NS)

struct child {
	pid_t pid; /* 0: there is none */
	uint32_t number;
	int orders; /* a pipe: its end is the host's end */
	uint64_t since_ns; /* when it began to serve */
	uint64_t decided;  /* before that */
};

struct nursery {
	struct vd_host *host;
	pid_t pid;
	struct child serving, spare;
	uint32_t numbers; /* given out */
	uint32_t killed;  /* the host that some worker wants killed */
	uint64_t pause_ns; /* the last one */
	uint64_t until_ns; /* when the next host may come; 0: there is no pause */
	int signals;
};

/* ---- hosts ---- */

/* Whether it says that it is there. */
static bool is_ready(int ready)
{
	struct pollfd pollfd = {.fd = ready, .events = POLLIN};
	char word;

	return poll(&pollfd, 1, START_MS) == 1 && read(ready, &word, sizeof word) == (ssize_t)sizeof word;
}

static void bury(struct child *child)
{
	kill(child->pid, SIGKILL);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(child->orders);
	child->pid = 0;
}

/* Makes one of this process. 0 or -errno. */
static int make_child(struct nursery *nursery, struct child *child)
{
	int ready[2] = {-1, -1}, orders[2] = {-1, -1};
	int result = 0;

	*child = (struct child){.number = ++nursery->numbers, .orders = -1};
	if (!child->number) /* it means that there is none */
		child->number = nursery->numbers = 2;
	if (pipe2(ready, O_CLOEXEC) || pipe2(orders, O_CLOEXEC) || (child->pid = fork()) < 0)
		result = -errno;
	if (!result && !child->pid) {
		close(nursery->host->socket); /* the engine's end has to be the nursery's alone */
		close(nursery->signals);
		close(ready[0]);
		close(orders[1]);
		if (nursery->serving.pid)
			close(nursery->serving.orders);
		vd_host_process(nursery->host, child->number, nursery->pid, ready[1], orders[0]);
	}
	if (ready[1] >= 0)
		close(ready[1]);
	if (orders[0] >= 0)
		close(orders[0]);
	child->orders = orders[1];
	if (result) {
		child->pid = 0;
		if (orders[1] >= 0)
			close(orders[1]);
	} else if (!is_ready(ready[0])) {
		result = nursery->host->control->result ? nursery->host->control->result : -EAGAIN;
		bury(child);
	}
	if (ready[0] >= 0)
		close(ready[0]);
	return result;
}

static uint64_t decided(const struct nursery *nursery)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < nursery->host->workers; i++)
		sum += vd_tally_read(&nursery->host->control->decided[i].packets);
	return sum;
}

static void ring_all(struct nursery *nursery)
{
	for (unsigned i = 0; i < nursery->host->workers; i++)
		vd_mailbox_ring(vd_host_mailbox(nursery->host, i));
}

static void say_serving(struct nursery *nursery)
{
	/* release, pairs with the acquire of workers: deaths, and that no host that died writes any more */
	atomic_store_explicit(&nursery->host->control->serving, nursery->serving.pid ? nursery->serving.number : 0, memory_order_release);
	ring_all(nursery);
}

/* The spare one takes over, or a new one. */
static int replace(struct nursery *nursery)
{
	int result = 0;

	if (nursery->spare.pid)
		nursery->serving = nursery->spare;
	else
		result = make_child(nursery, &nursery->serving);
	nursery->spare.pid = 0;
	if (result)
		return result;
	nursery->serving.since_ns = vd_clock_ns();
	nursery->serving.decided = decided(nursery);
	nursery->until_ns = 0;
	say_serving(nursery);
	make_child(nursery, &nursery->spare); /* if there can be none, one is made when it is needed */
	return 0;
}

static void pause_for(struct nursery *nursery, uint64_t pause_ns)
{
	nursery->pause_ns = pause_ns;
	nursery->until_ns = vd_clock_ns() + pause_ns;
	/* relaxed: looked at behind `serving` */
	atomic_store_explicit(&nursery->host->control->absence, pause_ns <= PAUSE_WAITED_FOR_NS ? VD_HOST_COMES : VD_HOST_PAUSES,
			      memory_order_relaxed);
	say_serving(nursery);
}

static void replace_or_pause(struct nursery *nursery)
{
	if (replace(nursery))
		pause_for(nursery, PAUSE_MAX_NS);
}

/* ---- deaths ---- */

/* Whether a packet is known that did it. */
static bool is_explained(const struct nursery *nursery, uint32_t number)
{
	for (unsigned i = 0; i < nursery->host->workers; i++)
		if (atomic_load_explicit(&vd_host_mailbox(nursery->host, i)->signal, memory_order_relaxed))
			return true;
	return nursery->killed == number;
}

static void take_death(struct nursery *nursery, int status)
{
	struct child *child = &nursery->serving;
	bool was_young = vd_clock_ns() - child->since_ns < YOUNG_NS && decided(nursery) - child->decided < FEW_PACKETS;
	uint64_t pause_ns = nursery->pause_ns ? 2 * nursery->pause_ns : PAUSE_MIN_NS;

	nursery->host->control->deaths[child->number % VD_HOST_DEATHS] =
		(struct vd_host_death){.number = child->number, .is_explained = is_explained(nursery, child->number), .status = status};
	/* relaxed: a count */
	atomic_fetch_add_explicit(&nursery->host->control->restarts, 1, memory_order_relaxed);
	close(child->orders);
	child->pid = 0;
	if (was_young) {
		pause_for(nursery, pause_ns < PAUSE_MAX_NS ? pause_ns : PAUSE_MAX_NS);
	} else {
		nursery->pause_ns = 0;
		atomic_store_explicit(&nursery->host->control->absence, VD_HOST_COMES, memory_order_relaxed);
		replace_or_pause(nursery);
	}
}

static void reap(struct nursery *nursery)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	(void)!read(nursery->signals, &info, sizeof info);
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == nursery->serving.pid) {
			take_death(nursery, status);
		} else if (pid == nursery->spare.pid) {
			close(nursery->spare.orders);
			nursery->spare.pid = 0;
		}
	}
}

/* ---- orders ---- */

static void kill_child(const struct child *child)
{
	if (child->pid)
		kill(child->pid, SIGKILL);
}

/* Its functions close, within a time; then everything ends. Hosts end with the nursery whatever they do: PR_SET_PDEATHSIG. */
static _Noreturn void close_all(struct nursery *nursery)
{
	uint64_t until = vd_clock_ns() + CLOSE_NS;
	char word = 'c';

	kill_child(&nursery->spare);
	if (nursery->serving.pid && write(nursery->serving.orders, &word, sizeof word) == (ssize_t)sizeof word)
		while (!waitpid(nursery->serving.pid, NULL, WNOHANG) && vd_clock_ns() < until) {
			struct pollfd pollfd = {.fd = nursery->signals, .events = POLLIN};
			struct signalfd_siginfo info;

			if (poll(&pollfd, 1, 100) == 1)
				(void)!read(nursery->signals, &info, sizeof info);
		}
	kill_child(&nursery->serving);
	_exit(0);
}

static void take_order(struct nursery *nursery)
{
	struct vd_host_order order;
	ssize_t got = recv(nursery->host->socket, &order, sizeof order, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got != (ssize_t)sizeof order) { /* the engine is gone */
		kill_child(&nursery->spare);
		kill_child(&nursery->serving);
		_exit(0);
	}
	if (order.what == VD_HOST_CLOSE)
		close_all(nursery);
	if (nursery->serving.pid && order.number == nursery->serving.number) {
		nursery->killed = order.number;
		kill_child(&nursery->serving);
	}
}

static int timeout_ms(const struct nursery *nursery)
{
	uint64_t now = vd_clock_ns();

	if (!nursery->until_ns || nursery->serving.pid)
		return -1;
	return nursery->until_ns > now ? (int)((nursery->until_ns - now + MS_NS - 1) / MS_NS) : 0;
}

static _Noreturn void serve(struct nursery *nursery)
{
	struct pollfd pollfds[] = {{.fd = nursery->signals, .events = POLLIN}, {.fd = nursery->host->socket, .events = POLLIN}};

	for (;;) {
		poll(pollfds, 2, timeout_ms(nursery));
		if (pollfds[0].revents)
			reap(nursery);
		if (pollfds[1].revents)
			take_order(nursery);
		if (!nursery->serving.pid && nursery->until_ns && vd_clock_ns() >= nursery->until_ns)
			replace_or_pause(nursery);
	}
}

/* ---- the beginning ---- */

static unsigned count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned threads = 0;

	while (tasks && (entry = readdir(tasks)))
		threads += *entry->d_name != '.';
	if (tasks)
		closedir(tasks);
	return threads;
}

/*
 * A fork has the calling thread only: those that a function has started would be missing. `before` it: of a sanitizer, which makes its own
 * anew.
 */
static int refuse_threads(unsigned before, struct vd_error *error)
{
	if (count_threads() <= before)
		return 0;
	return vd_error_set(error, -ENOTSUP, "a function starts threads when it is opened, and processes that are made of that one do not "
			    "have them: run it with isolation thread");
}

/* What is decided later would have to come back to the engine from a process that may be gone by then. */
static int refuse_holders(const struct vd_chain *chain, struct vd_error *error)
{
	for (unsigned i = 0; i < chain->count; i++)
		if (chain->links[i].may_hold)
			return vd_error_set(error, -ENOTSUP, "function %s holds packets, which cannot be done from a process of its own: "
					    "run it with isolation thread", chain->links[i].names->name);
	return 0;
}

static int begin(struct nursery *nursery, int (*open)(void *argument, struct vd_error *error), void *argument)
{
	struct vd_host *host = nursery->host;
	struct vd_host_control *control = host->control;
	unsigned threads = count_threads();
	int result = open(argument, &control->error);

	if (!result)
		result = refuse_holders(host->chain, &control->error);
	if (!result)
		result = refuse_threads(threads, &control->error);
	if (!result && host->confine)
		result = host->confine(host->confine_argument, VD_CONFINED_NURSERY, &control->error);
	if (result)
		return result;
	control->bytes = host->chain->bytes;
	control->needs = host->chain->needs;
	for (unsigned i = 0; i < host->chain->count; i++)
		control->may_reject[i] = host->chain->links[i].may_reject;
	result = replace(nursery);
	if (result && !*control->error.text)
		vd_error_set(&control->error, result, "functions cannot be isolated: no process for them came up: %s", strerror(-result));
	return result;
}

/* All but these two, and 0 to 2. */
static void close_others(int one, int other)
{
	int first = one < other ? one : other, second = one < other ? other : one;
	unsigned from = 3;

	for (unsigned i = 0; i < 2; i++) {
		int kept = i ? second : first;

		if (kept > (int)from)
			close_range(from, (unsigned)kept - 1, 0);
		if (kept >= (int)from)
			from = (unsigned)kept + 1;
	}
	close_range(from, ~0u, 0);
}

/* What is the engine's is not inherited; nor is what a terminal or a manager sends to all processes of a service. */
static void leave_engine(struct nursery *nursery)
{
	static const int IGNORED[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM};
	sigset_t set;

	prctl(PR_SET_NAME, "verdict-nursery", 0, 0, 0);
	close_others(nursery->host->socket, nursery->host->kept);
	for (unsigned i = 0; i < sizeof IGNORED / sizeof *IGNORED; i++)
		signal(IGNORED[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	nursery->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

_Noreturn void vd_host_nursery(struct vd_host *host, int (*open)(void *argument, struct vd_error *error), void *argument)
{
	struct nursery nursery = {.host = host, .pid = getpid()};
	char word = 'r';

	leave_engine(&nursery);
	host->control->result = nursery.signals < 0 ? vd_error_set(&host->control->error, -errno, "functions cannot be isolated: %s",
								    strerror(errno)) :
						      begin(&nursery, open, argument);
	if (send(host->socket, &word, sizeof word, MSG_NOSIGNAL) != (ssize_t)sizeof word || host->control->result) {
		kill_child(&nursery.spare);
		kill_child(&nursery.serving);
		_exit(1);
	}
	serve(&nursery);
}
