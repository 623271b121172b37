/* SPDX-License-Identifier: MIT */
/*
 * The kernel's header of this name defines addresses itself now, and where it comes before <netinet/in.h>, as it does in libipq's
 * manual, that one cannot follow any more. So here it comes first. pkg-config --cflags libipq makes programs see this;
 * -include netinet/in.h does the same.
 */
#pragma GCC system_header
#include <netinet/in.h>
#include_next <linux/netfilter.h>
