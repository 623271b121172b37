/* SPDX-License-Identifier: MIT */
/*
 * first:N[,mark=VALUE[/MASK]][,flows=COUNT][,idle=SECONDS] lets the next functions see the first N packets of a flow, and
 * accepts all later ones with a mark, by which a CONNMARK rule keeps the rest of the flow out of the queue: see
 * verdict-functions(7) for the rules.
 *
 * Shows a table of flows without locks. VD_SCOPE_FLOW promises that a flow's packets, in both directions, meet the same
 * state, one thread at a time. All memory is taken in open_state().
 *
 * A function that drops stands in front of it: packets that are dropped there are not counted, so that sending them again and
 * again does not take the flow out of the queue.
 *
 * A flow that is forgotten too early (evicted, idle) begins anew: it is looked at once more, never less. So does a TCP
 * connection that opens again with the same ports: to be let through because an earlier one was harmless would be a hole.
 */
#include <ctype.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <verdict/function.h>

#define PACKETS_MAX 1000000u
#define FLOWS_DEFAULT 65536u
#define FLOWS_MAX (1u << 24)
#define IDLE_S_DEFAULT 120u
#define IDLE_S_MAX 86400u /* in milliseconds it has to stay far below 2^32: the clock wraps */

#define WAYS 8
#define HUGE_PAGE ((size_t)2 << 20)
#define TCP_SYN 0x02u
#define TCP_ACK 0x10u

enum { FLOWS, PASSED, EVICTED };
static const char *const counters[] = {[FLOWS] = "flows", [PASSED] = "passed", [EVICTED] = "evicted", NULL};

struct options {
	uint32_t packets;
	uint32_t mark;
	uint32_t mask;
	uint32_t flows; /* in all states together */
	uint32_t idle_ms;
	unsigned states;
};

/* The same for both directions: the smaller end comes first. Has no holes, so that memcmp() can compare it. */
struct end {
	uint64_t address[2];
	uint64_t port;
};
struct key {
	uint64_t addresses[2][2];
	uint16_t ports[2];
	uint8_t protocol;
	uint8_t ip_version;
	uint16_t zero;
};

/* In a cache line of its own: one that crosses a border costs another one, and every second did. */
struct flow {
	_Alignas(64) struct key key;
	uint32_t packets; /* counted up to N, then no further */
};

/* What every look-up reads is in the first cache line; a flow's own line is touched only when its tag fits. */
struct bucket {
	_Alignas(64) uint32_t tags[WAYS]; /* flow hash; 0: free */
	uint32_t seen_ms[WAYS];
	struct flow flows[WAYS];
};

struct table {
	const struct options *options;
	uint32_t bucket_count;
	struct bucket *buckets;
};

/* ---- the table ---- */

/* The engine has used some bits of the hash to choose this state: multiply, so that all others reach the index. */
static struct bucket *find_bucket(const struct table *table, uint32_t hash)
{
	uint32_t mixed = (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	return &table->buckets[(uint64_t)mixed * table->bucket_count >> 32];
}

/* Half of the tags of a bucket: compared in one step where the CPU can. */
typedef uint32_t four __attribute__((vector_size(4 * sizeof(uint32_t))));

/*
 * A bit for each place with this tag. Without a branch: the tags are on their way from memory, and where a CPU guesses what they are, and
 * is wrong, it has not asked for the next ones meanwhile.
 */
static unsigned find_tag(const struct bucket *bucket, uint32_t tag)
{
	static const four low = {1, 2, 4, 8}, high = {16, 32, 64, 128};
	four wanted = {tag, tag, tag, tag}, tags[2], bits;
	uint64_t halves[2];

	memcpy(tags, bucket->tags, sizeof tags);
	bits = ((four)(tags[0] == wanted) & low) | ((four)(tags[1] == wanted) & high);
	memcpy(halves, &bits, sizeof halves);
	halves[0] |= halves[1];
	return (uint32_t)(halves[0] | halves[0] >> 32);
}

/* The flow's place, or WAYS. */
static unsigned find_flow(const struct bucket *bucket, uint32_t tag, const struct key *key)
{
	for (unsigned places = find_tag(bucket, tag); places; places &= places - 1) {
		unsigned way = (unsigned)__builtin_ctz(places);

		if (!memcmp(&bucket->flows[way].key, key, sizeof *key))
			return way;
	}
	return WAYS;
}

/* A place for a new flow: a free one, else the one that was not seen for the longest time. */
static unsigned choose_place(const struct bucket *bucket, uint32_t now_ms)
{
	unsigned oldest = 0;

	for (unsigned way = 0; way < WAYS; way++) {
		if (!bucket->tags[way])
			return way;
		if (now_ms - bucket->seen_ms[way] > now_ms - bucket->seen_ms[oldest])
			oldest = way;
	}
	return oldest;
}

static struct flow *take_place(struct bucket *bucket, unsigned way, uint32_t tag, const struct key *key)
{
	bucket->tags[way] = tag;
	bucket->flows[way].key = *key;
	bucket->flows[way].packets = 0;
	return &bucket->flows[way];
}

/* ---- packets ---- */

static void read_end(struct end *end, const uint8_t *address, unsigned ip_version, unsigned port)
{
	end->address[0] = end->address[1] = 0;
	memcpy(end->address, address, ip_version == 6 ? 16 : 4);
	end->port = port;
}

/* Any total order does. */
static bool is_larger(const struct end *a, const struct end *b)
{
	if (a->address[0] != b->address[0])
		return a->address[0] > b->address[0];
	if (a->address[1] != b->address[1])
		return a->address[1] > b->address[1];
	return a->port > b->port;
}

/* Only pings are flows of ICMP; an error message belongs to the connection that it complains about. */
static bool is_flow_of_icmp(const struct vd_packet *packet)
{
	const uint8_t *icmp = vd_packet_transport(packet, 1);

	if (!icmp)
		return false;
	if (vd_packet_protocol(packet) == IPPROTO_ICMP)
		return *icmp == 8 || *icmp == 0;
	return *icmp == 128 || *icmp == 129;
}

/* False: the packet belongs to no flow that could be told. Pings are told apart by the hash, which knows their number. */
static bool read_key(struct key *key, const struct vd_packet *packet)
{
	const uint8_t *source = vd_packet_source(packet), *destination = vd_packet_destination(packet);
	unsigned ip_version = vd_packet_ip_version(packet), protocol = vd_packet_protocol(packet);
	struct end from, to;
	bool swap;

	if (!source || !destination || vd_packet_is_malformed(packet) || vd_packet_is_fragment(packet) ||
	    !vd_packet_transport(packet, vd_protocol_has_ports(protocol) ? 4 : 0))
		return false;
	if ((protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) && !is_flow_of_icmp(packet))
		return false;

	read_end(&from, source, ip_version, vd_packet_source_port(packet));
	read_end(&to, destination, ip_version, vd_packet_destination_port(packet));
	swap = is_larger(&from, &to);
	memcpy(key->addresses[swap], from.address, 16);
	memcpy(key->addresses[!swap], to.address, 16);
	key->ports[swap] = (uint16_t)from.port;
	key->ports[!swap] = (uint16_t)to.port;
	key->protocol = (uint8_t)protocol;
	key->ip_version = (uint8_t)ip_version;
	key->zero = 0;
	return true;
}

static uint32_t tag_of(const struct vd_packet *packet)
{
	return vd_packet_flow_hash(packet) ? vd_packet_flow_hash(packet) : 1;
}

static enum vd_verdict decide(const struct options *options, struct bucket *bucket, struct vd_packet *packet, uint32_t now_ms)
{
	uint32_t tag = tag_of(packet);
	struct flow *flow;
	struct key key;
	unsigned way;

	if (!read_key(&key, packet))
		return VD_NEXT;

	way = find_flow(bucket, tag, &key);
	if (way == WAYS) {
		way = choose_place(bucket, now_ms);
		if (bucket->tags[way] && now_ms - bucket->seen_ms[way] <= options->idle_ms)
			vd_count(packet, EVICTED, 1);
		flow = take_place(bucket, way, tag, &key);
		vd_count(packet, FLOWS, 1);
	} else if (now_ms - bucket->seen_ms[way] > options->idle_ms ||
		   (vd_packet_tcp_flags(packet) & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		flow = take_place(bucket, way, tag, &key);
		vd_count(packet, FLOWS, 1);
	} else {
		flow = &bucket->flows[way];
	}
	bucket->seen_ms[way] = now_ms;

	if (flow->packets < options->packets) {
		flow->packets++;
		return VD_NEXT;
	}
	vd_packet_set_mark(packet, (vd_packet_mark(packet) & ~options->mask) | (options->mark & options->mask));
	vd_count(packet, PASSED, 1);
	return VD_ACCEPT;
}

/* Always inline: for GCC a function that does nothing but prefetch does nothing at all, and it leaves out the call. */
static inline __attribute__((always_inline)) void prefetch_flow(const struct bucket *bucket, uint32_t tag)
{
	unsigned places = find_tag(bucket, tag);

	if (places)
		__builtin_prefetch(&bucket->flows[__builtin_ctz(places)], 1);
}

/* A few milliseconds late, and no system call. */
static uint32_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)(now.tv_sec * UINT64_C(1000)) + (uint32_t)(now.tv_nsec / 1000000);
}

/*
 * One look at the clock for the whole burst. What it needs is on its way from memory before it is needed: first all buckets,
 * then, by what is in them, all flows.
 */
static void decide_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	struct table *table = state;
	struct bucket *buckets[VD_BURST_MAX];
	uint32_t now_ms = clock_ms();

	for (unsigned i = 0; i < count; i++) {
		buckets[i] = find_bucket(table, vd_packet_flow_hash(packets[i]));
		__builtin_prefetch(buckets[i], 1);
	}
	for (unsigned i = 0; i < count; i++)
		prefetch_flow(buckets[i], tag_of(packets[i]));
	for (unsigned i = 0; i < count; i++)
		verdicts[i] = decide(table->options, buckets[i], packets[i], now_ms);
}

/* ---- arguments and states ---- */

/* A number from min to max, with a comma, `stop` or nothing behind it; *end is where it stops. */
static bool parse_number(const char *text, const char **end, char stop, int base, uint32_t min, uint32_t max,
			 uint32_t *value)
{
	char *behind;
	unsigned long long number;

	if (!isdigit((unsigned char)*text))
		return false;
	number = strtoull(text, &behind, base);
	*end = behind;
	*value = (uint32_t)number;
	return number >= min && number <= max && (!*behind || *behind == ',' || *behind == stop);
}

static int parse_option(struct vd_open *open, struct options *options, const char *text, const char **end)
{
	int length = (int)strcspn(text, ",");

	if (!strncmp(text, "mark=", 5)) {
		options->mask = UINT32_MAX;
		if (!parse_number(text + 5, end, '/', 0, 0, UINT32_MAX, &options->mark) ||
		    (**end == '/' && !parse_number(*end + 1, end, ',', 0, 0, UINT32_MAX, &options->mask)))
			return vd_open_error(open, "mark=VALUE/MASK takes numbers from 0 to 0xffffffff, not '%.*s'", length - 5,
					     text + 5);
	} else if (!strncmp(text, "flows=", 6)) {
		if (!parse_number(text + 6, end, ',', 10, 1, FLOWS_MAX, &options->flows))
			return vd_open_error(open, "flows=COUNT takes a number from 1 to %u, not '%.*s'", FLOWS_MAX, length - 6,
					     text + 6);
	} else if (!strncmp(text, "idle=", 5)) {
		if (!parse_number(text + 5, end, ',', 10, 1, IDLE_S_MAX, &options->idle_ms))
			return vd_open_error(open, "idle=SECONDS takes a number from 1 to %u, not '%.*s'", IDLE_S_MAX,
					     length - 5, text + 5);
		options->idle_ms *= 1000;
	} else {
		return vd_open_error(open, "behind N only mark=VALUE/MASK, flows=COUNT and idle=SECONDS may stand, not '%.*s'",
				     length, text);
	}
	return 0;
}

static int open_first(struct vd_open *open, void **shared)
{
	struct options options = {.mark = 1, .mask = 1, .flows = FLOWS_DEFAULT, .idle_ms = IDLE_S_DEFAULT * 1000,
				  .states = open->states};
	const char *text = open->arguments;
	int error;

	if (!*text)
		return vd_open_error(open, "how many packets of each flow? Say first:N, for example first:8");
	if (!parse_number(text, &text, ',', 10, 1, PACKETS_MAX, &options.packets))
		return vd_open_error(open, "N must be a number from 1 to %u, not '%.*s'", PACKETS_MAX,
				     (int)strcspn(open->arguments, ","), open->arguments);
	while (*text == ',') {
		error = parse_option(open, &options, text + 1, &text);
		if (error)
			return error;
	}

	*shared = malloc(sizeof options);
	if (!*shared) {
		vd_open_error(open, "out of memory");
		return -ENOMEM;
	}
	memcpy(*shared, &options, sizeof options);
	return 0;
}

static int open_state(void *shared, void **state)
{
	const struct options *options = shared;
	struct table *table = malloc(sizeof *table);
	uint32_t flows = options->flows / (options->states ? options->states : 1);
	bool is_large;
	size_t size;

	if (!table)
		return -ENOMEM;
	table->options = options;
	table->bucket_count = flows / WAYS + (flows % WAYS || !flows);
	size = table->bucket_count * sizeof *table->buckets;
	is_large = size >= HUGE_PAGE;
	if (is_large)
		size = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	table->buckets = aligned_alloc(is_large ? HUGE_PAGE : _Alignof(struct bucket), size);
	if (!table->buckets) {
		free(table);
		return -ENOMEM;
	}
	if (is_large) /* each packet looks somewhere else, which should not take a walk through page tables; a hint only */
		madvise(table->buckets, size, MADV_HUGEPAGE);
	memset(table->buckets, 0, size); /* also touches the pages now, not while packets wait */
	*state = table;
	return 0;
}

static void close_state(void *shared, void *state)
{
	struct table *table = state;

	(void)shared;
	free(table->buckets);
	free(table);
}

/* One flow of another table; where its bucket is full, the one that was seen last stays. */
static void adopt_flow(struct table *table, const struct bucket *from, unsigned way)
{
	struct bucket *bucket = find_bucket(table, from->tags[way]);
	unsigned place = choose_place(bucket, clock_ms());

	if (bucket->tags[place] && (int32_t)(from->seen_ms[way] - bucket->seen_ms[place]) < 0)
		return;
	bucket->tags[place] = from->tags[way];
	bucket->seen_ms[place] = from->seen_ms[way];
	bucket->flows[place] = from->flows[way];
}

/* A table of the same size is handed over; of another one, as where a queue was added, flows are moved one by one. */
static int migrate(void *shared, void *state, void *old_shared, void *old_state)
{
	struct table *table = state, *old = old_state;
	struct bucket *buckets;

	(void)shared;
	(void)old_shared;
	if (!table)
		return 0;
	if (table->bucket_count == old->bucket_count) {
		buckets = table->buckets;
		table->buckets = old->buckets;
		old->buckets = buckets;
		return 0;
	}
	for (uint32_t i = 0; i < old->bucket_count; i++)
		for (unsigned way = 0; way < WAYS; way++)
			if (old->buckets[i].tags[way])
				adopt_flow(table, &old->buckets[i], way);
	return 0;
}

VD_FUNCTION(.name = "first", .summary = "takes a flow out of the queue after its first N packets",
	    .usage = "N[,mark=VALUE[/MASK]][,flows=COUNT][,idle=SECONDS]", .bytes = VD_HEADERS, .scope = VD_SCOPE_FLOW,
	    .counters = counters, .open = open_first, .close = free, .open_state = open_state, .close_state = close_state,
	    .decide_burst = decide_burst, .migrate = migrate, .state_format = 1);
