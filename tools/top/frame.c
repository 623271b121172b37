/* SPDX-License-Identifier: MIT */
#include "tools/top/frame.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/config/origin.h"

/* ---- lines ---- */

static struct vd_top_line *begin_line(struct vd_top_frame *frame, enum vd_top_style style)
{
	struct vd_top_line *line;

	if (frame->count == VD_TOP_LINES_MAX) {
		frame->dropped++;
		frame->count--;
	}
	line = &frame->lines[frame->count++];
	*line->text = '\0';
	line->style = style;
	line->mark = line->mark_length = 0;
	return line;
}

static void append(struct vd_top_line *line, unsigned width, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(struct vd_top_line *line, unsigned width, const char *format, ...)
{
	size_t used = strlen(line->text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line->text + used, width + 1 - used, format, arguments);
	va_end(arguments);
}

/* ---- queues: a table of columns; those behind the first ones are there if the screen is wide enough ---- */

enum unit {
	COUNT, /* of this moment */
	RATE,
};

struct column {
	const char *title;
	unsigned width;
	enum unit unit;
	uint64_t (*of)(const struct vd_top_queue *queue);
};

#define FUNCTION(name, expression) static uint64_t name(const struct vd_top_queue *queue) { return expression; }
FUNCTION(of_queue, queue->now.queue)
FUNCTION(of_waiting, queue->now.waiting)
FUNCTION(of_flight, queue->now.in_flight)
FUNCTION(of_in, queue->step.received)
FUNCTION(of_accept, queue->step.verdicts[VD_ACCEPT])
FUNCTION(of_drop, queue->step.verdicts[VD_DROP])
FUNCTION(of_reject, queue->step.verdicts[VD_REJECT])
FUNCTION(of_other, vd_top_other(queue->step.verdicts))
FUNCTION(of_fault, queue->step.faults)
FUNCTION(of_queue_full, queue->step.queue_dropped)
FUNCTION(of_buffer_full, queue->step.socket_dropped)
FUNCTION(of_flushed, queue->step.flushed)
FUNCTION(of_refused, queue->step.refused)
FUNCTION(of_bits, queue->step.bytes * 8)
FUNCTION(of_default, queue->step.by_default)
FUNCTION(of_edits, queue->step.edits_refused)
FUNCTION(of_repeat, queue->step.verdicts[VD_REPEAT])
FUNCTION(of_requeue, queue->step.verdicts[VD_QUEUE])
FUNCTION(of_stop, queue->step.verdicts[VD_STOP])
FUNCTION(of_held, queue->now.held)
#undef FUNCTION

static const struct column COLUMNS[] = {
	{"QUEUE", 5, COUNT, of_queue},	    {"WAIT", 6, COUNT, of_waiting},	{"FLIGHT", 7, COUNT, of_flight},
	{"IN/s", 6, RATE, of_in},	    {"ACCEPT", 7, RATE, of_accept},	{"DROP", 6, RATE, of_drop},
	{"REJECT", 7, RATE, of_reject},	    {"OTHER", 6, RATE, of_other},	{"FAULT", 6, RATE, of_fault},
	{"QFULL", 6, RATE, of_queue_full},  {"BFULL", 6, RATE, of_buffer_full}, {"FLUSH", 6, RATE, of_flushed},
	{"REFUS", 6, RATE, of_refused},	    {"DEFAULT", 8, RATE, of_default},	{"UNEDIT", 7, RATE, of_edits},
	{"REPEAT", 7, RATE, of_repeat},	    {"REQUEUE", 8, RATE, of_requeue},	{"STOP", 6, RATE, of_stop},
	{"bit/s", 7, RATE, of_bits},	    {"HELD", 7, COUNT, of_held},
};
#define COLUMN_COUNT (sizeof COLUMNS / sizeof *COLUMNS)

unsigned vd_top_columns(unsigned width)
{
	unsigned count = 0, used = 0;

	while (count < COLUMN_COUNT && used + COLUMNS[count].width <= width)
		used += COLUMNS[count++].width;
	return count ? count : 1;
}

const char *vd_top_column_title(unsigned column)
{
	return COLUMNS[column < COLUMN_COUNT ? column : 0].title;
}

struct order {
	const struct column *column;
	bool is_reversed;
};

/* The queue's own number goes up, all else begins with the most; the same go by number. */
static int compare(const void *a, const void *b, void *argument)
{
	const struct vd_top_queue *left = *(const struct vd_top_queue *const *)a, *right = *(const struct vd_top_queue *const *)b;
	const struct order *order = argument;
	uint64_t x = order->column->of(left), y = order->column->of(right);
	int result = x == y ? 0 : (x < y) == (order->column->of == of_queue) ? -1 : 1;

	if (order->is_reversed)
		result = -result;
	return result ? result : left->now.queue < right->now.queue ? -1 : 1;
}

static void put_queue(struct vd_top_frame *frame, const struct vd_top_view *view, const struct vd_top_model *model,
		      const struct vd_top_queue *queue, const char *name)
{
	struct vd_top_line *line = begin_line(frame, vd_top_lost(&queue->step) ? VD_TOP_ALERT : name ? VD_TOP_STRONG : VD_TOP_PLAIN);
	unsigned columns = vd_top_columns(view->width);
	char text[16];

	for (unsigned i = 0; i < columns; i++) {
		const struct column *column = &COLUMNS[i];
		uint64_t value = column->of(queue);

		if (!i) /* a number of its own, or a word */
			append(line, view->width, "%*.*s", (int)column->width, (int)column->width,
			       name ? name : (snprintf(text, sizeof text, "%" PRIu64, value), text));
		else
			append(line, view->width, "%*s", (int)column->width,
			       vd_stats_brief(text, column->unit == RATE ? vd_top_rate(model, value) : (double)value));
	}
}

static void put_queues(struct vd_top_frame *frame, const struct vd_top_view *view, const struct vd_top_model *model)
{
	const struct vd_top_queue *sorted[VD_ENGINE_QUEUES_MAX];
	struct order order = {&COLUMNS[view->sort < vd_top_columns(view->width) ? view->sort : 0], view->is_reversed};
	struct vd_top_line *title = begin_line(frame, VD_TOP_TITLE);

	for (unsigned i = 0; i < vd_top_columns(view->width); i++) {
		if (&COLUMNS[i] == order.column) {
			title->mark_length = (unsigned)strlen(COLUMNS[i].title);
			title->mark = (unsigned)strlen(title->text) + COLUMNS[i].width - title->mark_length;
		}
		append(title, view->width, "%*s", (int)COLUMNS[i].width, COLUMNS[i].title);
	}
	frame->head_count = frame->count;
	for (unsigned i = 0; i < model->queue_count; i++)
		sorted[i] = &model->queues[i];
	qsort_r(sorted, model->queue_count, sizeof *sorted, compare, &order);
	for (unsigned i = 0; i < model->queue_count; i++)
		put_queue(frame, view, model, sorted[i], NULL);
	if (model->queue_count != 1)
		put_queue(frame, view, model, &model->all, "all");
}

/* ---- functions, and what they count ---- */

static void put_function(struct vd_top_frame *frame, const struct vd_top_view *view, const struct vd_top_model *model,
			 const struct vd_top_function *function)
{
	const struct vd_function_stats *step = &function->step;
	const uint64_t rates[] = {step->packets, step->verdicts[VD_NEXT], step->verdicts[VD_ACCEPT], step->verdicts[VD_DROP],
				  step->verdicts[VD_REJECT], vd_top_other(step->verdicts), step->faults};
	struct vd_top_line *line = begin_line(frame, step->faults ? VD_TOP_ALERT : VD_TOP_PLAIN);
	char text[16], shown[VD_SHOWN_SIZE];

	append(line, view->width, "%-23.23s", vd_show_text(step->name, shown));
	for (unsigned i = 0; i < sizeof rates / sizeof *rates; i++)
		append(line, view->width, "%8s", vd_stats_brief(text, vd_top_rate(model, rates[i])));
	if (function->since.crashes || function->since.hangs) {
		line = begin_line(frame, step->crashes || step->hangs ? VD_TOP_ALERT : VD_TOP_PLAIN);
		append(line, view->width, "  crashes and hangs    %8s  in all %" PRIu64 " and %" PRIu64,
		       vd_stats_brief(text, vd_top_rate(model, step->crashes + step->hangs)), function->since.crashes, function->since.hangs);
	}
	for (unsigned i = 0; i < step->counter_count; i++) {
		line = begin_line(frame, VD_TOP_PLAIN);
		append(line, view->width, "  %-21.21s%8s  in all %" PRIu64, vd_show_text(step->counter_names[i], shown),
		       vd_stats_brief(text, vd_top_rate(model, step->counters[i])), function->since.counters[i]);
	}
}

static void put_functions(struct vd_top_frame *frame, const struct vd_top_view *view, const struct vd_top_model *model)
{
	if (!model->function_count)
		return;
	begin_line(frame, VD_TOP_PLAIN);
	append(begin_line(frame, VD_TOP_TITLE), view->width, "%-23s%8s%8s%8s%8s%8s%8s%8s", "FUNCTION", "PACKET/s", "NEXT", "ACCEPT", "DROP",
	       "REJECT", "OTHER", "FAULT");
	for (unsigned i = 0; i < model->function_count; i++)
		put_function(frame, view, model, &model->functions[i]);
}

/* ---- the head ---- */

static void put_head(struct vd_top_frame *frame, const struct vd_top_view *view, const struct vd_top_about *about,
		     const struct vd_top_model *model)
{
	const struct vd_queue_stats *since = &model->since;
	char uptime[48], rate[16], bits[16], lost[16], waiting[16], flight[16], shown[VD_SHOWN_SIZE];
	struct vd_top_line *line = begin_line(frame, VD_TOP_STRONG);

	append(line, view->width, "%s, pid %lld, %s, every %g s%s%s", vd_show_text(about->version, shown), about->pid,
	       vd_stats_uptime(uptime, about->uptime), view->interval_ms / 1e3, view->is_paused ? ", paused" : "",
	       about->config ? ", " : "");
	if (about->config)
		append(line, view->width, "%s", vd_show_text(about->config, shown));
	line = begin_line(frame, VD_TOP_PLAIN);
	append(line, view->width, "%s packets/s  %s bit/s  waiting %s  in flight %s  lost %s/s",
	       vd_stats_brief(rate, vd_top_rate(model, model->all.step.received)),
	       vd_stats_brief(bits, vd_top_rate(model, model->all.step.bytes * 8)), vd_stats_brief(waiting, model->all.now.waiting),
	       vd_stats_brief(flight, model->all.now.in_flight),
	       vd_stats_brief(lost, vd_top_rate(model, vd_top_lost(&model->all.step))));
	if (view->is_zeroed)
		append(begin_line(frame, VD_TOP_STRONG), view->width, "in %.1f s, since z was pressed:", model->since_seconds);
	else
		append(begin_line(frame, VD_TOP_PLAIN), view->width, "since the start:");
	append(begin_line(frame, VD_TOP_PLAIN), view->width,
	       "  received %" PRIu64 "  accepted %" PRIu64 "  dropped %" PRIu64 "  rejected %" PRIu64 "  other %" PRIu64, since->received,
	       since->verdicts[VD_ACCEPT], since->verdicts[VD_DROP], since->verdicts[VD_REJECT], vd_top_other(since->verdicts));
	append(begin_line(frame, VD_TOP_PLAIN), view->width,
	       "  by default %" PRIu64 "  faults %" PRIu64 "  edits refused %" PRIu64 "  malformed %" PRIu64 "  answered %" PRIu64,
	       since->by_default, since->faults, since->edits_refused, since->malformed, since->answered);
	append(begin_line(frame, vd_top_lost(since) ? VD_TOP_ALERT : VD_TOP_PLAIN), view->width,
	       "  lost: queue full %" PRIu64 "  buffer full %" PRIu64 "  flushed %" PRIu64 "  refused %" PRIu64, since->queue_dropped,
	       since->socket_dropped, since->flushed, since->refused);
	append(begin_line(frame, view->message ? VD_TOP_ALERT : VD_TOP_PLAIN), view->width, "%s", view->message ? view->message : "");
}

void vd_top_frame_make(struct vd_top_frame *frame, const struct vd_top_view *view, const struct vd_top_about *about,
		       const struct vd_top_model *model)
{
	frame->count = frame->dropped = 0;
	put_head(frame, view, about, model);
	put_queues(frame, view, model);
	put_functions(frame, view, model);
}

void vd_top_frame_help(struct vd_top_frame *frame)
{
	static const char *const LINES[] = {
		"Keys",
		"",
		"  q              leave",
		"  s              sort the queues by the next column; r: the other way round",
		"  z              count the totals from now on",
		"  p, space       stop and go",
		"  +, -           longer and shorter between two looks",
		"  up, down, page up, page down",
		"                 what does not fit on the screen",
		"  h              this, and back",
		"",
		"Columns: WAIT packets without a verdict in the kernel, FLIGHT of them: read.",
		"All others are a second: IN/s read; ACCEPT, DROP, REJECT, OTHER (repeat, queue,",
		"stop) verdicts; FAULT of them: of a function that failed; and lost packets:",
		"QFULL the queue was full, BFULL the receive buffer was, FLUSH the kernel had",
		"emptied the queue, REFUS it refused the verdict. A wider screen shows more:",
		"verdict-top(1).",
	};

	frame->count = frame->head_count = frame->dropped = 0;
	for (unsigned i = 0; i < sizeof LINES / sizeof *LINES; i++)
		append(begin_line(frame, i ? VD_TOP_PLAIN : VD_TOP_STRONG), VD_TOP_WIDTH_MAX, "%s", LINES[i]);
}
