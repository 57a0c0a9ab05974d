"""Calls that begin before a reload and end after it: the version of the code that ends them.

Theory of operation: the route says in each answer of its own which version it is. A ``Probe`` is a caller and
a phone on UDP. ``begin`` has three calls: one that rings and will be found busy, one that rings and will
be cancelled, one that is answered. The server reads everything again; ``end`` looks at what comes of them.
"""

from __future__ import annotations

import re
import socket
from typing import Self

from tests.interop.line import Line
from tests.interop.siege import request

__all__ = ["ROUTE", "Probe"]

HOST = "127.0.0.1"
# Answers of the route have its version as their reason: to a call that was found busy, and to INFO within a
# dialog. RFC 3261 9.2: a caller who cancels has his 487 at once; the route only hears of it, and logs.
ROUTE = """\
import logging

TEXT = "%(version)s"


async def route(request):
    if request.method == "OPTIONS":
        request.reply(200, TEXT)
    elif request.method == "INVITE" and not request.in_dialog:
        request.record_route()
        outcome = await request.relay("sip:x@%(probe)s" if request.uri.user == "probe" else "sip:x@%(phone)s")
        if outcome.status == 486:
            request.reply(600, TEXT)
        elif request.cancelled:
            logging.warning("version %%s heard of %%s", TEXT, request.message.call_id)
    elif request.method == "INFO" and request.from_dialog:
        request.reply(200, TEXT)
    elif request.method == "ACK" or request.from_dialog:
        request.relay()
    else:
        request.reply(481)
"""
_URI = "sip:probe@biloxi.test"


class Probe:
    """A caller and a phone of ``port`` that call through the server at ``server``."""

    def __init__(self, server: tuple[str, int], port: int) -> None:
        self._line = Line("udp", server)
        self._phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._phone.bind((HOST, port))
        self._phone.settimeout(5)
        self._number = 0
        # The lines that the log must have about cancelled calls.
        self.cancelled: list[str] = []
        # The requests to the phone: Call-ID -> request, and its source.
        self._rings: dict[str, tuple[str, tuple[str, int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._line.__exit__(*error)
        self._phone.close()

    def begin(self) -> None:
        """Have three calls: two ring, one is answered."""
        self._number += 1
        for what in ("busy", "cancelled", "answered"):
            self._send("INVITE", what)
            asked, back = self._rings[what] = self._heard("INVITE", what)
            self._reply(asked, back, "180 Ringing")
            assert self._said(what).startswith("SIP/2.0 180"), what
        self._reply(*self._rings["answered"], "200 OK", f"Contact: <sip:x@{HOST}:{self._port}>")
        answer = self._said("answered")
        assert answer.startswith("SIP/2.0 200"), answer
        self._dialog = answer
        self._send("ACK", "answered", within=answer)
        self._heard("ACK", "answered")

    def end(self, before: str, now: str) -> None:
        """See that version ``before`` ends the calls that it began, and that ``now`` has later requests."""
        self._reply(*self._rings["busy"], "486 Busy Here")
        self._heard("ACK", "busy")
        self._ends("busy", f"SIP/2.0 600 {before}\r\n")
        self._send("CANCEL", "cancelled")
        # RFC 3261 9.2, 16.10: it is answered hop by hop, and goes on to where the INVITE went.
        assert self._said("cancelled", "CANCEL").startswith("SIP/2.0 200")
        cancel, back = self._heard("CANCEL", "cancelled")
        invite = self._rings["cancelled"][0]
        assert _top_branch(cancel) == _top_branch(invite)
        self._reply(cancel, back, "200 OK")
        self._reply(*self._rings["cancelled"], "487 Request Terminated")
        self._heard("ACK", "cancelled")
        self._ends("cancelled", "SIP/2.0 487 ")
        self.cancelled.append(f"version {before} heard of {self._call_id('cancelled')}")
        # RFC 3261 12.2: a later request of the dialog is a new one for the route.
        self._send("INFO", "answered", cseq=2, within=self._dialog)
        assert self._said("answered", "INFO").startswith(f"SIP/2.0 200 {now}\r\n")
        self._send("BYE", "answered", cseq=3, within=self._dialog)
        bye, back = self._heard("BYE", "answered")
        self._reply(bye, back, "200 OK")
        assert self._said("answered", "BYE").startswith("SIP/2.0 200")

    # --- the caller

    @property
    def _port(self) -> int:
        return int(self._phone.getsockname()[1])

    def _call_id(self, what: str) -> str:
        return f"{what}-{self._number}-{self._port}"

    def _send(self, method: str, what: str, *, cseq: int = 1, within: str = "") -> None:
        lines, uri, to = [], _URI, None
        branch = f"z9hG4bK{self._call_id(what)}"
        if within:
            to = _line(within, "To").partition(": ")[2]
            uri = _line(within, "Contact").partition("<")[2].rstrip(">")
            lines = [f"Route: {one}" for one in re.findall(r"(?m)^Record-Route: (.*?)\r?$", within)[::-1]]
            branch += f"-{method}"
        if method == "INVITE":
            lines = [f"Contact: <sip:caller@{self._line.sent_by}>"]
        self._line.send(
            request(
                method,
                uri,
                self._line,
                to=to,
                call_id=self._call_id(what),
                cseq=cseq,
                branch=branch,
                lines=lines,
            )
        )

    def _said(self, what: str, method: str = "INVITE") -> str:
        """Return the next answer to ``method`` of call ``what``, 100 left out."""
        while True:
            answer = self._line.receive().decode()
            if (
                not answer.startswith("SIP/2.0 100")
                and f"Call-ID: {self._call_id(what)}\r\n" in answer
                and _line(answer, "CSeq").endswith(method)
            ):
                return answer

    def _ends(self, what: str, begin: str) -> None:
        answer = self._said(what)
        assert answer.startswith(begin), answer
        lines = [f"ACK {_URI} SIP/2.0", f"Via: {_line(answer, 'Via').partition(': ')[2]}", "Max-Forwards: 70"]
        lines += [_line(answer, name) for name in ("From", "To", "Call-ID")]
        self._line.send("\r\n".join([*lines, "CSeq: 1 ACK", "Content-Length: 0", "", ""]).encode())

    # --- the phone

    def _heard(self, method: str, what: str) -> tuple[str, tuple[str, int]]:
        """Return the request of call ``what`` that the phone got, and where it came from.

        Others are passed over: what a slow machine repeats.
        """
        while True:
            data, back = self._phone.recvfrom(65_535)
            text = data.decode()
            if text.startswith(f"{method} ") and f"Call-ID: {self._call_id(what)}\r\n" in text:
                return text, back

    def _reply(self, asked: str, back: tuple[str, int], status: str, *more: str) -> None:
        kept = [
            one for one in asked.split("\r\n") if re.match(r"(Via|Record-Route|From|Call-ID|CSeq): ", one)
        ]
        to = _line(asked, "To")
        tagged = to if ";tag=" in to else f"{to};tag=p{self._number}"
        lines = [f"SIP/2.0 {status}", *kept, tagged, *more, "Content-Length: 0", "", ""]
        self._phone.sendto("\r\n".join(lines).encode(), back)


def _line(message: str, name: str) -> str:
    """Return the first line of ``message`` with the field ``name``."""
    return next(one for one in message.split("\r\n") if one.startswith(f"{name}: "))


def _top_branch(message: str) -> str:
    return re.search(r"branch=([^;\s]+)", _line(message, "Via"))[1]  # type: ignore[index]  # known to be there
