/* SPDX-License-Identifier: MIT */
/*
 * Capture files, read and written through libpcap, with a sentence for each way in which that goes wrong. For the pcap
 * port only, which also sees to it that one thread at a time uses a file.
 */
#ifndef VERDICT_ENGINE_PORT_PCAP_FILES_H
#define VERDICT_ENGINE_PORT_PCAP_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <pcap/pcap.h>

#include <verdict/engine.h>

/* Room for one sentence. */
#define VD_SENTENCE_SIZE 256

/* No frame is longer, or the capture is damaged. libpcap's own limit for the link types here is 262144 bytes. */
#define VD_PCAP_FRAME_MAX (1u << 20)

/* One read or write for about so many bytes. */
#define VD_FILE_BUFFER_SIZE (64 * 1024)

struct vd_pcap_input {
	char name[80]; /* for sentences: quoted, and its end only when it is long */
	pcap_t *pcap;
	FILE *file;    /* libpcap closes it */
	struct stat status;
	int link_type; /* DLT_* */
	int precision; /* PCAP_TSTAMP_PRECISION_*, as in the file */
	uint64_t count; /* frames read */
	char buffer[VD_FILE_BUFFER_SIZE];
};

/* "-": standard input. -ENOENT, -EACCES and so on: cannot be opened; -EINVAL: not a capture; -ENOTSUP: unknown link type. */
int vd_pcap_input_open(struct vd_pcap_input *input, const char *path, struct vd_error *error);
void vd_pcap_input_close(struct vd_pcap_input *input);

/*
 * The next frame; header and bytes are valid until the next call. 1; 0: the end of the capture; -errno and a sentence: what
 * follows cannot be read (-EBADMSG: cut short or damaged).
 */
int vd_pcap_input_next(struct vd_pcap_input *input, struct pcap_pkthdr **header, const uint8_t **bytes,
		       char sentence[VD_SENTENCE_SIZE]);

struct vd_pcap_output {
	char name[80];
	pcap_dumper_t *dumper; /* NULL: not open */
	char buffer[VD_FILE_BUFFER_SIZE];
};

/*
 * Creates up to two outputs for frames of `input`; paths[i] NULL: outputs[i] stays closed; "-": standard output. Either
 * all are opened, or no file has been changed: -EINVAL, one is the input or the other; -errno, one cannot be written.
 */
int vd_pcap_outputs_open(struct vd_pcap_output outputs[2], const char *const paths[2], const struct vd_pcap_input *input,
			 struct vd_error *error);

/* 0, or -errno and a sentence. */
int vd_pcap_output_write(struct vd_pcap_output *output, const struct pcap_pkthdr *header, const uint8_t *bytes,
			 char sentence[VD_SENTENCE_SIZE]);

/* Closes it, if it is open. 0, or -errno and a sentence: not all that was written has arrived. */
int vd_pcap_output_close(struct vd_pcap_output *output, char sentence[VD_SENTENCE_SIZE]);

#endif
