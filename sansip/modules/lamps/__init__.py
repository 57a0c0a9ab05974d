"""Lamps: the state of calls, for the keys of other phones (RFC 4235)."""

from sansip.modules.lamps.module import Lamps
from sansip.modules.lamps.settings import LampsSettings

__all__ = ["Lamps", "LampsSettings"]
