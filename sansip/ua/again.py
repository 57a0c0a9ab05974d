"""An INVITE that was refused, and is sent once more: to another target, or for a longer session.

Theory of operation: a 3xx names other targets. The user agent calls them one after the other, if the caller
allows it (RFC 3261 8.1.3.4). A 422 names the shortest session that its sender takes (RFC 4028 7.3). The
further INVITE has the Call-ID, From and To of the one before, and the next number (RFC 3261 8.1.3.5). Both
are bounded: a peer cannot keep us calling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sansip.dialog import interval_after_422
from sansip.errors import RemoteProtocolError
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.wire import NameAddr, Request, Response

__all__ = ["Again", "Further"]

# RFC 3261 21.3: a 305 names a proxy and a 380 another service, neither another place of the callee.
_FOLLOWED: Final = frozenset((300, 301, 302))


class Further(NamedTuple):
    """The INVITE to send now; ``redirected``: it goes to another place than the one before."""

    request: Request
    redirected: bool


class Again:
    """The further attempts that may follow the refusals of one call.

    Args:
        request: the INVITE, without Via and Contact.
        redirects: how many others may be called, 0 for none.
        most: how often a longer session may be asked for.
    """

    __slots__ = ("_base", "_longer", "_redirects", "_targets", "_tried")

    def __init__(self, request: Request, redirects: int, most: int) -> None:
        self._base = request
        self._redirects = redirects
        self._longer = most
        self._targets: list[SipUri] = []
        # RFC 3261 8.1.3.4: a URI is in the target set once at the most.
        self._tried = {str(request.uri)}

    def after(self, sent: Request, response: Response) -> Further | None:
        """Return the attempt that follows the refusal ``response`` of ``sent``, None if there is none."""
        if response.status == 422:
            return self._longer_session(sent, response)
        if response.status >= 600:
            # RFC 3261 21.6: it holds for every place.
            self._targets.clear()
        elif response.status in _FOLLOWED and self._redirects:
            self._note(response)
        if not self._targets or not self._redirects:
            return None
        self._redirects -= 1
        return Further(self._next(sent, self._targets.pop(0)), True)

    def _longer_session(self, sent: Request, response: Response) -> Further | None:
        interval = interval_after_422(sent, response)
        if interval is None or not self._longer:
            return None
        self._longer -= 1
        following = self._next(sent)
        # RFC 4028 7.3: the Min-SE of the 422, and a Session-Expires that is not below it.
        following.set("Session-Expires", str(interval))
        following.set("Min-SE", str(interval))
        # Those that are called later get the same.
        self._base = following
        return Further(following, False)

    def _next(self, sent: Request, uri: SipUri | None = None) -> Request:
        following = self._base.copy()
        if uri is not None:
            following.set_uri(uri)
        following.set("CSeq", f"{sent.cseq.number + 1} INVITE")
        return following

    def _note(self, response: Response) -> None:
        """Add the Contacts of a 3xx to those that are called, the best first."""
        try:
            contacts = response.contacts
        except RemoteProtocolError:
            return
        if not isinstance(contacts, list):
            return
        for one in sorted(contacts, key=_worth, reverse=True):
            uri = one.uri
            if len(self._targets) >= self._redirects:
                return
            if not isinstance(uri, SipUri) or uri.scheme != self._base.uri.scheme:
                # RFC 3261 21.3.3: only the caller can decide about a telephone number or a web page; RFC 5630
                # 5.3: and about a step between sip and sips.
                continue
            # RFC 3261 19.1.5: header fields and a method are not taken from strangers.
            params = {name: value for name, value in uri.params.items() if name != "method"}
            uri = uri.replace(params=params, headers=())
            if str(uri) not in self._tried:
                self._tried.add(str(uri))
                self._targets.append(uri)


def _worth(contact: NameAddr) -> float:
    # RFC 3261 20.10: without a q it is 1.
    try:
        return float(contact.params.get("q") or 1)
    except ValueError:
        return 0.0
