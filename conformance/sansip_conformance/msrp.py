"""An endpoint that speaks MSRP (RFC 4975): it cuts what comes into messages, and writes its own.

Theory of operation: no line of ``sansip.msrp`` is used here, because that is under test. A message is in
``inbox`` when its end-line is there; what has come of one that is not over is ``partial``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sansip.testing import Endpoint, Received

__all__ = ["Heard", "MsrpEnd", "MsrpMessage", "end_line", "written"]

_START = re.compile(rb"MSRP ([A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}) ([A-Z]+|\d{3})(?: ([^\r\n]*))?\r\n")


@dataclass(slots=True)
class MsrpMessage:
    """One request or response. ``flag`` is "" while its end-line has not come."""

    transaction: str
    method: str = ""
    status: int = 0
    reason: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None
    flag: str = "$"

    @property
    def what(self) -> str:
        """Method or status, for reports."""
        return self.method or f"{self.status:03d}"

    def get_all(self, name: str) -> list[str]:
        """Return the values of a header field; ``transaction`` is the identifier."""
        name = name.lower()
        if name == "transaction":
            return [self.transaction]
        return [value for one, value in self.fields if one.lower() == name]

    def get(self, name: str) -> str | None:
        """Return the first value of a header field, None without one."""
        return next(iter(self.get_all(name)), None)

    def path(self, name: str) -> list[str]:
        """Return the URIs of To-Path or From-Path."""
        return (self.get(name) or "").split(" ")


@dataclass(slots=True)
class Heard(Received):
    """A message that is no SIP: ``message`` has ``what``, ``status``, ``get_all`` and ``body``."""

    @property
    def what(self) -> str:
        message: Any = self.message
        return str(message.what)


def end_line(transaction: str, flag: str) -> bytes:
    """Return the end-line (RFC 4975 7.1)."""
    return f"-------{transaction}{flag}\r\n".encode()


def written(message: MsrpMessage) -> bytes:
    """Return the octets of ``message``, without its end-line where it has no flag."""
    start = message.method or f"{message.status:03d} {message.reason}".rstrip()
    lines = [f"MSRP {message.transaction} {start}", *(f"{name}: {value}" for name, value in message.fields)]
    data = ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")
    if message.body is not None:
        data += b"\r\n" + message.body
        if message.flag:
            data += b"\r\n"
    return data + (end_line(message.transaction, message.flag) if message.flag else b"")


def read_message(data: bytes) -> tuple[MsrpMessage | None, int]:
    """Return the message that ``data`` begins with, and its octets; 0 where it is not over.

    Raises ValueError for octets that are no MSRP.
    """
    start = _START.match(data)
    if start is None:
        if b"\r\n" in data:
            raise ValueError(f"no MSRP: {data[:60]!r}")
        return None, 0
    transaction = start[1].decode()
    end = re.compile(rb"(\r\n)?-------" + re.escape(start[1]) + rb"([$+#])\r\n").search(data, start.end() - 2)
    inner = data[start.end() : len(data) if end is None else max(end.start(), start.end())]
    head, blank, body = inner.partition(b"\r\n\r\n")
    if end is None and not blank:
        return None, 0
    fields = []
    for line in head.decode("utf-8", "surrogateescape").split("\r\n"):
        name, colon, value = line.partition(": ")
        if not colon:
            raise ValueError(f"no header field of MSRP: {line[:60]!r}")
        fields.append((name, value))
    word = start[2].decode()
    message = MsrpMessage(transaction, fields=fields, flag="" if end is None else end[2].decode())
    if word.isdigit():
        message.status, message.reason = int(word), (start[3] or b"").decode()
    else:
        message.method = word
    message.body = body if blank else None
    return message, 0 if end is None else end.end()


class MsrpEnd(Endpoint):
    """A client of MSRP.

    Attributes:
        values: what ``<alice.uri>`` (its own URI) and ``<alice.path>`` (those that relays gave it) stand for.
        partial: what has come of a message that is not over.
        sent: its requests by transaction.
        last: the request that came last, with its way.
    """

    def __init__(self, *given: Any, secure: bool) -> None:
        super().__init__(*given)
        shown = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "msrps" if secure else "msrp"
        self.values = {"uri": f"{scheme}://{shown}:{self.port}/{self.name};tcp"}
        self.partial: MsrpMessage | None = None
        self.sent: dict[str, MsrpMessage] = {}
        self.last: Heard | None = None
        self._buffers: dict[int, bytearray] = {}

    def data(self, pipe: Any, data: bytes) -> None:
        buffer = self._buffers.setdefault(id(pipe), bytearray())
        buffer += data
        while buffer:
            message, size = read_message(bytes(buffer))
            self.partial = None if size else message
            if message is None or not size:
                return
            given: Any = message
            one = Heard(self.network.now, pipe.transport, bytes(buffer[:size]), given, pipe)
            del buffer[:size]
            if message.method:
                self.last = one
            self.inbox.append(one)
            self.history.append(one)

    def closed(self, pipe: Any, reason: str) -> None:
        super().closed(pipe, reason)
        self._buffers.pop(id(pipe), None)
        self.partial = None
