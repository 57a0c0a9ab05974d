"""The servers that a module alone sends to, as ``client.guarded`` needs them: with the places of their names.

Theory of operation: a server with an address is guarded at once. A name is guarded as it is written, and
looked up at once and now and then, over each transport that it may have (RFC 3263 4.2): so a sender who knows
the address, or another name of it, is refused as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.client.guarded import Guard, Guarded
from sansip.errors import RemoteProtocolError
from sansip.transport.next_hop import NextHop, next_hop
from sansip.transport.transports import DEFAULT_PORTS, TCP, TLS, UDP

if TYPE_CHECKING:
    from sansip.client.places import Places
    from sansip.clock import Timer
    from sansip.module.belongings import ModuleTimers
    from sansip.wire import SipUri

__all__ = ["AGAIN", "Guarding"]

# Seconds between two looks at the names of servers.
AGAIN: Final = 60.0


class Guarding:
    """The guarded servers of the module ``owner``."""

    __slots__ = ("_guarded", "_hops", "_owner", "_places", "_timer", "_timers")

    def __init__(self, guarded: Guarded, places: Places, timers: ModuleTimers, owner: str) -> None:
        self._guarded = guarded
        self._places = places
        self._timers = timers
        self._owner = owner
        self._timer: Timer | None = None
        # Names to look up.
        self._hops: list[NextHop] = []

    def take(
        self,
        servers: Iterable[tuple[SipUri, str]],
        setting: str,
        now: float,
        *,
        refer: bool = False,
        networks: Iterable[str] = (),
    ) -> None:
        """Guard ``servers``, each with its name in words, and all of ``networks``, and no others."""
        guards = []
        hops: dict[tuple[str, int, str, bool], NextHop] = {}
        for uri, what in servers:
            try:
                hop = next_hop(uri)
            except RemoteProtocolError:
                # Nothing can be sent there.
                continue
            open_port = not hop.numeric and not hop.explicit_port
            guards.append(Guard(hop.host, None if open_port else hop.port, what, setting, refer))
            if not hop.numeric:
                for one in _ways(hop):
                    hops[one.host, one.port, one.transport, one.explicit] = one
        port = DEFAULT_PORTS[UDP]
        guards += [Guard(one, port, f"a server of {one}", setting, refer, network=True) for one in networks]
        self._guarded.replace(self._owner, guards)
        self._hops = list(hops.values())
        self._look(now)

    def end(self) -> None:
        """Guard nothing any more."""
        self._guarded.replace(self._owner, ())
        self._hops = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._hops:
            self._timer = self._timers.start(now, AGAIN, self, "names")
        for hop in self._hops:
            self._places.resolve(hop.question(every=True), partial(self._found, hop), now)

    def _found(self, hop: NextHop, found: Any, now: float) -> None:
        # Where a name server does not answer, the places known before stand.
        # All of them, also those that no request would try.
        for _, ip, port in self._places.all(found, hop):
            self._guarded.learn(hop.host, ip, port)

    def timer_fired(self, _name: object, now: float) -> None:
        self._timer = None
        self._look(now)


def _ways(hop: NextHop) -> list[NextHop]:
    """Return ``hop`` as it is, and over each transport that its name may have records for."""
    found = [hop]
    if not hop.explicit_port:
        found += [NextHop(one, hop.host, hop.port, False, True, False) for one in (UDP, TCP)]
        found.append(NextHop(TLS, hop.host, DEFAULT_PORTS[TLS], False, True, False, True))
    return found
