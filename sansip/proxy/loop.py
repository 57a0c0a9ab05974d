"""Branches that tell a loop from a spiral (RFC 3261 16.6 step 8, RFC 5393).

Theory of operation: the branch we put in a Via has two parts: a unique one, and
a hash of everything our routing decision rests on. A request that comes back
with our Via and the same hash would be decided the same way again: a loop. With
another hash it is a spiral, and goes on.

The hash need not resist forgery: a sender that forges one only gets its own request refused. So it is a CRC,
started with a secret value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

from sansip.wire.head import text_hash_in_c

if TYPE_CHECKING:
    from sansip.transport.listeners import Listeners
    from sansip.wire import OtherUri, Request, SipUri, TelUri
    from sansip.wire.headers.simple import CSeq

__all__ = ["DECIDING", "Arrived", "is_looped", "loop_hash", "plain_text_hash", "text_hash"]

# RFC 5393 4.2.1: the fields that routing looks at, beside those of every request.
DECIDING: Final = frozenset(("route", "proxy-require", "proxy-authorization"))


class Arrived(NamedTuple):
    """A request as it was received, as far as that decides its routing (RFC 5393 4.2.1).

    Attributes:
        uri, uri_text: the Request-URI.
        identity: ``Message.identity``.
        fields: the lines of ``DECIDING``.
    """

    uri: SipUri | TelUri | OtherUri
    uri_text: str
    identity: tuple[str, str | None, str | None, CSeq]
    fields: tuple[str, ...]


def loop_hash(arrived: Arrived, start: int, asked: str) -> str:
    """Return the hash, 8 digits, of what decides the routing of a request as received.

    RFC 5393 4.2.1: the Request-URI and every field that routing looks at, but no value that changes from hop
    to hop. ``asked`` is the meaning of the Request-URI here: the address-of-record of a user of ours, which
    any number of URIs name; "" for the URI itself.
    """
    call_id, from_tag, to_tag, cseq = arrived.identity
    text = f"{asked or arrived.uri_text}\n{from_tag}\n{to_tag}\n{call_id}\n{cseq.number}"
    if arrived.fields:
        text = "\n".join((text, *arrived.fields))
    hashed: str = text_hash(start, text)
    return hashed


def plain_text_hash(start: int, *texts: str | int) -> str:
    """Return the hash of the text that ``loop_hash`` makes, of these lines."""
    text = "\n".join(map(str, texts))
    return f"{crc32(text.encode('utf-8', 'surrogateescape'), start):08x}"


# The same, by the C module.
text_hash: Final[Any] = plain_text_hash if text_hash_in_c is None else text_hash_in_c


def is_looped(request: Request, hashed: str, listeners: Listeners) -> bool:
    """Whether ``request``, which has a Via of ours, was here with the same hash (RFC 5393 4.2.2)."""
    suffix = f".{hashed}"
    for via in request.vias:
        if listeners.is_own_sent_by(via.sent_by):
            branch = via.branch
            if branch is not None and branch.endswith(suffix):
                return True
    return False
