/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "engine/error.h"
#include "tools/config/origin.h"
#include "tools/rules/rules.h"

static bool has(const char *text, const char *part)
{
	return strstr(text, part);
}

/* The first line that says something: iptables-nft warns of legacy tables before, and iptables names the line only after. */
static const char *first_line(const char *complaint, char *room, size_t size)
{
	while (*complaint) {
		size_t length = strcspn(complaint, "\n");

		if (length && *complaint != '#') {
			snprintf(room, size, "%.*s", (int)length, complaint);
			return room;
		}
		complaint += length + (complaint[length] == '\n');
	}
	return NULL;
}

static bool is_forbidden(const char *complaint)
{
	return has(complaint, "Permission denied") || has(complaint, "Operation not permitted") || has(complaint, "you must be root");
}

int vd_rules_complain(enum vd_rules_backend backend, const char *program, const char *complaint, const char *why, bool knows_target,
		      struct vd_error *error)
{
	char line[256], shown[VD_SHOWN_SIZE * 3];
	const char *said = first_line(complaint, line, sizeof line);
	bool names_queue = has(complaint, "queue"), is_missing = has(complaint, "No such file or directory");

	if (is_forbidden(complaint))
		return vd_error_set(error, -EPERM,
				    "%s may not read or change rules here: that needs CAP_NET_ADMIN%s in the network namespace: run as root",
				    program, backend == VD_RULES_LEGACY ? " and CAP_NET_RAW" : "");
	if (backend == VD_RULES_LEGACY && !knows_target)
		return vd_error_set(error, -EOPNOTSUPP,
				    "this kernel has no xt_NFQUEUE (CONFIG_NETFILTER_XT_TARGET_NFQUEUE): load it with modprobe xt_NFQUEUE");
	if (backend == VD_RULES_NFT && names_queue && is_missing)
		return vd_error_set(error, -EOPNOTSUPP,
				    "this kernel has no nft_queue (CONFIG_NFT_QUEUE): load it with modprobe nft_queue, or choose --backend "
				    "iptables-nft or iptables-legacy");
	if (backend == VD_RULES_COMPATIBLE && is_missing)
		return vd_error_set(error, -EOPNOTSUPP,
				    "this kernel has no nft_compat, or no xt_NFQUEUE (CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_TARGET_NFQUEUE): load "
				    "them with modprobe, or choose another --backend");
	if (!said)
		return vd_error_set(error, -EIO, "%s failed: %s", program, why);
	for (size_t i = 0; i < sizeof shown; i++) {
		shown[i] = i + 1 == sizeof shown || !line[i] ? '\0' : (unsigned char)line[i] < ' ' || line[i] == 127 ? '?' : line[i];
		if (!shown[i])
			break;
	}
	return vd_error_set(error, -EIO, "%s does not take these rules: %s", program, shown);
}
