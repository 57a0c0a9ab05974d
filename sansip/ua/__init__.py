"""User agents: requests of our own, calls out and in (RFC 3261 8, 13, 15)."""

from sansip.ua.agent import UserAgent
from sansip.ua.arrival import Arrival
from sansip.ua.call import Call
from sansip.ua.config import UserAgentConfig
from sansip.ua.errors import CallEnded, CallRefused, RequestRefused
from sansip.ua.handler import Handler
from sansip.ua.incoming import IncomingCall
from sansip.ua.outgoing import OutgoingCall
from sansip.ua.transferee import Transferee

__all__ = [
    "Arrival",
    "Call",
    "CallEnded",
    "CallRefused",
    "Handler",
    "IncomingCall",
    "OutgoingCall",
    "RequestRefused",
    "Transferee",
    "UserAgent",
    "UserAgentConfig",
]
