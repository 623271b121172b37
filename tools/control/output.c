/* SPDX-License-Identifier: MIT */
#include "tools/control/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel takes no more with one message (SCM_MAX_FD in net/scm.h), and a message has at least one byte. */
#define DESCRIPTORS_AT_ONCE 253u

struct vd_output_part {
	struct vd_output_part *next;
	size_t length, sent;
	unsigned descriptor_count, descriptors_sent;
	int *descriptors;
	char bytes[];
};

static void free_part(struct vd_output_part *part)
{
	for (unsigned i = part->descriptors_sent; i < part->descriptor_count; i++)
		close(part->descriptors[i]);
	free(part->descriptors);
	free(part);
}

int vd_output_add(struct vd_output *output, const void *bytes, size_t length, const int *descriptors, unsigned descriptor_count)
{
	struct vd_output_part *part = malloc(sizeof *part + length);
	int *copy = descriptor_count ? malloc(descriptor_count * sizeof *copy) : NULL;

	if (!part || (descriptor_count && !copy)) {
		for (unsigned i = 0; i < descriptor_count; i++)
			close(descriptors[i]);
		free(copy);
		free(part);
		return -ENOMEM;
	}
	if (copy)
		memcpy(copy, descriptors, descriptor_count * sizeof *copy);
	*part = (struct vd_output_part){.length = length, .descriptor_count = descriptor_count, .descriptors = copy};
	memcpy(part->bytes, bytes, length);
	if (output->last)
		output->last->next = part;
	else
		output->first = part;
	output->last = part;
	output->waiting += length;
	return 0;
}

/* One message. Returns its bytes, 0: the socket takes none now, or -errno. */
static long send_message(struct vd_output_part *part, int socket)
{
	union {
		char bytes[CMSG_SPACE(DESCRIPTORS_AT_ONCE * sizeof(int))];
		struct cmsghdr align;
	} control;
	unsigned left = part->descriptor_count - part->descriptors_sent;
	unsigned count = left < DESCRIPTORS_AT_ONCE ? left : DESCRIPTORS_AT_ONCE;
	struct iovec bytes = {part->bytes + part->sent, count < left ? 1 : part->length - part->sent};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
	ssize_t sent;

	if (count) {
		memset(&control, 0, sizeof control);
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		*CMSG_FIRSTHDR(&message) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), part->descriptors + part->descriptors_sent, count * sizeof(int));
	}
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (unsigned i = 0; i < count; i++)
		close(part->descriptors[part->descriptors_sent++]);
	part->sent += (size_t)sent;
	return sent;
}

long vd_output_send(struct vd_output *output, int socket)
{
	long all = 0;

	while (output->first) {
		struct vd_output_part *part = output->first;
		long sent = send_message(part, socket);

		if (sent <= 0)
			return sent ? sent : all;
		all += sent;
		output->waiting -= (size_t)sent;
		if (part->sent == part->length) {
			output->first = part->next;
			if (!output->first)
				output->last = NULL;
			free_part(part);
		}
	}
	return all;
}

void vd_output_fini(struct vd_output *output)
{
	while (output->first) {
		struct vd_output_part *next = output->first->next;

		free_part(output->first);
		output->first = next;
	}
	*output = (struct vd_output){0};
}
