/* SPDX-License-Identifier: MIT */
/* Some programs say <libipq/libipq.h>. */
#include <libipq.h>
