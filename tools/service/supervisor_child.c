/* SPDX-License-Identifier: MIT */
/* The engine's process, from the fork to its own program. What it is handed lies as sd_listen_fds(3) wants it: 3 and up. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/log/log.h"
#include "tools/service/service.h"
#include "tools/service/supervisor.h"

#define FIRST 3 /* SD_LISTEN_FDS_START */

static void set_number(const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)number);
	setenv(name, text, 1);
}

/* The pipe first, then what is kept. */
static void set_environment(const struct vd_supervisor *supervisor)
{
	size_t size = sizeof VD_SERVICE_SUPERVISOR_NAME, used;
	char *names;

	for (unsigned i = 0; i < supervisor->kept_count; i++)
		size += strlen(supervisor->kept[i].name) + 1;
	names = malloc(size);
	if (!names)
		_exit(1);
	used = (size_t)sprintf(names, "%s", VD_SERVICE_SUPERVISOR_NAME);
	for (unsigned i = 0; i < supervisor->kept_count; i++)
		used += (size_t)sprintf(names + used, ":%s", supervisor->kept[i].name);
	setenv("LISTEN_FDNAMES", names, 1);
	set_number("LISTEN_FDS", 1 + supervisor->kept_count);
	set_number("LISTEN_PID", (uint64_t)getpid());
	setenv("NOTIFY_SOCKET", supervisor->address, 1);
	set_number("WATCHDOG_USEC", VD_SUPERVISOR_WATCHDOG_SECONDS * 1000000u);
	set_number("WATCHDOG_PID", (uint64_t)getpid());
	free(names);
}

/* First all out of the way of each other, then each to its place. */
static bool place_descriptors(const struct vd_supervisor *supervisor)
{
	int from[1 + VD_SUPERVISOR_KEPT_MAX], count = 1 + (int)supervisor->kept_count;

	for (int i = 0; i < count; i++) {
		from[i] = fcntl(i ? supervisor->kept[i - 1].descriptor : supervisor->life[0], F_DUPFD_CLOEXEC, FIRST + count);
		if (from[i] < 0)
			return false;
	}
	for (int i = 0; i < count; i++)
		if (dup2(from[i], FIRST + i) < 0)
			return false;
	return true;
}

/* A group of its own: Ctrl-C is the supervisor's, which passes it on. */
static void become_engine(const struct vd_supervisor *supervisor)
{
	char line[512];

	setpgid(0, 0);
	vd_supervisor_raise_capabilities();
	set_environment(supervisor);
	if (place_descriptors(supervisor)) {
		sigprocmask(SIG_SETMASK, &supervisor->signals_before, NULL);
		execv(supervisor->path, supervisor->argv);
	}
	snprintf(line, sizeof line, "%.300s cannot be started: %s", supervisor->path, strerror(errno));
	vd_log_say(VD_LOG_ERROR, line);
	_exit(1);
}

int vd_supervisor_start(struct vd_supervisor *supervisor)
{
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (!child)
		become_engine(supervisor);
	supervisor->engine = child;
	supervisor->is_ready = supervisor->says_it_stops = supervisor->is_aborted = supervisor->restarts_now = false;
	supervisor->deadline_ns = vd_clock_ns() + VD_SUPERVISOR_START_SECONDS * (uint64_t)1000000000u;
	return 0;
}

/* ---- capabilities: only the effective ones, since what the engine is to have has to be permitted here ---- */

static void set_effective(uint32_t low, uint32_t high)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return;
	data[0].effective = data[0].permitted & low;
	data[1].effective = data[1].permitted & high;
	syscall(SYS_capset, &header, data);
}

/* The engine may have become another user's by then: to end it takes this one. */
void vd_supervisor_lower_capabilities(void)
{
	set_effective(1u << CAP_KILL, 0);
}

void vd_supervisor_raise_capabilities(void)
{
	set_effective(UINT32_MAX, UINT32_MAX);
}
