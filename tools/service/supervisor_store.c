/* SPDX-License-Identifier: MIT */
/*
 * What the engine says to its supervisor: datagrams of assignments, a line each, maybe with descriptors. Only those of the engine's
 * own process count; the kernel says whose they are.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/service/supervisor.h"

#define MESSAGE_SIZE 4096
#define DESCRIPTORS_MAX 253 /* that the kernel passes at once */

struct message {
	char text[MESSAGE_SIZE];
	int descriptors[DESCRIPTORS_MAX];
	unsigned descriptor_count;
	pid_t sender;
};

/* An address that the kernel chooses, in no file system: there is nothing to be left behind. */
int vd_supervisor_open_notify(struct vd_supervisor *supervisor)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size = sizeof address;
	int on = 1;

	supervisor->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (supervisor->notify < 0 || bind(supervisor->notify, (struct sockaddr *)&address, sizeof address.sun_family) ||
	    setsockopt(supervisor->notify, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) ||
	    getsockname(supervisor->notify, (struct sockaddr *)&address, &size))
		return -errno;
	snprintf(supervisor->address, sizeof supervisor->address, "@%.*s",
		 (int)(size - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
	return 0;
}

/* ---- the store ---- */

static bool is_same(int one, int other)
{
	struct stat a, b;

	return !fstat(one, &a) && !fstat(other, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* What sd_notify(3) allows: ASCII without control characters and ':'. */
static bool is_name(const char *name)
{
	if (!*name || strlen(name) >= sizeof((struct vd_kept *)NULL)->name)
		return false;
	for (; *name; name++)
		if (*name < ' ' || *name > '~' || *name == ':')
			return false;
	return true;
}

/* Takes the descriptor, or leaves it to the caller. */
static bool keep(struct vd_supervisor *supervisor, const char *name, int descriptor)
{
	struct vd_kept *kept = &supervisor->kept[supervisor->kept_count];

	for (unsigned i = 0; i < supervisor->kept_count; i++)
		if (is_same(supervisor->kept[i].descriptor, descriptor))
			return false; /* it is there */
	if (supervisor->kept_count == VD_SUPERVISOR_KEPT_MAX)
		return false;
	snprintf(kept->name, sizeof kept->name, "%s", is_name(name) ? name : "stored");
	kept->descriptor = descriptor;
	supervisor->kept_count++;
	return true;
}

static void forget(struct vd_supervisor *supervisor, const char *name)
{
	unsigned count = 0;

	for (unsigned i = 0; i < supervisor->kept_count; i++)
		if (strcmp(supervisor->kept[i].name, name))
			supervisor->kept[count++] = supervisor->kept[i];
		else
			close(supervisor->kept[i].descriptor);
	supervisor->kept_count = count;
}

void vd_supervisor_drop_kept(struct vd_supervisor *supervisor)
{
	for (unsigned i = 0; i < supervisor->kept_count; i++)
		close(supervisor->kept[i].descriptor);
	supervisor->kept_count = 0;
}

/* ---- messages ---- */

static uint64_t in_seconds(unsigned seconds)
{
	return vd_clock_ns() + seconds * (uint64_t)1000000000u;
}

static void take_state(struct vd_supervisor *supervisor, const char *line)
{
	if (!strcmp(line, "READY=1")) {
		if (!supervisor->is_ready)
			supervisor->ready_ns = vd_clock_ns();
		supervisor->is_ready = supervisor->has_been_ready = true;
		supervisor->deadline_ns = in_seconds(VD_SUPERVISOR_WATCHDOG_SECONDS);
	} else if (!strcmp(line, "WATCHDOG=1") && supervisor->is_ready && !supervisor->says_it_stops && !supervisor->is_aborted) {
		supervisor->deadline_ns = in_seconds(VD_SUPERVISOR_WATCHDOG_SECONDS);
	} else if (!strcmp(line, "STOPPING=1")) {
		supervisor->says_it_stops = true;
		supervisor->deadline_ns = in_seconds(VD_SUPERVISOR_STOP_SECONDS);
	}
}

static void take_message(struct vd_supervisor *supervisor, struct message *message)
{
	bool keeps = false, forgets = false;
	const char *name = "stored";
	char *rest = message->text, *line;

	while ((line = strsep(&rest, "\n"))) {
		keeps |= !strcmp(line, "FDSTORE=1");
		forgets |= !strcmp(line, "FDSTOREREMOVE=1");
		if (!strncmp(line, "FDNAME=", 7))
			name = line + 7;
		take_state(supervisor, line);
	}
	for (unsigned i = 0; keeps && i < message->descriptor_count; i++)
		if (keep(supervisor, name, message->descriptors[i]))
			message->descriptors[i] = -1;
	if (forgets)
		forget(supervisor, name);
}

/* False: there is no other. */
static bool receive(const struct vd_supervisor *supervisor, struct message *message)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof message->descriptors)];
	struct iovec iov = {.iov_base = message->text, .iov_len = sizeof message->text - 1};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	ssize_t length;

	do
		length = recvmsg(supervisor->notify, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		return false;
	message->text[length] = '\0';
	message->descriptor_count = 0;
	message->sender = 0;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
		if (part->cmsg_level != SOL_SOCKET)
			continue;
		if (part->cmsg_type == SCM_CREDENTIALS) {
			struct ucred credentials;

			memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
			message->sender = credentials.pid;
		} else if (part->cmsg_type == SCM_RIGHTS) {
			message->descriptor_count = (unsigned)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(message->descriptors, CMSG_DATA(part), message->descriptor_count * sizeof(int));
		}
	}
	return true;
}

void vd_supervisor_listen(struct vd_supervisor *supervisor)
{
	struct message message;

	while (receive(supervisor, &message)) {
		if (supervisor->engine && message.sender == supervisor->engine)
			take_message(supervisor, &message);
		for (unsigned i = 0; i < message.descriptor_count; i++)
			if (message.descriptors[i] >= 0)
				close(message.descriptors[i]);
	}
}
