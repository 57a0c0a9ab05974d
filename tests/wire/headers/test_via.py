"""Via (RFC 3261 20.42)."""

from __future__ import annotations

import pytest

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import Via, parse_via
from sansip.wire.headers.via import ORDINARY_VIA_LINE, ordinary_via, salvage_via

FORMS = [
    "SIP/2.0/UDP Host.example.com;branch=z9hG4bK1",
    "SIP/2.0/TCP host:5061;rport;branch=z9hG4bK1",
    "SIP/2.0/TLS 192.0.2.1:65535;branch=z9hG4bK1;rport",
    "SIP/2.0/UDP a-b.c;branch=z",
]


@pytest.mark.parametrize("text", FORMS)
def test_both_ways_agree(text: str) -> None:
    """The pattern for the ordinary form reads what the general one reads."""
    match = ORDINARY_VIA_LINE.fullmatch(f"Via: {text}")
    assert match is not None
    quick, general = ordinary_via(match), parse_via(text)
    for name in ("protocol", "version", "transport", "host", "port", "branch", "params", "sent_by"):
        assert getattr(quick, name) == getattr(general, name)
    assert str(quick) == str(general)
    assert list(quick.params) == list(general.params)


def test_all_parameters() -> None:
    """RFC 3261 20.42, RFC 3581, and extensions."""
    via = parse_via(
        'sip/2.0/udp [2001:DB8::1]:5060;ttl=16;MADDR=[FF02::1];received=::1;rport=42;branch=b;x="y, z";q'
    )
    assert (via.protocol, via.version, via.transport) == ("SIP", "2.0", "UDP")
    assert (via.host, via.port, via.sent_by) == ("2001:db8::1", 5060, "[2001:db8::1]:5060")
    assert (via.ttl, via.maddr, via.received, via.rport, via.branch) == (16, "ff02::1", "::1", 42, "b")
    assert via.params["x"] == '"y, z"'
    assert via.params["q"] is None
    assert via.wants_rport
    assert parse_via(str(via)).params == via.params
    assert repr(via).startswith("<Via SIP/2.0/UDP [2001:db8::1]:5060;ttl=16")


def test_absent_parameters() -> None:
    """None; a flag rport is asked for but has no value."""
    via = parse_via("SIP/2.0/UDP h;rport")
    assert (via.branch, via.received, via.rport, via.ttl, via.maddr, via.port) == (None,) * 6
    assert via.wants_rport
    assert not parse_via("SIP/2.0/UDP h").wants_rport


def test_white_space_everywhere() -> None:
    """RFC 3261 25.1: around slashes, semicolons and equals signs, and around the port's colon."""
    via = parse_via("  SIP  / 2.0 /  TCP\t spindle.example.com : 5060  ;  branch  =  z9hG4bK9ikj8 ")
    assert (via.transport, via.host, via.port, via.branch) == (
        "TCP",
        "spindle.example.com",
        5060,
        "z9hG4bK9ikj8",
    )


def test_changes() -> None:
    """A Via never changes, a changed one is new."""
    via = parse_via("SIP/2.0/UDP h:5060;branch=b;rport")
    changed = via.replace(host="g", port=None, alias=None)
    assert str(changed) == "SIP/2.0/UDP g;branch=b;rport;alias"
    assert (
        str(via.replace(rport="7", received="192.0.2.1"))
        == "SIP/2.0/UDP h:5060;branch=b;rport=7;received=192.0.2.1"
    )
    assert str(via) == "SIP/2.0/UDP h:5060;branch=b;rport"
    assert str(Via.build("ws", "H")) == "SIP/2.0/WS h"
    with pytest.raises(LocalProtocolError):
        via.replace(x="a b")


def test_salvage_of_a_wellformed_one() -> None:
    """All of it."""
    via = salvage_via("SIP/2.0/UDP h;branch=b;x")
    assert via is not None
    assert via.params == {"branch": "b", "x": None}
    via = salvage_via("SIP/2.0/UDP [::1]:5070;branch=b;x=(")
    assert via is not None
    assert (via.host, via.port, via.params) == ("::1", 5070, {"branch": "b"})
    assert salvage_via("SIP/2.0/UDP [::1::2];branch=b") is None


@pytest.mark.parametrize(
    "text", ["SIP/2.0/UDP h x", "SIP/2.0/UDP h:0x", "SIP/2.0/UDP h;", "SIP/2.0/UDP h:;branch=x"]
)
def test_malformed(text: str) -> None:
    """The error is about Via."""
    with pytest.raises(RemoteProtocolError, match=r"^Via: "):
        parse_via(text)
