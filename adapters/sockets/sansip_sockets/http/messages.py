"""Messages over a WebSocket between an HTTP client and a ``Talk``: a part of the connection's pump.

Theory of operation: frames, pings and the bounds of a message are those of SIP over WebSocket
(``sansip.transport.websocket``). Messages are answered one after the other, in their order; a few may wait,
then nothing more is read. A bell wakes the pump for a result, or for a message that the client did
not ask for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.limits import Limits
from sansip.transport.filter import Output
from sansip.transport.websocket import WebSocket
from sansip_sockets.http.conversation import HttpFault, Talk
from sansip_sockets.http.line import TURN, Gone, Line
from sansip_sockets.pending import Late, Pending
from sansip_sockets.waits import PAUSE, READ, Bell, Wait

if TYPE_CHECKING:
    from sansip_sockets.hub import Hub

__all__ = ["Messages"]


# Messages pushed in one turn.
PUSHES = 16


class Messages:
    """One WebSocket, open; ``talk`` answers."""

    def __init__(self, hub: Hub, line: Line, limits: Limits, talk: Talk) -> None:
        self._clock = hub.clock
        self._line = line
        self._limits = limits
        self._talk = talk
        self._bell = Bell(hub.inbox)
        now = self._clock()
        most = (limits.http_body_size, "limits.http_body_size")
        self._filter = WebSocket(limits=limits, most=most, shaken=now)
        # When the filter wants to look whether the peer is there.
        self._look = now + limits.websocket_ping
        self._waiting: deque[bytes] = deque()

    def converse(self, rest: bytes) -> Generator[Wait, bool, None]:
        """Answer until the peer or ``talk`` ends it. ``rest`` came behind the handshake. Raises ``Gone``."""
        self._talk.attach(self._bell.ring)
        try:
            if rest:
                yield from self._perform(self._filter.received(rest, self._clock()))
            while True:
                while self._waiting:
                    reply = yield from self._work(self._waiting.popleft())
                    if reply:
                        yield from self._send(reply)
                for _ in range(PUSHES):
                    if (pushed := self._talk.outgoing()) is None:
                        break
                    yield from self._send(pushed)
                else:
                    # Calls go on meanwhile, and so do the requests of the peer.
                    yield from self._wait(TURN)
                    continue
                yield from self._wait(None)
        except HttpFault as fault:
            # RFC 6455 7.4.1: 1008 is a policy that the peer violates.
            yield from self._perform(self._filter.end(1008, str(fault)))
        finally:
            self._talk.closed()

    def _work(self, message: bytes) -> Generator[Wait, bool, bytes]:
        patience = self._limits.http_answer_time
        deadline = self._clock() + patience
        work = self._talk.received(message)
        step: Callable[[], Pending[Any] | None] = work.__next__
        try:
            while True:
                part = step()
                step = work.__next__
                left = deadline - self._clock()
                if left <= 0:
                    late = Late(f"no answer in {patience:g} s (limits.http_answer_time)")
                    step = partial(work.throw, late)
                elif part is None:
                    yield from self._wait(TURN)
                else:
                    part.tell(self._bell.ring)
                    yield from self._wait(left)
        except StopIteration as end:
            # Other work goes first, even if the peer sent many messages at once.
            yield (PAUSE, self._line.sock, TURN)
            return bytes(end.value)
        finally:
            work.close()

    def _wait(self, seconds: float | None) -> Generator[Wait, bool, None]:
        """Wait for octets, the bell, or so long; and see that the peer is there."""
        left = max(self._look - self._clock(), 0.0)
        left = left if seconds is None else min(left, seconds)
        kind = PAUSE if len(self._waiting) >= self._limits.http_batch else READ
        if (yield (kind, self._line.sock, left, self._bell)):
            for data in (yield from self._line.read()):
                if not data:
                    raise Gone
                yield from self._perform(self._filter.received(data, self._clock()))
        if self._clock() >= self._look:
            yield from self._perform(self._filter.time_passed(self._clock()))

    def _send(self, message: bytes) -> Generator[Wait, bool, None]:
        yield from self._perform(self._filter.send(message, self._clock()))

    def _perform(self, output: Output) -> Generator[Wait, bool, None]:
        if output.timer is not None:
            self._look = self._clock() + output.timer
        self._waiting.extend(output.up)
        for data in output.down:
            yield from self._line.write(data)
        if output.closing is not None:
            raise Gone
