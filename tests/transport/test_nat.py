"""The signs that a phone is behind a NAT, and what the transport does about it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.transport import Flow, note_source
from sansip.transport.nat import is_hidden, is_private, nat_signs
from sansip.wire import Request, parse_message
from tests.rig import Rig, request, sent

SOURCE = ("192.0.2.1", 40000)


def read(
    via: str, contact: str = "", body: bytes = b"", source: Any = SOURCE, transport: str = "udp"
) -> tuple[Request, Flow]:
    """A request as the stack has it when it looks for signs: with its source noted."""
    headers = [("Contact", contact)] if contact else []
    message = parse_message(
        request("INVITE", via=f"SIP/2.0/UDP {via};branch=z9hG4bK1", headers=headers, body=body)
    )
    assert isinstance(message, Request)
    flow = Flow(transport, 0, source, 0 if transport == "udp" else 7)
    note_source(message, flow)
    return message, flow


def signs(via: str, contact: str = "", body: bytes = b"", **options: Any) -> str:
    return " ".join(nat_signs(*read(via, contact, body, **options)))


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("10.0.0.1", True),
        ("127.0.0.1", True),
        ("0.0.0.0", True),
        ("169.254.1.1", True),
        ("172.15.0.1", False),
        ("172.16.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("192.0.0.1", True),
        ("192.0.2.1", False),
        ("100.63.0.1", False),
        ("100.64.0.1", True),
        ("100.99.0.1", True),
        ("100.127.255.255", True),
        ("100.128.0.1", False),
        ("100.6.0.1", False),
        ("8.8.8.8", False),
        ("101.0.0.1", False),
        ("fd00::1", True),
        ("fc00::1", True),
        ("fe80::1", True),
        ("febf::1", True),
        ("fec0::1", False),
        ("::1", True),
        ("::", True),
        ("2001:db8::1", False),
        ("10.example.com", False),
        ("example.com", False),
    ],
)
def test_private(host: str, private: bool) -> None:
    """RFC 1918, 6598, 7335, 3927, 4193, 4291, and loopback; the bounds of each."""
    assert is_private(host) is private


@pytest.mark.parametrize(
    ("via", "contact", "found"),
    [
        # No NAT in between.
        ("192.0.2.1:40000", "<sip:a@192.0.2.1:40000>", ""),
        ("192.0.2.1:40000;rport", "<sip:a@192.0.2.1:40000>", ""),
        ("phone.example.com", "<sip:a@phone.example.com>", ""),
        # A home network. Old phones ask for no rport, and get it (``force_rport``).
        ("10.0.0.9:5060;rport", "<sip:a@10.0.0.9:5060>", "contact via port"),
        ("10.0.0.9:5060", "<sip:a@10.0.0.9:5060>", "contact via port"),
        ("10.0.0.9:40000;rport", "<sip:a@10.0.0.9:40000>", "contact via"),
        # A gateway that rewrites one and not the other.
        ("192.0.2.1:40000;rport", "<sip:a@10.0.0.9>", "contact"),
        ("10.0.0.9:40000;rport", "<sip:a@192.0.2.1:40000>", "via"),
        # UPnP found the address and not the port.
        ("192.0.2.1:5060;rport", "<sip:a@192.0.2.1:5060>", "port"),
        # A phone that sends from another port than it listens on is in its right.
        ("192.0.2.1:5060", "<sip:a@192.0.2.1:5060>", ""),
        # Somebody else's address is no sign of a NAT.
        ("192.0.2.1:40000", "<sip:a@203.0.113.5>", ""),
        ("192.0.2.1:40000", "<tel:+123>", ""),
        ("192.0.2.1:40000", "<sip:a@", ""),
    ],
)
def test_signs(via: str, contact: str, found: str) -> None:
    """The table of ``sansip.transport.nat``."""
    assert signs(via, contact) == found


def test_media() -> None:
    """A private media address; not of a call on hold (RFC 3264 8.4), and not where the source is the same."""
    sdp = "v=0\r\nc=IN IP4 {}\r\n"
    for address, found in (("10.0.0.9", "sdp"), ("0.0.0.0", ""), ("192.0.2.1", ""), ("198.51.100.1", "")):
        assert signs("192.0.2.1:40000", body=sdp.format(address).encode()) == found
    assert signs("10.0.0.1", body=sdp.format("10.0.0.1").encode(), source=("10.0.0.1", 5060)) == ""


def test_streams() -> None:
    """On a connection the source port is anybody's, and no sign."""
    assert signs("192.0.2.1:5060;rport", "<sip:a@192.0.2.1>", transport="tcp") == ""
    assert signs("10.0.0.9:5060;rport", "<sip:a@10.0.0.9>", transport="tcp") == "contact via"


def test_behind_a_proxy() -> None:
    """Contact and media are the phone's, and the flow is the proxy's: they prove nothing together."""
    data = request(
        "INVITE",
        via="SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK1",
        headers=[("Via", "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK0"), ("Contact", "<sip:a@10.0.0.9>")],
        body=b"c=IN IP4 10.0.0.9\r\n",
    )
    message = parse_message(data)
    assert isinstance(message, Request)
    flow = Flow("udp", 0, SOURCE)
    assert nat_signs(message, flow) == ()
    assert not is_hidden(message, flow)


@pytest.mark.parametrize(
    ("via", "contact", "hidden"),
    [
        ("192.0.2.1:40000", "<sip:a@192.0.2.1:40000>", False),
        ("10.0.0.9:5060;rport", "<sip:a@10.0.0.9:5060>", True),
        ("192.0.2.1:40000;rport", "<sip:a@10.0.0.9>", True),
        ("192.0.2.1:5060;rport", "<sip:a@192.0.2.1:5060>", True),
        # The gateway of a home did half the work, and that half suffices.
        ("10.0.0.9:40000;rport", "<sip:a@192.0.2.1:40000>", False),
        # Public, and not the sender's own: it means what it says.
        ("10.0.0.9:5060;rport", "<sip:a@203.0.113.5>", False),
        ("10.0.0.9:5060;rport", "", False),
    ],
)
def test_hidden(via: str, contact: str, hidden: bool) -> None:
    """Whether the source is to be used in place of the Contact."""
    assert is_hidden(*read(via, contact)) is hidden


@pytest.mark.parametrize("via", ["2.16.1.2:5060", "2.16.1.2:40000", "2.16.1.2:40000;rport"])
@pytest.mark.parametrize(
    ("contact", "hidden"),
    [
        ("<sip:a@172.16.1.2>", True),
        ("<sip:172.16.1.2>", True),
        ("<sip:2.16.1.2@10.0.0.9>", True),
        ("<sip:a@10.2.16.1.2.test>", False),
        ("<sip:a@2.16.1.20>", False),
        ("<sip:2.16.1.2>", False),
    ],
)
def test_a_source_that_is_a_part_of_the_contact(via: str, contact: str, hidden: bool) -> None:
    """The octets of the source may stand in another address, in a user, in a name."""
    assert is_hidden(*read(via, contact, source=("2.16.1.2", 40000))) is hidden


@pytest.mark.parametrize(
    ("via", "contact", "hidden"),
    [
        # RFC 3261 10.2: the user who registers may be another than the callee.
        ("10.0.0.9:40000;rport", "<sip:a@10.0.0.20>", False),
        ("10.0.0.9:40000", "<sip:a@10.0.0.20>", False),
        # A phone behind a NAT inside the office: it does not know its source.
        ("192.168.7.7:5060;rport", "<sip:a@192.168.7.7:5060>", True),
        ("192.168.7.7:5060;rport", "<sip:a@10.0.0.20>", True),
    ],
)
def test_hidden_in_an_office(via: str, contact: str, hidden: bool) -> None:
    """A private address can be reached from a private network, and a true Via shows no NAT."""
    assert is_hidden(*read(via, contact, source=("10.0.0.9", 40000))) is hidden


# --- responses to those who did not ask for rport


@pytest.mark.parametrize(
    ("via", "when", "where"),
    [
        # RFC 3261 18.2.2: the source address, and the port of sent-by …
        ("198.51.100.9:5070", "private", ("192.0.2.1", 5070)),
        # … which lies behind the NAT where sent-by does.
        ("10.0.0.9:5070", "private", SOURCE),
        ("10.0.0.9:5070", "never", ("192.0.2.1", 5070)),
        ("198.51.100.9:5070", "always", SOURCE),
        ("192.0.2.1:5070", "private", ("192.0.2.1", 5070)),
        ("192.0.2.1:5070", "always", SOURCE),
        # No peer may choose an maddr (``ProxyConfig.via_maddr``).
        ("10.0.0.9:5070;maddr=192.0.2.66", "always", SOURCE),
    ],
)
def test_force_rport(via: str, when: str, where: Any) -> None:
    """``ProxyConfig.force_rport``."""
    message = parse_message(request("OPTIONS", via=f"SIP/2.0/UDP {via};branch=z9hG4bK1"))
    assert isinstance(message, Request)
    back = note_source(message, Flow("udp", 0, SOURCE), when)
    assert back.address[:2] == where
    # The next element's answers find the way, too: rport is written where it is used.
    assert (message.via.rport == SOURCE[1]) is (where == SOURCE)


def test_force_rport_in_a_route() -> None:
    """Kamailio's force_rport(): for the senders that a route chooses."""

    def route(handle: Any) -> None:
        assert handle.nat_signs == ("via",)
        assert handle.behind_nat
        handle.force_rport()
        handle.reply(200)

    data = request("OPTIONS", via="SIP/2.0/UDP 198.51.100.9:5070;branch=z9hG4bK1")
    assert sent(Rig(route).udp(data, SOURCE)) == [("200", SOURCE)]
