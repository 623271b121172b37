/* SPDX-License-Identifier: MIT */
/*
 * Watches whether VD_SCOPE_FLOW keeps its promises. All counters but "packets", "sequenced" and "missing" must stay 0:
 *
 *	entered-twice	a state was entered while another thread was in it
 *	disordered	a packet came after a later one of its flow
 *	strayed		a flow met two states
 *
 * The last two need packets that say who they are: UDP (IPv4 or IPv6) whose payload begins with
 *
 *	 0        4        8        12
 *	 | "vdtt" |  flow  |  sequence |    in network byte order
 *
 * flow: 0 to 4095, one for each pair of ends, the same in both directions. sequence: from 1 on, growing, for each direction
 * by itself. Gaps are counted as "missing": lost on the way here, not disordered.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include <verdict/function.h>

#define FLOWS 4096

enum { PACKETS, SEQUENCED, MISSING, ENTERED_TWICE, DISORDERED, STRAYED };
static const char *const counters[] = {[PACKETS] = "packets",
				       [SEQUENCED] = "sequenced",
				       [MISSING] = "missing",
				       [ENTERED_TWICE] = "entered-twice",
				       [DISORDERED] = "disordered",
				       [STRAYED] = "strayed",
				       NULL};

struct shared {
	_Atomic(void *) owner[FLOWS]; /* the state that the flow met first */
};

struct state {
	struct shared *shared;
	atomic_bool entered;
	uint32_t last[FLOWS][2]; /* plain: ThreadSanitizer watches them too */
};

static int open_scopes(struct vd_open *open, void **shared)
{
	(void)open;
	*shared = calloc(1, sizeof(struct shared));
	return *shared ? 0 : -ENOMEM;
}

static int open_state(void *shared, void **state)
{
	struct state *made = calloc(1, sizeof *made);

	if (!made)
		return -ENOMEM;
	made->shared = shared;
	*state = made;
	return 0;
}

static void close_state(void *shared, void *state)
{
	(void)shared;
	free(state);
}

static uint32_t read32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void watch_order(struct vd_packet *packet, struct state *state, uint32_t flow, uint32_t sequence)
{
	uint32_t *last = &state->last[flow][vd_packet_source_port(packet) < vd_packet_destination_port(packet)];
	void *owner = NULL;

	/* relaxed: only the pointer's value counts, nobody follows it */
	if (!atomic_compare_exchange_strong_explicit(&state->shared->owner[flow], &owner, state, memory_order_relaxed,
						     memory_order_relaxed) &&
	    owner != state)
		vd_count(packet, STRAYED, 1);

	vd_count(packet, SEQUENCED, 1);
	if (sequence <= *last) {
		vd_count(packet, DISORDERED, 1);
		return;
	}
	vd_count(packet, MISSING, sequence - *last - 1);
	*last = sequence;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	struct state *mine = state;
	uint32_t length;
	const uint8_t *payload;

	/* relaxed: the flag must not order what the engine has left unordered, or ThreadSanitizer would be silenced */
	if (atomic_exchange_explicit(&mine->entered, true, memory_order_relaxed))
		vd_count(packet, ENTERED_TWICE, 1);

	vd_count(packet, PACKETS, 1);
	payload = vd_packet_payload(packet, &length);
	if (payload && vd_packet_protocol(packet) == IPPROTO_UDP && length >= 12 && !memcmp(payload, "vdtt", 4) &&
	    read32(payload + 4) < FLOWS)
		watch_order(packet, mine, read32(payload + 4), read32(payload + 8));

	atomic_store_explicit(&mine->entered, false, memory_order_relaxed);
	return VD_NEXT;
}

VD_FUNCTION(.name = "scopes", .summary = "watches what the flow scope promises", .bytes = VD_HEADERS,
	    .scope = VD_SCOPE_FLOW, .counters = counters, .open = open_scopes, .close = free, .open_state = open_state,
	    .close_state = close_state, .decide = decide);
