/* SPDX-License-Identifier: MIT */
/*
 * A function that cannot decide: neither decide() nor decide_burst().
 */
#include <verdict/function.h>

VD_FUNCTION(.name = "no-decide", .summary = "forgets to decide", .bytes = VD_HEADERS);
