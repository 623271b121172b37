/* SPDX-License-Identifier: MIT */
/*
 * The log: lines as text and JSON, whatever is in them; levels; the limit, on a clock of the test's own; and entries of the journal,
 * as they arrive at a socket that stands where the journal's is.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/clock.h"
#include "engine/rate.h"
#include "test/support/random.h"

static uint64_t now_ns = 1000000000u;

static uint64_t clock_of_test(void)
{
	return now_ns;
}

#define vd_clock_ns clock_of_test
#include "tools/log/format.c"
#include "tools/log/journal.c"
#include "tools/log/log.c"

/* ---- standard error, kept ---- */

static int kept = -1, real_stderr = -1;

static void keep_stderr(void)
{
	fflush(stderr);
	real_stderr = dup(STDERR_FILENO);
	kept = memfd_create("stderr", MFD_CLOEXEC);
	assert_true(real_stderr >= 0 && kept >= 0);
	assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
}

/* What was written since, for the caller to free. */
static char *kept_text(void)
{
	off_t size = lseek(kept, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	assert_non_null(text);
	assert_int_equal(pread(kept, text, (size_t)size, 0), size);
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(kept);
	return text;
}

static unsigned count_lines(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* ---- a line ---- */

static void assert_text(enum vd_log_level level, const char *text, bool has_prefix, const char *wanted)
{
	char room[VD_LOG_LINE_SIZE];
	size_t length = vd_log_text(room, level, text, has_prefix);

	assert_int_equal(length, strlen(wanted));
	assert_memory_equal(room, wanted, length);
}

static void test_text(void **state)
{
	(void)state;
	assert_text(VD_LOG_ERROR, "no way", false, "verdict: no way\n");
	assert_text(VD_LOG_WARNING, "2 lines", false, "verdict: warning: 2 lines\n");
	assert_text(VD_LOG_NOTE, "slow", false, "verdict: note: slow\n");
	assert_text(VD_LOG_INFO, "reading", false, "verdict: reading\n");
	assert_text(VD_LOG_ERROR, "no way", true, "<3>verdict: no way\n");
	assert_text(VD_LOG_INFO, "reading", true, "<6>verdict: reading\n");
	assert_text(VD_LOG_INFO, "a\nverdict: b\033[31m\177\xc3\xa9", false, "verdict: a?verdict: b?[31m?\xc3\xa9\n");
}

static void test_levels(void **state)
{
	enum vd_log_level level;

	(void)state;
	assert_string_equal(vd_log_level_of("note: x", &level), "x");
	assert_int_equal(level, VD_LOG_NOTE);
	assert_string_equal(vd_log_level_of("reading queue 0: note: x", &level), "reading queue 0: note: x");
	assert_int_equal(level, VD_LOG_INFO);
	assert_string_equal(vd_log_level_of("", &level), "");
	assert_int_equal(level, VD_LOG_INFO);
}

/* Reads it back; the message, for the caller to free. */
static char *message_of(const char *text)
{
	const struct timespec time = {.tv_sec = 1763935200, .tv_nsec = 1234567};
	char room[VD_LOG_LINE_SIZE], *message;
	size_t length = vd_log_json(room, VD_LOG_NOTE, text, &time);
	json_t *json;

	assert_in_range(length, 1, VD_LOG_LINE_SIZE);
	assert_int_equal(room[length - 1], '\n');
	assert_null(memchr(room, '\n', length - 1));
	json = json_loadb(room, length, 0, NULL);
	assert_non_null(json);
	assert_int_equal(json_object_size(json), 3);
	assert_string_equal(json_string_value(json_object_get(json, "time")), "2025-11-23T22:00:00.001234Z");
	assert_string_equal(json_string_value(json_object_get(json, "level")), "note");
	message = strdup(json_string_value(json_object_get(json, "message")));
	json_decref(json);
	return message;
}

static void assert_json(const char *text, const char *wanted)
{
	char *message = message_of(text);

	assert_string_equal(message, wanted);
	free(message);
}

static void test_json(void **state)
{
	(void)state;
	assert_json("queue 0: a \"quote\", a \\ and \xc3\xa9", "queue 0: a \"quote\", a \\ and \xc3\xa9");
	assert_json("", "");
	assert_json("two\nlines", "two?lines");
	assert_json("not \xff UTF-8 \xc3\xa9", "not ? UTF-8 ??");
}

/* Whatever comes, it is one line that fits; JSON stays JSON, text ends with its newline, and no character is cut in half. */
static void test_any_line(void **state)
{
	uint64_t random = bytes_seed(__func__);
	const struct timespec time = {.tv_sec = 1763935200, .tv_nsec = 1234567};
	char room[VD_LOG_LINE_SIZE], text[4000];

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		size_t length = bytes_random_below(&random, sizeof text - 1), got;
		unsigned kind = (unsigned)bytes_random_below(&random, 4);
		json_t *json;

		for (size_t i = 0; i < length; i++)
			text[i] = kind == 0 ? (char)(1 + bytes_random_below(&random, 255)) :
				  kind == 1 ? "\"\\"[bytes_random_below(&random, 2)] :
				  kind == 2 ? "\xc3\xa9"[i % 2] : (char)(' ' + bytes_random_below(&random, 95));
		text[length] = '\0';
		got = vd_log_text(room, VD_LOG_WARNING, text, true);
		assert_in_range(got, 1, sizeof room);
		assert_ptr_equal(memchr(room, '\n', got), room + got - 1);
		if (kind == 2 && length > sizeof room)
			assert_int_equal((unsigned char)room[got - 2], 0xa9);
		got = vd_log_json(room, VD_LOG_ERROR, text, &time);
		assert_in_range(got, 1, sizeof room);
		assert_ptr_equal(memchr(room, '\n', got), room + got - 1);
		json = json_loadb(room, got, 0, NULL);
		assert_non_null(json);
		json_decref(json);
	}
}

/* ---- the limit ---- */

static struct vd_error error;

static void open_with(uint32_t rate)
{
	const struct vd_log_options options = {.form = VD_LOG_TEXT, .rate = rate};

	assert_int_equal(vd_log_open(&options, &error), 0);
}

static void test_limit(void **state)
{
	char *text;

	(void)state;
	keep_stderr();
	open_with(3);
	for (unsigned i = 0; i < 10; i++)
		vd_log_take(NULL, i % 2 ? "note: odd" : "even");
	vd_log_say(VD_LOG_ERROR, "an error");
	now_ns += 2000000000u;
	vd_log_take(NULL, "later");
	vd_log_close();
	text = kept_text();
	assert_string_equal(text, "verdict: even\nverdict: note: odd\nverdict: even\n"
				  "verdict: warning: 7 lines suppressed: there were more than 3 a second\n"
				  "verdict: an error\nverdict: later\n");
	free(text);
}

static void test_end_tells(void **state)
{
	char *text;

	(void)state;
	now_ns += 10000000000u;
	keep_stderr();
	open_with(1);
	vd_log_take(NULL, "a");
	vd_log_take(NULL, "b");
	vd_log_close();
	vd_log_close();
	text = kept_text();
	assert_string_equal(text, "verdict: a\nverdict: warning: 1 line suppressed: there were more than 1 a second\n");
	free(text);
}

static void test_no_limit(void **state)
{
	char *text;

	(void)state;
	keep_stderr();
	open_with(0);
	for (unsigned i = 0; i < 5000; i++)
		vd_log_take(NULL, "a");
	vd_log_close();
	text = kept_text();
	assert_int_equal(count_lines(text), 5000);
	free(text);
}

/* Without another line, the descriptor says when it is time to tell, once. */
static void test_patience(void **state)
{
	struct pollfd event = {.events = POLLIN};
	char *text;

	(void)state;
	now_ns += 10000000000u;
	keep_stderr();
	open_with(2);
	event.fd = vd_log_descriptor();
	vd_log_take(NULL, "a");
	vd_log_take(NULL, "b");
	assert_int_equal(poll(&event, 1, 0), 0);
	vd_log_take(NULL, "c");
	vd_log_take(NULL, "d");
	assert_int_equal(poll(&event, 1, 60000), 1);
	vd_log_tick();
	assert_int_equal(poll(&event, 1, 0), 0);
	vd_log_tick();
	vd_log_close();
	text = kept_text();
	assert_string_equal(text, "verdict: a\nverdict: b\nverdict: warning: 2 lines suppressed: there were more than 2 a second\n");
	free(text);
}

/* Each line is written or counted; in any time t, no more than rate + rate * t are written. */
static void test_accounts(void **state)
{
	enum { RATE = 7, LINES = 3000 };
	static uint64_t times[LINES];
	unsigned written = 0, wanted = 0;
	uint64_t suppressed = 0;
	uint64_t random = bytes_seed(__func__);
	char *text, *rest, *line;

	(void)state;
	now_ns += 10000000000u;
	keep_stderr();
	open_with(RATE);
	for (unsigned i = 0; i < LINES; i++) {
		off_t before = lseek(kept, 0, SEEK_END);

		now_ns += bytes_random_below(&random, 2) ? 0 : bytes_random_below(&random, 300000000);
		vd_log_take(NULL, "x");
		if (lseek(kept, 0, SEEK_END) > before)
			times[written++] = now_ns;
	}
	vd_log_close();
	for (unsigned i = 0; i + RATE < written; i++) /* one more than RATE took as long as one takes, at least */
		assert_true(times[i + RATE] - times[i] >= 1000000000u / RATE);
	rest = text = kept_text();
	while ((line = strsep(&rest, "\n"))) {
		unsigned long count;

		wanted += !strcmp(line, "verdict: x");
		if (sscanf(line, "verdict: warning: %lu line", &count) == 1)
			suppressed += count;
	}
	free(text);
	assert_int_equal(wanted, written);
	assert_int_equal(written + suppressed, LINES);
	assert_true(suppressed > 0 && written > RATE);
}

/* ---- the journal ---- */

static void test_stream(void **state)
{
	struct stat status;
	char text[64];

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	unsetenv("JOURNAL_STREAM");
	assert_false(vd_journal_reads(STDERR_FILENO));
	snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", text, 1);
	assert_true(vd_journal_reads(STDERR_FILENO));
	snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino + 1);
	setenv("JOURNAL_STREAM", text, 1);
	assert_false(vd_journal_reads(STDERR_FILENO));
	setenv("JOURNAL_STREAM", "nonsense", 1);
	assert_false(vd_journal_reads(STDERR_FILENO));
	unsetenv("JOURNAL_STREAM");
}

/* In a mount namespace of its own, where /run is empty: what is wrong, as exit code; 77: it may not do that. */
static int play_journal(void)
{
	static const char fields[] = "MESSAGE=a = b\nPRIORITY=5\nSYSLOG_IDENTIFIER=verdict\n";
	static const char long_form[] = "MESSAGE\n\t\0\0\0\0\0\0\0two\nlines\nPRIORITY=3\n"; /* the length, little-endian */
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
	struct vd_log_options options = {.place = VD_LOG_JOURNAL};
	char entry[4096];
	ssize_t got;
	int journal;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", "/run", "tmpfs", 0, NULL))
		return 77;
	if (vd_log_open(&options, &error) != -ENOENT || !strstr(error.text, "there is no journal here"))
		return 1;
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (mkdir("/run/systemd", 0755) || mkdir("/run/systemd/journal", 0755) ||
	    bind(journal, (struct sockaddr *)&address, sizeof address))
		return 2;
	if (vd_log_open(&options, &error))
		return 3;
	vd_log_take(NULL, "note: a = b");
	got = recv(journal, entry, sizeof entry, MSG_DONTWAIT);
	if (got != (ssize_t)strlen(fields) || memcmp(entry, fields, (size_t)got))
		return 4;
	vd_log_say(VD_LOG_ERROR, "two\nlines");
	got = recv(journal, entry, sizeof entry, MSG_DONTWAIT);
	if (got < (ssize_t)sizeof long_form || memcmp(entry, long_form, sizeof long_form - 1))
		return 5;
	close(journal); /* it has gone: the line is on standard error instead */
	keep_stderr();
	vd_log_say(VD_LOG_ERROR, "alone");
	return strcmp(kept_text(), "verdict: alone\n") ? 6 : 0;
}

static void test_journal(void **state)
{
	int status;
	pid_t child;

	(void)state;
	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(play_journal());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skip: a mount namespace needs root\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	 cmocka_unit_test(test_levels),	 cmocka_unit_test(test_json),
		cmocka_unit_test(test_any_line), cmocka_unit_test(test_limit),	 cmocka_unit_test(test_end_tells),
		cmocka_unit_test(test_no_limit), cmocka_unit_test(test_patience), cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_stream),	cmocka_unit_test(test_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
