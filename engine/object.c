/* SPDX-License-Identifier: MIT */
#include "engine/object.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the class of this program; another one is refused by dlopen(). */
static bool is_object(const ElfW(Ehdr) *header)
{
	return !memcmp(header->e_ident, ELFMAG, SELFMAG) && header->e_phentsize == sizeof(ElfW(Phdr)) &&
	       header->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
}

static bool is_beyond(uint64_t offset, uint64_t length, uint64_t size)
{
	return offset > size || length > size - offset;
}

static bool is_cut_short(int file, uint64_t size)
{
	ElfW(Ehdr) header;
	ElfW(Phdr) segment;

	if (pread(file, &header, sizeof header, 0) != sizeof header || !is_object(&header))
		return false;
	if (is_beyond(header.e_phoff, (uint64_t)header.e_phnum * sizeof segment, size))
		return true;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		off_t offset = (off_t)(header.e_phoff + i * sizeof segment);

		if (pread(file, &segment, sizeof segment, offset) != sizeof segment ||
		    (segment.p_type == PT_LOAD && is_beyond(segment.p_offset, segment.p_filesz, size)))
			return true;
	}
	return false;
}

bool vd_object_is_cut_short(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	bool is_short;

	if (file < 0)
		return false;
	is_short = !fstat(file, &status) && S_ISREG(status.st_mode) && is_cut_short(file, (uint64_t)status.st_size);
	close(file);
	return is_short;
}
