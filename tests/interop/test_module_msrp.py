"""The relay of MSRP in the installed server: TCP, TLS, WebSocket, large files, slow readers."""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.msrp_client import MsrpClient
from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_calls import ctl
from tools.peers import free_port

pytestmark = pytest.mark.interop

DOMAIN = "relay.test"
USERS = {f"alice@{DOMAIN}": "open sesame", f"bob@{DOMAIN}": "swordfish"}
PASSWORDS = {"alice": "open sesame", "bob": "swordfish"}
# Octets of the large file; 100 MB where nobody waits for it.
FILE = 104_857_600 if os.environ.get("SANSIP_HOSTILE") else 12_582_912
RUNTIMES = ("asyncio", "trio", "gevent", "curio")


class Place:
    """A server, its ports and the certificate of its authority."""

    def __init__(self, siege: Siege, plain: int, secure: int, trusted: ssl.SSLContext) -> None:
        self.siege = siege
        self.plain = plain
        self.secure = secure
        self.trusted = trusted

    def client(self, user: str, how: str, **options: int) -> MsrpClient:
        """Return ``user``, who has got a URI."""
        if how == "ws":
            client = MsrpClient(user, self.siege.address("ws"), DOMAIN, websocket=True, **options)
        elif how == "tls":
            client = MsrpClient(user, (LOCAL, self.secure), DOMAIN, tls=self.trusted, **options)
        else:
            client = MsrpClient(user, (LOCAL, self.plain), DOMAIN, **options)
        answer = client.authenticate(PASSWORDS[user])
        assert answer.word == "200", answer
        return client


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    authority = Authority(tmp_path)
    certificate = authority.issue("relay", DOMAIN)
    plain, secure = free_port(), free_port()
    config = (
        f'control = "ctl.sock"\n[tls]\ncertificate = "{certificate}"\n'
        f'[msrp]\nhost = "{DOMAIN}"\nplain_auth = true\n'
        f'listen = ["msrp:{LOCAL}:{plain}", "msrps:{LOCAL}:{secure}"]\n'
    )
    runtime = getattr(request, "param", "asyncio")
    with Siege(tmp_path, domain=DOMAIN, config=config, users=USERS, options=["--runtime", runtime]) as siege:
        yield Place(siege, plain, secure, ssl.create_default_context(cafile=str(authority.authority)))


@pytest.mark.parametrize("place", RUNTIMES, indirect=True)
def test_text(place: Place) -> None:
    """RFC 4976 6, RFC 7977: each way of connecting to each other."""
    for one, other in (("tcp", "tls"), ("tls", "ws"), ("ws", "tcp")):
        with place.client("alice", one) as alice, place.client("bob", other) as bob:
            assert bob.path.startswith(f"msrps://{DOMAIN}:{place.secure}/")
            sent = alice.send(f"{alice.path} {bob.path} {bob.uri}", b"hello", "1-5/5")
            answer, got = alice.receive(), bob.receive()
            assert (answer.transaction, answer.word) == (sent, "200")
            assert (got.body, got.flag, got.fields["Byte-Range"]) == (b"hello", "$", "1-5/5")
            assert got.fields["From-Path"] == f"{bob.path} {alice.path} {alice.uri}"
            bob.answer(got, "415 No")
            assert alice.receive().fields["Status"] == "000 415 No"


def test_a_wrong_password(place: Place) -> None:
    """It counts at the same place as those of SIP."""
    with MsrpClient("alice", (LOCAL, place.secure), DOMAIN, tls=place.trusted) as alice:
        assert alice.authenticate("guess").word == "401"


@pytest.mark.parametrize("place", RUNTIMES, indirect=True)
def test_a_file(place: Place) -> None:
    """RFC 4975 5.1: a file in one chunk to a slow reader: whole, in constant memory, and texts pass it."""
    with place.client("alice", "tcp") as alice, place.client("bob", "tcp", receive_buffer=65_536) as bob:
        before = place.siege.resident
        sent, got = hashlib.sha256(), hashlib.sha256()
        head = (
            f"MSRP bigfile1 SEND\r\nTo-Path: {alice.path} {bob.path} {bob.uri}\r\nFrom-Path: {alice.uri}\r\n"
            f"Message-ID: 777\r\nByte-Range: 1-*/{FILE}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        most = 0

        def push() -> None:
            alice.sock.settimeout(120)
            alice.write(head.encode())
            for _ in range(FILE // 65_536):
                piece = os.urandom(65_536)
                sent.update(piece)
                alice.write(piece)
            alice.write(b"\r\n-------bigfile1$\r\n")

        sender = threading.Thread(target=push)
        sender.start()
        time.sleep(1)  # the reader does not read, and the sender has to wait
        assert sender.is_alive(), place.siege.log
        most = max(most, place.siege.resident)
        size = 0
        while size < FILE:
            one = bob.receive()
            assert one.fields["Byte-Range"].startswith(f"{size + 1}-")
            size += len(one.body)
            got.update(one.body)
            bob.answer(one)
            most = max(most, place.siege.resident)
        sender.join(60)
        assert got.digest() == sent.digest()
        assert alice.receive().word == "200"
        # A queue of the file would be several times as much.
        assert most - before < 4_000_000


def test_a_reader_that_never_reads(place: Place) -> None:
    """It costs its sender a report, and nobody else anything."""
    with place.client("alice", "tls") as alice, place.client("bob", "tls", receive_buffer=4_096) as bob:
        path = f"{alice.path} {bob.path} {bob.uri}"
        before = place.siege.resident
        alice.sock.settimeout(1)

        def push() -> None:
            for number in range(5_000):
                alice.send(path, b"x" * 2_048, "1-2048/2048", message=f"m{number:06d}", report="no")

        with place.siege.watched(), pytest.raises(TimeoutError):
            push()
        assert place.siege.resident - before < 8_000_000
        with MsrpClient("bob", (LOCAL, place.plain), DOMAIN) as other:
            assert other.authenticate("swordfish").word == "200"


def test_operators(place: Place, tmp_path: Path) -> None:
    """``ctl`` lists URIs without their secrets, and takes one back."""
    with place.client("alice", "tls") as alice:
        shown = ctl(tmp_path, "msrp.list")
        assert "alice" in str(shown)
        assert alice.path not in str(shown)
        number = alice.path.rpartition("/")[2][:8]
        ctl(tmp_path, "msrp.remove", f"number={number}")
        alice.send(f"{alice.path} msrp://192.0.2.1:1/x;tcp", b"x", "1-1/1")
        assert alice.receive().word == "481"


def test_garbage(place: Place) -> None:
    """What is no MSRP ends its connection, whatever it is; others go on."""
    with place.client("alice", "tls") as alice, place.client("bob", "tls") as bob, place.siege.watched():
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"MSRP " + b"a" * 20_000,
            b"MSRP abcd SEND\r\n" + b"X: y\r\n" * 3_000,
            b"MSRP abcd SEND\r\nTo-Path: msrp://a:1/x;tcp\r\nFrom-Path: msrp://b:1/y;tcp\r\n-------abcd$\r\n",
            os.urandom(5_000),
        ):
            with MsrpClient("x", (LOCAL, place.plain), DOMAIN) as stranger:
                stranger.sock.sendall(data)
                try:
                    assert stranger.sock.recv(100) == b""
                except ConnectionResetError:
                    pass
        alice.send(f"{alice.path} {bob.path} {bob.uri}", b"still here", "1-10/10")
        assert bob.receive().body == b"still here"
