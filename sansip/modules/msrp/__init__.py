"""A relay of MSRP (RFC 4976), over TCP, TLS and WebSocket (RFC 7977)."""

from sansip.modules.msrp.module import Msrp
from sansip.modules.msrp.settings import MsrpSettings

__all__ = ["Msrp", "MsrpSettings"]
