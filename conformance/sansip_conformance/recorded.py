"""A server's journal (``sansip serve --journal``) as a trace.

Theory of operation: the journal is exact, one JSON object an input, and holds
the seed (``sansip replay`` plays it to the octet). As a trace the same story can
be read, cut down, drawn, and played on another version or another server.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sansip.journal import Peer, TraceWriter

__all__ = ["is_journal", "journal_trace"]


def is_journal(path: Path) -> bool:
    """Whether ``path`` is a journal of ``sansip serve --journal``."""
    with path.open("rb") as file:
        return file.read(200).lstrip().startswith(b'{"sansip_journal"')


def journal_trace(lines: Iterable[str]) -> str:
    """Return the text of a trace that tells what the journal tells. Raises ValueError."""
    written: list[str] = []
    writer = TraceWriter(written.append)
    conns: dict[int, Peer] = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if number == 1:
                _head(writer, entry)
            else:
                _entry(writer, conns, entry)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            if number == 1:
                raise ValueError(f"line 1 is no head of a journal: {error}") from None
            # The last line of a server that died may be cut off.
            writer.comment(f"line {number} of the journal cannot be read")
    return "".join(written)


def _head(writer: TraceWriter, first: dict[str, Any]) -> None:
    listeners: list[Peer] = [
        (one["transport"], one["host"], one["port"])
        for one in first["listeners"]
        if one["transport"] in ("udp", "tcp")
    ]
    writer.head("journal of a running server", listeners, [*first["domains"], *first.get("aliases", [])])


def _entry(writer: TraceWriter, conns: dict[int, Peer], entry: dict[str, Any]) -> None:
    name, given, at = entry["in"], entry["with"], entry.get("at", 0.0)
    if name == "datagram_received":
        writer.received(at, _peer("udp", given[2]), _octets(given[1]))
    elif name == "connection_opened":
        conns[given[0]] = _peer(given[1][1], given[1][2])
    elif name == "data_received":
        if given[0] in conns:
            writer.received(at, conns[given[0]], _octets(given[1]))
    elif name == "connection_closed":
        peer = conns.pop(given[0], None)
        if peer is not None:
            writer.closed(at, peer, by_server=False)
    for action in entry["out"] if isinstance(entry["out"], list) else ():
        kind = action["do"]
        if kind == "SendDatagram":
            writer.sent(at, _peer("udp", action["address"]), _octets(action["data"]))
        elif kind == "SendData" and action["conn"] in conns:
            writer.sent(at, conns[action["conn"]], _octets(action["data"]))
        elif kind == "Connect":
            conns[action["conn"]] = _peer(action["transport"], action["address"])
        elif kind == "Disconnect":
            peer = conns.pop(action["conn"], None)
            if peer is not None:
                writer.closed(at, peer, by_server=True)


def _peer(transport: str, address: list[Any]) -> Peer:
    return transport, str(address[0]), int(address[1])


def _octets(value: Any) -> bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode("utf-8")
