"""A user agent's bookkeeping: tags, branches, CSeq numbers, dialogs.

Theory of operation: an agent writes requests and responses for a test that names only the fields that matter.
A given field replaces the default of that name, so that every field can be made wrong on purpose. It sends
nothing and knows no clock: ``sansip.testing.network`` moves the octets on virtual time,
``sansip_conformance`` over sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sansip.errors import RemoteProtocolError
from sansip.testing.draft import Draft
from sansip.transport.transports import PARAMETERS, UDP
from sansip.wire import REASONS, Request, Response, SipUri, header_key, parse_name_addr, parse_uri

__all__ = ["Agent", "Dialog"]

# Requests that carry a Contact (RFC 3261 table 2, RFC 3311, RFC 3515, RFC 6665).
_WITH_CONTACT = frozenset(("INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY", "REGISTER"))
# Requests whose responses make a dialog (RFC 3261 12.1, RFC 6665, RFC 3515).
_DIALOG_MAKERS = frozenset(("INVITE", "SUBSCRIBE", "REFER"))
# Requests that an agent with a dialog means to send within it.
_IN_DIALOG = frozenset(("BYE", "PRACK", "UPDATE", "INFO", "NOTIFY"))


@dataclass(slots=True)
class Dialog:
    """One side's view of a dialog (RFC 3261 12)."""

    call_id: str
    local: str
    remote: str
    target: str
    routes: list[str]
    cseq: int


@dataclass(slots=True)
class Agent:
    """One user agent.

    Attributes:
        name: its name in a test.
        aor: its address-of-record, which stands in From.
        address: ``host:port`` as it stands in Via and Contact.
        token: gives text that was never given before.
        domain: default Request-URI of a REGISTER is ``sip:domain``.
        user: the user part of its Contact; that of ``aor`` by default.
    """

    name: str
    aor: str
    address: str
    token: Callable[[], str]
    domain: str
    user: str = ""
    dialog: Dialog | None = None
    invite: Draft | None = None
    last_response: Response | None = None
    last_request: Request | None = None
    _sent: dict[tuple[str, str], Draft] = field(default_factory=dict)
    _cseq: int = 0
    _tags: dict[str, str] = field(default_factory=dict)
    _register_call_id: str = ""

    # --- requests

    def request(
        self,
        method: str,
        uri: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        *,
        without: Iterable[str] = (),
        body: bytes = b"",
        transport: str = UDP,
        in_dialog: bool | None = None,
        of: Draft | Response | None = None,
    ) -> Draft:
        """Return a request with the missing fields filled in.

        ``of`` names the INVITE of a CANCEL, or the response of an ACK; the latest
        one is taken without it. ``in_dialog`` is true by default for requests
        that make sense nowhere else.
        """
        if method == "CANCEL":
            defaults, uri = self._cancel(of if isinstance(of, Draft) else self.invite, uri)
        elif method == "ACK":
            defaults, uri = self._ack(of if isinstance(of, Response) else self.last_response, uri, transport)
        else:
            dialog = self.dialog
            if in_dialog is None:
                in_dialog = method in _IN_DIALOG and dialog is not None
            if in_dialog:
                if dialog is None:
                    raise ValueError(f"{self.name} has no dialog to send {method} in")
                defaults, uri = self._within(dialog, method, uri, transport)
            else:
                defaults, uri = self._initial(method, uri, transport)
        draft = Draft(f"{method} {uri} SIP/2.0", _merge(defaults, list(headers), set(without), body), body)
        self.sent(draft)
        return draft

    def _initial(self, method: str, uri: str | None, transport: str) -> tuple[list[tuple[str, str]], str]:
        self._cseq += 1
        to = self.aor
        if method == "REGISTER":
            # RFC 3261 10.2: all registrations of a client share a Call-ID.
            self._register_call_id = self._register_call_id or f"{self.token()}@{self.name}"
            call_id = self._register_call_id
            uri = f"sip:{self.domain}" if uri is None else uri
        else:
            call_id = f"{self.token()}@{self.name}"
            uri = f"sip:{self.domain}" if uri is None else uri
            to = _plain(uri)
        defaults = self._common(transport, self._via_branch())
        defaults += [
            ("From", f"<{self.aor}>;tag={self.token()}"),
            ("To", f"<{to}>"),
            ("Call-ID", call_id),
            ("CSeq", f"{self._cseq} {method}"),
        ]
        if method in _WITH_CONTACT:
            defaults.append(("Contact", f"<{self.contact(transport)}>"))
        return defaults, uri

    def _within(
        self, dialog: Dialog, method: str, uri: str | None, transport: str
    ) -> tuple[list[tuple[str, str]], str]:
        dialog.cseq += 1
        self._cseq = max(self._cseq, dialog.cseq)
        target, routes = _route(dialog)
        defaults = self._common(transport, self._via_branch())
        defaults += [("Route", value) for value in routes]
        defaults += [
            ("From", dialog.local),
            ("To", dialog.remote),
            ("Call-ID", dialog.call_id),
            ("CSeq", f"{dialog.cseq} {method}"),
        ]
        if method in _WITH_CONTACT:
            defaults.append(("Contact", f"<{self.contact(transport)}>"))
        return defaults, target if uri is None else uri

    def _cancel(self, invite: Draft | None, uri: str | None) -> tuple[list[tuple[str, str]], str]:
        if invite is None:
            raise ValueError(f"{self.name} has sent no INVITE to cancel")
        # RFC 3261 9.1
        return _hop_by_hop(invite, "CANCEL", invite.get("to") or ""), invite.uri if uri is None else uri

    def _ack(
        self, response: Response | None, uri: str | None, transport: str
    ) -> tuple[list[tuple[str, str]], str]:
        invite = self._sent.get((response.via.branch or "", "INVITE")) if response is not None else None
        if response is None or invite is None:
            raise ValueError(f"{self.name} has received no response to an INVITE to acknowledge")
        if response.status >= 300:
            # RFC 3261 17.1.1.3
            return _hop_by_hop(invite, "ACK", response.get("to") or ""), invite.uri if uri is None else uri
        # RFC 3261 13.2.2.4
        dialog = self._dialog_of(response, invite)
        target, routes = _route(dialog)
        defaults = self._common(transport, self._via_branch())
        defaults += [("Route", value) for value in routes]
        number = (invite.get("cseq") or "1").split()[0]
        defaults += [
            ("From", dialog.local),
            ("To", dialog.remote),
            ("Call-ID", dialog.call_id),
            ("CSeq", f"{number} ACK"),
        ]
        return defaults, target if uri is None else uri

    def _common(self, transport: str, branch: str) -> list[tuple[str, str]]:
        return [
            ("Via", f"SIP/2.0/{transport.upper()} {self.address};branch={branch}"),
            ("Max-Forwards", "70"),
        ]

    def _via_branch(self) -> str:
        return f"z9hG4bK{self.token()}"

    def contact(self, transport: str = UDP) -> str:
        """Return the URI of this agent's Contact."""
        user = self.user or _user(self.aor)
        parameter = PARAMETERS[transport]
        return f"sip:{user}@{self.address}{parameter}" if user else f"sip:{self.address}{parameter}"

    def sent(self, draft: Draft) -> None:
        """Note that ``draft`` was sent, so that its response and ACK can be related to it."""
        if not draft.is_request:
            return
        self._sent[_branch(draft.get("via")), draft.method] = draft
        if draft.method == "INVITE":
            self.invite = draft

    # --- responses

    def request_of(self, response: Response) -> Draft | None:
        """Return the request that ``response`` answers, by branch and method (RFC 3261 17.1.3)."""
        try:
            return self._sent.get((response.via.branch or "", response.cseq.method))
        except RemoteProtocolError:
            return None

    def received(self, message: Request | Response) -> None:
        """Note a message that came in: dialogs follow from responses."""
        if isinstance(message, Request):
            if message.method != "ACK":
                self.last_request = message
            return
        request = self.request_of(message)
        if request is None:
            return
        if request.method == "INVITE" and message.status > 100:
            self.last_response = message
        if request.method in _DIALOG_MAKERS and 101 <= message.status < 300 and message.to_tag is not None:
            self.dialog = self._dialog_of(message, request)

    def _dialog_of(self, response: Response, request: Draft) -> Dialog:
        """RFC 3261 12.1.2: the client's view."""
        contact = response.get("contact")
        target = str(parse_name_addr(contact, "Contact", "RFC 3261 20.10").uri) if contact else request.uri
        number = int((request.get("cseq") or "1").split()[0])
        known = self.dialog
        routes = list(reversed(response.values("record-route")))
        if known is not None and known.call_id == response.call_id:
            number = max(number, known.cseq)
            if ";tag=" in (request.get("to") or ""):
                # RFC 3261 12.2.1.2: a target refresh leaves the route set alone.
                routes = known.routes
        return Dialog(
            response.call_id,
            request.get("from") or "",
            response.get("to") or "",
            target,
            routes,
            number,
        )

    # --- responses

    def tag_for(self, request: Request) -> str:
        """Return this agent's To tag for the Call-ID of ``request``."""
        tag = self._tags.get(request.call_id)
        if tag is None:
            tag = self._tags[request.call_id] = self.token()
        return tag

    def reply(
        self,
        request: Request,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        *,
        without: Iterable[str] = (),
        body: bytes = b"",
        transport: str = UDP,
        tag: str | None = None,
    ) -> Draft:
        """Return a response to ``request`` with the missing fields filled in (RFC 3261 8.2.6)."""
        if reason is None:
            reason = REASONS.get(status) or REASONS.get(status // 100 * 100) or "Unknown"
        to = request.get("to") or ""
        if status > 100 and ";tag=" not in to:
            to = f"{to};tag={tag or self.tag_for(request)}"
        defaults = [("Via", value) for value in request.get_all("via")]
        makes_dialog = request.method in _DIALOG_MAKERS and 101 <= status < 300
        if makes_dialog:
            # RFC 3261 12.1.1
            defaults += [("Record-Route", value) for value in request.get_all("record-route")]
        defaults += [
            ("From", request.get("from") or ""),
            ("To", to),
            ("Call-ID", request.get("call-id") or ""),
            ("CSeq", request.get("cseq") or ""),
        ]
        if makes_dialog:
            defaults.append(("Contact", f"<{self.contact(transport)}>"))
            contact = request.get("contact")
            known = self.dialog
            refreshes = (
                known is not None
                and known.call_id == request.call_id
                and ";tag=" in (request.get("to") or "")
            )
            if contact:
                self.dialog = Dialog(
                    request.call_id,
                    to,
                    request.get("from") or "",
                    str(parse_name_addr(contact, "Contact", "RFC 3261 20.10").uri),
                    known.routes if known is not None and refreshes else request.values("record-route"),
                    self._cseq,
                )
        return Draft(f"SIP/2.0 {status} {reason}", _merge(defaults, list(headers), set(without), body), body)


def _merge(
    defaults: Sequence[tuple[str, str]], given: Sequence[tuple[str, str]], without: set[str], body: bytes
) -> list[tuple[str, str]]:
    """Put the given fields in the place of the defaults of the same name; add Content-Length."""
    gone = {header_key(name) for name in without}
    named = {header_key(name) for name, _ in given}
    merged: list[tuple[str, str]] = []
    placed: set[str] = set()
    for name, value in defaults:
        key = header_key(name)
        if key in named:
            if key not in placed:
                placed.add(key)
                merged += [pair for pair in given if header_key(pair[0]) == key]
        elif key not in gone:
            merged.append((name, value))
    merged += [pair for pair in given if header_key(pair[0]) not in placed]
    if "content-length" not in named and "content-length" not in gone:
        merged.append(("Content-Length", str(len(body))))
    return merged


def _hop_by_hop(invite: Draft, method: str, to: str) -> list[tuple[str, str]]:
    headers = [("Via", (invite.get_all("via") or [""])[0])]
    headers += [("Route", value) for value in invite.get_all("route")]
    headers += [("Max-Forwards", "70"), ("From", invite.get("from") or ""), ("To", to)]
    headers += [("Call-ID", invite.get("call-id") or "")]
    headers += [("CSeq", f"{(invite.get('cseq') or '1').split()[0]} {method}")]
    return headers


def _route(dialog: Dialog) -> tuple[str, list[str]]:
    """RFC 3261 12.2.1.1: Request-URI and Route of a request in ``dialog``."""
    if not dialog.routes:
        return dialog.target, []
    first = parse_name_addr(dialog.routes[0], "Record-Route", "RFC 3261 20.30").uri
    if isinstance(first, SipUri) and first.is_loose_router:
        return dialog.target, dialog.routes
    return str(first), [*dialog.routes[1:], f"<{dialog.target}>"]


def _branch(via: str | None) -> str:
    after = (via or "").partition(";branch=")[2]
    return after.split(";")[0].split(",")[0].strip()


def _plain(uri: str) -> str:
    """Return ``uri`` without parameters and header fields, for To."""
    return uri.partition("?")[0].partition(";")[0]


def _user(aor: str) -> str:
    try:
        uri = parse_uri(aor)
    except RemoteProtocolError:
        return ""
    return (uri.user or "") if isinstance(uri, SipUri) else ""
