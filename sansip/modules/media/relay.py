"""One relay: its breaker, its pings, its figures.

Theory of operation: all calls share the relay's ``line`` and its breaker. If a command waits longer than a
relay that lives needs, a ping goes beside it. If nothing at all is answered in a command's time, the breaker
opens, and where there is another relay the commands that wait fail at once, so their calls go there without a
wait of their own. If other commands are answered, only this one has failed: no call of a stranger, whose
description is too long or too odd for a relay, takes the relay from others. Such failures in a row have calls
prefer other relays for a while. Pings on a timer, and late answers, close the breaker again: no call ever
tries a relay that is down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sansip.module.peer import PeerBusy
from sansip.modules.media.asking import RelayBusy, RelayFailed
from sansip.modules.media.breaker import Breaker
from sansip.modules.media.deletions import Deletions
from sansip.modules.media.events import RelayDoubted
from sansip.modules.media.line import DatagramLine, StreamLine
from sansip.modules.media.ng import Ng, cookie_of
from sansip.modules.media.rtpproxy import RtpProxy
from sansip.modules.media.versions import asked, doubt
from sansip.transport.transports import TLS

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.module import Core
    from sansip.module.websockets import WebSocketPeer
    from sansip.modules.media.asking import Asking
    from sansip.modules.media.command import Command
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
# The path and the sub-protocol of ng over WebSocket.
_PATH, _PROTOCOL = "/", "ng.rtpengine.com"


class Relay:
    """A relay. ``told(relay, now)`` is called when it goes down or comes up."""

    __slots__ = (
        "_cookie",
        "_core",
        "_media",
        "_odd",
        "_odd_until",
        "_others",
        "_pinging",
        "_timer",
        "_told",
        "admin",
        "breaker",
        "deletions",
        "doubted",
        "failures",
        "full_until",
        "gone",
        "line",
        "protocol",
        "sessions",
        "set_",
        "settings",
        "strays",
        "uri",
        "version",
        "watching",
        "weight",
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
        self.uri: str = settings.uri
        self.settings = settings
        self.set_: str = settings.set
        self.weight: int = settings.weight
        self._media = media
        self.breaker = Breaker(media.rest, media.longest_rest)
        self.admin: Admin = "active"
        self.gone = False
        self.full_until = 0.0
        self.sessions = 0
        self.failures = 0
        self.strays = 0
        # Whether something was wrong since it last did some work.
        self.doubted = True
        # What it told, "" where it did not; None before it was asked.
        self.version: str | None = None
        # A relay answers a cookie that it knows with the old answer: a restarted server needs others.
        self._cookie = core.entropy.token()[:8].encode()
        self.watching = self._pinging = False
        # Failures of single commands in a row, and until when calls prefer others for them.
        self._odd = 0
        self._odd_until = 0.0
        self._timer: Timer | None = None
        self.protocol: Ng | RtpProxy = RtpProxy() if settings.kind == "rtpproxy" else Ng()
        if settings.kind in ("ng", "rtpproxy"):
            remote = (settings.host, settings.port)
            self.line: DatagramLine | StreamLine = DatagramLine(core, self, remote, self._cookie)
        else:
            self.line = StreamLine(self, self._open, self._cookie)
        self.line.measure(media.deadline / media.tries, media.tries)
        self.deletions = Deletions(core, self.line, self.breaker)

    def _open(self, received: Callable[[bytes, float], None]) -> WebSocketPeer:
        settings = self.settings
        return self._core.websocket(
            (settings.host, settings.port),
            (TLS,) if settings.kind == "ng+wss" else (),
            path=_PATH,
            protocol=_PROTOCOL,
            key=cookie_of,
            received=received,
            name=settings.name,
        )

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
            self.admin == "active"
            and self.breaker.state == "closed"
            and not self.gone
            and now >= self.full_until
            and self.weight > 0
        )

    def is_suspect(self, now: float) -> bool:
        """Whether a command has been waiting for longer than a relay that lives needs, or many failed."""
        return now < self._odd_until or self._is_late(now)

    def oddness(self, now: float) -> str:
        """Return why its calls prefer others now, "" where they do not."""
        return f"{self._odd} odd answers in a row" if now < self._odd_until else ""

    def _is_late(self, now: float) -> bool:
        oldest = next(iter(self.line.waiting.values()), None)
        return oldest is not None and now - oldest.begun > self._media.retry * _SUSPECT

    def take(self, settings: RelaySettings, media: MediaSettings) -> None:
        """Have other settings, with the same uri."""
        self.settings = settings
        self.set_ = settings.set
        self.weight = settings.weight
        self._media = media
        self.line.measure(media.deadline / media.tries, media.tries)

    # --- commands

    def ask(self, command: bytes, is_ping: bool = False) -> Asking:
        """Return ``command`` under a cookie of its own, to be awaited: its answer, and when."""
        return self.line.new(command, is_ping)

    def watch(self, now: float) -> None:
        """Look from now on how long commands wait."""
        self.watching = True
        self._core.timers.start(now, self._media.retry * _SUSPECT, self, "watch")

    def lives(self, now: float) -> None:
        """It has answered, and was thought to be down."""
        if self.breaker.answered():
            self._told(self, now)

    def failed(self, command: Command, error: Exception, now: float) -> RelayFailed:
        """Note that ``command`` has no answer; return the exception for who waits for it."""
        if isinstance(error, PeerBusy):
            return RelayBusy(f"{self.uri}: {error}", now)
        if self.line.heard >= command.begun:
            # It has answered others: so it lives, and has no answer to this one.
            return self.odd(str(error), now)
        return self.broke(str(error), now)

    def odd(self, why: str, now: float) -> RelayFailed:
        """Note a command that has no answer of use, of a relay that lives; return the exception for it."""
        self.failures += 1
        self.doubted = True
        self._odd += 1
        if self._odd >= _ODD:
            self._odd_until = now + _AVOIDED
        # It may answer nothing of use any more.
        self._ping_now(now)
        return RelayFailed(f"{self.uri}: {why}", now)

    def broke(self, why: str, now: float) -> RelayFailed:
        """Note that it does not answer; return the exception for it."""
        self.failures += 1
        self.doubted = True
        failed = RelayFailed(f"{self.uri}: {why}", now)
        if self.breaker.failed(why, now):
            self._told(self, now)
            self._plan(now)
            if self._others(self):
                self.line.give_up([one for one in self.line.waiting.values() if not one.is_ping], failed)
        return failed

    def worked(self) -> None:
        """It did what a call needs, and something was wrong before (``doubted``)."""
        self.doubted = False
        self._odd = 0
        self._odd_until = 0.0
        self.breaker.worked()

    def is_full(self, now: float) -> RelayFailed:
        """It said "load limit"."""
        self.full_until = now + _FULL
        return RelayFailed(f"{self.uri} is full", now)

    def stray(self, data: bytes, now: float) -> None:
        """An answer that no command waits for: late, twice, or made up."""
        self.strays += 1
        if self.breaker.state == "closed" or not data.startswith(self._cookie):
            return
        if self.protocol.is_answer(data):
            # A late one: it was only slow.
            self.lives(now)
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
        self._timer = None
        if self.admin != "disabled" and (self.breaker.state == "closed" or self.breaker.may_try(now)):
            self._core.run(self._ping(now), now)
        self._plan_after(now)

    def _watch(self, now: float) -> None:
        """Have a ping beside a command that waits long: does the relay live?"""
        self.watching = bool(self.line.waiting) and not self.gone
        if self.watching:
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
