"""The fault of what a peer sent."""

from __future__ import annotations

__all__ = ["MsrpError"]


class MsrpError(ValueError):
    """Octets that are no MSRP; ``section`` of RFC 4975 says what would be."""

    def __init__(self, reason: str, section: str = "9") -> None:
        super().__init__(f"{reason} (RFC 4975 {section})")
        self.reason = reason
        self.section = section
