"""Whether credentials were made for the request that carries them (RFC 7616 3.4.6).

Theory of operation: the digest covers the parameter ``uri``, not the Request-URI. So a server has to compare
the two, or an attacker on the way could send a call that its caller meant for bob to a number that costs
money. But in honest requests the two may differ, too, and RFC 8760 2.6 (item 6) leaves the choice to the
server. This server accepts a ``uri`` that names the same thing as the Request-URI:

* the same user and host. This server ignores the password, parameters and headers of a URI, and a port that
  is the scheme's own (phones write ``;transport=tcp`` into one of the two only, and a proxy on the way may do
  so). It compares ``maddr``, unless ``maddr`` leads to this server (which takes it off, RFC 3261 16.4);
* any host and port of this server for any other one of this server: a proxy in front translates a domain, a
  phone hashes the address and sends the name;
* a telephone number as ``tel:`` and as user of this server (RFC 3261 19.1.6);
* this server without a user, whatever the Request-URI: SIPp, pyVoIP and some old phones hash just that. A
  digest that was made for a user cannot be turned into one of these, so only those phones have this weaker
  check;
* in a REGISTER any user: its Request-URI has none (RFC 3261 10.2), and some phones
  hash their own address.
"""

from __future__ import annotations

from collections.abc import Callable

from sansip.errors import RemoteProtocolError
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS, TLS
from sansip.wire import SipUri, TelUri, parse_uri
from sansip.wire.host import host_key
from sansip.wire.tel import bare_number
from sansip.wire.uri import Uri

__all__ = ["designates"]

# Whether (host, port) is this server's.
Serves = Callable[[str, int | None], bool]

_PORTS = {"sip": DEFAULT_PORT, "sips": DEFAULT_PORTS[TLS]}


def designates(text: str, method: str, uri: Uri, serves: Serves) -> bool:
    """Whether the digest's ``uri`` (``text``) means the same as the Request-URI ``uri`` of ``method``."""
    if text == str(uri):
        return True
    try:
        hashed = parse_uri(text)
    except RemoteProtocolError:
        return False
    if isinstance(hashed, SipUri) and serves(hashed.host, None) and _aside(hashed, serves) is None:
        if hashed.user is None:
            return True
        if method == "REGISTER":
            return isinstance(uri, SipUri) and serves(uri.host, None)
    if isinstance(hashed, TelUri) or isinstance(uri, TelUri):
        number = _number(hashed, serves)
        return number is not None and number == _number(uri, serves)
    if isinstance(hashed, SipUri) and isinstance(uri, SipUri):
        return _parts(hashed, serves) == _parts(uri, serves)
    return False


def _parts(uri: SipUri, serves: Serves) -> tuple[object, ...]:
    """Return a key that is equal for SIP URIs with the same meaning (RFC 3261 19.1.4, and see above)."""
    maddr = _aside(uri, serves)
    if serves(uri.host, None):
        return (uri.scheme, uri.user_decoded, maddr)
    # RFC 3261 19.1.2: the scheme says which port is meant where none is written.
    return (uri.scheme, uri.user_decoded, maddr, host_key(uri.host), uri.port or _PORTS[uri.scheme])


def _aside(uri: SipUri, serves: Serves) -> str | None:
    """Return where ``maddr`` leads, if that is not here."""
    maddr = uri.params.get("maddr")
    return None if maddr is None or serves(maddr.strip("[]").lower(), None) else maddr


def _number(uri: Uri, serves: Serves) -> tuple[str, str] | None:
    """Return the telephone number and its context that ``uri`` names, None for any other."""
    if isinstance(uri, TelUri):
        return bare_number(uri.number), (uri.params.get("phone-context") or "").lower()
    if not isinstance(uri, SipUri) or uri.user is None or _aside(uri, serves) is not None:
        return None
    if uri.scheme != "sip" or not serves(uri.host, None):
        return None
    # RFC 3261 19.1.6: the parameters of a number stand behind it, in the user.
    number, *params = (uri.user_decoded or "").split(";")
    context = dict(pair.partition("=")[::2] for pair in params).get("phone-context", "")
    return bare_number(number), context.lower()
