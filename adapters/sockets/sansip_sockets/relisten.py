"""Other listeners for a running hub: their sockets are opened aside, then all are taken, or none.

Theory of operation: a socket stays if its kind, address and port stay, even if it gets another protocol; so
nothing that waits in the kernel is lost. New sockets are bound at once, so the server finds a port that
another program has before it changes anything (``BindError``). The pump of a listening socket that goes is
woken, and closes it. The socket of a UDP listener stays for the transactions that use it, until the stack
says ``CloseDatagram``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sansip.driver import FilterFactory
from sansip.transport.entrance import entrances
from sansip.transport.transports import DATAGRAMS, TCP, TRANSPORTS
from sansip_sockets.bind import BindError, BoundListener, bind

if TYPE_CHECKING:
    from sansip_sockets.hub import Hub

__all__ = ["Relisten"]


class Relisten:
    """The listeners ``configs`` for ``hub``; raises ``BindError``, and leaves no socket open then.

    A config of a listener that ``hub`` already has bears that listener's number; a new one bears a number
    that was never used. The attribute ``configs`` has the ports that were really bound. End it by ``take``
    or ``drop``.
    """

    def __init__(self, hub: Hub, configs: Iterable[Any]) -> None:
        self._hub = hub
        self._opened: list[BoundListener] = []
        # Listeners of the hub that stay, with their new configuration.
        self._kept: list[tuple[BoundListener, Any]] = []
        self._after: dict[int, BoundListener] = {}
        before = {_place(one.config): one for one in hub.listeners.values() if one.pumped}
        try:
            for config in configs:
                self._after[config.id] = self._find(config, before)
        except BaseException:
            self.drop()
            raise
        kept = {id(one): config for one, config in self._kept}
        self.configs = [kept.get(id(one), one.config) for one in self._after.values()]

    def _find(self, config: Any, before: Mapping[tuple[str, str, int], BoundListener]) -> BoundListener:
        if config.shares is not None:
            owner = self._after.get(config.shares)
            if owner is None:
                raise BindError(f"listener {config.id} shares that of {config.shares}, which is not there")
            actual = replace(config, host=owner.host, port=owner.port)
            return BoundListener(actual, owner.sock, owner.address)
        there = before.get(_place(config))
        if there is not None and (config.transport not in DATAGRAMS or there.id == config.id):
            self._kept.append((there, replace(config, host=there.host, port=there.port)))
            return there
        bound = bind(config)
        self._opened.append(bound)
        return bound

    def drop(self) -> None:
        """Close the sockets that were opened."""
        for listener in self._opened:
            listener.sock.close()
        self._opened.clear()

    def take(self, filters: Mapping[str, FilterFactory] | None = None) -> Sequence[BoundListener]:
        """Serve these from now on, and return the new ones; new connections go through ``filters`` if given.

        The stack has to know them already: the next message may come by one of them.
        """
        hub = self._hub
        kept = {id(one) for one, _ in self._kept}
        gone = [one for one in hub.listeners.values() if one.pumped and id(one) not in kept]
        # In place: the pump of the socket holds it.
        for listener, config in self._kept:
            listener.config = config
        driver = hub.driver
        if filters is not None:
            driver.filters = filters
        driver.enter_by(entrances(self.configs, driver.filters, driver.limits))
        lasting = {one.id: one for one in gone if one.transport in DATAGRAMS}
        hub.listeners = {**self._after, **lasting}
        for listener in gone:
            if listener.transport not in DATAGRAMS:
                hub.streams.accepting.stop(listener)
        opened, self._opened = self._opened, []
        for listener in opened:
            hub.listen(listener)
        return opened


def _place(config: Any) -> tuple[str, str, int]:
    # A transport that is not one of SIP's is a module's, over TCP.
    known = TRANSPORTS.get(config.transport)
    return TCP if known is None else known.over, config.host, config.port
