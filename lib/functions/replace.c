/* SPDX-License-Identifier: MIT */
/*
 * replace:OLD=NEW puts NEW in the place of every OLD in what packets carry, and leaves them to the next function.
 *
 * Shows an edit of the payload, and memory of a worker's own to prepare it in. However many OLDs there are, the packet is
 * edited once, from the first to the last of them: an edit for each would make packets that are full of them slow.
 */
#define _GNU_SOURCE /* memmem() */
#include <ctype.h>
#include <stdlib.h>

#include <verdict/function.h>

#define TEXT_MAX 1024u
#define PAYLOAD_MAX 65536u

enum { REPLACED };
static const char *const counters[] = {[REPLACED] = "replaced", NULL};

struct texts {
	size_t length; /* of both */
	uint8_t before[TEXT_MAX];
	uint8_t after[TEXT_MAX];
};

struct state {
	const struct texts *texts;
	uint8_t payload[PAYLOAD_MAX];
};

/* ---- arguments ---- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * Reads up to the end or a '=' that stands alone, which is where *text is then. 0, or -EINVAL with the sentence.
 */
static int parse_text(struct vd_open *open, const char *name, const char **text, uint8_t *bytes, size_t *length)
{
	const char *at = *text;

	for (*length = 0; *at && *at != '='; (*length)++) {
		if (*length == TEXT_MAX)
			return vd_open_error(open, "%s is longer than %u bytes", name, TEXT_MAX);
		if (*at != '\\') {
			bytes[*length] = (uint8_t)*at++;
		} else if (at[1] == '\\' || at[1] == '=') {
			bytes[*length] = (uint8_t)at[1];
			at += 2;
		} else if (at[1] == 'x' && digit(at[2]) >= 0 && digit(at[3]) >= 0) {
			bytes[*length] = (uint8_t)(digit(at[2]) << 4 | digit(at[3]));
			at += 4;
		} else {
			return vd_open_error(open, "behind a backslash in %s there must be another one, '=', or x and two "
					     "hexadecimal digits, not '%.3s'", name, at + 1);
		}
	}
	*text = at;
	return 0;
}

static int parse_texts(struct vd_open *open, struct texts *texts)
{
	const char *text = open->arguments;
	size_t length;
	int result = parse_text(open, "OLD", &text, texts->before, &texts->length);

	if (result)
		return result;
	if (!*text || !texts->length)
		return vd_open_error(open, "what is replaced by what? Say replace:OLD=NEW, for example "
				     "replace:http=HTTP, not '%s'", open->arguments);
	text++;
	result = parse_text(open, "NEW", &text, texts->after, &length);
	if (result)
		return result;
	if (*text)
		return vd_open_error(open, "NEW ends before the second '=': write \\= where one is meant, not '%s'", text);
	if (length != texts->length)
		return vd_open_error(open, "NEW must be as long as OLD, since packets keep their length: OLD has %zu bytes, "
				     "NEW has %zu", texts->length, length);
	return 0;
}

static int open_replace(struct vd_open *open, void **shared)
{
	struct texts *texts = malloc(sizeof *texts);
	int result;

	if (!texts) {
		vd_open_error(open, "out of memory");
		return -ENOMEM;
	}
	result = parse_texts(open, texts);
	if (result)
		free(texts);
	else
		*shared = texts;
	return result;
}

static int open_state(void *shared, void **pointer)
{
	struct state *state = malloc(sizeof *state);

	if (!state)
		return -ENOMEM;
	state->texts = shared;
	*pointer = state;
	return 0;
}

static void close_state(void *shared, void *state)
{
	(void)shared;
	free(state);
}

/* ---- packets ---- */

static const uint8_t *find(const struct texts *texts, const uint8_t *at, const uint8_t *end)
{
	return memmem(at, (size_t)(end - at), texts->before, texts->length);
}

static enum vd_verdict decide(struct vd_packet *packet, void *pointer)
{
	struct state *state = pointer;
	const struct texts *texts = state->texts;
	uint32_t length, used = 0, count = 0;
	const uint8_t *payload = vd_packet_payload(packet, &length), *end, *first;

	if (!payload)
		return VD_NEXT;
	end = payload + length;
	first = find(texts, payload, end);
	for (const uint8_t *at = first, *next; at; at = next) {
		memcpy(state->payload + used, texts->after, texts->length);
		used += (uint32_t)texts->length;
		at += texts->length;
		count++;
		next = find(texts, at, end);
		if (next) { /* what lies between */
			memcpy(state->payload + used, at, (size_t)(next - at));
			used += (uint32_t)(next - at);
		}
	}
	if (first && !vd_packet_write_payload(packet, (uint32_t)(first - payload), state->payload, used))
		vd_count(packet, REPLACED, count);
	return VD_NEXT;
}

VD_FUNCTION(.name = "replace", .summary = "replaces bytes in what packets carry, and leaves them to the next function",
	    .usage = "OLD=NEW", .bytes = VD_WHOLE, .scope = VD_SCOPE_WORKER, .counters = counters, .open = open_replace,
	    .close = free, .open_state = open_state, .close_state = close_state, .decide = decide);
