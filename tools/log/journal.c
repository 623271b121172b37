/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* of no use to who reads a log */
#include <systemd/sd-journal.h>

#include "tools/log/log.h"

bool vd_journal_reads(int descriptor)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uint64_t device, inode;
	struct stat status;

	return stream && sscanf(stream, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 && !fstat(descriptor, &status) &&
	       status.st_dev == device && status.st_ino == inode;
}

bool vd_journal_is_there(void)
{
	return !access("/run/systemd/journal/socket", W_OK);
}

int vd_journal_send(enum vd_log_level level, const char *text)
{
	char message[VD_LOG_LINE_SIZE], priority[16];
	struct iovec fields[] = {
		{.iov_base = message, .iov_len = (size_t)snprintf(message, sizeof message, "MESSAGE=%s", text)},
		{.iov_base = priority, .iov_len = (size_t)snprintf(priority, sizeof priority, "PRIORITY=%d", level)},
		{.iov_base = "SYSLOG_IDENTIFIER=verdict", .iov_len = sizeof "SYSLOG_IDENTIFIER=verdict" - 1},
	};

	if (fields[0].iov_len >= sizeof message)
		fields[0].iov_len = sizeof message - 1;
	return sd_journal_sendv(fields, sizeof fields / sizeof *fields);
}
