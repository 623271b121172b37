/* SPDX-License-Identifier: MIT */
/*
 * match:EXPR=VERDICT decides packets that a pcap-filter(7) expression matches, and leaves the others to the next function.
 *
 * Shows a function that learns from its arguments how much of a packet it needs, and a named counter.
 *
 * libpcap compiles EXPR into a BPF program for packets that begin with their network header (DLT_RAW). The program is
 * only read afterwards, so all threads share it.
 */
#include <ctype.h>
#include <stdlib.h>

#include <pcap/pcap.h>

#include <verdict/function.h>

struct match {
	struct bpf_program program;
	enum vd_verdict verdict;
	uint16_t queue; /* for VD_QUEUE */
};

enum { MATCHED };
static const char *const counters[] = {[MATCHED] = "matched", NULL};

/* ---- how many bytes a program can read ---- */

/* The packet's data is never longer than this; an offset beyond it is as good as unknown. */
#define LENGTH_MAX 65531u

/* The largest number that a register can hold: all that has to be known of it. */
struct bounds {
	uint32_t a, x;
};

static uint32_t at_most(uint64_t number)
{
	return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void widen(struct bounds *bounds, struct bounds by)
{
	bounds->a = larger(bounds->a, by.a);
	bounds->x = larger(bounds->x, by.x);
}

/* The bound on A after an arithmetic instruction. What can wrap below zero is not bounded. */
static uint32_t bound_arithmetic(const struct bpf_insn *instruction, struct bounds in)
{
	bool constant = BPF_SRC(instruction->code) == BPF_K;
	uint32_t by = constant ? instruction->k : in.x;

	switch (BPF_OP(instruction->code)) {
	case BPF_ADD:
		return at_most((uint64_t)in.a + by);
	case BPF_MUL:
		return at_most((uint64_t)in.a * by);
	case BPF_AND:
		return in.a < by ? in.a : by;
	case BPF_LSH:
		return constant && by < 32 ? at_most((uint64_t)in.a << by) : UINT32_MAX;
	case BPF_RSH:
		return constant && by < 32 ? in.a >> by : in.a;
	case BPF_DIV:
		return constant && by ? in.a / by : in.a;
	case BPF_MOD:
		return constant && by && by <= in.a ? by - 1 : in.a;
	default:
		return UINT32_MAX;
	}
}

/*
 * One walk from the first instruction to the last, since BPF jumps forward only, with bounds for what the registers can
 * hold: `tcp[12]` is a load at X + 12, and X, the length of an IPv4 header, was loaded as 4 * (byte & 15), so 60 at most.
 * Enough for expressions like `tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420`. VD_WHOLE when an offset is not bounded.
 */
static uint32_t find_bytes(const struct bpf_insn *program, unsigned count, struct bounds *at)
{
	uint32_t memory[BPF_MEMWORDS] = {0};
	uint64_t bytes = 1;

	for (unsigned i = 0; i < count; i++) {
		const struct bpf_insn *instruction = &program[i];
		unsigned size = BPF_SIZE(instruction->code) == BPF_B ? 1 : BPF_SIZE(instruction->code) == BPF_H ? 2 : 4;
		uint32_t loaded = size == 4 ? UINT32_MAX : (1u << size * 8) - 1;
		uint32_t k = instruction->k, word = k % BPF_MEMWORDS;
		struct bounds now = at[i];
		uint64_t end = 0;

		switch (BPF_CLASS(instruction->code)) {
		case BPF_LD:
		case BPF_LDX:
			switch (BPF_MODE(instruction->code)) {
			case BPF_ABS:
				end = (uint64_t)k + size;
				break;
			case BPF_IND:
				end = (uint64_t)now.x + k + size;
				break;
			case BPF_MSH: /* 4 * (byte & 15) */
				end = (uint64_t)k + 1;
				loaded = 60;
				break;
			case BPF_IMM:
				loaded = k;
				break;
			case BPF_MEM:
				loaded = memory[word];
				break;
			default: /* BPF_LEN: the length on the wire, known without the bytes */
				loaded = UINT32_MAX;
				break;
			}
			if (BPF_CLASS(instruction->code) == BPF_LD)
				now.a = loaded;
			else
				now.x = loaded;
			break;
		case BPF_ST:
			memory[word] = larger(memory[word], now.a);
			break;
		case BPF_STX:
			memory[word] = larger(memory[word], now.x);
			break;
		case BPF_ALU:
			now.a = bound_arithmetic(instruction, now);
			break;
		case BPF_JMP: {
			bool always = BPF_OP(instruction->code) == BPF_JA;
			uint32_t if_true = always ? k : instruction->jt, if_false = always ? k : instruction->jf;

			if (if_true >= count - i - 1 || if_false >= count - i - 1)
				return VD_WHOLE; /* backwards: a loop, which `protochain` makes */
			widen(&at[i + 1 + if_true], now);
			widen(&at[i + 1 + if_false], now);
			continue;
		}
		case BPF_MISC:
			if (BPF_MISCOP(instruction->code) == BPF_TAX)
				now.x = now.a;
			else
				now.a = now.x;
			break;
		default: /* BPF_RET */
			continue;
		}
		if (end > bytes)
			bytes = end;
		if (i + 1 < count)
			widen(&at[i + 1], now);
	}
	return bytes > LENGTH_MAX ? VD_WHOLE : larger((uint32_t)bytes, VD_HEADERS);
}

static int set_bytes(struct vd_open *open, const struct bpf_program *program)
{
	struct bounds *at = calloc(program->bf_len, sizeof *at);

	if (!at)
		return -ENOMEM;
	open->bytes = find_bytes(program->bf_insns, program->bf_len, at);
	free(at);
	return 0;
}

/* ---- arguments ---- */

static bool parse_verdict(struct match *match, const char *text)
{
	static const struct {
		const char *name;
		enum vd_verdict verdict;
	} verdicts[] = {{"accept", VD_ACCEPT}, {"drop", VD_DROP}, {"repeat", VD_REPEAT}, {"stop", VD_STOP}};
	unsigned long long queue;
	char *end;

	for (unsigned i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
		if (!strcmp(text, verdicts[i].name)) {
			match->verdict = verdicts[i].verdict;
			return true;
		}
	if (strncmp(text, "queue:", 6) || !isdigit((unsigned char)text[6]))
		return false;
	queue = strtoull(text + 6, &end, 10);
	match->verdict = VD_QUEUE;
	match->queue = (uint16_t)queue;
	return !*end && queue <= UINT16_MAX;
}

static int compile(struct vd_open *open, struct bpf_program *program, const char *expression)
{
	pcap_t *pcap = pcap_open_dead(DLT_RAW, 65535);
	int error = 0;

	if (!pcap)
		return -ENOMEM;
	if (pcap_compile(pcap, program, expression, 1, PCAP_NETMASK_UNKNOWN))
		error = vd_open_error(open, "%s: EXPR must be an expression of pcap-filter(7) for IP packets, not '%s'",
				      pcap_geterr(pcap), expression);
	pcap_close(pcap);
	return error;
}

static void close_match(void *shared)
{
	struct match *match = shared;

	pcap_freecode(&match->program);
	free(match);
}

static int open_match(struct vd_open *open, void **shared)
{
	const char *text = open->arguments, *equals = strrchr(text, '='); /* the last one: EXPR may have its own */
	struct match *match;
	char *expression;
	int error;

	if (!equals || equals == text)
		return vd_open_error(open, "expression and verdict must be told as EXPR=VERDICT, for example "
					   "'udp port 53=accept', not '%s'", text);

	match = calloc(1, sizeof *match);
	expression = strndup(text, (size_t)(equals - text));
	if (!match || !expression)
		error = -ENOMEM;
	else if (!parse_verdict(match, equals + 1))
		error = vd_open_error(open, "VERDICT (behind the last '=') must be accept, drop, repeat, stop or queue:N with "
					    "N from 0 to 65535, not '%s'", equals + 1);
	else
		error = compile(open, &match->program, expression);
	free(expression);
	if (!error)
		error = set_bytes(open, &match->program);
	if (error == -ENOMEM)
		vd_open_error(open, "out of memory");
	if (!error)
		*shared = match;
	else if (match)
		close_match(match);
	return error;
}

/* ---- packets ---- */

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const struct match *match = state;

	/* two lengths: `len` is the one on the wire, loads end at the bytes that were copied */
	if (!bpf_filter(match->program.bf_insns, vd_packet_data(packet), vd_packet_wire_length(packet),
			vd_packet_length(packet)))
		return VD_NEXT;
	vd_count(packet, MATCHED, 1);
	return match->verdict == VD_QUEUE ? vd_packet_requeue(packet, match->queue, false) : match->verdict;
}

VD_FUNCTION(.name = "match", .summary = "decides packets that match an expression of tcpdump's",
	    .usage = "EXPR=VERDICT", .bytes = VD_WHOLE, .counters = counters, .open = open_match, .close = close_match,
	    .decide = decide);
