"""A machine with a clock that the test sets, boots and all, and a server's storage on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip import ListenerConfig, Stack, StackConfig
from sansip.location import Binding, LocationUpdate
from sansip_server.storage import Storage
from sansip_server.stores import Store

__all__ = ["HOUR", "Machine"]

HOUR = 3_600.0
DOMAIN = "biloxi.test"


class Machine:
    """``true`` is the real Unix time; the machine's clock is ``error`` off, its own one began at a boot."""

    def __init__(self, opening: Callable[[], Store], error: float = 0.0) -> None:
        self._opening = opening
        self.true = 1_790_000_000.0
        self.error = error
        self._boots = 0
        self.storage: Storage | None = None
        self.posted: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.reboot()

    # --- time

    def clock(self) -> float:
        return self.true - self._booted

    def unix(self) -> float:
        return self.true + self.error

    def wait(self, seconds: float) -> None:
        self.true += seconds

    def set(self, error: float) -> None:
        """Somebody sets the clock."""
        self.error = error

    # --- the server

    def reboot(self) -> None:
        """The machine, and the server on it, begin anew."""
        self._boots += 1
        self._booted = self.true - 10.0
        self.start()

    def start(self) -> None:
        """Start the server, or start it again after kill -9."""
        self.storage = Storage(
            self._opening(),
            clock=self.clock,
            unix=self.unix,
            boot=f"boot {self._boots}",
            sleep=lambda seconds: None,
        )
        listeners = [ListenerConfig(0, "udp", "192.0.2.10", 5060)]
        self.stack = Stack(StackConfig(listeners, [DOMAIN], secret=b"the secret of every life"), b"s" * 32)
        self.storage.restore(self.stack)
        self.stack.time_passed(self.clock())

    def look(self) -> None:
        """The work of the thread each second."""
        assert self.storage is not None
        step = self.storage._keeper.look()
        if step < 0:
            self.storage._revive(self.stack, lambda function, *given: function(*given))

    def register(self, user: str, seconds: float = HOUR, contact: str = "192.0.2.1") -> None:
        """Bind a contact beside the others, with all that a 200 waits for."""
        assert self.storage is not None
        now = self.clock()
        aor = f"sip:{user}@{DOMAIN}"
        before = tuple(self.stack.location.lookup(aor, now))
        fresh = Binding(
            aor, f"sip:{user}@{contact}", now + seconds, "c", 1, registered_at=now, refreshed_at=now
        )
        update = LocationUpdate(aor, before, (fresh, *before))
        self.stack.location.apply(update, now)
        assert self.storage._save([update]) == [None]

    def left(self, user: str) -> list[float]:
        """Return for how long each contact of ``user`` will be called still."""
        now = self.clock()
        return [
            round(one.expires_at - now, 3) for one in self.stack.location.lookup(f"sip:{user}@{DOMAIN}", now)
        ]
