"""When two URIs are the same (RFC 3261 19.1.4, RFC 5954 4.2, RFC 3966 4).

Theory of operation: ``uri_equal`` is the rule itself. It is not transitive (a
parameter in one URI only is ignored), so no hash can stand for it; instead
``uri_key`` gives what equal URIs always share, and code that keeps many URIs
finds the few candidates by key and asks ``uri_equal`` about those.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Final

from sansip.wire.host import host_key, host_text
from sansip.wire.tel import TelUri, bare_number
from sansip.wire.uri import OtherUri, SipUri, Uri, escape_user, unescape

__all__ = ["aor_of", "uri_equal", "uri_key"]

# RFC 3261 19.1.4: these count even when only one of the URIs has them. The
# text names maddr in a rule of its own, and "the same is true for the
# transport-parameter": its absence never matches its presence.
_NEVER_IGNORED: Final = ("user", "ttl", "method", "maddr", "transport")
_ESCAPED: Final = re.compile("%([0-9A-Fa-f]{2})")
_RESERVED: Final = ";/?:@&=+$,%"


def _plain(text: str) -> str:
    """Return ``text`` with escapes undone, except of reserved characters (RFC 3261 19.1.4)."""
    if "%" not in text:
        return text

    def one(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        # Beyond ASCII the escape stays: no URI may hold the character itself.
        return match[0].upper() if character in _RESERVED or character > "\x7f" else character

    return _ESCAPED.sub(one, text)


def _folded(text: str | None) -> str | None:
    return None if text is None else _plain(text).lower()


def uri_key(uri: Uri) -> Hashable:
    """Return a dict's key that is the same for all URIs equal to ``uri``."""
    if isinstance(uri, SipUri):
        user = "" if uri.user is None else _plain(uri.user)
        return (uri.scheme, uri.user is None, user, host_key(uri.host), uri.port)
    if isinstance(uri, TelUri):
        return ("tel", bare_number(uri.number))
    return (uri.scheme, uri.opaque)


def uri_equal(a: Uri, b: Uri) -> bool:
    """Return whether the two are equivalent (RFC 3261 19.1.4; RFC 3966 4 for tel)."""
    if isinstance(a, SipUri):
        return isinstance(b, SipUri) and _sip_equal(a, b)
    if isinstance(a, TelUri):
        return isinstance(b, TelUri) and _tel_equal(a, b)
    # Other schemes have rules of their own; only the scheme's case is known not to matter.
    return isinstance(b, OtherUri) and a.scheme == b.scheme and a.opaque == b.opaque


def _sip_equal(a: SipUri, b: SipUri) -> bool:
    if a.scheme != b.scheme or a.port != b.port:
        return False
    if a.host != b.host and host_key(a.host) != host_key(b.host):
        return False
    # The userinfo is compared with regard to case.
    if a.user != b.user and (a.user is None or b.user is None or _plain(a.user) != _plain(b.user)):
        return False
    if a.password != b.password:
        if a.password is None or b.password is None or _plain(a.password) != _plain(b.password):
            return False
    if str(a) == str(b):
        return True
    ours, theirs = a.params, b.params
    for name in _NEVER_IGNORED:
        if (name in ours) != (name in theirs):
            return False
    for name, value in ours.items():
        if name in theirs and value != theirs[name] and _folded(value) != _folded(theirs[name]):
            return False
    if len(a.headers) != len(b.headers):
        return False
    return _header_set(a) == _header_set(b)


def _header_set(uri: SipUri) -> list[tuple[str, str]]:
    # A header's own comparison rule would need its parser; names and values
    # are compared without regard to case, which RFC 3261 7.3.1 makes the default.
    return sorted([(_plain(name).lower(), _plain(value).lower()) for name, value in uri.headers])


def _tel_equal(a: TelUri, b: TelUri) -> bool:
    # RFC 3966 4: global or local alike, equal without separators, and the same
    # parameters, whose order does not matter.
    if bare_number(a.number) != bare_number(b.number) or a.params.keys() != b.params.keys():
        return False
    for name, value in a.params.items():
        other = b.params[name]
        if value == other:
            continue
        if value is None or other is None:
            return False
        if name in {"ext", "isub", "phone-context"}:
            value, other = bare_number(_plain(value)), bare_number(_plain(other))
        if _plain(value).lower() != _plain(other).lower():
            return False
    return True


def aor_of(uri: Uri) -> str:
    """Return the canonical text of an address-of-record (RFC 3261 10.3 step 5).

    Parameters, headers and password go, the user is unescaped and escaped
    again in one way only, and the host is in lower case. Equal users at equal
    hosts give equal texts.
    """
    if isinstance(uri, SipUri):
        at = "" if uri.user is None else escape_user(unescape(uri.user)) + "@"
        return f"{uri.scheme}:{at}{host_text(uri.host, uri.port)}"
    if isinstance(uri, TelUri):
        context = uri.params.get("phone-context")
        number = f"tel:{bare_number(uri.number)}"
        return number if context is None else f"{number};phone-context={bare_number(context)}"
    return str(uri)
