"""A phone of a hundred lines, on any transport: what a real one does, and nothing of ours in it.

Theory of operation: it writes and reads SIP as text, over a blocking socket, and
keeps one dialog at a time. Its connection is a ``Line``. A phone on ``ws``, ``wss`` or
``tls`` has a Contact that leads nowhere, as a browser's does and a phone's behind a NAT.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.interop.line import PATIENCE, Line

__all__ = ["Message", "Phone"]

_numbers = itertools.count(1)


class Message:
    """One SIP message, read no further than the phone needs."""

    def __init__(self, text: str) -> None:
        head, _, self.body = text.partition("\r\n\r\n")
        self.start, *lines = head.split("\r\n")
        self.fields = [
            (name.strip().lower(), value.strip()) for name, _, value in (x.partition(":") for x in lines)
        ]

    def all(self, name: str) -> list[str]:
        """Return the values of a field, those of one line taken apart (no commas within values here)."""
        return [v.strip() for key, value in self.fields if key == name for v in value.split(",")]

    def get(self, name: str) -> str:
        return next(value for key, value in self.fields if key == name)

    @property
    def what(self) -> str:
        """Method, or status."""
        first, second, *_ = self.start.split(" ")
        return second if first == "SIP/2.0" else first


class Phone:
    """The phone ``user`` of ``domain``, connected to ``server`` over ``transport``."""

    def __init__(
        self,
        user: str,
        domain: str,
        transport: str,
        server: tuple[str, int],
        authority: Path | None = None,
        source: tuple[str, int, int, int] | tuple[str, int] | None = None,
    ) -> None:
        self.aor = f"sip:{user}@{domain}"
        self.transport = transport
        self.domain = domain
        self._line = Line(transport, server, name=self.aor, authority=authority, source=source)
        shown = self._line.sent_by
        nowhere = {"ws": f"{user}.invalid", "wss": f"{user}.invalid", "tls": "192.0.2.77:5061"}
        self.sent_by = nowhere.get(transport, shown)
        named = {"udp": "", "wss": ";transport=ws"}.get(transport, f";transport={transport}")
        self.contact = f"<sip:{user}@{self.sent_by}{named}>"
        self._call_id = ""
        self._cseq = 0
        self._local = self._remote = self._target = ""
        self._routes: list[str] = []
        self._register_id = f"register-{next(_numbers)}"

    @property
    def local(self) -> tuple[str, int]:
        """Where its connection comes from."""
        return self._line.local

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    # --- octets

    def send(self, text: str) -> None:
        """Send one message."""
        self._line.send(text.encode())

    def receive(self, patience: float = PATIENCE) -> Message:
        """Return the next message; wait ``patience`` seconds at most."""
        return Message(self._line.receive(patience).decode())

    def keep_alive(self) -> None:
        """Send the keepalive of RFC 5626 4.4.1 and wait for its answer, which is no message."""
        self._line.keep_alive()

    def expect(self, what: str, patience: float = PATIENCE) -> Message:
        """Return the next message, which must be ``what``, a method or a status.

        A 100 is skipped, and a keepalive of the server is answered.
        """
        while (message := self.receive(patience)).what in ("100", "OPTIONS") and what != message.what:
            if message.what == "OPTIONS":
                self.answer(message, "200 OK")
        assert message.what == what, f"{self.aor}: expected {what}, got {message.start}"
        return message

    # --- SIP

    def _request(
        self, method: str, uri: str, lines: list[str], cseq: int | None = None, body: str = ""
    ) -> None:
        via = f"Via: SIP/2.0/{self.transport.upper()} {self.sent_by};branch=z9hG4bK{next(_numbers)};rport"
        number = self._cseq if cseq is None else cseq
        head = [f"{method} {uri} SIP/2.0", via, "Max-Forwards: 70", f"CSeq: {number} {method}", *lines]
        self.send("\r\n".join([*head, *_described(body)]))

    def register(self) -> None:
        """Register, or register again."""
        self.send_register()
        assert self.contact in self.expect("200").get("contact")

    def register_and_look(self) -> str:
        """Register; return the port that the request came from, as the answer tells it (RFC 3581)."""
        self.send_register()
        found = re.search(r";rport=(\d+)", self.expect("200").get("via"))
        assert found is not None
        return found[1]

    def register_refused(self, status: str, field: str) -> None:
        """Register in vain: the answer is ``status`` and has ``field``."""
        self.send_register()
        assert self.expect(status).get(field)

    def send_register(self) -> None:
        """Send a REGISTER, and wait for nothing."""
        self._cseq += 1
        who = [f"From: <{self.aor}>;tag=r", f"To: <{self.aor}>", f"Call-ID: {self._register_id}"]
        # RFC 5630 5.2: sips where the address-of-record is.
        scheme = self.aor.partition(":")[0]
        uri = f"{scheme}:{self.domain}"
        self._request("REGISTER", uri, [*who, f"Contact: {self.contact}", "Expires: 600"])

    def invite(self, aor: str, body: str = "") -> None:
        """Call ``aor``; ``body`` is a session description."""
        self._call_id = f"call-{next(_numbers)}"
        self._cseq += 1
        self._local, self._remote = f"<{self.aor}>;tag=caller", f"<{aor}>"
        who = [f"From: {self._local}", f"To: {self._remote}", f"Call-ID: {self._call_id}"]
        self._request("INVITE", aor, [*who, f"Contact: {self.contact}"], body=body)

    def established(self, answer: Message) -> None:
        """Take the 200 to our INVITE and acknowledge it (RFC 3261 12.1.2, 13.2.2.4)."""
        self._remote = answer.get("to")
        self._target = answer.get("contact").strip("<>")
        self._routes = answer.all("record-route")[::-1]
        self.within("ACK")

    def acknowledge(self, answer: Message) -> None:
        """Acknowledge the failure of our INVITE (RFC 3261 17.1.1.3)."""
        who = [f"From: {self._local}", f"To: {answer.get('to')}", f"Call-ID: {self._call_id}"]
        uri = answer.get("to").partition(">")[0].strip("<")
        via = f"Via: {answer.get('via')}"
        number = answer.get("cseq").split()[0]
        lines = [f"ACK {uri} SIP/2.0", via, "Max-Forwards: 70", f"CSeq: {number} ACK", *who]
        self.send("\r\n".join([*lines, "Content-Length: 0", "", ""]))

    def within(self, method: str, body: str = "", headers: Sequence[str] = ()) -> None:
        """Send a request in the dialog (RFC 3261 12.2.1.1)."""
        if method != "ACK":
            self._cseq += 1
        who = [f"From: {self._local}", f"To: {self._remote}", f"Call-ID: {self._call_id}"]
        if method == "INVITE":
            # RFC 3261 12.2.1.1: it refreshes the target.
            who.append(f"Contact: {self.contact}")
        routes = [f"Route: {route}" for route in self._routes]
        self._request(method, self._target, [*who, *routes, *headers], body=body)

    def answer(self, request: Message, status: str, body: str = "") -> None:
        """Answer a request; a 2xx to an INVITE begins the dialog (RFC 3261 12.1.1)."""
        to = request.get("to")
        if ";tag=" not in to:
            to += ";tag=callee"
        copied = [
            f"{name.title()}: {value}" for name, value in request.fields if name in ("via", "record-route")
        ]
        lines = [f"SIP/2.0 {status}", *copied, f"From: {request.get('from')}", f"To: {to}"]
        lines += [f"Call-ID: {request.get('call-id')}", f"CSeq: {request.get('cseq')}"]
        self.send("\r\n".join([*lines, f"Contact: {self.contact}", *_described(body)]))
        if request.what == "INVITE" and status.startswith("2"):
            self._call_id, self._local, self._remote = request.get("call-id"), to, request.get("from")
            self._target = request.get("contact").strip("<>")
            if ";tag=" not in request.get("to"):
                # RFC 3261 12.2.2: a re-INVITE changes the target, never the route set.
                self._routes = request.all("record-route")


def _described(body: str) -> list[str]:
    """Return the last lines of a message, with a session description where there is one."""
    typed = ["Content-Type: application/sdp"] if body else []
    return [*typed, f"Content-Length: {len(body)}", "", body]
