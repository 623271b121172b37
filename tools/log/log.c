/* SPDX-License-Identifier: MIT */
#include "tools/log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "engine/rate.h"

#define PATIENCE_S 1 /* until lines that were left out are told of, when no other comes */

static struct {
	pthread_mutex_t lock;
	struct vd_log_options options;
	struct vd_rate rate;
	uint64_t left_out; /* since the last line that was written */
	int timer;	   /* -1: not open */
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .timer = -1};

/* ---- where lines go; the lock is held ---- */

/* In one piece: lines of several threads, and of children, do not mix. */
static void write_line(enum vd_log_level level, const char *text)
{
	char line[VD_LOG_LINE_SIZE];
	struct timespec now;
	size_t length;

	if (shared.options.place == VD_LOG_JOURNAL && !vd_journal_send(level, text))
		return;
	if (shared.options.form == VD_LOG_JSON) {
		clock_gettime(CLOCK_REALTIME, &now);
		length = vd_log_json(line, level, text, &now);
	} else {
		length = vd_log_text(line, level, text, vd_journal_reads(STDERR_FILENO));
	}
	(void)!write(STDERR_FILENO, line, length); /* there is nowhere to say that it could not be said */
}

static void set_timer(bool is_on)
{
	struct itimerspec after = {.it_value.tv_sec = is_on ? PATIENCE_S : 0};

	if (shared.timer >= 0)
		timerfd_settime(shared.timer, 0, &after, NULL);
}

static void tell_what_was_left_out(void)
{
	char text[128];

	if (!shared.left_out)
		return;
	snprintf(text, sizeof text, "%" PRIu64 " line%s suppressed: there were more than %" PRIu32 " a second", shared.left_out,
		 shared.left_out == 1 ? "" : "s", shared.options.rate);
	shared.left_out = 0;
	set_timer(false);
	write_line(VD_LOG_WARNING, text);
}

/* ---- the limit ---- */

void vd_log_say(enum vd_log_level level, const char *text)
{
	pthread_mutex_lock(&shared.lock);
	if (!shared.options.rate || vd_rate_take(&shared.rate, vd_clock_ns()) || level == VD_LOG_ERROR) {
		tell_what_was_left_out();
		write_line(level, text);
	} else {
		if (!shared.left_out++)
			set_timer(true);
	}
	pthread_mutex_unlock(&shared.lock);
}

void vd_log_take(void *unused, const char *line)
{
	enum vd_log_level level;
	const char *text = vd_log_level_of(line, &level);

	(void)unused;
	vd_log_say(level, text);
}

int vd_log_descriptor(void)
{
	return shared.timer;
}

void vd_log_tick(void)
{
	uint64_t times;

	pthread_mutex_lock(&shared.lock);
	if (read(shared.timer, &times, sizeof times) == (ssize_t)sizeof times)
		tell_what_was_left_out();
	pthread_mutex_unlock(&shared.lock);
}

/* ---- open and close ---- */

int vd_log_open(const struct vd_log_options *options, struct vd_error *error)
{
	int result = 0;

	if (options->place == VD_LOG_JOURNAL && !vd_journal_is_there())
		return vd_error_set(error, -ENOENT, "there is no journal here to log to (/run/systemd/journal/socket): say --log-to stderr");
	pthread_mutex_lock(&shared.lock);
	if (shared.timer < 0)
		shared.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (shared.timer < 0) {
		result = vd_error_set(error, -errno, "out of descriptors");
	} else {
		tell_what_was_left_out();
		shared.options = *options;
		if (options->rate)
			vd_rate_init(&shared.rate, options->rate, options->rate);
	}
	pthread_mutex_unlock(&shared.lock);
	return result;
}

void vd_log_close(void)
{
	pthread_mutex_lock(&shared.lock);
	tell_what_was_left_out();
	if (shared.timer >= 0)
		close(shared.timer);
	shared.timer = -1;
	shared.options = (struct vd_log_options){.form = VD_LOG_TEXT};
	pthread_mutex_unlock(&shared.lock);
}
