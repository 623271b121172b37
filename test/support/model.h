/* SPDX-License-Identifier: MIT */
/*
 * What a packet's checksums have to be, found byte by byte and by nothing of the library; packets of every kind that it knows;
 * and every edit, done a second time on plain bytes. For tests and fuzzers.
 */
#ifndef VERDICT_TEST_MODEL_H
#define VERDICT_TEST_MODEL_H

#include "test/support/bytes.h"

/*
 * Makes the checksums of a whole packet right, in full, as the table in <verdict/edit.h> has it: IPv4's own; that of the transport
 * header, but not of fragments, and not where UDP over IPv4 says that there is none. False: there is no right one, since what
 * says how much is covered makes no sense.
 */
bool model_complete(uint8_t *data, uint32_t length);

/* Puts the sum of the pseudo-header there, as the kernel does where a device is to make the checksum. False: there is none. */
bool model_set_not_ready(uint8_t *data, uint32_t length);

/*
 * A packet of random kind, headers, options and contents, of at most 1600 bytes, with right checksums. Sometimes a fragment,
 * sometimes UDP without a checksum.
 */
void model_random_packet(uint64_t *random, struct bytes *bytes);

/*
 * Tries one edit, chosen at random, on the packet, and, if it was done, on the model too. NULL, or what is wrong: an error that may
 * not be, a refusal that changed something, an accessor that tells something else.
 */
const char *model_random_edit(uint64_t *random, struct vd_packet *packet, struct bytes *model);

#endif
