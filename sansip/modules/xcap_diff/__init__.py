"""Changes of XCAP documents, told to phones as events (RFC 5875)."""

from sansip.modules.xcap_diff.module import XcapDiff, XcapDiffSettings

__all__ = ["XcapDiff", "XcapDiffSettings"]
