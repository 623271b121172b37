/* SPDX-License-Identifier: MIT */
/*
 * verdict bench --report: one page of HTML, with nothing outside of it and no scripts. A section for each number of flows and
 * workers; in it, plots by rate and by size, and under each what it shows as a table.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "tools/bench/bench.h"
#include "tools/bench/plot.h"

#define LATENCY_PLOTS_MAX 8u /* of one section; the table has all */
#define LATENCY_STEP 0.05    /* of the axis of percentiles */

static const char STYLE[] =
	":root{--back:#fff;--text:#1a1d21;--dim:#5b6470;--grid:#e3e6ea;--p0:#1f62c9;--p1:#c2570c;--p2:#6f7883;"
	"--note:#fff6dc}\n"
	"@media(prefers-color-scheme:dark){:root{--back:#14171b;--text:#e6e9ed;--dim:#9aa4b0;--grid:#2c323a;--p0:#6ea8ff;"
	"--p1:#ff9a4d;--p2:#98a2ae;--note:#3a3114}}\n"
	"body{background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif;max-width:1200px;margin:0 auto;"
	"padding:1.5rem}\n"
	"h1,h2,h3{line-height:1.25}h2{margin-top:2.5rem;border-top:1px solid var(--grid);padding-top:1.5rem}"
	"h3{margin:0 0 .5rem}\n"
	".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr));gap:2rem}\n"
	"figure{margin:0;min-width:0}svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--dim)}\n"
	"svg .l{fill:var(--text)}svg .v{fill:var(--text)}.g{stroke:var(--grid)}.a{stroke:var(--dim);fill:none}\n"
	".w{stroke:var(--text);stroke-width:1.5}.s{fill:none;stroke-width:2.2;stroke-linejoin:round}\n"
	".s.p0{stroke:var(--p0)}.s.p1{stroke:var(--p1);stroke-dasharray:8 4}.s.p2{stroke:var(--p2);stroke-dasharray:2 4}\n"
	".f.p0{fill:var(--p0)}.f.p1{fill:var(--p1)}.f.p2{fill:var(--p2)}\n"
	".table{overflow-x:auto}\n"
	"table{border-collapse:collapse;font-size:.8rem;font-variant-numeric:tabular-nums;width:100%}\n"
	"th,td{text-align:right;padding:.2rem .4rem;border-bottom:1px solid var(--grid);white-space:nowrap}"
	"th{white-space:normal;vertical-align:bottom}th:first-child,td:first-child{text-align:left}\n"
	".legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.5rem}\n"
	".legend svg{width:2.2rem;height:.8rem}\n"
	".note{background:var(--note);padding:.6rem 1rem;border-radius:.4rem}ul.note{padding-left:2rem}\n"
	".dim{color:var(--dim)}code{font-size:.9em}\n";

static const char *const PROGRAM_TEXTS[BENCH_PROGRAM_COUNT] = {
	"verdict, with these functions",
	"yardstick: a plain loop, one packet and one verdict at a time",
	"none: no queue",
};

struct section {
	const struct bench *bench;
	const struct bench_case *cases; /* sizes, and rates of each */
	unsigned sizes, rates;
	FILE *file;
};

static const struct bench_case *case_of(const struct section *section, unsigned size, unsigned rate)
{
	return &section->cases[size * section->rates + rate];
}

static void rate_name(char *text, size_t size, uint64_t rate)
{
	if (rate)
		snprintf(text, size, "%" PRIu64 "/s", rate);
	else
		snprintf(text, size, "max");
}

static void begin_table(FILE *file, const char *const *columns)
{
	fprintf(file, "<div class=\"table\"><table><tr>");
	for (; *columns; columns++)
		fprintf(file, "<th scope=\"col\">%s</th>", *columns);
	fprintf(file, "</tr>\n");
}

static void end_table(FILE *file)
{
	fprintf(file, "</table></div></figure>\n");
}

/* The first cells of a row, which name it. */
static void begin_row(const struct section *section, const struct bench_traffic *traffic, unsigned program)
{
	char rate[32];

	rate_name(rate, sizeof rate, traffic->rate);
	fprintf(section->file, "<tr><td>%s</td><td>%u</td><td>%s</td>", bench_program_names[program], traffic->size, rate);
}

/* ---- loss against load ---- */

static void plot_loss(const struct section *section, unsigned size)
{
	struct plot plot = {
		.file = section->file,
		.title = "Loss against offered load",
		.x = PLOT_AXIS("offered, packets a second", PLOT_LINEAR),
		.y = PLOT_AXIS("lost, % of what was sent", PLOT_LINEAR),
	};
	struct plot_point points[BENCH_PROGRAM_COUNT][BENCH_VALUES_MAX];
	unsigned counts[BENCH_PROGRAM_COUNT] = {0};

	plot_axis_add(&plot.x, 0);
	plot_axis_add(&plot.y, 0);
	plot_axis_add(&plot.y, 1); /* no loss is a flat line, and not noise made large */
	for (unsigned rate = 0; rate < section->rates; rate++)
		for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++) {
			const struct bench_series *series = &case_of(section, size, rate)->series[program];
			struct bench_summary summary = bench_summarize(series);
			struct plot_point *point = &points[program][counts[program]];
			unsigned i;

			if (!series->count)
				continue;
			*point = (struct plot_point){summary.sent_rate.median, summary.loss * 100};
			plot_axis_add(&plot.x, point->x);
			plot_axis_add(&plot.y, point->y);
			/* by load, in whatever order the rates were given */
			for (i = counts[program]++; i && points[program][i - 1].x > points[program][i].x; i--) {
				struct plot_point other = points[program][i - 1];

				points[program][i - 1] = points[program][i];
				points[program][i] = other;
			}
		}
	plot_begin(&plot);
	for (unsigned program = BENCH_PROGRAM_COUNT; program-- > 0;)
		plot_line(&plot, program, points[program], counts[program], true);
	plot_end(&plot);
}

static void show_loss(const struct section *section, unsigned size)
{
	static const char *const columns[] = {"program", "bytes", "rate", "sent/s", "lost", "lost %", "by function",
					      "out of order", NULL};

	fprintf(section->file, "<figure><h3>Loss against offered load, %u bytes</h3>\n",
		case_of(section, size, 0)->traffic.size);
	plot_loss(section, size);
	begin_table(section->file, columns);
	for (unsigned rate = 0; rate < section->rates; rate++)
		for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++) {
			const struct bench_case *one = case_of(section, size, rate);
			struct bench_summary summary = bench_summarize(&one->series[program]);

			if (!one->series[program].count)
				continue;
			begin_row(section, &one->traffic, program);
			fprintf(section->file, "<td>%.0f</td><td>%" PRIu64 "</td><td>%.3f</td><td>%" PRIu64 "</td><td>%" PRIu64
				"</td></tr>\n", summary.sent_rate.median, summary.lost, summary.loss * 100,
				summary.dropped_by_verdict, summary.out_of_order);
		}
	end_table(section->file);
}

/* ---- latency ---- */

/* As far to the right as there are packets to tell: the worst of n is the percentile 1 - 1/n. */
static void plot_latency(const struct section *section, const struct bench_case *one)
{
	struct plot plot = {
		.file = section->file,
		.title = "Latency by percentile",
		.x = PLOT_AXIS("percentile of packets", PLOT_PERCENTILE),
		.y = PLOT_AXIS("latency, µs", PLOT_LOG),
	};
	static struct plot_point points[BENCH_PROGRAM_COUNT][256];
	unsigned counts[BENCH_PROGRAM_COUNT] = {0};

	for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++) {
		const struct histogram *latency = one->series[program].latency;
		double end = latency && latency->count ? fmin(log10((double)latency->count), 6) : -1;

		for (double nines = 0; nines <= end + 1e-9 && counts[program] < 256; nines += LATENCY_STEP) {
			double part = 1 - pow(10, -nines);
			double value = (double)histogram_quantile(latency, (unsigned)(part * 1e6 + 0.5)) / 1e3;

			points[program][counts[program]++] = (struct plot_point){nines, value};
			plot_axis_add(&plot.x, nines);
			plot_axis_add(&plot.y, value);
		}
	}
	plot_begin(&plot);
	for (unsigned program = BENCH_PROGRAM_COUNT; program-- > 0;)
		plot_line(&plot, program, points[program], counts[program], false);
	plot_end(&plot);
}

static void show_latency(const struct section *section, const struct bench_case *one, bool has_plot)
{
	static const char *const columns[] = {"program", "bytes", "rate", "p50 µs", "p90 µs", "p99 µs",
					      "p99.9 µs", "max µs", NULL};
	static const unsigned quantiles[] = {500000, 900000, 990000, 999000, 1000000};
	char rate[32];

	rate_name(rate, sizeof rate, one->traffic.rate);
	fprintf(section->file, "<figure><h3>Latency, %u bytes, %s</h3>\n", one->traffic.size, rate);
	if (has_plot)
		plot_latency(section, one);
	begin_table(section->file, columns);
	for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++) {
		const struct histogram *latency = one->series[program].latency;

		if (!one->series[program].count)
			continue;
		begin_row(section, &one->traffic, program);
		for (unsigned i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
			if (latency->count)
				fprintf(section->file, "<td>%.1f</td>",
					(double)histogram_quantile(latency, quantiles[i]) / 1e3);
			else
				fprintf(section->file, "<td>-</td>");
		fprintf(section->file, "</tr>\n");
	}
	end_table(section->file);
}

/* ---- by size, at one rate ---- */

static void fill_bars(const struct section *section, unsigned rate, bool is_cpu, struct plot_bars *groups)
{
	for (unsigned size = 0; size < section->sizes; size++) {
		const struct bench_case *one = case_of(section, size, rate);

		groups[size] = (struct plot_bars){0};
		snprintf(groups[size].label, sizeof groups[size].label, "%u", one->traffic.size);
		for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++) {
			struct bench_summary summary = bench_summarize(&one->series[program]);

			groups[size].bars[program].is_there = one->series[program].count && !(is_cpu && program == BENCH_NONE);
			groups[size].bars[program].value = is_cpu ? summary.program.user + summary.program.system
								  : summary.rate.median;
			if (!is_cpu) {
				groups[size].bars[program].low = summary.rate.min;
				groups[size].bars[program].high = summary.rate.max;
			}
		}
	}
}

static void show_rate(const struct section *section, unsigned rate)
{
	static const char *const columns[] = {"program", "bytes", "rate", "delivered/s", "slowest round", "fastest",
					      "verdict/yardstick", NULL};
	struct plot_bars groups[BENCH_VALUES_MAX];
	struct bench_spread ratio;
	char name[32];

	rate_name(name, sizeof name, case_of(section, 0, rate)->traffic.rate);
	fprintf(section->file, "<figure><h3>Packets a second by size, rate %s</h3>\n", name);
	fill_bars(section, rate, false, groups);
	plot_bars(section->file, "Packets a second by size", "bytes of a packet", "delivered, packets a second", groups,
		  section->sizes);
	begin_table(section->file, columns);
	for (unsigned size = 0; size < section->sizes; size++)
		for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++) {
			const struct bench_case *one = case_of(section, size, rate);
			struct bench_summary summary = bench_summarize(&one->series[program]);

			if (!one->series[program].count)
				continue;
			begin_row(section, &one->traffic, program);
			fprintf(section->file, "<td>%.0f</td><td>%.0f</td><td>%.0f</td>", summary.rate.median, summary.rate.min,
				summary.rate.max);
			if (program == BENCH_VERDICT && bench_ratio(one, &ratio))
				fprintf(section->file, "<td>%.2f (%.2f to %.2f)</td></tr>\n", ratio.median, ratio.min,
					ratio.max);
			else
				fprintf(section->file, "<td></td></tr>\n");
		}
	end_table(section->file);
}

static void show_cpu(const struct section *section, unsigned rate)
{
	static const char *const columns[] = {"program", "bytes", "rate", "own code µs", "kernel µs", "together µs",
					      "sender µs", "receiver µs", NULL};
	struct plot_bars groups[BENCH_VALUES_MAX];
	char name[32];

	rate_name(name, sizeof name, case_of(section, 0, rate)->traffic.rate);
	fprintf(section->file, "<figure><h3>CPU time of a packet, rate %s</h3>\n", name);
	fill_bars(section, rate, true, groups);
	plot_bars(section->file, "CPU time of a packet by size", "bytes of a packet",
		  "CPU of who decides, µs a packet", groups, section->sizes);
	begin_table(section->file, columns);
	for (unsigned size = 0; size < section->sizes; size++)
		for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++) {
			const struct bench_case *one = case_of(section, size, rate);
			struct bench_summary summary = bench_summarize(&one->series[program]);

			if (!one->series[program].count)
				continue;
			begin_row(section, &one->traffic, program);
			if (program == BENCH_NONE)
				fprintf(section->file, "<td>-</td><td>-</td><td>-</td>");
			else
				fprintf(section->file, "<td>%.3f</td><td>%.3f</td><td>%.3f</td>", summary.program.user,
					summary.program.system, summary.program.user + summary.program.system);
			fprintf(section->file, "<td>%.3f</td><td>%.3f</td></tr>\n", summary.sender.user + summary.sender.system,
				summary.receiver.user + summary.receiver.system);
		}
	end_table(section->file);
}

static bool is_measured(const struct section *section)
{
	for (unsigned i = 0; i < section->sizes * section->rates; i++)
		if (section->cases[i].series[BENCH_VERDICT].count)
			return true;
	return false;
}

/* The rate that says most of what is possible: max, or else the highest. */
static unsigned highest_rate(const struct section *section)
{
	unsigned highest = 0;

	for (unsigned rate = 0; rate < section->rates; rate++) {
		uint64_t value = section->cases[rate].traffic.rate, best = section->cases[highest].traffic.rate;

		if (best && (!value || value > best))
			highest = rate;
	}
	return highest;
}

static void show_section(const struct section *section)
{
	const struct bench_traffic *traffic = &section->cases[0].traffic;
	unsigned rate = highest_rate(section), plots = 0;
	FILE *file = section->file;

	if (!is_measured(section))
		return;
	fprintf(file, "<h2>%u flow%s, ", traffic->flows, traffic->flows == 1 ? "" : "s");
	if (traffic->workers)
		fprintf(file, "%u worker%s</h2>\n", traffic->workers, traffic->workers == 1 ? "" : "s");
	else
		fprintf(file, "a worker for each CPU</h2>\n");
	fprintf(file, "<div class=\"grid\">\n");
	show_rate(section, rate);
	show_cpu(section, rate);
	for (unsigned size = 0; size < section->sizes; size++)
		if (case_of(section, size, 0)->series[BENCH_VERDICT].count)
			show_loss(section, size);
	for (unsigned i = 0; i < section->sizes * section->rates; i++)
		if (section->cases[i].series[BENCH_VERDICT].count)
			show_latency(section, &section->cases[i], plots++ < LATENCY_PLOTS_MAX);
	fprintf(file, "</div>\n");
}

/* ---- the highest rate without loss ---- */

static void show_found(const struct bench *bench, unsigned first, unsigned count, FILE *file)
{
	static const char *const columns[] = {"bytes", "verdict, packets/s", "yardstick, packets/s", NULL};
	struct plot_bars groups[BENCH_VALUES_MAX] = {0};
	const struct bench_traffic *traffic = &bench->found[first].traffic;

	if (!bench->found[first].maxima[BENCH_VERDICT].is_known)
		return;
	for (unsigned i = 0; i < count; i++) {
		snprintf(groups[i].label, sizeof groups[i].label, "%u", bench->found[first + i].traffic.size);
		for (unsigned program = 0; program < BENCH_NONE; program++) {
			groups[i].bars[program].is_there = bench->found[first + i].maxima[program].is_known;
			groups[i].bars[program].value = (double)bench->found[first + i].maxima[program].rate;
		}
	}
	fprintf(file, "<figure><h3>Highest rate without loss, %u flows", traffic->flows);
	if (traffic->workers)
		fprintf(file, ", %u workers", traffic->workers);
	fprintf(file, "</h3>\n");
	plot_bars(file, "Highest rate without loss", "bytes of a packet", "packets a second", groups, count);
	begin_table(file, columns);
	for (unsigned i = 0; i < count; i++) {
		fprintf(file, "<tr><td>%s</td>", groups[i].label);
		for (unsigned program = 0; program < BENCH_NONE; program++) {
			const struct bench_max *max = &bench->found[first + i].maxima[program];

			if (max->is_known && !max->rate)
				fprintf(file, "<td>none of those tried</td>");
			else if (max->is_known)
				fprintf(file, "<td>%" PRIu64 "%s</td>", max->rate, max->is_of_sender ? " or more" : "");
			else
				fprintf(file, "<td>-</td>");
		}
		fprintf(file, "</tr>\n");
	}
	end_table(file);
}

/* ---- the page ---- */

static void show_head(const struct bench *bench, FILE *file)
{
	const struct bench_machine *machine = &bench->machine;
	time_t now = time(NULL);
	char date[32] = "", text[512];
	const char *warning;
	bool has_note = false;
	struct tm parts;

	if (gmtime_r(&now, &parts))
		strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &parts);
	fprintf(file, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n<title>verdict bench</title>\n"
		"<style>\n%s</style></head><body>\n"
		"<h1>verdict bench</h1>\n<p>%s", STYLE, vd_version());
	if (machine->commit[0])
		fprintf(file, " (<code>%s</code>)", machine->commit);
	fprintf(file, " on ");
	plot_text(file, machine->cpu);
	fprintf(file, ", %u CPU%s, ", machine->cpus, machine->cpus == 1 ? "" : "s");
	plot_text(file, machine->kernel);
	fprintf(file, "%s", machine->flags[0] ? ", built with <code>" : "");
	plot_text(file, machine->flags);
	fprintf(file, "%s. %s. Each measurement took %g s; %u round%s, the programs in turn.</p>\n<p>Functions: ",
		machine->flags[0] ? "</code>" : "", date,
		(double)bench->settings.duration_ns / BENCH_SECOND_NS, bench->settings.rounds,
		bench->settings.rounds == 1 ? "" : "s");
	for (unsigned i = 0; i < bench->settings.function_count; i++) {
		fprintf(file, "%s<code>", i ? ", " : "");
		plot_text(file, bench->settings.functions[i]);
		fprintf(file, "</code>");
	}
	fprintf(file, "%s</p>\n<ul class=\"legend\">", bench->settings.function_count ? "" : "none, all is accepted");
	for (unsigned program = 0; program < BENCH_PROGRAM_COUNT; program++)
		if (bench->settings.has_program[program])
			fprintf(file, "<li><svg viewBox=\"0 0 44 16\" aria-hidden=\"true\">"
				"<path class=\"s p%u\" d=\"M0 8H44\"/></svg> %s</li>", program, PROGRAM_TEXTS[program]);
	fprintf(file, "</ul>\n");
	if (bench->interrupted)
		fprintf(file, "<p class=\"note\">It was interrupted: what was measured until then is shown.</p>\n");
	for (unsigned i = 0; (warning = bench_warning(bench, i, text, sizeof text)); i++) {
		fprintf(file, "%s<li>", i ? "" : "<ul class=\"note\">\n");
		plot_text(file, warning);
		fprintf(file, "</li>\n");
		has_note = true;
	}
	if (has_note)
		fprintf(file, "</ul>\n");
}

static void show_foot(FILE *file)
{
	fprintf(file, "<h2>How to read it</h2>\n<ul class=\"dim\">"
		"<li>Packets are sent on a schedule. Latency is from the time at which a packet was due to its arrival in "
		"another process: waiting of a sender that is late counts.</li>"
		"<li>Offered more than it can do, a program has a full queue: latency is then the length of the queue, and "
		"not the time of its work.</li>"
		"<li>The whiskers are the slowest and the fastest round. The kernel's work on an accepted packet, up to its "
		"arrival, happens in the system call of who accepts it, and counts as the CPU time of that process.</li>"
		"<li>Sender, receiver and program share the machine.</li></ul>\n</body></html>\n");
}

void bench_report(const struct bench *bench, FILE *file)
{
	unsigned sizes = bench->settings.sizes.count, rates = bench->settings.rates.count;

	show_head(bench, file);
	if (bench->found_count && bench->found[0].maxima[BENCH_VERDICT].is_known) {
		fprintf(file, "<h2>Without loss</h2>\n<div class=\"grid\">\n");
		for (unsigned i = 0; i < bench->found_count; i += sizes)
			show_found(bench, i, sizes, file);
		fprintf(file, "</div>\n");
	}
	for (unsigned i = 0; i < bench->case_count; i += sizes * rates) {
		const struct section section = {
			.bench = bench, .cases = &bench->cases[i], .sizes = sizes, .rates = rates, .file = file,
		};

		show_section(&section);
	}
	if (!bench->case_count || !bench->cases[0].series[BENCH_VERDICT].count)
		fprintf(file, "<p>Nothing was measured.</p>\n");
	show_foot(file);
}
