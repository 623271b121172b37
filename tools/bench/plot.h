/* SPDX-License-Identifier: MIT */
/*
 * verdict bench --report: plots as SVG inside of HTML. Colours are classes of the page, p0 to p2 for the programs, so
 * that the page has a light and a dark form.
 */
#ifndef VERDICT_TOOLS_BENCH_PLOT_H
#define VERDICT_TOOLS_BENCH_PLOT_H

#include <stdbool.h>
#include <stdio.h>

enum plot_scale {
	PLOT_LINEAR,
	PLOT_LOG,
	PLOT_PERCENTILE, /* what is drawn is -log10(1 - p): 90 %, 99 % and 99.9 % lie at 1, 2 and 3 */
};

struct plot_axis {
	const char *label; /* with the unit */
	enum plot_scale scale;
	double min, max; /* as drawn: of logarithms, the powers */
};

struct plot {
	FILE *file;
	const char *title;
	struct plot_axis x, y;
};

struct plot_point {
	double x, y;
};

/* A group of bars, one for each program. */
struct plot_bars {
	char label[24];
	struct {
		bool is_there;
		double value, low, high; /* low and high: a whisker, if they differ */
	} bars[3];
};

/* Makes the axis hold all values: call it with each, then plot_begin() rounds it to whole ticks. */
void plot_axis_add(struct plot_axis *axis, double value);

/* For one whose min and max are not set yet. */
#define PLOT_AXIS(text, kind) {.label = (text), .scale = (kind), .min = 1e300, .max = -1e300}

void plot_begin(struct plot *plot);
void plot_line(const struct plot *plot, unsigned program, const struct plot_point *points, unsigned count, bool has_marks);
void plot_end(const struct plot *plot);

/* A whole plot of bars; the y axis is made from them, and begins at 0. */
void plot_bars(FILE *file, const char *title, const char *x_label, const char *y_label, const struct plot_bars *groups,
	       unsigned count);

/* 1200 as 1.2k, 3000000 as 3M. */
void plot_number(char *text, size_t size, double value);

/* With what HTML would take for its own replaced. */
void plot_text(FILE *file, const char *text);

#endif
