"""One connection to Redis that never waits: commands leave at the end of a turn, answers come as input.

Theory of operation: a ``Link`` is a pump like that of any socket (``sansip_sockets.waits``), so it runs on
every runtime, and no thread stands between a question and its answer. All commands of one turn of the loop
leave in one write; Redis answers in order. A thread only opens the connection, with redis-py: it looks names
up, asks the sentinels for the master, does TLS and AUTH, all of which may wait.

Where Redis tells over the connection of records that change, ``tracked`` has those that are present.

If the connection breaks, the link opens it anew and sends each batch a second time: a server that was
restarted costs a try and no question. So a caller gives only commands that Redis may get twice: a compare and
swap under a version of its own is such a command. If Redis is silent for ``timeout`` seconds, everything that
waits fails, and the caller decides when to try again.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sansip.actions import Ask
from sansip.clock import Timer
from sansip_server.config.redis import RedisPlace, RedisSettings
from sansip_server.stores.redis_client import Connected, Opening, is_read_only
from sansip_server.stores.resp import Answers, Command, Malformed, Push, pack
from sansip_server.stores.tracked import Tracked
from sansip_sockets.hub import Hub
from sansip_sockets.waits import PAUSE, READ, WRITE, Pump, wake

__all__ = ["Link"]

# Octets read at a time: hundreds of records; and how often before others have their turn.
_READ = 65_536
_READS = 16
# The socket has no octets yet, or no room; TLS has its own words for it.
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

# Gets the answers to a batch, or the exception that it met.
Done = Callable[["list[Any] | Exception"], None]


class _Batch:
    """Commands that were asked together, and the answers until now."""

    __slots__ = ("answers", "asked", "changes", "count", "data", "done", "tried")

    def __init__(self, commands: Sequence[Command], done: Done) -> None:
        self.data = pack(commands)
        self.count = len(commands)
        self.done = done
        self.answers: list[Any] = []
        # When it was asked; and how often it was sent.
        self.asked = 0.0
        self.tried = 0
        # ``Tracked.changes`` when its first answer came.
        self.changes = 0


class Link:
    """A connection to the Redis at ``place``, opened when it is needed; all of it in the stack's thread."""

    def __init__(
        self,
        hub: Hub,
        place: RedisPlace,
        settings: RedisSettings,
        password: str | None,
        tracked: Tracked | None = None,
    ) -> None:
        self._hub = hub
        self._settings = settings
        self._tracked = tracked
        self._by_sentinel = place.kind == "sentinel"
        opening = Opening(place, settings, password, tracks=tracked is not None)
        self._opener = hub.answering.worker(opening, self._opened)
        self._opening = False
        self._open: Connected | None = None
        self._answers = Answers()
        # Batches that have not left, and those that Redis has; and octets that the socket did not take.
        self._waiting: deque[_Batch] = deque()
        self._asked: deque[_Batch] = deque()
        self._rest: bytes | memoryview = b""
        self._marked = False
        self._timer: Timer | None = None
        # When Redis last finished an answer.
        self._heard = 0.0
        self._closed = False
        # Whether Redis has to answer, as the hub knows it.
        self._awaited = False
        # Whether answers are given to those who asked just now.
        self._taking = False
        # When the latest command was asked that Redis has answered: it told of all changes before that.
        self._proved = -math.inf
        # For ``done``: whether the records in its answers are present, and Redis will tell of their change.
        self.certain = False

    def run(self, commands: Sequence[Command], done: Done) -> None:
        """Ask ``commands`` at the end of this turn; ``done`` gets their answers in a later one.

        For code that performs an action of the hub, and for ``done`` of another batch.
        """
        batch = _Batch(commands, done)
        batch.asked = self._hub.clock()
        self._waiting.append(batch)
        if not self._marked:
            self._marked = True
            self._hub.at_end(self._flush)
        if self._timer is None:
            self._arm(batch.asked)

    @property
    def tracks(self) -> bool:
        """Whether Redis tells of changes."""
        return self._open is not None and self._open.tracks

    def is_current(self) -> bool:
        """Take what Redis has told by now; return whether ``tracked`` may be believed.

        Not when Redis has proved nothing for ``timeout`` seconds: it may be out of reach.
        """
        connected = self._open
        if connected is None or not connected.tracks:
            return False
        if not self._taking:
            self._read(connected, connected.sock)
        return connected is self._open and self._hub.clock() - self._proved < self._settings.timeout

    def close(self) -> None:
        """Let go of the connection; nobody hears of what is under way."""
        self._closed = True
        self._forget()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        self._asked.clear()
        connected, self._open = self._open, None
        if connected is not None:
            self._hub.quiet.discard(connected.sock.fileno())
            connected.close()
        self._note()

    def _note(self) -> None:
        """Tell the hub whether an answer is awaited: only then the runtime has to look at the connection."""
        awaited = bool(self._asked)
        if awaited is not self._awaited:
            self._awaited = awaited
            self._hub.awaited += 1 if awaited else -1

    # --- the connection

    def _begin(self) -> None:
        if not self._opening and not self._closed:
            self._opening = True
            self._opener.ask(Ask(0, None))

    def _opened(self, _number: int, result: Connected | Exception) -> None:
        self._opening = False
        if isinstance(result, Exception):
            self._fail(self._waiting, result)
            return
        if self._closed:
            result.close()
            return
        self._open = result
        self._answers = Answers()
        self._rest = b""
        self._hub.quiet.add(result.sock.fileno())
        self._hub.spawn(self._pump(result))
        self._flush()

    def _flush(self) -> None:
        """Send all that waits."""
        self._marked = False
        if not self._waiting or self._closed:
            return
        if self._open is None:
            self._begin()
            return
        if self._rest:
            # It leaves behind that (``_writing``).
            return
        batches = list(self._waiting)
        self._waiting.clear()
        for batch in batches:
            batch.tried += 1
        self._asked.extend(batches)
        self._note()
        data = batches[0].data if len(batches) == 1 else b"".join([batch.data for batch in batches])
        try:
            sent = self._open.sock.send(data)
        except _LATER:
            sent = 0
        except OSError as error:
            self._broken(self._open, error)
            return
        if sent < len(data):
            # Of a view nothing is copied for each piece that leaves.
            self._rest = memoryview(data)[sent:]
            self._hub.spawn(self._writing(self._open))

    def _writing(self, connected: Connected) -> Pump:
        """Send what the socket had no room for."""
        wait = (WRITE, connected.sock, None)
        connected.pumps += 1
        while connected is self._open and self._rest:
            yield wait
            if connected is not self._open:
                break
            try:
                self._rest = self._rest[connected.sock.send(self._rest) :]
            except _LATER:
                continue
            except OSError as error:
                self._broken(connected, error)
        if connected is self._open:
            self._flush()
        yield (PAUSE, connected.sock, 0.0)
        connected.left()

    def _pump(self, connected: Connected) -> Pump:
        sock = connected.sock
        wait = (READ, sock, None)
        connected.pumps += 1
        while connected is self._open:
            yield wait
            if connected is not self._open:
                break
            try:
                self._read(connected, sock)
            except Exception as error:
                self._hub.report("the connection to Redis", error)
        yield (PAUSE, sock, 0.0)
        connected.left()

    def _read(self, connected: Connected, sock: socket.socket) -> None:
        """Take the answers that have come."""
        reads = 0
        while connected is self._open:
            reads += 1
            try:
                data = sock.recv(_READ)
                answers = self._answers.feed(data) if data else None
            except _LATER:
                return
            except (OSError, Malformed) as error:
                self._broken(connected, error)
                return
            if answers is None:
                self._broken(connected, ConnectionResetError("Connection closed by server."))
                return
            self._take(connected, answers)
            if isinstance(sock, ssl.SSLSocket):
                # TLS may hold octets that no selector sees.
                if reads >= _READS and not sock.pending():
                    return
            elif len(data) < _READ or reads >= _READS:
                return

    def _forget(self) -> None:
        """Redis tells of no change any more."""
        self._proved = -math.inf
        if self._tracked is not None:
            self._tracked.clear()

    def _take(self, connected: Connected, answers: list[Any]) -> None:
        tracked = self._tracked
        finished: list[_Batch] = []
        moved = heard = False
        for answer in answers:
            if tracked is not None and type(answer) is Push:
                tracked.told(answer.message)
                continue
            if not heard:
                # A part does not count: an answer that never ends must not keep others waiting.
                heard = True
                self._heard = self._hub.clock()
            if not self._asked:
                self._broken(connected, Malformed("Redis answers what nobody asked"))
                break
            batch = self._asked[0]
            if tracked is not None and not batch.answers:
                batch.changes = tracked.changes
            batch.answers.append(answer)
            if self._by_sentinel and is_read_only(answer):
                moved = True
            if len(batch.answers) == batch.count:
                finished.append(self._asked.popleft())
        self._note()
        if moved:
            # This server is no master any more: the next connection goes to the new master.
            self._broken(connected, ConnectionResetError("the previous master is now a replica"))
        self._taking = True
        for batch in finished:
            if tracked is not None and connected is self._open:
                self._proved = max(self._proved, batch.asked)
                self.certain = connected.tracks and batch.changes == tracked.changes
            self._done(batch, batch.answers)
            self.certain = False
        self._taking = False
        # What was asked because of these answers.
        self._flush()

    # --- failures

    def _broken(self, connected: Connected, error: Exception) -> None:
        """Open the connection anew for what was sent once; fail the rest."""
        if connected is not self._open:
            return
        self._open = None
        self._forget()
        # The pump lets go of the socket.
        self._hub.quiet.discard(connected.sock.fileno())
        wake(connected.sock)
        again = [batch for batch in self._asked if batch.tried < 2]
        lost = deque(batch for batch in self._asked if batch.tried >= 2)
        self._asked.clear()
        self._note()
        for batch in reversed(again):
            batch.answers = []
            self._waiting.appendleft(batch)
        self._fail(lost, error)

    def _fail(self, batches: deque[_Batch], error: Exception) -> None:
        failed = list(batches)
        batches.clear()
        for batch in failed:
            self._done(batch, error)
        self._flush()

    def _done(self, batch: _Batch, found: list[Any] | Exception) -> None:
        try:
            batch.done(found)
        except Exception as error:
            # The other batches get theirs.
            self._hub.report("an answer of Redis", error)

    def _arm(self, now: float) -> None:
        # A batch fails at most so much later than its time.
        self._timer = self._hub.driver.timers.start(now, self._settings.timeout / 4, self, None)
        self._hub.settle(now)

    def timer_fired(self, _name: None, now: float) -> None:
        """Called by the driver's timers: give up if Redis has been silent for too long."""
        self._timer = None
        oldest = math.inf
        for queue in (self._asked, self._waiting):
            if queue:
                oldest = min(oldest, queue[0].asked)
        if oldest == math.inf:
            return
        if now - max(oldest, self._heard) < self._settings.timeout:
            self._arm(now)
            return
        error = TimeoutError("Timeout reading from socket")
        self._forget()
        connected, self._open = self._open, None
        if connected is not None:
            self._hub.quiet.discard(connected.sock.fileno())
            wake(connected.sock)
        failed = deque((*self._asked, *self._waiting))
        self._asked.clear()
        self._waiting.clear()
        self._note()
        # In a later turn: the driver has not returned from this input.
        self._hub.inbox.post(self._fail, failed, error)
