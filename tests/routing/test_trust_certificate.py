"""Trust by certificate: a peer is the domain that it proved to be (RFC 5922), for as long as it is."""

from __future__ import annotations

import pytest

from sansip import ListenerConfig
from sansip.config import Reconfiguration
from sansip.routing.trust import Trusted, TrustedPeer
from sansip.transport import Flow
from sansip.transport.filter import OpenConnection
from tests.rig import BOB, HOST, LISTENERS, Rig, only, reply, request, what

TLS = ListenerConfig(9, "tls", HOST, 5061)
HOME = ("203.0.113.5", 40_000)


def flow(*identities: str, transport: str = "tls", host: str = "203.0.113.5") -> Flow:
    """Where a peer with a certificate for ``identities`` is."""
    found = Flow(transport, 9, (host, 40_000), 1)
    found.peer = OpenConnection(9, transport, (HOST, 5061), (host, 40_000), True, "", identities)
    return found


def name(peers: list[TrustedPeer], at: Flow) -> str | None:
    peer = Trusted(peers).of(at)
    return None if peer is None else peer.name


PARTNER = TrustedPeer("", "partner", certificate="Partner.Example.")


@pytest.mark.parametrize(
    ("identities", "found"),
    [
        (("partner.example",), "partner"),
        (("other.example", "partner.example."), "partner"),
        (("sub.partner.example",), None),
        # RFC 5922 7.2: wildcards match nothing.
        (("*.example",), None),
        (("*",), None),
        ((), None),
    ],
)
def test_the_domain_as_a_whole(identities: tuple[str, ...], found: str | None) -> None:
    assert name([PARTNER], flow(*identities)) == found


def test_address_and_certificate_must_both_fit() -> None:
    """An entry with both conditions comes before an entry with one."""
    both = TrustedPeer("203.0.113.0/24", "both", certificate="partner.example", relay=True)
    assert name([PARTNER, both], flow("partner.example")) == "both"
    assert name([PARTNER, both], flow("partner.example", host="198.51.100.1")) == "partner"
    assert name([both], flow("partner.example", host="198.51.100.1")) is None
    assert name([both], flow()) is None
    assert name([TrustedPeer("203.0.113.0/24", "net"), PARTNER], flow("partner.example")) == "partner"
    assert name([TrustedPeer("203.0.113.0/24", "net"), PARTNER], flow("other.example")) == "net"


def test_transport_and_port_hold_as_well() -> None:
    peer = TrustedPeer("", "p", 40_001, ("wss",), certificate="partner.example")
    assert name([peer], flow("partner.example", transport="wss")) is None


@pytest.mark.parametrize(
    "certificate", ["*.partner.example", "sip:partner.example", "a@b", "partner.example:5061"]
)
def test_what_is_no_domain(certificate: str) -> None:
    with pytest.raises(ValueError, match="expected a domain"):
        TrustedPeer("", certificate=certificate)


def test_an_entry_that_says_nothing_trusts_nobody() -> None:
    """An empty table in the configuration is a fault, and not trust in the world."""
    with pytest.raises(ValueError, match="expected an IP address or a network"):
        TrustedPeer("")


def test_what_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relaying to other domains, until the entry is withdrawn, or the identity: over the same connection."""
    relay = TrustedPeer("", "partner", certificate="partner.example", relay=True)
    rig = Rig(listeners=[*LISTENERS, TLS], trusted=[relay])
    conn = rig.stack.new_connection()
    info = OpenConnection(9, "tls", (HOST, 5061), HOME, True)
    rig.take(rig.stack.connection_opened(conn, info, rig.now))

    def outcome(number: int) -> str:
        data = request(
            "MESSAGE", "sip:x@192.0.2.2", transport="TLS", branch=f"z9hG4bK{number}", call_id=str(number)
        )
        return what(rig.tcp(conn, data))[-1]

    assert outcome(1) == "403"
    # The handshake is over.
    info.identities = ("partner.example",)
    assert outcome(2) == "MESSAGE"
    info.identities = ()
    assert outcome(3) == "403"
    info.identities = ("partner.example",)
    rig.stack.configure(Reconfiguration(trusted=[]), rig.now)
    assert outcome(4) == "403"


def test_what_it_asserts() -> None:
    """RFC 3325 5: it is of the trust domain in both directions, for as long as it proves to be the domain."""
    rig = Rig(listeners=[*LISTENERS, TLS], trusted=[PARTNER])
    rig.register("sip:bob@192.0.2.2")
    conn = rig.stack.new_connection()
    info = OpenConnection(9, "tls", (HOST, 5061), HOME, True)
    rig.take(rig.stack.connection_opened(conn, info, rig.now))
    asserted = ("P-Asserted-Identity", "<sip:boss@partner.example>")
    for number, identities in enumerate((("partner.example",), ())):
        info.identities = identities
        headers = [("Contact", "<sip:x@203.0.113.5;transport=tls>"), asserted]
        data = request(
            transport="TLS",
            branch=f"z9hG4bKi{number}",
            call_id=f"i{number}",
            sender="<sip:x@partner.example>",
            headers=headers,
        )
        invite = only(rig.tcp(conn, data), "INVITE")
        assert invite.message.has("p-asserted-identity") is bool(identities)
        rig.udp(reply(invite, 200), BOB)
        # Its answer to a request of bob's, over its connection.
        data = request(
            "INFO",
            "sip:x@203.0.113.5;transport=tls",
            source=BOB,
            branch=f"z9hG4bKb{number}",
            call_id=f"i{number}",
            sender="<sip:bob@biloxi.test>",
            from_tag="bob",
            to="<sip:x@partner.example>",
            to_tag="alice",
            headers=[("Route", rig.callees_route())],
        )
        info_out = only(rig.udp(data, BOB), "INFO")
        assert info_out.to == conn
        answer = only(rig.tcp(conn, reply(info_out, 200, headers=[asserted])), "200")
        assert answer.message.has("p-asserted-identity") is bool(identities)
