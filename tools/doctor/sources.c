/* SPDX-License-Identifier: MIT */
/*
 * Runs the programs that print firewall rules: those that are installed, without a shell, for a bounded time, and with a
 * bounded output. They look into the network namespace of the calling thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/doctor/doctor.h"

/* 100,000 rules of iptables are about 10 MB. */
#define OUTPUT_BYTES_MAX (64u << 20)
#define TIME_MS_MAX 20000
#define PATH_SIZE 512

/* The order matters: what iptables-nft-save shows is left out of what nft shows. */
struct command {
	const char *arguments[5]; /* the program first */
	enum doctor_back_end back_end;
	const char *family; /* NULL: the output names it */
	const char *tables; /* where a legacy program finds its tables: it says nothing when it may not read that */
	const char *unless[2]; /* only where neither of them is installed */
};

static const struct command commands[] = {
	{{"iptables-legacy-save"}, DOCTOR_LEGACY, "ip", "/proc/thread-self/net/ip_tables_names"},
	{{"ip6tables-legacy-save"}, DOCTOR_LEGACY, "ip6", "/proc/thread-self/net/ip6_tables_names"},
	{{"iptables-nft-save"}, DOCTOR_COMPATIBLE, "ip"},
	{{"ip6tables-nft-save"}, DOCTOR_COMPATIBLE, "ip6"},
	{{"iptables-save"}, DOCTOR_COMPATIBLE, "ip", NULL, {"iptables-legacy-save", "iptables-nft-save"}},
	{{"ip6tables-save"}, DOCTOR_COMPATIBLE, "ip6", NULL, {"ip6tables-legacy-save", "ip6tables-nft-save"}},
	{{"nft", "-s", "list", "ruleset"}, DOCTOR_NFT},
};

_Static_assert(sizeof commands / sizeof *commands == DOCTOR_SOURCES_MAX, "a source for each");

/* Looks in $PATH, and where system programs are: the PATH of most users leaves that out. */
static bool find_program(const char *name, char *path, size_t size)
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

/* Between fork and exec: nothing but system calls. */
static void become(const char *path, char *const *arguments, int output)
{
	int nothing = open("/dev/null", O_RDWR);

	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDERR_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		_exit(127);
	execv(path, arguments);
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

/* What the program prints, for the caller to free; NULL, with `why`, when it fails. */
static char *run(const char *path, const char *const *arguments, char *why, size_t size)
{
	int ends[2], status = 0;
	char *text;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC)) {
		snprintf(why, size, "%s", strerror(errno));
		return NULL;
	}
	child = fork();
	if (child == 0)
		become(path, (char *const *)arguments, ends[1]);
	close(ends[1]);
	if (child < 0) {
		snprintf(why, size, "%s", strerror(errno));
		close(ends[0]);
		return NULL;
	}
	text = read_output(ends[0], why, size);
	close(ends[0]);
	if (!text)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (text && status) {
		if (WIFEXITED(status))
			snprintf(why, size, "it ended with exit status %d", WEXITSTATUS(status));
		else
			snprintf(why, size, "it was killed by signal %d", WTERMSIG(status));
		free(text);
		text = NULL;
	}
	return text;
}

static int read_rules(struct doctor_rules *rules, const struct command *command, const char *text)
{
	return command->family ? doctor_rules_parse_iptables(rules, command->back_end, command->family, text) :
				 doctor_rules_parse_nft(rules, text);
}

static bool is_forbidden(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);

	if (descriptor >= 0)
		close(descriptor);
	return descriptor < 0 && errno == EACCES;
}

static int read_source(struct doctor_source *source, struct doctor_rules *rules, const struct command *command)
{
	char path[PATH_SIZE], *text;
	int result;

	*source = (struct doctor_source){.name = command->arguments[0], .state = DOCTOR_NOT_INSTALLED};
	if (!find_program(command->arguments[0], path, sizeof path))
		return 0;
	source->state = DOCTOR_FAILED;
	if (command->tables && is_forbidden(command->tables)) {
		snprintf(source->why, sizeof source->why, "only root may read %s", command->tables);
		return 0;
	}
	text = run(path, command->arguments, source->why, sizeof source->why);
	if (!text)
		return 0;
	*source = (struct doctor_source){.name = source->name, .state = DOCTOR_READ};
	result = read_rules(rules, command, text);
	free(text);
	return result;
}

int doctor_sources_read(struct doctor_sources *sources, struct doctor_rules *rules)
{
	char path[PATH_SIZE];
	int result = 0;

	*sources = (struct doctor_sources){0};
	for (unsigned i = 0; i < DOCTOR_SOURCES_MAX && !result; i++) {
		const struct command *command = &commands[i];

		if (command->unless[0] && (find_program(command->unless[0], path, sizeof path) ||
					   find_program(command->unless[1], path, sizeof path) ||
					   !find_program(command->arguments[0], path, sizeof path)))
			continue;
		result = read_source(&sources->source[sources->count++], rules, command);
	}
	return result;
}
