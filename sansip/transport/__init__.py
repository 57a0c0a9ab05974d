"""Transport (RFC 3261 18): flows, framing, connections, Via, and our own addresses."""

from sansip.transport.connections import Connections
from sansip.transport.flow import Flow
from sansip.transport.framing import PING, PONG, StreamFramer
from sansip.transport.listeners import Listener, Listeners
from sansip.transport.next_hop import NextHop, Resolve, next_hop
from sansip.transport.sender import ActionSender, Sender
from sansip.transport.via import note_source

__all__ = [
    "PING",
    "PONG",
    "ActionSender",
    "Connections",
    "Flow",
    "Listener",
    "Listeners",
    "NextHop",
    "Resolve",
    "Sender",
    "StreamFramer",
    "next_hop",
    "note_source",
]
