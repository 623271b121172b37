/* SPDX-License-Identifier: MIT */
/*
 * What the small programs of bench/net share: arguments, addresses, the clock, and stopping when told to.
 * They answer on stdout with one line of JSON, and complain on stderr with one sentence: exit 2 for a bad argument,
 * exit 1 for a system that does not do as asked.
 */
#ifndef VERDICT_BENCH_PROGRAM_H
#define VERDICT_BENCH_PROGRAM_H

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BAD_ARGUMENT 2
#define FAILED 1

#define SECOND_NS 1000000000ull

__attribute__((noreturn, format(printf, 2, 3))) static inline void fail(int status, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(status);
}

/*
 * getopt_long(), where every option is long and has its letter or number as value; -1 at the end. `usage` is for
 * --help, which is option 'h'.
 */
static inline int next_option(int argc, char **argv, const struct option *options, const char *usage)
{
	int option;

	opterr = 0;
	option = getopt_long(argc, argv, ":", options, NULL);
	if (option == 'h') {
		fputs(usage, stdout);
		exit(0);
	}
	if (option == ':')
		fail(BAD_ARGUMENT, "%s needs a value; see --help", argv[optind - 1]);
	if (option == '?')
		fail(BAD_ARGUMENT, "%s is not an option; see --help", argv[optind - 1]);
	if (option < 0 && optind < argc)
		fail(BAD_ARGUMENT, "'%s' is too much; see --help", argv[optind]);
	return option;
}

static inline uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	/* strtoull() takes "-1" for a large number */
	if (text[0] < '0' || text[0] > '9' || *end || errno || value < min || value > max)
		fail(BAD_ARGUMENT, "--%s takes a number from %llu to %llu, not '%s'", option, (unsigned long long)min,
		     (unsigned long long)max, text);
	return value;
}

/* Seconds, fractions allowed, as nanoseconds. */
static inline uint64_t duration_ns(const char *option, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value > 0 && value <= 1e6))
		fail(BAD_ARGUMENT, "--%s takes seconds, more than 0 and at most 1000000, not '%s'", option, text);
	return (uint64_t)(value * SECOND_NS);
}

struct address {
	struct sockaddr_storage storage;
	socklen_t size;
};

static inline void address_set_port(struct address *address, uint16_t port)
{
	/* sin_port and sin6_port lie at the same place */
	((struct sockaddr_in *)&address->storage)->sin_port = htons(port);
}

/* A numeric IPv4 or IPv6 address; link-local ones with their %interface. */
static inline struct address address_read(const char *option, const char *text)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM}, *found;
	struct address address = {0};

	if (getaddrinfo(text, NULL, &hints, &found))
		fail(BAD_ARGUMENT, "--%s takes an IPv4 or IPv6 address in numbers, not '%s'", option, text);
	memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
	address.size = found->ai_addrlen;
	freeaddrinfo(found);
	return address;
}

/* Root may go beyond net.core.?mem_max, others get what that allows: no error, it only loses sooner. */
static inline void set_buffer(int descriptor, int force, int fallback, int bytes)
{
	if (setsockopt(descriptor, SOL_SOCKET, force, &bytes, sizeof bytes))
		setsockopt(descriptor, SOL_SOCKET, fallback, &bytes, sizeof bytes);
}

/* The same clock for all processes of a machine, in whatever network namespace. */
static inline uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

static volatile sig_atomic_t stopped;

static inline void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

/*
 * SIGINT and SIGTERM set `stopped` and interrupt what blocks. A signal just before a blocking call is not seen by it,
 * so no call may block for longer than a person waits.
 */
static inline void stop_on_signals(void)
{
	struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART */

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

#endif
