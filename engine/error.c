/* SPDX-License-Identifier: MIT */
#include "engine/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int vd_error_set(struct vd_error *error, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
	return code;
}

int vd_error_netns(struct vd_error *error, const char *netns, int code)
{
	if (code == -ENOENT)
		return vd_error_set(error, code, "there is no network namespace '%s'; `ip netns` lists them", netns);
	if (code == -EINVAL)
		return vd_error_set(error, -ENOENT, "'%s' is not a network namespace; `ip netns` lists them", netns);
	if (code == -EPERM)
		return vd_error_set(error, code, "network namespace '%s' cannot be entered: that needs CAP_SYS_ADMIN, here and in the "
				    "namespace: run as root, or give the program the capability", netns);
	return vd_error_set(error, code, "network namespace '%s' cannot be entered: %s", netns, strerror(-code));
}

void vd_error_prefix(struct vd_error *error, const char *format, ...)
{
	struct vd_error whole;
	size_t used;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(whole.text, sizeof whole.text, format, arguments);
	va_end(arguments);
	used = strlen(whole.text);
	snprintf(whole.text + used, sizeof whole.text - used, ": %.*s", (int)(sizeof whole.text - used - 3), error->text);
	*error = whole;
}
