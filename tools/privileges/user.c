/* SPDX-License-Identifier: MIT */
/* The user that `--user` names: who it is, whether this process may become it, and becoming it. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/privileges/private.h"

/* ---- who it is ---- */

static bool is_id(const char *text, unsigned *id)
{
	uint64_t number;

	if (strspn(text, "0123456789") != strlen(text) || !vd_value_number(text, 0, UINT32_MAX - 1, &number))
		return false;
	*id = (unsigned)number;
	return true;
}

static int find_groups(struct vd_privileges *privileges, const char *name)
{
	privileges->group_count = 64;
	for (;;) {
		gid_t *more = realloc(privileges->groups, (size_t)privileges->group_count * sizeof *more);

		if (!more)
			return -ENOMEM;
		privileges->groups = more;
		if (getgrouplist(name, privileges->gid, more, &privileges->group_count) >= 0)
			return 0;
	}
}

static int find_group(struct vd_privileges *privileges, const char *text, struct vd_error *error)
{
	char shown[VD_SHOWN_SIZE];
	const struct group *group;

	if (is_id(text, &privileges->gid))
		return 0;
	group = getgrnam(text);
	if (!group)
		return vd_error_set(error, -ENOENT, "there is no group '%s'", vd_show_text(text, shown));
	privileges->gid = group->gr_gid;
	return 0;
}

int vd_user_find(struct vd_privileges *privileges, const char *text, struct vd_error *error)
{
	size_t length = strcspn(text, ":");
	char *name = strndup(text, length), shown[VD_SHOWN_SIZE];
	const struct passwd *user;
	bool is_number;
	int result = 0;

	if (!name)
		return vd_error_set(error, -ENOMEM, "out of memory");
	is_number = is_id(name, &privileges->uid);
	user = is_number ? getpwuid(privileges->uid) : getpwnam(name);
	if (!user && !is_number)
		result = vd_error_set(error, -ENOENT, "there is no user '%s'", vd_show_text(name, shown));
	else if (!user && !text[length])
		result = vd_error_set(error, -EINVAL, "uid %s has no name here, and so no group: say which, as in %s:%s", name, name, name);
	free(name);
	if (result)
		return result;
	if (user) {
		privileges->uid = user->pw_uid;
		privileges->gid = user->pw_gid;
	}
	if (text[length])
		result = find_group(privileges, text + length + 1, error);
	if (!result && user && find_groups(privileges, user->pw_name)) /* a mere number is in no other group */
		result = vd_error_set(error, -ENOMEM, "out of memory");
	return result;
}

/* ---- whether that can be ---- */

static bool is_in(gid_t group, const gid_t *groups, int count)
{
	while (count > 0 && groups[count - 1] != group)
		count--;
	return count > 0;
}

static bool are_all_in(const struct vd_privileges *privileges, const gid_t *groups, int count)
{
	for (int i = 0; i < count; i++)
		if (groups[i] != privileges->gid && !is_in(groups[i], privileges->groups, privileges->group_count))
			return false;
	for (int i = 0; i < privileges->group_count; i++)
		if (privileges->groups[i] != privileges->gid && !is_in(privileges->groups[i], groups, count))
			return false;
	return true;
}

/* The order is no matter, and neither is whether the first group is among them. */
static bool has_other_groups(const struct vd_privileges *privileges)
{
	int count = getgroups(0, NULL);
	gid_t *groups = calloc((size_t)count + 1, sizeof *groups);
	bool has_others = !groups || (count = getgroups(count, groups)) < 0 || !are_all_in(privileges, groups, count);

	free(groups);
	return has_others;
}

bool vd_user_changes(const struct vd_privileges *privileges)
{
	uid_t real, effective, saved;

	return privileges->has_user && (getresuid(&real, &effective, &saved) || real != privileges->uid ||
					effective != privileges->uid || saved != privileges->uid);
}

static bool changes_group(const struct vd_privileges *privileges)
{
	gid_t real, effective, saved;

	return getresgid(&real, &effective, &saved) || real != privileges->gid || effective != privileges->gid ||
	       saved != privileges->gid;
}

/* In a user namespace only ids that are mapped can be had: "inside outside count" for each range. */
static bool is_mapped(const char *path, unsigned id)
{
	FILE *file = fopen(path, "re");
	unsigned first, count;
	bool found = !file; /* then the kernel will say */

	while (!found && fscanf(file, "%u %*u %u", &first, &count) == 2)
		found = id >= first && id - first < count;
	if (file)
		fclose(file);
	return found;
}

/* A user namespace that somebody without privileges made: who is in a group that takes rights away shall not get out of it. */
static bool may_set_groups(void)
{
	FILE *file = fopen("/proc/self/setgroups", "re");
	char word[8] = "";
	bool may = !file || fscanf(file, "%7s", word) != 1 || strcmp(word, "deny");

	if (file)
		fclose(file);
	return may;
}

int vd_user_check(const struct vd_privileges *privileges, void (*log)(void *log_argument, const char *line),
		  struct vd_error *error)
{
	bool has_others = has_other_groups(privileges);

	if (!is_mapped("/proc/self/uid_map", privileges->uid))
		return vd_error_set(error, -ENOENT, "uid %u is not in this user namespace: choose one of /proc/self/uid_map", privileges->uid);
	if (!is_mapped("/proc/self/gid_map", privileges->gid))
		return vd_error_set(error, -ENOENT, "gid %u is not in this user namespace: choose one of /proc/self/gid_map", privileges->gid);
	if (vd_user_changes(privileges) && !vd_capability_is_effective(CAP_SETUID))
		return vd_error_set(error, -EPERM, "to become another user needs CAP_SETUID: start as root, or as that user and without --user");
	if (has_others && !may_set_groups()) {
		log(NULL, "note: the supplementary groups stay as they are: this user namespace does not let them be changed");
		has_others = false;
	}
	if ((has_others || changes_group(privileges)) && !vd_capability_is_effective(CAP_SETGID))
		return vd_error_set(error, -EPERM, "to become a member of other groups needs CAP_SETGID: start as root, or as that user and "
				    "without --user");
	return 0;
}

/* ---- becoming it ---- */

int vd_user_change(const struct vd_privileges *privileges, struct vd_error *error)
{
	if (has_other_groups(privileges) && may_set_groups() &&
	    setgroups((size_t)privileges->group_count, privileges->groups))
		return vd_error_set(error, -errno, "the groups of uid %u cannot be set: %s", privileges->uid, strerror(errno));
	if (changes_group(privileges) && setresgid(privileges->gid, privileges->gid, privileges->gid))
		return vd_error_set(error, -errno, "gid %u cannot be had: %s", privileges->gid, strerror(errno));
	if (vd_user_changes(privileges) && setresuid(privileges->uid, privileges->uid, privileges->uid))
		return vd_error_set(error, -errno, "uid %u cannot be had: %s", privileges->uid, strerror(errno));
	return 0;
}
