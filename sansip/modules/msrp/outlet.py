"""What leaves over one connection: whole frames, and chunks that are passed on while they come.

Theory of operation: one request at a time is open on the wire. Octets of its chunk are written as they come;
as soon as something else has to leave, the request is ended with "+" and goes on later as another (RFC 4975
7.1.1), so nobody waits behind a large file. A peer that does not read makes the chunks for it wait, each with
what one read brought, and their sources are read no more: no queue grows. Over WebSocket each frame is one
whole chunk (RFC 7977 5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sansip.modules.msrp.chunk import Chunk, Sent
from sansip.msrp import CONTINUED, Head
from sansip.msrp.head import end_line

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.modules.msrp.parts import Relay

__all__ = ["Outlet"]

# RFC 4975 7.1.1: a larger chunk has to be interruptible, which its range says by "*".
SMALL: Final = 2_048
# Octets written for chunks that waited before others get their turn.
TURN: Final = 131_072
# Transactions of one connection that wait for their response.
WAITING: Final = 2_000
# Octets that these hold: 2,000 of usual length.
HELD: Final = 1_048_576


class Outlet:
    """Writes one connection. ``full``: nothing more is wanted there."""

    __slots__ = ("_held", "_open", "_relay", "_timer", "_turn", "_write", "framed", "full", "sent", "waiting")

    def __init__(self, relay: Relay, write: Callable[[bytes], None], framed: bool) -> None:
        self._relay = relay
        self._write = write
        self.framed = framed
        self.full = False
        # Transaction -> what waits for its response; the oldest first.
        self.sent: dict[str, Sent] = {}
        self._held = 0
        self.waiting: list[Chunk] = []
        self._open: Chunk | None = None
        self._timer: Timer | None = None
        self._turn: Timer | None = None

    def frame(self, data: bytes, now: float) -> None:
        """Write one whole message."""
        self._interrupt(now)
        self._write(data)

    def request(self, head: Head, body: bytes | None, sent: Sent | None, now: float) -> None:
        """Write a request that is no SEND; ``sent`` where its response is waited for."""
        self.frame(head.whole(body), now)
        if sent is not None:
            self._wait(head.transaction, sent, now)

    def pass_on(self, chunk: Chunk, now: float) -> None:
        """Write what has come of ``chunk``, or have its source wait."""
        if self.full or self.waiting:
            if chunk not in self.waiting:
                self.waiting.append(chunk)
            # Each time: another of its chunks, to another target, may have had it read again.
            chunk.source.read(False)
            return
        self._carry(chunk, now)

    def _carry(self, chunk: Chunk, now: float) -> None:
        held, end = bytes(chunk.held), chunk.end
        chunk.held.clear()
        out: list[bytes] = []
        if self._open is not chunk:
            if end == CONTINUED and not held and chunk.head.has_body:
                return  # all of it has left
            self._interrupt(now)
            whole = self.framed or bool(end and len(held) <= SMALL)
            chunk.transaction, chunk.begun = self._relay.token(), chunk.position
            last = chunk.position + len(held) - 1 if whole else None
            out.append(chunk.request(chunk.transaction, last).octets())
            self._open = chunk
        out.append(held)
        chunk.position += len(held)
        if end or self.framed:
            out.append(self._ended(chunk, end or CONTINUED, now))
        self._write(b"".join(out))

    def _ended(self, chunk: Chunk, flag: str, now: float) -> bytes:
        self._open = None
        if chunk.asked.failure_report != "no":
            deadline = now + self._relay.settings.response_time
            sent = Sent(deadline, chunk, chunk.begun, chunk.position - 1)
            self._wait(chunk.transaction, sent, now)
        line = end_line(chunk.transaction, flag)
        return b"\r\n" + line if chunk.head.has_body else line

    def _interrupt(self, now: float) -> None:
        chunk = self._open
        if chunk is not None:
            self._write(self._ended(chunk, CONTINUED, now))

    def abort(self, chunk: Chunk, flag: str, now: float) -> None:
        """End ``chunk``, of which no more comes."""
        if chunk in self.waiting:
            self.waiting.remove(chunk)
            chunk.source.read(True)
        if self._open is chunk:
            self._write(self._ended(chunk, flag, now))
            if chunk.failed:
                # Its failure was told already.
                self._take(chunk.transaction)

    def writable(self, writable: bool, now: float) -> None:
        """The peer takes no more, or all that was written."""
        self.full = not writable
        written = 0
        while self.waiting and not self.full:
            if written > TURN:
                # As much as this at once would be too much for the connection's queue.
                if self._turn is None:
                    self._turn = self._relay.core.timers.start(now, 0.0, self, "turn")
                return
            chunk = self.waiting.pop(0)
            written += len(chunk.held)
            self._carry(chunk, now)
            chunk.source.read(True)

    # --- responses

    def answered(self, transaction: str, status: int) -> Sent | None:
        """Return what waited for the response to ``transaction``."""
        chunk = self._open
        if chunk is not None and chunk.transaction == transaction and status != 200:
            # RFC 4975 7.3.2: a failure may come while the chunk is being sent.
            return Sent(0.0, chunk, chunk.begun, chunk.position - 1)
        return self._take(transaction)

    def _take(self, transaction: str) -> Sent | None:
        sent = self.sent.pop(transaction, None)
        if sent is not None:
            self._held -= sent.octets
        return sent

    def _wait(self, transaction: str, sent: Sent, now: float) -> None:
        while self.sent and (len(self.sent) >= WAITING or self._held > HELD):
            oldest = self._take(next(iter(self.sent)))
            self._relay.timed_out(oldest, now)
        self.sent[transaction] = sent
        self._held += sent.octets
        if self._timer is None:
            self._timer = self._relay.core.timers.start(now, sent.deadline - now, self, "responses")

    def timer_fired(self, name: str, now: float) -> None:
        if name == "turn":
            self._turn = None
            self.writable(not self.full, now)
            return
        self._timer = None
        while self.sent:
            transaction, sent = next(iter(self.sent.items()))
            if sent.deadline > now:
                self._timer = self._relay.core.timers.start(now, sent.deadline - now, self, "responses")
                return
            self._take(transaction)
            self._relay.timed_out(sent, now)

    def close(self) -> tuple[list[Sent], list[Chunk]]:
        """End it; return what will get no response, and the chunks that are not through."""
        for timer in (self._timer, self._turn):
            if timer is not None:
                timer.cancel()
        left = list(self.sent.values())
        self.sent.clear()
        self._held = 0
        chunks, self.waiting = self.waiting, []
        if self._open is not None and self._open not in chunks:
            chunks.append(self._open)
        self._open = None
        return left, chunks
