"""One way to say that a peer's text is malformed.

Theory of operation: parsers of values do not know the message around them, so
they raise with the reason, the field and the section only; the reader adds
the message before the error leaves the wire layer.
"""

from __future__ import annotations

from sansip.errors import RemoteProtocolError

__all__ = ["excerpt", "malformed"]


def excerpt(text: str) -> str:
    """Return the beginning of ``text``, printable, fit for a Reason-Phrase or a log line."""
    if len(text) > 48:
        text = text[:45] + "..."
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


def malformed(field: str, what: str, section: str, *, status: int = 400) -> RemoteProtocolError:
    """Return the error for ``field`` (its usual name) of which ``what`` is wrong."""
    return RemoteProtocolError(
        f"{field}: {what}" if field else what, status=status, section=section, field=field
    )
