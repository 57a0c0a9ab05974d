"""A connection of the relay: of a client or another relay that connected, or one that the relay opened.

Theory of operation: octets go through the reader of ``sansip.msrp`` and what they say to the relay, which has
all the rules. A SEND is passed on while it comes; other requests are short and wait until they are whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.modules.msrp.outlet import Outlet
from sansip.msrp import End, Head, MsrpError, Reader

if TYPE_CHECKING:
    from sansip.modules.msrp.chunk import Chunk
    from sansip.modules.msrp.parts import Relay

__all__ = ["Side"]

# RFC 4975 7.1: octets of the body of a request that is no SEND.
OTHER: Final = 10_240


class Side:
    """One connection.

    Attributes:
        source: the address of the peer.
        secure: whether it is encrypted.
        out: what leaves over it.
        chunk: the SEND that is coming.
        failures: AUTH requests that failed.
        proved: whether a request of it has succeeded (RFC 4976 6.1).
        proving: whether an AUTH is being looked at.
        ended: whether it is gone.
    """

    def __init__(self, relay: Relay, source: str, secure: bool, framed: bool) -> None:
        self.relay = relay
        self.source = source
        self.secure = secure
        self.out = Outlet(relay, self.write, framed)
        self.chunk: Chunk | None = None
        self.failures = 0
        self.proved = self.proving = self.ended = False
        self._reader = Reader()
        self._other: tuple[Head, bytearray] | None = None

    @property
    def identities(self) -> tuple[str, ...]:
        """The names that the peer has proved by a TLS certificate."""
        return ()

    def write(self, data: bytes) -> None:
        """Send octets."""
        raise NotImplementedError

    def read(self, wanted: bool) -> None:
        """Have the connection read no more, or again."""
        raise NotImplementedError

    def close(self, reason: str, now: float) -> None:
        """Close the connection."""
        raise NotImplementedError

    def timer_fired(self, name: str, now: float) -> None:
        """RFC 4976 6.1: the time of probation is over."""
        if not self.proved and not self.ended:
            self.close("no request succeeded in time (msrp.probation)", now)

    def take(self, data: bytes, now: float) -> None:
        """Octets came."""
        try:
            events = self._reader.feed(data)
            for event in events:
                self._take(event, now)
                if self.ended:
                    return
            if self.out.framed and self._reader.is_within:
                # RFC 7977 5.1
                raise MsrpError("a WebSocket message is not one whole chunk")
        except MsrpError as error:
            # What comes next cannot be found (RFC 4975 7.3).
            self.relay.refused(self, str(error))
            self.close(str(error), now)
            return
        if self.chunk is not None and self.chunk.held:
            self.relay.carry(self.chunk, now)

    def _take(self, event: Head | bytes | End, now: float) -> None:
        relay = self.relay
        if isinstance(event, Head):
            if event.method == "SEND":
                self.chunk = relay.begin(self, event, now)
            else:
                self._other = (event, bytearray())
        elif isinstance(event, End):
            other, self._other = self._other, None
            if other is None:
                chunk, self.chunk = self.chunk, None
                if chunk is not None:
                    relay.finish(chunk, event.flag, now)
            elif other[0].method:
                body = bytes(other[1]) if other[0].has_body else None
                relay.request(self, other[0], body, now)
            else:
                relay.response(self, other[0], now)
        elif self._other is not None:
            self._other[1].extend(event)
            if len(self._other[1]) > OTHER:
                raise MsrpError(f"a body of more than {OTHER} octets, and no SEND", "7.1")
        elif self.chunk is not None:
            self.chunk = relay.more(self.chunk, event, now)
