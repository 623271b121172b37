# SPDX-License-Identifier: MIT
"""Packets and their checksums, read from the RFCs once more: nothing here is taken from the library.

A checksum is told by the residue: the sum over all that it covers, the field and the pseudo-header included, is 0 modulo 65535
if it is right (RFC 1071). An edit that is completed by what changed (RFC 1624) leaves the residue as it was, also a wrong one.
"""

TCP, UDP, UDPLITE, DCCP, SCTP, GRE, ICMP, ICMPV6 = 6, 17, 136, 33, 132, 47, 1, 58
HOPOPTS, ROUTING, FRAGMENT, DSTOPTS = 0, 43, 44, 60
KNOWN = {TCP, UDP, UDPLITE, DCCP, SCTP, GRE, ICMP, ICMPV6}
WITH_PORTS = {TCP, UDP, UDPLITE, DCCP, SCTP}
WITH_PSEUDO_HEADER = {TCP, UDP, UDPLITE, DCCP, ICMPV6}
NEVER_ZERO = {UDP, UDPLITE}


def word(data, at):
    return data[at] << 8 | data[at + 1]


def put_word(data, at, number):
    data[at : at + 2] = number.to_bytes(2, "big")


def ones_sum(data):
    """Of 16-bit words, in ones' complement arithmetic, modulo 65535: the whole as one number has the same remainder."""
    return int.from_bytes(bytes(data) + b"\0" * (len(data) % 2), "big") % 0xFFFF


def crc32c(data, table=[]):
    """RFC 9260, appendix A, a byte at a time."""
    if not table:
        for byte in range(256):
            for _ in range(8):
                byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
            table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Packet:
    """Where things are in a packet that makes sense (those that are made here do)."""

    def __init__(self, data):
        self.data = data
        self.version = data[0] >> 4
        self.is_fragment = self.is_later = self.is_source_routed = self.has_extensions = False
        if self.version == 4:
            self.parse_four()
        else:
            self.parse_six()
        # a first fragment may be too short for its transport header: then nothing is done with it
        least = {TCP: 20, UDP: 8, UDPLITE: 8, DCCP: 12, SCTP: 12, GRE: 4, ICMP: 4, ICMPV6: 4}.get(self.protocol, 0)
        self.is_malformed = not self.is_later and self.end - self.transport < least
        # what its checksum covers is not all here, or not known
        self.is_partial = self.is_fragment or (self.protocol in WITH_PSEUDO_HEADER and self.destination is None)
        self.is_known = self.protocol in KNOWN and self.protocol != (ICMPV6 if self.version == 4 else ICMP)

    def parse_four(self):
        data = self.data
        self.transport = (data[0] & 15) * 4
        self.end = word(data, 2)
        self.protocol = data[9]
        self.source, self.destination = data[12:16], data[16:20]
        fragment = word(data, 6)
        self.is_fragment = bool(fragment & 0x3FFF)
        self.is_later = bool(fragment & 0x1FFF)
        at = 20
        while at < self.transport and data[at]:
            if data[at] == 1:
                at += 1
                continue
            # a loose or strict source route (RFC 791): the pointer counts from 1, and is beyond the end when it is used up
            if data[at] in (131, 137) and data[at + 2] < data[at + 1]:
                self.destination = data[at + data[at + 1] - 4 : at + data[at + 1]]
                self.is_source_routed = True
            at += data[at + 1]

    def parse_six(self):
        data = self.data
        self.end = 40 + word(data, 4)
        self.source, self.destination = data[8:24], data[24:40]
        kind, at = data[6], 40
        while kind in (HOPOPTS, ROUTING, FRAGMENT, DSTOPTS):
            self.has_extensions = True
            length = 8 if kind == FRAGMENT else (data[at + 1] + 1) * 8
            header = data[at : at + length]
            if kind == FRAGMENT:
                self.is_fragment |= bool(word(header, 2) & 0xFFF9)
                self.is_later |= bool(word(header, 2) & 0xFFF8)
            elif kind == ROUTING and header[3]:
                # the last address (RFC 8200, 6275), or the first in the list (RFC 8754)
                self.destination = header[-16:] if header[2] in (0, 2) else header[8:24] if header[2] == 4 else None
            elif kind == DSTOPTS:
                self.find_home_address(header)
            kind = header[0]
            at += length
            if self.is_later:
                break
        self.protocol = kind
        self.transport = at

    def find_home_address(self, header):
        at = 2
        while at < len(header):
            if header[at] == 0:
                at += 1
                continue
            if header[at] == 0xC9:
                self.source = header[at + 2 : at + 18]
            at += header[at + 1] + 2

    # ---- the checksum's field, and what it covers ----

    def field(self):
        """Where it is in the packet; None if there is none, or it is not here."""
        if not self.is_known or self.is_later:
            return None
        at = {TCP: 16, UDP: 6, UDPLITE: 6, DCCP: 6, ICMP: 2, ICMPV6: 2, SCTP: 8, GRE: 4}[self.protocol]
        if self.protocol == GRE and not self.data[self.transport] & 0x80:
            return None
        size = 4 if self.protocol == SCTP else 2
        return self.transport + at if self.transport + at + size <= self.end else None

    def covered_end(self):
        """Of a fragment: as far as it goes here."""
        header, end = self.data[self.transport : self.end], self.end
        if self.protocol == UDP and word(header, 4):
            end = self.transport + word(header, 4)
        elif self.protocol == UDPLITE and word(header, 4):
            end = self.transport + word(header, 4)
        elif self.protocol == DCCP and header[5] & 15:
            end = self.transport + header[4] * 4 + ((header[5] & 15) - 1) * 4
        return min(end, self.end) if self.is_fragment else end

    def pseudo_sum(self):
        """0 where there is none. What stays the same (a fragment's length) may be wrong in it."""
        if self.protocol not in WITH_PSEUDO_HEADER:
            return 0
        length = self.end - self.transport
        if self.protocol == UDP and word(self.data, self.transport + 4):
            length = word(self.data, self.transport + 4)
        return ones_sum(self.source) + ones_sum(self.destination or b"") + length + self.protocol

    def residue(self, without_field=False):
        at = self.field()
        total = self.pseudo_sum() + ones_sum(self.data[self.transport : self.covered_end()])
        return (total - (word(self.data, at) if without_field else 0)) % 0xFFFF

    def crc(self):
        at = self.field()
        zeroed = self.data[self.transport : at] + b"\0\0\0\0" + self.data[at + 4 : self.end]
        return crc32c(zeroed).to_bytes(4, "little")

    def has_no_checksum(self):
        """UDP's way to say so, allowed or not."""
        return self.protocol == UDP and self.field() is not None and word(self.data, self.field()) == 0

    def payload(self):
        """From where to where; None: its header is not all here."""
        if not self.is_known or self.is_later:
            return None
        header = self.data[self.transport : self.end]
        if self.protocol in (TCP, DCCP) and len(header) < 14:
            return None
        if self.protocol == TCP:
            size = (header[12] >> 4) * 4
        elif self.protocol == DCCP:
            size = header[4] * 4
        elif self.protocol == GRE:
            size = 4 + 4 * (bool(header[0] & 0x80) + bool(header[0] & 0x20) + bool(header[0] & 0x10))
        else:
            size = 12 if self.protocol == SCTP else 8
        end = self.end
        if self.protocol == UDP and not self.is_fragment and word(header, 4):
            end = min(end, self.transport + word(header, 4))
        return (self.transport + size, end) if self.transport + size <= end else None

    # ---- right or wrong ----

    def is_header_right(self):
        return self.version == 6 or ones_sum(self.data[: (self.data[0] & 15) * 4]) == 0

    def is_transport_right(self):
        """None: it cannot be told."""
        if self.is_partial:
            return None
        at = self.field()
        if at is None:
            return True
        if self.has_no_checksum():
            return self.version == 4
        if self.protocol == SCTP:
            return self.data[at : at + 4] == self.crc()
        return self.residue() == 0

    def is_right(self):
        return self.is_transport_right() if self.is_header_right() else False
