"""A phone for the simulated wire: a small user agent with its own retransmissions.

Theory of operation: written against RFC 3261 and independently of the code under
test, with only its parser. It calls, cancels, rings, answers, refuses, hangs up;
repeats what RFC 3261 17 and 13.3.1.4 say must be repeated; and remembers of each
dialog whether it believes in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sansip.transport import StreamFramer
from sansip.wire import Request, Response, parse_message
from tests.properties.wire import Server, Wire

__all__ = ["Dialog", "Habit", "Outgoing", "Phone"]

T1, T2, GIVE_UP = 0.5, 4.0, 32.0


@dataclass
class Habit:
    """The behaviour of a phone with a call: ring after, decide after, with a status (0: ring on for ever)."""

    ring: float = 0.2
    decide: float = 2.0
    status: int = 200
    hang_up: float | None = None


@dataclass
class Dialog:
    """One side's belief. ``state``: accepted (no ACK yet), up, ended."""

    call_id: str
    tags: frozenset[str]
    state: str
    to: str
    own: str
    target: str
    routes: list[str]
    number: int


@dataclass
class Outgoing:
    """A call that this phone makes."""

    call_id: str
    invite: bytes
    hang_up: float | None
    # trying, ringing, over
    state: str = "trying"
    status: int = 0
    over_at: float = 0.0
    wants_cancel: bool = False
    cancelled: bool = False
    dialogs: dict[str, Dialog] = field(default_factory=dict)
    acks: dict[str, bytes] = field(default_factory=dict)


@dataclass
class _Incoming:
    request: Request
    tag: str
    last: bytes = b""
    final: int = 0
    final_at: float = 0.0
    acknowledged: bool = False


class Phone:
    """One phone, on UDP or on one connection to its server."""

    def __init__(
        self,
        wire: Wire,
        name: str,
        host: str,
        server: Server,
        *,
        domain: str,
        aor: str = "",
        tcp: bool = False,
    ) -> None:
        self.wire = wire
        self.name = name
        self.address = (host, 5060)
        self.server = server
        self.aor = f"sip:{aor or name}@{domain}"
        self.domain = domain
        self.habit = Habit()
        self.calls: list[Outgoing] = []
        self.dialogs: list[Dialog] = []
        # Answered, and never acknowledged.
        self.unacknowledged: list[Dialog] = []
        self._number = 0
        # branch and method -> what to do with a response; whether to go on resending
        self._waiting: dict[tuple[str, str], Callable[[Response | None], None]] = {}
        self._resending: set[tuple[str, str]] = set()
        self._incoming: dict[str, _Incoming] = {}
        self._answers: dict[tuple[str, str], bytes] = {}
        self._by_call: dict[tuple[str, str], _Incoming] = {}
        self._framer = StreamFramer()
        self._stream = None
        wire.parties[self.address] = self
        if tcp:
            self._stream = server.connect((host, 30_000), self._octets)

    # --- writing

    @property
    def contact(self) -> str:
        return f"sip:{self.name}@{self.address[0]}:{self.address[1]}" + (
            ";transport=tcp" if self._stream else ""
        )

    def token(self) -> str:
        self._number += 1
        return f"{self.name}{self._number}"

    def via(self) -> str:
        transport = "TCP" if self._stream else "UDP"
        return f"SIP/2.0/{transport} {self.address[0]}:{self.address[1]};branch=z9hG4bK{self.token()}"

    def send(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.to_server(data)
        else:
            one = self.server.config.listeners[0]
            self.wire.send(self.address, (one.host, one.port), data)

    def request(self, method: str, uri: str, headers: list[str], via: str | None = None) -> bytes:
        lines = [f"{method} {uri} SIP/2.0", f"Via: {via or self.via()}", "Max-Forwards: 70", *headers]
        return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode()

    # --- client transactions (17.1)

    def transact(self, data: bytes, done: Callable[[Response | None], None]) -> None:
        """Send a request until a final response comes; ``done`` hears every response, and None at the end."""
        message = parse_message(data)
        assert isinstance(message, Request)
        key = (message.via.branch or "", message.method)
        self._waiting[key] = done
        self._resending.add(key)
        self.send(data)
        if self._stream is None:
            self._resend(key, data, T1, message.method == "INVITE")
        self.wire.after(GIVE_UP, lambda: self._give_up(key))

    def _resend(self, key: tuple[str, str], data: bytes, interval: float, doubling: bool) -> None:
        def again() -> None:
            if key in self._resending:
                self.send(data)
                self._resend(key, data, interval * 2 if doubling else min(interval * 2, T2), doubling)

        self.wire.after(interval, again)

    def _give_up(self, key: tuple[str, str]) -> None:
        if key in self._resending:
            self._resending.discard(key)
            self._waiting.pop(key)(None)

    # --- registering and calling

    def register(self, expires: int) -> None:
        headers = [
            f"From: <{self.aor}>;tag={self.token()}",
            f"To: <{self.aor}>",
            f"Call-ID: {self.token()}",
            "CSeq: 1 REGISTER",
            f"Contact: <{self.contact}>",
            f"Expires: {expires}",
        ]
        self.registered = False

        def done(response: Response | None) -> None:
            self.registered = response is not None and response.status == 200

        self.transact(self.request("REGISTER", f"sip:{self.domain}", headers), done)

    def call(self, uri: str, *, cancel: float | None, hang_up: float | None) -> Outgoing:
        """Call ``uri``; give up after ``cancel`` seconds; hang up ``hang_up`` seconds after the answer."""
        call_id = self.token()
        headers = [
            f"From: <{self.aor}>;tag={self.token()}",
            f"To: <{uri}>",
            f"Call-ID: {call_id}",
            "CSeq: 1 INVITE",
            f"Contact: <{self.contact}>",
        ]
        data = self.request("INVITE", uri, headers)
        call = Outgoing(call_id, data, hang_up)
        self.calls.append(call)
        self.transact(data, lambda response: self._answered(call, response))
        if cancel is not None:
            self.wire.after(cancel, lambda: self.cancel(call))
        return call

    def cancel(self, call: Outgoing) -> None:
        """9.1: only once a provisional response has come."""
        if call.state == "over":
            return
        call.wants_cancel = True
        if call.state != "ringing" or call.cancelled:
            return
        call.cancelled = True
        self.transact(self._within(call.invite, "CANCEL"), lambda response: None)

        def destroyed() -> None:
            if call.state != "over":
                self._over(call, 487)

        self.wire.after(GIVE_UP, destroyed)

    def _within(self, invite: bytes, method: str, to: str | None = None) -> bytes:
        message = parse_message(invite)
        assert isinstance(message, Request)
        headers = [
            f"From: {message.get('from')}",
            f"To: {to or message.get('to')}",
            f"Call-ID: {message.call_id}",
            f"CSeq: {message.cseq.number} {method}",
        ]
        return self.request(method, message.uri_text, headers, message.get("via"))

    def _answered(self, call: Outgoing, response: Response | None) -> None:
        if response is None:
            self._over(call, 408)
        elif response.status < 200:
            if call.state == "trying":
                call.state = "ringing"
                if call.wants_cancel:
                    self.cancel(call)
        elif response.status < 300:
            self._established(call, response)
        else:
            # 17.1.1.3
            self.send(self._within(call.invite, "ACK", response.get("to")))
            if call.state != "over":
                self._over(call, response.status)

    def _over(self, call: Outgoing, status: int) -> None:
        call.over_at = call.over_at or self.wire.now
        call.state, call.status = "over", status

    def _established(self, call: Outgoing, response: Response) -> None:
        tag = response.to_tag or ""
        if tag in call.acks:
            # 13.2.2.4: each repeated 2xx is acknowledged again.
            self.send(call.acks[tag])
            return
        invite = parse_message(call.invite)
        contacts = response.contacts
        assert isinstance(contacts, list)
        dialog = Dialog(
            call.call_id,
            frozenset((tag, invite.from_tag or "")),
            "up",
            response.get("to") or "",
            invite.get("from") or "",
            str(contacts[0].uri),
            response.values("record-route")[::-1],
            1,
        )
        unwanted = call.state == "over" or call.cancelled
        self._over(call, 200)
        call.dialogs[tag] = dialog
        self.dialogs.append(dialog)
        call.acks[tag] = self._in_dialog(dialog, "ACK", 1)
        self.send(call.acks[tag])
        if unwanted:
            # A second phone, or too late: 13.2.2.4 and 15.
            self.hang_up(dialog)
        elif call.hang_up is not None:
            self.wire.after(call.hang_up, lambda: self.hang_up(dialog))

    def _in_dialog(self, dialog: Dialog, method: str, number: int) -> bytes:
        headers = [f"Route: {value}" for value in dialog.routes]
        headers += [
            f"From: {dialog.own}",
            f"To: {dialog.to}",
            f"Call-ID: {dialog.call_id}",
            f"CSeq: {number} {method}",
        ]
        return self.request(method, dialog.target, headers)

    def hang_up(self, dialog: Dialog) -> None:
        """15.1.1: BYE; whatever it is answered with, or not, the dialog has ended."""
        if dialog.state == "ended":
            return
        dialog.state = "ended"
        dialog.number += 1
        self.transact(self._in_dialog(dialog, "BYE", dialog.number), lambda response: None)

    # --- receiving

    def datagram(self, data: bytes, source: Any) -> None:
        message = parse_message(data)
        if isinstance(message, Response):
            self._response(message)
        else:
            self._request(message)

    def _octets(self, data: bytes) -> None:
        for framed in self._framer.feed(data):
            assert isinstance(framed, bytes), framed
            if len(framed) > 4:
                self.datagram(framed, None)

    def _response(self, response: Response) -> None:
        key = (response.via.branch or "", response.cseq.method)
        done = self._waiting.get(key)
        if done is None:
            return
        if response.status >= 200 or key[1] == "INVITE":
            self._resending.discard(key)
        if response.status >= 200 and key[1] != "INVITE":
            del self._waiting[key]
        done(response)

    def _request(self, request: Request) -> None:
        method = request.method
        branch = request.via.branch or ""
        if method == "INVITE":
            self._invited(branch, request)
        elif method == "ACK":
            self._acknowledged(branch, request)
        elif (branch, method) in self._answers:
            self.send(self._answers[branch, method])
        elif method == "CANCEL":
            incoming = self._incoming.get(branch)
            self._final(branch, request, 200 if incoming else 481)
            if incoming is not None and not incoming.final:
                self._finish(branch, incoming, 487)
        elif method == "BYE":
            known = [
                dialog
                for dialog in self.dialogs
                if dialog.call_id == request.call_id and dialog.tags == {request.from_tag, request.to_tag}
            ]
            self._final(branch, request, 200 if known else 481)
            for dialog in known:
                dialog.state = "ended"
        else:
            self._final(branch, request, 501)

    def _final(self, branch: str, request: Request, status: int) -> None:
        data = self._answers[branch, request.method] = self._response_to(request, status, "own")
        self.send(data)

    def _response_to(self, request: Request, status: int, tag: str) -> bytes:
        to = request.get("to") or ""
        if status != 100 and "tag=" not in to:
            to += f";tag={tag}"
        lines = [f"SIP/2.0 {status} Because"]
        lines += [f"Via: {value}" for value in request.get_all("via")]
        lines += [f"Record-Route: {value}" for value in request.get_all("record-route")]
        lines += [
            f"From: {request.get('from')}",
            f"To: {to}",
            f"Call-ID: {request.call_id}",
            f"CSeq: {request.get('cseq')}",
        ]
        if request.method == "INVITE" and 100 < status < 300:
            lines.append(f"Contact: <{self.contact}>")
        return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode()

    # --- being called

    @property
    def rung(self) -> list[tuple[str, int, float]]:
        """Call-ID, final status and its time of each INVITE received."""
        return [(one.request.call_id, one.final, one.final_at) for one in self._incoming.values()]

    def _invited(self, branch: str, request: Request) -> None:
        incoming = self._incoming.get(branch)
        if incoming is not None:
            # 17.2.1, and RFC 6026: after a 2xx a repeated INVITE is absorbed.
            if incoming.last and not 200 <= incoming.final < 300:
                self.send(incoming.last)
            return
        incoming = self._incoming[branch] = _Incoming(request, self.token())
        self._by_call[request.call_id, incoming.tag] = incoming
        habit = self.habit

        def ring() -> None:
            if not incoming.final:
                incoming.last = self._response_to(request, 180, incoming.tag)
                self.send(incoming.last)

        self.wire.after(habit.ring, ring)
        if habit.status:
            self.wire.after(habit.decide, lambda: self._finish(branch, incoming, habit.status))

    def _finish(self, branch: str, incoming: _Incoming, status: int) -> None:
        if incoming.final:
            return
        incoming.final = status
        incoming.final_at = self.wire.now
        request = incoming.request
        incoming.last = self._response_to(request, status, incoming.tag)
        dialog = None
        if status < 300:
            contacts = request.contacts
            assert isinstance(contacts, list)
            dialog = Dialog(
                request.call_id,
                frozenset((incoming.tag, request.from_tag or "")),
                "accepted",
                request.get("from") or "",
                f"{request.get('to')};tag={incoming.tag}",
                str(contacts[0].uri),
                request.values("record-route"),
                100,
            )
            self.dialogs.append(dialog)
        self.send(incoming.last)
        if self._stream is None or status < 300:
            self._repeat(incoming, dialog, T1)
        self.wire.after(GIVE_UP, lambda: self._no_ack(incoming, dialog))

    def _repeat(self, incoming: _Incoming, dialog: Dialog | None, interval: float) -> None:
        # 17.2.1 for failures, 13.3.1.4 for 2xx: T1, doubling up to T2, until the ACK.
        def again() -> None:
            gone = dialog is not None and dialog.state != "accepted"
            if not incoming.acknowledged and not gone:
                self.send(incoming.last)
                self._repeat(incoming, dialog, min(interval * 2, T2))

        self.wire.after(interval, again)

    def _no_ack(self, incoming: _Incoming, dialog: Dialog | None) -> None:
        if not incoming.acknowledged:
            incoming.acknowledged = True
            if dialog is not None and dialog.state == "accepted":
                # 13.3.1.4: the dialog is confirmed, and ended with a BYE.
                self.unacknowledged.append(dialog)
                self.hang_up(dialog)

    def _acknowledged(self, branch: str, request: Request) -> None:
        incoming = self._incoming.get(branch) or self._by_call.get((request.call_id, request.to_tag or ""))
        if incoming is None or not incoming.final or incoming.acknowledged:
            return
        incoming.acknowledged = True
        for dialog in self.dialogs:
            if (
                dialog.state == "accepted"
                and dialog.call_id == request.call_id
                and request.to_tag in dialog.tags
            ):
                dialog.state = "up"
                if self.habit.hang_up is not None:
                    self.wire.after(self.habit.hang_up, partial(self.hang_up, dialog))
