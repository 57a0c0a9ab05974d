"""sansip: a SIP server's core as a state machine that does no I/O.

``Stack`` takes bytes and time and returns actions; the adapters (``sansip_asyncio`` and others) bind it to
sockets. No code here reads a clock, opens a socket, starts a thread or draws a random number.
"""

from sansip.actions import Action, Ask, Connect, Disconnect, Notify, SendData, SendDatagram
from sansip.config import ListenerConfig, StackConfig
from sansip.errors import LocalProtocolError, RemoteProtocolError, SipError
from sansip.limits import Limits
from sansip.stack import ConnectionInfo, Stack
from sansip.wire import Request, Response, parse_message, parse_uri

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Ask",
    "Connect",
    "ConnectionInfo",
    "Disconnect",
    "Limits",
    "ListenerConfig",
    "LocalProtocolError",
    "Notify",
    "RemoteProtocolError",
    "Request",
    "Response",
    "SendData",
    "SendDatagram",
    "SipError",
    "Stack",
    "StackConfig",
    "parse_message",
    "parse_uri",
]
