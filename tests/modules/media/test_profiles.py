"""Which calls need a relay, and what it is told for each pair of sides."""

from __future__ import annotations

import pytest

from sansip.modules.media import MediaSettings
from sansip.modules.media.profiles import NO_WISH, Side, Wish, needed, side_at, side_in, toward
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
