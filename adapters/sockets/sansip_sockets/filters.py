"""The filters of each transport: TLS, WebSocket, both.

Theory of operation: a connection of ``tls`` is TCP with TLS around it, ``ws`` TCP
with WebSocket around it, ``wss`` WebSocket in TLS. The result goes to the ``filters`` option
of every runtime's front door.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sansip.driver import Filter, FilterFactory, OpenConnection
from sansip.limits import DEFAULT, Limits
from sansip.transport.transports import TLS, WS, WSS
from sansip.transport.websocket import WebSocket, WebSocketConfig
from sansip_sockets.tls import TlsContexts
from sansip_sockets.tls_filter import Tls

__all__ = ["stream_filters"]


def stream_filters(
    tls: TlsContexts | None = None,
    websocket: WebSocketConfig | None = None,
    limits: Limits = DEFAULT,
    protocols: Mapping[str, bool] = MappingProxyType({}),
) -> dict[str, FilterFactory]:
    """Return functions that make the filters of ``ws``, and with ``tls`` those of ``tls`` and ``wss``.

    ``protocols`` are those of modules: whether each is a sub-protocol of WebSocket as well.
    """
    within = [name for name, is_within in protocols.items() if is_within]

    def ws(info: OpenConnection) -> list[Filter]:
        return [WebSocket(websocket, limits, protocols=within)]

    made: dict[str, FilterFactory] = {WS: ws, **dict.fromkeys(protocols, _nothing)}
    if tls is not None:
        contexts = tls

        def only_tls(info: OpenConnection) -> list[Filter]:
            return [Tls(contexts, info)]

        def wss(info: OpenConnection) -> list[Filter]:
            return [Tls(contexts, info), WebSocket(websocket, limits, protocols=within)]

        made |= {TLS: only_tls, WSS: wss} | {f"{name}s": only_tls for name in protocols}
    return made


def _nothing(info: OpenConnection) -> list[Filter]:
    return []
