"""The WebSocket filter: frames below, whole SIP messages above (RFC 7118 5).

Theory of operation: first comes the handshake, then one SIP message is one WebSocket message, so the data
that goes up has boundaries. After a silence the filter sends a ping (browsers have no way to ping by
themselves, and NATs forget). A browser that answers neither with a pong nor with other data is gone. A
message that was begun must be whole in time, as on any stream. All of it takes one timer, which looks at the
times of the last octets and of the message begun, and so costs nothing per message.
"""

from __future__ import annotations

from collections.abc import Collection

from sansip.limits import DEFAULT, Limits
from sansip.transport.filter import NOTHING, Output
from sansip.transport.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    MessageReader,
    close_payload,
    frame,
    read_close,
)
from sansip.transport.websocket.handshake import AnyHandshake, Handshake, WebSocketConfig

__all__ = ["WebSocket"]


class WebSocket:
    """One WebSocket connection, server side: a ``sansip.driver.Filter``.

    ``most``: octets of a message, and the limit that says so. ``shaken``: the time at which the handshake was
    over, if another part did it.
    """

    __slots__ = ("_begun", "_handshake", "_kept", "_last", "_limits", "_pinged", "_reader")

    boundaries = True

    def __init__(
        self,
        config: WebSocketConfig | None = None,
        limits: Limits = DEFAULT,
        *,
        most: tuple[int, str] | None = None,
        shaken: float | None = None,
        protocols: Collection[str] = (),
    ) -> None:
        self._limits = limits
        self._handshake: AnyHandshake | None = None
        if shaken is None:
            self._handshake = Handshake(config or WebSocketConfig(), limits.websocket_head_size, protocols)
        self._reader = MessageReader(*(most or (limits.message_size, "limits.message_size")))
        # Data that the stack sent before the handshake was over.
        self._kept: list[bytes] = []
        # When the last octets came, when the message now incomplete began, and
        # whether a ping waits for a sign of life.
        self._last = shaken or 0.0
        self._begun: float | None = None
        self._pinged = False

    @property
    def ready(self) -> bool:
        """Whether the handshake is over."""
        return self._handshake is None

    def _frame(self, opcode: int, payload: bytes) -> bytes:
        return frame(opcode, payload)

    def _goodbye(self, code: int, reason: str) -> bytes:
        return self._frame(CLOSE, close_payload(code, reason))

    def opened(self, now: float) -> Output:
        """The client speaks first."""
        return NOTHING

    def received(self, data: bytes, now: float) -> Output:
        """Take octets of the peer."""
        self._last = now
        self._pinged = False
        if self._handshake is not None:
            return self._shake(self._handshake, data, now)
        up: list[bytes] = []
        down: list[bytes] = []
        closing: str | None = None
        try:
            for opcode, payload in self._reader.feed(data):
                if opcode == TEXT:
                    # RFC 6455 8.1
                    if not payload.isascii():
                        _check_utf_8(payload)
                    up.append(payload)
                elif opcode == BINARY:
                    up.append(payload)
                elif opcode == PING:
                    # RFC 6455 5.5.3: of several pings the last is answered.
                    down = [self._frame(PONG, payload)]
                elif opcode == CLOSE:
                    code, _ = read_close(payload)
                    # RFC 6455 5.5.1: the code is echoed.
                    down.append(self._frame(CLOSE, payload[:2]))
                    closing = f"closed by the peer (WebSocket close code {code})"
                    break
        except FrameError as error:
            # RFC 6455 7.1.7: data before the fault still counts.
            down.append(self._goodbye(error.code, error.reason))
            closing = f"WebSocket: {error.reason}"
        return Output(down, up, self._watch(now, bool(up)), closing)

    def _shake(self, handshake: AnyHandshake, data: bytes, now: float) -> Output:
        result = handshake.feed(data)
        if result is None:
            return NOTHING
        if result.refused:
            return Output([result.response] if result.response else (), closing=result.refused)
        self._handshake = None
        # A client has nothing to answer.
        down = [data for data in (result.response, *self._kept) if data]
        self._kept.clear()
        protocol = None if result.protocol == "sip" else result.protocol
        if not result.rest:
            return Output(down, timer=self._limits.websocket_ping, protocol=protocol)
        more = self.received(result.rest, now)
        timer = more.timer or self._limits.websocket_ping
        return Output([*down, *more.down], more.up, timer, more.closing, protocol=protocol)

    def _watch(self, now: float, whole: bool) -> float | None:
        """Return for how long to wait when a message has just begun; ``whole``: another was completed."""
        if not self._reader.pending:
            self._begun = None
        elif self._begun is None:
            self._begun = now
            return self._limits.message_time
        elif whole:
            # Pipelined: the incomplete octets now belong to another message.
            self._begun = now
        return None

    def send(self, data: bytes, now: float) -> Output:
        """Send one SIP message, or a keepalive."""
        # RFC 7118 5.1: text where all of it is UTF-8, else binary.
        opcode = TEXT if data.isascii() or _is_utf_8(data) else BINARY
        framed = self._frame(opcode, data)
        if self._handshake is not None:
            self._kept.append(framed)
            return NOTHING
        return Output((framed,))

    def close(self, reason: str, now: float) -> Output:
        """Say goodbye: 1001 is "going away" (RFC 6455 7.4.1)."""
        return NOTHING if self._handshake is not None else Output((self._goodbye(1001, reason),))

    def end(self, code: int, reason: str) -> Output:
        """Close by ``code`` (RFC 6455 7.4), for the code that speaks above."""
        return Output((self._goodbye(code, reason),), closing=reason)

    def time_passed(self, now: float) -> Output:
        """Look whether the peer is still there, and whether it finishes what it began."""
        limits = self._limits
        begun = self._begun
        if begun is not None and now - begun >= limits.message_time:
            reason = f"message incomplete after {limits.message_time:g} s (limits.message_time)"
            return Output((self._goodbye(1008, reason),), closing=reason)
        silent = now - self._last
        if self._pinged and silent >= limits.websocket_ping + limits.websocket_pong:
            reason = f"no answer to a ping in {limits.websocket_pong:g} s (limits.websocket_pong)"
            return Output((self._goodbye(1001, reason),), closing=reason)
        down: tuple[bytes, ...] = ()
        wait = limits.websocket_ping - silent
        if wait <= 0:
            wait += limits.websocket_pong
            if not self._pinged:
                self._pinged = True
                # RFC 6455 5.5.2; the peer is asked in full, however late we are.
                down = (self._frame(PING, b""),)
                wait = limits.websocket_pong
                self._last = now - limits.websocket_ping
        if begun is not None:
            wait = min(wait, begun + limits.message_time - now)
        return Output(down, timer=max(wait, 0.001))


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_utf_8(payload: bytes) -> None:
    if not _is_utf_8(payload):
        raise FrameError(1007, "a text message is not UTF-8")
