"""The address-of-record a URI means: the key under which bindings are kept.

Theory of operation: many URIs name one user. The code removes the parts of the URI that do not decide which
user is meant, and writes escapes in one way. A host that is another name of this server becomes the server's
first domain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sansip.wire import SipUri, Uri, aor_of
from sansip.wire.host import plain_host
from sansip.wire.uri import escape_user, unescape

__all__ = ["Addresses", "address_of_record"]

# Users that are the same escaped and unescaped: nearly all of them.
_PLAIN = re.compile(r"[A-Za-z0-9\-_.+]*")


def address_of_record(uri: Uri, domain: str = "") -> str:
    """Return the canonical address-of-record of ``uri``, as ``sip:user@host``; with ``domain`` as its host.

    For To in a REGISTER, and for the Request-URI when bindings are looked up.
    The user keeps its case, the host does not (RFC 3261 10.3 step 5, 19.1.4).
    """
    if not isinstance(uri, SipUri):
        return aor_of(uri)
    user = uri.user
    # RFC 3261 10.3 step 5: parameters go, escapes are undone; they are done again
    # in one way only, so that a NUL or an "@" in a user stays one (RFC 4475 3.1.1.4).
    if user is not None and _PLAIN.fullmatch(user) is None:
        user = escape_user(unescape(user))
    # RFC 5630 5.2: sip and sips name the same resource. The port goes too: which
    # server is meant was settled by 10.3 step 1, and it has no two users of one name.
    host = domain or uri.host
    if ":" in host:
        host = f"[{host}]"
    return f"sip:{host}" if user is None else f"sip:{user}@{host}"


class Addresses:
    """Which addresses-of-record URIs mean at a server for ``domains``; without any, every host is its own."""

    __slots__ = ("domains",)

    def __init__(self, domains: Sequence[str] = ()) -> None:
        self.domains = domains

    def of(self, uri: Uri) -> str:
        """Return the address-of-record that ``uri``, which is ours, means.

        Addresses of this server mean its first domain, so that a phone that
        registered with the server's address is found under its name, too.
        """
        domains = self.domains
        if not domains or not isinstance(uri, SipUri) or uri.host in domains:
            return address_of_record(uri)
        plain = plain_host(uri.host)
        return address_of_record(uri, plain if plain in domains else domains[0])
