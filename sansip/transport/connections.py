"""Connections of one stack: opened, reused, guarded, lost.

Theory of operation: every stream peer is a ``Connection`` under a number. A request to an address goes over
the connection that exists (RFC 3261 18.1.1: reuse). If there is none, the table opens one, and the data to
send waits in it. One timer guards each connection: it looks at the time of the last octets and of the message
begun, and so costs nothing per message.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING

from sansip.actions import Action, Address, Connect, Disconnect, Notify, SendData
from sansip.events import ConnectionRefused
from sansip.transport.connection import Connection, Pending
from sansip.transport.flow import Flow
from sansip.transport.framing import StreamFramer
from sansip.transport.room import Room
from sansip.transport.transports import ONE_WAY

if TYPE_CHECKING:
    from sansip.clock import Timers
    from sansip.limits import Limits

__all__ = ["Connections"]


class Connections:
    """The table of connections, and sending over them."""

    __slots__ = ("_addresses", "_limits", "_next", "_out", "_room", "_sources", "_table", "_timers", "failed")

    def __init__(
        self, timers: Timers, limits: Limits, out: list[Action], is_kept: Callable[[Flow], bool]
    ) -> None:
        self._timers = timers
        self._limits = limits
        self._out = out
        self._table: dict[int, Connection] = {}
        self._room = Room(self._table, is_kept)
        # (transport, IP, port) of the peer, and the name that was verified, "" for
        # none -> number of the newest connection
        self._addresses: dict[tuple[str, str, int, str], int] = {}
        self._sources: dict[str, int] = {}
        self._next = 0
        # (owner, octets where they are at hand, reason) of what could not be sent; the stack collects them.
        self.failed: list[tuple[int, bytes, str]] = []

    def __len__(self) -> int:
        return len(self._table)

    def get(self, conn: int) -> Connection | None:
        return self._table.get(conn)

    def of(self, listeners: Container[int]) -> list[Connection]:
        """Return the connections of ``listeners``."""
        return [one for one in self._table.values() if one.flow.listener in listeners]

    def number(self) -> int:
        """Return a number for a connection that has never been used."""
        self._next += 1
        return self._next

    # --- life

    def opened(self, conn: int, flow: Flow, incoming: bool, now: float) -> str | None:
        """Note that ``conn`` is established; return why it must be refused, if so."""
        connection = self._table.get(conn)
        if connection is not None:
            connection.is_open = True
            connection.last = now
            self._out.extend(SendData(conn, data, owner) for data, owner in connection.queue)
            connection.queue = []
            connection.queued = 0
            self._rearm(connection, self._limits.connection_idle, now)
            return None
        source = flow.host
        if self._sources.get(source, 0) >= self._limits.connections_per_source:
            most = self._limits.connections_per_source
            return f"more than {most} from {source} (limits.connections_per_source)"
        if len(self._table) >= self._limits.connections and not self._make_room(now):
            return f"more than {self._limits.connections} connections (limits.connections)"
        connection = self._add(conn, flow, incoming, now)
        self._rearm(connection, self._limits.first_data_time, now)
        return None

    def begin_at(self, number: int) -> None:
        """Number connections from ``number`` + 1 on."""
        self._next = number

    def mirror(self, conn: int, flow: Flow, now: float) -> None:
        """Know connection ``conn`` of another worker: what is sent over it leaves there."""
        if conn not in self._table:
            self._add(conn, flow, True, now).mirrored = True

    def _make_room(self, now: float) -> bool:
        """Close an idle connection, if there is one that no phone and no request needs."""
        idle = self._room.make(now)
        if idle is None:
            return False
        reason = f"idle for {now - idle.last:.0f} s while others come (limits.connections)"
        self.close(idle.flow.conn, reason)
        self._out.append(Notify(ConnectionRefused(idle.flow.host, reason)))
        return True

    def _add(self, conn: int, flow: Flow, incoming: bool, now: float) -> Connection:
        connection = self._table[conn] = Connection(flow, StreamFramer(self._limits), incoming, now)
        self._addresses[flow.transport, flow.host, flow.port, flow.name] = conn
        self._sources[flow.host] = self._sources.get(flow.host, 0) + 1
        return connection

    def closed(self, conn: int, reason: str) -> list[Pending]:
        """Forget ``conn``; return the transactions that were waiting on it."""
        connection = self._table.pop(conn, None)
        if connection is None:
            return []
        if connection.timer is not None:
            connection.timer.cancel()
        flow = connection.flow
        self._forget_address(flow, conn)
        left = self._sources.get(flow.host, 1) - 1
        if left > 0:
            self._sources[flow.host] = left
        else:
            self._sources.pop(flow.host, None)
        self.failed.extend((owner, data, reason) for data, owner in connection.queue if owner)
        # In the order in which they began, whatever stands for them.
        return sorted(connection.waiting, key=lambda one: one.number)

    def _forget_address(self, flow: Flow, conn: int) -> None:
        key = (flow.transport, flow.host, flow.port, flow.name)
        if self._addresses.get(key) == conn:
            del self._addresses[key]

    def close(self, conn: int, reason: str) -> None:
        """Ask for ``conn`` to be closed; ``closed`` follows from the adapter."""
        self._out.append(Disconnect(conn, reason))
        connection = self._table.get(conn)
        if connection is not None:
            # New requests to its peer open another one.
            self._forget_address(connection.flow, conn)

    def received(self, connection: Connection, now: float, whole: bool) -> None:
        """Note that octets came, after they were given to the framer; ``whole``: they ended a message."""
        connection.last = connection.heard_at = now
        if not connection.heard:
            connection.heard = True
            self._rearm(connection, connection.patience / 4 or self._limits.connection_idle, now)
        if not connection.framer.pending:
            connection.begun = None
        elif connection.begun is None:
            connection.begun = now
            self._rearm(connection, self._limits.message_time, now)
        elif whole:
            # Pipelined: the incomplete octets now belong to another message.
            connection.begun = now

    def watch(self, flow: Flow, flow_timer: int, now: float) -> None:
        """Close the connection of ``flow`` when its phone, which was told ``flow_timer``, falls silent.

        RFC 5626 5.4: a flow may fail without a notice, and a server finds out in this way. It has to wait for
        longer than the time that it told the phone. For a WebSocket, pings do this instead.
        """
        connection = self._table.get(flow.conn)
        if connection is not None and flow.transport not in ONE_WAY:
            connection.patience = flow_timer * 1.25
            if connection.begun is None:
                self._rearm(connection, connection.patience / 4, now)

    # --- sending

    def send(self, flow: Flow, data: bytes, now: float, owner: int = 0) -> Connection | None:
        """Send over the connection of ``flow``, another to its address, or a new one."""
        connection = self._table.get(flow.conn) if flow.conn else None
        if connection is None:
            conn = self._addresses.get((flow.transport, flow.host, flow.port, flow.name))
            connection = self._table.get(conn) if conn is not None else None
            if connection is None:
                connection = self._connect(flow, now)
                if connection is None:
                    self._fail(owner, data, self._why_not(flow))
                    return None
            flow.conn = connection.flow.conn
        if connection.is_open:
            self._out.append(SendData(flow.conn, data, owner))
        elif connection.queued + len(data) > self._limits.connection_backlog:
            self._fail(owner, data, "the connection's queue is full (limits.connection_backlog)")
        else:
            connection.queue.append((data, owner))
            connection.queued += len(data)
        connection.last = now
        return connection

    def _fail(self, owner: int, data: bytes, reason: str) -> None:
        if owner:
            self.failed.append((owner, data, reason))

    def _connect(self, flow: Flow, now: float) -> Connection | None:
        if flow.transport in ONE_WAY:
            return None
        if len(self._table) >= self._limits.connections and not self._make_room(now):
            return None
        conn = self.number()
        address: Address = flow.address
        reached = Flow(flow.transport, flow.listener, address, conn, flow.name)
        connection = self._add(conn, reached, False, now)
        self._out.append(Connect(conn, flow.transport, address, flow.listener, flow.name or flow.host))
        self._rearm(connection, self._limits.connect_time, now)
        return connection

    def _why_not(self, flow: Flow) -> str:
        if flow.transport in ONE_WAY:
            return "a WebSocket client cannot be connected to"
        return "too many connections (limits.connections)"

    # --- guarding

    def _rearm(self, connection: Connection, duration: float, now: float) -> None:
        if connection.timer is not None:
            connection.timer.cancel()
        connection.timer = self._timers.start(now, duration, self, connection)

    def timer_fired(self, connection: Connection, now: float) -> None:
        limits = self._limits
        conn = connection.flow.conn
        connection.timer = None
        if conn not in self._table:
            return
        if not connection.is_open:
            self.close(conn, f"not established in {limits.connect_time} s (limits.connect_time)")
        elif connection.begun is not None and now - connection.begun >= limits.message_time:
            self.close(conn, f"message incomplete after {limits.message_time} s (limits.message_time)")
        elif connection.incoming and not connection.heard:
            self.close(conn, f"nothing received in {limits.first_data_time} s (limits.first_data_time)")
        elif connection.patience and now - connection.heard_at >= connection.patience:
            self.close(conn, f"silent for {connection.patience} s (registrar.flow_timer)")
        elif now - connection.last >= limits.connection_idle:
            self.close(conn, f"idle for {limits.connection_idle} s (limits.connection_idle)")
        else:
            # The timers share a queue per duration, so wait a whole one again.
            if connection.begun is not None:
                duration = limits.message_time
            else:
                duration = connection.patience / 4 or limits.connection_idle
            self._rearm(connection, duration, now)
