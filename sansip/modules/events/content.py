"""What a watcher may see, and the body that it gets."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from sansip.wire.fields import encode, header_line

__all__ = ["BadFilter", "Content", "Verdict", "fields_of", "line", "write"]

# Packages have few media types.
line = lru_cache(maxsize=64)(header_line)


class Verdict(Enum):
    """What a watcher may see (RFC 5025 3.2)."""

    BLOCK = "block"
    CONFIRM = "confirm"
    POLITE = "polite-block"
    ALLOW = "allow"


class Content:
    """The body of a NOTIFY, its media type, and fields beside Content-Type; it does not change any more.

    ``octets``: what ``write`` has made of it.
    """

    __slots__ = ("body", "headers", "octets", "type")

    def __init__(self, type: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.type = type
        self.body = body
        self.headers = headers
        self.octets = b""


def fields_of(content: Content | None) -> tuple[list[tuple[str, object]], bytes]:
    """Return the fields, but for Content-Length, and the body of a NOTIFY with ``content``."""
    if content is None:
        return [], b""
    return [("Content-Type", content.type), *content.headers], content.body


def write(content: Content) -> bytes:
    """Return the lines of ``content``, with the empty line behind them, and the body."""
    fields, body = fields_of(content)
    lines = "".join([f"{line(name, value)}\r\n" for name, value in fields])
    content.octets = encode(f"{lines}Content-Length: {len(body)}\r\n\r\n") + body
    return content.octets


class BadFilter(ValueError):
    """A filter that can be read, and that the package does not support: 488 (RFC 4660 3.3.4)."""
