/* SPDX-License-Identifier: MIT */
/*
 * As much of cmocka as some unit tests need, in a header: so that they can be built for a machine whose libraries are not
 * there. Prints what cmocka prints at the end. The first test that fails ends the program.
 */
#ifndef VERDICT_TEST_ARM64_CMOCKA_H
#define VERDICT_TEST_ARM64_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
	const char *name;
	void (*function)(void **state);
};

#define cmocka_unit_test(function) {#function, function}

#define fail_msg(...)                                                                                   \
	do {                                                                                            \
		printf(__VA_ARGS__);                                                                    \
		printf("\n%s:%d: error: Failure!\n[  FAILED  ] 1 test(s).\n", __FILE__, __LINE__);      \
		exit(1);                                                                                \
	} while (0)

#define assert_true(truth)                               \
	do {                                             \
		if (!(truth))                            \
			fail_msg("not so: %s", #truth);  \
	} while (0)

#define assert_null(pointer) assert_true(!(pointer))
#define assert_string_equal(a, b) assert_true(!strcmp(a, b))

#define assert_int_equal(a, b)                                                                        \
	do {                                                                                          \
		unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b);        \
		if (a_ != b_)                                                                         \
			fail_msg("%s is %#llx, %s is %#llx", #a, a_, #b, b_);                         \
	} while (0)

#define cmocka_run_group_tests(tests, setup, teardown) run_tests(tests, sizeof(tests) / sizeof *(tests))

static int run_tests(const struct CMUnitTest *tests, size_t count)
{
	printf("[==========] Running %zu test(s).\n", count);
	for (size_t i = 0; i < count; i++) {
		printf("[ RUN      ] %s\n", tests[i].name);
		fflush(stdout);
		tests[i].function(NULL);
		printf("[       OK ] %s\n", tests[i].name);
	}
	printf("[==========] %zu test(s) run.\n[  PASSED  ] %zu test(s).\n", count, count);
	return 0;
}

#endif
