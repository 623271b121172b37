/* SPDX-License-Identifier: MIT */
/* A model as lines of text, which a terminal shows (screen.h) and --batch prints. Pure, too. */
#ifndef VERDICT_TOOLS_TOP_FRAME_H
#define VERDICT_TOOLS_TOP_FRAME_H

#include "tools/top/model.h"

#define VD_TOP_WIDTH_MAX 200
#define VD_TOP_WIDTH_DEFAULT 80
#define VD_TOP_LINES_MAX (16 + VD_ENGINE_QUEUES_MAX + VD_ENGINE_FUNCTIONS_MAX * (1 + VD_ENGINE_COUNTERS_MAX))

enum vd_top_style {
	VD_TOP_PLAIN,
	VD_TOP_STRONG,
	VD_TOP_TITLE, /* of a table */
	VD_TOP_ALERT, /* something was lost, or the daemon is not there */
};

struct vd_top_line {
	char text[VD_TOP_WIDTH_MAX + 1];
	enum vd_top_style style;
	unsigned mark, mark_length; /* the column that is sorted by */
};

struct vd_top_frame {
	unsigned count;
	unsigned head_count; /* of them: lines that do not scroll */
	unsigned dropped;    /* lines for which there was no room */
	struct vd_top_line lines[VD_TOP_LINES_MAX];
};

/* Who is looked at, as the daemon says it. */
struct vd_top_about {
	const char *version;
	const char *config; /* NULL: none */
	long long pid;
	double uptime;
};

/* How somebody wants to see it. */
struct vd_top_view {
	unsigned width;	 /* columns, up to VD_TOP_WIDTH_MAX */
	unsigned sort;	 /* by this column */
	bool is_reversed;
	bool is_zeroed;	 /* the baseline is not the start */
	bool is_paused;
	unsigned interval_ms;
	const char *message; /* a line that should be seen first; NULL: none */
};

void vd_top_frame_make(struct vd_top_frame *frame, const struct vd_top_view *view, const struct vd_top_about *about,
		       const struct vd_top_model *model);

/* The keys, instead of tables. */
void vd_top_frame_help(struct vd_top_frame *frame);

/* Columns that there are at this width: what `sort` counts. */
unsigned vd_top_columns(unsigned width);
const char *vd_top_column_title(unsigned column);

#endif
