"""Protocols of modules: connections that are no SIP, at listeners of their own kind, or over WebSocket.

Theory of operation: a module says which kinds it speaks, ``protocols = {"msrp": Msrp}``. For each connection
there is one object of its class, a ``Link``, which is told whole messages and sends whole messages. Such a
connection comes by a listener of the kind (``msrp``, and ``msrps`` over TLS), or as a WebSocket with the
sub-protocol of that name. Limits bound the number of links, the size of a message and the time that it may
take to come. A link that raises loses its connection; other connections go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sansip.actions import Action, Address, Disconnect, Notify, Reading, SendData
from sansip.events import ConnectionRefused, ModuleFailed

if TYPE_CHECKING:
    from sansip.clock import Timer, Timers
    from sansip.limits import Limits

__all__ = ["Kind", "Link", "Links", "kinds_of"]

# (module, what, method) -> the function called in its place, for measurements.
Wrap = Callable[[Any, str, Callable[..., Any]], Callable[..., Any]]


class Speaker(Protocol):
    """A module, of which no more is needed here."""

    name: ClassVar[str]
    protocols: ClassVar[Mapping[str, type[Link]]]


class Proved(Protocol):
    """The facts about a connection, of which no more is needed here."""

    @property
    def identities(self) -> tuple[str, ...]: ...


class Link:
    """One connection that a protocol of a module is spoken over. Made when it is established.

    Attributes:
        websocket: of the class: whether it is a sub-protocol on the WebSocket listeners of SIP as well.
        largest: of the class: octets of one message; None: ``limits.link_message``.
        module: whose protocol it is.
        kind: the name of the protocol, as in ``protocols``.
        remote: address and port of the peer.
        secure: whether it came over TLS.
    """

    websocket: ClassVar[bool] = False
    largest: ClassVar[int | None] = None

    def __init__(self, module: Any, kind: str, remote: Address, secure: bool, line: Line) -> None:
        self.module = module
        self.kind = kind
        self.remote = remote
        self.secure = secure
        self._line = line

    def split(self, buffer: bytearray) -> int:
        """Return how many octets the first message in ``buffer`` has, 0 while it is not whole.

        Raise ``ValueError`` where there can be none: the connection is closed. Over WebSocket messages are
        whole.
        """
        return len(buffer)

    @property
    def identities(self) -> tuple[str, ...]:
        """The domains in the certificate that the peer has shown, and that is good (RFC 5922 7.1)."""
        peer = self._line.peer
        return () if peer is None else peer.identities

    @property
    def framed(self) -> bool:
        """Whether messages come, and leave, whole: over WebSocket."""
        return self._line.framed

    @property
    def patience(self) -> float | None:
        """Seconds for the first octets, None: ``limits.first_data_time``. Asked once."""
        return None

    def opened(self, now: float) -> None:
        """The connection is established."""

    def received(self, message: bytes, now: float) -> None:
        """The peer sent ``message``."""

    def writable(self, writable: bool, now: float) -> None:
        """Much waits to be written (False), or all of it has left (True)."""

    def closed(self, reason: str, now: float) -> None:
        """The connection is gone, ended by either side. No data can be sent any more."""

    def read(self, wanted: bool) -> None:
        """Read no more, so that the peer has to wait, or (``wanted``) again."""
        self._line.read(wanted)

    def send(self, message: bytes) -> None:
        """Send one message. A peer that does not read is closed (``limits.connection_backlog``)."""
        self._line.send(message)

    def close(self, reason: str) -> None:
        """Close the connection once the data sent before has left; ``closed`` is called."""
        self._line.close(reason)


@dataclass(slots=True)
class Kind:
    """A protocol: whose it is, its class, and whether a connection of this kind is encrypted."""

    name: str
    module: Speaker
    link: type[Link]
    secure: bool
    wrapped: Wrap


def kinds_of(modules: Iterable[Speaker], wrapped: Wrap) -> dict[str, Kind]:
    """Return the kinds of listeners that ``modules`` speak at, by name. Raises ``ValueError`` for twins."""
    kinds: dict[str, Kind] = {}
    for module in modules:
        spoken: Mapping[str, type[Link]] = module.protocols
        for name, link in spoken.items():
            # RFC 4975 6 has msrp and msrps, RFC 3261 19.1 sip and sips.
            for secure in (False, True):
                kind = Kind(f"{name}s" if secure else name, module, link, secure, wrapped)
                if kind.name in kinds:
                    other = kinds[kind.name].module.name
                    raise ValueError(f"the modules {other} and {module.name} both speak {kind.name}")
                kinds[kind.name] = kind
    return kinds


class Line:
    """The state of one link in the stack."""

    __slots__ = ("_links", "begun", "buffer", "conn", "framed", "heard", "host", "is_over", "largest", "last",
                 "link", "module", "patience", "peer", "received", "timer")  # fmt: skip

    received: Callable[[bytes, float], None]

    def __init__(
        self, links: Links, conn: int, host: str, module: Speaker, largest: int, framed: bool, now: float
    ) -> None:
        self._links = links
        self.framed = framed
        self.conn = conn
        # What the adapter knows of a TLS connection.
        self.peer: Proved | None = None
        self.host = host
        self.module = module
        self.largest = largest
        self.buffer = bytearray()
        self.is_over = False
        # None where it could not be made.
        self.link: Link | None = None
        self.heard = False
        # When the message that is not whole yet began, and when the last octets came.
        self.begun: float | None = None
        self.last = now
        # Seconds for the first octets, and the setting that says so.
        self.patience = 0.0, ""
        self.timer: Timer | None = None

    def send(self, message: bytes) -> None:
        if not self.is_over:
            self._links.out.append(SendData(self.conn, message))

    def read(self, wanted: bool) -> None:
        if not self.is_over:
            self._links.out.append(Reading(self.conn, wanted))

    def close(self, reason: str) -> None:
        if not self.is_over:
            self.is_over = True
            self._links.out.append(Disconnect(self.conn, reason))


class Links:
    """The links of one stack. ``out`` receives the actions, ``notify`` gets the exceptions of modules."""

    __slots__ = ("_limits", "_lines", "_sources", "_timers", "kinds", "notify", "out")

    def __init__(
        self, timers: Timers, limits: Limits, out: list[Action], notify: Callable[[Any], None]
    ) -> None:
        self._timers = timers
        self._limits = limits
        self.out = out
        self.notify = notify
        self.kinds: dict[str, Kind] = {}
        self._lines: dict[int, Line] = {}
        self._sources: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def of(self, module: Speaker) -> list[Link]:
        """Return the links of ``module``."""
        lines = [line for line in self._lines.values() if line.module is module and not line.is_over]
        return [line.link for line in lines if line.link is not None]

    def take(self, kinds: dict[str, Kind], now: float) -> None:
        """Speak ``kinds`` from now on; links of modules that are gone end."""
        self.kinds = kinds
        there = {id(kind.module) for kind in kinds.values()}
        for line in list(self._lines.values()):
            if id(line.module) not in there:
                line.close("its module was taken away")
                self._forget(line, "its module was taken away", now)

    # --- inputs of the stack

    def opened(
        self,
        conn: int,
        kind: str,
        remote: Address,
        now: float,
        framed: bool = False,
        peer: Proved | None = None,
    ) -> None:
        """A connection of ``kind`` is established; ``framed``: a WebSocket; ``peer``: what TLS knows."""
        host = str(remote[0])
        found = self.kinds.get(kind)
        refused = self._refuses(host) if found is not None else f"no module speaks {kind} any more"
        if found is None or refused is not None:
            self.out.append(Disconnect(conn, refused or ""))
            self.out.append(Notify(ConnectionRefused(host, refused or "")))
            return
        limits = self._limits
        module = found.module
        largest = found.link.largest or limits.link_message
        line = self._lines[conn] = Line(self, conn, host, module, largest, framed, now)
        if found.secure:
            line.peer = peer
        self._sources[host] = self._sources.get(host, 0) + 1
        line.patience = limits.first_data_time, "limits.first_data_time"
        name = kind[:-1] if found.secure else kind
        try:
            link = found.link(module, name, remote, found.secure, line)
            line.link, line.received = link, found.wrapped(module, f"protocol {name}", link.received)
            if (own := link.patience) is not None:
                line.patience = own, f"the settings of {module.name}"
            link.opened(now)
        except Exception as error:
            self._failed(line, error)
        self._watch(line, line.patience[0], now)

    def _refuses(self, host: str) -> str | None:
        limits = self._limits
        if self._sources.get(host, 0) >= limits.links_per_source:
            return f"more than {limits.links_per_source} from {host} (limits.links_per_source)"
        if len(self._lines) >= limits.links:
            return f"more than {limits.links} connections to modules (limits.links)"
        return None

    def data_received(self, conn: int, data: bytes, now: float, boundary: bool) -> bool:
        """Take octets; return whether they were for a link."""
        line = self._lines.get(conn)
        if line is None:
            return False
        if line.is_over:
            return True
        line.heard, line.last = True, now
        if boundary:
            if len(data) > line.largest:
                self._end(line, f"a message of more than {line.largest} octets (limits.link_message)")
            else:
                self._give(line, data, now)
        else:
            self._split(line, data, now)
        return True

    def _give(self, line: Line, message: bytes, now: float) -> None:
        try:
            line.received(message, now)
        except Exception as error:
            self._failed(line, error)

    def _split(self, line: Line, data: bytes, now: float) -> None:
        buffer = line.buffer
        buffer += data
        whole = False
        while buffer and not line.is_over:
            try:
                size = 0 if line.link is None else line.link.split(buffer)
            except ValueError as error:
                self._end(line, f"what it says cannot be read: {error}")
                return
            except Exception as error:
                self._failed(line, error)
                return
            if not 0 < size <= len(buffer):
                break
            message = bytes(buffer[:size])
            del buffer[:size]
            whole = True
            self._give(line, message, now)
        if line.is_over:
            return
        if not buffer:
            line.begun = None
        elif len(buffer) > line.largest:
            self._end(line, f"a message of more than {line.largest} octets (limits.link_message)")
        elif line.begun is None or whole:
            if line.begun is None:
                self._watch(line, self._limits.message_time, now)
            line.begun = now

    def writable(self, conn: int, writable: bool, now: float) -> bool:
        """Much waits to be written, or no more; return whether the connection was a link's."""
        line = self._lines.get(conn)
        if line is None:
            return False
        if line.link is not None and not line.is_over:
            try:
                line.link.writable(writable, now)
            except Exception as error:
                self._failed(line, error)
        return True

    def closed(self, conn: int, reason: str, now: float) -> bool:
        """The connection is gone; return whether it was a link's."""
        line = self._lines.get(conn)
        if line is None:
            return False
        self._forget(line, reason, now)
        return True

    def owns(self, conn: int) -> bool:
        """Whether ``conn`` is a link's."""
        return conn in self._lines

    # --- the end

    def _failed(self, line: Line, error: Exception) -> None:
        self.notify(ModuleFailed(line.module.name, "protocol", error))
        self._end(line, "the module failed")

    def _end(self, line: Line, reason: str) -> None:
        line.close(reason)
        self.notify(ConnectionRefused(line.host, reason))

    def _forget(self, line: Line, reason: str, now: float) -> None:
        line.is_over = True
        del self._lines[line.conn]
        if line.timer is not None:
            line.timer.cancel()
        left = self._sources[line.host] - 1
        if left:
            self._sources[line.host] = left
        else:
            del self._sources[line.host]
        if line.link is None:
            return
        try:
            line.link.closed(reason, now)
        except Exception as error:
            self.notify(ModuleFailed(line.module.name, "protocol", error))

    # --- guarding

    def _watch(self, line: Line, duration: float, now: float) -> None:
        if line.timer is not None:
            line.timer.cancel()
        line.timer = self._timers.start(now, duration, self, line)

    def timer_fired(self, line: Line, now: float) -> None:
        limits = self._limits
        line.timer = None
        if line.is_over:
            return
        if not line.heard:
            seconds, said = line.patience
            self._end(line, f"nothing received in {seconds:g} s ({said})")
        elif line.begun is not None and now - line.begun >= limits.message_time:
            self._end(line, f"message incomplete after {limits.message_time:g} s (limits.message_time)")
        elif now - line.last >= limits.connection_idle:
            self._end(line, f"idle for {limits.connection_idle:g} s (limits.connection_idle)")
        else:
            self._watch(line, limits.connection_idle if line.begun is None else limits.message_time, now)
