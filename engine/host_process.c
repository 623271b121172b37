/* SPDX-License-Identifier: MIT */
/*
 * A host: a thread for each worker, which decides on the bursts in its mailbox, and one that waits for the order to close.
 *
 * The handler of a crash says in the mailbox of its thread what it was, and ends the process: what comes behind a crash is not to be
 * trusted, and the state of the functions least of all. It has a stack of its own, since that may be what has overflowed.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/error.h"
#include "engine/host_private.h"

#define HANDLER_STACK 65536

static const int CRASHES[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};

static _Thread_local struct vd_mailbox *own_mailbox;

/* What workers order among each other comes here through another process, and ThreadSanitizer does not see it. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
static char order;
#define ORDER_BEFORE() __tsan_acquire(&order)
#define ORDER_BEHIND() __tsan_release(&order)
#else
#define ORDER_BEFORE() ((void)0)
#define ORDER_BEHIND() ((void)0)
#endif

struct process {
	struct vd_host *host;
	uint32_t number;
	pthread_barrier_t are_there;
};

struct seat {
	struct process *process;
	unsigned worker;
};

/* ---- a crash ---- */

static void confess(int signal)
{
	if (own_mailbox) /* relaxed: read when this process is dead */
		atomic_store_explicit(&own_mailbox->signal, (uint32_t)signal, memory_order_relaxed);
	_exit(128 + signal);
}

static void take_crashes(void)
{
	struct sigaction action = {.sa_handler = confess, .sa_flags = SA_ONSTACK};

	sigemptyset(&action.sa_mask);
	for (unsigned i = 0; i < sizeof CRASHES / sizeof *CRASHES; i++) {
		struct sigaction before;

		/* a filter of system calls may have it, to make them fail */
		if (CRASHES[i] != SIGSYS || (!sigaction(SIGSYS, NULL, &before) && before.sa_handler == SIG_DFL))
			sigaction(CRASHES[i], &action, NULL);
	}
}

static void take_handler_stack(void)
{
	stack_t stack = {.ss_sp = malloc(HANDLER_STACK), .ss_size = HANDLER_STACK};

	if (stack.ss_sp) /* without it, an overflow is a death that nobody explains */
		sigaltstack(&stack, NULL);
}

/* ---- bursts ---- */

static void forget_counts(struct vd_host *host, struct vd_mailbox *mailbox)
{
	for (unsigned i = 0; i < host->chain->count; i++) {
		struct vd_link_tally *tally = vd_mailbox_tally(host, mailbox, i);
		struct vd_context context = {.counters = (uint64_t *)(tally + 1), .counter_count = host->chain->links[i].names->counter_count};

		*tally = (struct vd_link_tally){.context = context};
		memset(context.counters, 0, context.counter_count * sizeof *context.counters);
	}
}

static void decide(struct vd_host *host, struct vd_mailbox *mailbox, unsigned worker)
{
	struct vd_packet *packets[VD_BURST_MAX];
	struct vd_outcome outcome; /* the engine makes its own of what was counted */
	unsigned count = mailbox->count;

	for (unsigned i = 0; i < count; i++)
		packets[i] = (struct vd_packet *)(void *)(vd_mailbox_area(host, mailbox) + mailbox->offsets[i]);
	forget_counts(host, mailbox);
	vd_chain_decide(host->chain, worker, mailbox->lane, (enum vd_verdict)mailbox->fault_verdict, packets, count, NULL, &outcome);
}

/*
 * The worker sleeps while its host's thread works, so the CPU that it has just left is the right one: to wake somebody there takes a
 * change of context, and on another CPU, which sleeps, several times as long. `own`: where this thread is now.
 */
static void follow(int cpu, int *own)
{
	cpu_set_t set;

	if (cpu == *own || cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (!sched_setaffinity(0, sizeof set, &set))
		*own = cpu;
}

static void *serve(void *argument)
{
	int cpu = -1;
	struct seat *seat = argument;
	struct process *process = seat->process;
	struct vd_mailbox *mailbox = vd_host_mailbox(process->host, seat->worker);
	_Atomic uint32_t *asked = &mailbox->asked[process->number % 2];
	/* relaxed: nobody asks before this host is said to be there, which the barrier comes before */
	uint32_t last = atomic_load_explicit(asked, memory_order_relaxed);

	own_mailbox = mailbox;
	take_handler_stack();
	pthread_barrier_wait(&process->are_there);
	for (;;) {
		/* acquire, pairs with the release in ask(): the burst */
		uint32_t now = atomic_load_explicit(asked, memory_order_acquire);

		if (now == last) {
			vd_host_sleep(asked, last, UINT64_MAX);
			continue;
		}
		last = now;
		if (!vd_burst_is_for(now, process->number))
			continue;
		follow(mailbox->cpu, &cpu);
		ORDER_BEFORE();
		decide(process->host, mailbox, seat->worker);
		ORDER_BEHIND();
		/* release, pairs with the acquire in wait_for_answer(): the answer */
		atomic_store_explicit(&mailbox->answered, now, memory_order_release);
		vd_mailbox_ring(mailbox);
	}
	return NULL;
}

/* ---- the beginning, and the end ---- */

/* What functions count goes to the mailboxes, and where they stand. */
static int use_mailboxes(struct vd_host *host)
{
	struct vd_standing **standings = calloc(host->workers, sizeof *standings);

	if (!standings)
		return -ENOMEM;
	for (unsigned worker = 0; worker < host->workers; worker++) {
		struct vd_mailbox *mailbox = vd_host_mailbox(host, worker);

		standings[worker] = &mailbox->standing;
		for (unsigned i = 0; i < host->chain->count; i++)
			host->chain->links[i].tallies[worker] = vd_mailbox_tally(host, mailbox, i);
	}
	host->chain->standings = standings;
	return 0;
}

static int start_threads(struct process *process)
{
	const struct vd_host *host = process->host;
	struct seat *seats = calloc(host->workers, sizeof *seats);
	int result = seats ? pthread_barrier_init(&process->are_there, NULL, host->workers + 1) : ENOMEM;

	for (unsigned i = 0; i < host->workers && !result; i++) {
		pthread_attr_t attributes;
		pthread_t thread;

		seats[i] = (struct seat){.process = process, .worker = i};
		pthread_attr_init(&attributes);
		if (host->cpu_count) {
			cpu_set_t set;

			CPU_ZERO(&set);
			CPU_SET(host->cpus[i % host->cpu_count], &set);
			pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
		}
		result = pthread_create(&thread, &attributes, serve, &seats[i]);
		pthread_attr_destroy(&attributes);
	}
	if (!result)
		pthread_barrier_wait(&process->are_there);
	return -result;
}

static int begin(struct process *process, struct vd_error *error)
{
	struct vd_host *host = process->host;
	int result = use_mailboxes(host);

	take_crashes();
	if (!result)
		result = start_threads(process);
	if (result)
		return vd_error_set(error, result, "functions cannot be isolated: a thread cannot be started: %s", strerror(-result));
	return host->confine ? host->confine(host->confine_argument, VD_CONFINED_HOST, error) : 0;
}

_Noreturn void vd_host_process(struct vd_host *host, uint32_t number, pid_t nursery, int ready, int orders)
{
	struct process process = {.host = host, .number = number};
	struct vd_error *error = &host->control->error;
	char word = 'r';
	sigset_t none;
	int result;

	prctl(PR_SET_NAME, "verdict-host", 0, 0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* later it may not; what would undo it, a change of rights, is behind it */
	if (getppid() != nursery)
		_exit(1);
	result = begin(&process, error);
	if (result) {
		host->control->result = result;
		_exit(1);
	}
	munmap(host->control, host->control_size);
	host->control = NULL;
	(void)!write(ready, &word, sizeof word);
	close(ready);
	while (read(orders, &word, sizeof word) < 0 && errno == EINTR)
		;
	ORDER_BEFORE();
	if (word == 'c') /* behind the last burst: the engine says it when it has all answers */
		vd_chain_close(host->chain);
	_exit(0);
}
