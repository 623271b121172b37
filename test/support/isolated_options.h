/* SPDX-License-Identifier: MIT */
/*
 * For a program whose functions crash on purpose, in processes of their own: what sanitizers have to leave alone. To be included once,
 * by the test itself.
 */
#ifndef VERDICT_TEST_ISOLATED_OPTIONS_H
#define VERDICT_TEST_ISOLATED_OPTIONS_H

#ifdef __SANITIZE_THREAD__
/* Hosts are made by a process that was forked by one with threads; and how many end. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0:atexit_sleep_ms=0";
}
#endif

#ifdef __SANITIZE_ADDRESS__
/* What crashes here is meant to. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0:handle_sigbus=0";
}
#endif

#endif
