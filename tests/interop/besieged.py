"""A server that answers calls and bridges them, the attacker, an honest client, and an outsider.

Theory of operation: ``besieged`` starts a ``Siege`` whose route echoes, rings or bridges: the name of the
user that is called says which. ``Caller`` is one dialog of a caller, ``reply`` the answer of a callee. When
the block ends, ``besieged`` checks that the server sent nothing to the outsider.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.interop.line import Line
from tests.interop.phone import Message
from tests.interop.siege import Siege, Watch, request
from tools import peers

__all__ = [
    "ALICE",
    "MALLORY",
    "SDP",
    "VICTIM",
    "Besieged",
    "Caller",
    "besieged",
    "heard",
    "reply",
    "whats",
]

# Where the attacker is, an honest caller, the phone that calls are bridged to, and an outsider.
MALLORY, ALICE, BOB, VICTIM = "127.0.0.66", "127.0.0.55", "127.0.0.44", "127.0.0.77"
SDP = "v=0\r\no=m 1 1 IN IP4 127.0.0.66\r\ns=-\r\nc=IN IP4 127.0.0.66\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
TYPE = "Content-Type: application/sdp"
# T1 is a tenth, so that what takes 64*T1 ends within the test. Loopback counts as the outside.
CONFIG = "[timers]\nt1 = 0.05\nt2 = 0.4\n\n[limits]\nlimit_loopback = true\n"
ROUTE = """
from pathlib import Path

SDP = b"v=0\\r\\no=s 1 1 IN IP4 127.0.0.1\\r\\ns=-\\r\\nc=IN IP4 127.0.0.1\\r\\nt=0 0\\r\\n"
SDP += b"m=audio 9 RTP/AVP 0\\r\\n"


async def route(request):
    if request.method != "INVITE" or request.in_dialog:
        request.reply(200 if request.method == "OPTIONS" else 404)
    elif request.user == "echo":
        call = request.incoming()
        if call is not None:
            await call.accept(SDP)
    elif request.user == "ring":
        call = request.incoming()
        if call is not None:
            call.ring(183, SDP, reliable=True)
            await call.gone
    elif request.user == "loop":
        own = Path(__file__).with_name("port").read_text()
        bridge = request.bridge([f"sip:loop@127.0.0.1:{own}", f"sip:loop@127.0.0.1:{own};x=2"])
        if bridge is not None:
            await bridge
    else:
        bridge = request.bridge("sip:bob@{bob}:{port}")
        if bridge is not None:
            await bridge
"""


class Caller:
    """A caller of a few lines: one dialog over a ``Line``, with whatever is asked for in it."""

    def __init__(self, line: Line, name: str, user: str = "echo") -> None:
        self.line = line
        self.uri = f"sip:{user}@siege.test"
        self.from_ = f"<sip:{name}@elsewhere.example>;tag={name}"
        self.to = f"<{self.uri}>"
        self.call_id = f"{name}-{time.monotonic_ns()}"
        named = "" if line.transport == "udp" else f";transport={line.transport}"
        self.contact = f"Contact: <sip:{name}@{line.sent_by}{named}>"
        self.target = self.uri
        self.cseq = 0

    def send(
        self, method: str, *lines: str, cseq: int | None = None, body: str = "", branch: str = ""
    ) -> None:
        """Send a request of the dialog; without a ``cseq`` the next one."""
        if cseq is None:
            self.cseq += method != "ACK"
            cseq = self.cseq
        fields = [*lines, *([TYPE] if body and "Content-Type" not in " ".join(lines) else [])]
        self.line.send(
            request(
                method,
                self.target,
                self.line,
                from_=self.from_,
                to=self.to,
                call_id=self.call_id,
                cseq=cseq,
                branch=branch,
                lines=fields,
                body=body,
            )
        )

    def invite(self, *lines: str, body: str = SDP) -> None:
        contact = [] if any(one.startswith("Contact") for one in lines) else [self.contact]
        self.send("INVITE", *contact, *lines, body=body)

    def expect(self, *what: str) -> Message:
        """Return the next message that is one of ``what``; others are left out."""
        seen = []
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            message = Message(self.line.receive().decode())
            if message.what in what:
                if message.what[0] in "12" and message.what != "100":
                    self.to = message.get("to")
                    if message.all("contact"):
                        self.target = message.get("contact").strip("<>")
                return message
            seen.append(message.what)
        raise AssertionError(f"expected {what}, got {seen}")

    def call(self, *lines: str) -> Message:
        """Call, and acknowledge the answer."""
        self.invite(*lines)
        answer = self.expect("200")
        self.send("ACK")
        return answer


def reply(line: Line, asked: Message, status: str, tag: str, *lines: str, body: str = "") -> None:
    """Answer ``asked`` as a phone does."""
    to = asked.get("to")
    copied = [f"{name}: {value}" for name, value in asked.fields if name in ("via", "record-route")]
    copied += [f"{name}: {asked.get(name)}" for name in ("from", "call-id", "cseq")]
    head = [f"SIP/2.0 {status}", *copied, f"To: {to}" if ";tag=" in to else f"To: {to};tag={tag}", *lines]
    head += [TYPE] if body else []
    line.send(("\r\n".join([*head, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode())


class Besieged:
    """The server and its peers."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        route = directory / "route.py"
        port = peers.free_port()
        route.write_text(ROUTE.replace("{bob}", BOB).replace("{port}", str(port)))
        self.siege = Siege(directory, options=("--route", str(route)), config=CONFIG)
        (directory / "port").write_text(str(self.siege.address("udp")[1]))
        stack.enter_context(self.siege)
        self.stack = stack
        self.bob = self.line("udp", BOB, port)
        self.victim = self.line("udp", VICTIM, peers.free_port())

    def line(self, transport: str, host: str, port: int = 0) -> Line:
        return self.stack.enter_context(self.siege.line(transport, source=(host, port)))

    def talking(self, transport: str = "udp") -> tuple[Caller, Message]:
        """Mallory talks to bob through a bridge; returns her, and what bob was asked."""
        mallory = Caller(self.line(transport, MALLORY), "mallory", "bob")
        mallory.invite()
        asked = heard(self.bob, "INVITE")
        reply(self.bob, asked, "200 OK", "bob", f"Contact: <sip:bob@{self.bob.sent_by}>", body=SDP)
        mallory.expect("200")
        mallory.send("ACK")
        heard(self.bob, "ACK")
        return mallory, asked


@contextmanager
def besieged(directory: Path, spent: float = 2.0) -> Iterator[tuple[Besieged, Watch]]:
    """All of it, while an honest client asks; at the end, the outsider has heard nothing."""
    with ExitStack() as stack:
        place = Besieged(directory, stack)
        with place.siege.watched() as watch:
            yield place, watch
        assert place.victim.received() == []
    assert watch.spent < spent


def heard(line: Line, what: str) -> Message:
    """Return the next ``what``; T1 is short, so a slow machine sees repetitions before it."""
    while (message := Message(line.receive().decode())).what != what:
        pass
    return message


def whats(messages: Sequence[bytes]) -> list[str]:
    return [Message(one.decode()).what for one in messages]
