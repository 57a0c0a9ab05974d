"""Sending one request: next hop, failover, challenges, CANCEL, Timers B and F (RFC 3261 8.1, 9.1)."""

from sansip.client.ack import Ack
from sansip.client.asker import Asker, BriefAsker
from sansip.client.attempt import Attempt
from sansip.client.brief import BriefRequest
from sansip.client.client import Client
from sansip.client.sending import Sending
from sansip.client.via import new_branch, same_branch

__all__ = [
    "Ack",
    "Asker",
    "Attempt",
    "BriefAsker",
    "BriefRequest",
    "Client",
    "Sending",
    "new_branch",
    "same_branch",
]
