"""What a PUBLISH with an entity-tag wants (RFC 3903 4.2, 4.3), read of its lines.

Theory of operation: fields in their plainest form are read, and nothing is decided. Where this returns None,
``Publications.request_received`` gets the request, and names the fault if there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, compiled

if TYPE_CHECKING:
    from sansip.modules.publications.settings import PublicationsSettings
    from sansip.wire.usage import Usage

__all__ = ["Renewal", "read_renewal"]

_address: Final = (
    rf'(?:"[^"\\]*+"[ \t]*+|[{TOKEN_CLASS} \t]*+)'
    rf"<sip:(?:[\w\-.+]++@)?(?:{PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+>"
)
_contact: Final = compiled(rf"Contact: {_address}").fullmatch
_event: Final = compiled(r"Event: ([\w\-.]++)").fullmatch
_match: Final = compiled(rf"SIP-If-Match: ({TOKEN})").fullmatch
_expires: Final = compiled("Expires: ([0-9]{1,9})").fullmatch
_type: Final = compiled(r"Content-Type: ([a-z0-9\-.]++/[a-z0-9\-.+]++)").fullmatch


class Renewal(NamedTuple):
    """``seconds`` None: it names no time; ``type`` "": it names no media type."""

    event: str
    etag: str
    seconds: int | None
    type: str


def read_renewal(usage: Usage, settings: PublicationsSettings) -> Renewal | None:
    """Return what ``usage`` wants; None where more has to be looked at."""
    lines = usage.lines
    event, match = _event(lines.get("event", "")), _match(lines.get("sip-if-match", ""))
    if event is None or match is None or usage.tag is not None or len(usage.body) > settings.size:
        return None
    contact, expires, kind = lines.get("contact"), lines.get("expires"), lines.get("content-type")
    if contact is not None and _contact(contact) is None:
        return None
    seconds, made = None, ""
    if expires is not None:
        found = _expires(expires)
        if found is None:
            return None
        seconds = int(found[1])
    if kind is not None:
        found = _type(kind)
        if found is None:
            return None
        made = found[1]
    return Renewal(event[1], match[1], seconds, made)
