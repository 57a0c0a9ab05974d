"""RFC 3261 18.2.1 and 18.2.2, RFC 3581 4: noting the source, and the way of a response."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from sansip.transport import Flow, note_source
from sansip.wire import Request, parse_message
from tests.rig import ALICE, BOB_URI, UDP, UDP6, Rig, only, relay_to, reply, request, sent

SOURCE = ("192.0.2.1", 40000)


def note(via: str, source: Any = SOURCE, conn: int = 0) -> tuple[str, Flow]:
    """Return the top Via as noted, and where responses go."""
    message = parse_message(request("OPTIONS", via=via))
    assert isinstance(message, Request)
    back = note_source(message, Flow("tcp" if conn else "udp", 0, source, conn))
    return message.values("via")[0], back


def params(via: str, source: Any = SOURCE) -> dict[str, str | None]:
    message = parse_message(request("OPTIONS", via=via))
    assert isinstance(message, Request)
    note_source(message, Flow("udp", 0, source))
    return message.via.params


# --- 18.2.1


def test_a_name_gets_received() -> None:
    """If the host portion of sent-by is a domain name, received MUST be added."""
    assert params("SIP/2.0/UDP bobspc.biloxi.test:5060;branch=z9hG4bK1")["received"] == "192.0.2.1"


def test_another_address_gets_received() -> None:
    """Or an address that differs from the source of the packet."""
    assert params("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1")["received"] == "192.0.2.1"


def test_the_same_address_gets_none() -> None:
    """Nothing to say; the line stays octet for octet."""
    via = 'SIP/2.0/UDP 192.0.2.1:5060;Branch=z9hG4bK1;x="y"'
    assert note(via)[0] == via


def test_what_the_sender_wrote_as_received_is_replaced() -> None:
    """Where the packet came from is for us to say."""
    assert params("SIP/2.0/UDP host.test;received=203.0.113.9;branch=z9hG4bK1")["received"] == "192.0.2.1"


def test_ipv6() -> None:
    """RFC 5118 4.5: without brackets."""
    via = "SIP/2.0/UDP [2001:db8::9];branch=z9hG4bK1"
    assert params(via, ("2001:db8::1", 5060, 0, 0))["received"] == "2001:db8::1"
    assert "received" not in params(via, ("2001:db8::9", 5060, 0, 0))


def test_no_zone_leaves_this_host() -> None:
    """RFC 4007 11.2: a zone identifier means something here alone, and is no token of an address."""
    source = ("fe80::1%eth0", 5060, 0, 2)
    assert params("SIP/2.0/UDP phone.test;branch=z9hG4bK1", source)["received"] == "fe80::1"
    assert params("SIP/2.0/UDP phone.test;rport;branch=z9hG4bK1", source)["received"] == "fe80::1"


# --- RFC 3581 4


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1",
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
        "SIP/2.0/UDP 192.0.2.1:5060 ; rport ; branch=z9hG4bK1",
        'SIP/2.0/UDP host.test;branch=z9hG4bK1;rport;x="a;rport"',
        "SIP/2.0/UDP host.test;rport;received=1.2.3.4;branch=z9hG4bK1",
        "SIP/2.0/UDP host.test;rports;rport;branch=z9hG4bK1",
    ],
)
def test_rport(via: str) -> None:
    """The flag gets the source port; received is added even where it equals sent-by."""
    noted = params(via)
    assert (noted["rport"], noted["received"]) == ("40000", "192.0.2.1")
    assert noted["branch"] == "z9hG4bK1"


def test_rport_in_capitals() -> None:
    """RFC 3261 7.3.1: it is the same flag; beside a second one of ours nobody could read the line."""
    written = note("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;RPort")[0]
    assert written.lower().count("rport") == 1
    assert written.endswith(";rport=40000;received=192.0.2.1")


def test_the_other_values_of_the_line_stay() -> None:
    """Only the top Via is ours to note in."""
    below = "SIP/2.0/UDP 192.0.2.77;rport;branch=z9hG4bK2"
    message = parse_message(request("OPTIONS", via=f"SIP/2.0/UDP h.test;rport;branch=z9hG4bK1, {below}"))
    assert isinstance(message, Request)
    note_source(message, Flow("udp", 0, SOURCE))
    assert message.values("via")[1] == below
    assert message.via.rport == 40000


def test_an_rport_with_a_value() -> None:
    """RFC 3581 4 speaks of an rport without one; a value of the sender's is left as it is."""
    assert params("SIP/2.0/UDP 192.0.2.1;rport=77;branch=z9hG4bK1")["rport"] == "77"
    assert note("SIP/2.0/UDP 192.0.2.1;rport=77;branch=z9hG4bK1")[1].address == SOURCE


# --- 18.2.2 on datagrams


@pytest.mark.parametrize(
    ("via", "where"),
    [
        # received (the source) and the port of sent-by, or 5060
        ("SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1", ("192.0.2.1", 5070)),
        ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", ("192.0.2.1", 5060)),
        ("SIP/2.0/UDP host.test:5070;branch=z9hG4bK1", ("192.0.2.1", 5070)),
        ("SIP/2.0/UDP 198.51.100.1:5070;branch=z9hG4bK1", ("192.0.2.1", 5070)),
        # RFC 3581: received and rport
        ("SIP/2.0/UDP 10.0.0.1:5070;rport;branch=z9hG4bK1", SOURCE),
        # an maddr of a stranger is as if it were not there
        ("SIP/2.0/UDP 192.0.2.1:5070;maddr=192.0.2.66;branch=z9hG4bK1", ("192.0.2.1", 5070)),
        ("SIP/2.0/UDP host.test;maddr=224.0.1.75;ttl=16;branch=z9hG4bK1", ("192.0.2.1", 5060)),
        ("SIP/2.0/UDP 10.0.0.1:5070;rport;maddr=192.0.2.66;branch=z9hG4bK1", SOURCE),
    ],
)
def test_where_responses_go(via: str, where: tuple[str, int]) -> None:
    """The source, at its own port or that of sent-by."""
    assert note(via)[1].address[:2] == where


@pytest.mark.parametrize(
    ("via", "where"),
    [
        # maddr before both, with the port of sent-by
        ("SIP/2.0/UDP 10.0.0.1:5070;maddr=192.0.2.66;branch=z9hG4bK1", ("192.0.2.66", 5070)),
        ("SIP/2.0/UDP 10.0.0.1;maddr=192.0.2.66;branch=z9hG4bK1", ("192.0.2.66", 5060)),
        ("SIP/2.0/UDP 10.0.0.1:5070;rport;maddr=192.0.2.66;branch=z9hG4bK1", ("192.0.2.66", 5070)),
        ("SIP/2.0/UDP 10.0.0.1:5070;maddr=[2001:db8::66];branch=z9hG4bK1", ("2001:db8::66", 5070)),
        # a name in maddr would need a question; the source is as good
        ("SIP/2.0/UDP 192.0.2.1:5070;maddr=multicast.test;branch=z9hG4bK1", ("192.0.2.1", 5070)),
    ],
)
def test_where_responses_to_the_trusted_go(via: str, where: tuple[str, int]) -> None:
    """18.2.2: to the maddr, for senders that ``via_maddr`` allows."""
    message = parse_message(request("OPTIONS", via=via))
    assert isinstance(message, Request)
    flow = Flow("udp", 0, SOURCE)
    assert note_source(message, flow, "private", lambda one: one is flow).address[:2] == where
    # RFC 3261 18.2.1, RFC 3581 4: the source is noted all the same.
    assert (message.via.received == SOURCE[0]) is (message.via.host != SOURCE[0])
    assert message.via.rport == (SOURCE[1] if ";rport" in via else None)


@pytest.mark.parametrize("policy", ["ignore", "trusted"])
@pytest.mark.parametrize("source", [ALICE, ("192.0.2.2", 5060)])
def test_whose_maddr_counts(policy: Any, source: Any) -> None:
    """``ProxyConfig.via_maddr``: of no peer, or of peers trusted by their address."""
    rig = Rig(proxy=ProxyConfig(via_maddr=policy), trusted=[TrustedPeer(ALICE[0])])
    via = f"SIP/2.0/UDP {source[0]};maddr=198.51.100.9;branch=z9hG4bK1"
    followed = policy == "trusted" and source is ALICE
    # RFC 3261 18.2.2; a malformed request is answered the same way.
    for data in (
        request("OPTIONS", "sip:biloxi.test", via=via),
        request("OPTIONS", "sip:biloxi.test:x", via=via),
    ):
        (out,) = rig.udp(data, source)
        assert out.to == (("198.51.100.9", 5060) if followed else source)


def test_received_is_ours_to_write() -> None:
    """18.2.1: a value that the sender wrote is removed, even where its sent-by tells the truth."""
    via = "SIP/2.0/UDP 192.0.2.1:5060;received=203.0.113.9;branch=z9hG4bK1"
    assert params(via)["received"] == "192.0.2.1"


def test_ipv6_addresses_keep_their_scope() -> None:
    """The flow label and scope of recvfrom are needed to send to a link-local address."""
    source = ("fe80::1%eth0", 40000, 0, 2)
    assert note("SIP/2.0/UDP h.test:5070;branch=z9hG4bK1", source)[1].address == ("fe80::1%eth0", 5070, 0, 2)


def test_nothing_to_answer_by() -> None:
    """Without a Via that can be understood there is nowhere to send to."""
    message = parse_message(request("OPTIONS"))
    assert isinstance(message, Request)
    message.remove("Via")
    with pytest.raises(RemoteProtocolError):
        note_source(message, Flow("udp", 0, SOURCE))


# --- 18.2.2 on streams


def test_a_response_takes_the_same_connection() -> None:
    """While it is open, whatever Via says."""
    _, back = note("SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bK1", conn=7)
    assert back.conn == 7


@pytest.mark.parametrize("rport", ["", ";rport"])
def test_the_connection_is_gone(rport: str) -> None:
    """Then one is opened to the source address and the sent-by port; rport is for datagrams."""
    rig = Rig(relay_to(BOB_URI))
    conn = rig.accept(("192.0.2.1", 40001))
    via = f"SIP/2.0/TCP 10.0.0.1:5070{rport};branch=z9hG4bKa1"
    branch = only(rig.tcp(conn, request(via=via)), "INVITE")
    rig.closed(conn)
    connect = only(rig.udp(reply(branch, 200), ("192.0.2.2", 5060)), "Connect")
    assert connect.to == ("192.0.2.1", 5070)
    assert sent(rig.opened(connect)) == [("200", connect.action.conn)]


def test_the_default_port() -> None:
    """18.2.2: or the default port of the transport, where sent-by has none."""
    assert note("SIP/2.0/TCP host.test;branch=z9hG4bK1", conn=7)[1].address == ("192.0.2.1", 5060)


# --- through a stack


def test_the_listener_that_received_answers() -> None:
    """RFC 3581 4: from the address and port that the request was received on."""
    rig = Rig()
    for listener, source in ((UDP, ALICE), (UDP6, ("2001:db8::1", 5060, 0, 0))):
        (out,) = rig.udp(request("FOO", source=source[:2], branch=f"z9hG4bK{listener}"), source, listener)
        assert out.action.listener == listener


def test_a_malformed_request_is_answered_by_its_via() -> None:
    """18.2.2 holds for a 400 as well."""
    rig = Rig()
    data = request("OPTIONS", via="SIP/2.0/UDP 10.0.0.1:5070;rport;branch=z9hG4bK1").replace(
        b"CSeq: 1", b"CSeq: x"
    )
    assert sent(rig.udp(data, SOURCE)) == [("400", SOURCE)]
    data = request("OPTIONS", via="SIP/2.0/UDP 198.51.100.1:5070;branch=z9hG4bK1").replace(
        b"CSeq: 1", b"CSeq: x"
    )
    assert sent(rig.udp(data, SOURCE)) == [("400", ("192.0.2.1", 5070))]
    assert rig.log[-1].message.via.received == "192.0.2.1"


def test_the_transport_that_via_names_does_not_count() -> None:
    """A Via that says TCP on a datagram: what matters is how it came."""
    (out,) = Rig().udp(request("FOO", transport="TCP"))
    assert out.to == ALICE
    rig = Rig()
    conn = rig.accept()
    (out,) = rig.tcp(conn, request("FOO", transport="UDP"))
    assert out.to == conn


def test_forwarded_with_what_was_noted() -> None:
    """18.2.1: the parameter is added before the request is passed up, so it is in the forwarded one."""
    rig = Rig(relay_to(BOB_URI))
    out = only(rig.udp(request(via="SIP/2.0/UDP host.test;rport;branch=z9hG4bKa1"), SOURCE), "INVITE")
    assert out.message.vias[1].params["received"] == "192.0.2.1"
    assert out.message.vias[1].params["rport"] == "40000"
