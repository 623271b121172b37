/* SPDX-License-Identifier: MIT */
/* The terminal: ncurses, and nothing of it outside of this file's own. One at a time. */
#ifndef VERDICT_TOOLS_TOP_SCREEN_H
#define VERDICT_TOOLS_TOP_SCREEN_H

#include "tools/top/frame.h"

/* -ENOTTY: there is no terminal; -EINVAL: its type is not known. */
int vd_screen_begin(struct vd_error *error);

/* Gives the terminal back as it was; any number of times. */
void vd_screen_end(void);

/* After SIGWINCH, and at the begin. */
void vd_screen_resize(void);

unsigned vd_screen_width(void);

/* How far one can scroll: lines that do not fit. */
unsigned vd_screen_hidden(const struct vd_top_frame *frame);

/* `scroll` lines of those behind the head are not shown; `keys` stands in the last line. */
void vd_screen_draw(const struct vd_top_frame *frame, unsigned scroll, const char *keys);

enum vd_screen_key {
	VD_SCREEN_NONE = -1,
	VD_SCREEN_END = -2, /* the terminal is gone */
	VD_SCREEN_UP = 256, /* others are characters */
	VD_SCREEN_DOWN,
	VD_SCREEN_PAGE_UP,
	VD_SCREEN_PAGE_DOWN,
};

/* What was pressed next, without waiting. */
int vd_screen_key(void);

#endif
