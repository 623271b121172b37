/* SPDX-License-Identifier: MIT */
#include "tools/run/culprits.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "engine/error.h"

#define LENGTH_MAX 65535

struct vd_culprits {
	pthread_mutex_t lock;
	char *path;
	pcap_t *form;
	pcap_dumper_t *file;
	unsigned count;
	bool is_over; /* full, or it cannot be written to: that has been said */
	void (*log)(void *log_argument, const char *line);
};

/* How many packets are in it; -EEXIST: it is something else. */
static int count_packets(const char *path, unsigned *count, struct vd_error *error)
{
	char why[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *bytes;
	struct stat status;
	pcap_t *before;
	int link;

	*count = 0;
	if (stat(path, &status) || !status.st_size)
		return 0;
	before = pcap_open_offline(path, why);
	link = before ? pcap_datalink(before) : -1;
	while (before && *count < VD_CULPRITS_MAX && pcap_next_ex(before, &header, &bytes) == 1)
		++*count;
	if (before)
		pcap_close(before);
	/* what is read as DLT_RAW is written as that */
	return link == DLT_RAW ? 0 : vd_error_set(error, -EEXIST, "%s is there, and is no capture that packets could be added to (pcap, raw "
						  "IP): take it away, or name another file", path);
}

int vd_culprits_open(struct vd_culprits **culprits, const char *path, void (*log)(void *log_argument, const char *line),
		     struct vd_error *error)
{
	struct vd_culprits *this = calloc(1, sizeof *this);
	int result;

	*culprits = NULL;
	if (!this)
		return vd_error_set(error, -ENOMEM, "out of memory");
	pthread_mutex_init(&this->lock, NULL);
	this->log = log;
	this->path = strdup(path);
	this->form = pcap_open_dead(DLT_RAW, LENGTH_MAX);
	result = this->path && this->form ? count_packets(path, &this->count, error) : vd_error_set(error, -ENOMEM, "out of memory");
	if (!result) {
		this->file = pcap_dump_open_append(this->form, path);
		if (!this->file)
			result = vd_error_set(error, -EIO, "%s cannot be written to: %s", path, pcap_geterr(this->form));
		else if (pcap_dump_flush(this->file))
			result = vd_error_set(error, -EIO, "%s cannot be written to: %s", path, strerror(errno));
	}
	if (result) {
		vd_culprits_close(this);
		return result;
	}
	*culprits = this;
	return 0;
}

static void say_it_is_over(struct vd_culprits *this, const char *why)
{
	char line[512];

	this->is_over = true;
	snprintf(line, sizeof line, "warning: %.300s %s: no more packets are written to it", this->path, why);
	this->log(NULL, line);
}

void vd_culprits_take(void *culprits, const struct vd_packet *packet, const char *function, const char *reason)
{
	struct vd_culprits *this = culprits;
	struct pcap_pkthdr header = {.caplen = vd_packet_length(packet), .len = vd_packet_wire_length(packet)};

	(void)function;
	(void)reason;
	gettimeofday(&header.ts, NULL);
	pthread_mutex_lock(&this->lock);
	if (!this->is_over && this->count >= VD_CULPRITS_MAX)
		say_it_is_over(this, "has 1000 packets");
	if (!this->is_over) {
		pcap_dump((u_char *)this->file, &header, vd_packet_data(packet));
		this->count++;
		if (pcap_dump_flush(this->file))
			say_it_is_over(this, "cannot be written to");
	}
	pthread_mutex_unlock(&this->lock);
}

void vd_culprits_close(struct vd_culprits *this)
{
	if (!this)
		return;
	if (this->file)
		pcap_dump_close(this->file);
	if (this->form)
		pcap_close(this->form);
	pthread_mutex_destroy(&this->lock);
	free(this->path);
	free(this);
}
