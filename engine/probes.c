/* SPDX-License-Identifier: MIT */
/* How many look at each probe: the kernel counts these up and down while a tracer is attached. */
#include "engine/probes.h"

#if HAS_SDT

volatile unsigned short verdict_read_semaphore;
volatile unsigned short verdict_dispatch_semaphore;
volatile unsigned short verdict_decide_begin_semaphore;
volatile unsigned short verdict_decide_end_semaphore;
volatile unsigned short verdict_send_begin_semaphore;
volatile unsigned short verdict_send_end_semaphore;

#endif
