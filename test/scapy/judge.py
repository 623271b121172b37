# SPDX-License-Identifier: MIT
"""judge.py VERDICT EDIT_ANY DIRECTORY SEED COUNT: a second opinion on checksums.

Random packets go through `verdict replay` with a function that edits them (test/functions/edit_any.c). What comes out is
compared with a model of <verdict/edit.h>, to the byte; and scapy computes the checksums of it. Prints a line for each check,
as test/support/shell.sh does.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter

from scapy.config import conf
from scapy.layers.inet import IP, in4_chksum
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, Pad1, PadN, in6_chksum
from scapy.layers.sctp import crc32c as scapy_crc32c
from scapy.utils import RawPcapReader, RawPcapWriter
from scapy.utils import checksum as scapy_checksum

from checksums import *
from model import Model, Wrong, read_log
from packets import Maker, damage

conf.verb = 0
conf.logLevel = 50

VERDICT, EDIT_ANY, DIRECTORY = sys.argv[1:4]
SEED, COUNT = int(sys.argv[4]), int(sys.argv[5])
RAW_IP = 101
# a slow machine makes fewer packets
MAKING_S = 8
CALLS = ["source", "destination", "ttl", "dscp", "ecn", "source_port", "destination_port", "tcp_flags", "tcp_window",
         "tcp_sequence", "tcp_acknowledgment", "tcp_option", "remove_tcp_option", "clamp_mss", "write_payload",
         "replace_payload", "insert_payload", "delete_payload", "replace"]


def check(text, problems):
    if problems:
        print(f"not ok - {text} ({len(problems)} times)")
        for problem in problems[:3]:
            print(f"# {problem}")
    else:
        print(f"ok - {text}")


# ---- captures and runs ----


def path(name):
    return os.path.join(DIRECTORY, name)


def save(name, packets):
    with RawPcapWriter(path(name), linktype=RAW_IP) as writer:
        writer.write_header(None)
        for data in packets:
            writer.write_packet(data, sec=0, usec=0)


def load(name):
    return [data for data, _ in RawPcapReader(path(name))]


def replay(name, *arguments):
    """What it counted."""
    done = subprocess.run([VERDICT, "replay", path(name), "--stats", "json", *arguments], capture_output=True, text=True,
                          env={**os.environ, "EDIT_ANY_LOG": path("log")})
    if done.returncode:
        print(f"not ok - verdict replay {' '.join(arguments)} (exit status {done.returncode})\n# {done.stderr}")
        sys.exit(1)
    return json.loads(done.stdout)["queues"][0]


# ---- scapy's opinion ----


# packets whose transport checksum scapy computed, by protocol
judged = Counter()


def forget_padding(layers):
    """scapy finds a home address only where there is no other option."""
    while layers:
        if isinstance(layers, IPv6ExtHdrDestOpt):
            layers.options = [option for option in layers.options if not isinstance(option, (Pad1, PadN))]
        layers = layers.payload


def scapy_problem(data):
    """What scapy says of a whole packet whose checksums should be right. None: nothing."""
    packet = Packet(data)
    head, transport = data[: packet.transport], data[packet.transport : packet.end]
    layers = (IP if packet.version == 4 else IPv6)(head)
    if packet.version == 4:
        zeroed = head[:10] + b"\0\0" + head[12:]
        if scapy_checksum(zeroed) != word(head, 10):
            return "the IPv4 header's checksum"
        if len(data) != layers.len:
            return "the length in the IPv4 header"
    elif len(data) != 40 + layers.plen:
        return "the length in the IPv6 header"
    if packet.is_partial or packet.field() is None:
        return None
    if packet.protocol == UDP:
        if packet.has_no_checksum():
            return None if packet.version == 4 else "a UDP checksum of 0 over IPv6"
        transport = transport[: word(transport, 4)]
    if packet.protocol in (UDPLITE, DCCP) and packet.covered_end() != packet.end:
        return None # scapy knows no partial coverage: the model has been compared
    judged[packet.protocol] += 1
    at = packet.field() - packet.transport
    zeroed = transport[:at] + b"\0\0" + transport[at + 2 :]
    if packet.protocol == SCTP:
        crc = scapy_crc32c(transport[:at] + b"\0\0\0\0" + transport[at + 4 :])
        return None if crc == int.from_bytes(transport[at : at + 4], "big") else "SCTP's CRC"
    if packet.protocol in (GRE, ICMP):
        wanted = scapy_checksum(zeroed)
    elif packet.version == 6:
        forget_padding(layers)
        wanted = in6_chksum(packet.protocol, layers.lastlayer(), zeroed)
    else:
        # scapy takes the last address of a source route that is used up, and IP's length for UDP's
        layers.options = [option for option in layers.options if option.option not in (3, 9) or option.pointer <= option.length]
        layers.ihl, layers.len = 5, 20 + len(zeroed)
        wanted = in4_chksum(packet.protocol, layers, zeroed)
    if packet.protocol in NEVER_ZERO:
        wanted = wanted or 0xFFFF
    return None if wanted == word(transport, at) else f"the checksum of protocol {packet.protocol}: {wanted:04x}"


# ---- checks ----


def describe(number, data, calls, text):
    said = "; ".join(f"{call} {' '.join(arguments)[:40]} = {result}" for call, arguments, result in calls)
    return f"packet {number}: {text}\n#   {data[:80].hex()}... ({len(data)} bytes)\n#   {said}"


def lengths_problem(data):
    packet = Packet(data)
    if packet.end != len(data):
        return f"IP says {packet.end} bytes of {len(data)}"
    if packet.protocol == UDP and not packet.is_fragment and word(data, packet.transport + 4) > len(data) - packet.transport:
        return f"UDP says {word(data, packet.transport + 4)} bytes of {len(data) - packet.transport}"
    return None


def check_edits(what, packets, way=""):
    """Through edit_any, and all that came out against the model, and to scapy."""
    save("in", packets)
    replay("in", "--function", f"{EDIT_ANY}:{SEED}{way}", "--on-fault", "accept", "-w", path("out"))
    calls, out = read_log(path("log")), load("out")
    unlike, wrong, lengths, hidden, edited, made = [], [], [], [], 0, Counter()
    judged.clear()
    check(f"{what}: as many packets come out", [] if len(out) == len(packets) else [f"{len(out)} of {len(packets)}"])
    for number, (before, after) in enumerate(zip(packets, out), 1):
        model = Model(before)
        try:
            for call, arguments, result in calls[number]:
                model.apply(call, arguments, result)
                if result >= 0 and call != "verify":
                    made[call] += 1
        except Wrong as problem:
            unlike.append(describe(number, before, calls[number], problem))
            continue
        if after not in model.results():
            unlike.append(describe(number, before, calls[number], f"came out as {after[:200].hex()}"))
        if after == before:
            continue
        edited += 1
        was_right = model.was_right or model.packet.has_no_checksum()
        problem = scapy_problem(after) if was_right else None
        if problem:
            wrong.append(describe(number, after, calls[number], problem))
        problem = lengths_problem(after)
        if problem:
            lengths.append(describe(number, after, calls[number], problem))
        if model.was_right is False and not model.packet.has_no_checksum() and Packet(after).is_transport_right():
            hidden.append(describe(number, after, calls[number], "is right now"))
    check(f"{what}: {edited} of {len(packets)} came out edited, as the model says", unlike)
    check(f"{what}: scapy computes the same checksums", wrong)
    check(f"{what}: lengths agree", lengths)
    check(f"{what}: what was wrong stays wrong", hidden)
    print("# calls: " + ", ".join(f"{call} {count}" for call, count in sorted(made.items())))
    print("# scapy computed, by protocol: " + ", ".join(f"{protocol} {count}" for protocol, count in sorted(judged.items())))
    return made


def check_verify(what, packets, wanted):
    """`wanted` for each packet: True, False, or None."""
    wanted = [is_right for data, is_right in zip(packets, wanted) if not Packet(data).is_malformed]
    save("verified", packets)
    counted = replay("verified", "--verify")
    numbers = {"checksums_checked": len(wanted) - wanted.count(None), "checksums_wrong_before": wanted.count(False),
               "checksums_unknown": wanted.count(None), "checksums_wrong_after": wanted.count(False)}
    check(f"{what}: --verify counts {wanted.count(False)} wrong of {len(wanted)}",
          [f"{name} is {counted[name]}, and should {number}" for name, number in numbers.items() if counted[name] != number])


def main():
    print(f"# seed {SEED}")
    chance = random.Random(SEED)
    maker = Maker(chance)
    end = time.monotonic() + MAKING_S
    packets = []
    while len(packets) < COUNT and time.monotonic() < end:
        packets.append(maker.packet())
    told = [Packet(data).is_right() for data in packets]
    problems = [scapy_problem(data[: Packet(data).end]) for data in packets]
    unlike = [f"packet {number}: {problem}, {data[:80].hex()}"
              for number, (data, is_right, problem) in enumerate(zip(packets, told, problems), 1) if is_right == bool(problem)]
    check(f"scapy made {len(packets)} packets, and the model finds the same ones right", unlike)
    check_verify("as they were made", packets, told)

    made = check_edits("edits", packets)
    check("edits: each call was made", [call for call in CALLS if not made[call]])

    mixed = []
    for data in packets:
        damaged = damage(chance, data) if chance.randrange(2) else None
        mixed.append(damaged or data)
    wanted = [Packet(data).is_right() for data in mixed]
    check_verify("half of them damaged", mixed, wanted)
    check_verify("only right ones", *zip(*[(data, is_right) for data, is_right in zip(mixed, wanted) if is_right]))
    check_verify("only wrong ones", *zip(*[(data, is_right) for data, is_right in zip(mixed, wanted) if is_right is False]))
    check_edits("edits of damaged ones", mixed, ",same")
    check_edits("any edits of damaged ones", mixed)


main()
