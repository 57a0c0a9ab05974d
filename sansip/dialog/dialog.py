"""A dialog (RFC 3261 12): the state that two user agents keep of each other between requests.

Theory of operation: a dialog is made of the request and the response that began it, on either side, and from
then on it makes the requests that go to the peer and judges those that come from it. It holds values only: it
sends nothing and runs no timer. The usages in the files beside this one define the meaning of a request (a
session, a subscription). Several of them may share one dialog, and each adds its own methods.

The caller answers a request by ``take``, and calls ``refresh`` to accept it: a request that is refused
changes nothing but the sequence number (RFC 3261 12.2.2, RFC 6141 4.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from sansip.dialog.route_set import RouteSet, aim, route_set_of_uac, route_set_of_uas
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import NameAddr, Request, Response, SipUri, Uri

__all__ = [
    "CONFIRMED",
    "EARLY",
    "ENDED",
    "TARGET_REFRESH",
    "Dialog",
    "DialogId",
    "Refusal",
    "has_option",
    "id_at_uac",
    "id_at_uas",
    "is_reliable",
    "needs_sips_contact",
    "target_of",
]

EARLY: Final = "early"
CONFIRMED: Final = "confirmed"
ENDED: Final = "ended"

# RFC 3261 14 (INVITE), RFC 3311 5.1 (UPDATE), RFC 6665 3.1, 3.2 (SUBSCRIBE, NOTIFY), RFC 4488 4 (REFER).
TARGET_REFRESH: Final = frozenset(("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"))

# RFC 3261 8.1.1.5: a sequence number is less than 2**31.
_LARGEST_CSEQ: Final = 2**31 - 1
# RFC 3261 13.2.2.4: the ACK has the same credentials as the INVITE.
_CREDENTIALS: Final = ("authorization", "proxy-authorization")


class DialogId(NamedTuple):
    """The name of a dialog at one of its two ends (RFC 3261 12). A null tag (RFC 2543) is ``""``."""

    call_id: str
    local_tag: str
    remote_tag: str


def id_at_uas(request: Request) -> DialogId:
    """Return the id of the dialog that ``request``, received, belongs to."""
    return DialogId(request.call_id, request.to_tag or "", request.from_tag or "")


def id_at_uac(message: Request | Response) -> DialogId:
    """Return the id of the dialog that a received response, or a request of ours, belongs to."""
    return DialogId(message.call_id, message.from_tag or "", message.to_tag or "")


@dataclass(slots=True)
class Refusal:
    """Why a request is refused, and the answer to give."""

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def target_of(message: Request | Response) -> SipUri | None:
    """Return the URI of the one Contact of ``message``, None where there is none.

    Raises RemoteProtocolError (400) for several, for ``*``, and for a URI that is no SIP or SIPS URI.
    """
    contacts = message.contacts
    # RFC 3261 8.1.1.8: exactly one SIP or SIPS URI.
    if not isinstance(contacts, list) or len(contacts) > 1:
        raise _bad_contact("must hold exactly one URI")
    if not contacts:
        return None
    uri = contacts[0].uri
    if not isinstance(uri, SipUri):
        raise _bad_contact("must be a SIP or SIPS URI")
    return uri


def _bad_contact(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"Contact: {what}", status=400, section="RFC 3261 8.1.1.8", field="Contact")


def needs_sips_contact(request: Request, *, received: bool) -> bool:
    """Return whether our Contact must be a SIPS URI: in ``request``, or in the answer to one ``received``."""
    if _is_sips(request.uri):
        return True
    if not received:
        # RFC 3261 12.1.2: a SIPS URI in the Request-URI or in the topmost Route.
        routes = request.routes
        return bool(routes) and _is_sips(routes[0].uri)
    # RFC 3261 12.1.1: in the Request-URI, the top Record-Route, or the Contact where there is none.
    recorded = request.record_routes
    if recorded:
        return _is_sips(recorded[0].uri)
    target = target_of(request)
    return target is not None and _is_sips(target)


def _is_sips(uri: Uri) -> bool:
    return isinstance(uri, SipUri) and uri.scheme == "sips"


def has_option(message: Request | Response, field: str, tag: str) -> bool:
    """Return whether ``field`` (Supported or Require) lists the option ``tag``; not where it is malformed."""
    try:
        tags = message.typed(field)
    except RemoteProtocolError:
        return False
    return any(one.lower() == tag for one in tags or ())


def is_reliable(response: Response) -> bool:
    """Return whether a provisional ``response`` is sent reliably (RFC 3262 4: never a 100)."""
    return 100 < response.status < 200 and response.has("rseq") and has_option(response, "require", "100rel")


def _party(address: NameAddr, tag: str) -> NameAddr:
    # RFC 3261 12.2.1.1: a null tag is left out.
    return NameAddr.build(address.uri, address.display, {"tag": tag} if tag else None)


class Dialog:
    """One dialog, as one of its two ends sees it. Made by ``from_uac`` or ``from_uas``.

    Attributes:
        id: Call-ID and the two tags.
        local, remote: From and To of our requests, with their tags.
        local_cseq, remote_cseq: the last numbers used, None before the first request.
        route_set: the proxies that our requests pass, the next one first.
        remote_target: where our requests go in the end.
        local_target: the Contact that we gave the peer, without angle brackets.
        secure: whether it began over TLS for a SIPS URI.
        state: EARLY, CONFIRMED or ENDED.
        is_caller: whether we sent the request that began it (and so chose the Call-ID).
    """

    __slots__ = (
        "id",
        "is_caller",
        "local",
        "local_cseq",
        "local_target",
        "remote",
        "remote_cseq",
        "remote_target",
        "route_set",
        "secure",
        "state",
    )

    id: DialogId
    local: NameAddr
    remote: NameAddr
    local_cseq: int | None
    remote_cseq: int | None
    route_set: RouteSet
    remote_target: Uri
    local_target: Uri | None
    secure: bool
    state: str
    is_caller: bool

    # --- made on either side

    @classmethod
    def from_uac(cls, request: Request, response: Response, *, over_tls: bool = False) -> Self:
        """Return the dialog that ``response`` begins at the sender of ``request`` (RFC 3261 12.1.2).

        ``request`` is as it was sent last, ``over_tls`` whether its first hop was TLS. A 1xx
        gives an early dialog, a 2xx a confirmed one. Raises RemoteProtocolError for a
        response that cannot begin one.
        """
        if not 100 < response.status < 300:
            raise RemoteProtocolError(f"a {response.status} begins no dialog", section="RFC 3261 12.1")
        dialog = cls()
        dialog.id = id_at_uac(response)
        dialog.local = _party(request.from_, dialog.id.local_tag)
        dialog.remote = _party(response.to, dialog.id.remote_tag)
        dialog.route_set = route_set_of_uac(response)
        # RFC 3261 20.10 has a Contact in a 1xx as an option, and RFC 2543 even in a 2xx: then the Request-URI
        # is the best known target.
        dialog.remote_target = target_of(response) or request.uri
        dialog.local_target = target_of(request)
        dialog.local_cseq = request.cseq.number
        dialog.remote_cseq = None
        # RFC 3261 12.1.2: over TLS, and for a SIPS Request-URI.
        dialog.secure = over_tls and _is_sips(request.uri)
        dialog.state = EARLY if response.status < 200 else CONFIRMED
        dialog.is_caller = True
        return dialog

    @classmethod
    def from_uas(
        cls, request: Request, local_tag: str, contact: Uri | None = None, *, over_tls: bool = False
    ) -> Self:
        """Return the early dialog that a response to ``request`` begins at the side that answers (12.1.1).

        ``local_tag`` is the To tag of that response, ``contact`` the URI of its Contact,
        ``over_tls`` whether ``request`` came over TLS. ``confirm`` follows with the 2xx.
        Raises RemoteProtocolError (400) for a request that cannot begin one.
        """
        target = target_of(request)
        if target is None:
            # RFC 3261 8.1.1.8: a request that can begin a dialog says where its sender is.
            raise _bad_contact("is missing in a request that begins a dialog")
        dialog = cls()
        dialog.id = DialogId(request.call_id, local_tag, request.from_tag or "")
        dialog.local = _party(request.to, local_tag)
        dialog.remote = _party(request.from_, dialog.id.remote_tag)
        dialog.route_set = route_set_of_uas(request)
        dialog.remote_target = target
        dialog.local_target = None
        dialog.local_cseq = None
        dialog.remote_cseq = request.cseq.number
        # RFC 3261 12.1.1: over TLS, and for a SIPS Request-URI.
        dialog.secure = over_tls and _is_sips(request.uri)
        dialog.state = EARLY
        dialog.is_caller = False
        if contact is not None:
            dialog.move_to(contact)
        return dialog

    @property
    def is_ended(self) -> bool:
        """Whether nothing may be sent in it any longer."""
        return self.state == ENDED

    def confirm(self) -> None:
        """The side that answers sent its 2xx."""
        if self.state == EARLY:
            self.state = CONFIRMED

    def end(self) -> None:
        """The last usage of the dialog is over (RFC 3261 12.3)."""
        self.state = ENDED

    def copy(self) -> Self:
        """Return an independent copy: all parts are values."""
        other = type(self)()
        other.id, other.state, other.is_caller, other.secure = (
            self.id,
            self.state,
            self.is_caller,
            self.secure,
        )
        other.local, other.local_cseq, other.local_target = self.local, self.local_cseq, self.local_target
        other.remote, other.remote_cseq, other.remote_target = (
            self.remote,
            self.remote_cseq,
            self.remote_target,
        )
        other.route_set = self.route_set
        return other

    # --- requests to the peer

    def next_cseq(self) -> int:
        """Use up and return the next number: for a new request, or for one repeated with credentials.

        RFC 3261 12.2.1.1: one higher each time. Raises LocalProtocolError when there is none left.
        """
        number = 1 if self.local_cseq is None else self.local_cseq + 1
        if number > _LARGEST_CSEQ:
            raise LocalProtocolError("the sequence numbers of this dialog are used up (RFC 3261 8.1.1.5)")
        self.local_cseq = number
        return number

    def make(
        self,
        method: str,
        headers: Iterable[tuple[str, object]] = (),
        body: bytes = b"",
        *,
        contact: Uri | None = None,
        number: int | None = None,
    ) -> Request:
        """Return a request within the dialog, without Via (RFC 3261 12.2.1.1).

        A target refresh request carries our Contact: ``contact``, where we have moved, else
        the same as before. ``number``: of its CSeq, one that ``next_cseq`` gave before. Raises
        LocalProtocolError for ACK and CANCEL, and in an ended dialog.
        """
        if method in ("ACK", "CANCEL"):
            raise LocalProtocolError(f"a dialog makes no {method}: it repeats the number of an INVITE")
        if self.state == ENDED:
            raise LocalProtocolError(f"a {method} in a dialog that has ended")
        if contact is not None:
            self.move_to(contact)
        fields: list[tuple[str, object]] = []
        if method in TARGET_REFRESH and self.local_target is not None:
            fields.append(("Contact", f"<{self.local_target}>"))
        fields += headers
        return self._request(method, self.next_cseq() if number is None else number, fields, body)

    def ack(self, invite: Request, headers: Iterable[tuple[str, object]] = (), body: bytes = b"") -> Request:
        """Return the ACK for the 2xx to ``invite`` as it was sent last (RFC 3261 13.2.2.4)."""
        # The credentials of the INVITE: a proxy on the way may ask for them, and cannot challenge an ACK.
        fields: list[tuple[str, object]] = [
            (key, value) for key in _CREDENTIALS for value in invite.get_all(key)
        ]
        fields += headers
        # Its number, whatever was sent since.
        return self._request("ACK", invite.cseq.number, fields, body)

    def _request(
        self, method: str, number: int, headers: Iterable[tuple[str, object]], body: bytes
    ) -> Request:
        uri, routes = aim(self.remote_target, self.route_set)
        fields: list[tuple[str, object]] = [("Route", route) for route in routes]
        fields += (
            ("Max-Forwards", "70"),
            # RFC 3261 12.2.1.1: the remote URI and tag in To, the local ones in From.
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.id.call_id),
            ("CSeq", f"{number} {method}"),
        )
        fields += headers
        return Request.build(method, uri, fields, body)

    def move_to(self, contact: Uri) -> None:
        """Say ``contact`` from now on: the next target refresh tells the peer.

        Raises LocalProtocolError for one that the dialog cannot have.
        """
        # RFC 3261 12.2.1.1: in a secure dialog our Contact is a SIPS URI.
        if self.secure and not _is_sips(contact):
            raise LocalProtocolError(f"{contact}: the Contact of a secure dialog is a SIPS URI")
        self.local_target = contact

    # --- requests of the peer

    def take(self, request: Request) -> Refusal | None:
        """Judge a request of the peer and note its number (RFC 3261 12.2.2); None where it is in order.

        It is not yet accepted: ``refresh`` follows where it is. ACK and CANCEL belong to
        their INVITE and are not to be given here.
        """
        if self.state == ENDED:
            return Refusal(481)
        number = request.cseq.number
        # RFC 3261 12.2.2: lower is out of order. The same number again in another transaction is no
        # repeated message (the transaction absorbs these), so the request was taken before: it
        # must not act twice. Gaps are in order.
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return Refusal(500, "CSeq out of order")
        if request.method in TARGET_REFRESH:
            try:
                target_of(request)
            except RemoteProtocolError as error:
                return Refusal(400, error.reason)
        self.remote_cseq = number
        return None

    def refresh(self, message: Request | Response) -> None:
        """Take the peer's Contact of a target refresh request that we accept, or of a response to ours.

        RFC 6141 4.6, 4.7: with a 2xx or a reliable provisional response, sent or received.
        """
        target = target_of(message)
        if target is not None:
            self.remote_target = target

    def answered(self, request: Request, response: Response) -> None:
        """Note a ``response`` to a ``request`` of ours in this dialog, or to the one that began it.

        Raises RemoteProtocolError, with nothing changed, for one of which Contact or Record-Route
        cannot be used.
        """
        if self.state == ENDED:
            return
        method = request.method
        if method in TARGET_REFRESH and (200 <= response.status < 300 or is_reliable(response)):
            target = target_of(response)
            if self.state == EARLY and method == "INVITE" and response.status >= 200:
                # RFC 3261 13.2.2.4: the route set is computed anew of the 2xx, and nothing else: requests
                # may have been sent since.
                self.route_set = route_set_of_uac(response)
                self.state = CONFIRMED
            if target is not None:
                self.remote_target = target
        elif method == "INVITE" and response.status >= 300 and self.state == EARLY:
            # RFC 3261 12.3: the early dialogs end with the request that began them.
            self.state = ENDED

    def __repr__(self) -> str:
        return f"<Dialog {self.id.call_id} {self.state} {self.id.local_tag} {self.id.remote_tag}>"
