"""RFC 5118 4.8, 4.9: an IPv6 address is a number, and one in IPv6 clothes is IPv4, wherever it stands."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.routing import TrustedPeer
from tests.rig import BOB, HOST, HOST6, UDP6, Rig, only, relay_to, reply, request, sent, what, within

SOURCE: tuple[Any, ...] = ("2001:db8::1", 5060, 0, 0)
# HOST6 and SOURCE as others may write them.
OURS = ("2001:DB8::10", "2001:db8:0:0:0:0:0:10", "2001:0DB8::0010")
THEIRS = ("2001:DB8::1", "2001:db8:0:0:0:0:0:1", "2001:0db8:0::0001")


def via(host: str, branch: str = "z9hG4bK1", params: str = "") -> str:
    return f"SIP/2.0/UDP [{host}]:5060;branch={branch}{params}"


@pytest.mark.parametrize("host", THEIRS)
def test_a_via_in_another_spelling_is_no_nat(host: str) -> None:
    """18.2.1: sent-by is the source, so no received is added, and the line stays as it is."""
    seen: list[Any] = []

    def route(incoming: Any) -> None:
        seen.append(incoming.nat_signs)
        incoming.relay("sip:bob@[2001:db8::2]")

    rig = Rig(route)
    data = request(via=via(host), headers=[("Contact", f"<sip:alice@[{host}]>")])
    branch = only(rig.udp(data, SOURCE, UDP6), "INVITE")
    assert seen == [()]
    assert branch.message.values("via")[1] == via(host)


@pytest.mark.parametrize("host", THEIRS)
def test_a_transaction_in_two_spellings(host: str) -> None:
    """17.2.3: the ACK and the CANCEL of an INVITE are found, however their Via writes the address."""
    rig = Rig(relay_to("sip:bob@[2001:db8::2]"))
    branch = only(rig.udp(request(via=via("2001:db8::1")), SOURCE, UDP6), "INVITE")
    rig.udp(reply(branch, 180), ("2001:db8::2", 5060, 0, 0), UDP6)
    cancel = within(request(via=via(host)), "CANCEL")
    assert what(rig.udp(cancel, SOURCE, UDP6)) == ["200", "CANCEL"]


@pytest.mark.parametrize("host", OURS)
def test_our_own_addresses(host: str) -> None:
    """16.4: a Route that names us; 18.1.2: a Via that a peer wrote out anew; 16.3: a loop."""
    rig = Rig()
    outs = rig.udp(request("OPTIONS", f"sip:[{host}]", via=via("2001:db8::1")), SOURCE, UDP6)
    assert what(outs) == ["200"]
    rig = Rig(relay_to("sip:bob@[2001:db8::2]"))
    headers = [("Route", f"<sip:[{host}];lr>")]
    branch = only(rig.udp(request(via=via("2001:db8::1"), headers=headers), SOURCE, UDP6), "INVITE")
    assert not branch.message.has("route")
    answer = reply(branch, 200).replace(f"[{HOST6}]".encode(), f"[{host}]".encode())
    assert "200" in what(rig.udp(answer, ("2001:db8::2", 5060, 0, 0), UDP6))


@pytest.mark.parametrize("host", OURS)
def test_a_loop_in_another_spelling(host: str) -> None:
    """RFC 5393 4.2.2: our Via is found though somebody on the way wrote it out anew."""
    rig = Rig(relay_to("sip:bob@[2001:db8::2]"))
    branch = only(rig.udp(request(via=via("2001:db8::1")), SOURCE, UDP6), "INVITE")
    vias = branch.message.get_all("via")
    assert HOST6 in vias[0]
    back = [("Via", value.replace(HOST6, host)) for value in vias]
    again = request(via=via("2001:db8::7", "z9hG4bK7"), headers=back)
    assert what(rig.udp(again, ("2001:db8::7", 5060, 0, 0), UDP6)) == ["482"]


@pytest.mark.parametrize(
    "contact", ["[::ffff:192.0.2.2]", "[::FFFF:C000:0202]", "[0:0:0:0:0:ffff:192.0.2.2]"]
)
def test_a_contact_in_ipv6_clothes_is_ipv4(contact: str) -> None:
    """RFC 5118 4.9: it is reached over IPv4, by the listener for that; and its Via there is no NAT."""
    rig = Rig()
    rig.register(f"sip:bob@{contact}")
    branch = only(rig.udp(request()), "INVITE")
    assert (branch.to, branch.message.via.host) == (BOB, HOST)
    assert "180" in what(rig.udp(reply(branch, 180), BOB))


def test_a_via_in_ipv6_clothes_is_no_nat() -> None:
    rig = Rig(relay_to("sip:bob@192.0.2.2"))
    line = "SIP/2.0/UDP [::ffff:192.0.2.1]:5060;branch=z9hG4bK1"
    branch = only(rig.udp(request(via=line)), "INVITE")
    assert branch.message.values("via")[1] == line


def test_a_connection_is_found_by_its_number() -> None:
    """18: the connection that a phone has is used, however its Contact writes the address."""
    rig = Rig(relay_to("sip:bob@[2001:DB8:0::2]:40002;transport=tcp"))
    conn = rig.accept(("2001:db8::2", 40_002, 0, 0), 3)
    assert sent(rig.udp(request("MESSAGE", via=via("2001:db8::1")), SOURCE, UDP6)) == [("MESSAGE", conn)]


def test_who_is_trusted() -> None:
    """A peer is trusted by the number of its address, and a domain that is an address is one, too."""
    rig = Rig(trusted=[TrustedPeer("2001:DB8:0::1")], domains=["[2001:DB8::99]"])
    assert rig.stack.trusted.find("udp", "2001:db8::1", 5060) is not None
    aor = "<sip:bob@[2001:db8::0099]>"
    contact = [("Contact", "<sip:b@[2001:db8::1]>")]
    data = request("REGISTER", "sip:[2001:db8:0::99]", via=via("2001:db8::1"), to=aor, headers=contact)
    assert what(rig.udp(data, SOURCE, UDP6)) == ["200"]
    invite = only(rig.udp(request(uri="sip:bob@[2001:db8:0:0::99]"), SOURCE, UDP6), "INVITE")
    assert invite.to == ("2001:db8::1", 5060)
