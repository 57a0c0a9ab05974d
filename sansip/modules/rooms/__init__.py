"""Chat rooms: an address whose messages go to all members (RFC 3428, RFC 3862)."""

from sansip.modules.rooms.module import Rooms
from sansip.modules.rooms.settings import Room, RoomsSettings

__all__ = ["Room", "Rooms", "RoomsSettings"]
