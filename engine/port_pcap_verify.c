/* SPDX-License-Identifier: MIT */
#include "engine/port_pcap_verify.h"

#include "lib/packet/packet.h"

enum checksums {
	RIGHT, /* or there are none */
	WRONG,
	UNKNOWN,
	MALFORMED,
};

static enum checksums checksums_of(struct vd_packet *packet)
{
	switch (vd_packet_verify(packet)) {
	case 0:
		return RIGHT;
	case -EBADMSG:
		return WRONG;
	case -EINVAL:
		return MALFORMED;
	default:
		return UNKNOWN;
	}
}

void vd_pcap_verify_received(struct vd_packet *const *packets, unsigned count, struct vd_port_counters *counters)
{
	for (unsigned i = 0; i < count; i++) {
		enum checksums is;

		vd_packet_parse(packets[i], vd_packet_data(packets[i]));
		is = checksums_of(packets[i]);
		packets[i]->port_private |= (uint64_t)is << VD_PCAP_POSITION_BITS;
		counters->checksums_checked += is == RIGHT || is == WRONG;
		counters->checksums_wrong_before += is == WRONG;
		counters->checksums_unknown += is == UNKNOWN;
	}
}

unsigned vd_pcap_verify_accepted(struct vd_packet *const *packets, unsigned count)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < count; i++) {
		enum checksums before = (enum checksums)(packets[i]->port_private >> VD_PCAP_POSITION_BITS);

		if (vd_packet_is_dropped(packets[i]))
			continue;
		wrong += (packets[i]->changed & VD_CHANGED_DATA ? checksums_of(packets[i]) : before) == WRONG;
	}
	return wrong;
}
