/* SPDX-License-Identifier: MIT */
/* The process itself, under the names that all programs give these. What cannot be found out is left out. */
#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tools/metrics/exposition.h"

/* Of jemalloc, where it is linked. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size) __attribute__((weak));

static void write_one(FILE *file, const char *name, const char *type, const char *help, double number)
{
	vd_exposition_family(file, name, type, help);
	vd_exposition_number(file, number, name, NULL);
}

static double seconds(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of /proc/self/stat, as proc(5) has them; they begin behind the program's name, which may have anything in it. */
struct stat_line {
	long threads;
	unsigned long long start_ticks; /* after the machine's start */
	unsigned long virtual_bytes;
	long resident_pages;
};

static bool read_stat(struct stat_line *stat)
{
	FILE *file = fopen("/proc/self/stat", "re");
	char line[1024] = "";
	const char *behind;

	if (!file)
		return false;
	behind = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
	fclose(file);
	return behind && sscanf(behind + 1,
				" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu %lu %ld",
				&stat->threads, &stat->start_ticks, &stat->virtual_bytes, &stat->resident_pages) == 4;
}

static void write_stat(FILE *file)
{
	double ticks_a_second = (double)sysconf(_SC_CLK_TCK);
	struct stat_line stat;

	if (!read_stat(&stat))
		return;
	write_one(file, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
		  (double)stat.resident_pages * (double)sysconf(_SC_PAGESIZE));
	write_one(file, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", (double)stat.virtual_bytes);
	write_one(file, "process_threads", "gauge", "Number of threads.", (double)stat.threads);
	/* to the tick, so that it stays the same from scrape to scrape */
	write_one(file, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
		  (double)(long long)(seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME) + (double)stat.start_ticks / ticks_a_second +
				      0.5));
}

static void write_descriptors(FILE *file)
{
	DIR *directory = opendir("/proc/self/fd");
	struct rlimit limit;
	unsigned count = 0;

	while (directory && readdir(directory))
		count++;
	if (directory) { /* without . and .. and the one that was opened here */
		closedir(directory);
		write_one(file, "process_open_fds", "gauge", "Number of open file descriptors.", (double)count - 3);
	}
	if (!getrlimit(RLIMIT_NOFILE, &limit))
		write_one(file, "process_max_fds", "gauge", "Maximum number of open file descriptors.", (double)limit.rlim_cur);
}

static void write_heap(FILE *file)
{
	size_t allocated, resident, size = sizeof allocated;
	uint64_t epoch = 1;

	if (!mallctl || mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) || mallctl("stats.allocated", &allocated, &size, NULL, 0) ||
	    mallctl("stats.resident", &resident, &size, NULL, 0))
		return;
	write_one(file, "verdict_heap_allocated_bytes", "gauge", "Heap that is in use (jemalloc).", (double)allocated);
	write_one(file, "verdict_heap_resident_bytes", "gauge", "Memory that the heap holds (jemalloc).", (double)resident);
}

void vd_metrics_write_process(FILE *file)
{
	write_one(file, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
		  seconds(CLOCK_PROCESS_CPUTIME_ID));
	write_stat(file);
	write_descriptors(file);
	write_heap(file);
}
