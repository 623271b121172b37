/* SPDX-License-Identifier: MIT */
#include "tools/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* 100,000 rules of iptables are about 10 MB. */
#define OUTPUT_BYTES_MAX (64u << 20)
#define TIME_MS_MAX 20000

bool vd_program_find(const char *name, char *path, size_t size)
{
	const char *directories[] = {getenv("PATH"), "/usr/sbin:/sbin:/usr/local/sbin"};

	for (unsigned i = 0; i < sizeof directories / sizeof *directories; i++) {
		const char *c = directories[i];

		while (c && *c) {
			int length = (int)strcspn(c, ":");

			/* no relative directories: the name is run as root */
			if (c[0] == '/' && snprintf(path, size, "%.*s/%s", length, c, name) < (int)size && access(path, X_OK) == 0)
				return true;
			c += length;
			c += *c == ':';
		}
	}
	return false;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A file in memory with this text in it, to be read from its beginning; or -1. It waits for nobody, as a pipe would. */
static int file_of(const char *text)
{
	int file = memfd_create("verdict", MFD_CLOEXEC);
	size_t length = strlen(text);

	if (file >= 0 && (write(file, text, length) != (ssize_t)length || lseek(file, 0, SEEK_SET))) {
		close(file);
		file = -1;
	}
	return file;
}

/* Between fork and exec: nothing but system calls. */
static void become(const struct vd_program_run *run, int input, int output, int errors)
{
	if (dup2(input, STDIN_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	execv(run->path, (char *const *)run->arguments);
	_exit(127);
}

/* Reads until the program closes its output. NULL, with `why`: too much, too slow, no memory. */
static char *read_output(int descriptor, char *why, size_t size)
{
	int64_t end_ms = now_ms() + TIME_MS_MAX;
	size_t capacity = 1u << 16, used = 0;
	char *text = malloc(capacity);

	snprintf(why, size, "no memory");
	while (text) {
		struct pollfd event = {.fd = descriptor, .events = POLLIN};
		int64_t left_ms = end_ms - now_ms();
		ssize_t got;

		if (capacity - used < 2) {
			char *larger = capacity < OUTPUT_BYTES_MAX ? realloc(text, capacity * 2) : NULL;

			if (!larger) {
				if (capacity >= OUTPUT_BYTES_MAX)
					snprintf(why, size, "its output is larger than %u MB", OUTPUT_BYTES_MAX >> 20);
				break;
			}
			text = larger;
			capacity *= 2;
		}
		if (left_ms <= 0 || poll(&event, 1, (int)left_ms) == 0) {
			snprintf(why, size, "it took longer than %d s", TIME_MS_MAX / 1000);
			break;
		}
		got = read(descriptor, text + used, capacity - used - 1);
		if (got < 0 && errno != EINTR && errno != EAGAIN) {
			snprintf(why, size, "%s", strerror(errno));
			break;
		}
		if (got == 0) {
			text[used] = '\0';
			return text;
		}
		used += got > 0 ? (size_t)got : 0;
	}
	free(text);
	return NULL;
}

static void keep_complaint(struct vd_program_run *run, int errors)
{
	ssize_t got = pread(errors, run->complaint, sizeof run->complaint - 1, 0);

	run->complaint[got > 0 ? got : 0] = '\0';
}

static char *run_with(struct vd_program_run *run, int input, int errors)
{
	int ends[2], status = 0;
	char *text;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC)) {
		snprintf(run->why, sizeof run->why, "%s", strerror(errno));
		return NULL;
	}
	child = fork();
	if (child == 0)
		become(run, input, ends[1], errors);
	close(ends[1]);
	if (child < 0) {
		snprintf(run->why, sizeof run->why, "%s", strerror(errno));
		close(ends[0]);
		return NULL;
	}
	text = read_output(ends[0], run->why, sizeof run->why);
	close(ends[0]);
	if (!text)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	keep_complaint(run, errors);
	if (text && status) {
		if (WIFEXITED(status))
			snprintf(run->why, sizeof run->why, "it ended with exit status %d", WEXITSTATUS(status));
		else
			snprintf(run->why, sizeof run->why, "it was killed by signal %d", WTERMSIG(status));
		free(text);
		text = NULL;
	}
	return text;
}

char *vd_program_run(struct vd_program_run *run)
{
	int input = file_of(run->input ? run->input : ""), errors = file_of("");
	char *text = NULL;

	*run->why = *run->complaint = '\0';
	if (input < 0 || errors < 0)
		snprintf(run->why, sizeof run->why, "%s", strerror(errno));
	else
		text = run_with(run, input, errors);
	if (input >= 0)
		close(input);
	if (errors >= 0)
		close(errors);
	return text;
}
