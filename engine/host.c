/* SPDX-License-Identifier: MIT */
/*
 * The engine's side of a nursery: shared memory, the fork, how it went, and the end.
 *
 * The nursery is forked by a thread of a process that may have others. What such a fork can break, it does not: the C library and
 * jemalloc take their locks around it, the loader's are made anew, and slots are not even copied (slots.c). A descriptor that is the
 * engine's is closed at once, before a function runs there: above all the queues' sockets.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/error.h"
#include "engine/host_private.h"
#include "engine/state.h"

/* How long functions may take to close, and the nursery's own end besides. */
#define CLOSE_MS 8000

/* ---- futexes ---- */

void vd_host_sleep(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec time = {.tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u)};

	syscall(SYS_futex, word, FUTEX_WAIT, value, timeout_ns == UINT64_MAX ? NULL : &time, NULL, 0);
}

void vd_host_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- memory ---- */

static uint32_t round_up(size_t size)
{
	return (uint32_t)((size + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE);
}

static void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int make_memory(struct vd_host *host)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t at = round_up(sizeof(struct vd_mailbox));

	for (unsigned i = 0; i < host->chain->count; i++) {
		host->tally_offsets[i] = at;
		at += round_up(sizeof(struct vd_link_tally) + host->chain->links[i].names->counter_count * sizeof(uint64_t));
	}
	host->area_offset = at;
	host->mailbox_size = (at + VD_MAILBOX_AREA + page - 1) / page * page;
	host->control_size = sizeof *host->control + host->workers * sizeof *host->control->decided;
	host->mailboxes = share(host->workers * host->mailbox_size);
	host->control = share(host->control_size);
	host->own = aligned_alloc(VD_CACHE_LINE, host->workers * sizeof *host->own);
	if (!host->mailboxes || !host->control || !host->own)
		return -ENOMEM;
	memset(host->own, 0, host->workers * sizeof *host->own);
	return 0;
}

void vd_host_destroy(struct vd_host *host)
{
	if (!host)
		return;
	vd_host_close(host);
	if (host->mailboxes)
		munmap(host->mailboxes, host->workers * host->mailbox_size);
	if (host->control)
		munmap(host->control, host->control_size);
	free(host->own);
	free(host);
}

/* ---- the beginning ---- */

/* Its first word; or its end. */
static int wait_for_nursery(struct vd_host *host, struct vd_error *error)
{
	char word;
	ssize_t got;
	int status;

	while ((got = recv(host->socket, &word, sizeof word, 0)) < 0 && errno == EINTR)
		;
	if (got == (ssize_t)sizeof word) {
		if (host->control->result)
			*error = host->control->error;
		return host->control->result;
	}
	while (waitpid(host->nursery, &status, 0) < 0)
		if (errno != EINTR) { /* somebody else has waited for it */
			host->nursery = 0;
			return vd_error_set(error, -EFAULT, "the functions cannot be opened: the process for them has ended");
		}
	host->nursery = 0;
	if (WIFSIGNALED(status))
		return vd_error_set(error, -EFAULT, "a function crashed while it was opened (%s): repair it, or take it out of the chain",
				    strsignal(WTERMSIG(status)));
	return vd_error_set(error, -EFAULT, "a function ended its process while it was opened (exit code %d): repair it, or take it out of "
			    "the chain", WEXITSTATUS(status));
}

static int refuse_to_isolate(struct vd_error *error, int code)
{
	return vd_error_set(error, code, "functions cannot be isolated: no process can be made for them: %s%s", strerror(-code),
			    code == -EPERM ? "; where system calls are filtered, that has to be settled when it starts: start it with "
					     "isolation process" : "");
}

static int start(struct vd_host *host, int (*open)(void *argument, struct vd_error *error), void *argument, struct vd_error *error)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return refuse_to_isolate(error, -errno);
	host->nursery = fork();
	if (!host->nursery) {
		host->socket = ends[1];
		vd_host_nursery(host, open, argument);
	}
	close(ends[1]);
	host->socket = ends[0];
	if (host->nursery < 0) {
		int code = -errno;

		host->nursery = 0;
		return refuse_to_isolate(error, code);
	}
	return wait_for_nursery(host, error);
}

static void take_over_needs(const struct vd_host *host)
{
	struct vd_chain *chain = host->chain;

	chain->bytes = host->control->bytes;
	chain->needs = host->control->needs;
	for (unsigned i = 0; i < chain->count; i++)
		chain->links[i].may_reject = host->control->may_reject[i];
}

int vd_host_open(const struct vd_engine *engine, struct vd_chain *chain, int (*open)(void *argument, struct vd_error *error),
		 void *argument, struct vd_error *error)
{
	struct vd_host *host = calloc(1, sizeof *host);
	int result;

	if (!host)
		return vd_error_set(error, -ENOMEM, "out of memory");
	*host = (struct vd_host){.chain = chain,
				 .workers = engine->worker_count,
				 .deadline_ns = (chain->deadline_us ? chain->deadline_us : VD_ENGINE_DEADLINE_DEFAULT_US) * 1000ull,
				 .socket = -1,
				 .confine = engine->options.confine,
				 .confine_argument = engine->options.confine_argument,
				 .kept = engine->options.confine_descriptor,
				 .cpus = engine->options.cpus,
				 .cpu_count = engine->options.cpu_count};
	result = make_memory(host) ? vd_error_set(error, -ENOMEM, "out of memory for the isolation of functions") : 0;
	if (!result)
		result = start(host, open, argument, error);
	if (result) {
		vd_host_destroy(host);
		return result;
	}
	take_over_needs(host);
	chain->host = host;
	return 0;
}

/* ---- the end ---- */

/* Until the nursery's end of the socket is closed, which is when it has ended. */
static void wait_for_end(struct vd_host *host)
{
	struct pollfd pollfd = {.fd = host->socket, .events = POLLIN};
	int ready;

	while ((ready = poll(&pollfd, 1, CLOSE_MS)) < 0 && errno == EINTR)
		;
	if (ready <= 0)
		kill(host->nursery, SIGKILL);
	while (waitpid(host->nursery, NULL, 0) < 0 && errno == EINTR)
		;
}

void vd_host_close(struct vd_host *host)
{
	struct vd_host_order order = {.what = VD_HOST_CLOSE};

	if (host->nursery) {
		send(host->socket, &order, sizeof order, MSG_NOSIGNAL); /* if that fails it has ended */
		wait_for_end(host);
		host->nursery = 0;
	}
	if (host->socket >= 0)
		close(host->socket);
	host->socket = -1;
}

uint64_t vd_host_restarts(const struct vd_host *host)
{
	return atomic_load_explicit(&host->control->restarts, memory_order_relaxed); /* any recent value */
}
