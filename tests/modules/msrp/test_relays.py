"""Other relays, which are known by their certificates (RFC 4976 6.3), pass the AUTH of their clients on."""

from __future__ import annotations

import pytest

from sansip.modules.msrp import MsrpSettings
from tests.modules.msrp.client import RELAY, Client, Frame
from tests.modules.msrp.relayed import TEXT, made


def through(relay: Client, *fields: str, host: str = "other.example.com") -> Frame:
    """Have ``relay`` pass an AUTH of a client of its own on; return the answer."""
    own, relay.uri = relay.uri, f"msrps://{host}:2855/abcdef0123;tcp msrps://dave.invalid:1/d;tcp"
    relay.ask("AUTH", RELAY, *fields)
    relay.uri = own
    [answer] = relay.take()
    return answer


def test_a_relay_with_a_certificate() -> None:
    """RFC 4976 6.3: it needs no password; Use-Path begins with its own URI (5.1)."""
    bench = made(relays=["Other.example.com"])
    other = Client(bench, "other", "192.0.2.7", identities=("other.example.com",))
    answer = through(other)
    assert answer.word == "200"
    first, own = answer.fields["Use-Path"].split()
    assert first == "msrps://other.example.com:2855/abcdef0123;tcp"
    assert "://relay.example.com:" in own
    # It is bound in time like others (4.6).
    assert through(other, "Expires: 10").word == "423"


@pytest.mark.parametrize(
    ("relays", "identities", "host"),
    [
        (["other.example.com"], (), "other.example.com"),
        (["other.example.com"], ("evil.example.com",), "other.example.com"),
        (["other.example.com"], ("other.example.com",), "third.example.com"),
        ([], ("other.example.com",), "other.example.com"),
    ],
)
def test_a_relay_that_is_not_believed(relays: list[str], identities: tuple[str, ...], host: str) -> None:
    """RFC 4976 6.3: no certificate, another name than in From-Path, a relay not listed: a challenge."""
    bench = made(relays=relays)
    other = Client(bench, "other", "192.0.2.7", identities=identities)
    assert through(other, host=host).word == "401"


def test_a_client_with_a_certificate() -> None:
    """RFC 4976 9.2: it is ignored; the client gives its password."""
    bench = made(relays=["other.example.com"])
    other = Client(bench, "other", "192.0.2.7", identities=("other.example.com",))
    other.uri = "msrps://other.example.com:1/x;tcp"
    other.ask("AUTH", RELAY)
    [answer] = other.take()
    assert answer.word == "401"


def test_each_connection_to_a_relay() -> None:
    """RFC 4976 6.3: its URIs are good over each of its connections, and end with the last one."""
    bench = made(relays=["other.example.com"])
    one, two = (Client(bench, "other", "192.0.2.7", identities=("other.example.com",)) for _ in range(2))
    carol = Client(bench, "carol", "192.0.2.3")
    assert carol.authenticate().word == "200"
    dave = through(one).fields["Use-Path"].split()[1]
    assert through(two).word == "200"
    # From the relay, over the other connection, to a client here.
    two.ask("SEND", f"{dave} {carol.path} {carol.uri}", *TEXT, body=b"hello")
    assert [frame.word for frame in two.take()] == ["200"]
    [got] = carol.take()
    assert got.body == b"hello"
    carol.answer(got, "200 OK")
    # To it, where the connection of its AUTH is gone.
    one.link.close()
    path = f"{carol.path} {dave} msrps://other.example.com:2855/abcdef0123;tcp {one.uri}"
    carol.ask("SEND", path, *TEXT, body=b"back")
    assert [frame.word for frame in carol.take()] == ["200"]
    assert [frame.body for frame in two.take() if frame.word == "SEND"] == [b"back"]
    two.link.close()
    carol.ask("SEND", path, *TEXT, body=b"gone")
    assert "481" in [frame.word for frame in carol.take()]


@pytest.mark.parametrize("name", ["", "*", "a b", "msrps://a"])
def test_relays_that_are_no_names(name: str) -> None:
    """`sansip check` says so."""
    with pytest.raises(ValueError, match="relays"):
        MsrpSettings("relay.example.com", relays=[name])
