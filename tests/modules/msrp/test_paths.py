"""Which paths lead through the relay (RFC 4976 6.4), on virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sansip.auth import Lookup, ha1
from sansip.modules.msrp import Msrp, MsrpSettings
from sansip.testing import ModuleBench
from sansip.transport.dns import DnsLookup
from tests.modules.msrp.client import Client, Frame, frames

TEXT = ("Message-ID: 12339sdqwer", "Byte-Range: 1-2/2", "Content-Type: text/plain")


def users(lookup: Lookup) -> Mapping[str, str] | None:
    return {"MD5": ha1(lookup.username, lookup.realm, "secret", "MD5")}


def made(**options: Any) -> tuple[ModuleBench[Msrp], Client, Client]:
    """Return a relay and two clients with URIs."""
    answers = {Lookup: users, DnsLookup: lambda _question: ["192.0.2.9"]}
    bench = ModuleBench(Msrp, MsrpSettings("relay.example.com", **options), answers=answers)
    alice, bob = Client(bench, "alice", "192.0.2.1"), Client(bench, "bob", "192.0.2.2")
    for one in (alice, bob):
        assert one.authenticate().word == "200"
    return bench, alice, bob


def words(client: Client) -> list[str]:
    return [one.word for one in client.take()]


def test_a_stolen_uri_sends_nothing_out() -> None:
    """6.4: by alice's URI messages go from alice, or to alice; a stranger's to bob are neither."""
    bench, alice, bob = made()
    thief = Client(bench, "thief", "192.0.2.66")
    thief.ask("SEND", f"{alice.path} {bob.path} {bob.uri}", *TEXT, body=b"hi")
    assert words(thief) == ["481"]
    assert not alice.take()
    assert not bob.take()


def test_a_session_id_of_its_own() -> None:
    """RFC 4975 6: a client has a session-id for each session; the relay goes by its host and port."""
    _bench, alice, bob = made()
    alice.ask("SEND", f"{alice.path} {bob.path} {bob.uri.replace('/x', '/another')}", *TEXT, body=b"hi")
    assert words(alice) == ["200"]
    assert words(bob) == ["SEND"]
    alice.ask("SEND", f"{alice.path} {bob.path} msrps://carol.invalid:1/x;tcp", *TEXT, body=b"hi")
    assert words(alice) == ["481"]
    assert not bob.take()


def test_a_path_that_comes_back() -> None:
    """A path in circles ends at its first step that leads to no client."""
    _bench, alice, bob = made()
    alice.ask("SEND", " ".join([alice.path] * 8 + [bob.uri]), *TEXT, body=b"hi")
    assert words(alice) == ["481"]
    assert not bob.take()


def test_a_long_way_back() -> None:
    """The next relay would close the connection that all clients share, for what one of them wrote."""
    _bench, alice, bob = made()
    alice.uri = " ".join([alice.uri] * 15)
    alice.ask("SEND", f"{alice.path} {bob.path} {bob.uri}", *TEXT, body=b"hi")
    assert words(alice) == ["400"]
    assert not bob.take()


def test_a_client_at_the_relays_host() -> None:
    """RFC 4975 6.1: another port is another URI, here of a client on the same host."""
    bench, alice, _bob = made(refused_networks=[])
    got: list[Frame] = []

    def peer(data: bytes) -> list[bytes]:
        got.extend(frames(data) if data else [])
        return []

    bench.stream_peer(("192.0.2.9", 4000), peer)
    alice.ask("SEND", f"{alice.path} msrp://relay.example.com:4000/far;tcp", *TEXT, body=b"hi")
    assert words(alice) == ["200"]
    assert [one.body for one in got] == [b"hi"]


def test_a_time_of_many_digits() -> None:
    """RFC 4976 7: Expires is any number of digits; 423 says which are taken."""
    _bench, alice, _bob = made()
    answer = alice.authenticate("Expires: 99999999999999999999999")
    assert answer.word == "423"
    assert answer.fields["Max-Expires"] == "3600"
    assert alice.authenticate("Expires: 0000000000000060").word == "200"
