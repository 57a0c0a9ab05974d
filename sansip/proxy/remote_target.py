"""The part of a URI that says where it leads, as text to be compared.

Theory of operation: the remote target of a dialog comes in a Contact and goes back in a
Request-URI (RFC 3261 12.2.1.1), and a proxy sees both. They are nearly the same
text: a user agent may leave out parameters and header fields that are not for a
Request-URI (19.1.1), and write escapes and case as it likes. So what is compared is the
user, host, port, and the parameters that decide the way (transport, maddr, gr).
Nothing is parsed, for this is done for each request of a dialog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.wire import parse_name_addr
from sansip.wire.uri import unescape

if TYPE_CHECKING:
    from sansip.wire import Request, Response

__all__ = ["address_of", "contact_of", "uri_of"]

# RFC 3261 19.1.1, RFC 5627 3.
_DECIDING: Final = frozenset(("transport", "maddr", "gr"))


def address_of(uri: str) -> str:
    """Return what is equal for two spellings of a URI that lead to the same place."""
    # RFC 3261 25.1: "@" stands before the host and nowhere else.
    before, at, rest = uri.rpartition("@")
    if not at:
        before, _, rest = rest.partition(":")
    host, semicolon, params = rest.partition("?")[0].lower().partition(";")
    if "%" in before:
        before = unescape(before)
    if not semicolon:
        return f"{before}@{host}"
    if "%" in params:
        # RFC 3261 19.1.4: an escaped name is the same name.
        params = unescape(params).lower()
    deciding = [one for one in params.split(";") if one.partition("=")[0] in _DECIDING]
    return ";".join((f"{before}@{host}", *sorted(deciding)))


def uri_of(value: str) -> str:
    """Return the URI of a Contact or Record-Route value, "" of a malformed one."""
    if '"' not in value:
        _, bracket, within = value.partition("<")
        return within.partition(">")[0] if bracket else value.partition(";")[0].strip()
    # RFC 3261 25.1: a display name may hold anything.
    try:
        return str(parse_name_addr(value, "Contact", "RFC 3261 20.10").uri)
    except RemoteProtocolError:
        return ""


def contact_of(message: Request | Response) -> str:
    """Return the URI in the first Contact of ``message``, "" where there is none."""
    line = message.first_line("contact")
    if line is None:
        return ""
    if '"' not in line and "," not in line:
        return uri_of(line.partition(":")[2])
    values = message.values("contact")
    return uri_of(values[0]) if values else ""
