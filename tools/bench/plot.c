/* SPDX-License-Identifier: MIT */
#include "tools/bench/plot.h"

#include <math.h>

#define WIDTH 560.0
#define HEIGHT 300.0
#define LEFT 64.0
#define RIGHT 42.0 /* half of the longest label stands out */
#define TOP 14.0
#define BOTTOM 48.0
#define TICKS 5.0
#define GROUPS_MAX 16u
#define LABEL_WIDTH 36.0 /* less room than this for a group: every second one has its label */

void plot_number(char *text, size_t size, double value)
{
	static const struct {
		double unit;
		const char *suffix;
	} units[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}};

	for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
		if (fabs(value) >= units[i].unit * 0.9999) {
			snprintf(text, size, "%.3g%s", value / units[i].unit, units[i].suffix);
			return;
		}
	snprintf(text, size, "%.3g", value);
}

void plot_text(FILE *file, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<': fputs("&lt;", file); break;
		case '>': fputs("&gt;", file); break;
		case '&': fputs("&amp;", file); break;
		case '"': fputs("&quot;", file); break;
		default: fputc(*text, file);
		}
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that there are about TICKS of it. */
static double step_of(double range)
{
	double power = pow(10, floor(log10(range / TICKS))), rest = range / TICKS / power;

	return power * (rest < 1.5 ? 1 : rest < 3.5 ? 2 : rest < 7.5 ? 5 : 10);
}

void plot_axis_add(struct plot_axis *axis, double value)
{
	if (axis->scale == PLOT_LOG) {
		if (value <= 0)
			return;
		value = log10(value);
	}
	axis->min = fmin(axis->min, value);
	axis->max = fmax(axis->max, value);
}

/* To whole ticks; an axis without a width gets one. */
static void round_axis(struct plot_axis *axis)
{
	double step;

	if (axis->min > axis->max)
		axis->min = axis->max = 0;
	if (axis->scale == PLOT_LINEAR) {
		if (axis->max - axis->min < 1e-9)
			axis->max = axis->min + (axis->min > 0 ? axis->min : 1);
		step = step_of(axis->max - axis->min);
		axis->min = floor(axis->min / step + 1e-9) * step;
		axis->max = ceil(axis->max / step - 1e-9) * step;
	} else if (axis->scale == PLOT_LOG) {
		axis->min = floor(axis->min + 1e-9);
		axis->max = fmax(ceil(axis->max - 1e-9), axis->min + 1);
	} else {
		axis->min = 0;
		axis->max = fmax(ceil(axis->max - 1e-9), 1);
	}
}

static double place_x(const struct plot *plot, double value)
{
	if (plot->x.scale == PLOT_LOG)
		value = log10(value);
	return LEFT + (value - plot->x.min) / (plot->x.max - plot->x.min) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct plot *plot, double value)
{
	if (plot->y.scale == PLOT_LOG)
		value = value > 0 ? log10(value) : plot->y.min;
	return HEIGHT - BOTTOM - (value - plot->y.min) / (plot->y.max - plot->y.min) * (HEIGHT - TOP - BOTTOM);
}

static void tick(const struct plot *plot, bool is_x, double value, const char *text)
{
	if (is_x) {
		double x = place_x(plot, value);

		fprintf(plot->file, "<path class=\"g\" d=\"M%.1f %.1fV%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
			x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 17, text);
	} else {
		double y = place_y(plot, value);

		fprintf(plot->file, "<path class=\"g\" d=\"M%.1f %.1fH%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, text);
	}
}

/* Powers of ten, with 2 and 5 times them between where there is room. */
static void log_ticks(const struct plot *plot, const struct plot_axis *axis, bool is_x)
{
	char text[32];

	for (double power = axis->min; power < axis->max + 0.5; power++)
		for (unsigned i = 0; i < 3; i++) {
			double value = pow(10, power) * (i ? i == 1 ? 2 : 5 : 1);

			if (log10(value) > axis->max + 1e-9 || (i && axis->max - axis->min > 2.5))
				continue;
			plot_number(text, sizeof text, value);
			tick(plot, is_x, value, text);
		}
}

static void axis_ticks(const struct plot *plot, const struct plot_axis *axis, bool is_x)
{
	char text[32];

	if (axis->scale == PLOT_LOG) {
		log_ticks(plot, axis, is_x);
	} else if (axis->scale == PLOT_PERCENTILE) {
		if (axis->max < 3.5) /* they would touch */
			tick(plot, is_x, 0, "0 %");
		tick(plot, is_x, log10(2), "50 %");
		for (int nines = 1; nines <= (int)axis->max; nines++) {
			snprintf(text, sizeof text, "%.*f %%", nines > 2 ? nines - 2 : 0, 100 - pow(10, 2 - nines));
			tick(plot, is_x, nines, text);
		}
	} else {
		double step = step_of(axis->max - axis->min);

		for (double value = axis->min; value < axis->max + step / 2; value += step) {
			plot_number(text, sizeof text, fabs(value) < step / 1e6 ? 0 : value);
			tick(plot, is_x, value, text);
		}
	}
}

/* ---- what is drawn ---- */

static void begin_svg(const struct plot *plot)
{
	FILE *file = plot->file;

	fprintf(file, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
	plot_text(file, plot->title);
	fprintf(file, "\">\n");
	fprintf(file, "<text class=\"l\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, plot->x.label);
	fprintf(file, "<text class=\"l\" transform=\"translate(14 %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
		(TOP + HEIGHT - BOTTOM) / 2, plot->y.label);
}

void plot_begin(struct plot *plot)
{
	round_axis(&plot->x);
	round_axis(&plot->y);
	begin_svg(plot);
	axis_ticks(plot, &plot->x, true);
	axis_ticks(plot, &plot->y, false);
}

void plot_line(const struct plot *plot, unsigned program, const struct plot_point *points, unsigned count, bool has_marks)
{
	if (count > 1) {
		fprintf(plot->file, "<polyline class=\"s p%u\" points=\"", program);
		for (unsigned i = 0; i < count; i++)
			fprintf(plot->file, "%.1f,%.1f ", place_x(plot, points[i].x), place_y(plot, points[i].y));
		fprintf(plot->file, "\"/>\n");
	}
	for (unsigned i = 0; i < count && (has_marks || count == 1); i++)
		fprintf(plot->file, "<circle class=\"f p%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\">"
			"<title>%.6g, %.6g</title></circle>\n", program, place_x(plot, points[i].x),
			place_y(plot, points[i].y), points[i].x, points[i].y);
}

void plot_end(const struct plot *plot)
{
	fprintf(plot->file, "<path class=\"a\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n</svg>\n", LEFT, TOP, HEIGHT - BOTTOM,
		WIDTH - RIGHT);
}

static void draw_bar(const struct plot *plot, unsigned program, double x, double width, double value, double low, double high)
{
	double top = place_y(plot, value), middle = x + width / 2;
	char text[32];

	plot_number(text, sizeof text, value);
	fprintf(plot->file, "<rect class=\"f p%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", program,
		x, top, width, HEIGHT - BOTTOM - top);
	if (high > low) {
		fprintf(plot->file, "<path class=\"w\" d=\"M%.1f %.1fV%.1f\"/>\n", middle, place_y(plot, low),
			place_y(plot, high));
		top = fmin(top, place_y(plot, high));
	}
	if (width >= 24)
		fprintf(plot->file, "<text class=\"v\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", middle,
			top - 4, text);
}

void plot_bars(FILE *file, const char *title, const char *x_label, const char *y_label, const struct plot_bars *groups,
	       unsigned count)
{
	struct plot plot = {
		.file = file,
		.title = title,
		.x = PLOT_AXIS(x_label, PLOT_LINEAR),
		.y = PLOT_AXIS(y_label, PLOT_LINEAR),
	};
	unsigned there[GROUPS_MAX] = {0};
	double room, width;

	if (count > GROUPS_MAX)
		count = GROUPS_MAX;
	plot_axis_add(&plot.y, 0);
	for (unsigned i = 0; i < count; i++)
		for (unsigned program = 0; program < 3; program++)
			if (groups[i].bars[program].is_there) {
				/* with room for the number above it */
				plot_axis_add(&plot.y, fmax(groups[i].bars[program].value, groups[i].bars[program].high) *
							       1.06);
				there[i]++;
			}
	round_axis(&plot.y);
	begin_svg(&plot);
	axis_ticks(&plot, &plot.y, false);
	room = (WIDTH - LEFT - RIGHT) / (count ? count : 1);
	for (unsigned i = 0; i < count; i++) {
		double x = LEFT + room * (i + 0.5);

		/* a single group need not fill the plot */
		width = fmin(room * 0.8 / (there[i] ? there[i] : 1), 56);
		if (room >= LABEL_WIDTH || i % 2 == 0) {
			fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", x, HEIGHT - BOTTOM + 17);
			plot_text(file, groups[i].label);
			fprintf(file, "</text>\n");
		}
		x -= width * there[i] / 2;
		for (unsigned program = 0; program < 3; program++)
			if (groups[i].bars[program].is_there) {
				draw_bar(&plot, program, x + 1, width - 2, groups[i].bars[program].value,
					 groups[i].bars[program].low, groups[i].bars[program].high);
				x += width;
			}
	}
	plot_end(&plot);
}
