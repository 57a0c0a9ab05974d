"""Values that are a token, a few tokens, or plain text."""

from __future__ import annotations

from typing import Final

from sansip.wire.abnf import LWS, TOKEN, TOKEN_RE, compiled
from sansip.wire.faults import excerpt, malformed

__all__ = ["parse_language", "parse_mime_version", "parse_privacy", "parse_resource_priority", "parse_text"]
__all__ += ["parse_token"]

_LANGUAGE: Final = compiled(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*+")
_VERSION: Final = compiled(rf"[0-9]++{LWS}\.{LWS}[0-9]++")
# RFC 4412 3.1: no dot within the namespace or the priority.
_NO_DOT: Final = TOKEN.replace(".", "", 1)
_PRIORITY: Final = compiled(rf"{_NO_DOT}\.{_NO_DOT}")


def parse_text(text: str, name: str, section: str) -> str:
    """Return ``text``: whatever it says is legal (RFC 3261 25.1: TEXT-UTF8-TRIM)."""
    return text


def parse_token(text: str, name: str, section: str) -> str:
    """Return ``text`` when it is a token."""
    if TOKEN_RE.fullmatch(text) is None:
        raise malformed(name, f"expected a token, got {excerpt(text)!r}", section)
    return text


def parse_language(text: str, name: str, section: str) -> str:
    """Return a language tag (RFC 3261 20.13)."""
    if _LANGUAGE.fullmatch(text) is None:
        raise malformed(name, f"expected a language tag, got {excerpt(text)!r}", section)
    return text


def parse_mime_version(text: str, name: str, section: str) -> str:
    """Return MIME-Version as ``"1.0"`` (RFC 3261 20.24)."""
    if _VERSION.fullmatch(text) is None:
        raise malformed(name, f"expected a version, got {excerpt(text)!r}", section)
    return text


def parse_privacy(text: str, name: str, section: str) -> list[str]:
    """Return the values of Privacy, in lower case (RFC 3323 4.2: separated by semicolons)."""
    values = [part.strip(" \t") for part in text.split(";")]
    return [parse_token(value, name, section).lower() for value in values]


def parse_resource_priority(text: str, name: str, section: str) -> str:
    """Return ``namespace.priority`` in lower case (RFC 4412 3.1: case does not matter)."""
    if _PRIORITY.fullmatch(text) is None:
        raise malformed(name, f"expected namespace.priority, got {excerpt(text)!r}", section)
    return text.lower()
