"""Frames of RFC 6455, as both sides read and write them.

Theory of operation: ``MessageReader`` is fed octets of the peer and yields whole
messages and control frames, fragments put together. A fault is a ``FrameError``
with the close code to fail the connection with (RFC 6455 7.4.1); sizes are judged
as soon as a header tells them, before anything is stored. No extension is ever
negotiated, so a reserved bit is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "FrameError",
    "MessageReader",
    "close_payload",
    "frame",
    "masked_frame",
    "read_close",
]

CONTINUATION, TEXT, BINARY = 0, 1, 2
CLOSE, PING, PONG = 8, 9, 10

# RFC 6455 5.5: the most octets that a control frame may hold.
CONTROL_SIZE = 125

# RFC 6455 7.4.1, and 1012 to 1014 of the IANA registry that it set up.
_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


class FrameError(Exception):
    """The peer broke RFC 6455. ``code`` is the close code to answer with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class MessageReader:
    """Octets of the peer in, ``(opcode, payload)`` out.

    ``most`` bounds the payload of one message, its fragments together. A client's
    frames are ``masked``, a server's are not (RFC 6455 5.1).
    """

    __slots__ = ("_buffer", "_key", "_limit", "_most", "_opcode", "_parts")

    def __init__(self, most: int, limit: str = "limits.message_size", masked: bool = True) -> None:
        self._most = most
        self._limit = limit
        # Octets of the masking key.
        self._key = 4 if masked else 0
        # Octets of a frame that is not whole; None while there are none, for an
        # idle connection should hold nothing.
        self._buffer: bytearray | None = None
        # The fragmented message being received, and its opcode.
        self._parts: bytearray | None = None
        self._opcode = 0

    @property
    def pending(self) -> bool:
        """Whether a message has begun and is not whole yet."""
        return self._buffer is not None or self._parts is not None

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the messages and control frames that ``data`` completes; raise FrameError.

        One by one, so that frames before a fault are not lost, however the octets were cut (RFC 6455 7.1.7).
        Read it to its end, or never feed it again.
        """
        source: bytes | bytearray = data
        if self._buffer is not None:
            self._buffer += data
            source = self._buffer
        position = 0
        end = len(source)
        while end - position >= 2:
            first, second = source[position], source[position + 1]
            size = second & 127
            payload = position + 2 + self._key
            if size == 126:
                payload += 2
                if end < payload:
                    self._check(first, second, size)
                    break
                size = int.from_bytes(source[position + 2 : position + 4], "big")
            elif size == 127:
                payload += 8
                if end < payload:
                    self._check(first, second, size)
                    break
                size = int.from_bytes(source[position + 2 : position + 10], "big")
            self._check(first, second, size)
            if end < payload + size:
                break
            position = payload + size
            content = bytes(source[payload:position])
            if self._key:
                content = _mask(content, bytes(source[payload - 4 : payload]))
            opcode = first & 15
            if first == 0x80 | opcode and opcode:
                yield opcode, content
            elif (whole := self._take_fragment(first, opcode, content)) is not None:
                yield self._opcode, whole
        if position == end:
            self._buffer = None
        elif source is self._buffer:
            del source[:position]
        else:
            self._buffer = bytearray(source[position:])

    def _check(self, first: int, second: int, size: int) -> None:
        """Judge a frame by its header."""
        if first & 0x70:
            # RFC 6455 5.2
            raise FrameError(1002, "a reserved bit is set, but no extension was negotiated")
        if (second & 0x80 != 0) != (self._key != 0):
            # RFC 6455 5.1
            rule = "a client's frame must be masked" if self._key else "a server's frame must not be masked"
            raise FrameError(1002, rule)
        opcode = first & 15
        if opcode >= CLOSE:
            if opcode > PONG:
                raise FrameError(1002, f"opcode {opcode} is unknown")
            # RFC 6455 5.5
            if not first & 0x80:
                raise FrameError(1002, "a control frame must not be fragmented")
            # By the seven bits, which are there however the header was cut: a longer
            # form of a small length is a fault as well (5.2).
            if second & 127 > CONTROL_SIZE:
                raise FrameError(1002, f"a control frame holds at most {CONTROL_SIZE} octets")
            return
        if opcode > BINARY:
            raise FrameError(1002, f"opcode {opcode} is unknown")
        # RFC 6455 5.4
        if opcode == CONTINUATION and self._parts is None:
            raise FrameError(1002, "a continuation of nothing")
        if opcode != CONTINUATION and self._parts is not None:
            raise FrameError(1002, "a new message before the last fragment of the one before")
        if size + len(self._parts or b"") > self._most:
            raise FrameError(1009, f"a message of more than {self._most} octets ({self._limit})")

    def _take_fragment(self, first: int, opcode: int, content: bytes) -> bytes | None:
        """Return the message whose last fragment this is, None when there are more to come."""
        if self._parts is None:
            self._parts = bytearray(content)
            self._opcode = opcode
            return None
        self._parts += content
        if not first & 0x80:
            return None
        whole = bytes(self._parts)
        self._parts = None
        return whole


def _mask(data: bytes, key: bytes) -> bytes:
    """Do, or undo, the masking of RFC 6455 5.3, all octets in one operation."""
    size = len(data)
    mask = key * (size // 4 + 1)
    return (int.from_bytes(data, "little") ^ int.from_bytes(mask[:size], "little")).to_bytes(size, "little")


def frame(opcode: int, payload: bytes) -> bytes:
    """Return one whole frame of a server, which masks nothing (RFC 6455 5.1)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65_536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def masked_frame(opcode: int, payload: bytes, key: bytes) -> bytes:
    """Return one whole frame of a client; ``key``: 4 unpredictable octets (RFC 6455 5.3)."""
    plain = frame(opcode, payload)
    head = len(plain) - len(payload)
    return bytes((plain[0], 0x80 | plain[1])) + plain[2:head] + key + _mask(payload, key)


def close_payload(code: int, reason: str) -> bytes:
    """Return the content of a close frame; a reason that is too long is cut between characters."""
    text = reason.encode("utf-8", "replace")[: CONTROL_SIZE - 2].decode("utf-8", "ignore").encode()
    return code.to_bytes(2, "big") + text


def read_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a peer's close frame; 1005 where it has none. Raises FrameError."""
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    # RFC 6455 7.4.2: 3000 to 4999 are for libraries and applications.
    if len(payload) < 2 or not (code in _CODES or 3000 <= code <= 4999):
        raise FrameError(1002, "a close frame without a valid code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(1007, "the reason of a close frame is not UTF-8") from None
