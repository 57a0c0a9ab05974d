"""The o= line that a phone sees (RFC 3264 8)."""

from __future__ import annotations

from sansip.b2bua.origin import Origin

FIRST = b"v=0\r\no=bob 7 3 IN IP4 192.0.2.2\r\ns=-\r\nm=audio 1 RTP/AVP 0\r\n"
OTHER = b"v=0\r\no=carol 1 1 IN IP4 192.0.2.3\r\ns=-\r\nm=audio 2 RTP/AVP 0\r\n"


def test_one_phone_passes_octet_for_octet() -> None:
    """Higher versions, the same once more, and a version that stays though the rest changes."""
    seen = Origin()
    for body in (FIRST, FIRST, FIRST.replace(b" 3 ", b" 4 "), FIRST.replace(b" 3 ", b" 4 ") + b"a=x\r\n"):
        assert seen.keep(body) == body


def test_another_phone_takes_its_place() -> None:
    """User, session and address stay, the version rises with each change, and not without one."""
    seen = Origin()
    seen.keep(FIRST)
    shown = seen.keep(OTHER)
    assert shown == OTHER.replace(b"o=carol 1 1 IN IP4 192.0.2.3", b"o=bob 7 4 IN IP4 192.0.2.2")
    assert seen.keep(OTHER) == shown
    changed = seen.keep(OTHER + b"a=sendonly\r\n")
    assert changed.startswith(b"v=0\r\no=bob 7 5 IN IP4 192.0.2.2\r\n")
    # The first one again, whose version is too low by now.
    assert b"o=bob 7 6 IN" in seen.keep(FIRST)
    assert seen.keep(FIRST.replace(b" 3 ", b" 9 ")) == FIRST.replace(b" 3 ", b" 9 ")


def test_what_is_no_description() -> None:
    """Bodies of other types, and those without a readable o= line, pass unchanged."""
    seen = Origin()
    seen.keep(FIRST)
    assert seen.keep(OTHER, "multipart/mixed") == OTHER
    for body in (
        b"",
        b"v=0\r\ns=-\r\n",
        b"v=0\r\no=x\r\n",
        b"v=0\r\no=a 1 x IN IP4 0\r\n",
        b"o=" + b"9" * 99,
    ):
        assert seen.keep(body) == body
