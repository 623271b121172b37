/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071) and CRC32c (RFC 9260, appendix A). Internal: what completes a packet's checksums is
 * built on this.
 *
 * The Internet checksum is the complement of a sum of 16-bit words in ones' complement arithmetic, that is modulo
 * 65,535. It does not depend on byte order: words are read as the machine reads them, and the result is stored as it
 * is, by memcpy(). So what is as large as a field (`_be`) is in network order, whatever the machine.
 *
 *	part	the sum of a run of bytes, in 32 bits. An odd byte at the end counts as if a zero followed
 *	sum	parts added up, in 64 bits: room for 2^24 parts. Start with 0
 *
 * Both are only known modulo 65,535, but they are 0 only where all bytes were 0. That is what tells the two zeros of
 * ones' complement apart: the checksum of anything but zeros is 0 to 0xfffe, of nothing but zeros 0xffff.
 *
 * Any thread may call any of it, for any length and alignment; nothing outside of the bytes is read or written.
 */
#ifndef VERDICT_LIB_CHECKSUM_H
#define VERDICT_LIB_CHECKSUM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
#define VD_RESTRICT __restrict
#else
#define VD_RESTRICT restrict
#endif

/* ---- kernels: the same sums by other instructions ---- */

struct vd_checksum_kernel {
	const char *name;
	bool (*is_supported)(void); /* by this CPU */
	uint32_t (*sum)(const void *data, uint32_t length);
	/* and the sum of what was copied */
	uint32_t (*copy)(void *VD_RESTRICT to, const void *VD_RESTRICT from, uint32_t length);
};

struct vd_crc32c_kernel {
	const char *name;
	bool (*is_supported)(void);
	uint32_t (*add)(uint32_t crc, const void *data, uint32_t length);
};

/* Those that this CPU can run: 0 is what any CPU can, the last is the fastest, and in use. Behind it there is NULL. */
const struct vd_checksum_kernel *vd_checksum_kernel(unsigned number);
const struct vd_crc32c_kernel *vd_crc32c_kernel(unsigned number);

/* Set before main(), and right for any CPU even before that. Read by the functions below. */
struct vd_checksum_chosen {
	uint32_t (*sum)(const void *data, uint32_t length);
	uint32_t (*copy)(void *VD_RESTRICT to, const void *VD_RESTRICT from, uint32_t length);
	uint32_t (*crc32c)(uint32_t crc, const void *data, uint32_t length);
};
extern struct vd_checksum_chosen vd_checksum_chosen;

/* ---- the Internet checksum ---- */

static inline uint32_t vd_checksum_part(const void *data, uint32_t length)
{
	return vd_checksum_chosen.sum(data, length);
}

/* Copies, and returns the part of what was copied, in one pass. The two must not overlap. */
static inline uint32_t vd_checksum_copy(void *VD_RESTRICT to, const void *VD_RESTRICT from, uint32_t length)
{
	return vd_checksum_chosen.copy(to, from, length);
}

/*
 * Adds a part that begins `at` bytes behind the beginning of the whole. Behind an odd number of bytes each byte is in
 * the other half of its word: the bytes of the part change places, which is a multiplication by 256 (RFC 1071, 2
 * (B)).
 */
static inline uint64_t vd_checksum_add(uint64_t sum, uint32_t part, uint32_t at)
{
	return sum + ((uint64_t)part << (at & 1) * 8);
}

/* A field that lies at an even place, such as those of a pseudo-header. */
static inline uint64_t vd_checksum_add_be(uint64_t sum, uint32_t field_be)
{
	return sum + field_be;
}

/* 64 bits to 16. Each step adds the halves, and the carry, in the upper half: 0 comes of 0 alone. */
static inline uint16_t vd_checksum_fold_be(uint64_t sum)
{
	uint32_t half;

	sum += sum << 32 | sum >> 32;
	half = (uint32_t)(sum >> 32);
	half += half << 16 | half >> 16;
	return (uint16_t)(half >> 16);
}

/* The checksum itself. Where a field has a rule for 0 (UDP: RFC 768) the caller has to keep it. */
static inline uint16_t vd_checksum_finish_be(uint64_t sum)
{
	return (uint16_t)~vd_checksum_fold_be(sum);
}

/*
 * ---- the checksum of a packet in which something changed: RFC 1624, equation 3: HC' = ~(~HC + ~m + m') ----
 *
 * Equal to the checksum in full, of all but a packet of zeros. What is wrong before is as wrong after: not for
 * checksums that were not completed yet.
 */

/* Fields at even places: almost all that there are. */

static inline uint16_t vd_checksum_update16_be(uint16_t checksum_be, uint16_t from_be, uint16_t to_be)
{
	return vd_checksum_finish_be((uint64_t)(uint16_t)~checksum_be + (uint16_t)~from_be + to_be);
}

static inline uint16_t vd_checksum_update32_be(uint16_t checksum_be, uint32_t from_be, uint32_t to_be)
{
	return vd_checksum_finish_be((uint64_t)(uint16_t)~checksum_be + (uint32_t)~from_be + to_be);
}

/* 16 bytes, an IPv6 address. */
static inline uint16_t vd_checksum_update128_be(uint16_t checksum_be, const void *from, const void *to)
{
	uint64_t sum = (uint16_t)~checksum_be;
	uint32_t from_be[4], to_be[4];

	memcpy(from_be, from, sizeof from_be);
	memcpy(to_be, to, sizeof to_be);
	for (unsigned i = 0; i < 4; i++)
		sum += (uint64_t)(uint32_t)~from_be[i] + to_be[i];
	return vd_checksum_finish_be(sum);
}

/* Any number of bytes, `at` bytes behind the beginning of what is summed: fields at odd places, payload. */
static inline uint16_t vd_checksum_update_be(uint16_t checksum_be, const void *from, const void *to, uint32_t length,
					     uint32_t at)
{
	uint64_t sum = vd_checksum_add((uint16_t)~checksum_be, ~vd_checksum_part(from, length), at);

	return vd_checksum_finish_be(vd_checksum_add(sum, vd_checksum_part(to, length), at));
}

/* ---- CRC32c ---- */

/*
 * The CRC of what `crc` is the CRC of with these bytes behind it; 0 is that of nothing. SCTP stores it with its low
 * byte first.
 */
static inline uint32_t vd_crc32c_add(uint32_t crc, const void *data, uint32_t length)
{
	return vd_checksum_chosen.crc32c(crc, data, length);
}

#endif
