"""Trust by address: which peers the table finds, and what the default route lets them do."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.auth import AuthConfig
from sansip.config import Reconfiguration
from sansip.routing.trust import Trusted, TrustedPeer
from tests.rig import ALICE, BOB, CAROL, DAVE, Rig, request, sent, what


def find(peers: list[TrustedPeer], host: str, transport: str = "udp", port: int = 5060) -> str | None:
    peer = Trusted(peers).find(transport, host, port)
    return None if peer is None else peer.name


@pytest.mark.parametrize(
    ("host", "transport", "port", "name"),
    [
        ("10.1.2.3", "udp", 5060, "wide"),
        ("10.1.0.3", "udp", 5060, "narrow"),
        ("10.1.0.9", "tls", 5061, "secure"),
        ("10.1.0.9", "udp", 5061, "narrow"),
        ("10.1.0.8", "udp", 9, "port"),
        ("10.1.0.8", "udp", 10, "narrow"),
        ("11.0.0.1", "udp", 5060, None),
        ("2001:db8::1", "udp", 5060, "six"),
        ("2001:DB8:0::ffff", "tcp", 1, "six"),
        ("2001:db9::1", "udp", 5060, None),
        ("::ffff:10.1.2.3", "udp", 5060, "wide"),
        ("fe80::1%eth0", "udp", 5060, "link"),
        ("biloxi.test", "udp", 5060, None),
        ("", "udp", 5060, None),
    ],
)
def test_the_narrowest_that_fits(host: str, transport: str, port: int, name: str | None) -> None:
    """A host can have other rights than its network; port and transport are part of the match."""
    table = [
        TrustedPeer("10.0.0.0/8", "wide"),
        TrustedPeer("10.1.0.0/24", "narrow"),
        TrustedPeer("10.1.0.9", "secure", transports=("tls",)),
        TrustedPeer("10.1.0.8", "port", port=9),
        TrustedPeer("2001:db8::/32", "six"),
        TrustedPeer("[fe80::1]", "link"),
    ]
    assert find(table, host, transport, port) == name
    assert find(table[::-1], host, transport, port) == name


def test_the_particular_before_the_general() -> None:
    """Two lines for one host: what asks for more decides, whatever the order."""
    table = [TrustedPeer("10.0.0.1", "any"), TrustedPeer("10.0.0.1", "one", port=5080, transports=("udp",))]
    assert find(table, "10.0.0.1", port=5080) == "one"
    assert find(table, "10.0.0.1", port=5060) == "any"


def test_everybody() -> None:
    """0.0.0.0/0 is a network, too; it says nothing of IPv6."""
    table = [TrustedPeer("0.0.0.0/0", "all")]
    assert find(table, "203.0.113.9") == "all"
    assert find(table, "2001:db8::1") is None


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=8), st.integers(0, 2**32 - 1)
)
def test_as_the_definition_says(networks: list[tuple[int, int]], number: int) -> None:
    """The same as looking at each network in turn."""
    address = ipaddress.IPv4Address(number)
    found = [ipaddress.IPv4Network((start, length), strict=False) for start, length in networks]
    peers = [TrustedPeer(str(network), str(network)) for network in found]
    holding = sorted((one for one in found if address in one), key=lambda one: -one.prefixlen)
    assert find(peers, str(address)) == (str(holding[0]) if holding else None)


@pytest.mark.parametrize("address", ["", "10.0.0.1/8", "10.0.0.0/33", "carrier.test", "10.0.0", "::1/x"])
def test_what_is_no_network(address: str) -> None:
    """Host bits in a network are a slip, and a name is not looked up."""
    with pytest.raises(ValueError, match="expected an IP address or a network"):
        TrustedPeer(address)


# --- the default route


@pytest.fixture
def rig() -> Rig:
    """Bob is registered; Carol's address is a carrier's, Dave's may relay. No user has a password."""
    peers = [TrustedPeer(CAROL[0], "carrier"), TrustedPeer(DAVE[0], "gateway", relay=True)]
    rig = Rig(trusted=peers)
    rig.register("sip:bob@192.0.2.2")
    secured = Rig(auth=AuthConfig(), users=lambda lookup: None, trusted=peers)
    secured.stack.location = rig.stack.location
    return secured


def ask(rig: Rig, source: Any, uri: str, method: str = "INVITE", **options: Any) -> list[Any]:
    return rig.udp(request(method, uri, source=source, branch=f"z9hG4bK{len(rig.log)}", **options), source)


US, OTHERS, STRANGER = "sip:bob@biloxi.test", "sip:x@198.51.100.1", "<sip:eve@elsewhere.test>"


@pytest.mark.parametrize(
    ("source", "uri", "sender", "outcome"),
    [
        (ALICE, US, "<sip:alice@biloxi.test>", "407"),
        (CAROL, US, "<sip:alice@biloxi.test>", "INVITE"),
        (DAVE, US, "<sip:alice@biloxi.test>", "INVITE"),
        (CAROL, US, STRANGER, "INVITE"),
        (CAROL, OTHERS, STRANGER, "403"),
        (CAROL, OTHERS, "<sip:alice@biloxi.test>", "403"),
        (DAVE, OTHERS, STRANGER, "INVITE"),
        (ALICE, OTHERS, STRANGER, "403"),
    ],
)
def test_what_peers_may(rig: Rig, source: Any, uri: str, sender: str, outcome: str) -> None:
    """Call our users without a password: yes; be relayed to others: where it is said."""
    assert what(ask(rig, source, uri, sender=sender))[-1] == outcome


@pytest.mark.parametrize("source", [ALICE, CAROL, DAVE])
def test_nobody_is_trusted_to_register(rig: Rig, source: Any) -> None:
    """Only the user decides where the user's phones are."""
    outs = ask(rig, source, "sip:biloxi.test", "REGISTER", to="<sip:bob@biloxi.test>")
    assert what(outs) == ["401"]


@pytest.mark.parametrize(("source", "kept"), [(ALICE, False), (CAROL, True)])
def test_asserted_identities(rig: Rig, source: Any, kept: bool) -> None:
    """RFC 3325 5: believed of trusted peers, removed from all others."""
    identity = [("P-Asserted-Identity", "<sip:boss@biloxi.test>")]
    outs = ask(rig, source, US, sender=STRANGER, headers=identity)
    assert sent(outs)[-1] == ("INVITE", BOB)
    assert outs[-1].message.has("p-asserted-identity") is kept


def test_where_passwords_are_asked_for_identities_are_not_asserted() -> None:
    """RFC 3325 5: phones show an asserted identity, and a stranger may assert any."""
    bench = Rig()
    bench.register("sip:bob@192.0.2.2")
    secured = Rig(auth=AuthConfig(), users=lambda lookup: None)
    secured.stack.location = bench.stack.location
    identity = [("P-Asserted-Identity", "<sip:boss@biloxi.test>")]
    outs = ask(secured, ALICE, US, sender=STRANGER, headers=identity)
    assert sent(outs)[-1] == ("INVITE", BOB)
    assert not outs[-1].message.has("p-asserted-identity")


def test_without_a_trust_domain_nothing_is_touched() -> None:
    rig = Rig()
    rig.register("sip:bob@192.0.2.2")
    outs = ask(rig, ALICE, US, headers=[("P-Asserted-Identity", "<sip:boss@biloxi.test>")])
    assert outs[-1].message.has("p-asserted-identity")


def test_in_a_route() -> None:
    """``request.trusted`` names the peer; a new table holds from the next request on."""
    seen: list[Any] = []

    def route(handle: Any) -> None:
        seen.append(None if handle.trusted is None else handle.trusted.name)
        handle.reply(200)

    rig = Rig(route, trusted=[TrustedPeer(CAROL[0], "carrier")])
    ask(rig, CAROL, US)
    ask(rig, ALICE, US)
    rig.stack.configure(Reconfiguration(trusted=[TrustedPeer(ALICE[0], "office")]), rig.now)
    ask(rig, CAROL, US)
    ask(rig, ALICE, US)
    assert seen == ["carrier", None, None, "office"]
