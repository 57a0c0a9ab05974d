"""The health of servers, known to all workers of one server.

Theory of operation: the worker that learns something of a server (from a probe, or a request that failed)
says the whole state under the server's key, and the others take it. Its latency changes with each call, and
alone is news only once a second. Each server is probed by one worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.failover.health import Health

__all__ = ["SharedHealth"]

_KEY: Final = "health "
# Seconds between two words about latency alone.
_PAUSE: Final = 1.0


class SharedHealth:
    """Tells the other processes of the module at ``core`` how its servers are. ``tells``: there are some."""

    __slots__ = ("_core", "_said", "_told", "tells")

    def __init__(self, core: Core) -> None:
        self._core = core
        self.tells = core.seat is not None
        # Key of a server -> its state as all know it.
        self._said: dict[str, tuple[Any, ...]] = {}
        # Key of a server -> when it had last answered as that was said.
        self._told: dict[str, float] = {}

    def share(self, key: str, health: Health) -> None:
        """Say how a server is, if that is news."""
        if not self.tells:
            return
        word = (health.down, health.rests_until, health.why, health.faults, health.latency)
        said = self._said.get(key)
        if said == word:
            return
        if said is not None and said[:-1] == word[:-1] and health.heard - self._told.get(key, 0.0) < _PAUSE:
            return
        self._said[key], self._told[key] = word, health.heard
        self._core.announce(_KEY + key, word)

    def heard(self, key: str) -> str | None:
        """Return the key of the server that a word is about, None for a word about something else."""
        return key.removeprefix(_KEY) if key.startswith(_KEY) else None

    def take(self, key: str, health: Health, word: tuple[Any, ...]) -> None:
        """Take what another process says of a server."""
        down, rests_until, why, faults, latency = self._said[key] = word
        if down and not health.down:
            # The answers to OPTIONS of before say nothing any more.
            health.successes = 0
        health.down, health.rests_until, health.why, health.faults = down, rests_until, why, faults
        health.latency = latency
