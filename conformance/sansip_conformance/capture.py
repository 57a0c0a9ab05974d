"""Reads the files that can be replayed or drawn: a trace, a journal, a capture of the wire.

Theory of operation: tshark reads a pcap or pcapng and gives the payloads of UDP
datagrams and TCP segments; the segments are put in order and cut into messages
by the core's own framer. One address is the server. Messages of others to it become the steps of
a trace, and its own messages become expectations (``sansip_conformance.writer``).
"""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sansip.errors import RemoteProtocolError
from sansip.transport.framing import StreamFramer
from sansip.wire import Request, SipUri, host_text
from sansip_conformance.ladder import Event, Ladder, label_of, ladder_of, read
from sansip_conformance.recorded import (
    SERVER,
    Said,
    asked_for_passwords,
    is_journal,
    journal_messages,
    journal_trace,
)
from sansip_conformance.syntax import read_file, read_text
from sansip_conformance.trace import Trace
from sansip_conformance.writer import TraceWriter

__all__ = [
    "Packet",
    "as_text",
    "capture_ladder",
    "capture_trace",
    "journal_ladders",
    "ladders_of",
    "read_any",
    "read_capture",
]

Address = tuple[str, int]
Thing = TypeVar("Thing")
_MAGIC = (
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x0a\x0d\x0d\x0a",
)
_FIELDS = (
    "frame.time_relative", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport", "udp.dstport",
    "tcp.srcport", "tcp.dstport", "tcp.stream", "tcp.seq", "udp.payload", "tcp.payload",
)  # fmt: skip


@dataclass(slots=True)
class Packet:
    """One SIP message on the wire."""

    time: float
    transport: str
    source: Address
    target: Address
    data: bytes


def is_capture(path: Path) -> bool:
    """Whether ``path`` is a pcap or pcapng file."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def read_capture(path: Path) -> list[Packet]:
    """Return the SIP messages of a capture in order. Raises ValueError when it cannot be read."""
    tshark = shutil.which("tshark")
    if tshark is None:
        raise ValueError("reading a capture needs tshark; install it (apt install tshark)")
    command = [
        tshark,
        "-n",
        "-r",
        str(path),
        "-o",
        "tcp.desegment_tcp_streams:FALSE",
        "-Y",
        "udp or tcp.len > 0",
    ]
    command += ["-T", "fields", "-E", "occurrence=f"]
    for field in _FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not done.stdout:
        raise ValueError(f"tshark cannot read {path}: {done.stderr.strip().splitlines()[-1:]}")
    packets: list[Packet] = []
    streams: dict[tuple[str, Address, Address], _Stream] = {}
    for line in done.stdout.splitlines():
        given = dict(zip(_FIELDS, line.split("\t"), strict=False))
        time = float(given["frame.time_relative"] or 0)
        source_ip = given["ip.src"] or given["ipv6.src"]
        target_ip = given["ip.dst"] or given["ipv6.dst"]
        if given.get("udp.payload"):
            data = bytes.fromhex(given["udp.payload"].replace(":", ""))
            source, target = (source_ip, int(given["udp.srcport"])), (target_ip, int(given["udp.dstport"]))
            if b"SIP/2.0" in data:
                packets.append(Packet(time, "udp", source, target, data))
        elif given.get("tcp.payload"):
            data = bytes.fromhex(given["tcp.payload"].replace(":", ""))
            source, target = (source_ip, int(given["tcp.srcport"])), (target_ip, int(given["tcp.dstport"]))
            stream = streams.setdefault((given["tcp.stream"], source, target), _Stream())
            packets += [
                Packet(time, "tcp", source, target, one) for one in stream.take(int(given["tcp.seq"]), data)
            ]
    if not packets:
        raise ValueError(f"{path} holds no SIP over UDP or TCP")
    packets.sort(key=lambda one: one.time)
    return packets


class _Stream:
    """One direction of a connection: segments in any order, messages out in order."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._early: dict[int, bytes] = {}
        self._framer = StreamFramer()

    def take(self, seq: int, data: bytes) -> list[bytes]:
        if self._next is None:
            self._next = seq
        self._early[seq] = max(self._early.get(seq, b""), data, key=len)
        messages: list[bytes] = []
        while True:
            usable = [at for at in self._early if at <= self._next]
            if not usable:
                return messages
            at = min(usable)
            piece = self._early.pop(at)[self._next - at :]
            self._next += len(piece)
            for framed in self._framer.feed(piece):
                if isinstance(framed, RemoteProtocolError):
                    # The capture began in the middle of a message.
                    self._framer = StreamFramer()
                elif framed.strip():
                    messages.append(framed)


def busiest(packets: list[Packet]) -> str:
    """Return the IP address and port that most messages came from or went to: the server."""
    count: Counter[Address] = Counter()
    for one in packets:
        count.update({one.source: 1, one.target: 1})
        # The party that gets requests is more likely the server than the one that sends them.
        if isinstance(read(one.data), Request):
            count[one.target] += 1
    host, port = count.most_common(1)[0][0]
    return host_text(host, port)


def capture_trace(packets: list[Packet], server: str | None = None, title: str = "a capture") -> str:
    """Return the text of a trace in which ``server`` (host:port) is the server under test."""
    chosen = server or busiest(packets)
    host, _, port_text = chosen.rpartition(":")
    us = (host.strip("[]"), int(port_text))
    ours = [one for one in packets if us in (one.source, one.target)]
    if not ours:
        raise ValueError(f"nothing in the capture was sent to or from {chosen}")
    lines: list[str] = []
    writer = TraceWriter(lines.append, "server")
    transports = dict.fromkeys(one.transport for one in ours)
    domains = _domains(ours, us)
    writer.head(title, [(transport, *us) for transport in transports], domains)
    for one in ours:
        if one.source == us:
            writer.sent(one.time, (one.transport, *one.target), one.data)
        else:
            writer.received(one.time, (one.transport, *one.source), one.data)
    return "".join(lines)


def _domains(packets: list[Packet], us: Address) -> list[str]:
    """Return the domains that the server seems to serve."""
    found: dict[str, None] = {}
    for one in packets:
        message = read(one.data)
        if isinstance(message, Request) and one.target == us and message.to_tag is None:
            uri = message.uri
            if isinstance(uri, SipUri):
                try:
                    ipaddress.ip_address(uri.host)
                except ValueError:
                    found[uri.host] = None
    return list(found) or [us[0]]


def capture_ladder(packets: list[Packet], title: str) -> Ladder:
    """Return the ladder of everything in a capture, one column for each address."""
    names: dict[Address, str] = {}
    events = []
    begin = packets[0].time
    for one in packets:
        for address in (one.source, one.target):
            names.setdefault(address, host_text(*address))
        label, kind = label_of(read(one.data), one.data)
        events.append(Event(one.time - begin, names[one.source], names[one.target], label, kind))
    return Ladder(title, list(names.values()), events)


def journal_ladders(said: list[Said]) -> list[Ladder]:
    """Return a ladder for each Call-ID of a journal, with a column for each peer's address.

    Octets that are no message have a ladder of their own. Keepalives are left out.
    """
    calls: dict[str, list[tuple[Said, Event]]] = {}
    for one in said:
        message = read(one.data)
        if message is None and not one.data.strip(b"\r\n\0"):
            continue
        label, kind = label_of(message, one.data)
        name = host_text(*one.peer[1:])
        source, target = (SERVER, name) if one.is_sent else (name, SERVER)
        call = (message.get("call-id") if message is not None else None) or "what is no message"
        calls.setdefault(call, []).append((one, Event(one.time, source, target, label, kind)))
    ladders = []
    for title, told in calls.items():
        peers = list(dict.fromkeys(host_text(*one.peer[1:]) for one, _ in told))
        begin = told[0][0].time
        events = [replace(event, time=event.time - begin) for _, event in told]
        ladders.append(Ladder(title, [peers[0], SERVER, *peers[1:]], events))
    return ladders


def read_any(path: Path, server: str | None = None) -> list[Trace]:
    """Return the traces in ``path``. Raises ValueError, which TraceSyntaxError is one of."""
    if is_journal(path) and asked_for_passwords(path):
        raise ValueError(
            f"{path}: the server asked for passwords, with nonces that only its own seed makes again; "
            f"`sansip replay {path}` plays that"
        )
    text = as_text(path, server)
    return read_file(path) if text is None else read_text(text, str(path))


def as_text(path: Path, server: str | None = None) -> str | None:
    """Return the trace that a capture or a journal becomes; None for a file that is a trace already."""
    if is_capture(path):
        return capture_trace(read_capture(path), server, f"capture {path.name}")
    if is_journal(path):
        with path.open(encoding="utf-8") as lines:
            return journal_trace(lines)
    return None


def ladders_of(path: Path, name: str | None = None) -> list[Ladder]:
    """Return a ladder for each trace in ``path`` or call of a journal, or for the one called ``name``."""
    if is_capture(path):
        return [capture_ladder(read_capture(path), path.name)]
    if is_journal(path):
        with path.open(encoding="utf-8") as lines:
            calls = journal_ladders(journal_messages(lines))
        return _called(name, calls, [one.title for one in calls], f"{path} holds no call")
    traces = read_any(path)
    chosen = _called(name, traces, [one.name for one in traces], f"{path} holds no trace called")
    return [ladder_of(one) for one in chosen]


def _called(name: str | None, things: list[Thing], names: list[str], none: str) -> list[Thing]:
    if name is None:
        return things
    chosen = [one for one, called in zip(things, names, strict=True) if called == name]
    if not chosen:
        raise ValueError(f"{none} {name}")
    return chosen
