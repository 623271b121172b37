/* SPDX-License-Identifier: MIT */
/*
 * A specification is a file's name or a stock function's, and behind a colon its arguments. Stock functions are looked
 * for beside the program or library that this code is in, so that an installed tree can be moved: FUNCTIONS_DIRECTORIES
 * below are relative to it; and last where they were installed.
 */
#include "engine/load.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/error.h"
#include "engine/library.h"
#include "engine/object.h"

#define PATH_VARIABLE "VERDICT_FUNCTION_PATH"

/* from the build's directory, from LIBDIR, from BINDIR */
static const char *const FUNCTIONS_DIRECTORIES[] = {"functions", "verdict/functions", "../lib/verdict/functions",
						    "../functions"};
#ifndef FUNCTION_DIRECTORY
#define FUNCTION_DIRECTORY "/usr/local/lib/verdict/functions"
#endif

#define DIRECTORIES_MAX 16

/* Where stock functions may be. */
struct search {
	char directories[DIRECTORIES_MAX][PATH_MAX];
	unsigned count;
};

static void add_directory(struct search *search, const char *base, size_t base_length, const char *below)
{
	if (search->count < DIRECTORIES_MAX && base_length &&
	    snprintf(search->directories[search->count], PATH_MAX, "%.*s%s%s", (int)base_length, base, *below ? "/" : "",
		     below) < PATH_MAX)
		search->count++;
}

static void find_directories(struct search *search)
{
	const char *variable = secure_getenv(PATH_VARIABLE);
	char path[PATH_MAX];
	Dl_info here;
	ssize_t length;
	const char *slash;

	search->count = 0;
	while (variable && *variable) {
		size_t part = strcspn(variable, ":");

		add_directory(search, variable, part, "");
		variable += part + (variable[part] == ':');
	}
	/* a program's own name may be relative to where it was started: ask the kernel; a library's name is what it says */
	length = readlink("/proc/self/exe", path, sizeof path - 1);
	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	for (unsigned i = 0; slash && i < sizeof FUNCTIONS_DIRECTORIES / sizeof *FUNCTIONS_DIRECTORIES; i++)
		add_directory(search, path, (size_t)(slash - path), FUNCTIONS_DIRECTORIES[i]);
	slash = dladdr((const void *)vd_load_function, &here) ? strrchr(here.dli_fname, '/') : NULL;
	for (unsigned i = 0; slash && i < sizeof FUNCTIONS_DIRECTORIES / sizeof *FUNCTIONS_DIRECTORIES; i++)
		add_directory(search, here.dli_fname, (size_t)(slash - here.dli_fname), FUNCTIONS_DIRECTORIES[i]);
	add_directory(search, FUNCTION_DIRECTORY, strlen(FUNCTION_DIRECTORY), "");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The stock functions that there are, for a person who mistyped one. */
static void list_functions(const struct search *search, char *text, size_t size)
{
	char *names[64];
	unsigned count = 0;
	size_t used = 0;

	*text = '\0';
	for (unsigned i = 0; i < search->count && !count; i++) {
		DIR *directory = opendir(search->directories[i]);
		struct dirent *entry;

		while (directory && count < 64 && (entry = readdir(directory))) {
			size_t length = strlen(entry->d_name);

			if (length > 3 && !strcmp(entry->d_name + length - 3, ".so"))
				names[count++] = strndup(entry->d_name, length - 3);
		}
		if (directory)
			closedir(directory);
	}
	qsort(names, count, sizeof *names, by_name);
	for (unsigned i = 0; i < count; i++) {
		used += (size_t)snprintf(text + used, used < size ? size - used : 0, "%s%s", i ? ", " : "", names[i]);
		if (used > size)
			used = size;
		free(names[i]);
	}
}

/* The file of a stock function in `path`. */
static int find_stock(const char *name, char *path, struct vd_error *error)
{
	struct search *search = malloc(sizeof *search);
	char there[256];
	int result = -ENOENT;

	if (!search)
		return vd_error_set(error, -ENOMEM, "out of memory");
	find_directories(search);
	for (unsigned i = 0; i < search->count && result; i++)
		if (snprintf(path, PATH_MAX, "%s/%s.so", search->directories[i], name) < PATH_MAX && !access(path, R_OK))
			result = 0;
	if (result) {
		list_functions(search, there, sizeof there);
		if (*there)
			vd_error_set(error, result, "there is no stock function '%s', only %s; a file's name needs a slash or .so",
				     name, there);
		else
			vd_error_set(error, result, "function '%s' was not found, nor any stock function: set %s to their directory",
				     name, PATH_VARIABLE);
	}
	free(search);
	return result;
}

/* Where the name ends: at the first colon; a path with a colon in it can be had through a link. */
static int find_file(const char *specification, char *path, const char **arguments, struct vd_error *error)
{
	size_t length = strcspn(specification, ":");

	*arguments = specification[length] ? specification + length + 1 : "";
	if (!length || length >= PATH_MAX - 2)
		return vd_error_set(error, -EINVAL, "'%.100s' names no function: NAME[:ARGUMENTS] or ./FILE.so[:ARGUMENTS]",
				    specification);
	memcpy(path, specification, length);
	path[length] = '\0';
	if (!strchr(path, '/') && (length < 4 || strcmp(path + length - 3, ".so"))) {
		char name[NAME_MAX + 1];

		if (length > NAME_MAX)
			return vd_error_set(error, -EINVAL, "'%.100s' names no function", path);
		memcpy(name, path, length + 1);
		return find_stock(name, path, error);
	}
	if (access(path, R_OK))
		return vd_error_set(error, -errno, "function file %s cannot be read: %s", path, strerror(errno));
	if (!strchr(path, '/')) { /* dlopen() would look for it in the libraries' directories */
		memmove(path + 2, path, length + 1);
		memcpy(path, "./", 2);
	}
	return 0;
}

int vd_load_function(const char *specification, struct vd_loaded *loaded, struct vd_error *error)
{
	char path[PATH_MAX];
	int result = find_file(specification, path, &loaded->arguments, error);

	if (result)
		return result;
	if (vd_object_is_cut_short(path))
		return vd_error_set(error, -ENOEXEC, "function file %s cannot be loaded: it is cut short; build or copy it again", path);
	loaded->library = vd_library_open(path);
	if (!loaded->library)
		return vd_error_set(error, -ENOEXEC, "function file %s cannot be loaded: %s", path, dlerror());
	loaded->function = dlsym(loaded->library, "vd_function");
	if (!loaded->function) {
		dlclose(loaded->library);
		return vd_error_set(error, -ENOEXEC,
				    "%s is not a verdict function: it has no VD_FUNCTION(...); see verdict-function(7)", path);
	}
	return 0;
}
