"""One relay: its socket, its breaker, its figures.

Theory of operation: all calls share the relay's one socket and its breaker. A command that is not answered in
its time opens the breaker, and the commands that wait beside it fail at once, so their calls go to the next
relay without a wait of their own. Pings on a timer close it again: no call ever tries a relay that is down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from sansip.modules.media.asking import Command, RelayFailed
from sansip.modules.media.breaker import Breaker
from sansip.modules.media.ng import Ng, cookie_of
from sansip.modules.media.rtpproxy import RtpProxy
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
# The path and the sub-protocol of ng over WebSocket.
_PATH, _PROTOCOL = "/", "ng.rtpengine.com"


def _ignore(_answer: Any, _now: float) -> None:
    """Nobody waits for it."""


class _Peer(Protocol):
    def ask(self, data: bytes, within: float = ..., attempts: int = ...) -> Exchange: ...
    def close(self, now: float) -> None: ...


class Relay:
    """A relay. ``told(relay, now)`` is called when it goes down or comes up."""

    __slots__ = (
        "_begun",
        "_cookie",
        "_core",
        "_media",
        "_number",
        "_peer",
        "_timer",
        "_told",
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
    )

    def __init__(
        self,
        core: Core,
        settings: RelaySettings,
        media: MediaSettings,
        told: Callable[[Relay, float], None],
    ) -> None:
        self._core = core
        self._told = told
        self.settings = settings
        self._media = media
        self.breaker = Breaker(media.rest, media.longest_rest)
        self.admin: Admin = "active"
        self.gone = False
        self.full_until = 0.0
        self.sessions = 0
        self.commands = 0
        self.failures = 0
        self.strays = 0
        self.latency: float | None = None
        # A relay answers a cookie that it knows with the old answer: a restarted server needs others.
        self._cookie = core.entropy.token()[:8].encode()
        self._number = 0
        # Commands that wait: number -> when they were sent, the oldest first.
        self._begun: dict[int, float] = {}
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
        """Whether a command has been waiting for longer than a relay that lives needs."""
        oldest = next(iter(self._begun.values()), None)
        return oldest is not None and now - oldest > self._media.retry * _SUSPECT

    def take(self, settings: RelaySettings, media: MediaSettings) -> None:
        """Have other settings, with the same uri."""
        self.settings = settings
        self._media = media

    # --- commands

    def ask(self, command: bytes) -> Command:
        """Return ``command`` under a cookie of its own, to be awaited: its answer, and when."""
        self._number = number = self._number + 1
        return Command(self, number, b"%b_%d %b" % (self._cookie, number, command))

    def tell(self, command: bytes, now: float) -> None:
        """Send ``command``, and wait for nothing."""
        self.ask(command).put(_ignore, now)

    def begun(self, command: Command, now: float) -> Exchange:
        """Return how ``command`` goes out."""
        self.commands += 1
        self._begun[command.number] = now
        media = self._media
        tries = media.tries
        return self._peer.ask(command.data, media.deadline / tries, tries)

    def ended(self, command: Command, answer: bytes | Exception | None, now: float) -> RelayFailed | None:
        """Note what became of ``command``; None for an answer: nobody waits for one any more."""
        self._begun.pop(command.number, None)
        if answer is None:
            return None
        if isinstance(answer, Exception):
            return self.broke(str(answer), now)
        seconds = now - command.begun
        self.latency = seconds if self.latency is None else self.latency + 0.125 * (seconds - self.latency)
        if self.breaker.answered():
            self._told(self, now)
        return None

    def broke(self, why: str, now: float) -> RelayFailed:
        """Note a failure of its own; return the exception for it."""
        self.failures += 1
        if self.breaker.failed(why, now):
            self._told(self, now)
            # What waits beside it would wait in vain.
            self._peer.close(now)
            self._plan(now)
        return RelayFailed(f"{self.uri}: {why}", now)

    def worked(self) -> None:
        """It did what a call needs."""
        self.breaker.worked()

    def is_full(self, now: float) -> RelayFailed:
        """It said "load limit"."""
        self.full_until = now + _FULL
        return RelayFailed(f"{self.uri} is full", now, broken=False)

    def _stray(self, data: bytes, now: float) -> None:
        """An answer that no command waits for: late, twice, or made up."""
        self.strays += 1

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

    def timer_fired(self, _name: Any, now: float) -> None:
        self._timer = None
        if self.admin != "disabled" and (self.breaker.state == "closed" or self.breaker.may_try(now)):
            self._core.run(self._ping(now), now)
        self._plan_after(now)

    def _plan_after(self, now: float) -> None:
        """Plan the next ping; where this one is under way its failure plans it."""
        if self.breaker.state == "closed":
            self._plan(now)
        elif self.breaker.state == "half-open" and not self.gone:
            self._timer = self._core.timers.start(now, self._media.deadline + self._media.rest, self, "ping")

    async def _ping(self, now: float) -> None:
        try:
            now = await self.protocol.ping(self, now)
        except RelayFailed as error:
            now = error.now
        self._plan(now)
