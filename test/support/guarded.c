/* SPDX-License-Identifier: MIT */
#include "guarded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How much of a long run is real memory. */
#define REPEATED (1u << 20)

static void *need(void *memory)
{
	if (memory != MAP_FAILED)
		return memory;
	perror("guarded: mmap");
	abort();
}

static uint64_t page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* Address space between guards, not yet usable. */
static struct guarded reserve(uint64_t size)
{
	uint8_t *start = need(mmap(NULL, size + 2 * page(), PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	return (struct guarded){start + page(), start + page() + size};
}

struct guarded guarded_make(uint32_t size)
{
	struct guarded guarded = reserve(round_up(size, page()));

	need(mmap(guarded.start, (size_t)(guarded.end - guarded.start), PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	return guarded;
}

struct guarded guarded_make_same(uint8_t value, uint64_t size)
{
	struct guarded guarded = reserve(round_up(size, REPEATED));
	int file = memfd_create("guarded", MFD_CLOEXEC);

	if (file < 0 || ftruncate(file, REPEATED)) {
		perror("guarded: memfd_create");
		abort();
	}
	for (uint8_t *at = guarded.start; at < guarded.end; at += REPEATED)
		need(mmap(at, REPEATED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0));
	close(file);
	memset(guarded.start, value, REPEATED);
	return guarded;
}

void guarded_free(struct guarded guarded)
{
	munmap(guarded.start - page(), (size_t)(guarded.end - guarded.start) + 2 * page());
}
