"""Two relays of MSRP that prove themselves to each other by TLS certificates (RFC 4976 6.3, 9.2)."""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.msrp_client import Got, MsrpClient
from tests.interop.siege import LOCAL, Siege
from tools.peers import free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

FIRST = "first.test"
USERS = {f"alice@{FIRST}": "open sesame"}


def auth(client: MsrpClient, to: str) -> Got:
    """Ask the last relay of ``to`` for a URI, by way of the others, without a password."""
    name = client.transaction()
    client.write(
        f"MSRP {name} AUTH\r\nTo-Path: {to}\r\nFrom-Path: {client.uri}\r\n-------{name}$\r\n".encode()
    )
    return client.receive()


def test_two_relays(tmp_path: Path) -> None:
    """The second one believes the certificate of the first, and nobody without one; a text takes both."""
    authority = Authority(tmp_path)
    ports = {"first": free_port(), "second": free_port()}
    # The first relay is known by its name, the second is reached by its address.
    certificates = {"first": authority.issue("first", FIRST), "second": authority.issue("second", LOCAL)}
    hosts = {"first": FIRST, "second": LOCAL}
    with ExitStack() as stack:
        for name in ("second", "first"):
            folder = tmp_path / f"{name}-server"
            folder.mkdir()
            config = (
                f'[tls]\ncertificate = "{certificates[name]}"\nauthorities = "{authority.authority}"\n'
                'verify_clients = "optional"\n'
                f'[msrp]\nhost = "{hosts[name]}"\nlisten = ["msrps:{LOCAL}:{ports[name]}"]\n'
                f'relays = ["{FIRST}"]\nrefused_networks = []\n'
            )
            stack.enter_context(
                Siege(folder, domain=FIRST, config=config, users=USERS, options=["--runtime", "asyncio"])
            )
        trusted = ssl.create_default_context(cafile=str(authority.authority))
        trusted.check_hostname = False

        def client() -> MsrpClient:
            made = MsrpClient("alice", (LOCAL, ports["first"]), FIRST, tls=trusted)
            return stack.enter_context(made)

        second = f"msrps://{LOCAL}:{ports['second']};tcp"
        alice = client()
        assert alice.authenticate("open sesame").word == "200"
        answer = auth(alice, f"{alice.path} {second}")
        assert answer.word == "200", answer
        first, own = answer.fields["Use-Path"].split()
        assert first == alice.path
        assert own.startswith(f"msrps://{LOCAL}:{ports['second']}/")
        # A stranger who says that such a relay sent it, and has no certificate, is asked for a password.
        raw = MsrpClient("thief", (LOCAL, ports["second"]), FIRST, tls=trusted)
        thief = stack.enter_context(raw)
        thief.uri = f"msrps://{FIRST}:2855/x;tcp {thief.uri}"
        assert auth(thief, second).word == "401"
        # A text from another client of the first relay, over the second one, to Alice.
        other = client()
        assert other.authenticate("open sesame").word == "200"
        other.send(f"{other.path} {own} {first} {alice.uri}", b"by both", "1-7/7")
        assert other.receive().word == "200"
        got = alice.receive()
        assert got.body == b"by both"
        assert got.fields["From-Path"].split()[:2] == [first, own]
