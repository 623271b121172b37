/* SPDX-License-Identifier: MIT */
/*
 * Rules of iptables-legacy and ip6tables-legacy. A table is an array of entries of different lengths, with the sums of all CPUs:
 *
 *	entry	addresses, interfaces | target_offset | next_offset | packets, bytes
 *		matches
 *		target	size | name | revision | its own: queue, how many, flags
 *	entry	...
 *
 * Only tables that are there are asked for: any other name would make the kernel load its module, and look at each packet from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>

#include "tools/ruled/private.h"

#define NAMES_SIZE 1024 /* of files of tables: there are five */
#define TRIES 10	/* a table that changes is read again */

static const struct layout {
	int domain, level, info, entries;
	const char *names;
	size_t size, target_offset, next_offset, counters;
} LAYOUTS[2] = {
	{AF_INET, SOL_IP, IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES, "/proc/thread-self/net/ip_tables_names", sizeof(struct ipt_entry),
	 offsetof(struct ipt_entry, target_offset), offsetof(struct ipt_entry, next_offset), offsetof(struct ipt_entry, counters)},
	{AF_INET6, SOL_IPV6, IP6T_SO_GET_INFO, IP6T_SO_GET_ENTRIES, "/proc/thread-self/net/ip6_tables_names", sizeof(struct ip6t_entry),
	 offsetof(struct ip6t_entry, target_offset), offsetof(struct ip6t_entry, next_offset), offsetof(struct ip6t_entry, counters)},
};

/* ---- bytes ---- */

static uint16_t read_u16(const uint8_t *bytes)
{
	uint16_t number;

	memcpy(&number, bytes, sizeof number);
	return number;
}

bool vd_ruled_legacy_target(const uint8_t *info, size_t size, unsigned revision, struct vd_ruled_rule *rule)
{
	static const size_t SIZES[] = {sizeof(struct xt_NFQ_info), sizeof(struct xt_NFQ_info_v1), sizeof(struct xt_NFQ_info_v2),
				       sizeof(struct xt_NFQ_info_v3)};
	uint32_t total;

	if (revision >= sizeof SIZES / sizeof *SIZES || size < SIZES[revision])
		return false;
	rule->first = read_u16(info + offsetof(struct xt_NFQ_info_v3, queuenum));
	total = revision >= 1 ? read_u16(info + offsetof(struct xt_NFQ_info_v3, queues_total)) : 1;
	rule->has_bypass = revision >= 2 && read_u16(info + offsetof(struct xt_NFQ_info_v3, flags)) & NFQ_FLAG_BYPASS;
	if (!total || total > UINT16_MAX + 1u - rule->first) /* the kernel takes none of these */
		return false;
	rule->last = (uint16_t)(rule->first + total - 1);
	return true;
}

/* A target, and `size` bytes of it with its head. */
static int read_target(const uint8_t *target, size_t size, uint64_t packets, struct vd_ruled_rules *rules)
{
	struct vd_ruled_rule rule = {.is_counted = true, .packets = packets};
	const char *name = (const char *)target + offsetof(struct xt_entry_target, u.user.name);
	int32_t verdict;

	if (!strncmp(name, "NFQUEUE", XT_EXTENSION_MAXNAMELEN)) {
		if (vd_ruled_legacy_target(target + sizeof(struct xt_entry_target), size - sizeof(struct xt_entry_target),
					   target[offsetof(struct xt_entry_target, u.user.revision)], &rule))
			return vd_ruled_add(rules, &rule);
		rules->has_computed = true; /* one that is not known here */
		return 0;
	}
	if (*name || size < sizeof(struct xt_standard_target))
		return 0;
	memcpy(&verdict, target + offsetof(struct xt_standard_target, verdict), sizeof verdict);
	return verdict == -NF_QUEUE - 1 ? vd_ruled_add(rules, &rule) : 0; /* -j QUEUE: queue 0 */
}

int vd_ruled_legacy_parse(const uint8_t *bytes, size_t size, bool is_ipv6, struct vd_ruled_rules *rules)
{
	const struct layout *layout = &LAYOUTS[is_ipv6];
	int result = 0;

	while (size && !result) {
		size_t target, next, target_size;
		struct xt_counters counters;

		if (size < layout->size)
			return -EPROTO;
		target = read_u16(bytes + layout->target_offset);
		next = read_u16(bytes + layout->next_offset);
		if (next > size || target < layout->size || target + sizeof(struct xt_entry_target) > next)
			return -EPROTO;
		target_size = read_u16(bytes + target + offsetof(struct xt_entry_target, u.user.target_size));
		if (target_size < sizeof(struct xt_entry_target) || target + target_size > next)
			return -EPROTO;
		memcpy(&counters, bytes + layout->counters, sizeof counters);
		result = read_target(bytes + target, target_size, counters.pcnt, rules);
		bytes += next;
		size -= next;
	}
	return result;
}

/* ---- tables ---- */

static bool make_room(struct vd_ruled_legacy *legacy, size_t size)
{
	uint8_t *larger;

	if (size <= legacy->size)
		return true;
	larger = realloc(legacy->room, size);
	if (!larger)
		return false;
	legacy->room = larger;
	legacy->size = size;
	return true;
}

/* The kernel wants to be told how many bytes it will give. */
static int read_entries(struct vd_ruled_legacy *legacy, bool is_ipv6, const char *table, uint32_t *entries_size)
{
	const struct layout *layout = &LAYOUTS[is_ipv6];
	const size_t head = offsetof(struct ipt_get_entries, entrytable); /* of IPv6 as well */
	struct ipt_getinfo info;				       /* likewise */
	socklen_t size;

	for (unsigned tries = 0; tries < TRIES; tries++) {
		memset(&info, 0, sizeof info);
		strcpy(info.name, table);
		size = sizeof info;
		if (getsockopt(legacy->sockets[is_ipv6], layout->level, layout->info, &info, &size))
			return -errno;
		if (!make_room(legacy, head + info.size))
			return -ENOMEM;
		memset(legacy->room, 0, head);
		strcpy((char *)legacy->room, table);
		memcpy(legacy->room + offsetof(struct ipt_get_entries, size), &info.size, sizeof info.size);
		size = (socklen_t)(head + info.size);
		if (!getsockopt(legacy->sockets[is_ipv6], layout->level, layout->entries, legacy->room, &size)) {
			*entries_size = info.size;
			return 0;
		}
		if (errno != EAGAIN) /* it has another size by now */
			return -errno;
	}
	return -EAGAIN;
}

static int read_table(struct vd_ruled_legacy *legacy, bool is_ipv6, const char *table, struct vd_ruled_rules *rules)
{
	uint32_t size = 0;
	int result = read_entries(legacy, is_ipv6, table, &size);

	if (result)
		return result == -ENOENT ? 0 : result; /* it has just gone */
	return vd_ruled_legacy_parse(legacy->room + offsetof(struct ipt_get_entries, entrytable), size, is_ipv6, rules);
}

static int read_family(struct vd_ruled_legacy *legacy, bool is_ipv6, struct vd_ruled_rules *rules)
{
	char names[NAMES_SIZE], *rest = names, *name;
	ssize_t got;
	int result = 0;

	if (legacy->names[is_ipv6] < 0) /* this kernel does not have it, or has not needed it yet; or does not show it */
		return legacy->names[is_ipv6] == -ENOENT ? 0 : legacy->names[is_ipv6];
	got = pread(legacy->names[is_ipv6], names, sizeof names - 1, 0);
	if (got < 0)
		return -errno;
	names[got] = '\0';
	while (!result && (name = strsep(&rest, "\n")))
		if (*name && strlen(name) < XT_TABLE_MAXNAMELEN)
			result = legacy->sockets[is_ipv6] < 0 ? -EAFNOSUPPORT : read_table(legacy, is_ipv6, name, rules);
	return result;
}

int vd_ruled_legacy_read(struct vd_ruled_legacy *legacy, struct vd_ruled_rules *rules)
{
	int result = read_family(legacy, false, rules);

	return result ? result : read_family(legacy, true, rules);
}

/* ---- life ---- */

void vd_ruled_legacy_open_again(struct vd_ruled_legacy *legacy)
{
	for (unsigned i = 0; i < 2; i++) {
		if (legacy->names[i] >= 0)
			continue;
		legacy->names[i] = open(LAYOUTS[i].names, O_RDONLY | O_CLOEXEC);
		if (legacy->names[i] < 0)
			legacy->names[i] = -errno;
	}
}

void vd_ruled_legacy_open(struct vd_ruled_legacy *legacy)
{
	*legacy = (struct vd_ruled_legacy){.names = {-1, -1}};
	for (unsigned i = 0; i < 2; i++) /* of no kind that needs a privilege */
		legacy->sockets[i] = socket(LAYOUTS[i].domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	vd_ruled_legacy_open_again(legacy);
}

void vd_ruled_legacy_close(struct vd_ruled_legacy *legacy)
{
	for (unsigned i = 0; i < 2; i++) {
		if (legacy->sockets[i] >= 0)
			close(legacy->sockets[i]);
		if (legacy->names[i] >= 0)
			close(legacy->names[i]);
	}
	free(legacy->room);
}
