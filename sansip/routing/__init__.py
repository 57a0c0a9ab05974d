"""Routing: a route is a function that decides what becomes of a request."""

from sansip.proxy import Target
from sansip.routing.awaitables import Question, Sleep, ask, sleep
from sansip.routing.handlers import handler
from sansip.routing.relaying import Relay
from sansip.routing.request import IncomingRequest
from sansip.routing.stepper import Route, run
from sansip.routing.trust import Trusted, TrustedPeer

__all__ = [
    "IncomingRequest",
    "Question",
    "Relay",
    "Route",
    "Sleep",
    "Target",
    "Trusted",
    "TrustedPeer",
    "ask",
    "handler",
    "run",
    "sleep",
]
