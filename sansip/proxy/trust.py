"""Our users and trusted peers: the trust domain of RFC 3325 as forwarding needs it.

Theory of operation: a message that leaves must not carry what only we may see, and one
that comes in must not claim what only we may say. Three questions decide about that,
and all parts of the server ask them here: whose name is this, whose realm is this, and
is that address one of ours or one that the operator trusts?

A name of ours is one however it is written (``identity_of``): phones show the user, and
few people look at a dot at the end of a domain, a port, or the scheme.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from sansip.proxy.dialog_mark import sender
from sansip.wire import OtherUri, SipUri
from sansip.wire.host import parse_host, plain_host, split_host_port
from sansip.wire.tel import bare_number
from sansip.wire.uri import unescape

if TYPE_CHECKING:
    from sansip.transport import Flow, Listeners
    from sansip.wire import TelUri

__all__ = ["OF_TRUST", "TrustDomain", "identity_of"]

# RFC 3325: fields of a request that a trust domain looks at.
OF_TRUST: Final = re.compile("(?i)\\n(?:p-|remote-party-id|alert-info)")
# RFC 3860, RFC 3859: schemes whose URIs name a user at a domain, as sip does.
_NAMING: Final = ("im", "pres")
# Realms that a route asked for beside ours, in the process's life.
_MOST: Final = 1_000


class TrustDomain:
    """Our names, our realms, and the trusted peers.

    Args:
        listeners: ours, which know our domains.
        realms: those in which we ask for passwords.
        authenticates: whether this node asks users for passwords. If it does not, no name proves anything.
        believes: whether the operator trusts the peer of a flow.
        peers: how many peers the operator trusts; ``count`` tells of changes.
    """

    __slots__ = ("_believes", "_listeners", "_realms", "authenticates", "exists")

    def __init__(
        self,
        listeners: Listeners,
        realms: Iterable[str],
        authenticates: bool,
        believes: Callable[[Flow], bool],
        peers: int = 0,
    ) -> None:
        self._listeners = listeners
        self._realms = {_folded(realm) for realm in realms}
        self._believes = believes
        self.authenticates = authenticates
        # Whether there is a trust domain: passwords are asked for, or peers are trusted.
        self.exists = False
        self.count(peers)

    def count(self, peers: int) -> None:
        """The operator trusts so many peers from now on."""
        self.exists = self.authenticates or peers > 0

    def ask_in(self, realms: Iterable[str]) -> None:
        """Ask for passwords in ``realms`` from now on; phones may still answer earlier challenges."""
        self._realms |= {_folded(realm) for realm in realms}

    def owns(self, uri: SipUri | TelUri | OtherUri) -> bool:
        """Whether ``uri`` names a user in a domain of ours, however it is written."""
        if type(uri) is SipUri:
            # RFC 3261 19.1.1: a port belongs to a host, and does not identify a user.
            return self._listeners.serves(uri.host)
        host = identity_of(uri)[1]
        return bool(host) and self._listeners.serves(host)

    def sender(self, uri: SipUri | TelUri | OtherUri, host: str) -> str:
        """Return the sealed name of the user at ``uri`` who sends from ``host``: "" for none of our users."""
        return sender(self.user(uri), host) if self.authenticates and self.owns(uri) else ""

    def user(self, uri: SipUri | TelUri | OtherUri) -> str:
        """Return ``user@domain`` of the user at ``uri``, "" if it is none of our users."""
        if not self.authenticates or not self.owns(uri):
            return ""
        user, host = identity_of(uri)
        return f"{user}@{host}"

    def trusts(self, flow: Flow) -> bool:
        """Whether the peer of ``flow`` is this server, or one that the operator trusts.

        By its address, or by the certificate that it has shown on this connection.
        """
        own = self._listeners.is_own_address(flow.host, flow.port, flow.transport)
        return own or self._believes(flow)

    # --- realms

    def asks_in(self, realm: str) -> None:
        """Note that a route asks for passwords in ``realm``."""
        if len(self._realms) < _MOST:
            self._realms.add(_folded(realm))

    def is_realm(self, realm: str | None) -> bool:
        """Whether passwords for ``realm`` are those of our users."""
        return self.authenticates and realm is not None and _folded(realm) in self._realms


def identity_of(uri: SipUri | TelUri | OtherUri) -> tuple[str, str]:
    """Return user and host of ``uri``: ("", "") where it has none."""
    if isinstance(uri, SipUri):
        return uri.user_decoded or "", plain_host(uri.host)
    if isinstance(uri, OtherUri):
        if uri.scheme not in _NAMING:
            return "", ""
        user, _, rest = uri.opaque.partition("?")[0].rpartition("@")
        place = split_host_port(rest.partition(";")[0])
        return ("", "") if place is None else (unescape(user), plain_host(place[0]))
    # RFC 3966 5.1.5: a domain in which a local number holds.
    context = uri.params.get("phone-context") or ""
    host = None if context[:1] == "+" else parse_host(unescape(context).strip("[]"))
    return ("", "") if host is None else (bare_number(uri.number), plain_host(host))


def _folded(realm: str) -> str:
    # Compared more freely than RFC 7616 does: credentials must not leave for a realm that a phone takes for
    # ours.
    return " ".join(realm.split()).casefold()
