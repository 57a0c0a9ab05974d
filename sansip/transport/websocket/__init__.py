"""WebSocket as a byte filter (RFC 6455), carrying SIP (RFC 7118)."""

from sansip.transport.websocket.filter import WebSocket
from sansip.transport.websocket.handshake import WebSocketConfig

__all__ = ["WebSocket", "WebSocketConfig"]
