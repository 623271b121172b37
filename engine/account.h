/* SPDX-License-Identifier: MIT */
/*
 * What the kernel knows of a thread: how often it slept, and its CPU time. Nothing is counted on the packet path: whoever asks
 * reads /proc, and a thread that ends leaves its last numbers behind.
 *
 * Who may call: begin and end the thread; read anybody, as long as the account is there.
 */
#ifndef VERDICT_ENGINE_ACCOUNT_H
#define VERDICT_ENGINE_ACCOUNT_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct vd_account {
	_Atomic pid_t thread; /* 0: it does not run */
	uint64_t sleeps;      /* tallies, written at the end */
	uint64_t cpu_ns;
};

void vd_account_begin(struct vd_account *account);
void vd_account_end(struct vd_account *account);
void vd_account_read(struct vd_account *account, uint64_t *sleeps, uint64_t *cpu_ns);

#endif
