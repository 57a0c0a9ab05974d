"""Octets to heads, pieces of bodies, and ends (RFC 4975 7, 9): any number of octets in constant memory.

Theory of operation: a machine of two states. In HEAD the reader waits for the whole header section, which is
bounded, and for the end-line where there is no body. In BODY everything that cannot be the beginning of the
end-line is given on at once; at most the length of an end-line stays. Both are linear: what was searched is
not searched again.
"""

from __future__ import annotations

import re
from typing import Final

from sansip.msrp.errors import MsrpError
from sansip.msrp.head import ABORTED, COMPLETE, CONTINUED, End, Head
from sansip.msrp.uri import MsrpUri

__all__ = ["HEAD_SIZE", "Reader"]

# Octets of a start line and its header fields. A path of ten relays takes 1,000.
HEAD_SIZE: Final = 8_192

_START: Final = re.compile(
    r"MSRP ([A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}) (?:([A-Z]+)|([0-9]{3})(?: ([^\r\n]*))?)"
)
_FIELD: Final = re.compile(r"([A-Za-z][!#-'*+.0-9A-Z^-~-]*):[ \t]*([^\r\n]*)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FLAGS: Final = {ord(one): End(one) for one in (COMPLETE, CONTINUED, ABORTED)}

Event = Head | bytes | End


class Reader:
    """Reads one connection. After ``MsrpError`` the connection has to be closed."""

    __slots__ = ("_buffer", "_end", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        # While a body is read: its end-line but for the flag, with the CRLF before it.
        self._end = b""
        # Octets of the buffer in which nothing was found.
        self._searched = 0

    @property
    def is_within(self) -> bool:
        """Whether a message has begun and is not over."""
        return bool(self._end or self._buffer)

    def feed(self, data: bytes) -> list[Event]:
        """Take octets; return what they complete. Raises ``MsrpError``."""
        self._buffer += data
        events: list[Event] = []
        while self._read_body(events) if self._end else self._read_head(events):
            pass
        return events

    def _read_head(self, events: list[Event]) -> bool:
        buffer = self._buffer
        if not buffer:
            return False
        if buffer[:5] != b"MSRP "[: len(buffer)]:
            raise MsrpError("a message begins with MSRP")
        # The header section ends with an empty line, or with the end-line "-------" where there is no body.
        begin = max(0, self._searched - 9)
        blank, dashes = buffer.find(b"\r\n\r\n", begin), buffer.find(b"\r\n-------", begin)
        if blank < 0 and dashes < 0:
            self._searched = len(buffer)
            if len(buffer) > HEAD_SIZE:
                raise MsrpError(f"a head of more than {HEAD_SIZE} octets")
            return False
        has_body = blank >= 0 and (dashes < 0 or blank < dashes)
        size = blank if has_body else dashes
        if size > HEAD_SIZE:
            raise MsrpError(f"a head of more than {HEAD_SIZE} octets")
        if has_body:
            head = _read(bytes(buffer[:size]), has_body)
            del buffer[: size + 4]
            self._begin(head)
            self._end = b"\r\n-------" + head.transaction.encode()
            events.append(head)
            self._searched = 0
            return True
        close = buffer.find(b"\r\n", dashes + 2)
        if close < 0:
            if len(buffer) - dashes > 64:
                raise MsrpError("an end-line without an end")
            return False
        head = _read(bytes(buffer[:size]), has_body)
        line = bytes(buffer[dashes + 2 : close])
        if line[:-1] != b"-------" + head.transaction.encode() or line[-1] not in _FLAGS:
            raise MsrpError("the end-line is not that of the transaction", "7.1")
        self._begin(head)
        del buffer[: close + 2]
        self._searched = 0
        events += (head, _FLAGS[line[-1]])
        return True

    def _begin(self, head: Head) -> None:
        """Check what a head must have (RFC 4975 7.1, 7.3)."""
        if not head.method and head.has_body:
            raise MsrpError("a response with a body", "9")
        has_type = bool(head.get("content-type"))
        if head.has_body and (not has_type or head.fields[-1][0].lower() != "content-type"):
            raise MsrpError("a body, and no Content-Type as the last header field", "7.1")

    def _read_body(self, events: list[Event]) -> bool:
        buffer, end = self._buffer, self._end
        begin = max(0, self._searched)
        while (at := buffer.find(end, begin)) >= 0:
            after = at + len(end)
            if len(buffer) < after + 3:
                if _may_be_flag(buffer, after):
                    return self._give(events, at)
            elif buffer[after] in _FLAGS and buffer[after + 1 : after + 3] == b"\r\n":
                if at:
                    events.append(bytes(buffer[:at]))
                events.append(_FLAGS[buffer[after]])
                del buffer[: after + 3]
                self._end, self._searched = b"", 0
                return True
            begin = at + 1
        # The last octets may be the beginning of an end-line.
        return self._give(events, _possible(buffer, end, begin))

    def _give(self, events: list[Event], size: int) -> bool:
        """Give the first ``size`` octets of the body on, and wait for more."""
        if size > 0:
            events.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        self._searched = 0
        return False


def _possible(buffer: bytearray, end: bytes, begin: int) -> int:
    """Return where in ``buffer`` an end-line may begin that is not whole."""
    size = len(buffer)
    at = buffer.find(b"\r", max(begin, size - len(end) + 1))
    while at >= 0:
        if end.startswith(bytes(buffer[at:])):
            return at
        at = buffer.find(b"\r", at + 1)
    return size


def _may_be_flag(buffer: bytearray, after: int) -> bool:
    rest = bytes(buffer[after:])
    return not rest or (rest[0] in _FLAGS and rest[1:] in (b"", b"\r"))


def _read(data: bytes, has_body: bool) -> Head:
    """Read a start line and header fields, without the last CRLF."""
    try:
        # RFC 4975 9: header fields are UTF-8.
        lines = data.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        raise MsrpError("the header fields are not UTF-8") from None
    start = _START.fullmatch(lines[0])
    if start is None:
        raise MsrpError(f"{lines[0][:60]!r} is no start line")
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        found = _FIELD.fullmatch(line)
        if found is None or _CONTROL.search(line):
            raise MsrpError(f"{line[:60]!r} is no header field")
        fields.append((found[1], found[2]))
    # RFC 4975 7.1: To-Path comes first, From-Path second.
    names = [name.lower() for name, _ in fields[:2]]
    if names != ["to-path", "from-path"]:
        raise MsrpError("To-Path and From-Path are not the first header fields", "7.1")
    if any(name.lower() in ("to-path", "from-path") for name, _ in fields[2:]):
        raise MsrpError("To-Path or From-Path twice", "7.1")
    return Head(
        start[1],
        start[2] or "",
        int(start[3] or 0),
        start[4] or "",
        _path(fields[0][1]),
        _path(fields[1][1]),
        fields[2:],
        has_body,
    )


def _path(value: str) -> tuple[MsrpUri, ...]:
    # As many as a head can hold (``HEAD_SIZE``).
    return tuple(MsrpUri.parse(text) for text in value.split(" "))
