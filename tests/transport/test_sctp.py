"""SCTP in the stack: a transport of its own, whose messages have boundaries (RFC 4168)."""

from __future__ import annotations

import pytest

from sansip import ListenerConfig
from tests.rig import ALICE, BOB, HOST, LISTENERS, Rig, only, relay_to, reply, request, sent, what

SCTP = 9
WITH_SCTP = (*LISTENERS, ListenerConfig(SCTP, "sctp", HOST, 5060))
TARGET = "sip:bob@192.0.2.2;transport=sctp"


def test_a_uri_leads_over_an_association() -> None:
    """RFC 4168 4 and 5: Via has SCTP, the association is opened as TCP's connection is, nothing is resent."""
    rig = Rig(relay_to(TARGET), listeners=WITH_SCTP)
    connect = only(rig.udp(request()), "Connect")
    assert (connect.action.transport, connect.action.listener, connect.to) == ("sctp", SCTP, BOB)
    invite = only(rig.opened(connect), "INVITE")
    assert invite.message.via.transport == "SCTP"
    assert rig.wait(10) == []
    outs = rig.tcp(connect.action.conn, reply(invite, 200), boundary=True)
    assert sent(outs) == [("200", ALICE)]


def test_each_boundary_is_a_message() -> None:
    """RFC 4168 5: no Content-Length is needed, for nothing has to be framed."""
    rig = Rig(relay_to("sip:bob@192.0.2.2"), listeners=WITH_SCTP)
    conn = rig.accept(listener=SCTP, transport="sctp")
    data = request("OPTIONS", transport="SCTP", length=False)
    outs = rig.tcp(conn, data, boundary=True)
    assert sent(outs) == [("OPTIONS", BOB)]
    assert sent(rig.udp(reply(outs[0], 200), BOB)) == [("200", conn)]


def test_an_association_is_used_again() -> None:
    """RFC 3261 18.1.1: a second request to the same place opens nothing."""
    rig = Rig(relay_to(TARGET), listeners=WITH_SCTP)
    connect = only(rig.udp(request("OPTIONS")), "Connect")
    rig.opened(connect)
    outs = rig.udp(request("OPTIONS", call_id="second", branch="z9hG4bKsecond"))
    assert sent(outs) == [("OPTIONS", connect.action.conn)]


@pytest.mark.parametrize(
    ("target", "listeners"),
    [
        # No peer could answer us, or call back.
        (TARGET, LISTENERS),
        # RFC 4168 4: sips over SCTP is TLS-SCTP; in the clear it must not go.
        ("sips:bob@192.0.2.2;transport=sctp", WITH_SCTP),
        ("sip:bob@192.0.2.2;transport=tls-sctp", WITH_SCTP),
    ],
)
def test_where_it_must_not_go(target: str, listeners: tuple[ListenerConfig, ...]) -> None:
    """Refused, not sent some other way."""
    rig = Rig(relay_to(target), listeners=listeners)
    outs = rig.udp(request())
    assert what(outs)[-1] in ("480", "500", "503")
    assert "Connect" not in what(outs)
    assert "INVITE" not in what(outs)
