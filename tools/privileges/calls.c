/* SPDX-License-Identifier: MIT */
/*
 * The system calls that `verdict run` makes once its queues are bound: seen with strace under all of its options, and those
 * besides that other versions of libraries make for the same. Some are allowed only in part: filter.c. Names that an
 * architecture does not have are skipped there.
 */
#include <stddef.h>

#include "tools/privileges/private.h"

const char *const vd_calls[] = {
	/* VD_CALLS_HOT of the packet path: receive, send, sleep, wake, and the clock where it is not read from the vDSO */
	"recvmmsg", "sendmsg", "recvfrom", "sendto", "futex", "epoll_wait", "epoll_ctl", "clock_gettime",

	/* waiting, elsewhere */
	"epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "nanosleep", "clock_nanosleep", "pause",
	"futex_waitv", "restart_syscall", "sched_yield",

	/* sockets that are open: accounts, answers to rejected packets, queues' sockets */
	"getsockopt", "setsockopt", "connect", "getsockname", "getpeername", "bind", "recvmsg", "sendmmsg", "accept", "accept4",
	"listen", "shutdown",

	/* files and descriptors: statistics, files of functions, a library that is loaded later */
	"read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "pwritev", "open", "openat", "close", "close_range", "memfd_create",
	"stat", "lstat", "fstat", "newfstatat", "statx", "lseek", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
	"getdents64", "getcwd", "fcntl", "dup", "dup2", "dup3", "pipe2", "eventfd2", "signalfd4", "timerfd_create",
	"timerfd_settime", "timerfd_gettime", "epoll_create1", "fsync", "fdatasync", "ftruncate", "fadvise64", "statfs", "fstatfs",

	/* the control socket's name, at the end */
	"flock", "unlinkat",

	/* memory: malloc, and the loader */
	"brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "mincore",

	/* threads, signals, the end */
	"set_robust_list", "get_robust_list", "rseq", "membarrier", "set_tid_address", "sched_getaffinity", "sched_setaffinity",
	"sched_getparam", "sched_getscheduler", "getcpu", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending",
	"rt_sigtimedwait", "sigaltstack", "exit", "exit_group",

	/* what a process may know of itself, and of the time; and how much of the CPU it wants */
	"setpriority", "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getrusage",
	"getrlimit", "times", "sysinfo", "uname", "gettimeofday", "time", "clock_getres", "getrandom", "getpgrp", "getpgid",

	/* its capabilities: what is gone does not come back by these */
	"capget", "capset",
	NULL,
};
