"""Where a copy goes: the flow of a phone, its Path, or where the URI leads (RFC 3261 16.6 step 7)."""

from __future__ import annotations

import pytest

from sansip.registrar import RegistrarConfig
from tests.rig import (
    Rig,
    only,
    relay_to,
    request,
    sent,
    what,
)


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("tel:+15551234", "416"),
        ("mailto:bob@biloxi.test", "416"),
        ("sip:bob@192.0.2.2;transport=tls", "500"),
        ("sip:bob@192.0.2.2;transport=carrierpigeon", "500"),
    ],
)
def test_uris_that_lead_nowhere(uri: str, status: str) -> None:
    """21.4.14 for a scheme; a transport that we do not speak is a 503, so 500."""
    assert what(Rig(relay_to(uri)).udp(request()))[-1] == status


def test_a_living_connection_is_used() -> None:
    """The flow that the phone registered over (RFC 5626's reason): the only way through its NAT."""
    rig = Rig()
    conn = rig.accept(("192.0.2.2", 40002))
    headers = [("Contact", "<sip:bob@10.0.0.2:5060;transport=tcp>"), ("Expires", "600")]
    data = request(
        "REGISTER", "sip:biloxi.test", transport="TCP", sender="<sip:bob@biloxi.test>", headers=headers
    )
    assert what(rig.tcp(conn, data)) == ["200"]
    assert sent(rig.udp(request(branch="z9hG4bKa2", call_id="2")))[-1] == ("INVITE", conn)


def test_a_dead_connection_is_not() -> None:
    """Then the Contact says where to connect to."""
    rig = Rig()
    conn = rig.accept(("192.0.2.2", 40002))
    headers = [("Contact", "<sip:bob@192.0.2.2:5070;transport=tcp>"), ("Expires", "600")]
    data = request(
        "REGISTER", "sip:biloxi.test", transport="TCP", sender="<sip:bob@biloxi.test>", headers=headers
    )
    rig.tcp(conn, data)
    rig.closed(conn)
    connect = only(rig.udp(request(branch="z9hG4bKa2", call_id="2")), "Connect")
    assert connect.to == ("192.0.2.2", 5070)


def test_a_contact_without_a_transport_follows_the_flow() -> None:
    """A phone that registered over TCP and named no transport is not sent UDP."""
    rig = Rig()
    conn = rig.accept(("192.0.2.2", 40002))
    headers = [("Contact", "<sip:bob@192.0.2.2:40002>"), ("Expires", "600")]
    data = request(
        "REGISTER", "sip:biloxi.test", transport="TCP", sender="<sip:bob@biloxi.test>", headers=headers
    )
    rig.tcp(conn, data)
    out = only(rig.udp(request(branch="z9hG4bKa2", call_id="2")), "INVITE")
    assert out.to == conn
    assert out.message.via.transport == "TCP"


def test_a_path_goes_before_the_flow() -> None:
    """RFC 3327 5.4: the request goes through the proxies of the Path, whatever connection there is."""
    rig = Rig(registrar=RegistrarConfig(path_from="all"))
    rig.register(
        "sip:bob@10.0.0.2", params=";q=0.5", headers=[("Path", "<sip:192.0.2.77;lr>"), ("Supported", "path")]
    )
    out = only(rig.udp(request(branch="z9hG4bKa2", call_id="2")), "INVITE")
    assert out.to == ("192.0.2.77", 5060)
    assert out.message.get_all("route") == ["<sip:192.0.2.77;lr>"]
    assert out.message.uri_text == "sip:bob@10.0.0.2"
