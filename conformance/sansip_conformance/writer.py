"""Messages with their times and peers, as the text of a trace (conformance/README.md).

Theory of operation: values that the server made itself, branches and tags, become a ``<name>``
when they first go out, and the same name stands wherever a peer repeats them. So the trace holds
on another seed, and on another server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sansip.errors import RemoteProtocolError
from sansip.wire import Message, Request, Response, host_text, parse_message

__all__ = ["Peer", "TraceWriter"]

# (transport, host, port)
Peer = tuple[str, str, int]

# The values that a server makes and others repeat: branch, tag, the mark and the flow token in our
# Record-Route.
_TOKEN = re.compile(r"(?i)((?:branch|tag|;d)\s*=\s*|sip:(?=f-[\w-]{24,}@))([\w.!%*+`'~-]{8,})")
# The fields that the replay compares; the others pass from peer to peer.
_COMPARED = ("via", "max-forwards", "from", "to", "call-id", "cseq", "contact", "record-route", "route")
_NAMES = {
    "via": "Via", "max-forwards": "Max-Forwards", "from": "From", "to": "To", "call-id": "Call-ID",
    "cseq": "CSeq", "contact": "Contact", "record-route": "Record-Route", "route": "Route",
}  # fmt: skip
# Tokens and copies to remember; a recording may cover weeks.
_REMEMBERED = 20_000


class TraceWriter:
    """Writes a trace, line by line, through ``write``.

    Times are seconds from the first call; ``server`` is the name of the server
    in the trace.
    """

    def __init__(self, write: Callable[[str], object], server: str = "sansip") -> None:
        self._write = write
        self._server = server
        self._peers: dict[Peer, str] = {}
        self._names: set[str] = {server}
        self._tokens: dict[str, str] = {}
        self._foreign: dict[str, None] = {}
        self._sent: dict[bytes, None] = {}
        self._start: float | None = None

    # --- the head

    def head(
        self, title: str, listeners: list[Peer], domains: list[str], config: dict[str, str] | None = None
    ) -> None:
        """Write the lines before the first step."""
        self._line(f"title: {' '.join(title.split())}")
        self._line(f"server {self._server} {' '.join(dict.fromkeys(one[0] for one in listeners))}")
        for transport, host, port in listeners:
            self._line(f"listen {transport} {host_text(host, port)}")
        for domain in domains:
            self._line(f"domain {domain}")
        for key, value in (config or {}).items():
            self._line(f"config {key} = {value}")
        # Real timers fire a moment late.
        self._line("tolerance 0.25")
        self._line("loose")

    def name(self, host: str, addresses: list[str]) -> None:
        """Write that ``host`` was resolved to ``addresses``."""
        self._line(f"name {host} = {', '.join(addresses)}")

    def comment(self, text: str) -> None:
        """Write a remark."""
        self._line(f"# {' '.join(text.split())}")

    # --- steps

    def received(self, time: float, peer: Peer, data: bytes) -> None:
        """The server received ``data`` from ``peer``."""
        name = self._name_of(peer, data, is_sender=True)
        for _, token in _TOKEN.findall(data.decode("utf-8", "replace")):
            if token not in self._tokens:
                self._foreign[token] = None
        self._forget(self._foreign)
        self._line("")
        self._line(f"@{self._at(time)} {name} > {self._server} {peer[0]} raw")
        self._block([self._with_names(line) for line in _raw_lines(data)])

    def sent(self, time: float, peer: Peer, data: bytes) -> None:
        """The server sent ``data`` to ``peer``."""
        name = self._name_of(peer, data, is_sender=False)
        try:
            message: Message | None = parse_message(data)
        except RemoteProtocolError:
            message = None
        self._line("")
        if not isinstance(message, (Request, Response)):
            self.comment(f"@{self._at(time)} {self._server} > {name}: {len(data)} octets that are no message")
            return
        what = message.method if isinstance(message, Request) else str(message.status)
        start = f"@{self._at(time)} {self._server} > {name} expect {what}"
        if data in self._sent:
            self._line(f"{start} again")
            return
        self._sent[data] = None
        self._forget(self._sent)
        for _, token in _TOKEN.findall(data.decode("utf-8", "replace")):
            if token not in self._foreign and token not in self._tokens:
                self._tokens[token] = f"t{len(self._tokens) + 1}"
        if isinstance(message, Request):
            start = f"{start} {self._with_names(message.uri_text)}"
        self._line(start)
        lines = []
        for key in _COMPARED:
            lines += [f"{_NAMES[key]}: {self._with_names(value)}" for value in message.values(key)]
        self._block(lines)

    def closed(self, time: float, peer: Peer, *, by_server: bool) -> None:
        """A connection ended."""
        name = self._name_of(peer, b"", is_sender=not by_server)
        self._line("")
        if by_server:
            self._line(f"@{self._at(time)} {self._server} > {name} expect close")
        else:
            self._line(f"@{self._at(time)} {name} > {self._server} close")

    # --- details

    def _at(self, time: float) -> str:
        if self._start is None:
            self._start = time
        return f"{max(0.0, time - self._start):.6f}".rstrip("0").rstrip(".")

    def _name_of(self, peer: Peer, data: bytes, *, is_sender: bool) -> str:
        name = self._peers.get(peer)
        if name is None:
            name = self._peers[peer] = self._new_name(data, is_sender)
            self._line("")
            self._line(f"endpoint {name} {peer[0]} {host_text(peer[1], peer[2])}")
        return name

    def _new_name(self, data: bytes, is_sender: bool) -> str:
        """Name an endpoint after the user it speaks for, if that is known."""
        text = data.decode("utf-8", "replace")
        is_request = not text.startswith("SIP/2.0 ")
        field = "from|f" if is_request == is_sender else "to|t"
        match = re.search(rf"(?im)^(?:{field})\s*:.*?sips?:([a-z][a-z0-9-]*)@", text)
        name = match[1].lower() if match else "peer"
        number, unique = 1, name
        while unique in self._names or unique in ("udp", "tcp", "drop", "trace", "title"):
            number += 1
            unique = f"{name}{number}"
        self._names.add(unique)
        return unique

    def _with_names(self, text: str) -> str:
        """Replace the values that the server made by their names."""

        def name(match: re.Match[str]) -> str:
            known = self._tokens.get(match[2])
            return match[0] if known is None else f"{match[0][: -len(match[2])]}<{known}>"

        return _TOKEN.sub(name, text)

    def _forget(self, table: dict[Any, None]) -> None:
        if len(table) > _REMEMBERED:
            del table[next(iter(table))]

    def _block(self, lines: list[str]) -> None:
        for line in lines:
            self._line(f"  {line}" if line else "")

    def _line(self, text: str) -> None:
        self._write(text + "\n")


def _raw_lines(data: bytes) -> list[str]:
    """Return the lines of a raw block for ``data``; see raw messages in conformance/README.md."""
    lines = [_escaped(line) for line in data.split(b"\r\n")]
    if len(lines) > 2 and lines[-2:] == ["", ""] and "" not in lines[:-2]:
        # The message is a head only: the trace implies the empty line.
        return lines[:-2]
    # A lone backslash: the octets end here, and nothing is added.
    lines[-1] += "\\"
    return lines


def _escaped(line: bytes) -> str:
    """Return one line of octets as text; octets that a trace would read differently are hexadecimal."""
    text = line.decode("utf-8", "surrogateescape")
    # A `<name>` in the message is not a name of the trace.
    names = {match.start() for match in re.finditer(r"<(?:\*|[A-Za-z][\w-]*(?:\.[\w-]+)?)>", text)}
    shown = []
    for at, char in enumerate(text):
        if "\udc80" <= char <= "\udcff":
            shown.append(f"\\x{ord(char) - 0xDC00:02x}")
        elif at in names:
            shown.append("\\x3c")
        elif char == "\\" or not (char.isprintable() or char == " "):
            shown += [f"\\x{octet:02x}" for octet in char.encode("utf-8")]
        else:
            shown.append(char)
    escaped = "".join(shown)
    bare = escaped.strip(" ")
    lead = len(escaped) - len(escaped.lstrip(" "))
    trail = len(escaped) - lead - len(bare) if bare else 0
    return "\\x20" * lead + bare + "\\x20" * trail
