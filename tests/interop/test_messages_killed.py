"""Messages stored and delivered while the server is killed again and again: none lost, none shown twice.

Theory of operation: in each round a sender sends texts and a phone takes them, over UDP or TCP, until the
server gets SIGKILL at a moment that nobody chose. Sender and phone are user agents by the book: a request
without an answer goes out again as the same request (RFC 3261 17.1.2, 8.1.1.4), and the phone forgets its
transactions 32 seconds after their answers, or at once over TCP (17.2.2). A phone of the kind ``call-id``
knows a message by its Call-ID, as linphone does; one of the kind ``nothing`` knows none.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from tests.interop.linphone import Linphone
from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_calls import ctl
from tools.peers import free_port

pytestmark = pytest.mark.interop

DOMAIN = "biloxi.test"
BOB = f"sip:bob@{DOMAIN}"
# Of each kind; a hundred where nobody waits for it (`tox -e soak`).
KILLS = 100 if os.environ.get("SANSIP_SOAK") or os.environ.get("SANSIP_HOSTILE") else 3
TEXTS = 4
# RFC 3261 17.2.2, by UDP.
TIMER_J = 32.0


class End:
    """One end over one transport: its socket is made anew when the server has gone."""

    def __init__(self, transport: str, port: int) -> None:
        self.transport = transport
        self.server = (LOCAL, port)
        self.port = free_port()
        self._buffer = b""
        self.sock: socket.socket | None = None
        self.connect()

    def connect(self) -> None:
        self.close()
        self._buffer = b""
        kind = socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM
        self.sock = socket.socket(socket.AF_INET, kind)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.transport == "udp":
            self.sock.bind((LOCAL, self.port))
        self.sock.settimeout(0.2)
        # The server may not be there yet.
        with suppress(OSError):
            self.sock.connect(self.server)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, text: str) -> None:
        assert self.sock is not None
        self.sock.sendall(text.encode())

    def take(self) -> str:
        """Return the next message; "" where none comes, or the server is gone."""
        assert self.sock is not None
        while True:
            head, blank, _ = self._buffer.partition(b"\r\n\r\n")
            if blank:
                found = re.search(rb"(?i)\r\n(?:content-length|l): *(\d+)", head)
                size = len(head) + 4 + int(found[1] if found else 0)
                if len(self._buffer) >= size:
                    message, self._buffer = self._buffer[:size], self._buffer[size:]
                    return message.decode()
            try:
                data = self.sock.recv(65_535)
            except OSError:
                return ""
            if not data:
                return ""
            self._buffer = data if self.transport == "udp" else self._buffer + data

    def via(self, branch: str) -> str:
        return f"Via: SIP/2.0/{self.transport.upper()} {LOCAL}:{self.port};branch=z9hG4bK{branch}\r\n"


class Sender(End):
    """Sends each text until it has its 202 or 200, always as the same request."""

    def __init__(self, transport: str, port: int) -> None:
        super().__init__(transport, port)
        self.acknowledged: list[str] = []
        self.current = ""
        self._number = 0

    def work(self, until: threading.Event) -> None:
        while not until.is_set():
            if not self.current:
                self.current = f"text{self._number:05d}"
                self._number += 1
            name = self.current
            with suppress(OSError):
                self.send(
                    f"MESSAGE {BOB} SIP/2.0\r\n{self.via(name)}Max-Forwards: 70\r\n"
                    f"From: <sip:{name}@elsewhere.test>;tag={name}\r\nTo: <{BOB}>\r\nCall-ID: {name}\r\n"
                    "CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n"
                    f"Content-Length: {len(name)}\r\n\r\n{name}"
                )
                answer = self.take()
                if re.match(r"SIP/2\.0 2", answer) and f"branch=z9hG4bK{name}" in answer:
                    self.acknowledged.append(name)
                    self.current = ""
                    continue
            # RFC 3261 17.1.2.2: Timer E.
            until.wait(0.1)


class Phone(End):
    """Registers, answers, and shows. ``knows``: by what it knows a message that it has seen."""

    def __init__(self, transport: str, port: int, knows: str) -> None:
        super().__init__(transport, port)
        self.shown: list[str] = []
        # Those of them that came from the store, which gives them a Date.
        self.kept: list[str] = []
        self._knows = knows
        self._calls: set[str] = set()
        # Of transactions: when they were answered.
        self._branches: dict[str, float] = {}
        self._number = 0

    def register(self, expires: int = 600) -> None:
        self._number += 1
        if self.transport != "udp":
            # RFC 3261 17.2.2: Timer J is 0 there.
            self._branches.clear()
        self.send(
            f"REGISTER sip:{DOMAIN} SIP/2.0\r\n{self.via(f'reg{self._number}')}Max-Forwards: 70\r\n"
            f"From: <{BOB}>;tag=r\r\nTo: <{BOB}>\r\nCall-ID: reg\r\nCSeq: {self._number} REGISTER\r\n"
            f"Contact: <sip:bob@{LOCAL}:{self.port};transport={self.transport}>"
            ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"\r\n'
            f"Expires: {expires}\r\nContent-Length: 0\r\n\r\n"
        )

    def leave(self) -> None:
        """Be away: what comes from now on is kept."""
        late = time.monotonic() + 10
        while time.monotonic() < late:
            with suppress(OSError):
                self.register(0)
                for _ in range(20):
                    text = self.take()
                    if f"CSeq: {self._number} REGISTER" in text:
                        return
                    self._answer(text)
                    if not text:
                        break

    def work(self, until: threading.Event) -> None:
        while not until.is_set():
            self.step()

    def step(self) -> bool:
        """Take and answer one message; return whether one came."""
        return self._answer(self.take())

    def _answer(self, text: str) -> bool:
        if not text.startswith("MESSAGE"):
            return bool(text)
        head, _, body = text.partition("\r\n\r\n")
        keep = [one for one in head.split("\r\n") if re.match("(Via|From|To|Call-ID|CSeq):", one)]
        branch, call = re.search("branch=([^;\r]+)", head), re.search("Call-ID: ?([^\r]+)", head)
        assert branch is not None
        assert call is not None
        over = time.monotonic() - TIMER_J
        self._branches = {one: at for one, at in self._branches.items() if at > over}
        known = branch[1] in self._branches or (self._knows == "call-id" and call[1] in self._calls)
        if not known:
            self.shown.append(body)
            if "\r\nDate: " in head:
                self.kept.append(body)
        self._branches.setdefault(branch[1], time.monotonic())
        self._calls.add(call[1])
        with suppress(OSError):
            self.send("\r\n".join(["SIP/2.0 200 OK", *keep, "Content-Length: 0", "", ""]))
        return True


def round_of(server: Siege, sender: Sender, phone: Phone, lucky: random.Random) -> None:
    """Texts come while the phone is away, and when it is there again; then kill."""
    for end in (sender, phone):
        end.connect()
    phone.leave()
    over = threading.Event()
    threads = [threading.Thread(target=end.work, args=(over,)) for end in (sender, phone)]
    for thread in threads:
        thread.start()
    begun = len(sender.acknowledged)
    deadline = time.monotonic() + 10
    for enough in (lucky.randrange(1, TEXTS), TEXTS):
        while len(sender.acknowledged) < begun + enough and time.monotonic() < deadline:
            time.sleep(0.005)
        if enough < TEXTS:
            phone.register()
    # Some are fetched meanwhile, one behind the other.
    time.sleep(lucky.uniform(0, 0.3))
    server.program.process.send_signal(signal.SIGKILL)
    server.program.process.wait(10)
    over.set()
    for thread in threads:
        thread.join(5)


@pytest.mark.timeout(90 + 15 * KILLS)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("knows", "in_doubt"), [("call-id", "send again"), ("nothing", "give up")])
def test_killed(tmp_path: Path, transport: str, knows: str, in_doubt: str) -> None:
    """What has a 202 is shown, and once: by the phone's Call-IDs, or because what is in doubt is given up."""
    ports = {transport: free_port()}
    config = (
        f'control = "ctl.sock"\nstore = "{tmp_path / "messages.db"}"\n[messages]\nretry = 1.0\n'
        f'per_user = 10000\nper_sender = 10000\nin_doubt = "{in_doubt}"\n'
    )
    options = ["--runtime", "asyncio"]
    lucky = random.Random(14)

    def serve() -> Siege:
        return Siege(
            tmp_path, domain=DOMAIN, config=config, transports=(transport,), ports=ports, options=options
        )

    with Sender(transport, ports[transport]) as sender, Phone(transport, ports[transport], knows) as phone:
        for _ in range(KILLS):
            with serve() as server:
                round_of(server, sender, phone, lucky)
        with serve() as server:
            phone.connect()
            phone.register()
            # One behind the other, each with its mark.
            late = time.monotonic() + 15 + 0.3 * len(sender.acknowledged)
            heard = time.monotonic()
            while time.monotonic() < late and not set(sender.acknowledged) <= set(phone.shown):
                if phone.step():
                    heard = time.monotonic()
                elif in_doubt == "give up" and time.monotonic() > heard + 3:
                    break
            # Nothing more comes.
            quiet = time.monotonic() + 2
            while time.monotonic() < quiet:
                phone.step()
            doubtful = doubts(tmp_path) if in_doubt == "give up" else set()
            assert len(sender.acknowledged) >= TEXTS * KILLS, server.log
            # Messages were really kept, in each round.
            assert len(phone.kept) >= KILLS
    lost = set(sender.acknowledged) - set(phone.shown) - doubtful
    assert not lost
    # A phone that knows nothing shows a text twice that was relayed at once, if the server is killed before
    # the answer went back and the sender repeats it: such a text was never in the store.
    once = phone.shown if knows == "call-id" else phone.kept
    assert sorted(one for one in set(once) if once.count(one) > 1) == []
    # Each kill leaves one in doubt at the most: one is on its way at a time.
    assert len(doubtful) <= KILLS
    if knows == "call-id":
        # In the order of their acknowledgements.
        assert [one for one in phone.shown if one in set(sender.acknowledged)] == [
            one for one in sender.acknowledged if one in set(phone.shown)
        ]


def doubts(tmp_path: Path) -> set[str]:
    """Return the texts of which the server says that it does not know whether the phone has them."""
    listed = ctl(tmp_path, "messages.list", f"user={BOB}", "limit=1000")
    return {re.findall(r"text\d+", one["sender"])[0] for one in listed if one["doubtful"]}


def awaited(end: End, start: str) -> str:
    """Return the next message that begins with ``start``; "" where none comes."""
    late = time.monotonic() + 15
    while time.monotonic() < late:
        text = end.take()
        if text.startswith(start):
            return text
    return ""


@pytest.mark.needs("linphonec")
@pytest.mark.timeout(300)
def test_linphone(tmp_path: Path) -> None:
    """linphone shows each message once, over TCP too, wherever the server dies: it looks at the Call-ID."""
    port = free_port()
    config = f'control = "ctl.sock"\nstore = "{tmp_path / "messages.db"}"\n[messages]\nretry = 1.0\n'
    lucky = random.Random(3)

    def serve() -> Siege:
        return Siege(
            tmp_path,
            domain=DOMAIN,
            config=config,
            transports=("udp", "tcp"),
            ports={"udp": port, "tcp": port},
            options=["--runtime", "asyncio"],
        )

    wanted = [f"text{number:05d}" for number in range(6)]
    with serve(), Sender("udp", port) as sender:
        over = threading.Event()
        thread = threading.Thread(target=sender.work, args=(over,))
        thread.start()
        while len(sender.acknowledged) < len(wanted):
            time.sleep(0.01)
        over.set()
        thread.join(5)
        wanted = sender.acknowledged[:]
    (tmp_path / "linphone").mkdir()
    server = serve()
    phone = Linphone(tmp_path / "linphone", "bob", DOMAIN, (LOCAL, port), "tcp", "x", expires=20)
    try:
        for _ in range(2):
            with server:
                phone.hear("Message received from .*: text", 60)
                time.sleep(lucky.uniform(0, 0.01))
                server.program.process.send_signal(signal.SIGKILL)
            server = serve()
        with server:
            late = time.monotonic() + 60
            while time.monotonic() < late and wanted[-1] not in phone.output():
                time.sleep(0.2)
            time.sleep(2)
            shown = re.findall(r"Message received from .*: (text\d+)", phone.output())
            # The last one may have been kept without its 202, for the sender stopped.
            assert shown in (wanted, [*wanted, sender.current]), server.log
    finally:
        phone.stop()


@pytest.mark.needs("linphonec")
@pytest.mark.timeout(120)
def test_a_notification_of_linphone(tmp_path: Path) -> None:
    """RFC 5438: a kept message/cpim asks for it, linphone makes it, and it waits for its receiver, too."""
    port = free_port()
    config = f'control = "ctl.sock"\nstore = "{tmp_path / "messages.db"}"\n[messages]\nretry = 1.0\n'
    options = ["--runtime", "asyncio"]
    with (
        Siege(
            tmp_path,
            domain=DOMAIN,
            config=config,
            transports=("udp",),
            ports={"udp": port},
            options=options,
        ) as server,
        Sender("udp", port) as alice,
    ):
        text = (
            f"From: <sip:alice@{DOMAIN}>\r\nTo: <{BOB}>\r\nDateTime: 2026-11-29T20:00:00Z\r\n"
            "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: abc123\r\n"
            "imdn.Disposition-Notification: positive-delivery\r\n\r\n"
            "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nlunch"
        )
        head = (
            f"{alice.via('imdn')}Max-Forwards: 70\r\nFrom: <sip:alice@{DOMAIN}>;tag=a\r\n"
            f"To: <{BOB}>\r\nCall-ID: imdn\r\nCSeq: 1 MESSAGE\r\n"
        )
        alice.send(
            f"MESSAGE {BOB} SIP/2.0\r\n{head}Content-Type: message/cpim\r\n"
            f"Content-Length: {len(text)}\r\n\r\n{text}"
        )
        assert awaited(alice, "SIP/2.0 202")
        (tmp_path / "linphone").mkdir()
        phone = Linphone(tmp_path / "linphone", "bob", DOMAIN, (LOCAL, port), "udp", "x")
        try:
            phone.hear("Message received from .*: lunch", 60)
        finally:
            # Its notification has left by then, and Alice is not registered.
            late = time.monotonic() + 20
            while time.monotonic() < late and ctl(tmp_path, "messages.count") < 2:
                time.sleep(0.5)
            phone.stop()
        alice.send(
            f"REGISTER sip:{DOMAIN} SIP/2.0\r\n{alice.via('reg')}Max-Forwards: 70\r\n"
            f"From: <sip:alice@{DOMAIN}>;tag=r\r\nTo: <sip:alice@{DOMAIN}>\r\nCall-ID: reg\r\n"
            f"CSeq: 1 REGISTER\r\nContact: <sip:alice@{LOCAL}:{alice.port}>\r\nContent-Length: 0\r\n\r\n"
        )
        came = awaited(alice, "MESSAGE")
        assert "<message-id>abc123</message-id>" in came, server.log
        assert "<delivered/>" in came
