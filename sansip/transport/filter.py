"""Byte filters, which wrap the octets of a connection: TLS and WebSocket.

Theory of operation: a filter stands between a socket and the stack. It gets the octets of the peer and the
data of the stack, does not wait, and returns the next steps in an ``Output``. ``sansip.driver`` chains the
filters of one connection, lowest first.

An output has six parts, taken in this order: octets to send *down*, the filters to stand here *instead* of
this one, the *protocol* that the peer chose where it is not SIP (a sub-protocol of WebSocket), data to pass
*up* (to them, if there are some), a *timer* to start, and *closing*: the reason to end the connection after
that (a filter that cannot say so leaves its peer waiting). A filter that found out that the connection is not
SIP says so by *foreign*: the octets that it holds go to the HTTP server, with the connection and the filters
below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sansip.actions import Address

__all__ = ["NOTHING", "Filter", "FilterFactory", "OpenConnection", "Output"]


@dataclass(slots=True)
class OpenConnection:
    """The facts that the adapter has about a connection when it is established.

    ``listener`` is the number of the listener that accepted it or whose address
    it was opened from; ``local`` and ``remote`` are socket addresses. ``name`` is
    the name that an outgoing connection must reach: the host that its URI named.
    ``identities`` are the SIP domains that the peer proved to be (RFC 5922 7.1),
    set by the TLS filter when its handshake is over.
    """

    listener: int
    transport: str
    local: Address
    remote: Address
    incoming: bool
    name: str = ""
    identities: tuple[str, ...] = ()


@dataclass(slots=True, init=False)
class Output:
    """The requests of a filter; see the module's docstring. ``timer`` is in seconds."""

    down: Sequence[bytes] = ()
    up: Sequence[bytes] = ()
    timer: float | None = None
    closing: str | None = None
    instead: Sequence[Filter] | None = None
    foreign: bytes | None = None
    protocol: str | None = None

    # Written out as in ``sansip.actions``: in the compiled build that of a dataclass is interpreted.
    def __init__(
        self,
        down: Sequence[bytes] = (),
        up: Sequence[bytes] = (),
        timer: float | None = None,
        closing: str | None = None,
        instead: Sequence[Filter] | None = None,
        foreign: bytes | None = None,
        protocol: str | None = None,
    ) -> None:
        self.down = down
        self.up = up
        self.timer = timer
        self.closing = closing
        self.instead = instead
        self.foreign = foreign
        self.protocol = protocol


# Shared by all filters: an output never changes.
NOTHING = Output()


class Filter(Protocol):
    """One wrapping of a connection, for example TLS or WebSocket.

    Attributes:
        boundaries: each element passed up is a whole message (WebSocket), so
            the stack need not look for its end.
        ready: the handshake is over. Until then the filter keeps the data that it is given to send; a chain
            that is not ready within ``limits.connect_time`` is closed.
    """

    boundaries: bool

    @property
    def ready(self) -> bool: ...
    def opened(self, now: float) -> Output: ...
    def received(self, data: bytes, now: float) -> Output: ...
    def send(self, data: bytes, now: float) -> Output: ...
    def close(self, reason: str, now: float) -> Output: ...
    def time_passed(self, now: float) -> Output: ...


FilterFactory: TypeAlias = Callable[[OpenConnection], list[Filter]]
