"""Presence (RFC 3856): what users publish, composed, and shown to those who may see it."""

from sansip.modules.presence.module import Presence
from sansip.modules.presence.settings import PresenceSettings

__all__ = ["Presence", "PresenceSettings"]
