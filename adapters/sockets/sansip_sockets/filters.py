"""The filters of each transport: TLS, WebSocket, both.

Theory of operation: a connection of ``tls`` is TCP with TLS around it, ``ws`` TCP
with WebSocket around it, ``wss`` WebSocket in TLS. What is returned here goes to
the ``filters`` option of every runtime's front door.
"""

from __future__ import annotations

from sansip.driver import Filter, FilterFactory, OpenConnection
from sansip.limits import DEFAULT, Limits
from sansip.transport.transports import TLS, WS, WSS
from sansip.transport.websocket import WebSocket, WebSocketConfig
from sansip_sockets.tls import Tls, TlsContexts

__all__ = ["stream_filters"]


def stream_filters(
    tls: TlsContexts | None = None, websocket: WebSocketConfig | None = None, limits: Limits = DEFAULT
) -> dict[str, FilterFactory]:
    """Return what makes the filters of ``ws``, and with ``tls`` those of ``tls`` and ``wss``."""

    def ws(info: OpenConnection) -> list[Filter]:
        return [WebSocket(websocket, limits)]

    made: dict[str, FilterFactory] = {WS: ws}
    if tls is not None:
        contexts = tls

        def only_tls(info: OpenConnection) -> list[Filter]:
            return [Tls(contexts, info)]

        def wss(info: OpenConnection) -> list[Filter]:
            return [Tls(contexts, info), WebSocket(websocket, limits)]

        made |= {TLS: only_tls, WSS: wss}
    return made
