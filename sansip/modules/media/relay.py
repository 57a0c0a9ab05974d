"""One relay: its socket, its breaker, its figures.

Theory of operation: all calls share the relay's one socket and its breaker. If a command waits longer than a
relay that lives needs, a ping goes beside it. If nothing at all is answered in a command's time, the breaker
opens, and where there is another relay the commands that wait fail at once, so their calls go there without a
wait of their own. If other commands are answered, only this one has failed: no call of a stranger, whose
description is too long or too odd for a relay, takes the relay from others. Such failures in a row have calls
prefer other relays for a while. Pings on a timer, and late answers, close the breaker again: no call ever
tries a relay that is down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from sansip.module.peer import PeerBusy
from sansip.modules.media.asking import Command, RelayBusy, RelayFailed
from sansip.modules.media.breaker import Breaker
from sansip.modules.media.events import RelayDoubted
from sansip.modules.media.ng import Ng, cookie_of
from sansip.modules.media.rtpproxy import RtpProxy
from sansip.modules.media.versions import asked, doubt
from sansip.transport.transports import TLS

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.module import Core
    from sansip.module.peer import Exchange
    from sansip.modules.media.settings import MediaSettings, RelaySettings

__all__ = ["Admin", "Relay"]

Admin: TypeAlias = Literal["active", "draining", "disabled"]
# Seconds for which a relay that is full gets no new call.
_FULL: Final = 1.0
# A relay whose oldest command waits for so many resends is passed over while there is another one.
_SUSPECT: Final = 1.2
# So many commands in a row without an answer of use, of a relay that answers pings, have calls prefer others
# for so many seconds.
_ODD: Final = 3
_AVOIDED: Final = 10.0
# Deletions under way at one time: as many calls end at once as there are. → the others wait in line
_DELETIONS: Final = 64
# Seconds until one is tried again that could not be sent, and octets of one that never can.
_LATER: Final = 0.5
_LONGEST: Final = 65_000
# The path and the sub-protocol of ng over WebSocket.
_PATH, _PROTOCOL = "/", "ng.rtpengine.com"


class _Peer(Protocol):
    heard: float

    def ask(self, data: bytes, within: float = ..., attempts: int = ..., key: Any = ...) -> Exchange: ...


class Relay:
    """A relay. ``told(relay, now)`` is called when it goes down or comes up."""

    __slots__ = (
        "_begun",
        "_cookie",
        "_core",
        "_delayed",
        "_deleting",
        "_deletions",
        "_media",
        "_number",
        "_odd",
        "_odd_until",
        "_others",
        "_peer",
        "_pinging",
        "_timer",
        "_told",
        "_tries",
        "_watching",
        "_within",
        "admin",
        "breaker",
        "commands",
        "failures",
        "full_until",
        "gone",
        "latency",
        "protocol",
        "sessions",
        "settings",
        "strays",
        "version",
    )

    def __init__(
        self,
        core: Core,
        settings: RelaySettings,
        media: MediaSettings,
        told: Callable[[Relay, float], None],
        others: Callable[[Relay], bool],
    ) -> None:
        self._core = core
        self._told = told
        # Whether there is another relay for its calls.
        self._others = others
        self.settings = settings
        self._measure(media)
        self.breaker = Breaker(media.rest, media.longest_rest)
        self.admin: Admin = "active"
        self.gone = False
        self.full_until = 0.0
        self.sessions = 0
        self.commands = 0
        self.failures = 0
        self.strays = 0
        self.latency: float | None = None
        # What it told, "" where it did not; None before it was asked.
        self.version: str | None = None
        # A relay answers a cookie that it knows with the old answer: a restarted server needs others.
        self._cookie = core.entropy.token()[:8].encode()
        self._number = 0
        # Deletions under way, those that wait for one of them to end, and whether something else sends these.
        self._deleting = 0
        self._deletions: deque[bytes] = deque()
        self._delayed = False
        # Commands that wait, the oldest first.
        self._begun: dict[int, Command] = {}
        self._watching = self._pinging = False
        # Failures of single commands in a row, and until when calls prefer others for them.
        self._odd = 0
        self._odd_until = 0.0
        self._timer: Timer | None = None
        self.protocol: Ng | RtpProxy = RtpProxy() if settings.kind == "rtpproxy" else Ng()
        self._peer = self._open()

    def _open(self) -> _Peer:
        core, settings = self._core, self.settings
        remote = (settings.host, settings.port)
        if settings.kind in ("ng", "rtpproxy"):
            return core.datagrams(remote, key=cookie_of, received=self._stray)
        filters = (TLS,) if settings.kind == "ng+wss" else ()
        return core.websocket(
            remote,
            filters,
            path=_PATH,
            protocol=_PROTOCOL,
            key=cookie_of,
            received=self._stray,
            name=settings.name,
        )

    @property
    def uri(self) -> str:
        return self.settings.uri

    @property
    def state(self) -> str:
        """``up``, ``down``, or what an operator said."""
        if self.admin != "active":
            return self.admin
        return "up" if self.breaker.state == "closed" else "down"

    def usable(self) -> bool:
        """Whether a call that it has may give it commands."""
        return not self.gone and self.admin != "disabled" and self.breaker.state == "closed"

    def takes_calls(self, now: float) -> bool:
        """Whether a new call may get it."""
        return (
            self.usable() and self.admin == "active" and now >= self.full_until and self.settings.weight > 0
        )

    def is_suspect(self, now: float) -> bool:
        """Whether a command has been waiting for longer than a relay that lives needs, or many failed."""
        return now < self._odd_until or self._is_late(now)

    def oddness(self, now: float) -> str:
        """Return why its calls prefer others now, "" where they do not."""
        return f"{self._odd} odd answers in a row" if now < self._odd_until else ""

    def _is_late(self, now: float) -> bool:
        oldest = next(iter(self._begun.values()), None)
        return oldest is not None and now - oldest.begun > self._media.retry * _SUSPECT

    def take(self, settings: RelaySettings, media: MediaSettings) -> None:
        """Have other settings, with the same uri."""
        self.settings = settings
        self._measure(media)

    def _measure(self, media: MediaSettings) -> None:
        self._media = media
        # How often a command is sent, and the seconds in between.
        self._tries = media.tries
        self._within = media.deadline / media.tries

    # --- commands

    def ask(self, command: bytes, is_ping: bool = False) -> Command:
        """Return ``command`` under a cookie of its own, to be awaited: its answer, and when."""
        self._number = number = self._number + 1
        key = b"%b_%d" % (self._cookie, number)
        return Command(self, number, key, b"%b %b" % (key, command), is_ping)

    def tell(self, command: bytes, now: float) -> None:
        """Send ``command``, a deletion, and have nobody wait for it."""
        self._deletions.append(command)
        if not self._delayed:
            self._delete(now)

    def _delete(self, now: float) -> None:
        """Send what waits, as far as there is room."""
        waiting = self._deletions
        self._delayed = True
        while waiting and self._deleting < _DELETIONS:
            self._deleting += 1
            command = waiting.popleft()
            # One that cannot be sent is over at once.
            self.ask(command).put(partial(self._deleted, command), now)
            if waiting and waiting[0] is command:
                # This server has too many questions under way (``limits.module_questions``).
                self._core.timers.start(now, _LATER, self, "delete")
                return
        self._delayed = False

    def _deleted(self, command: bytes, result: Any, now: float) -> None:
        """A deletion is over: the next one goes, unless the relay is down, where time ends its calls."""
        self._deleting -= 1
        if isinstance(result, Exception) and self.breaker.state != "closed":
            self._deletions.clear()
        elif isinstance(result, RelayBusy) and len(command) < _LONGEST:
            self._deletions.appendleft(command)
        elif self._deletions and not self._delayed:
            self._delete(now)

    def begun(self, command: Command, now: float) -> Exchange:
        """Return how ``command`` goes out."""
        self.commands += 1
        self._begun[command.number] = command
        if not self._watching:
            self._watching = True
            self._core.timers.start(now, self._media.retry * _SUSPECT, self, "watch")
        return self._peer.ask(command.data, self._within, self._tries, command.key)

    def ended(self, command: Command, answer: bytes | Exception | None, now: float) -> RelayFailed | None:
        """Note what became of ``command``; None for an answer: nobody waits for one any more."""
        self._begun.pop(command.number, None)
        if answer is None:
            return None
        if isinstance(answer, Exception):
            return self._unanswered(command, answer, now)
        seconds = now - command.begun
        self.latency = seconds if self.latency is None else self.latency + 0.125 * (seconds - self.latency)
        if self.breaker.state != "closed" and self.breaker.answered():
            self._told(self, now)
        return None

    def _unanswered(self, command: Command, error: Exception, now: float) -> RelayFailed:
        if isinstance(error, PeerBusy):
            return RelayBusy(f"{self.uri}: {error}", now)
        if self._peer.heard >= command.begun:
            # It has answered others: so it lives, and has no answer to this one.
            return self.odd(str(error), now)
        return self.broke(str(error), now)

    def odd(self, why: str, now: float) -> RelayFailed:
        """Note a command that has no answer of use, of a relay that lives; return the exception for it."""
        self.failures += 1
        self._odd += 1
        if self._odd >= _ODD:
            self._odd_until = now + _AVOIDED
        # It may answer nothing of use any more.
        self._ping_now(now)
        return RelayFailed(f"{self.uri}: {why}", now)

    def broke(self, why: str, now: float) -> RelayFailed:
        """Note that it does not answer; return the exception for it."""
        self.failures += 1
        failed = RelayFailed(f"{self.uri}: {why}", now)
        if self.breaker.failed(why, now):
            self._told(self, now)
            self._plan(now)
            if self._others(self):
                for command in list(self._begun.values()):
                    if not command.is_ping:
                        self._begun.pop(command.number, None)
                        command.fail(failed)
        return failed

    def worked(self) -> None:
        """It did what a call needs."""
        self._odd = 0
        self._odd_until = 0.0
        self.breaker.worked()

    def is_full(self, now: float) -> RelayFailed:
        """It said "load limit"."""
        self.full_until = now + _FULL
        return RelayFailed(f"{self.uri} is full", now)

    def _stray(self, data: bytes, now: float) -> None:
        """An answer that no command waits for: late, twice, or made up."""
        self.strays += 1
        if self.breaker.state == "closed" or not data.startswith(self._cookie):
            return
        if self.protocol.is_answer(data) and self.breaker.answered():
            # A late one: it was only slow.
            self._told(self, now)
            self._plan(now)

    # --- pings

    def begin(self, now: float) -> None:
        """Ping it at once, and from then on."""
        self._core.run(self._ping(now), now)
        self._plan(now)

    def end(self, now: float) -> None:
        """It is in the settings no longer; calls that it has may still need it."""
        self.gone = True
        if self._timer is not None:
            self._timer.cancel()

    def _plan(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.gone:
            return
        wait = self._media.probe_interval
        if self.breaker.state != "closed":
            wait = max(0.0, self.breaker.rests_until - now)
        if wait or self.breaker.state != "closed":
            self._timer = self._core.timers.start(now, wait, self, "ping")

    def timer_fired(self, name: Any, now: float) -> None:
        if name == "watch":
            self._watch(now)
            return
        if name == "delete":
            self._delete(now)
            return
        self._timer = None
        if self.admin != "disabled" and (self.breaker.state == "closed" or self.breaker.may_try(now)):
            self._core.run(self._ping(now), now)
        self._plan_after(now)

    def _watch(self, now: float) -> None:
        """Have a ping beside a command that waits long: does the relay live?"""
        self._watching = bool(self._begun) and not self.gone
        if self._watching:
            self._core.timers.start(now, self._media.retry * _SUSPECT, self, "watch")
            if self._is_late(now):
                self._ping_now(now)

    def _ping_now(self, now: float) -> None:
        if not self._pinging and self.breaker.state == "closed" and not self.gone:
            self._core.run(self._ping(now), now)

    def _plan_after(self, now: float) -> None:
        """Plan the next ping; where this one is under way its failure plans it."""
        if self.breaker.state == "closed":
            self._plan(now)
        elif self.breaker.state == "half-open" and not self.gone:
            self._timer = self._core.timers.start(now, self._media.deadline + self._media.rest, self, "ping")

    async def _ping(self, now: float) -> None:
        self._pinging = True
        try:
            now = await self.protocol.ping(self, now)
        except RelayFailed as error:
            now = error.now
        finally:
            self._pinging = False
        self._plan(now)
        if self.version is None and self.breaker.state == "closed":
            await self._learn_version(now)

    async def _learn_version(self, now: float) -> None:
        """Ask a relay over WebSocket for its version, and tell what is to be known of that."""
        if self.settings.kind not in ("ng+ws", "ng+wss"):
            return
        self.version = ""
        self.version = await asked(self._core, self.settings, self._media.deadline, now)
        if self.version and (why := doubt(self.settings, self.version)):
            self._core.notify(RelayDoubted(why), now)
