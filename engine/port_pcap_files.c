/* SPDX-License-Identifier: MIT */
#include "engine/port_pcap_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "engine/error.h"
#include "engine/port_pcap_link.h"

/* The limit on a frame's length that outputs name, the usual one: a rewritten packet may be longer than any in the input. */
#define SNAPLEN_MIN 262144

/* 'path' for a sentence; of a long one the end, which tells more. */
static void set_name(char *name, size_t size, const char *path, const char *standard)
{
	size_t length = strlen(path), most = size - sizeof "'...'";

	if (!strcmp(path, "-"))
		snprintf(name, size, "%s", standard);
	else if (length > size - sizeof "''")
		snprintf(name, size, "'...%s'", path + length - most);
	else
		snprintf(name, size, "'%s'", path);
}

/* ---- reading ---- */

static int open_descriptor(struct vd_pcap_input *input, const char *path, struct vd_error *error)
{
	int descriptor = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	int code = errno;

	if (descriptor < 0)
		return vd_error_set(error, -code, "cannot read %s (%s): give the path of a capture that you may read",
				    input->name, strerror(code));
	if (fstat(descriptor, &input->status)) {
		code = errno;
		close(descriptor);
		return vd_error_set(error, -code, "cannot read %s: %s", input->name, strerror(code));
	}
	if (S_ISDIR(input->status.st_mode)) {
		close(descriptor);
		return vd_error_set(error, -EISDIR, "%s is a directory: give the path of a capture in it", input->name);
	}
	return descriptor;
}

/*
 * The file's first four bytes, left to be read again. ISO C promises to take one byte back; C libraries take back what was
 * read last as long as it is in the buffer, and if not, libpcap will call the file no capture.
 */
static size_t peek(FILE *file, uint8_t magic[4])
{
	size_t length = fread(magic, 1, 4, file);

	for (size_t i = length; i > 0; i--)
		ungetc(magic[i - 1], file);
	return length;
}

static const char *find_compression(const uint8_t magic[4])
{
	static const struct {
		uint8_t magic[4];
		uint8_t length;
		const char *name;
	} known[] = {
		{{0x1f, 0x8b}, 2, "gzip"},
		{{0x28, 0xb5, 0x2f, 0xfd}, 4, "zstd"},
		{{0xfd, '7', 'z', 'X'}, 4, "xz"},
		{{'B', 'Z', 'h'}, 3, "bzip2"},
	};

	for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
		if (!memcmp(magic, known[i].magic, known[i].length))
			return known[i].name;
	return NULL;
}

/* libpcap converts times, so it has to be told which precision loses nothing: pcapng's may differ by interface. */
static int find_precision(const uint8_t magic[4])
{
	static const uint8_t microseconds[][4] = {
		{0xa1, 0xb2, 0xc3, 0xd4}, {0xd4, 0xc3, 0xb2, 0xa1}, {0xa1, 0xb2, 0xcd, 0x34}, {0x34, 0xcd, 0xb2, 0xa1}};

	for (unsigned i = 0; i < sizeof microseconds / sizeof *microseconds; i++)
		if (!memcmp(magic, microseconds[i], 4))
			return PCAP_TSTAMP_PRECISION_MICRO;
	return PCAP_TSTAMP_PRECISION_NANO;
}

static int check_link_type(const struct vd_pcap_input *input, struct vd_error *error)
{
	const char *name = pcap_datalink_val_to_description(input->link_type);

	if (vd_pcap_link_is_known(input->link_type))
		return 0;
	return vd_error_set(error, -ENOTSUP, "%s has link type %d (%s), which cannot be replayed: record Ethernet, Linux cooked, "
			    "raw IP or BSD loopback", input->name, input->link_type, name ? name : "unknown");
}

static int open_capture(struct vd_pcap_input *input, struct vd_error *error)
{
	uint8_t magic[4] = {0};
	char reason[PCAP_ERRBUF_SIZE];
	const char *compression;

	setvbuf(input->file, input->buffer, _IOFBF, sizeof input->buffer);
	if (!peek(input->file, magic)) {
		int code = errno;

		if (ferror(input->file))
			return vd_error_set(error, -code, "cannot read %s: %s", input->name, strerror(code));
		return vd_error_set(error, -EINVAL, "%s is empty: give a pcap or pcapng file", input->name);
	}
	compression = find_compression(magic);
	if (compression)
		return vd_error_set(error, -EINVAL, "%s is compressed: unpack it with %s -d first", input->name,
				    compression);
	input->precision = find_precision(magic);
	input->pcap = pcap_fopen_offline_with_tstamp_precision(input->file, (u_int)input->precision, reason);
	if (!input->pcap && feof(input->file))
		return vd_error_set(error, -EINVAL, "%s ends within its header: record or copy the capture again",
				    input->name);
	if (!input->pcap)
		return vd_error_set(error, -EINVAL, "%s is not a capture (%s): give a pcap or pcapng file", input->name,
				    reason);
	input->link_type = pcap_datalink(input->pcap);
	return check_link_type(input, error);
}

int vd_pcap_input_open(struct vd_pcap_input *input, const char *path, struct vd_error *error)
{
	int descriptor, code;

	input->pcap = NULL;
	input->count = 0;
	set_name(input->name, sizeof input->name, path, "standard input");
	descriptor = open_descriptor(input, path, error);
	if (descriptor < 0)
		return descriptor;
	input->file = fdopen(descriptor, "rb");
	if (!input->file) {
		close(descriptor);
		return vd_error_set(error, -ENOMEM, "out of memory");
	}
	code = open_capture(input, error);
	if (code)
		vd_pcap_input_close(input);
	return code;
}

void vd_pcap_input_close(struct vd_pcap_input *input)
{
	if (input->pcap)
		pcap_close(input->pcap);
	else if (input->file)
		fclose(input->file);
	input->pcap = NULL;
	input->file = NULL;
}

int vd_pcap_input_next(struct vd_pcap_input *input, struct pcap_pkthdr **header, const uint8_t **bytes,
		       char sentence[VD_SENTENCE_SIZE])
{
	int got = pcap_next_ex(input->pcap, header, bytes);
	int code = errno;
	char what[72];

	if (got == 1 && (*header)->caplen <= VD_PCAP_FRAME_MAX) {
		input->count++;
		return 1;
	}
	if (got == PCAP_ERROR_BREAK) /* the end */
		return 0;
	if (ferror(input->file))
		snprintf(what, sizeof what, "cannot be read (%s)", strerror(code));
	else if (feof(input->file))
		snprintf(what, sizeof what, "is cut short");
	else
		snprintf(what, sizeof what, "is damaged (%.56s)", got < 0 ? pcap_geterr(input->pcap) : "too long a packet");
	snprintf(sentence, VD_SENTENCE_SIZE, "%s %s behind packet %" PRIu64 ": what comes before was decided, record or copy it "
		 "again for the rest", input->name, what, input->count);
	return ferror(input->file) && code ? -code : -EBADMSG;
}

/* ---- writing ---- */

struct opened {
	int descriptor; /* -1: not open */
	bool created;
	bool is_standard; /* output: not ours to empty */
	struct stat status;
};

static bool is_same_file(const struct stat *one, const struct stat *other)
{
	return S_ISREG(one->st_mode) && one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Opens, or creates, but does not empty it: that waits until all are known to be right. */
static int open_output(struct opened *opened, const char *path)
{
	opened->created = false;
	opened->is_standard = !strcmp(path, "-");
	if (opened->is_standard) {
		opened->descriptor = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	} else {
		opened->descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		opened->created = opened->descriptor >= 0;
		if (opened->descriptor < 0 && errno == EEXIST)
			opened->descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	}
	if (opened->descriptor < 0 || fstat(opened->descriptor, &opened->status))
		return -errno;
	return 0;
}

static int start_output(struct vd_pcap_output *output, struct opened *opened, const struct vd_pcap_input *input)
{
	int snaplen = pcap_snapshot(input->pcap) > SNAPLEN_MIN ? pcap_snapshot(input->pcap) : SNAPLEN_MIN;
	int link_type = input->link_type == 14 ? DLT_RAW : input->link_type; /* OpenBSD's number, which files cannot have */
	FILE *file;
	pcap_t *format;

	if (!opened->is_standard && S_ISREG(opened->status.st_mode) && ftruncate(opened->descriptor, 0))
		return -errno;
	file = fdopen(opened->descriptor, "wb");
	if (!file)
		return -ENOMEM;
	opened->descriptor = -1;
	setvbuf(file, output->buffer, _IOFBF, sizeof output->buffer);
	format = pcap_open_dead_with_tstamp_precision(link_type, snaplen, (u_int)input->precision);
	output->dumper = format ? pcap_dump_fopen(format, file) : NULL;
	if (!output->dumper)
		fclose(file);
	if (format)
		pcap_close(format);
	return output->dumper ? 0 : -ENOMEM;
}

static int check_outputs(const struct vd_pcap_output outputs[2], const struct opened opened[2],
			 const struct vd_pcap_input *input, struct vd_error *error)
{
	for (unsigned i = 0; i < 2; i++)
		if (opened[i].descriptor >= 0 && is_same_file(&opened[i].status, &input->status))
			return vd_error_set(error, -EINVAL, "%s is the capture that is read, and writing would destroy "
					    "it: write to another file", outputs[i].name);
	if (opened[0].descriptor >= 0 && opened[1].descriptor >= 0 &&
	    (is_same_file(&opened[0].status, &opened[1].status) || (opened[0].is_standard && opened[1].is_standard)))
		return vd_error_set(error, -EINVAL, "accepted and dropped packets would both go to %s: write them to "
				    "different files", outputs[0].name);
	return 0;
}

int vd_pcap_outputs_open(struct vd_pcap_output outputs[2], const char *const paths[2], const struct vd_pcap_input *input,
			 struct vd_error *error)
{
	struct opened opened[2] = {{.descriptor = -1}, {.descriptor = -1}};
	char ignored[VD_SENTENCE_SIZE];
	int code = 0;

	for (unsigned i = 0; i < 2 && !code; i++) {
		if (!paths[i])
			continue;
		set_name(outputs[i].name, sizeof outputs[i].name, paths[i], "standard output");
		code = open_output(&opened[i], paths[i]);
		if (code)
			vd_error_set(error, code, "cannot write %s (%s): give a path that you may write to", outputs[i].name,
				     strerror(-code));
	}
	if (!code)
		code = check_outputs(outputs, opened, input, error);
	for (unsigned i = 0; i < 2 && !code; i++) {
		if (opened[i].descriptor < 0)
			continue;
		code = start_output(&outputs[i], &opened[i], input);
		if (code)
			vd_error_set(error, code, "cannot write %s: %s", outputs[i].name, strerror(-code));
	}
	if (!code)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		vd_pcap_output_close(&outputs[i], ignored);
		if (opened[i].descriptor >= 0)
			close(opened[i].descriptor);
		if (opened[i].created)
			unlink(paths[i]);
	}
	return code;
}

static int say_cannot_write(const struct vd_pcap_output *output, int code, char sentence[VD_SENTENCE_SIZE])
{
	snprintf(sentence, VD_SENTENCE_SIZE,
		 "cannot write %s (%s): it is not complete, replay again to a place that takes all of it", output->name,
		 strerror(code));
	return -code;
}

int vd_pcap_output_write(struct vd_pcap_output *output, const struct pcap_pkthdr *header, const uint8_t *bytes,
			 char sentence[VD_SENTENCE_SIZE])
{
	errno = 0;
	pcap_dump((u_char *)output->dumper, header, bytes); /* returns nothing */
	if (ferror(pcap_dump_file(output->dumper)))
		return say_cannot_write(output, errno ? errno : EIO, sentence);
	return 0;
}

int vd_pcap_output_close(struct vd_pcap_output *output, char sentence[VD_SENTENCE_SIZE])
{
	int descriptor, code = 0;

	if (!output->dumper)
		return 0;
	errno = 0;
	if (pcap_dump_flush(output->dumper) || ferror(pcap_dump_file(output->dumper)))
		code = errno ? errno : EIO;
	/* network file systems say in close() that they are full, which pcap_dump_close() keeps to itself: ask before */
	descriptor = dup(fileno(pcap_dump_file(output->dumper)));
	if (descriptor >= 0 && close(descriptor) && !code)
		code = errno;
	pcap_dump_close(output->dumper);
	output->dumper = NULL;
	return code ? say_cannot_write(output, code, sentence) : 0;
}
