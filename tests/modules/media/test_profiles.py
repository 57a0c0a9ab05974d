"""Which calls need a relay, and what it is told for each pair of sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.modules.media import MediaSettings
from sansip.modules.media.profiles import (
    NO_WISH,
    Side,
    Ways,
    Wish,
    needed,
    side_at,
    side_in,
    side_of,
    toward,
)
from sansip.sdp import parse
from tests.sdp.texts import BROWSER, PHONE, lines

PHONE4, PHONE6 = Side(family="IP4"), Side(family="IP6")
WEB = Side(browser=True, family="IP4")


def test_sides() -> None:
    """By DTLS in the description (RFC 8827), or by the way to the phone (RFC 7118)."""
    assert side_in(parse(BROWSER)) == WEB
    assert side_in(parse(PHONE)) == PHONE4
    assert side_at("wss", "2001:db8::1") == Side(True, "IP6")
    assert side_at("udp", "192.0.2.1") == PHONE4
    text = lines(
        "v=0",
        "m=audio x RTP/AVP 0",
        "m=audio 0 RTP/AVP 0",
        "m=audio 4 RTP/SAVP 0",
        "c=IN IP6 ::2",
        "a=crypto:1 a b",
    )
    assert side_in(parse(text)) == Side(False, "IP6", True)
    assert side_in(parse(lines("v=0"))) == Side()


@pytest.mark.parametrize(
    ("profiles", "source", "target", "nat", "wanted"),
    [
        (["always"], PHONE4, PHONE4, False, True),
        (["nat"], PHONE4, PHONE4, True, True),
        (["nat"], PHONE4, PHONE6, False, False),
        (["webrtc"], WEB, PHONE4, False, True),
        (["webrtc"], PHONE4, WEB, False, True),
        (["webrtc"], WEB, WEB, False, False),
        (["ipv4-ipv6"], PHONE4, PHONE6, False, True),
        (["ipv4-ipv6"], PHONE4, Side(), False, False),
        ([], WEB, PHONE6, True, False),
    ],
)
def test_needed(profiles: list[str], source: Side, target: Side, nat: bool, wanted: bool) -> None:
    """Each profile has one reason."""
    assert needed(profiles, source, target, nat) is wanted


def test_browser_to_phone_and_back() -> None:
    """kamailio.md F15: plain RTP without ICE for the phone, DTLS-SRTP with ICE for the browser."""
    settings = MediaSettings()
    there = toward(settings, NO_WISH, WEB, PHONE4, offer=True)
    assert (there.keys["ICE"], there.keys["transport-protocol"], there.keys["rtcp-mux"]) == (
        "remove",
        "RTP/AVP",
        ["demux"],
    )
    back = toward(settings, NO_WISH, PHONE4, WEB, offer=True)
    assert (back.keys["ICE"], back.keys["transport-protocol"]) == ("force", "UDP/TLS/RTP/SAVPF")
    assert back.keys["SDES"] == ["off"]
    same = toward(settings, NO_WISH, WEB, WEB, offer=True)
    assert "ICE" not in same.keys


def test_families() -> None:
    """Who reads it gets an address of its own family."""
    assert toward(MediaSettings(), NO_WISH, PHONE4, PHONE6, offer=True).family == "IP6"
    assert toward(MediaSettings(profiles=["nat"]), NO_WISH, PHONE4, PHONE6, offer=True).family == ""


def test_strict_by_default() -> None:
    """RTP bleed and inject: after the first packet nobody else is heard; SDES is encrypted anew."""
    options = toward(MediaSettings(), NO_WISH, Side(keys=True), PHONE4, offer=True)
    assert options.flags == ("strict-source", "recrypt")
    assert options.keys["endpoint-learning"] == "immediate"
    off = MediaSettings(strict_source=False, recrypt=False)
    assert toward(off, NO_WISH, Side(keys=True), PHONE4, offer=True).flags == ()
    wish = Wish(record=True, flags=("x",), keys=(("ICE", "remove"),))
    wished = toward(off, wish, PHONE4, WEB, offer=False)
    assert (wished.keys["record-call"], wished.keys["ICE"], wished.flags) == ("on", "remove", ("x",))


LINES = st.sampled_from(
    [
        "m=audio 4000 RTP/AVP 0",
        "m=audio 0 RTP/AVP 0",
        "m=audio 70000 RTP/AVP 0",
        "m=audio x RTP/AVP",
        "m=video 4/2 RTP/AVP 9",
        "m=",
        "c=IN IP4 192.0.2.1",
        "c=IN IP6 ::1",
        "c=IN IP4  192.0.2.1",
        "c=IN IP7 x",
        "c=IN IP4 x\0",
        "c=",
        "c=IN IP4 192.0.2.1 x",
        "a=fingerprint:sha-256 AB",
        "a=crypto:1 A b",
        "a=fingerprint",
        "t=0 0",
        "x\rm=audio 1 RTP/AVP 0",
        "m=audio 4000 RTP/AVP 0\0",
    ]
)


@given(st.lists(LINES, max_size=7), st.sampled_from([b"\r\n", b"\n"]), st.booleans())
def test_side_of(found: list[str], ends: bytes, ended: bool) -> None:
    """What is read of a description at a glance is what its lines say."""
    sdp = ends.join([b"v=0", *(one.encode() for one in found)]) + (ends if ended else b"")
    try:
        wanted: object = side_in(parse(sdp, most_media=2))
    except RemoteProtocolError as error:
        wanted = str(error)
    try:
        got: object = side_of(sdp, 2)
    except RemoteProtocolError as error:
        got = str(error)
    assert got == wanted


def test_ways() -> None:
    """Options are made once; keys of a route that cannot be compared are made each time, and no more kept."""
    settings = MediaSettings(profiles=["webrtc"])
    ways = Ways(settings)
    first = ways.toward(NO_WISH, WEB, PHONE4, offer=True)
    assert first == toward(settings, NO_WISH, WEB, PHONE4, offer=True)
    assert ways.toward(NO_WISH, WEB, PHONE4, offer=True) is first
    assert ways.toward(NO_WISH, PHONE4, WEB, offer=False) != first
    odd = Wish(profile="always", keys=(("codec", ["x"]),))
    assert ways.toward(odd, PHONE4, PHONE4, offer=True).keys["codec"] == ["x"]
    for number in range(600):
        # A peer may write any word as the address family.
        ways.toward(NO_WISH, Side(family=str(number)), PHONE4, offer=True)
    assert ways.toward(NO_WISH, WEB, PHONE4, offer=True) == first
    assert len(ways) <= 256
