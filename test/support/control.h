/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the control socket share: a server at a path of its own, and clients of it, in one process.
 */
#ifndef VERDICT_TEST_CONTROL_H
#define VERDICT_TEST_CONTROL_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/control/client.h"
#include "tools/control/control.h"

#define PATIENCE_MS 60000

static char directory[] = "/tmp/verdict-control-XXXXXX";
static char path[64];
static struct vd_control *control;
static struct vd_error error;
static char logged[1024];

static inline void remember_log(void *argument, const char *line)
{
	(void)argument;
	snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", line);
}

static inline void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* ---- the server ---- */

static inline int answer_echo(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *why)
{
	(void)argument;
	(void)why;
	assert_int_equal(reply->peer->pid, getpid());
	assert_int_equal(reply->peer->uid, getuid());
	json_object_set(reply->members, "text", json_object_get(request, "text"));
	vd_control_say(reply, "echoed");
	return 0;
}

/* With the command `echo`; others are added then, and it starts. */
static inline void open_server(const struct vd_control_limits *limits)
{
	*logged = '\0';
	if (vd_control_open(&control, path, 0600, &error))
		fail_msg("%s", error.text);
	vd_control_log_to(control, remember_log, NULL);
	if (limits)
		vd_control_limit(control, limits);
	vd_control_add(control, "echo", answer_echo, NULL);
}

static inline void start_server(void)
{
	assert_int_equal(vd_control_start(control, &error), 0);
}

static inline void stop(void)
{
	struct stat status;

	vd_control_close(control);
	control = NULL;
	assert_int_equal(lstat(path, &status), -1);
}

static inline int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/c.sock", directory);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	return rmdir(directory); /* nothing is left in it */
}

/* A test that failed leaves nothing to the next one. */
static inline int clean_up(void **state)
{
	(void)state;
	vd_control_close(control);
	control = NULL;
	unlink(path);
	return 0;
}

/* ---- clients ---- */

static inline void dial(struct vd_client *client)
{
	if (vd_client_connect(client, path, PATIENCE_MS, &error))
		fail_msg("%s", error.text);
}

static inline void put(const struct vd_client *client, const char *bytes, size_t length)
{
	while (length) {
		ssize_t sent = send(client->socket, bytes, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = client->socket, .events = POLLOUT}, 1, PATIENCE_MS);
			continue;
		}
		assert_true(sent > 0);
		bytes += sent;
		length -= (size_t)sent;
	}
}

static inline void say(const struct vd_client *client, const char *text)
{
	put(client, text, strlen(text));
}

static inline json_t *get(struct vd_client *client)
{
	json_t *reply;

	if (vd_client_receive(client, PATIENCE_MS, &reply, &error))
		fail_msg("%s", error.text);
	return reply;
}

/* Asks with a number, and wants it back. */
static inline void echo(struct vd_client *client, int number)
{
	json_t *reply;

	if (vd_client_call(client, json_pack("{s:s, s:i}", "command", "echo", "text", number), PATIENCE_MS, &reply, &error))
		fail_msg("%s", error.text);
	assert_int_equal(json_integer_value(json_object_get(reply, "text")), number);
	json_decref(reply);
}

static inline void wait_until_hung_up(struct vd_client *client)
{
	char bytes[4096];
	ssize_t received;

	do {
		poll(&(struct pollfd){.fd = client->socket, .events = POLLIN}, 1, PATIENCE_MS);
		received = recv(client->socket, bytes, sizeof bytes, MSG_DONTWAIT);
	} while (received > 0);
	assert_true(!received || errno == ECONNRESET);
}

#endif
