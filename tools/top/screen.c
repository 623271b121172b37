/* SPDX-License-Identifier: MIT */
#include "tools/top/screen.h"

#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/config/origin.h"

#define ALERT_COLOR 1

static SCREEN *screen;

int vd_screen_begin(struct vd_error *error)
{
	const char *terminal = getenv("TERM");
	char shown[VD_SHOWN_SIZE];

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return vd_error_set(error, -ENOTTY, "top needs a terminal; --batch prints the same as plain text");
	setlocale(LC_CTYPE, "");
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return vd_error_set(error, -EINVAL, "top does not know a terminal of type '%s': set TERM, or use --batch",
				    vd_show_text(terminal ? terminal : "", shown));
	set_term(screen);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	curs_set(0);
	if (has_colors()) {
		start_color();
		use_default_colors();
		init_pair(ALERT_COLOR, COLOR_RED, -1);
	}
	return 0;
}

void vd_screen_end(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

void vd_screen_resize(void)
{
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col)
		resizeterm(size.ws_row, size.ws_col);
	clear(); /* what the terminal did with its lines meanwhile is not known */
}

unsigned vd_screen_width(void)
{
	return COLS < VD_TOP_WIDTH_MAX ? (unsigned)COLS : VD_TOP_WIDTH_MAX;
}

/* Rows for what scrolls. */
static unsigned room(const struct vd_top_frame *frame)
{
	unsigned rows = LINES > 1 ? (unsigned)LINES - 1 : 0;

	return rows > frame->head_count ? rows - frame->head_count : 0;
}

unsigned vd_screen_hidden(const struct vd_top_frame *frame)
{
	unsigned lines = frame->count - frame->head_count;

	return lines > room(frame) ? lines - room(frame) : 0;
}

static void draw_line(int row, const struct vd_top_line *line)
{
	attr_t look = A_NORMAL;

	switch (line->style) {
	case VD_TOP_PLAIN:
		break;
	case VD_TOP_STRONG:
		look = A_BOLD;
		break;
	case VD_TOP_TITLE:
		look = A_REVERSE;
		break;
	case VD_TOP_ALERT:
		look = A_BOLD | (has_colors() ? COLOR_PAIR(ALERT_COLOR) : 0);
		break;
	}
	attrset(look);
	mvaddnstr(row, 0, line->text, COLS);
	if (line->mark_length) {
		attron(A_BOLD | A_UNDERLINE);
		mvaddnstr(row, (int)line->mark, line->text + line->mark, (int)line->mark_length);
	}
	attrset(A_NORMAL);
}

void vd_screen_draw(const struct vd_top_frame *frame, unsigned scroll, const char *keys)
{
	int rows = LINES - 1, row = 0;

	erase();
	for (unsigned i = 0; i < frame->head_count && row < rows; i++)
		draw_line(row++, &frame->lines[i]);
	for (unsigned i = frame->head_count + scroll; i < frame->count && row < rows; i++)
		draw_line(row++, &frame->lines[i]);
	attrset(A_DIM);
	mvaddnstr(LINES - 1, 0, keys, COLS - 1); /* the last cell of all would scroll */
	attrset(A_NORMAL);
	refresh();
}

int vd_screen_key(void)
{
	struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
	int key = getch();

	switch (key) {
	case ERR: /* nothing is there, unless the terminal says that something is */
		if (poll(&terminal, 1, 0) == 1 && terminal.revents & (POLLHUP | POLLERR | POLLNVAL))
			return VD_SCREEN_END;
		return VD_SCREEN_NONE;
	case KEY_UP:
		return VD_SCREEN_UP;
	case KEY_DOWN:
		return VD_SCREEN_DOWN;
	case KEY_PPAGE:
		return VD_SCREEN_PAGE_UP;
	case KEY_NPAGE:
		return VD_SCREEN_PAGE_DOWN;
	default:
		return key < 256 ? key : 0;
	}
}
