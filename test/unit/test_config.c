/* SPDX-License-Identifier: MIT */
/*
 * Reading a configuration: values; that a key and its option come to the same engine; what each queue is given; what wins; that
 * the line that is remembered is the line in which it stands, however the text is laid out; and that no text at all does harm.
 */
#include <errno.h>
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/random.h"
#include "tools/config/config.h"

/* ---- an engine that only remembers what it was given ---- */

static struct {
	struct vd_engine_options options;
	unsigned cpus[VD_SETTINGS_CPUS_MAX];
	char netns[64];
	struct vd_queue_options queues[8];
	unsigned numbers[8];
	unsigned queue_count;
	char functions[8][128];
	unsigned function_count;
} made;

static int remember_create(struct vd_engine **engine, const struct vd_engine_options *options, struct vd_error *error)
{
	(void)error;
	memset(&made, 0, sizeof made);
	made.options = *options;
	if (options->cpu_count)
		memcpy(made.cpus, options->cpus, options->cpu_count * sizeof *options->cpus);
	snprintf(made.netns, sizeof made.netns, "%s", options->netns ? options->netns : "");
	*engine = NULL;
	return 0;
}

static void remember_own_options(const struct vd_engine *engine, struct vd_queue_options *options)
{
	(void)engine;
	*options = (struct vd_queue_options){made.options.maxlen, made.options.copy_range, made.options.no_gso,
					     made.options.fail_open, made.options.fault_verdict};
}

static int remember_queue(struct vd_engine *engine, unsigned queue, const struct vd_queue_options *options,
			  struct vd_error *error)
{
	(void)engine;
	(void)error;
	made.numbers[made.queue_count] = queue;
	made.queues[made.queue_count++] = *options;
	return 0;
}

static int remember_function(struct vd_engine *engine, const char *specification, struct vd_error *error)
{
	(void)engine;
	(void)error;
	snprintf(made.functions[made.function_count++], sizeof *made.functions, "%s", specification);
	return 0;
}

#define vd_engine_create remember_create
#define vd_engine_queue_options remember_own_options
#define vd_engine_add_queue_with remember_queue
#define vd_engine_load_function remember_function
#include "tools/config/settings_engine.c"

/* ---- what the tests share ---- */

static struct vd_config config; /* too large for the stack of a sanitizer */
static struct vd_settings command;
static struct vd_error error;

static void read_good(const char *text)
{
	if (vd_config_read_text(&config, "t", text, strlen(text), &error))
		fail_msg("%s: %s", text, error.text);
}

static void make(const struct vd_settings *settings)
{
	struct vd_engine *engine;

	assert_int_equal(vd_settings_engine(settings, NULL, NULL, &engine, &error), 0);
}

static void say(enum vd_key key, const char *text)
{
	assert_int_equal(vd_setting_read(&command.general[key], key, "--x", text, &(struct vd_origin){0}, &error), 0);
}

static int tear_down(void **state)
{
	(void)state;
	vd_config_fini(&config);
	memset(&command, 0, sizeof command);
	return 0;
}

/* ---- values ---- */

static void reads_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {{"0", 0}, {"16k", 16384}, {"16K", 16384}, {"0x10", 16}, {"010", 8}, {"1m", 1048576}, {"2g", 2147483648u},
		    {"18446744073709551615", UINT64_MAX}};
	static const char *const wrong[] = {"", " 1", "1 ", "+1", "-1", "1kk", "1kb", "k", "1.0", "1e3", "0x", "08", "18446744073709551616",
					    "17179869184g"};
	uint64_t value = 77;

	(void)state;
	for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(vd_value_number(good[i].text, 0, UINT64_MAX, &value));
		assert_int_equal(value, good[i].value);
	}
	value = 77;
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (vd_value_number(wrong[i], 0, UINT64_MAX, &value))
			fail_msg("'%s' is read as a number", wrong[i]);
	assert_false(vd_value_number("4", 5, 9, &value));
	assert_false(vd_value_number("10", 5, 9, &value));
	assert_int_equal(value, 77);
}

static void reads_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t unit_us, value;
	} good[] = {{"200us", 1, 200}, {"200µs", 1, 200}, {"200", 1, 200}, {"2ms", 1, 2000}, {"1s", 1, 1000000}, {"5", 1000000, 5},
		    {"5s", 1000000, 5}, {"3000ms", 1000000, 3}, {"2min", 1000000, 120}, {"2h", 1000000, 7200}, {"1d", 1000000, 86400}};
	static const char *const wrong[] = {"", "s", "1 s", "1m", "1k", "1500ms", "1us", "-1s", "1.5s", "1S", "18446744073709551615d"};
	uint64_t value = 77;

	(void)state;
	for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(vd_value_time(good[i].text, good[i].unit_us, 0, UINT64_MAX, &value));
		assert_int_equal(value, good[i].value);
	}
	value = 77;
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (vd_value_time(wrong[i], 1000000, 0, UINT64_MAX, &value))
			fail_msg("'%s' is read as a time", wrong[i]);
	assert_int_equal(value, 77);
}

static void reads_addresses(void **state)
{
	static const struct {
		const char *text;
		int family;
		const char *host;
		uint16_t port;
	} good[] = {{"9100", AF_INET, "127.0.0.1", 9100},     {"0.0.0.0:1", AF_INET, "0.0.0.0", 1},
		    {"192.0.2.7:65535", AF_INET, "192.0.2.7", 65535}, {"[::1]:9100", AF_INET6, "::1", 9100},
		    {"[::]:80", AF_INET6, "::", 80}, {"[2001:db8::1.2.3.4]:7", AF_INET6, "2001:db8::102:304", 7}};
	static const char *const wrong[] = {"", ":", "0", "65536", "-1", "x", ":9100", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:x",
					    "127.1:9100", "localhost:9100", "::1:9100", "[::1]", "[::1]:", "[::1]9100", "[]:9100", "[::1:9100",
					    "::1]:9100", "[127.0.0.1]:9100", "[::1]:65536", "[::1]::9100", " 9100", "9100 ", "127.0.0.1:9100:",
					    "[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]:9100"};
	struct sockaddr_storage address, untouched;
	char host[INET6_ADDRSTRLEN];

	(void)state;
	for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
		bool is_v6 = good[i].family == AF_INET6;

		assert_true(vd_value_address(good[i].text, &address));
		assert_int_equal(address.ss_family, good[i].family);
		assert_int_equal(vd_address_size(&address), is_v6 ? sizeof *v6 : sizeof *v4);
		inet_ntop(good[i].family, is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr, host, sizeof host);
		assert_string_equal(host, good[i].host);
		assert_int_equal(ntohs(is_v6 ? v6->sin6_port : v4->sin_port), good[i].port);
	}
	memset(&address, 0x55, sizeof address);
	untouched = address;
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (vd_value_address(wrong[i], &address))
			fail_msg("'%s' is read as an address", wrong[i]);
	assert_memory_equal(&address, &untouched, sizeof address);
}

/* ---- keys and options ---- */

/* Each key, a value that is not its default, and where the engine finds it. */
static const struct {
	enum vd_key key;
	const char *text;
	size_t offset, size;
	uint64_t value;
} KEYS[] = {
#define OPTION(member) offsetof(struct vd_engine_options, member), sizeof(((struct vd_engine_options *)0)->member)
	{VD_KEY_MAXLEN, "16k", OPTION(maxlen), 16384},
	{VD_KEY_COPY_RANGE, "1500", OPTION(copy_range), 1500},
	{VD_KEY_GSO, "no", OPTION(no_gso), true},
	{VD_KEY_FAIL_OPEN, "yes", OPTION(fail_open), true},
	{VD_KEY_ON_FAULT, "accept", OPTION(fault_verdict), VD_ACCEPT},
	{VD_KEY_DEFAULT, "drop", OPTION(default_verdict), VD_DROP},
	{VD_KEY_WORKERS, "3", OPTION(workers), 3},
	{VD_KEY_WRITERS, "2", OPTION(writers), 2},
	{VD_KEY_BATCH, "8", OPTION(batch), 8},
	{VD_KEY_BATCH_DELAY, "2ms", OPTION(batch_delay_us), 2000},
	{VD_KEY_REJECT_RATE, "5k", OPTION(reject_rate), 5120},
	{VD_KEY_REJECT_MARK, "0x77", OPTION(reject_mark), 0x77},
	{VD_KEY_HELD_MAX, "100k", OPTION(held_max), 102400},
	{VD_KEY_ISOLATION, "process", OPTION(isolation), VD_ISOLATION_PROCESS},
	{VD_KEY_DEADLINE, "20ms", OPTION(deadline_us), 20000},
	{VD_KEY_PACKETS, "9g", OPTION(packets_max), 9ull << 30},
};
#define KEY_COUNT (sizeof KEYS / sizeof *KEYS)

static uint64_t option_of(unsigned i)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)&made.options + KEYS[i].offset, KEYS[i].size); /* little-endian, as the machines this runs on */
	return value;
}

static void keys_and_options_come_to_the_same(void **state)
{
	char text[128];

	(void)state;
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		struct vd_engine_options by_key;

		snprintf(text, sizeof text, "queue 0; %s %s;", vd_key_name(KEYS[i].key), KEYS[i].text);
		read_good(text);
		make(&config.settings);
		assert_int_equal(option_of(i), KEYS[i].value);
		by_key = made.options;
		for (unsigned other = 0; other < KEY_COUNT; other++)
			if (other != i)
				assert_int_not_equal(option_of(other), KEYS[other].value);
		vd_config_fini(&config);

		memset(&config, 0, sizeof config);
		memset(&command, 0, sizeof command);
		assert_int_equal(vd_setting_read(&command.general[KEYS[i].key], KEYS[i].key, "--x", KEYS[i].text,
						 &(struct vd_origin){0}, &error), 0);
		vd_settings_overlay(&config.settings, &command);
		make(&config.settings);
		assert_memory_equal(&by_key, &made.options, sizeof by_key);
	}
	read_good("queue 0; netns blue; cpu 0-2,5; for 2min; stats json; log json; log-to stderr; log-rate 0; supervise yes;"
		  "user a:b; seccomp no; seccomp-allow [ socket, connect ];"
		  "control a.b; control-mode 0640");
	make(&config.settings);
	assert_string_equal(made.netns, "blue");
	assert_int_equal(made.options.cpu_count, 4);
	assert_int_equal(made.cpus[3], 5);
	assert_int_equal(config.settings.general[VD_KEY_FOR].number, 120);
	assert_int_equal(config.settings.general[VD_KEY_STATS].number, VD_STATS_JSON);
	assert_string_equal(config.settings.general[VD_KEY_USER].text, "a:b");
	assert_true(config.settings.general[VD_KEY_SECCOMP].is_given);
	assert_false(config.settings.general[VD_KEY_SECCOMP].number);
	assert_string_equal(config.settings.general[VD_KEY_SECCOMP_ALLOW].text, "socket,connect");
	assert_int_equal(config.settings.general[VD_KEY_LOG].number, VD_LOG_JSON);
	assert_int_equal(config.settings.general[VD_KEY_LOG_TO].number, VD_LOG_STDERR);
	assert_int_equal(config.settings.general[VD_KEY_SUPERVISE].number, true);
	assert_true(config.settings.general[VD_KEY_LOG_RATE].is_given);
	assert_int_equal(config.settings.general[VD_KEY_LOG_RATE].number, 0);
}

static void some_do_not_go_together(void **state)
{
	(void)state;
	read_good("queue 0; log-to journal; log text");
	assert_int_equal(vd_settings_check(&config.settings, &error), 0);
	say(VD_KEY_LOG, "json");
	vd_settings_overlay(&config.settings, &command);
	assert_int_equal(vd_settings_check(&config.settings, &error), -EINVAL);
	say(VD_KEY_LOG_TO, "stderr");
	vd_settings_overlay(&config.settings, &command);
	assert_int_equal(vd_settings_check(&config.settings, &error), 0);
}

static void metrics_have_a_place_or_none(void **state)
{
	(void)state;
	read_good("queue 0; metrics \"[::1]:9100\"");
	assert_int_equal(config.settings.general[VD_KEY_METRICS].number, true);
	assert_string_equal(config.settings.general[VD_KEY_METRICS].text, "[::1]:9100");
	vd_config_fini(&config);
	read_good("queue 0; metrics 127.0.0.1:9100");
	assert_string_equal(config.settings.general[VD_KEY_METRICS].text, "127.0.0.1:9100");
	vd_config_fini(&config);
	read_good("queue 0; metrics none");
	assert_int_equal(config.settings.general[VD_KEY_METRICS].number, false);
}

static void nothing_given_is_the_engines_default(void **state)
{
	struct vd_engine_options plain = VD_ENGINE_OPTIONS_INIT;

	(void)state;
	read_good("queue 0");
	make(&config.settings);
	assert_memory_equal(&plain, &made.options, sizeof plain);
	assert_int_equal(made.queues[0].fault_verdict, VD_DROP);
}

/* ---- queues and functions ---- */

static void each_queue_has_its_own(void **state)
{
	(void)state;
	read_good("maxlen 100; fail-open yes; gso no; queue 9 { maxlen 5; gso yes; }"
		  "queue 1-2 { copy-range 200; on-fault accept; fail-open no }; queue 4");
	make(&config.settings);
	assert_int_equal(made.queue_count, 4);
	assert_int_equal(made.numbers[0], 9);
	assert_int_equal(made.queues[0].maxlen, 5);
	assert_false(made.queues[0].no_gso);
	assert_true(made.queues[0].fail_open);
	assert_int_equal(made.queues[0].fault_verdict, VD_DROP);
	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(made.numbers[i], i);
		assert_int_equal(made.queues[i].maxlen, 100);
		assert_int_equal(made.queues[i].copy_range, 200);
		assert_true(made.queues[i].no_gso);
		assert_false(made.queues[i].fail_open);
		assert_int_equal(made.queues[i].fault_verdict, VD_ACCEPT);
	}
	assert_int_equal(made.numbers[3], 4);
	assert_int_equal(made.queues[3].maxlen, 100);
	assert_int_equal(made.queues[3].copy_range, 0);
	assert_true(made.queues[3].no_gso);
	assert_true(made.queues[3].fail_open);
}

static void functions_are_in_the_order_of_the_file(void **state)
{
	(void)state;
	read_good("queue 0; function b; function [ 'mark:1', \"a\" ]; function match { arguments \"x \\\"y\\\" \\\\z\" };"
		  "function /a/b.so:c");
	make(&config.settings);
	assert_int_equal(made.function_count, 5);
	assert_string_equal(made.functions[0], "b");
	assert_string_equal(made.functions[1], "mark:1");
	assert_string_equal(made.functions[2], "a");
	assert_string_equal(made.functions[3], "match:x \"y\" \\z");
	assert_string_equal(made.functions[4], "/a/b.so:c");
}

static void files_of_functions_lie_beside_the_file(void **state)
{
	static const char text[] = "queue 0; function ./m.so; function m.so { arguments 'a:./b' }; function /m.so; function m;"
				   "function d/m:./x";

	(void)state;
	assert_int_equal(vd_config_read_text(&config, "/etc/v/v.conf", text, strlen(text), &error), 0);
	make(&config.settings);
	assert_string_equal(made.functions[0], "/etc/v/./m.so");
	assert_string_equal(made.functions[1], "/etc/v/m.so:a:./b");
	assert_string_equal(made.functions[2], "/m.so");
	assert_string_equal(made.functions[3], "m");
	assert_string_equal(made.functions[4], "/etc/v/d/m:./x");
	vd_config_fini(&config);
	assert_int_equal(vd_config_read_text(&config, "/etc/v:w/v.conf", "function m.so;", 14, &error), -EINVAL);
	assert_string_equal(error.text, "/etc/v:w/v.conf:1: function: the directory of this file has a ':' in its name, where arguments "
					"would begin");
}

/* ---- what wins ---- */

static void the_command_line_wins(void **state)
{
	static const struct vd_origin here = {0};

	(void)state;
	read_good("maxlen 100; workers 2; fail-open yes; queue 1 { maxlen 5; copy-range 200 }; queue 2-3 { fail-open no };"
		  "function a; function b");
	say(VD_KEY_MAXLEN, "50");
	say(VD_KEY_WORKERS, "4");
	vd_settings_overlay(&config.settings, &command);
	make(&config.settings);
	assert_int_equal(made.options.workers, 4);
	assert_int_equal(made.queue_count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(made.queues[i].maxlen, 50);
	assert_int_equal(made.queues[0].copy_range, 200);
	assert_true(made.queues[0].fail_open);
	assert_false(made.queues[1].fail_open);
	assert_int_equal(made.function_count, 2);

	assert_int_equal(vd_settings_add_queues(&command, "--queue", "3-4", NULL, &here, &error), 0);
	assert_int_equal(vd_settings_add_function(&command, "--function", "c", &here, &error), 0);
	vd_settings_overlay(&config.settings, &command);
	make(&config.settings);
	assert_int_equal(made.queue_count, 2);
	assert_int_equal(made.numbers[0], 3);
	assert_false(made.queues[0].fail_open);
	assert_true(made.queues[1].fail_open);
	assert_int_equal(made.function_count, 1);
	assert_string_equal(made.functions[0], "c");
}

/* ---- any layout: what was written is read, with its line ---- */

static char text[1 << 16];
static size_t length;
static unsigned line;
static uint64_t random_state;

static unsigned dice(unsigned sides)
{
	return bytes_random_below(&random_state, sides);
}

static void put(const char *part)
{
	for (; *part; part++) {
		assert_true(length < sizeof text - 1);
		line += *part == '\n';
		text[length++] = *part;
	}
	text[length] = '\0';
}

static void put_any(const char *const *parts, unsigned count)
{
	put(parts[dice(count)]);
}
#define PUT_ANY(...) put_any((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void put_space_between_items(void)
{
	for (unsigned i = dice(4); i--;)
		PUT_ANY("\n", "  ", "\t", "\r\n", "# a comment; { } \" ' */\n", "/* a \n comment; { } \" # */", "/**/", ";", " ; ",
			"/* '\n\n\n */ ");
}

static void put_value(const char *value)
{
	const char *quote = (const char *const[]){"", "\"", "'"}[dice(3)];

	put(quote);
	put(value);
	put(quote);
}

static void put_setting(enum vd_key key, const char *value, unsigned *where)
{
	put_space_between_items();
	*where = line;
	put_any((const char *const[]){vd_key_name(key)}, 1);
	PUT_ANY(" ", "=", ":", " = ", "\t:\t", " /* x */ ", " /* \n */ = /* \n */ ");
	put_value(value);
	PUT_ANY(";", " ;", "\n", " \r\n", " # comment\n", "; # comment\n", " /* x */ ;", ", ");
}

static void reads_what_was_written_in_any_layout(void **state)
{
	enum { ROUNDS = 4000 };

	(void)state;
	random_state = bytes_seed("config");
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned where[KEY_COUNT] = {0}, queue_line, own_line, function_line;
		bool has[KEY_COUNT];

		length = 0;
		line = 1;
		for (unsigned i = 0; i < KEY_COUNT; i++) {
			has[i] = dice(2);
			if (has[i])
				put_setting(KEYS[i].key, KEYS[i].text, &where[i]);
		}
		put_space_between_items();
		queue_line = line;
		PUT_ANY("queue 7{", "queue\t'7' {", "queue = \"7\"\n{", "queue 7 # x\n\n {", "queue: 7 /* \n */ {", "\"queue\" 7 {");
		put_setting(VD_KEY_COPY_RANGE, "77", &own_line);
		put_space_between_items();
		put("}");
		put_space_between_items();
		function_line = line;
		PUT_ANY("function 'a:b'", "function a { arguments b }", "function [ 'a:b' ]", "function a { arguments = \"b\"\n}",
			"function a:b # x");
		PUT_ANY("", "\n", ";", "\n\n", " ; # the end", "\n/* the end */");

		read_good(text);
		for (unsigned i = 0; i < KEY_COUNT; i++) {
			const struct vd_setting *setting = &config.settings.general[KEYS[i].key];

			if (setting->is_given != has[i] || (has[i] && setting->origin.line != where[i]))
				fail_msg("%s: given %d in line %u, read %d in line %u of:\n%s", vd_key_name(KEYS[i].key), has[i], where[i],
					 setting->is_given, setting->origin.line, text);
		}
		make(&config.settings);
		for (unsigned i = 0; i < KEY_COUNT; i++)
			assert_int_equal(option_of(i) == KEYS[i].value, has[i]);
		assert_int_equal(made.numbers[0], 7);
		assert_int_equal(made.queues[0].copy_range, 77);
		assert_int_equal(config.settings.queues[0].origin.line, queue_line);
		assert_int_equal(config.settings.queues[0].own[VD_KEY_COPY_RANGE].origin.line, own_line);
		assert_string_equal(made.functions[0], "a:b");
		assert_int_equal(config.settings.functions[0].origin.line, function_line);
		vd_config_fini(&config);
	}
}

/* ---- any text at all ---- */

/* "t:LINE: " with a line that there is, and one sentence that can be printed. */
static void expect_sentence(const char *bytes, size_t size)
{
	unsigned lines = 1, said;
	int used = 0;

	for (size_t i = 0; i < size; i++)
		lines += bytes[i] == '\n';
	if (sscanf(error.text, "t:%u: %n", &said, &used) != 1 || !used || said < 1 || said > lines)
		fail_msg("of %u lines: %s", lines, error.text);
	assert_in_range(strlen(error.text + used), 10, sizeof error.text - 20);
	for (const char *c = error.text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			fail_msg("byte 0x%02x in: %s", (unsigned char)*c, error.text);
}

static void no_text_does_harm(void **state)
{
	enum { ROUNDS = 30000 };
	static const char START[] = "# c\nqueue 0-3;\nqueue [ 9, '10' ]\nqueue 7 {\n\tmaxlen 5k; fail-open yes\n}\n"
				    "function match { arguments \"udp \\\"x\\\" 53=drop\"; }\n/* c\n */ cpu 0-2,5\nfor 10min, stats json;\n"
				    "netns 'blue'\n.include \"x\"\nuser a:b; seccomp-allow [ x_1, y ]\n";
	static const char PIECES[] = "{}[];,:=#\"'\\/*.\n\r\t -0ak\0\x80\xff\xc3\x7f";
	unsigned good = 0, broken = 0;

	(void)state;
	random_state = bytes_seed("config");
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t size = sizeof START - 1;
		char *bytes;
		int result;

		memcpy(text, START, size);
		for (unsigned changes = 1 + dice(6); changes--;) {
			size_t at = dice((unsigned)size), count = dice(20), to = dice((unsigned)size);

			switch (dice(4)) {
			case 0: /* another byte */
				text[at] = PIECES[dice(sizeof PIECES - 1)];
				break;
			case 1: /* cut short */
				size = at + 1;
				break;
			case 2: /* a piece elsewhere */
				if (at + count < size && to + count < size)
					memmove(text + to, text + at, count);
				break;
			case 3: /* without a piece */
				if (at + count < size) {
					memmove(text + at, text + at + count, size - at - count);
					size -= count;
				}
				break;
			}
		}
		/* exactly as long: what is read behind it is seen */
		bytes = malloc(size);
		assert_non_null(bytes);
		memcpy(bytes, text, size);
		result = vd_config_read_text(&config, "t", bytes, size, &error);
		if (result) {
			assert_int_equal(result, -EINVAL);
			expect_sentence(bytes, size);
			broken++;
		} else {
			good++;
		}
		vd_config_fini(&config);
		free(bytes);
	}
	print_message("  %u in order, %u not\n", good, broken);
	assert_true(good > 100 && broken > 1000); /* it looked at both */
}

static void sentences_fit(void **state)
{
	char name[2000];

	(void)state;
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	assert_int_equal(vd_config_read_text(&config, name, "queue x;", 8, &error), -EINVAL);
	assert_non_null(strstr(error.text, "xxx:1: queue takes a number or a range A-B from 0 to 65535, not 'x'"));
	assert_memory_equal(error.text, "...x", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(reads_numbers, tear_down),
		cmocka_unit_test_teardown(reads_times, tear_down),
		cmocka_unit_test_teardown(reads_addresses, tear_down),
		cmocka_unit_test_teardown(keys_and_options_come_to_the_same, tear_down),
		cmocka_unit_test_teardown(nothing_given_is_the_engines_default, tear_down),
		cmocka_unit_test_teardown(some_do_not_go_together, tear_down),
		cmocka_unit_test_teardown(metrics_have_a_place_or_none, tear_down),
		cmocka_unit_test_teardown(each_queue_has_its_own, tear_down),
		cmocka_unit_test_teardown(functions_are_in_the_order_of_the_file, tear_down),
		cmocka_unit_test_teardown(files_of_functions_lie_beside_the_file, tear_down),
		cmocka_unit_test_teardown(the_command_line_wins, tear_down),
		cmocka_unit_test_teardown(reads_what_was_written_in_any_layout, tear_down),
		cmocka_unit_test_teardown(no_text_does_harm, tear_down),
		cmocka_unit_test_teardown(sentences_fit, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
