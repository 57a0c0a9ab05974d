"""A server of several workers, its operator, and callers whose datagrams reach each of the workers.

Theory of operation: ``Crew`` is a ``Siege`` with ``--workers``; the kernel chooses a worker by the sender's
port, so each of many sockets of ours reaches some worker, and two dozen reach all of two or three.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.interop.line import Line
from tests.interop.phone import Message, Phone
from tests.interop.siege import STRICT, Siege, request

__all__ = ["AGAIN", "Crew", "contacts", "heard", "phone", "registration", "soon"]

# Seconds until a dead worker serves again: 2 on a quiet machine (SANSIP_HOSTILE=1), elsewhere processors are
# shared.
AGAIN = 2.0 if STRICT else 15.0

# Senders of which at least two workers of two see some: all of one worker once in 2^23 runs.
SENDERS = 24


class Crew(Siege):
    """A server with ``workers``; the rest as in ``Siege``."""

    def __init__(
        self, directory: Path, *, workers: int = 2, options: Sequence[str] = (), **given: Any
    ) -> None:
        self.control = directory / "ctl"
        self._lines: list[Line] = []
        more = ["--workers", str(workers), "--control", str(self.control)]
        super().__init__(directory, options=[*options, *more], **given)

    def __exit__(self, *error: object) -> None:
        for line in self._lines:
            line.close()
        super().__exit__(*error)

    def ctl(self, *words: str) -> Any:
        """Return what ``sansip ctl`` says, with JSON or without as it is asked."""
        command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(self.control), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        lines = done.stdout.splitlines()
        return [json.loads(line) for line in lines] if "--json" in words else done.stdout + done.stderr

    @property
    def pids(self) -> dict[int, int]:
        """The processes of the workers, by number."""
        [stats] = self.ctl("stats", "--json")
        return {int(number): pid for number, pid in stats["pids"].items()}

    def kill(self, number: int) -> float:
        """Kill a worker; return after how many seconds all serve again."""
        pid = self.pids[number]
        os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        soon(lambda: self.log.count(f"worker {number} serves again") > 0, "the worker serves again", 20.0)
        return time.monotonic() - begun

    def lines(self, count: int = SENDERS) -> list[Line]:
        """Return ``count`` lines over UDP, each from a port of its own."""
        opened = [self.line("udp") for _ in range(count)]
        self._lines += opened
        return opened

    def register(
        self,
        user: str,
        line: Line,
        *,
        cseq: int = 1,
        call_id: str = "",
        contact: str = "",
        expires: int = 600,
    ) -> str:
        """Register ``user`` by ``line``; return the status."""
        aor = f"<sip:{user}@{self.domain}>"
        lines = [
            f"REGISTER sip:{self.domain} SIP/2.0",
            f"Via: SIP/2.0/{line.transport.upper()} {line.sent_by};branch=z9hG4bK{time.monotonic_ns()};rport",
            "Max-Forwards: 70",
            f"From: {aor};tag=r",
            f"To: {aor}",
            f"Call-ID: {call_id or f'register-{user}'}",
            f"CSeq: {cseq} REGISTER",
            f"Contact: {contact or f'<sip:{user}@{line.sent_by}>'}",
            f"Expires: {expires}",
            "Content-Length: 0",
        ]
        line.send("\r\n".join([*lines, "", ""]).encode())
        return heard(line).what

    def bindings(self) -> list[dict[str, Any]]:
        """Return all bindings, as the operator sees them."""
        return [one for one in self.ctl("bindings", "--json") if "contact" in one]

    def sees(self, line: Line, user: str) -> str:
        """Return the status that an OPTIONS for ``user`` gets at once: 404 where nobody knows the user."""
        uri = f"sip:{user}@{self.domain}"
        lines = [
            f"OPTIONS {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {line.sent_by};branch=z9hG4bK{time.monotonic_ns()};rport",
            "Max-Forwards: 70",
            "From: <sip:eve@siege.test>;tag=e",
            f"To: <{uri}>",
            f"Call-ID: {time.monotonic_ns()}",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
        ]
        line.send("\r\n".join([*lines, "", ""]).encode())
        return heard(line).what


def phone(crew: Crew, user: str, transport: str = "udp") -> Phone:
    return Phone(user, crew.domain, transport, crew.address(transport))


def registration(crew: Crew, line: Line, user: str, *more: str, call_id: str, cseq: int) -> bytes:
    aor = f"<sip:{user}@{crew.domain}>"
    uri, sender = f"sip:{crew.domain}", f"{aor};tag=r"
    return request("REGISTER", uri, line, from_=sender, to=aor, call_id=call_id, cseq=cseq, lines=more)


def contacts(crew: Crew, line: Line, user: str) -> list[str]:
    """RFC 3261 10.2.3: what the worker of ``line`` has of ``user``."""
    line.send(registration(crew, line, user, call_id=f"query-{time.monotonic_ns()}", cseq=1))
    answer = heard(line)
    assert answer.what == "200", answer.start
    return [value.partition(">")[0] for name, value in answer.fields if name == "contact"]


def heard(line: Line) -> Message:
    """Return the next message but 100."""
    while (message := Message(line.receive().decode())).what == "100":
        pass
    return message


def soon(true: Callable[[], bool], what: str, within: float = 30.0) -> None:
    """Wait until ``true()``; fail after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {within:g} s"
        time.sleep(0.02)
