/* SPDX-License-Identifier: MIT */
/*
 * Streams of the control socket: sources that are pumped, as lines or as bytes; readers that are too slow for them; and how they end.
 */
#include <stdatomic.h>

#include "test/support/control.h"

static atomic_uint ended, pumped;
static _Atomic uint64_t dropped;

/* ---- handlers ---- */

static bool pump(void *argument, struct vd_control_stream *stream)
{
	unsigned number = atomic_fetch_add(&pumped, 1);
	char text[1001];

	memset(text, 'y', 1000);
	text[1000] = '\0';
	vd_control_write_json(stream, json_pack("{s:b, s:i, s:s}", "ok", 1, "number", (int)number, "text", text));
	atomic_store(&dropped, vd_control_dropped(stream));
	return !argument || number < 4;
}

static void end(void *argument)
{
	(void)argument;
	atomic_fetch_add(&ended, 1);
}

/* With an argument it ends by itself, after 5 lines. */
static int answer_subscribe(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *why)
{
	struct vd_control_source source = {1, pump, end, argument};

	(void)request;
	if (vd_control_subscribe(reply, &source)) {
		snprintf(why->text, sizeof why->text, "again?");
		return -EBUSY;
	}
	return 0;
}

/* Bytes instead of lines: a 'b' each time, and an 'e' when it was told to end. */
static atomic_uint finished;

static bool pump_bytes(void *argument, struct vd_control_stream *stream)
{
	(void)argument;
	atomic_fetch_add(&pumped, 1);
	return !vd_control_write(stream, finished ? "e" : "b", 1) || !finished;
}

static void finish(void *argument)
{
	(void)argument;
	atomic_fetch_add(&finished, 1);
}

static int answer_bytes(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *why)
{
	struct vd_control_source source = {.interval_ms = 1, .pump = pump_bytes, .end = end, .finish = finish};

	(void)argument;
	(void)request;
	(void)why;
	return vd_control_subscribe(reply, &source);
}

static void serve(const struct vd_control_limits *limits)
{
	static int some;

	ended = pumped = finished = 0;
	dropped = 0;
	open_server(limits);
	vd_control_add(control, "subscribe", answer_subscribe, NULL);
	vd_control_add(control, "five", answer_subscribe, &some);
	vd_control_add(control, "bytes", answer_bytes, NULL);
	start_server();
}

/* ---- lines ---- */

static void sources_are_pumped(void **state)
{
	struct vd_client client;
	json_t *reply;

	(void)state;
	serve(NULL);
	dial(&client);
	assert_int_equal(vd_client_call(&client, json_pack("{s:s}", "command", "five"), PATIENCE_MS, &reply, &error), 0);
	json_decref(reply);
	for (int i = 0; i < 5; i++) {
		reply = get(&client);
		assert_int_equal(json_integer_value(json_object_get(reply, "number")), i);
		json_decref(reply);
	}
	assert_int_equal(vd_client_receive(&client, PATIENCE_MS, &reply, &error), -EPIPE); /* that was all */
	vd_client_close(&client);
	stop();
	assert_int_equal(atomic_load(&ended), 1);
	assert_int_equal(atomic_load(&pumped), 5);
}

/* Requests are answered in between; one source a client. */
static void sources_and_requests(void **state)
{
	struct vd_client client;
	int last = -1;
	bool is_refused = false;
	json_t *reply;

	(void)state;
	serve(NULL);
	dial(&client);
	say(&client, "{\"command\":\"subscribe\"}\n");
	for (int seen = 0; seen < 20 || !is_refused;) {
		int result = vd_client_receive(&client, PATIENCE_MS, &reply, &error);

		if (++seen == 5)
			say(&client, "{\"command\":\"subscribe\"}\n");
		if (result == -EREMOTEIO) {
			assert_string_equal(error.text, "again?");
			is_refused = true;
			continue;
		}
		assert_int_equal(result, 0);
		if (json_object_get(reply, "number")) {
			assert_int_equal(json_integer_value(json_object_get(reply, "number")), last + 1);
			last++;
		}
		json_decref(reply);
	}
	vd_client_close(&client);
	stop();
	assert_int_equal(atomic_load(&ended), 1);
}

/* Lines for which there is no room are dropped and counted, none is cut; nobody waits. */
static void a_slow_reader_misses_lines(void **state)
{
	struct vd_control_limits limits = VD_CONTROL_LIMITS;
	struct vd_client client, other;
	int last = -1, gaps = 0;
	json_t *reply;

	(void)state;
	limits.output = 20000;
	serve(&limits);
	dial(&client);
	dial(&other);
	say(&client, "{\"command\":\"subscribe\"}\n");
	json_decref(get(&client));
	for (unsigned tries = 0; !atomic_load(&dropped); tries++) {
		assert_true(tries < 30000);
		echo(&other, 1);
		pause_ms(1);
	}
	pause_ms(20);
	for (int i = 0; i < 1000 || !gaps; i++) {
		int number;

		reply = get(&client);
		number = (int)json_integer_value(json_object_get(reply, "number"));
		assert_true(number > last);
		gaps += number > last + 1;
		assert_int_equal(json_string_length(json_object_get(reply, "text")), 1000);
		last = number;
		json_decref(reply);
	}
	vd_client_close(&client);
	vd_client_close(&other);
	stop();
	assert_int_equal(atomic_load(&ended), 1);
}

/* ---- bytes ---- */

/* All that is left to read: so many bytes of which only the last one is an end. */
static size_t read_to_the_end(struct vd_client *client)
{
	size_t count = client->length;
	bool has_end = false;

	for (size_t i = 0; i < client->length; i++)
		assert_int_equal(client->bytes[i], 'b');
	for (;;) {
		char bytes[4096];
		ssize_t received = recv(client->socket, bytes, sizeof bytes, MSG_DONTWAIT);

		if (received < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_int_equal(poll(&(struct pollfd){.fd = client->socket, .events = POLLIN}, 1, PATIENCE_MS), 1);
			continue;
		}
		if (!received)
			break;
		for (ssize_t i = 0; i < received; i++) {
			assert_false(has_end);
			has_end = bytes[i] == 'e';
			assert_true(has_end || bytes[i] == 'b');
		}
		count += (size_t)received;
	}
	assert_true(has_end);
	return count;
}

/* What is sent behind such a request is never answered, and to close one's direction is to ask for the end. */
static void bytes_have_an_end(void **state)
{
	struct vd_client client;

	(void)state;
	for (int by_close = 0; by_close < 2; by_close++) {
		serve(NULL);
		dial(&client);
		say(&client, "{\"command\":\"bytes\"}\nnonsense\n{\"command\":\"echo\",\"text\":1}\n");
		json_decref(get(&client));
		say(&client, "{\"command\":\"bytes\"}\n\n\n");
		while (pumped < 10)
			pause_ms(1);
		say(&client, "more nonsense");
		while (pumped < 20)
			pause_ms(1);
		assert_int_equal(finished, 0);
		if (by_close)
			stop();
		else
			shutdown(client.socket, SHUT_WR);
		assert_true(read_to_the_end(&client) > 20);
		assert_int_equal(finished, 1);
		vd_client_close(&client);
		if (!by_close)
			stop();
		assert_int_equal(ended, 1);
	}
}

/* Who goes, goes: nothing is sent behind it, and the source is told. */
static void bytes_for_nobody(void **state)
{
	struct vd_client client;

	(void)state;
	serve(NULL);
	dial(&client);
	say(&client, "{\"command\":\"bytes\"}\n");
	json_decref(get(&client));
	vd_client_close(&client);
	while (!ended)
		pause_ms(1);
	dial(&client);
	echo(&client, 3);
	vd_client_close(&client);
	stop();
	assert_int_equal(ended, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(sources_are_pumped, clean_up),
		cmocka_unit_test_teardown(sources_and_requests, clean_up),
		cmocka_unit_test_teardown(a_slow_reader_misses_lines, clean_up),
		cmocka_unit_test_teardown(bytes_have_an_end, clean_up),
		cmocka_unit_test_teardown(bytes_for_nobody, clean_up),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
