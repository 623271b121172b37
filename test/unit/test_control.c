/* SPDX-License-Identifier: MIT */
/*
 * The control socket, both sides in one process: what a request may be; replies with descriptors; handlers that take their time;
 * clients that do nothing, do not read, or are too many; whose a socket is; and what a client says when it goes wrong.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/un.h>

#include "test/support/control.h"
#include "tools/control/request.h"

static atomic_uint slept;

/* ---- handlers ---- */

static int answer_refuse(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *why)
{
	(void)argument;
	(void)request;
	json_object_set_new(reply->members, "half", json_true());
	assert_int_equal(vd_control_attach(reply, STDIN_FILENO), 0);
	snprintf(why->text, sizeof why->text, "not today");
	return -EAGAIN;
}

static int answer_large(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *why)
{
	char *text = malloc(100001);

	(void)argument;
	(void)request;
	(void)why;
	memset(text, 'x', 100000);
	text[100000] = '\0';
	json_object_set_new(reply->members, "text", json_string(text));
	free(text);
	return 0;
}

/* Pipes, each with its number in it. */
static int answer_descriptors(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *why)
{
	int count = (int)json_integer_value(json_object_get(request, "count"));

	(void)argument;
	(void)why;
	for (int i = 0; i < count; i++) {
		int ends[2];

		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		assert_int_equal(write(ends[1], &i, sizeof i), sizeof i);
		assert_int_equal(vd_control_attach(reply, ends[0]), 0);
		close(ends[0]);
		close(ends[1]);
	}
	return 0;
}

static int answer_sleep(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *why)
{
	(void)argument;
	(void)reply;
	(void)why;
	pause_ms((unsigned)json_integer_value(json_object_get(request, "ms")));
	atomic_fetch_add(&slept, 1);
	return 0;
}

static void serve(const struct vd_control_limits *limits)
{
	slept = 0;
	open_server(limits);
	vd_control_add(control, "refuse", answer_refuse, NULL);
	vd_control_add(control, "large", answer_large, NULL);
	vd_control_add(control, "descriptors", answer_descriptors, NULL);
	vd_control_add(control, "sleep", answer_sleep, NULL);
	start_server();
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int i = 0; i < 1024; i++)
		count += fcntl(i, F_GETFD) >= 0;
	return count;
}

/* ---- requests ---- */

static struct vd_request_reader reader;

static void give(const char *bytes, size_t length)
{
	size_t size;
	char *room = vd_request_room(&reader, &size);

	assert_true(length <= size);
	memcpy(room, bytes, length);
	vd_request_received(&reader, length);
}

static void reads_requests(void **state)
{
	static const char lines[] = "{\"command\":\"a\"}\n\n \t\r\n{\"command\": \"b\", \"x\": [1]}\r\n{\"comm";
	static const char *const bad[] = {"x\n", "[]\n", "{}\n", "{\"command\":1}\n", "5\n", "{\"command\":\"a\"} {}\n", "{\"command\":\"a\"\n",
					  "{\"command\":\"a\",\"command\":\"b\"}\n", "\"command\"\n", "{\"command\":\"\xff\"}\n", "\n\x01\n"};
	json_t *request;

	(void)state;
	vd_request_init(&reader, VD_REQUEST_MAX);
	give(lines, sizeof lines - 1);
	for (const char *name = "ab"; *name; name++) {
		assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_GOOD);
		assert_int_equal(*json_string_value(json_object_get(request, "command")), *name);
		json_decref(request);
	}
	assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_NONE);
	give("and\":\"c\"}\n", 10);
	assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_GOOD);
	json_decref(request);
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		give(bad[i], strlen(bad[i]));
		assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_BAD);
		assert_null(request);
		assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_NONE);
	}
	give("{\"command\":\"\0\"}\n", 16);
	assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_BAD);
}

static void a_line_has_a_limit(void **state)
{
	char line[64];
	json_t *request;

	(void)state;
	memset(line, ' ', sizeof line);
	memcpy(line, "{\"command\":\"a\"}", 15);
	vd_request_init(&reader, 20);
	line[20] = '\n';
	give(line, 21);
	assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_GOOD);
	json_decref(request);
	line[20] = ' ';
	give(line, 20);
	assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_NONE);
	give(" ", 1);
	assert_int_equal(vd_request_next(&reader, &request, &error), VD_REQUEST_LOST);
	assert_string_equal(error.text, "a request is longer than 20 bytes, which is the limit");
}

/* ---- replies ---- */

static void answers(void **state)
{
	struct vd_client client;
	json_t *reply;

	(void)state;
	serve(NULL);
	dial(&client);
	for (int i = 0; i < 100; i++)
		echo(&client, i);
	assert_int_equal(vd_client_call(&client, json_pack("{s:s}", "command", "nothing"), PATIENCE_MS, &reply, &error), -EREMOTEIO);
	assert_string_equal(error.text, "there is no command 'nothing', only echo, refuse, large, descriptors, sleep");
	assert_int_equal(vd_client_call(&client, json_pack("{s:s}", "command", "refuse"), PATIENCE_MS, &reply, &error), -EREMOTEIO);
	assert_string_equal(error.text, "not today");
	assert_int_equal(client.descriptor_count, 0);
	say(&client, "x\n\n{\"command\":\"echo\",\"text\":1}\n");
	assert_int_equal(vd_client_receive(&client, PATIENCE_MS, &reply, &error), -EREMOTEIO);
	assert_non_null(strstr(error.text, "this line is not JSON"));
	json_decref(get(&client));
	echo(&client, 7);
	vd_client_close(&client);
	stop();
	assert_non_null(strstr(logged, ": echoed\n"));
}

/* Many requests in one go are answered in their order, also by a client that has hung up in its own direction. */
static void answers_in_order(void **state)
{
	struct vd_client client;
	char line[64];

	(void)state;
	serve(NULL);
	dial(&client);
	for (int i = 0; i < 1000; i++)
		put(&client, line, (size_t)snprintf(line, sizeof line, "{\"command\":\"echo\",\"text\":%d}\n", i));
	say(&client, "{\"comm");
	shutdown(client.socket, SHUT_WR);
	for (int i = 0; i < 1000; i++) {
		json_t *reply = get(&client);

		assert_int_equal(json_integer_value(json_object_get(reply, "text")), i);
		json_decref(reply);
	}
	wait_until_hung_up(&client);
	vd_client_close(&client);
	stop();
}

static void byte_by_byte(void **state)
{
	static const char request[] = "{\"command\":\"echo\",\"text\":\"slow\"}\n";
	struct vd_client client;
	json_t *reply;

	(void)state;
	serve(NULL);
	dial(&client);
	for (size_t i = 0; i < sizeof request - 1; i++) {
		put(&client, request + i, 1);
		pause_ms(1);
	}
	reply = get(&client);
	assert_string_equal(json_string_value(json_object_get(reply, "text")), "slow");
	json_decref(reply);
	vd_client_close(&client);
	stop();
}

static void descriptors_come_along(void **state)
{
	static const int COUNTS[] = {1, 253, 254, 400};
	struct vd_client client;
	unsigned before;
	json_t *reply;

	(void)state;
	serve(NULL);
	dial(&client);
	echo(&client, 0);
	before = open_descriptors();
	for (unsigned i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++) {
		assert_int_equal(vd_client_call(&client, json_pack("{s:s, s:i}", "command", "descriptors", "count", COUNTS[i]),
						PATIENCE_MS, &reply, &error), 0);
		json_decref(reply);
		assert_int_equal(client.descriptor_count, COUNTS[i]);
		for (int number = 0; number < COUNTS[i]; number++) {
			int seen = -1;

			assert_true(fcntl(client.descriptors[number], F_GETFD) & FD_CLOEXEC);
			assert_int_equal(read(client.descriptors[number], &seen, sizeof seen), sizeof seen);
			assert_int_equal(seen, number);
			close(client.descriptors[number]);
		}
		client.descriptor_count = 0;
		echo(&client, 1); /* the server has closed its own when it answers this */
		assert_int_equal(open_descriptors(), before);
	}
	/* nobody takes these */
	assert_int_equal(vd_client_send(&client, json_pack("{s:s, s:i}", "command", "descriptors", "count", 300), PATIENCE_MS, &error), 0);
	vd_client_close(&client);
	stop();
	assert_int_equal(open_descriptors(), before - 6); /* both ends, the listener, its directory, epoll, the eventfd */
}

/* ---- others ---- */

static void *sleep_there(void *argument)
{
	json_t *reply;

	assert_int_equal(vd_client_call(argument, json_pack("{s:s, s:i}", "command", "sleep", "ms", 800), PATIENCE_MS, &reply, &error), 0);
	json_decref(reply);
	return NULL;
}

/* A handler that takes longer than a client may be idle: nobody is thrown out for it, and who connects meanwhile waits. */
static void a_slow_handler_breaks_nothing(void **state)
{
	struct vd_control_limits limits = VD_CONTROL_LIMITS;
	struct vd_client slow, other, late;
	pthread_t thread;

	(void)state;
	limits.idle_ms = 400;
	serve(&limits);
	dial(&slow);
	dial(&other);
	echo(&other, 1);
	pthread_create(&thread, NULL, sleep_there, &slow);
	pause_ms(200);
	say(&other, "{\"command\":\"echo\",\"text\":2}\n");
	dial(&late);
	say(&late, "{\"command\":\"echo\",\"text\":3}\n");
	json_decref(get(&other));
	assert_int_equal(atomic_load(&slept), 1); /* it had to wait */
	json_decref(get(&late));
	pthread_join(thread, NULL);
	vd_client_close(&slow);
	vd_client_close(&other);
	vd_client_close(&late);
	stop();
}

static void who_does_nothing_is_hung_up_on(void **state)
{
	struct vd_control_limits limits = VD_CONTROL_LIMITS;
	struct vd_client idle;

	(void)state;
	limits.idle_ms = 50;
	serve(&limits);
	dial(&idle);
	wait_until_hung_up(&idle);
	vd_client_close(&idle);
	stop();
	assert_string_equal(logged, "");
}

static void who_does_not_read_is_thrown_out(void **state)
{
	struct vd_client deaf, other;

	(void)state;
	serve(NULL);
	dial(&deaf);
	dial(&other);
	for (int i = 0; i < 40; i++) { /* 4 MB of replies; it may be thrown out before the last request */
		(void)!send(deaf.socket, "{\"command\":\"large\"}\n", 20, MSG_NOSIGNAL);
		echo(&other, i);
	}
	wait_until_hung_up(&deaf);
	echo(&other, 99);
	vd_client_close(&deaf);
	vd_client_close(&other);
	stop();
	assert_non_null(strstr(logged, "thrown out: it does not read its replies\n"));
}

static void too_many_are_refused(void **state)
{
	static struct vd_client clients[VD_CONTROL_CLIENTS_MAX];
	struct vd_client one_more;
	json_t *reply;

	(void)state;
	serve(NULL);
	for (int i = 0; i < VD_CONTROL_CLIENTS_MAX; i++) {
		dial(&clients[i]);
		echo(&clients[i], i);
	}
	dial(&one_more);
	assert_int_equal(vd_client_receive(&one_more, PATIENCE_MS, &reply, &error), -EREMOTEIO);
	assert_string_equal(error.text, "there are too many clients already");
	vd_client_close(&one_more);
	vd_client_close(&clients[77]);
	for (int i = 0; i < VD_CONTROL_CLIENTS_MAX; i++)
		if (i != 77)
			echo(&clients[i], i);
	dial(&clients[77]);
	echo(&clients[77], 77);
	for (int i = 0; i < VD_CONTROL_CLIENTS_MAX; i++)
		vd_client_close(&clients[i]);
	stop();
}

static void a_line_that_is_too_long_ends_it(void **state)
{
	static char line[VD_REQUEST_MAX + 1];
	struct vd_client client;
	json_t *reply;

	(void)state;
	serve(NULL);
	dial(&client);
	memset(line, ' ', sizeof line);
	memcpy(line, "{\"command\":\"echo\",\"text\":5}", 27);
	put(&client, line, sizeof line - 1);
	say(&client, "\n");
	json_decref(get(&client));
	put(&client, line, sizeof line);
	(void)!send(client.socket, "\n{\"command\":\"echo\"}\n", 20, MSG_NOSIGNAL); /* it may be closed already */
	assert_int_equal(vd_client_receive(&client, PATIENCE_MS, &reply, &error), -EREMOTEIO);
	assert_string_equal(error.text, "a request is longer than 65536 bytes, which is the limit");
	wait_until_hung_up(&client);
	vd_client_close(&client);
	stop();
}

/* ---- whose it is ---- */

static void a_socket_has_one_owner(void **state)
{
	struct vd_control *second;
	struct vd_client client;
	char wanted[64];

	(void)state;
	serve(NULL);
	assert_int_equal(vd_control_open(&second, path, 0600, &error), -EADDRINUSE);
	assert_null(second);
	snprintf(wanted, sizeof wanted, "belongs to pid %d (", (int)getpid());
	assert_non_null(strstr(error.text, wanted));
	dial(&client);
	echo(&client, 1);
	vd_client_close(&client);
	stop();
}

/* As a process that was killed leaves it. */
static void what_is_left_is_replaced(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);
	struct vd_client client;
	struct stat status;

	(void)state;
	strcpy(address.sun_path, path);
	assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
	close(dead);
	assert_int_equal(vd_client_connect(&client, path, PATIENCE_MS, &error), -ENOENT);
	assert_non_null(strstr(error.text, "no daemon listens at"));
	serve(NULL);
	dial(&client);
	echo(&client, 1);
	vd_client_close(&client);
	assert_int_equal(lstat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	stop();
}

static void what_is_no_socket_stays(void **state)
{
	int file = open(path, O_CREAT | O_WRONLY, 0600);
	struct vd_client client;
	struct stat status;

	(void)state;
	close(file);
	assert_int_equal(vd_control_open(&control, path, 0600, &error), -EEXIST);
	assert_non_null(strstr(error.text, "is there and is no socket"));
	assert_int_equal(lstat(path, &status), 0);
	assert_int_equal(vd_client_connect(&client, path, PATIENCE_MS, &error), -ENOENT);
	assert_non_null(strstr(error.text, "is not a control socket"));
	unlink(path);
}

/* Somebody took the name away and has it now: at the end it is left alone. */
static void what_is_anothers_stays(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int other = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat status;

	(void)state;
	serve(NULL);
	strcpy(address.sun_path, path);
	unlink(path);
	assert_int_equal(bind(other, (struct sockaddr *)&address, sizeof address), 0);
	vd_control_close(control);
	control = NULL;
	assert_int_equal(lstat(path, &status), 0);
	close(other);
	unlink(path);
}

struct racer {
	struct vd_control *control;
	int result;
};

static pthread_barrier_t gate;

static void *take(void *argument)
{
	struct racer *racer = argument;
	struct vd_error why;

	pthread_barrier_wait(&gate);
	racer->result = vd_control_open(&racer->control, path, 0600, &why);
	return NULL;
}

/* Many at once find what a dead process left: one of them gets the name, and keeps it. */
static void one_of_many_gets_it(void **state)
{
	enum { RACERS = 8, ROUNDS = 30 };

	(void)state;
	pthread_barrier_init(&gate, NULL, RACERS);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		struct racer racers[RACERS] = {{0}};
		int dead = socket(AF_UNIX, SOCK_STREAM, 0);
		pthread_t threads[RACERS];
		struct vd_client client;
		unsigned winners = 0;

		strcpy(address.sun_path, path);
		assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
		close(dead);
		for (unsigned i = 0; i < RACERS; i++)
			pthread_create(&threads[i], NULL, take, &racers[i]);
		for (unsigned i = 0; i < RACERS; i++)
			pthread_join(threads[i], NULL);
		dial(&client);
		vd_client_close(&client);
		for (unsigned i = 0; i < RACERS; i++) {
			winners += !racers[i].result;
			assert_true(!racers[i].result || racers[i].result == -EADDRINUSE);
			vd_control_close(racers[i].control);
		}
		assert_int_equal(winners, 1);
		assert_int_equal(access(path, F_OK), -1);
	}
	pthread_barrier_destroy(&gate);
}

/* ---- what a client says ---- */

static void clients_say_what_is_wrong(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), peer;
	struct vd_client client;
	char wanted[64];
	json_t *reply;

	(void)state;
	assert_int_equal(vd_client_connect(&client, "no such name", 0, &error), -EINVAL);
	assert_int_equal(vd_client_connect(&client, "", 0, &error), -EINVAL);
	strcpy(address.sun_path, path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 5), 0);

	dial(&client); /* somebody who listens and says nothing */
	assert_int_equal(vd_client_call(&client, json_pack("{s:s}", "command", "x"), 50, &reply, &error), -ETIMEDOUT);
	snprintf(wanted, sizeof wanted, "pid %d (test_control), does not answer within 0.05 s", (int)getpid());
	assert_non_null(strstr(error.text, wanted));
	peer = accept(listener, NULL, NULL);
	assert_int_equal(send(peer, "nonsense\n", 9, 0), 9);
	assert_int_equal(vd_client_receive(&client, PATIENCE_MS, &reply, &error), -EPROTO);
	close(peer);
	assert_int_equal(vd_client_receive(&client, PATIENCE_MS, &reply, &error), -EPIPE);
	assert_non_null(strstr(error.text, "has hung up"));
	vd_client_close(&client);
	close(listener);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(reads_requests, clean_up),
		cmocka_unit_test_teardown(a_line_has_a_limit, clean_up),
		cmocka_unit_test_teardown(answers, clean_up),
		cmocka_unit_test_teardown(answers_in_order, clean_up),
		cmocka_unit_test_teardown(byte_by_byte, clean_up),
		cmocka_unit_test_teardown(descriptors_come_along, clean_up),
		cmocka_unit_test_teardown(a_slow_handler_breaks_nothing, clean_up),
		cmocka_unit_test_teardown(who_does_nothing_is_hung_up_on, clean_up),
		cmocka_unit_test_teardown(who_does_not_read_is_thrown_out, clean_up),
		cmocka_unit_test_teardown(too_many_are_refused, clean_up),
		cmocka_unit_test_teardown(a_line_that_is_too_long_ends_it, clean_up),
		cmocka_unit_test_teardown(a_socket_has_one_owner, clean_up),
		cmocka_unit_test_teardown(what_is_left_is_replaced, clean_up),
		cmocka_unit_test_teardown(what_is_no_socket_stays, clean_up),
		cmocka_unit_test_teardown(what_is_anothers_stays, clean_up),
		cmocka_unit_test_teardown(one_of_many_gets_it, clean_up),
		cmocka_unit_test_teardown(clients_say_what_is_wrong, clean_up),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
