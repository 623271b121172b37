/* SPDX-License-Identifier: MIT */
#include "engine/account.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/tally.h"

void vd_account_begin(struct vd_account *account)
{
	/* relaxed: a number, nothing hangs on it */
	atomic_store_explicit(&account->thread, gettid(), memory_order_relaxed);
}

void vd_account_end(struct vd_account *account)
{
	struct rusage usage;

	if (!getrusage(RUSAGE_THREAD, &usage))
		vd_tally_add(&account->sleeps, (uint64_t)usage.ru_nvcsw);
	vd_tally_add(&account->cpu_ns, vd_clock_cpu_ns());
	/* release, pairs with the acquire in vd_account_read(): whoever sees that it has ended sees these */
	atomic_store_explicit(&account->thread, 0, memory_order_release);
}

static FILE *open_task(pid_t thread, const char *file)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)thread, file);
	return fopen(path, "re");
}

static uint64_t read_sleeps(pid_t thread)
{
	FILE *file = open_task(thread, "status");
	uint64_t sleeps = 0;
	char line[256];

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &sleeps) == 1)
			break;
	if (file)
		fclose(file);
	return sleeps;
}

static uint64_t read_cpu_ns(pid_t thread)
{
	FILE *file = open_task(thread, "schedstat");
	uint64_t cpu_ns = 0;

	if (file && fscanf(file, "%" SCNu64, &cpu_ns) != 1)
		cpu_ns = 0;
	if (file)
		fclose(file);
	return cpu_ns;
}

void vd_account_read(struct vd_account *account, uint64_t *sleeps, uint64_t *cpu_ns)
{
	pid_t thread = atomic_load_explicit(&account->thread, memory_order_acquire);

	if (thread) {
		*sleeps = read_sleeps(thread);
		*cpu_ns = read_cpu_ns(thread);
	}
	/* it has not begun, or has ended, now or while it was looked at */
	if (!thread || !atomic_load_explicit(&account->thread, memory_order_acquire)) {
		*sleeps = vd_tally_read(&account->sleeps);
		*cpu_ns = vd_tally_read(&account->cpu_ns);
	}
}
