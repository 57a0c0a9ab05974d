"""The commands to one relay that are under way: sent, sent again, answered, given up.

Theory of operation: each command goes out under a cookie of its own, which its answer and its repetitions
have as well. All commands wait equally long, so they stand in one line in the order of what is due, and one
timer serves all of them. Who waits for a command hears of its answer after the relay has (``Judge``): so
nobody goes on with a relay of which it is known by then that it is down. Over a stream nothing is sent again,
and the connection keeps what waits.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.module.peer import PeerBusy, PeerFailed
from sansip.modules.media.asking import Asking, RelayFailed
from sansip.modules.media.command import Asker, Called, Command
from sansip.modules.media.octets import number_of, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sansip.inside import Callback
    from sansip.module import Core
    from sansip.module.plain_socket import PlainSocket
    from sansip.module.websockets import WebSocketPeer
    from sansip.modules.media.breaker import Breaker

__all__ = ["DatagramLine", "Judge", "StreamLine"]

# The part of the last answer in the average of their times.
_PART: Final = 0.125


class Judge(Protocol):
    """The relay, as it hears of its commands."""

    breaker: Breaker
    # Whether it looks now and then how long they wait.
    watching: bool

    def watch(self, now: float) -> None: ...
    def lives(self, now: float) -> None: ...
    def failed(self, command: Command, error: Exception, now: float) -> RelayFailed: ...
    def stray(self, data: bytes, now: float) -> None: ...


class _Waiting:
    """The part that both kinds of line have.

    Attributes:
        commands: how many there were.
        latency: seconds until an answer, a moving average; None before the first one.
        waiting: the commands under way by the number in their cookie, the oldest first.
    """

    __slots__ = ("_breaker", "_judge", "_latency", "_prefix", "_tries", "_within", "commands", "waiting")

    def __init__(self, judge: Judge, prefix: bytes) -> None:
        self._judge = judge
        self._breaker: Breaker = judge.breaker
        # What all cookies of this process begin with.
        self._prefix = prefix
        self._within = 1.0
        self._tries = 1
        self.commands = 0
        self._latency = -1.0
        self.waiting: dict[int, Command] = {}

    @property
    def latency(self) -> float | None:
        """Seconds until an answer, a moving average; None before the first one."""
        return None if self._latency < 0.0 else self._latency

    def measure(self, within: float, tries: int) -> None:
        """Send a command ``tries`` times, every ``within`` seconds."""
        self._within, self._tries = within, tries

    def new(self, command: bytes, is_ping: bool = False) -> Asking:
        """Return ``command`` under a cookie of its own, to be awaited."""
        self.commands = number = self.commands + 1
        return Asking(self, Command(number, numbered(self._prefix, number, command), is_ping))

    def ask(self, command: bytes, callback: Callback, now: float) -> None:
        """Send ``command``; ``callback((answer, when) or failure, when)`` hears what became of it."""
        self.put(command, Called(callback), now)

    def put(self, command: bytes, asker: Asker, now: float, patient: bool = False) -> None:
        """Send ``command``; ``asker`` hears what became of it.

        ``patient``: nothing waits for that to go on.
        """
        self.commands = number = self.commands + 1
        self.begin(Command(number, numbered(self._prefix, number, command), False, asker, patient), now)

    def begin(self, command: Command, now: float) -> None:
        raise NotImplementedError

    def forget(self, command: Command) -> None:
        """Nobody waits for ``command``: it is not sent again."""
        raise NotImplementedError

    def give_up(self, commands: Iterable[Command], error: RelayFailed) -> None:
        """Have ``commands`` fail at once."""
        for command in commands:
            asker = command.asker
            if asker is not None:
                command.asker = None
                self.forget(command)
                asker.heard(error, error.now)

    def _answered(self, command: Command, data: bytes, now: float) -> None:
        """Tell of an answer; ``command`` does not wait any more."""
        asker = command.asker
        seconds = now - command.begun
        latency = self._latency
        # The first one begins the average.
        self._latency = seconds if latency < 0.0 else latency + _PART * (seconds - latency)
        if self._breaker.state != "closed":
            self._judge.lives(now)
        if asker is not None:
            command.asker = None
            asker.heard(data, now)


class DatagramLine(_Waiting):
    """Commands over UDP."""

    __slots__ = ("_dues", "_peer", "_timed")

    def __init__(self, core: Core, judge: Judge, remote: tuple[str, int], prefix: bytes) -> None:
        super().__init__(judge, prefix)
        self._peer: PlainSocket = core.socket(remote, self._take, self._lose)
        # By what is due; answered ones are taken out when their turn comes.
        self._dues: deque[Command] = deque()
        self._timed = False

    @property
    def heard(self) -> float:
        """When the relay said something last."""
        return self._peer.heard

    def begin(self, command: Command, now: float) -> None:
        """Send ``command``, whose asker is set."""
        command.begun = now
        command.due = due = now + self._within
        command.left = self._tries - 1
        self.waiting[command.number] = command
        sockets = self._peer.sockets
        if not self._judge.watching:
            self._judge.watch(now)
        dues = self._dues
        dues.append(command)
        if not self._timed:
            self._timed = True
            sockets.timers.put(due, self._within, self, None)
        sockets.questions += 1
        if command.patient:
            sockets.patient += 1
        try:
            if sockets.questions > sockets.limits.module_questions:
                raise PeerBusy(f"{self._peer}: too many answers are waited for (limits.module_questions)")
            self._peer.send(command.data, now)
        except OSError as error:
            self.forget(command)
            self._fail(command, error, now)

    def forget(self, command: Command) -> None:
        if self.waiting.pop(command.number, None) is not None:
            self._over(command)

    def _over(self, command: Command) -> None:
        """Nobody waits for ``command`` any more."""
        sockets = self._peer.sockets
        sockets.questions -= 1
        if command.patient:
            sockets.patient -= 1

    def _take(self, data: bytes, now: float) -> None:
        """The relay said something."""
        command = self.waiting.pop(number_of(data, self._prefix), None)
        if command is None:
            self._judge.stray(data, now)
            return
        self._over(command)
        self._answered(command, data, now)

    def _lose(self, reason: str, now: float) -> None:
        """Nobody listens there, or the socket is closed."""
        for command in list(self.waiting.values()):
            self.forget(command)
            self._fail(command, PeerFailed(f"{self._peer}: {reason}"), now)

    def _fail(self, command: Command, error: Exception, now: float) -> None:
        asker = command.asker
        if asker is not None:
            command.asker = None
            asker.heard(self._judge.failed(command, error, now), now)

    def timer_fired(self, name: Any, now: float) -> None:
        """Send again what is due, or give it up."""
        dues, peer = self._dues, self._peer
        while dues and (dues[0].asker is None or dues[0].due <= now):
            command = dues.popleft()
            if command.asker is None:
                continue
            if command.left > 0:
                command.left -= 1
                command.due = now + self._within
                try:
                    peer.send(command.data, now)
                except OSError as error:
                    self.forget(command)
                    self._fail(command, error, now)
                else:
                    dues.append(command)
            else:
                self.forget(command)
                self._fail(command, PeerFailed(f"{peer} does not answer"), now)
        self._timed = bool(dues)
        if dues:
            peer.sockets.timers.put(dues[0].due, self._within, self, None)


class StreamLine(_Waiting):
    """Commands over a WebSocket."""

    __slots__ = ("_peer",)

    def __init__(self, judge: Judge, open_: Callable[[Any], WebSocketPeer], prefix: bytes) -> None:
        super().__init__(judge, prefix)
        self._peer = open_(judge.stray)

    @property
    def heard(self) -> float:
        """When the relay said something last."""
        return self._peer.heard

    def begin(self, command: Command, now: float) -> None:
        """Send ``command``, whose asker is set."""
        command.begun = now
        self.waiting[command.number] = command
        if not self._judge.watching:
            self._judge.watch(now)
        key = b"%b_%d" % (self._prefix, command.number)
        command.exchange = self._peer.ask(command.data, self._within, self._tries, key)
        command.exchange.put(partial(self._came, command), now)

    def forget(self, command: Command) -> None:
        self.waiting.pop(command.number, None)
        if command.exchange is not None:
            command.exchange.abandon()

    def _came(self, command: Command, answer: bytes | Exception, now: float) -> None:
        self.waiting.pop(command.number, None)
        if isinstance(answer, Exception):
            asker = command.asker
            if asker is not None:
                command.asker = None
                asker.heard(self._judge.failed(command, answer, now), now)
        elif command.asker is not None:
            self._answered(command, answer, now)
