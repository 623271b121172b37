/* SPDX-License-Identifier: MIT */
/*
 * What `verdict run` says while it runs: one line at a time, as text or JSON on standard error, or as an entry of the journal.
 * There is one log for the process. Until it is opened it is text, without a limit: so that what is wrong with its settings can be
 * said, too. Any thread; not from a signal handler.
 *
 *	log.c		the limit, and where lines go
 *	format.c	a line as text or JSON (pure)
 *	journal.c	the journal's own protocol, by libsystemd
 */
#ifndef VERDICT_TOOLS_LOG_H
#define VERDICT_TOOLS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "tools/config/values.h"

/* As syslog numbers them. */
enum vd_log_level {
	VD_LOG_ERROR = 3,   /* it could not be done; is always said, whatever the limit */
	VD_LOG_WARNING = 4, /* something was lost */
	VD_LOG_NOTE = 5,    /* it works, but could better */
	VD_LOG_INFO = 6,
};

#define VD_LOG_RATE_DEFAULT 100u

struct vd_log_options {
	enum vd_log_form form;
	enum vd_log_place place;
	uint32_t rate; /* lines a second, and at once; 0: no limit */
};

/* ---- log.c ---- */

/* 0, or -errno with the sentence: there is no journal. Once more: other options, from the next line on. */
int vd_log_open(const struct vd_log_options *options, struct vd_error *error);

/* Says how many lines were left out last. It is then as if it had not been opened. */
void vd_log_close(void);

void vd_log_say(enum vd_log_level level, const char *text);

/* The log of struct vd_engine_options: "note: ..." is one, another line is VD_LOG_INFO. */
void vd_log_take(void *unused, const char *line);

/* To be polled, while it is open: readable when vd_log_tick() has lines to tell of that were left out, and no other came. Or -1. */
int vd_log_descriptor(void);
void vd_log_tick(void);

/* ---- format.c ---- */

#define VD_LOG_LINE_SIZE 2048

/* Where the text of an engine's line begins; *level is what it is. */
const char *vd_log_level_of(const char *line, enum vd_log_level *level);

/* Both return the length, with a newline at the end and no 0 behind it. `has_prefix`: "<4>", for the journal that reads standard error. */
size_t vd_log_text(char room[VD_LOG_LINE_SIZE], enum vd_log_level level, const char *text, bool has_prefix);
size_t vd_log_json(char room[VD_LOG_LINE_SIZE], enum vd_log_level level, const char *text, const struct timespec *now);

/* ---- journal.c ---- */

/* Whether standard error is read by the journal, as it says itself (sd_journal_stream_fd(3), systemd.exec(5)). */
bool vd_journal_reads(int descriptor);

/* Whether there is one to send to. */
bool vd_journal_is_there(void);

/* 0 or -errno. */
int vd_journal_send(enum vd_log_level level, const char *text);

#endif
