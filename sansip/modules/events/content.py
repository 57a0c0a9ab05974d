"""What a watcher may see, and the body that it gets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["BadFilter", "Content", "Verdict"]


class Verdict(Enum):
    """What a watcher may see (RFC 5025 3.2)."""

    BLOCK = "block"
    CONFIRM = "confirm"
    POLITE = "polite-block"
    ALLOW = "allow"


@dataclass(slots=True)
class Content:
    """The body of a NOTIFY, its media type, and fields beside Content-Type."""

    type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class BadFilter(ValueError):
    """A filter that can be read, and that the package does not support: 488 (RFC 4660 3.3.4)."""
