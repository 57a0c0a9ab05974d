"""Sending one request: next hop, failover, challenges, CANCEL, Timers B and F (RFC 3261 8.1, 9.1)."""

from sansip.client.ack import Ack
from sansip.client.asker import Asker
from sansip.client.attempt import Attempt
from sansip.client.client import Client
from sansip.client.sending import Sending

__all__ = ["Ack", "Asker", "Attempt", "Client", "Sending"]
