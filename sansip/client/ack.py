"""The ACK of a 2xx: a request without a transaction (RFC 3261 13.2.2.4, 17)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.via import new_branch, seal
from sansip.transport.flow import Flow

if TYPE_CHECKING:
    from sansip.client.outlet import Outlet
    from sansip.transport import NextHop
    from sansip.wire import Request

__all__ = ["Ack"]


class Ack:
    """An ACK that was sent, and may have to be sent again. Made by ``Client.send_ack``."""

    __slots__ = ("_client", "_data", "_flow", "_hop", "_prefer", "_request")

    def __init__(self, client: Outlet, request: Request, prefer: int | None) -> None:
        self._client = client
        self._request = request
        self._prefer = prefer
        self._hop: NextHop | None = None
        self._flow: Flow | None = None
        self._data = b""

    def begin(self, hop: NextHop | Flow, now: float) -> None:
        """Send it. Only for ``Client.send_ack``."""
        if isinstance(hop, Flow):
            self._leave(hop, now)
            return
        self._hop = hop
        if hop.numeric:
            self._found([(hop.transport, hop.host, hop.port)], now)
        else:
            self._client.places.resolve(hop.question(), self._found, now)

    def _found(self, found: Any, now: float) -> None:
        client, hop = self._client, self._hop
        assert hop is not None
        for transport, ip, port in client.places.take(found, hop, now):
            listener = client.listeners.reach(transport, ip, self._prefer)
            if listener is not None:
                self._leave(Flow(transport, listener.id, (ip, port), name=hop.proves(transport)), now)
                return

    def _leave(self, flow: Flow, now: float) -> None:
        self._flow = flow
        listener = self._client.listeners[flow.listener]
        # RFC 3261 17.1.1.3: the ACK of a 2xx has a branch of its own.
        self._data = seal(self._request, listener, new_branch(self._client.entropy))
        self.again(now)

    def again(self, now: float) -> None:
        """Send it once more: its 2xx came again (RFC 3261 13.2.2.4)."""
        if self._flow is not None:
            self._client.sender.send(self._flow, self._data, now)
