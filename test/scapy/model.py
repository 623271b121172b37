# SPDX-License-Identifier: MIT
"""What has to come of a packet that test/functions/edit_any.c edited, by its log and what <verdict/edit.h> says."""

import errno

from checksums import *

# after one of these, the packet goes on as it came
REFUSALS = {-errno.ENODATA, -errno.EMSGSIZE, -errno.EOPNOTSUPP, -errno.EPERM, -errno.EBADMSG}


class Wrong(Exception):
    pass


def read_log(path):
    """For each packet's number: (call, arguments, result) in order."""
    calls = {}
    with open(path) as file:
        for line in file:
            said, result = line.rsplit(" = ", 1)
            number, call, *arguments = said.split(" ")
            calls.setdefault(int(number), []).append((call, arguments, int(result)))
    return calls


def as_bytes(text):
    return b"" if text == "-" else bytes.fromhex(text)


class Model:
    """Calls that succeed change `data`; the checksums are made at the end."""

    def __init__(self, original):
        self.original = bytes(original)
        self.data = bytearray(original)
        self.packet = Packet(bytes(original))
        self.was_right = self.packet.is_transport_right()
        self.is_edited = False
        self.is_refused = False
        # residue that the checksum has to keep; None: it is made in full
        self.residue = None
        if self.packet.field() is not None and self.packet.protocol != SCTP:
            self.residue = self.packet.residue()

    def parse(self):
        self.packet = Packet(bytes(self.data))

    # ---- may it be done ----

    def may_be_made_in_full(self):
        packet = self.packet
        if packet.has_no_checksum() or packet.field() is None:
            return not packet.is_partial or packet.field() is None
        return self.was_right is True

    def may_edit_header(self, length):
        packet = self.packet
        if packet.is_later or packet.transport + length > packet.end:
            return False
        return packet.protocol != SCTP or self.may_be_made_in_full()

    def may_edit_tcp(self):
        return self.packet.protocol == TCP and self.may_edit_header(20)

    def may_splice(self, offset, length):
        there = self.packet.payload()
        if not there or self.packet.is_fragment or offset + length > there[1] - there[0] or there[1] != self.packet.end:
            return False
        return self.may_be_made_in_full()

    # ---- calls: whether it has to succeed, and what it does then ----

    def address(self, text, place):
        yield True
        self.data[place : place + len(as_bytes(text))] = as_bytes(text)

    def call_source(self, text):
        return self.address(text, 12 if self.packet.version == 4 else 8)

    def call_destination(self, text):
        return self.address(text, 16 if self.packet.version == 4 else 24)

    def call_ttl(self, number):
        yield int(number) <= 255
        self.data[8 if self.packet.version == 4 else 7] = int(number)

    def traffic_class(self, bits, mask):
        if self.packet.version == 4:
            self.data[1] = self.data[1] & ~mask | bits
        else:
            put_word(self.data, 0, word(self.data, 0) & ~(mask << 4) | bits << 4)

    def call_dscp(self, number):
        yield int(number) <= 63
        self.traffic_class(int(number) << 2, 0xFC)

    def call_ecn(self, number):
        yield int(number) <= 3
        self.traffic_class(int(number), 3)

    def port(self, number, at):
        yield int(number) <= 65535 and self.packet.protocol in WITH_PORTS and self.may_edit_header(4)
        put_word(self.data, self.packet.transport + at, int(number))

    def call_source_port(self, number):
        return self.port(number, 0)

    def call_destination_port(self, number):
        return self.port(number, 2)

    def call_tcp_flags(self, number):
        yield int(number) <= 255 and self.may_edit_tcp()
        self.data[self.packet.transport + 13] = int(number)

    def call_tcp_window(self, number):
        yield int(number) <= 65535 and self.may_edit_tcp()
        put_word(self.data, self.packet.transport + 14, int(number))

    def tcp_number(self, number, at):
        yield self.may_edit_tcp()
        at += self.packet.transport
        self.data[at : at + 4] = int(number).to_bytes(4, "big")

    def call_tcp_sequence(self, number):
        return self.tcp_number(number, 4)

    def call_tcp_acknowledgment(self, number):
        return self.tcp_number(number, 8)

    def options(self, kind):
        """Where options of this kind are, and how long."""
        found, at = [], self.packet.transport + 20
        if not self.may_edit_tcp():
            return found
        end = self.packet.transport + (self.data[self.packet.transport + 12] >> 4) * 4
        if end > self.packet.end:
            return found
        while at < end and self.data[at]:
            length = 1
            if self.data[at] != 1:
                if end - at < 2 or not 2 <= self.data[at + 1] <= end - at:
                    break
                length = self.data[at + 1]
                if self.data[at] == kind:
                    found.append((at, length))
            at += length
        return found

    def call_tcp_option(self, kind, text):
        found, value = self.options(int(kind)), as_bytes(text)
        yield bool(found) and len(value) == found[0][1] - 2
        at = found[0][0] + 2
        self.data[at : at + len(value)] = value

    def call_remove_tcp_option(self, kind):
        found = self.options(int(kind))
        yield bool(found)
        for at, length in found:
            self.data[at : at + length] = b"\1" * length

    def call_clamp_mss(self, number):
        found = self.options(2)
        yield bool(found) and found[0][1] == 4 and int(number) > 0 and bool(self.data[self.packet.transport + 13] & 2)
        put_word(self.data, found[0][0] + 2, min(int(number), word(self.data, found[0][0] + 2)))

    def call_write_payload(self, offset, text):
        there, value, offset = self.packet.payload(), as_bytes(text), int(offset)
        fits = there and offset + len(value) <= there[1] - there[0]
        yield bool(fits) and (self.packet.protocol != SCTP or self.may_be_made_in_full())
        at = there[0] + offset
        self.data[at : at + len(value)] = value

    def splice(self, offset, length, value):
        if length == len(value):
            return self.call_write_payload(offset, value.hex() or "-")
        return self.splice_other(offset, length, value)

    def splice_other(self, offset, length, value):
        yield self.may_splice(offset, length)
        start = self.packet.payload()[0] + offset
        data, at = self.data, self.packet.transport
        before = len(data) - at
        data[start : start + length] = value
        after = len(data) - at
        if self.packet.version == 4:
            put_word(data, 2, len(data))
        else:
            put_word(data, 4, len(data) - 40)
        if self.packet.protocol == UDP:
            put_word(data, at + 4, after)
        if self.packet.protocol == UDPLITE and (word(data, at + 4) == before or word(data, at + 4) > after):
            put_word(data, at + 4, after)
        if self.packet.protocol == DCCP and data[at + 5] & 15:
            if data[at + 4] * 4 + ((data[at + 5] & 15) - 1) * 4 > after:
                data[at + 5] &= 0xF0
        self.residue = None

    def call_replace_payload(self, text):
        there, value = self.packet.payload(), as_bytes(text)
        return self.splice(0, there[1] - there[0] if there else 0, value)

    def call_insert_payload(self, offset, text):
        return self.splice(int(offset), 0, as_bytes(text))

    def call_delete_payload(self, offset, length):
        return self.splice(int(offset), int(length), b"")

    def call_replace(self, text):
        # parts of a replacement are random: whether it is malformed is not judged here
        yield None
        self.data = bytearray(as_bytes(text))
        self.parse()
        # the checksum of a fragment, and one that nobody can make, stay as they are in it
        self.residue = None
        if self.packet.field() is not None and self.packet.is_transport_right() is None and self.packet.protocol != SCTP:
            self.residue = self.packet.residue()
        self.was_right = None if self.packet.is_transport_right() is None else True

    def call_verify(self):
        yield None

    # ---- all of it ----

    def apply(self, call, arguments, result):
        if self.is_edited:
            self.parse()
        steps = getattr(self, "call_" + call)(*arguments)
        should = False if self.packet.is_malformed else next(steps)
        if should is not None and should != (result >= 0):
            raise Wrong(f"{call} {' '.join(arguments)[:60]} returned {result}, and should {'succeed' if should else 'fail'}")
        if call == "verify":
            self.check_verified(result)
        elif result in REFUSALS:
            self.is_refused = True
        elif result >= 0 and not (call == "clamp_mss" and result == 0):
            if not self.is_edited:
                del self.data[self.packet.end :]  # what pads it does not belong to it
                self.is_edited = True
            next(steps, None)
            self.parse()

    def check_verified(self, result):
        if self.packet.is_malformed:
            wanted = -errno.EINVAL
        elif not self.is_edited:
            is_right = self.packet.is_right()
            wanted = 0 if is_right else -errno.ENODATA if is_right is None else -errno.EBADMSG
        elif self.packet.is_transport_right() is None:
            wanted = -errno.ENODATA
        else:  # the header has a new one; another one is as it was, or new
            wanted = self.wanted_after()
        if result != wanted:
            raise Wrong(f"verify returned {result}, and should {wanted}")

    def wanted_after(self):
        packet = self.packet
        if self.residue is None or packet.field() is None or self.residue == 0 or packet.has_no_checksum():
            return 0 if packet.protocol != SCTP or self.was_right else -errno.EBADMSG
        return -errno.EBADMSG

    def results(self):
        """All that may come out: two, where the two zeros of ones' complement arithmetic are as good."""
        if self.is_refused or not self.is_edited:
            return [self.original]
        self.parse()
        packet, data = self.packet, self.data
        if packet.version == 4:
            put_word(data, 10, 0)
            put_word(data, 10, 0xFFFF - (ones_sum(data[: packet.transport]) or 0xFFFF))
        at = packet.field()
        if at is None or (packet.has_no_checksum() and (packet.version == 4 or packet.is_partial)):
            return [bytes(data)]
        if packet.protocol == SCTP:
            if self.was_right and not packet.is_fragment:
                data[at : at + 4] = packet.crc()
            return [bytes(data)]
        if packet.has_no_checksum():
            self.residue = 0
        field = ((self.residue or 0) - packet.residue(without_field=True)) % 0xFFFF
        fields = [field]
        if field == 0 and packet.protocol in NEVER_ZERO:
            fields = [0xFFFF]
        elif field == 0 and (self.residue or packet.is_partial):
            fields = [0, 0xFFFF]
        results = []
        for field in fields:
            put_word(data, at, field)
            results.append(bytes(data))
        return results
