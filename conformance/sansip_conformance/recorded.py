"""A server's journal (``sansip serve --journal``, ``sansip.journal``) as a trace.

Theory of operation: the journal is exact and holds the seed (``sansip replay``
plays it to the octet). As a trace the same story can be read, cut down, drawn, and
played on another version or another server.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sansip.journal import Entry, JournalError, entries
from sansip.journal_values import again_value, octets, plain
from sansip.limits import Limits
from sansip.proxy import ProxyConfig
from sansip.registrar import RegistrarConfig
from sansip.transaction import TimerValues
from sansip.wire import host_text
from sansip_conformance.setup import place_of
from sansip_conformance.syntax import CONFIG_KEYS
from sansip_conformance.writer import Peer, TraceWriter

__all__ = ["is_journal", "journal_trace"]


def is_journal(path: Path) -> bool:
    """Whether ``path`` is a journal of ``sansip serve --journal``."""
    with path.open("rb") as file:
        return file.read(200).lstrip().startswith(b'{"sansip_journal"')


def journal_trace(lines: Iterable[str]) -> str:
    """Return the text of a trace that tells what the journal tells. Raises JournalError."""
    written: list[str] = []
    writer = TraceWriter(written.append)
    conns: dict[int, Peer] = {}
    names: dict[int, str] = {}
    for entry in entries(lines):
        try:
            if isinstance(entry, dict):
                _head(writer, entry)
            else:
                _entry(writer, conns, names, entry)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            line = 1 if isinstance(entry, dict) else entry.line
            raise JournalError(f"line {line}: cannot be read ({type(error).__name__}: {error})") from None
    return "".join(written)


def _head(writer: TraceWriter, first: dict[str, Any]) -> None:
    listeners: list[Peer] = [
        (one["transport"], one["host"], one["port"])
        for one in first["listeners"]
        if one["transport"] in ("udp", "tcp")
    ]
    domains = [*first["domains"], *first.get("aliases", [])]
    writer.head("journal of a running server", listeners, domains, _differences(first))


def _differences(first: dict[str, Any]) -> dict[str, str]:
    """Return the settings that differ from those of a trace that says nothing, by their names in a trace."""
    parts: dict[str, Any] = {
        "timers": TimerValues(), "proxy": ProxyConfig(), "registrar": RegistrarConfig(), "limits": Limits(),
    }  # fmt: skip
    found = {}
    for key in CONFIG_KEYS:
        part, field = place_of(key)
        default = getattr(parts.get(part), field, None)
        value = first.get("settings", {}).get(part, {}).get(field)
        # A list of words is a set for the core.
        if value is None or value == plain(default):
            continue
        found[key] = ", ".join(value) if isinstance(value, list) else str(value)
    return found


def _entry(writer: TraceWriter, conns: dict[int, Peer], names: dict[int, str], entry: Entry) -> None:
    name, given, at = entry.name, entry.given, entry.at
    if name == "datagram_received":
        if given[0] >= 0:
            # What name servers say is not SIP, and has no place in a trace.
            writer.received(at, _peer("udp", given[2]), octets(given[1]))
    elif name == "connection_opened":
        conns[given[0]] = _peer(given[1][1], given[1][3])
    elif name == "data_received":
        if given[0] in conns:
            writer.received(at, conns[given[0]], octets(given[1]))
    elif name == "connection_closed":
        peer = conns.pop(given[0], None)
        if peer is not None:
            writer.closed(at, peer, by_server=False)
    elif name == "answer":
        host, places = names.pop(given[0], ""), again_value(given[1])
        if host and isinstance(places, list) and places:
            # (transport, host, port), or without the transport where the outside was asked.
            writer.name(host, [host_text(*place[-2:]) for place in places])
    for kind, *values in entry.out:
        if kind == "SendDatagram":
            if values[0] >= 0:
                writer.sent(at, _peer("udp", values[2]), octets(values[1]))
        elif kind == "SendData" and values[0] in conns:
            writer.sent(at, conns[values[0]], octets(values[1]))
        elif kind == "Connect" and values[1] != "dns":
            conns[values[0]] = _peer(values[1], values[2])
        elif kind == "Ask" and isinstance(values[1], dict) and "host" in values[1]:
            names[values[0]] = values[1]["host"]
        elif kind == "Disconnect":
            peer = conns.pop(values[0], None)
            if peer is not None:
                writer.closed(at, peer, by_server=True)


def _peer(transport: str, address: list[Any]) -> Peer:
    return transport, str(address[0]), int(address[1])
