"""A server's journal (``sansip serve --journal``, ``sansip.journal``) as a trace.

Theory of operation: the journal is exact and holds the seed (``sansip replay``
plays it to the octet). As a trace the same story can be read, cut down, and
played on another version or another server. A ladder is drawn from the journal itself: it shows
the recorded events, not those of a replay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sansip.auth import AuthConfig
from sansip.config import StackConfig
from sansip.journal import Entry, JournalError, entries
from sansip.journal_values import again_value, octets, plain
from sansip.limits import Limits
from sansip.modules.keepalive import KeepaliveConfig
from sansip.proxy import ProxyConfig
from sansip.registrar import RegistrarConfig
from sansip.transaction import TimerValues
from sansip.wire import host_text
from sansip_conformance.directives import TRANSPORTS
from sansip_conformance.setup import place_of
from sansip_conformance.syntax import CONFIG_KEYS
from sansip_conformance.writer import Peer, TraceWriter

__all__ = ["SERVER", "Said", "asked_for_passwords", "is_journal", "journal_messages", "journal_trace"]

# The name of the server.
SERVER = "sansip"
# The parts of a configuration under other names in a server's settings.
_TABLES = {"auth": "digest"}


@dataclass(slots=True)
class Said:
    """Octets that passed between the server and ``peer``, in seconds of the journal's clock."""

    time: float
    peer: Peer
    is_sent: bool
    data: bytes


def is_journal(path: Path) -> bool:
    """Whether ``path`` is a journal of ``sansip serve --journal``."""
    with path.open("rb") as file:
        return file.read(200).lstrip().startswith(b'{"sansip_journal"')


def journal_trace(lines: Iterable[str]) -> str:
    """Return the text of a trace with the content of the journal. Raises JournalError."""
    written: list[str] = []
    told = _Told(TraceWriter(written.append, SERVER))
    _read(lines, told)
    return "".join(written)


def asked_for_passwords(path: Path) -> bool:
    """Whether the server of the journal at ``path`` did: then no other seed makes the nonces of it."""
    with path.open(encoding="utf-8") as lines:
        first = next(entries(lines))
    return isinstance(first, dict) and first.get("settings", {}).get("auth") == "digest"


def journal_messages(lines: Iterable[str]) -> list[Said]:
    """Return everything that the journal's server received and sent, in order. Raises JournalError."""
    told = _Told(None)
    _read(lines, told)
    return told.said


def _read(lines: Iterable[str], told: _Told) -> None:
    for entry in entries(lines):
        try:
            if isinstance(entry, dict):
                told.head(entry)
            else:
                told.entry(entry)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            line = 1 if isinstance(entry, dict) else entry.line
            raise JournalError(f"line {line}: cannot be read ({type(error).__name__}: {error})") from None


def _differences(first: dict[str, Any]) -> dict[str, str]:
    """Return the settings that differ from those of a trace that says nothing, by their names in a trace."""
    parts: dict[str, Any] = {
        "timers": TimerValues(), "proxy": ProxyConfig(), "registrar": RegistrarConfig(), "limits": Limits(),
        "keepalive": KeepaliveConfig(), "auth": AuthConfig(), "": StackConfig([]),
    }  # fmt: skip
    settings = first.get("settings", {})
    found = {}
    for key in CONFIG_KEYS:
        part, field = place_of(key)
        default = getattr(parts[part], field)
        table = settings.get(_TABLES.get(part, part), {}) if part else settings
        value = table.get(field)
        # The core has a set where the settings have a list of words.
        if value is None or value == plain(default):
            continue
        found[key] = ", ".join(value) if isinstance(value, list) else str(value)
    return found


class _Told:
    """The entries of a journal, one by one: written to ``writer``, or kept in ``said`` without one."""

    def __init__(self, writer: TraceWriter | None) -> None:
        self._writer = writer
        self._conns: dict[int, Peer] = {}
        self._names: dict[int, str] = {}
        self.said: list[Said] = []

    def head(self, first: dict[str, Any]) -> None:
        if self._writer is None:
            return
        listeners: list[Peer] = [
            (one["transport"], one["host"], one["port"])
            for one in first["listeners"]
            if one["transport"] in TRANSPORTS
        ]
        domains = [*first["domains"], *first.get("aliases", [])]
        self._writer.head("journal of a running server", listeners, domains, _differences(first))

    def entry(self, entry: Entry) -> None:
        name, given, at = entry.name, entry.given, entry.at
        conns = self._conns
        if name == "datagram_received":
            if given[0] >= 0:
                # Answers of name servers are not SIP, and have no place in a trace.
                self._say(at, _peer("udp", given[2]), False, octets(given[1]))
        elif name == "connection_opened":
            conns[given[0]] = _peer(given[1][1], given[1][3])
        elif name == "data_received":
            if given[0] in conns:
                self._say(at, conns[given[0]], False, octets(given[1]))
        elif name == "connection_closed":
            self._close(at, given[0], by_server=False)
        elif name == "answer":
            host, places = self._names.pop(given[0], ""), again_value(given[1])
            if host and isinstance(places, list) and places and self._writer is not None:
                # (transport, host, port), or without the transport for a question to the outside.
                self._writer.name(host, [host_text(*place[-2:]) for place in places])
        for kind, *values in entry.out:
            if kind == "SendDatagram":
                if values[0] >= 0:
                    self._say(at, _peer("udp", values[2]), True, octets(values[1]))
            elif kind == "SendData" and values[0] in conns:
                self._say(at, conns[values[0]], True, octets(values[1]))
            elif kind == "Connect" and values[1] != "dns":
                conns[values[0]] = _peer(values[1], values[2])
            elif kind == "Ask" and isinstance(values[1], dict) and "host" in values[1]:
                self._names[values[0]] = values[1]["host"]
            elif kind == "Disconnect":
                self._close(at, values[0], by_server=True)

    def _say(self, at: float, peer: Peer, is_sent: bool, data: bytes) -> None:
        if self._writer is None:
            self.said.append(Said(at, peer, is_sent, data))
        elif is_sent:
            self._writer.sent(at, peer, data)
        else:
            self._writer.received(at, peer, data)

    def _close(self, at: float, conn: int, *, by_server: bool) -> None:
        peer = self._conns.pop(conn, None)
        if peer is not None and self._writer is not None:
            self._writer.closed(at, peer, by_server=by_server)


def _peer(transport: str, address: list[Any]) -> Peer:
    return transport, str(address[0]), int(address[1])
