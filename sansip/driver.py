"""A stack and the byte filters of its connections, as one thing to feed.

Theory of operation: SIP runs over datagrams and over streams, and a stream may be wrapped: TLS, WebSocket,
both. A chain of filters does the wrapping, lowest first; TCP has none. The driver has the inputs of ``Stack``
and returns actions like it, but its octets are those of the socket. Received octets climb the chain before
the stack sees them; octets that the stack sends go down before the driver returns them. No code here waits or
uses a socket; ``sansip_sockets`` performs the actions.

A connection that was reported to the stack ends in exactly one
``connection_closed``, also when the stack itself asked by ``Disconnect``. One
whose source or transport is still to be told (``sansip.transport.entrance``)
is reported when it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from sansip.actions import Action, Address, Disconnect, Notify, SendData
from sansip.clock import Timer, Timers
from sansip.events import ConnectionRefused
from sansip.limits import DEFAULT, Limits
from sansip.transport.entrance import Deciding, Entrance, Undecided
from sansip.transport.filter import Filter, FilterFactory, OpenConnection, Output

__all__ = ["AnyStack", "Driver", "Filter", "FilterFactory", "HandOver", "OpenConnection", "Output"]


@dataclass(slots=True)
class HandOver:
    """The connection ``conn`` is not SIP: take it, with the filters below and the octets read from it."""

    conn: int
    info: OpenConnection
    filters: list[Filter]
    data: bytes


class AnyStack(Protocol):
    """The inputs that the driver needs of a stack (``sansip.stack.Stack``)."""

    wall_offset: Any

    @property
    def idle(self) -> bool: ...
    def datagram_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]: ...
    def connection_opened(self, conn: int, flow: OpenConnection, now: float) -> list[Action]: ...
    def protocol_agreed(self, conn: int, protocol: str, now: float) -> list[Action]: ...
    def connection_writable(self, conn: int, writable: bool, now: float) -> list[Action]: ...
    def data_received(
        self, conn: int, data: bytes, now: float, *, boundary: bool = False
    ) -> list[Action]: ...
    def connection_closed(self, conn: int, reason: str, now: float) -> list[Action]: ...
    def send_failed(self, owner: int, reason: str, now: float) -> list[Action]: ...
    def answer(self, id: int, result: Any, now: float) -> list[Action]: ...
    def time_passed(self, now: float) -> list[Action]: ...
    def next_deadline(self) -> float | None: ...
    def new_connection(self) -> int: ...
    def drain(self, now: float) -> list[Action]: ...
    def is_crowd(self, listener: int, source: Address) -> bool: ...


class _Chain:
    """The filters of one connection, lowest first."""

    __slots__ = ("boundary", "closed", "conn", "counted", "filters", "given", "info", "timers")

    def __init__(self, conn: int, filters: list[Filter], info: OpenConnection) -> None:
        self.conn = conn
        self.info = info
        self.filters = filters
        self.boundary = bool(filters) and filters[-1].boundaries
        self.closed = False
        self.given: HandOver | None = None
        # The source that it counts for while it is undecided; None once the stack knows of it.
        self.counted: str | None = None
        self.timers: dict[int, Timer] = {}

    @property
    def source(self) -> str:
        return str(self.info.remote[0])

    @property
    def ready(self) -> bool:
        return all(one.ready for one in self.filters)


# Name of the timer that guards a handshake; those of filters are their index.
_HANDSHAKE = -1


class Driver:
    """Feeds a stack through filters.

    ``filters`` maps a transport to what makes its filters for one connection;
    a transport that is absent has none. ``on_error(text, exception)`` hears of
    exceptions out of the stack while a batch goes on; without it they are raised.
    ``entrances`` maps the number of a listener to how connections enter there,
    where their source or transport has to be found out first.
    ``timers`` is open to the adapter for its own: a ``TimerOwner`` is called
    from ``time_passed``.
    """

    __slots__ = ("_chains", "_entrances", "_fired", "_undecided", "filters", "limits", "on_error", "stack",
                 "timers")  # fmt: skip

    def __init__(
        self,
        stack: AnyStack,
        filters: Mapping[str, FilterFactory] | None = None,
        limits: Limits = DEFAULT,
        entrances: Mapping[int, Entrance] | None = None,
    ) -> None:
        self.stack = stack
        self._entrances = entrances or {}
        self._undecided = Undecided(limits)
        self.filters = filters or {}
        self.limits = limits
        self.on_error: Callable[[str, Exception], None] | None = None
        self.timers = Timers()
        self._chains: dict[int, _Chain] = {}
        # Actions of filters' timers, collected while they fire.
        self._fired: list[Action] = []

    def enter_by(self, entrances: Mapping[int, Entrance]) -> None:
        """Have connections enter by these from now on."""
        self._entrances = entrances

    # --- inputs

    def datagrams_received(
        self, listener: int, batch: list[tuple[bytes, Address]], now: float
    ) -> list[Action]:
        """Take all datagrams that were waiting, as ``recvfrom`` gave them."""
        received = self.stack.datagram_received
        actions: list[Action] = []
        for data, source in batch:
            # One datagram that trips over a bug must not take the others along.
            try:
                actions += received(listener, data, source, now)
            except Exception as error:
                if self.on_error is None:
                    raise
                self.on_error(f"datagram of {len(data)} octets from {source[0]}:{source[1]}", error)
        return self.outgoing(actions, now) if self._chains else actions

    def connection_opened(self, conn: int, flow: OpenConnection, now: float) -> list[Action]:
        """Take an established connection, accepted or asked for by ``Connect``."""
        if flow.incoming and flow.listener in self._entrances:
            return self._enter(conn, flow, self._entrances[flow.listener], now)
        factory = self.filters.get(flow.transport)
        if factory is None:
            return self.outgoing(self.stack.connection_opened(conn, flow, now), now)
        # The stack hears first: its limits refuse a connection before a handshake costs anything. Data that
        # it sends meanwhile waits in the filter.
        chain = self._chains[conn] = _Chain(conn, factory(flow), flow)
        out = self.outgoing(self.stack.connection_opened(conn, flow, now), now)
        for index, one in enumerate(chain.filters):
            if not chain.closed:
                self._handle(chain, index, one.opened(now), out, now)
        if not chain.closed and not chain.ready:
            self._start(chain, _HANDSHAKE, self.limits.connect_time, now)
        return out

    def data_received(self, conn: int, data: bytes, now: float, *, boundary: bool = False) -> list[Action]:
        """Take octets read; ``boundary`` says that the transport itself delimits messages (SCTP)."""
        chain = self._chains.get(conn) if self._chains else None
        if chain is None:
            return self.outgoing(self.stack.data_received(conn, data, now, boundary=boundary), now)
        out: list[Action] = []
        if not chain.closed:
            self._up(chain, 0, data, out, now)
        return out

    def connection_closed(self, conn: int, reason: str, now: float) -> list[Action]:
        """Take the end of a connection, or of the attempt to open one."""
        chain = self._chains.pop(conn, None)
        if chain is not None:
            self._end(chain)
            if chain.counted is not None:
                self._undecided.remove(chain.counted)
                return []
        return self.outgoing(self.stack.connection_closed(conn, reason, now), now)

    def send_failed(self, owner: int, reason: str, now: float) -> list[Action]:
        """Take the failure of a send, by the owner that its action carried (RFC 3261 18.4)."""
        return self.outgoing(self.stack.send_failed(owner, reason, now), now)

    def answer(self, id: int, result: Any, now: float) -> list[Action]:
        """Take the answer to an ``Ask``; an ``Exception`` instance where there is none."""
        return self.outgoing(self.stack.answer(id, result, now), now)

    def time_passed(self, now: float) -> list[Action]:
        """Fire the timers that are due."""
        self.timers.fire_due(now)
        actions = self.outgoing(self.stack.time_passed(now), now)
        if not self._fired:
            return actions
        out, self._fired = self._fired, []
        return out + actions

    def connection_writable(self, conn: int, writable: bool, now: float) -> list[Action]:
        """Note that much waits to be written to a connection, or that all of it has left."""
        return self.outgoing(self.stack.connection_writable(conn, writable, now), now)

    def next_deadline(self) -> float | None:
        """Return when ``time_passed`` is due at the earliest, or None."""
        deadline = self.stack.next_deadline()
        own = self.timers.earliest
        if own == inf:
            return deadline
        return own if deadline is None or own < deadline else deadline

    def drain(self, now: float) -> list[Action]:
        """Let running requests finish and refuse new ones."""
        return self.outgoing(self.stack.drain(now), now)

    def outgoing(self, actions: list[Action], now: float) -> list[Action]:
        """Return the stack's ``actions`` with their octets sent down the filters."""
        chains = self._chains
        if not chains:
            return actions
        out: list[Action] = []
        for action in actions:
            kind = type(action)
            if kind is SendData:
                chain = chains.get(action.conn)  # type: ignore[union-attr]  # its kind is known here
                if chain is not None:
                    self._down(chain, len(chain.filters) - 1, action.data, out, now, action.owner)  # type: ignore[union-attr]  # its kind is known here
                    continue
            elif kind is Disconnect:
                chain = chains.get(action.conn)  # type: ignore[union-attr]  # its kind is known here
                if chain is not None:
                    self._close(chain, len(chain.filters), action.reason, out, now)  # type: ignore[union-attr]  # its kind is known here
                    continue
            out.append(action)
        return out

    # --- the chain

    def _handle(
        self, chain: _Chain, index: int, output: Output, out: list[Action], now: float, owner: int = 0
    ) -> None:
        for data in output.down:
            self._down(chain, index - 1, data, out, now, owner)
        if output.instead is not None:
            self._replace(chain, index, output.instead, out, now)
            # ``output.up`` goes to the filters that took the place of this one.
            index -= 1
        if output.foreign is not None:
            self._hand_over(chain, index, output.foreign, out)
            return
        if output.protocol is not None:
            out += self.outgoing(self.stack.protocol_agreed(chain.conn, output.protocol, now), now)
        for data in output.up:
            # The stack may have asked for the end on the element before.
            if chain.closed:
                if chain.given is None:
                    return
                # It belongs to the connection that was given away.
                chain.given.data += data
                continue
            self._up(chain, index + 1, data, out, now)
        if chain.closed:
            return
        if output.timer is not None:
            self._start(chain, index, output.timer, now)
        if output.closing is not None:
            if not chain.ready:
                # An operator wants to know why a phone cannot connect.
                out.append(Notify(ConnectionRefused(chain.source, output.closing)))
            self._close(chain, index, output.closing, out, now)

    def _up(self, chain: _Chain, index: int, data: bytes, out: list[Action], now: float) -> None:
        if index < len(chain.filters):
            self._handle(chain, index, chain.filters[index].received(data, now), out, now)
        else:
            actions = self.stack.data_received(chain.conn, data, now, boundary=chain.boundary)
            out += self.outgoing(actions, now)

    def _down(
        self, chain: _Chain, index: int, data: bytes, out: list[Action], now: float, owner: int = 0
    ) -> None:
        if index >= 0:
            self._handle(chain, index, chain.filters[index].send(data, now), out, now, owner)
        else:
            out.append(SendData(chain.conn, data, owner))

    def _close(self, chain: _Chain, index: int, reason: str, out: list[Action], now: float) -> None:
        """End a connection: the filters below ``index`` say goodbye, topmost first."""
        self._end(chain)
        if chain.counted is None:
            # A connection that the stack does not know yet stays, for ``connection_closed``.
            self._chains.pop(chain.conn, None)
        for below in range(index - 1, -1, -1):
            for data in chain.filters[below].close(reason, now).down:
                self._down(chain, below - 1, data, out, now)
        out.append(Disconnect(chain.conn, reason))

    def _end(self, chain: _Chain) -> None:
        chain.closed = True
        self._stop_timers(chain)

    @staticmethod
    def _stop_timers(chain: _Chain) -> None:
        for timer in chain.timers.values():
            timer.cancel()
        chain.timers.clear()

    # --- connections whose source or transport is still to be told

    def _hand_over(self, chain: _Chain, index: int, data: bytes, out: list[Any]) -> None:
        """Forget a connection that the stack never heard of."""
        self._end(chain)
        del self._chains[chain.conn]
        assert chain.counted is not None
        self._undecided.remove(chain.counted)
        chain.given = HandOver(chain.conn, chain.info, chain.filters[:index], data)
        out.append(chain.given)

    def _enter(self, conn: int, info: OpenConnection, entrance: Entrance, now: float) -> list[Action]:
        # All connections of a proxy come from one address.
        source = "" if entrance.proxies else str(info.remote[0])
        refused = entrance.refuses(info) or self._undecided.refuses(source)
        chain = self._chains[conn] = _Chain(conn, [] if refused else entrance.filters(info), info)
        chain.counted = source
        self._undecided.add(source)
        out: list[Action] = []
        if refused is not None:
            out.append(Notify(ConnectionRefused(chain.source, refused)))
            self._close(chain, 0, refused, out, now)
        else:
            self._start(chain, _HANDSHAKE, self.limits.first_data_time, now)
        return out

    def _replace(
        self, chain: _Chain, index: int, filters: Sequence[Filter], out: list[Action], now: float
    ) -> None:
        """Put ``filters`` in the place of the deciding one, and tell the stack if it was the last."""
        chain.filters[index:] = filters
        if chain.counted is not None and not any(isinstance(one, Deciding) for one in chain.filters):
            self._undecided.remove(chain.counted)
            chain.counted = None
            chain.boundary = bool(chain.filters) and chain.filters[-1].boundaries
            if chain.filters:
                self._start(chain, _HANDSHAKE, self.limits.connect_time, now)
            else:
                # Plain from here on, at the cost of any other.
                self._stop_timers(chain)
                del self._chains[chain.conn]
            out += self.outgoing(self.stack.connection_opened(chain.conn, chain.info, now), now)
        for above, one in enumerate(filters, index):
            if not chain.closed:
                self._handle(chain, above, one.opened(now), out, now)

    # --- the chain's timers: one for each filter, one for the handshake

    def _start(self, chain: _Chain, name: int, duration: float, now: float) -> None:
        before = chain.timers.get(name)
        if before is not None:
            before.cancel()
        chain.timers[name] = self.timers.start(now, duration, self, (chain, name))

    def timer_fired(self, name: tuple[_Chain, int], now: float) -> None:
        """Called by ``timers``; the actions are returned by ``time_passed``."""
        chain, index = name
        chain.timers.pop(index, None)
        if index != _HANDSHAKE:
            self._handle(chain, index, chain.filters[index].time_passed(now), self._fired, now)
        elif chain.counted is not None:
            self._give_up(
                chain, f"undecided after {self.limits.first_data_time:g} s (limits.first_data_time)", now
            )
        elif not chain.ready:
            reason = f"handshake not finished in {self.limits.connect_time:g} s (limits.connect_time)"
            self._give_up(chain, reason, now)

    def _give_up(self, chain: _Chain, reason: str, now: float) -> None:
        self._fired.append(Notify(ConnectionRefused(chain.source, reason)))
        self._close(chain, 0, reason, self._fired, now)
