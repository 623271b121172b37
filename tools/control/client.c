/* SPDX-License-Identifier: MIT */
#include "tools/control/client.h"

#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "tools/config/origin.h"
#include "tools/config/values.h"
#include "tools/control/place.h"

#define ROOM_STEP 65536u
#define CONNECT_PAUSE_NS 20000000

/* ---- who is there ---- */

/* Whether somebody listens; who does not let us in is there, too. */
static bool is_alive(const struct sockaddr_un *address)
{
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answers = probe >= 0 && (!connect(probe, (const struct sockaddr *)address, sizeof *address) || errno == EAGAIN ||
				      errno == EACCES);

	close(probe);
	return answers;
}

/* "; there are a, b": the names behind which daemons run. */
static void list_names(char *text, size_t size)
{
	static const char pattern[] = VD_CONTROL_DIRECTORY "/*.sock";
	size_t used = 0;
	glob_t found;

	*text = '\0';
	if (glob(pattern, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc && used < size / 2; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;
		int length = (int)(strlen(name) - strlen(".sock"));
		struct sockaddr_un address;

		if (vd_control_address(found.gl_pathv[i], &address) && is_alive(&address))
			used += (size_t)snprintf(text + used, size - used, "%s%.*s", used ? ", " : "; there are: ", length, name);
	}
	globfree(&found);
}

static int nobody(const struct sockaddr_un *address, const char *name, struct vd_error *error)
{
	char names[256];
	struct stat status;

	list_names(names, sizeof names);
	if (!strchr(name, '/'))
		return vd_error_set(error, -ENOENT, "no daemon runs under the name '%s': `verdict run --control %s` would be one%s", name, name,
				    names);
	if (!lstat(address->sun_path, &status) && !S_ISSOCK(status.st_mode))
		return vd_error_set(error, -ENOENT, "%s is not a control socket", name);
	return vd_error_set(error, -ENOENT, "no daemon listens at %s: `verdict run --control %s` would be one%s", name, name, names);
}

int vd_client_connect(struct vd_client *client, const char *name, unsigned timeout_ms, struct vd_error *error)
{
	uint64_t end = vd_clock_ns() + timeout_ms * 1000000ull;
	char shown[VD_SHOWN_SIZE];
	int result;

	memset(client, 0, offsetof(struct vd_client, descriptors));
	client->socket = -1;
	if (!vd_value_control(name))
		return vd_error_set(error, -EINVAL, "'%s' is neither the name of a daemon nor the path of its control socket, which has a "
				    "slash in it", vd_show_text(name, shown));
	if (!vd_control_address(name, &client->address))
		return vd_error_set(error, -EINVAL, "%s is too long for the path of a socket", name);
	client->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->socket < 0)
		return vd_error_set(error, -errno, "out of descriptors");
	while ((result = connect(client->socket, (struct sockaddr *)&client->address, sizeof client->address) ? -errno : 0)) {
		if ((result != -EAGAIN && result != -EINTR) || vd_clock_ns() > end)
			break;
		nanosleep(&(struct timespec){.tv_nsec = CONNECT_PAUSE_NS}, NULL); /* as many wait to be let in as may */
	}
	if (!result)
		return 0;
	close(client->socket);
	client->socket = -1;
	switch (result) {
	case -ENOENT:
	case -ENOTDIR:
	case -ECONNREFUSED:
		return nobody(&client->address, name, error);
	case -EACCES:
	case -EPERM:
		return vd_error_set(error, -EACCES, "%s is not for this user: ask as root, or have the daemon started with a "
				    "--control-mode that lets others in", client->address.sun_path);
	case -EAGAIN:
		return vd_error_set(error, -ETIMEDOUT, "the daemon at %s does not answer: too many wait for it already",
				    client->address.sun_path);
	default:
		return vd_error_set(error, result, "%s cannot be reached: %s", client->address.sun_path, strerror(-result));
	}
}

void vd_client_close(struct vd_client *client)
{
	for (unsigned i = 0; i < client->descriptor_count; i++)
		close(client->descriptors[i]);
	client->descriptor_count = 0;
	if (client->socket >= 0)
		close(client->socket);
	client->socket = -1;
	free(client->bytes);
	client->bytes = NULL;
	client->length = client->size = client->searched = 0;
}

/* ---- what it says ---- */

static int no_answer(const struct vd_client *client, unsigned timeout_ms, struct vd_error *error)
{
	char owner[VD_CONTROL_OWNER_SIZE];

	return vd_error_set(error, -ETIMEDOUT, "the daemon at %s, %s, does not answer within %g s: it may be stopped, or overloaded",
			    client->address.sun_path, vd_control_owner(client->socket, owner), timeout_ms / 1e3);
}

static int hung_up(const struct vd_client *client, struct vd_error *error)
{
	return vd_error_set(error, -EPIPE, "the daemon at %s has hung up: it has come to its end, or threw this client out",
			    client->address.sun_path);
}

static int nonsense(const struct vd_client *client, struct vd_error *error)
{
	return vd_error_set(error, -EPROTO, "what listens at %s does not answer as verdict does", client->address.sun_path);
}

/* Until the socket is ready; false: the time is over. */
static bool wait_for(const struct vd_client *client, short events, uint64_t end_ns)
{
	struct pollfd ready = {.fd = client->socket, .events = events};

	for (;;) {
		uint64_t now = vd_clock_ns();
		int result = poll(&ready, 1, now >= end_ns ? 0 : (int)((end_ns - now) / 1000000 + 1));

		if (result > 0)
			return true;
		if (now >= end_ns || (result < 0 && errno != EINTR))
			return false;
	}
}

int vd_client_send(struct vd_client *client, json_t *request, unsigned timeout_ms, struct vd_error *error)
{
	uint64_t end = vd_clock_ns() + timeout_ms * 1000000ull;
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t length = line ? strlen(line) + 1 : 0, sent = 0;
	int result = line ? 0 : vd_error_set(error, -ENOMEM, "out of memory");

	json_decref(request);
	if (line)
		line[length - 1] = '\n';
	while (!result && sent < length) {
		ssize_t bytes = send(client->socket, line + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (bytes >= 0)
			sent += (size_t)bytes;
		else if (errno == EAGAIN && !wait_for(client, POLLOUT, end))
			result = no_answer(client, timeout_ms, error);
		else if (errno != EAGAIN && errno != EINTR)
			result = hung_up(client, error);
	}
	free(line);
	return result;
}

/* Descriptors that came along; those for which there is no room are closed. */
static void keep_descriptors(struct vd_client *client, struct msghdr *message)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int descriptor;

			memcpy(&descriptor, CMSG_DATA(header) + i * sizeof descriptor, sizeof descriptor);
			if (client->descriptor_count < VD_CONTROL_DESCRIPTORS_MAX)
				client->descriptors[client->descriptor_count++] = descriptor;
			else
				close(descriptor);
		}
	}
}

/* Some bytes more. 0, -EAGAIN, or why not. */
static int receive_some(struct vd_client *client, struct vd_error *error)
{
	union {
		char bytes[CMSG_SPACE(253 * sizeof(int))]; /* as much as the kernel gives at once */
		struct cmsghdr align;
	} control;
	struct iovec room;
	struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t received;

	if (client->size - client->length < ROOM_STEP) {
		char *bytes = client->size + ROOM_STEP <= VD_CLIENT_REPLY_MAX ? realloc(client->bytes, client->size + ROOM_STEP) : NULL;

		if (!bytes)
			return nonsense(client, error);
		client->bytes = bytes;
		client->size += ROOM_STEP;
	}
	room = (struct iovec){client->bytes + client->length, client->size - client->length};
	received = recvmsg(client->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (received < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (received <= 0)
		return hung_up(client, error);
	keep_descriptors(client, &message);
	client->length += (size_t)received;
	return 0;
}

/* The line of `length` bytes in front, as what it says. */
static int read_line(struct vd_client *client, size_t length, json_t **reply, struct vd_error *error)
{
	json_t *object = json_loadb(client->bytes, length, 0, NULL);
	const json_t *is_ok = json_object_get(object, "ok");
	const char *sentence = json_string_value(json_object_get(object, "error"));
	int result = 0;

	client->length -= length + 1;
	memmove(client->bytes, client->bytes + length + 1, client->length);
	client->searched = 0;
	if (json_is_false(is_ok) && sentence)
		result = vd_error_set(error, -EREMOTEIO, "%s", sentence);
	else if (!json_is_true(is_ok))
		result = nonsense(client, error);
	if (result)
		json_decref(object);
	else
		*reply = object;
	return result;
}

int vd_client_receive(struct vd_client *client, unsigned timeout_ms, json_t **reply, struct vd_error *error)
{
	uint64_t end = vd_clock_ns() + timeout_ms * 1000000ull;

	*reply = NULL;
	for (;;) {
		char *line_end = client->length > client->searched ? memchr(client->bytes + client->searched, '\n',
									      client->length - client->searched) : NULL;
		int result;

		if (line_end)
			return read_line(client, (size_t)(line_end - client->bytes), reply, error);
		client->searched = client->length;
		result = receive_some(client, error);
		if (result == -EAGAIN && !wait_for(client, POLLIN, end))
			return no_answer(client, timeout_ms, error);
		if (result && result != -EAGAIN)
			return result;
	}
}

int vd_client_call(struct vd_client *client, json_t *request, unsigned timeout_ms, json_t **reply, struct vd_error *error)
{
	int result = vd_client_send(client, request, timeout_ms, error);

	*reply = NULL;
	return result ? result : vd_client_receive(client, timeout_ms, reply, error);
}
