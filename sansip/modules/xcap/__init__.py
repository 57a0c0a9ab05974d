"""XCAP (RFC 4825): users read and write their documents over HTTP, whole or in parts."""

from sansip.modules.xcap.module import Xcap
from sansip.modules.xcap.settings import XcapSettings

__all__ = ["Xcap", "XcapSettings"]
