/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: the answer to a rejected packet. The oracle (test/support/answer_oracle.c):
 *
 *	- nothing that must not be answered is answered;
 *	- an answer is one whole packet, with right lengths and checksums, from where it shall come, to the sender;
 *	- a reset has the numbers of RFC 9293, an ICMP error type, code and as much of the packet as fits;
 *	- of a packet that was copied in part, the same answer but for what is quoted, or none.
 *
 * Input: a byte of choices, the kind of rejection, its code, two bytes (how much is copied of the part), the packet.
 */
#include <stdio.h>
#include <stdlib.h>

#include "test/support/answer_oracle.h"
#include "test/support/bytes.h"

/* choices: bits 0-2 skb_info, 3 whether a source is given, 4-7 bytes that were never copied */
#define CHOICE_SOURCE 0x08

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "oracle: %s\n", what);
	abort();
}

static enum vd_answer check(const uint8_t *data, uint32_t length, uint32_t wire_length, const uint8_t *choices)
{
	static const uint8_t source[16] = {0x20, 0x01, 0x0d, 0xb8, 9};
	struct vd_packet *packet = bytes_packet(data, length, wire_length, 0, wire_length && data[0] >> 4 == 6 ? 0x86dd : 0x0800,
						choices[0] & 7);
	enum vd_answer answer;
	const char *fault;

	packet->reject = choices[1] & 7; /* one more than there are */
	packet->reject_code = choices[2];
	fault = answer_fault_of(packet, choices[0] & CHOICE_SOURCE ? source : NULL, &answer);
	must(!fault, fault);
	free(packet);
	return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t length, wire_length, copied;
	enum vd_answer whole, part;

	if (size < 6 || size > 60000)
		return 0;
	length = (uint32_t)size - 5;
	wire_length = length + (data[0] >> 4) * 5000u;
	copied = ((uint32_t)data[3] << 8 | data[4]) % (length + 1);
	whole = check(data + 5, length, wire_length, data);
	part = check(data + 5, copied, wire_length, data);
	must(part == whole || vd_answer_is_none(part), "another answer to a part of the packet");
	must(vd_answer_is_none(part) || !vd_answer_is_none(whole), "a part of the packet is answered, all of it is not");
	return 0;
}
