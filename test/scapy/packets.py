# SPDX-License-Identifier: MIT
"""Random packets of every protocol whose checksum the library knows: made by scapy, with scapy's checksums.

Where scapy has none (UDP-Lite, DCCP) they are put together here.
"""

import struct

from scapy.layers.inet import ICMP as IcmpLayer
from scapy.layers.inet import IP, TCP as TcpLayer, UDP as UdpLayer
from scapy.layers.inet import IPOption_LSRR, IPOption_NOP, IPOption_RR, IPOption_SSRR
from scapy.layers.inet6 import HAO, ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6ParamProblem
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.inet6 import IPv6ExtHdrSegmentRouting, PadN
from scapy.layers.l2 import GRE as GreLayer
from scapy.layers.sctp import SCTP as SctpLayer
from scapy.layers.sctp import SCTPChunkData
from scapy.packet import Raw

from checksums import *


class Maker:
    def __init__(self, random):
        self.random = random

    def chance(self, one_in):
        return self.random.randrange(one_in) == 0

    def some_bytes(self, longest=None):
        random = self.random
        if longest is None:
            longest = random.choice((0, 1, 2, 3, 9, 64, 65, 300, 1400))
        length = longest if self.chance(2) else random.randint(0, longest)
        return self.random.choice((b"", b"\0" * length, b"\xff" * length)) if self.chance(12) else random.randbytes(length)

    def number(self, bits):
        return self.random.choice((0, (1 << bits) - 1)) if self.chance(10) else self.random.getrandbits(bits)

    def four(self):
        return "%d.%d.%d.%d" % (self.random.choice((1, 10, 172, 192)), *self.random.randbytes(3))

    def six(self):
        return "fd00::%x:%x:%x" % tuple(self.random.getrandbits(16) for _ in range(3))

    # ---- network headers ----

    def route_four(self):
        addresses = [self.four() for _ in range(self.random.randint(1, 4))]
        # at its beginning, in its midst, or used up
        pointer = 4 + 4 * self.random.randint(0, len(addresses))
        return self.random.choice((IPOption_LSRR, IPOption_SSRR))(routers=addresses, pointer=pointer)

    def header_four(self):
        options = []
        if self.chance(3):
            for _ in range(self.random.randint(1, 3)):
                options.append(IPOption_NOP())
            if self.chance(2):
                options.append(self.route_four())
            elif self.chance(2):
                options.append(IPOption_RR(routers=[self.four()], pointer=8))
        return IP(src=self.four(), dst=self.four(), id=self.number(16), tos=self.number(8), ttl=self.number(8) or 1,
                  flags=self.random.choice((0, 2)), options=options)

    def extension(self):
        random = self.random
        kind = random.randrange(6)
        left = random.randint(0, 3)
        addresses = [self.six() for _ in range(3)]
        if kind == 0:
            return IPv6ExtHdrDestOpt(options=[PadN(optdata=random.randbytes(random.choice((4, 12))))])
        if kind == 1:
            return IPv6ExtHdrDestOpt(options=[HAO(hoa=self.six())])
        if kind == 2:
            return IPv6ExtHdrRouting(type=0, segleft=left, addresses=addresses)
        if kind == 3:
            return IPv6ExtHdrRouting(type=2, segleft=random.randint(0, 1), addresses=addresses[:1])
        if kind == 4:
            return IPv6ExtHdrSegmentRouting(segleft=min(left, 2), lastentry=2, addresses=addresses)
        if self.chance(6): # nobody knows where it leads
            return IPv6ExtHdrRouting(type=253, segleft=1, addresses=addresses[:1])
        return IPv6ExtHdrFragment(m=0, offset=0, id=self.number(32))

    def header_six(self):
        header = IPv6(src=self.six(), dst=self.six(), tc=self.number(8), fl=self.number(20), hlim=self.number(8))
        if self.chance(3):
            if self.chance(2):
                header = header / IPv6ExtHdrHopByHop(options=[PadN(optdata=self.random.randbytes(4))])
            kinds = set()
            for _ in range(self.random.randint(1, 3)):
                extension = self.extension()
                kind = "Routing" if "Routing" in type(extension).__name__ else type(extension).__name__
                if kind not in kinds: # one of each (RFC 8200, 4.1)
                    header = header / extension
                kinds.add(kind)
        return header

    # ---- what they carry ----

    def tcp(self, header):
        flags = self.random.choice(("S", "SA", "S", "SA", "A", "PA", "FA", "R"))
        options = [("MSS", self.number(16))] if "S" in flags else []
        for _ in range(self.random.randint(0, 4)):
            options.append(self.random.choice((
                ("MSS", self.number(16)), ("NOP", None), ("WScale", self.number(8)), ("SAckOK", b""),
                ("Timestamp", (self.number(32), self.number(32))), (253, self.random.randbytes(self.random.randint(0, 5))))))
        layer = TcpLayer(sport=self.number(16), dport=self.number(16), seq=self.number(32), ack=self.number(32), flags=flags,
                         window=self.number(16), urgptr=self.number(16), options=options[:3])
        return header / layer / Raw(self.some_bytes())

    def udp(self, header):
        layer = UdpLayer(sport=self.number(16), dport=self.number(16))
        if self.chance(6): # none; over IPv6 that is wrong
            layer.chksum = 0
        payload = self.some_bytes()
        if self.chance(12): # and bytes behind it that are no UDP
            layer.len = 8 + len(payload) - self.random.randint(0, min(len(payload), 5))
            if header.version == 4 and not header.options and layer.chksum is None:
                inner = bytes(header / UdpLayer(sport=layer.sport, dport=layer.dport) / Raw(payload[: layer.len - 8]))
                layer.chksum = word(inner, 26)
            else:
                layer.len = None
        return header / layer / Raw(payload)

    def icmp(self, header):
        return header / self.random.choice((
            IcmpLayer(type=8, id=self.number(16), seq=self.number(16)), IcmpLayer(type=0, id=self.number(16), seq=self.number(16)),
            IcmpLayer(type=13), IcmpLayer(type=3, code=self.random.randint(0, 15)))) / Raw(self.some_bytes())

    def icmpv6(self, header):
        return header / self.random.choice((
            ICMPv6EchoRequest(id=self.number(16), seq=self.number(16), data=self.some_bytes()),
            ICMPv6DestUnreach(code=4) / Raw(self.some_bytes()), ICMPv6ParamProblem(ptr=self.number(32)) / Raw(self.some_bytes()),
            ICMPv6ND_NS(tgt=self.six())))

    def sctp(self, header):
        layer = SctpLayer(sport=self.number(16), dport=self.number(16), tag=self.number(32))
        return header / layer / SCTPChunkData(tsn=self.number(32), data=self.some_bytes())

    def gre(self, header):
        layer = GreLayer(proto=0x6558, chksum_present=self.random.randint(0, 1), key_present=self.random.randint(0, 1),
                         key=self.number(32), seqnum_present=self.random.randint(0, 1), seqence_number=self.number(32))
        return header / layer / Raw(self.some_bytes())

    def by_hand(self, header, protocol, transport):
        """A transport header with its checksum missing."""
        data = bytearray(bytes(self.with_next(header, protocol) / Raw(transport)))
        packet = Packet(bytes(data))
        at = packet.field()
        if packet.destination is None:
            return data
        checksum = 0xFFFF - packet.residue() # the field is 0
        put_word(data, at, checksum % 0xFFFF if protocol == DCCP else checksum or 0xFFFF)
        return data

    @staticmethod
    def with_next(header, protocol):
        header = header.copy()
        if header.version == 4:
            header.proto = protocol
        else:
            header.lastlayer().nh = protocol
        return header

    def udplite(self, header):
        payload = self.some_bytes()
        coverage = self.random.choice((0, 8, 8 + len(payload), self.random.randint(8, 8 + len(payload))))
        return self.by_hand(header, UDPLITE, struct.pack(">HHHH", self.number(16), self.number(16), coverage, 0) + payload)

    def dccp(self, header):
        payload = self.some_bytes()
        words = len(payload) // 4
        coverage = self.random.choice((0, 1, self.random.randint(1, min(15, 1 + words))))
        transport = struct.pack(">HHBBHII", self.number(16), self.number(16), 4, coverage, 0, self.number(32), self.number(32))
        return self.by_hand(header, DCCP, transport + payload)

    def other(self, header):
        return self.with_next(header, self.random.choice((89, 50, 253))) / Raw(self.some_bytes())

    @staticmethod
    def complete_anew(data):
        """Where scapy made another sum than the receiver: see Maker.packet()."""
        packet = Packet(data)
        at = packet.field()
        if at is None or packet.has_no_checksum() or packet.protocol == SCTP:
            return data
        data = bytearray(data)
        field = -packet.residue(without_field=True) % 0xFFFF
        put_word(data, at, field or (0xFFFF if packet.protocol in NEVER_ZERO else 0))
        return bytes(data)

    # ---- fragments ----

    def cut(self, data):
        """One fragment of the packet, the first or a later one, without extension headers in front of it."""
        packet = Packet(data)
        payload, head = data[packet.transport :], bytearray(data[: packet.transport])
        # a first one that is shorter than its transport header is malformed
        at = 0 if self.chance(2) else 8 * self.random.randint(1, max(1, len(payload) // 8))
        length = 8 * self.random.randint(1, max(1, (len(payload) - at) // 8))
        part = payload[at : at + length]
        more = at + length < len(payload)
        if not more and not at or not part:
            return data
        if packet.version == 4:
            put_word(head, 6, at // 8 | (0x2000 if more else 0))
            put_word(head, 2, len(head) + len(part))
            put_word(head, 10, 0)
            put_word(head, 10, 0xFFFF - (ones_sum(head) or 0xFFFF))
            return bytes(head) + part
        whole = IPv6(bytes(head))
        return bytes(IPv6(src=whole.src, dst=whole.dst, hlim=whole.hlim)
                     / IPv6ExtHdrFragment(nh=packet.protocol, offset=at // 8, m=int(more), id=self.number(32)) / Raw(part))

    # ---- all of it ----

    def packet(self):
        four = self.chance(2)
        header = self.header_four() if four else self.header_six()
        kinds = [self.tcp] * 4 + [self.udp] * 2 + [self.udplite, self.dccp, self.sctp, self.gre]
        kinds.append(self.icmp if four else self.icmpv6)
        make = self.other if self.chance(40) else self.random.choice(kinds)
        data = bytes(make(header))
        routes = [option for option in header.options if hasattr(option, "pointer")] if four else []
        if any(route.pointer > 3 + 4 * len(route.routers) for route in routes):
            data = self.complete_anew(data) # scapy takes the last address of a source route that is used up
        if self.chance(8) and not Packet(data).has_extensions:
            data = self.cut(data)
        if self.chance(25):
            data += self.random.randbytes(self.random.randint(1, 20)) # of a link
        return data


def damage(random, data):
    """The packet with one bit of what a checksum covers turned over, so that it is wrong; None: there is no such bit."""
    packet = Packet(data)
    damaged = bytearray(data)
    payload = packet.payload()
    places = []
    if packet.version == 4:
        places += [4, 5, 10, 11] # identification, checksum
    at = packet.field()
    if at is not None and not packet.is_fragment and not packet.has_no_checksum() and packet.destination is not None:
        places += [at, at + 1] * 3
        places += list(range(payload[0], packet.covered_end())) if payload else []
    if not places:
        return None
    damaged[random.choice(places)] ^= 1 << random.randrange(8)
    return bytes(damaged)
