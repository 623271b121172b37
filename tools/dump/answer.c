/* SPDX-License-Identifier: MIT */
/*
 * The daemon's side of a dump: a tap, read in the control thread each 10 ms, and what it had goes to the client as pcapng.
 *
 * A client that does not read is not waited for: the control socket takes no more, the tap's rings fill, and the tap misses packets,
 * which the client is told, when it reads on, in a block of statistics. So nothing is lost behind the tap.
 */
#include "tools/dump/dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/config/origin.h"
#include "tools/dump/pcapng.h"

#define INTERVAL_MS 10
#define BATCH (64u << 10) /* bytes that are given to the control socket at once */
#define MISSED_PAUSE_NS 1000000000u /* how often is told what was missed, */
#define SILENCE_NS 30000000000u	    /* and that nothing was: a connection without a byte is hung up on some time */

struct dump {
	struct vd_engine_tap *tap;
	uint64_t left; /* packets that may be sent */
	uint64_t start_ns;
	uint64_t told_ns; /* when statistics were sent, */
	uint64_t told_missed;
	bool is_ending;
	bool has_ended; /* all is in bytes */
	size_t length;
	uint8_t bytes[BATCH + VD_PCAPNG_PACKET_MAX + VD_PCAPNG_OTHER_MAX];
};

static uint64_t now_real_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- sending ---- */

static void put_statistics(struct dump *dump, bool is_last)
{
	struct vd_engine_tap_stats stats;

	vd_engine_tap_stats(dump->tap, &stats);
	dump->told_ns = now_real_ns();
	dump->told_missed = stats.missed;
	dump->length += vd_pcapng_statistics(dump->bytes + dump->length, &stats, dump->start_ns, dump->told_ns, is_last);
}

/* Those that there are, up to a batch; false: that was the last one. */
static bool put_packets(struct dump *dump)
{
	const struct vd_engine_tap_packet *packet;

	while (dump->length < BATCH && dump->left) {
		packet = vd_engine_tap_read(dump->tap);
		if (!packet)
			return !dump->is_ending;
		dump->length += vd_pcapng_packet(dump->bytes + dump->length, packet);
		dump->left--;
	}
	return dump->left;
}

static bool statistics_are_due(const struct dump *dump)
{
	struct vd_engine_tap_stats stats;
	uint64_t now = now_real_ns();

	/* a clock that was put back is due, too */
	if (now - dump->told_ns < MISSED_PAUSE_NS)
		return false;
	vd_engine_tap_stats(dump->tap, &stats);
	return stats.missed != dump->told_missed || now - dump->told_ns >= SILENCE_NS;
}

static bool pump(void *argument, struct vd_control_stream *stream)
{
	struct dump *dump = argument;

	while (!dump->has_ended) {
		if (!put_packets(dump)) {
			vd_engine_tap_stop(dump->tap);
			put_statistics(dump, true);
			dump->has_ended = true;
		} else if (dump->length < BATCH && statistics_are_due(dump)) {
			put_statistics(dump, false);
		}
		if (!dump->length)
			return true;
		if (!vd_control_write(stream, dump->bytes, dump->length)) /* again in a moment */
			return true;
		dump->length = 0;
	}
	if (dump->length && !vd_control_write(stream, dump->bytes, dump->length))
		return true;
	return false;
}

static void finish(void *argument)
{
	struct dump *dump = argument;

	vd_engine_tap_stop(dump->tap);
	dump->is_ending = true;
}

static void end(void *argument)
{
	struct dump *dump = argument;

	vd_engine_tap_close(dump->tap);
	free(dump);
}

/* ---- the request ---- */

/* *value stays as it is where the request has no such member. */
static int get_number(const json_t *request, const char *name, json_int_t min, json_int_t max, json_int_t *value, struct vd_error *error)
{
	const json_t *number = json_object_get(request, name);

	if (!number || json_is_null(number))
		return 0;
	if (!json_is_integer(number) || json_integer_value(number) < min || json_integer_value(number) > max)
		return vd_error_set(error, -EINVAL, "%s takes a number from %lld to %lld", name, (long long)min, (long long)max);
	*value = json_integer_value(number);
	return 0;
}

static int get_what(const json_t *request, uint32_t *what, struct vd_error *error)
{
	static const char *const WORDS[] = VD_DUMP_WORDS;
	const json_t *words = json_object_get(request, "what");

	if (!words || json_is_null(words))
		return 0;
	for (size_t i = 0; i < json_array_size(words); i++) {
		const char *word = json_string_value(json_array_get(words, i));
		unsigned bit = 0;

		while (bit < VD_DUMP_WORD_COUNT && (!word || strcmp(word, WORDS[bit])))
			bit++;
		if (bit == VD_DUMP_WORD_COUNT)
			return vd_error_set(error, -EINVAL, "what takes an array of accepted, dropped, rejected, faulted and held");
		*what |= 1u << bit;
	}
	return *what ? 0 : vd_error_set(error, -EINVAL, "what takes an array of accepted, dropped, rejected, faulted and held");
}

/* A name that nobody has would be waited for for ever. */
static int get_function(struct vd_engine *engine, const json_t *request, const char **function, struct vd_error *error)
{
	const json_t *name = json_object_get(request, "function");
	struct vd_function_stats *stats;
	char names[256] = "", shown[VD_SHOWN_SIZE];
	unsigned count;
	size_t used = 0;

	if (!name || json_is_null(name))
		return 0;
	*function = json_string_value(name);
	if (!*function)
		return vd_error_set(error, -EINVAL, "function takes a name");
	stats = malloc(VD_ENGINE_FUNCTIONS_MAX * sizeof *stats);
	if (!stats)
		return vd_error_set(error, -ENOMEM, "out of memory");
	count = vd_engine_function_stats(engine, stats, VD_ENGINE_FUNCTIONS_MAX);
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(stats[i].name, *function)) {
			free(stats);
			return 0;
		}
		used += (size_t)snprintf(names + used, used < sizeof names ? sizeof names - used : 0, "%s%s", used ? ", " : "",
					 stats[i].name);
		used = used < sizeof names ? used : sizeof names - 1;
	}
	free(stats);
	return vd_error_set(error, -ENOENT, "there is no function '%s', only: %s", vd_show_text(*function, shown), count ? names : "none");
}

/* For a person, and for what shows files. */
static void describe(char *text, size_t size, const struct vd_engine_tap_options *options)
{
	static const char *const WORDS[] = VD_DUMP_WORDS;
	size_t used = 0;

	*text = '\0';
	for (unsigned bit = 0; bit < VD_DUMP_WORD_COUNT; bit++)
		if (options->what & 1u << bit)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " or " : "", WORDS[bit]);
	if (!used)
		used += (size_t)snprintf(text, size, "all");
	if (options->queue >= 0)
		used += (size_t)snprintf(text + used, size - used, ", of queue %d", options->queue);
	if (options->sample > 1)
		used += (size_t)snprintf(text + used, size - used, ", one in %u", options->sample);
	if (options->function)
		snprintf(text + used, size - used, ", decided by %s", options->function);
}

static int read_request(struct vd_engine *engine, const json_t *request, struct vd_engine_tap_options *options, uint64_t *count,
			struct vd_error *error)
{
	json_int_t queue = -1, sample = 1, snap = 0, most = 0;
	int result = get_what(request, &options->what, error);

	if (!result)
		result = get_number(request, "queue", 0, 65535, &queue, error);
	if (!result)
		result = get_number(request, "sample", 1, VD_ENGINE_TAP_SAMPLE_MAX, &sample, error);
	if (!result)
		result = get_number(request, "snap", 1, VD_DUMP_SNAP_MAX, &snap, error);
	if (!result)
		result = get_number(request, "count", 1, INT64_MAX, &most, error);
	if (!result)
		result = get_function(engine, request, &options->function, error);
	options->queue = (int)queue;
	options->sample = (uint32_t)sample;
	options->snap = (uint32_t)snap;
	*count = most ? (uint64_t)most : UINT64_MAX;
	return result;
}

int vd_dump_answer(struct vd_engine *engine, const json_t *request, struct vd_control_reply *reply, struct vd_error *error)
{
	struct vd_engine_tap_options options = VD_ENGINE_TAP_OPTIONS_INIT;
	struct vd_control_source source = {.interval_ms = INTERVAL_MS, .pump = pump, .end = end, .finish = finish};
	char filter[256], place[64];
	struct dump *dump;
	uint64_t count;
	int result = read_request(engine, request, &options, &count, error);

	if (result)
		return result;
	dump = malloc(sizeof *dump);
	if (!dump)
		return vd_error_set(error, -ENOMEM, "out of memory");
	memset(dump, 0, offsetof(struct dump, bytes));
	result = vd_engine_tap_open(engine, &dump->tap, &options, error);
	if (!result) {
		source.argument = dump;
		result = vd_control_subscribe(reply, &source);
		if (result)
			vd_error_set(error, result, "this connection gets lines already; a dump needs one for itself");
	}
	if (result) {
		vd_engine_tap_close(dump->tap);
		free(dump);
		return result;
	}
	describe(filter, sizeof filter, &options);
	snprintf(place, sizeof place, "queues of pid %d", (int)getpid());
	dump->left = count;
	dump->start_ns = dump->told_ns = now_real_ns();
	dump->length = vd_pcapng_begin(dump->bytes, vd_version(), place, filter, options.snap);
	vd_control_say(reply, "looks at packets: %s", filter);
	return 0;
}
