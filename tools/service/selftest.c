/* SPDX-License-Identifier: MIT */
#include "tools/service/selftest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/error.h"
#include "engine/port_sim.h"
#include "tools/config/settings.h"

/* What the process that tries it says to the one that asks. */
struct answer {
	int result;
	struct vd_error error;
};

/* The functions and what they are told, without the queues; one packet needs one thread, and no CPU of its own. */
static struct vd_settings *without_queues(const struct vd_settings *settings)
{
	static const enum vd_key NOT_NEEDED[] = {VD_KEY_WORKERS, VD_KEY_WRITERS, VD_KEY_CPU, VD_KEY_PACKETS, VD_KEY_BATCH_DELAY,
						  VD_KEY_ISOLATION, VD_KEY_DEADLINE};
	struct vd_settings *alone = malloc(sizeof *alone);

	if (!alone)
		return NULL;
	*alone = *settings;
	alone->queue_count = 0;
	for (unsigned i = 0; i < sizeof NOT_NEEDED / sizeof *NOT_NEEDED; i++)
		alone->general[NOT_NEEDED[i]].is_given = false;
	alone->general[VD_KEY_WORKERS] = (struct vd_setting){.is_given = true, .number = 1};
	return alone;
}

static int judge(struct vd_engine *engine, struct vd_error *error)
{
	struct vd_function_stats functions[VD_ENGINE_FUNCTIONS_MAX];
	unsigned count = vd_engine_function_stats(engine, functions, VD_ENGINE_FUNCTIONS_MAX);
	struct vd_queue_stats queue = {0};
	uint64_t answered = 0;

	for (unsigned i = 0; i < count; i++)
		if (functions[i].faults)
			return vd_error_set(error, -EBADMSG, "function %s: it returned what is no verdict for a test packet: repair it, or "
					    "take it out of the chain", functions[i].name);
	vd_engine_queue_stats(engine, &queue, 1);
	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		answered += queue.verdicts[verdict];
	return answered == 1 ? 0 : vd_error_set(error, -EIO, "a test packet went through the functions and got no verdict");
}

static int run_packet(struct vd_engine *engine, struct vd_error *error)
{
	struct vd_sim_options options = VD_SIM_OPTIONS_INIT;
	struct vd_port *port;
	int result;

	options.bench = true; /* the other kind of simulation watches the engine, and takes longer to make */
	options.packets = 1;
	options.flows = 1;
	if (vd_port_sim_create(&port, &options))
		return vd_error_set(error, -ENOMEM, "out of memory");
	result = vd_engine_add_port(engine, port, error);
	if (!result)
		result = vd_engine_run(engine, error);
	return result ? result : judge(engine, error);
}

static void try_and_answer(const struct vd_settings *settings, int descriptor)
{
	struct vd_settings *alone = without_queues(settings);
	struct answer answer = {0};
	struct vd_engine *engine;

	if (alone)
		answer.result = vd_settings_engine(alone, NULL, NULL, &engine, &answer.error);
	else
		answer.result = vd_error_set(&answer.error, -ENOMEM, "out of memory");
	if (!answer.result)
		answer.result = run_packet(engine, &answer.error);
	/* closing is a part of it */
	if (!answer.result)
		vd_engine_destroy(engine);
	(void)!write(descriptor, &answer, sizeof answer);
}

/* The process that tries it: a mere exit would run what others registered for the end of the whole program. */
static void try_in_child(const struct vd_settings *settings, int descriptor)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	try_and_answer(settings, descriptor);
	_exit(0);
}

static int wait_for_answer(pid_t child, int descriptor, struct answer *answer)
{
	struct pollfd pollfd = {.fd = descriptor, .events = POLLIN};
	bool is_late = poll(&pollfd, 1, VD_SELFTEST_SECONDS * 1000) == 0;
	ssize_t got = is_late ? 0 : read(descriptor, answer, sizeof *answer);
	int status;

	if (is_late)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (got == (ssize_t)sizeof *answer)
		return answer->result;
	if (is_late)
		return vd_error_set(&answer->error, -ETIMEDOUT, "the functions did not decide on a test packet within %d seconds: one of "
				    "them waits for something, or never ends", VD_SELFTEST_SECONDS);
	if (WIFSIGNALED(status))
		return vd_error_set(&answer->error, -EFAULT, "a function crashed on a test packet (%s): repair it, or take it out of the "
				    "chain", strsignal(WTERMSIG(status)));
	return vd_error_set(&answer->error, -EIO, "a function ended the process on a test packet (exit code %d)", WEXITSTATUS(status));
}

int vd_selftest(const struct vd_settings *settings, struct vd_error *error)
{
	struct answer answer = {0};
	int ends[2], result;
	pid_t child;

	if (pipe(ends))
		return vd_error_set(error, -errno, "a test packet cannot be tried: %s", strerror(errno));
	child = fork();
	if (!child) {
		close(ends[0]);
		try_in_child(settings, ends[1]);
	}
	result = child < 0 ? -errno : 0;
	close(ends[1]);
	if (result)
		vd_error_set(&answer.error, result, "a test packet cannot be tried: %s", strerror(-result));
	else
		result = wait_for_answer(child, ends[0], &answer);
	close(ends[0]);
	if (result)
		*error = answer.error;
	return result;
}
