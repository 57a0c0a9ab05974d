"""The health of servers, known to all workers of one server.

Theory of operation: the worker that learns something of a server (from a probe, or a request that failed)
says the whole state under the server's key, and the others take it. Each server is probed by one worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.failover.health import Health

__all__ = ["SharedHealth"]

_KEY: Final = "health "


class SharedHealth:
    """Tells the other processes of the module at ``core`` how its servers are."""

    __slots__ = ("_core", "_said")

    def __init__(self, core: Core) -> None:
        self._core = core
        # Key of a server -> its state as all know it.
        self._said: dict[str, tuple[Any, ...]] = {}

    def share(self, key: str, health: Health) -> None:
        """Say how a server is, if that is news."""
        word = (health.down, health.rests_until, health.why, health.faults, health.latency)
        if self._said.get(key) != word:
            self._said[key] = word
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
