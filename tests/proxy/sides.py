"""Stacks that relay in different ways, and plays that have to end alike on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansip import ListenerConfig, SendDatagram, Stack, StackConfig
from sansip.actions import Ask
from sansip.auth import Lookup, compute_response, ha1
from sansip.location import Heartbeat, SharedRead, SharedRecord, SharedWrite
from sansip.proxy import stateless
from sansip.proxy.pair import Pair
from sansip.routing import relaying

CALLER, CALLEE = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
OTHER = ("192.0.2.9", 5060)

REGISTER = """REGISTER sip:biloxi.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKr
Max-Forwards: 70
From: <sip:bob@biloxi.test>;tag=r
To: <sip:bob@biloxi.test>
Call-ID: r
CSeq: 1 REGISTER
Contact: <sip:bob@192.0.2.2:5060>
Expires: 3600
Content-Length: 0

"""
REQUEST = """{method} sip:bob@biloxi.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport
{more}Max-Forwards: 70
From: <sip:alice@atlanta.test>;tag=a
To: <sip:bob@biloxi.test>
Call-ID: a
CSeq: 1 {method}
Contact: <sip:alice@192.0.2.1:5060>
Content-Length: 4

body"""

WITHIN = """{method} sip:bob@192.0.2.2:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{method};rport
Route: {route}
Max-Forwards: 70
From: <sip:alice@atlanta.test>;tag=a
To: <sip:bob@biloxi.test>;tag=b
Call-ID: a
CSeq: 2 {method}
{more}Content-Length: 0

"""


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def reply(request: bytes, status: str, tag: str, *, via: bool = True, more: str = "") -> bytes:
    """Return the response of the callee, with or without the caller's Via."""
    head = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    copied = ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq")
    lines = [line for line in head[1:] if line.split(":")[0] in copied]
    if not via:
        lines = [line for line in lines if "192.0.2.1:" not in line or not line.startswith("Via")]
    lines = [f"{line};tag={tag}" if line.startswith("To") and tag else line for line in lines]
    extra = more.split("\n") if more else ["Contact: <sip:bob@192.0.2.2:5060>"]
    return "\r\n".join([f"SIP/2.0 {status}", *lines, *extra, "Content-Length: 0", "", ""]).encode()


def known(lookup: Lookup) -> dict[str, str] | None:
    """Return the keys of the two users."""
    name, realm = lookup.username, lookup.realm
    if name not in ("alice", "bob") or realm != "biloxi.test":
        return None
    return {hashed: ha1(name, realm, "secret", hashed) for hashed in ("MD5", "SHA-256")}


def _proof_of_bob(nonce: str) -> str:
    key = ha1("bob", "biloxi.test", "secret", "MD5")
    made = {"qop": "auth", "nc": "00000001", "cnonce": "b"}
    response = compute_response(key, "REGISTER", "sip:biloxi.test", nonce, algorithm="MD5", **made)
    return (
        f'Authorization: Digest username="bob", realm="biloxi.test", nonce="{nonce}", uri="sip:biloxi.test",'
        f' qop=auth, nc=00000001, cnonce="b", algorithm=MD5, response="{response}"\n'
    )


class Side:
    """One stack, and its messages so far."""

    def __init__(self, route: Callable[..., Any] | None = None, **more: Any) -> None:
        listeners = [ListenerConfig(0, "udp", "192.0.2.99", 5060)]
        config = StackConfig(listeners, ["biloxi.test"], **more)
        if route is not None:
            config.route = route
        self.stack = Stack(config, b"0123456789abcdef")
        self.now = 1000.0
        self.sent: list[bytes] = []
        self.route = ""
        self.first = 0
        self.bound = 2
        # What nodes share, and the questions to it that wait while ``slow``.
        self.records: dict[str, SharedRecord] = {}
        self.slow = False
        self.asked: list[Ask] = []
        # What was sent to the caller last.
        self.told = b""
        self.nonce = "none"
        if self.stack.nodes is not None:
            self.stack.join(self.now, [])
            self._answered(self.stack.time_passed(self.now))
        self._registered(REGISTER)

    def _registered(self, text: str) -> list[Any]:
        """Take a REGISTER of the callee, with its password where one is asked for."""
        answers = self.feed(wire(text), CALLEE)
        # A module may tell of a fault of its own behind the answer, or let none leave.
        said = [one[1] for one in answers if isinstance(one, tuple) and b" 401 " in one[1][:12]]
        if not said:
            return answers
        nonce = said[-1].partition(b' nonce="')[2].partition(b'"')[0].decode()
        return self.feed(wire(text.replace("Expires", f"{_proof_of_bob(nonce)}Expires", 1)), CALLEE)

    def feed(self, data: bytes, source: tuple[str, int]) -> list[Any]:
        return self._note(self._answered(self.stack.datagram_received(0, data, source, self.now)))

    def _answered(self, actions: list[Any]) -> list[Any]:
        """Answer what is asked of the shared location; return everything else, in order."""
        given: list[Any] = []
        while actions:
            one, *actions = actions
            kind = type(getattr(one, "question", None))
            if kind not in (SharedRead, SharedWrite, Heartbeat, Lookup):
                given.append(one)
            elif kind is SharedRead and self.slow:
                self.asked.append(one)
            else:
                actions += self.stack.answer(one.id, self._said(one.question), self.now)
        return given

    def _said(self, question: Any) -> Any:
        if isinstance(question, Heartbeat):
            return [question.node]
        if isinstance(question, Lookup):
            return known(question)
        present = self.records.get(question.aor, SharedRecord("", ()))
        if isinstance(question, SharedWrite):
            if present.version != question.expected:
                return present
            self.records[question.aor] = SharedRecord(question.version, question.bindings)
            return None
        return None if question.known and question.known == present.version else present

    def _note(self, actions: list[Any]) -> list[Any]:
        to_callee = [one for one in actions if isinstance(one, SendDatagram) and one.address == CALLEE]
        self.sent += [one.data for one in to_callee if not one.data.startswith(b"SIP/2.0")]
        for one in actions:
            if isinstance(one, SendDatagram) and one.address == CALLER:
                self.told = one.data
            if isinstance(one, SendDatagram) and b"Record-Route: " in one.data and one.address == CALLER:
                self.route = one.data.partition(b"Record-Route: ")[2].partition(b"\r\n")[0].decode("latin-1")
        # The number of the transaction is the stack's own.
        return [
            (one.listener, one.data, one.address) if isinstance(one, SendDatagram) else one for one in actions
        ]

    def _raw(self, method: str, uri: str, more: str, hops: str, sender: str, route: str) -> bytes:
        """Return a request with whatever a stranger may write; with ``route``, of a dialog."""
        ours = self.route or "<sip:192.0.2.99;lr>"
        if route == "cut":
            ours = ours.replace(";d=", ";d=0")
        elif route == "upper":
            ours = ours.upper()
        elif route == "twice":
            ours = f"{ours}\nRoute: {ours}"
        lines = [
            f"{method} {uri} SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKraw;rport",
            f"{more}From: {sender}",
            f"To: <sip:bob@biloxi.test>{';tag=b' if route else ''}",
            "Call-ID: a",
            f"CSeq: 7 {method}",
            "Contact: <sip:alice@192.0.2.1:5060>",
            "Content-Length: 0",
        ]
        if hops:
            lines.insert(2, f"Max-Forwards: {hops}")
        if route not in ("", "none"):
            lines.insert(2, f"Route: {ours}")
        return wire("\n".join([*lines, "", ""]))

    def pass_time(self, seconds: float) -> list[Any]:
        end = self.now + seconds
        actions = []
        while (due := self.stack.next_deadline()) is not None and due <= end:
            self.now = max(due, self.now)
            passed = self._answered(self.stack.time_passed(self.now))
            actions += [(self.now, one) for one in self._note(passed)]
        self.now = end
        return actions

    def play(self, step: tuple[Any, ...]) -> list[Any]:
        kind, *rest = step
        # No two messages come at once, nor do their timers fire so: the order would be chance.
        self.now += 2**-10
        if kind == "request":
            method, more = rest
            return self.feed(wire(REQUEST.format(method=method, more=more)), CALLER)
        if kind == "made":
            # ``rest``: makes the octets, knowing this side; and the caller, if another one sends.
            make, *source = rest
            return self.feed(make(self), *(source or [CALLER]))
        if kind == "within":
            method, more = rest
            text = WITHIN.format(method=method, more=more, route=self.route or "<sip:192.0.2.99;lr>")
            return self.feed(wire(text), CALLER)
        if kind == "last":
            # What the callee answers from now on.
            self.first = len([one for one in self.sent if not one.startswith(b"ACK")]) - 1
            return []
        if kind == "first":
            old, new = rest
            text = REQUEST.format(method="INVITE", more="").replace("z9hG4bKa", "z9hG4bKf")
            return self.feed(wire(text).replace(old.encode(), new.encode()), CALLER)
        if kind == "binds":
            text = REGISTER.replace("<sip:bob@192.0.2.2:5060>\nExpires", f"{rest[0]}\nExpires")
            text = text.replace("CSeq: 1", f"CSeq: {self.bound}").replace("z9hG4bKr", f"z9hG4bKr{self.bound}")
            self.bound += 1
            return self.feed(wire(text), CALLEE)
        if kind == "behind":
            # Only this contact, of a phone at home: its packets come from CALLEE.
            text = REGISTER.replace(
                "192.0.2.2:5060;branch=z9hG4bKr", f"10.0.0.2:5060;branch=z9hG4bKr{self.bound};rport"
            )
            text = text.replace("CSeq: 1", f"CSeq: {self.bound}")
            contact = f"{rest[0]}, <sip:bob@192.0.2.2:5060>;expires=0"
            self.bound += 1
            return self._registered(text.replace("<sip:bob@192.0.2.2:5060>\nExpires", f"{contact}\nExpires"))
        if kind == "spelled":
            method, old, new = rest
            text = WITHIN.format(method=method, more="", route=self.route)
            return self.feed(wire(text).replace(old.encode(), new.encode()), CALLER)
        if kind == "spoiled":
            status, old, new = rest
            found = [one for one in self.sent if one.startswith(b"INVITE")]
            spoiled = [reply(one, status, "b").replace(old.encode(), new.encode()) for one in found[:1]]
            return [one for data in spoiled for one in self.feed(data, CALLEE)]
        if kind == "raw":
            return self.feed(self._raw(*rest), CALLER)
        if kind == "unfold":
            for one in list(self.stack.transactions.servers.values()):
                if isinstance(one, Pair):
                    one.unfold()
            return []
        if kind == "wait":
            return self.pass_time(rest[0])
        if kind == "slow":
            self.slow = True
            return []
        if kind == "told":
            # The location answers what waits; ``rest``: with a failure.
            self.slow = False
            asked, self.asked = self.asked, []
            made: list[Any] = []
            for one in asked:
                result = OSError("gone") if rest else self._said(one.question)
                made += self._note(self._answered(self.stack.answer(one.id, result, self.now)))
            return made
        if kind == "failed":
            owners = list(self.stack.transactions.owners)
            return self._note(self.stack.send_failed(owners[-1], "unreachable", self.now) if owners else [])
        status, tag, source, via, more = (*rest, "")[:5]
        requests = [one for one in self.sent if not one.startswith(b"ACK")]
        if not requests:
            return []
        requests = requests[self.first :] or requests
        first = next((one for one in requests if not one.startswith(b"CANCEL")), requests[0])
        return self.feed(reply(first, status, tag, via=via, more=more), source)


def leave_only(side: Side, *ways: str) -> None:
    """Have ``side`` relay by no quick way but these."""
    for way in ("quick", "passages", "openings"):
        if way not in ways:
            setattr(side.stack.reception, way, None)


def compare(steps: list[tuple[Any, ...]], route: Callable[..., Any] | None = None, **more: Any) -> list[Any]:
    """Play ``steps`` on both; return what the short way did."""
    usual, quick = Side(route, **more), Side(route, **more)
    leave_only(usual)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(relaying, "relay_usual", lambda *_, **__: None)
        patched.setattr(stateless, "direct_way", lambda *_: None)
        ordinary = Side(route, **more)
        leave_only(ordinary)
        expected = [ordinary.play(step) for step in steps]
        expected.append(ordinary.pass_time(400.0))
    read = Side(route, **more)
    leave_only(read, "quick")
    for side in (usual, read, quick):
        actual = [side.play(step) for step in steps]
        actual.append(side.pass_time(400.0))
        assert actual == expected
        assert side.stack.snapshot() == ordinary.stack.snapshot()
        pending = side.stack.proxy.pending
        assert {} == pending.sources == pending.callees
    return expected


INVITE = ("request", "INVITE", "")
CANCEL = ("request", "CANCEL", "")
RINGS = ("response", "180 Ringing", "b", CALLEE, True)
TAKES = ("response", "200 OK", "b", CALLEE, True)
BUSY = ("response", "486 Busy Here", "b", CALLEE, True)
TRIES = ("response", "100 Trying", "", CALLEE, True)
