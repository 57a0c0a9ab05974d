"""XCAP URIs below the root: which document, and which part of it (RFC 4825 6).

Theory of operation: the path is split at the first ``~~`` while its escapes stand, so that an escaped slash
is none. What is before it names an application, a user or the global tree, and a document; what is behind is
decoded whole, and read as a node selector later, when the client may ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from sansip.modules.xcap.faults import Conflict, Fault

__all__ = ["GLOBAL", "SAFE", "Address", "encoded", "parse_address"]

# The owner of the documents of the global tree; no address-of-record is that.
GLOBAL: Final = "global"
# RFC 3986 3.3: characters of a segment that stand for themselves, "/" between steps not among them.
SAFE: Final = "-._~!$&'()*+,;=:@"
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Address:
    """What a URI points at.

    Attributes:
        user: the XUI as it was written and decoded; ``GLOBAL`` for the global tree.
        name: the document; "" where the path ends before it.
        deeper: whether the path goes on below the name, which would be a subdirectory.
        node: the node selector, decoded; None without one.
        query: the query, decoded.
        home: the path of the directory, as it was written.
    """

    auid: str
    user: str
    name: str
    deeper: bool
    node: str | None
    query: str
    home: str

    @property
    def is_global(self) -> bool:
        return self.user == GLOBAL

    def no_directory(self) -> Conflict:
        """RFC 4825 8.2.1: there are no subdirectories."""
        return Conflict("no-parent", "there are no subdirectories", ancestor=f"{self.home}/")


def parse_address(path: str, query: str, root: str) -> Address:
    """Return what ``path`` below ``root`` points at. Raises ``Fault``."""
    below = path[len(root) :] if root != "/" else path
    segments = below.split("/")[1:]
    node: str | None = None
    for number, segment in enumerate(segments):
        # RFC 4825 6: %7E%7E is the same.
        if "~" in segment or "%7" in segment:
            if _decoded(segment) == "~~":
                node = _decoded("/".join(segments[number + 1 :]))
                segments = segments[:number]
                break
    if len(segments) < 2 or not segments[0]:
        raise Fault(404, "expected /AUID/users/XUI/document or /AUID/global/document")
    auid, tree = _decoded(segments[0]), _decoded(segments[1])
    if tree == "users" and len(segments) > 2:
        # RFC 4825 6.2: the directory of a user.
        user, rest, home = _decoded(segments[2]), segments[3:], segments[:3]
    elif tree == GLOBAL:
        user, rest, home = GLOBAL, segments[2:], segments[:2]
    else:
        raise Fault(404, "expected /AUID/users/XUI/document or /AUID/global/document")
    if tree == "users" and user == GLOBAL:
        raise Fault(404, "there is no such user")
    name = _decoded(rest[0]) if rest else ""
    if len(name) > _LONGEST or "/" in name:
        raise Fault(404, "there is no document of such a name")
    place = ("" if root == "/" else root) + "".join(f"/{one}" for one in home)
    return Address(auid, user, name, len(rest) > 1, node, _decoded(query), place)


def _decoded(text: str) -> str:
    try:
        plain = unquote_to_bytes(text).decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise Fault(400, "the URI is not UTF-8") from None
    if any(character < " " or character == "\x7f" for character in plain):
        raise Fault(400, "the URI has control characters")
    return plain


def encoded(text: str) -> str:
    """Return ``text`` as one segment of a path."""
    return quote(text, safe=SAFE)
