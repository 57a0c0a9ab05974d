"""Messages out of a stream: Content-Length framing and CRLF keepalives.

Theory of operation: octets come in any pieces and are kept until a message is whole (RFC 3261 18.3). Each
octet is looked at a bounded number of times however small the pieces are: the search for the end of the head
goes on where it stopped. Messages that come whole are cut out of the octets that were read, without the
buffer (the C module finds their ends, where there is one), and so are those behind the rest of one. Once
framing is lost it cannot be found again, so the framer reports the error, with what could be read of the
message, and takes nothing more.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

from sansip.errors import RemoteProtocolError, without_frames
from sansip.limits import DEFAULT, Limits
from sansip.wire import parse_message
from sansip.wire.head import framed_in_c

__all__ = ["PING", "PONG", "Framed", "StreamFramer", "framed_plainly"]

# RFC 5626 3.5.1: a double CRLF between messages asks for a single one.
PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"
_LINE_END: Final = frozenset(PONG)

# A whole message, a PING, or an error: of one message, or that after which nothing more comes.
Framed: TypeAlias = bytes | RemoteProtocolError

# Every Content-Length field of a head, compact or folded (RFC 3261 7.3.1, 7.3.3). Both cases of each letter
# are written out, so that the search looks for the line end first.
_NAME: Final = "".join(f"[{one.upper()}{one}]" if one.isalpha() else one for one in "content-length")
_CONTENT_LENGTH: Final = re.compile(
    rf"\r\n(?:{_NAME}|[Ll])[ \t]*+:((?:[^\r\n]++|\r\n[ \t])*+)(?=\r\n)".encode()
)
# Octets allowed before a start line: pings, and line ends that cannot become a ping any more.
_BETWEEN = re.compile(rb"(?:\r\n\r\n|\r\n(?=[^\r]|\r[^\n])|\r(?=[^\n])|\n)++")


def framed_plainly(data: bytes, begin: int, head_size: int, message_size: int) -> int:
    """Return where the message ends that begins at ``begin``; -1 where it is not plain, or not whole."""
    if begin >= len(data) or data[begin] in _LINE_END:
        return -1
    end = data.find(PING, begin)
    if end < 0 or end - begin > head_size:
        return -1
    end += 4
    found = _CONTENT_LENGTH.findall(data, begin, end - 2)
    if len(found) != 1:
        return -1
    length = found[0].strip()
    if not length.isdigit() or len(length) > 10:
        return -1
    end += int(length)
    return -1 if end > len(data) or end - begin > message_size else end


_end_of: Final[Any] = framed_plainly if framed_in_c is None else framed_in_c


class StreamFramer:
    """Cuts one stream into messages. ``pending`` tells whether one has begun.

    ``failed``: the framing is lost; no more messages come, and the stream must be closed.
    """

    __slots__ = ("_buffer", "_limits", "_searched", "_size", "_skip", "failed")

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._buffer = bytearray()
        # Where the search for the end of the head goes on.
        self._searched = 0
        # Octets of the message begun, 0 while its head is not complete.
        self._size = 0
        # Octets still to come of a message that is too large.
        self._skip = 0
        self.failed = False

    @property
    def pending(self) -> bool:
        """Whether part of a message is waiting for the rest."""
        # RFC 3261 7.5: a message does not begin with a line end. The line ends held here may be half a ping.
        return self._skip > 0 or (len(self._buffer) > 0 and self._buffer[0] not in b"\r\n")

    @property
    def tail(self) -> bytes:
        """The octets of the incomplete message."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[Framed]:
        """Take ``data``; return what became complete, in order.

        Each item is the octets of one message, ``PING``, or a ``RemoteProtocolError`` whose
        ``message`` can be answered: one that is too large, or, where ``failed`` is set, the last.
        """
        framed: list[Framed] = []
        if self.failed:
            return framed
        buffer = self._buffer
        if not self._skip:
            held = len(buffer)
            if not held:
                data = self._cut(data, framed)
                if not data:
                    return framed
            elif held <= len(data):
                # As much as came is copied and looked at once more.
                came = bytes(buffer) + data
                rest = self._cut(came, framed)
                if len(rest) < len(came):
                    buffer.clear()
                    self._searched = self._size = 0
                    data = rest
        buffer += data
        try:
            while buffer and self._next(buffer, framed):
                pass
        except RemoteProtocolError as error:
            self.failed = True
            buffer.clear()
            framed.append(without_frames(error))
        return framed

    def _cut(self, data: bytes, framed: list[Framed]) -> bytes:
        """Take the whole messages that ``data`` begins with; return what is to be looked at further."""
        limits = self._limits
        head_size, message_size = limits.head_size, limits.message_size
        begin = 0
        while (end := _end_of(data, begin, head_size, message_size)) > 0:
            framed.append(data[begin:end])
            begin = end
        return data[begin:]

    def _next(self, buffer: bytearray, framed: list[Framed]) -> bool:
        if self._skip:
            skipped = min(self._skip, len(buffer))
            del buffer[:skipped]
            self._skip -= skipped
            return True
        if not self._size:
            # RFC 3261 7.5: CRLFs before a start line are ignored; RFC 5626
            # 4.4.1: two of them are a ping.
            if buffer[0] in b"\r\n":
                between = _BETWEEN.match(buffer)
                if between is None:
                    return False
                end = between.end()
                # A match holds the buffer, and it could not shrink.
                del between
                framed += [PING] * buffer.count(PING, 0, end)
                del buffer[:end]
                return True
            end = buffer.find(b"\r\n\r\n", self._searched)
            limits = self._limits
            if end < 0:
                if len(buffer) > limits.message_size:
                    raise self._too_large("header fields")
                self._searched = max(0, len(buffer) - 3)
                return False
            if end > limits.message_size:
                raise self._too_large("header fields")
            head = bytes(buffer[: end + 4])
            size = len(head) + self._body_length(head)
            self._searched = 0
            if end > limits.head_size or size > limits.message_size:
                fault = self._too_large("header fields" if end > limits.head_size else "body", head)
                if size > limits.skipped_size:
                    raise fault
                framed.append(fault)
                self._skip = size
                return True
            self._size = size
        if len(buffer) < self._size:
            return False
        framed.append(bytes(buffer[: self._size]))
        del buffer[: self._size]
        self._size = 0
        return True

    def _body_length(self, head: bytes) -> int:
        # Folds and white space stand before or after the number, never within it.
        found = [value.strip() for value in _CONTENT_LENGTH.findall(head[:-2])]
        # RFC 3261 18.3: on a stream the field is what frames the message.
        if not found:
            raise self._lost("Content-Length is missing on a stream", head)
        # RFC 4475 3.1.2.3, 3.3.9: negative, several or unreadable lengths.
        if len(set(found)) > 1 or not found[0].isdigit() or len(found[0]) > 10:
            raise self._lost("Content-Length must be one decimal number", head)
        return int(found[0])

    def _lost(self, reason: str, head: bytes) -> RemoteProtocolError:
        return RemoteProtocolError(
            reason,
            status=400,
            section="RFC 3261 18.3",
            field="Content-Length",
            message=_understood(head, self._limits),
        )

    def _too_large(self, what: str, head: bytes = b"") -> RemoteProtocolError:
        # RFC 3261 21.4.11 where less of a body would do (8.1.3.5), else 21.5.7
        body = what == "body"
        return RemoteProtocolError(
            f"{what} too large",
            status=413 if body else 513,
            section="RFC 3261 21.4.11" if body else "RFC 3261 21.5.7",
            message=_understood(head, self._limits) if head else None,
        )


def _understood(head: bytes, limits: Limits):  # type: ignore[no-untyped-def]  # two returns by kind
    """Return the message that ``head`` begins, as far as it can be answered."""
    try:
        return parse_message(head, limits)
    except RemoteProtocolError as error:
        return error.message
