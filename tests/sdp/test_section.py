"""A section's lines are read and edited alone; all others stay octet for octet (RFC 8866 5)."""

from __future__ import annotations

import pytest

from sansip.errors import LocalProtocolError
from sansip.sdp import Section

DATA = b"m=audio 1 RTP/AVP 0\r\ni=one\r\na=x\n\r\na=y:1\r\na=\xff\xfe\r\na=y:2"


def test_untouched() -> None:
    """Strange line ends, empty lines, octets that are no text and a missing last end: all stay."""
    section = Section(DATA)
    assert section.first("m") == "audio 1 RTP/AVP 0"
    assert section.attributes("y") == ["1", "2"]
    assert section.to_bytes() == DATA


def test_attributes() -> None:
    """RFC 8866 5.13: a flag, a value, a missing attribute; a longer name is another attribute."""
    section = Section(b"a=mid:1\r\na=middle:2\r\na=rtcp-mux\r\n")
    assert section.attribute("mid") == "1"
    assert section.attribute("rtcp-mux") == ""
    assert section.attribute("rtcp") is None
    assert section.attribute("MID") is None


def test_an_edit_keeps_the_rest() -> None:
    """One line changes, with the end that it had."""
    section = Section(DATA)
    section.set_attribute("y", "3")
    assert section.to_bytes() == DATA.replace(b"y:1", b"y:3").replace(b"a=y:2", b"")
    section.set_attribute("x", "flag no more")
    assert b"a=x:flag no more\n\r\n" in section.to_bytes()
    section.remove_attributes(["y", "x"])
    assert section.to_bytes() == b"m=audio 1 RTP/AVP 0\r\ni=one\r\n\r\na=\xff\xfe\r\n"


def test_a_new_line_has_its_place() -> None:
    """RFC 8866 5: connection before bandwidth before attributes."""
    section = Section(b"v=0\r\no=x\r\ns=-\r\nt=0 0\r\na=tool:x\r\n")
    section.set("c", "IN IP4 192.0.2.1")
    section.set("b", "AS:64")
    section.add_attribute("group", "BUNDLE 0")
    section.set_attribute("ice-lite")
    assert section.to_bytes() == (
        b"v=0\r\no=x\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nb=AS:64\r\nt=0 0\r\n"
        b"a=tool:x\r\na=group:BUNDLE 0\r\na=ice-lite\r\n"
    )
    section.set("c", "IN IP4 192.0.2.2")
    section.remove("b")
    assert section.all("c") == ["IN IP4 192.0.2.2"]
    assert section.first("b") is None


def test_a_last_line_without_an_end() -> None:
    """A line added behind it begins on its own."""
    section = Section(b"v=0\ns=-", b"\n")
    section.add_attribute("inactive")
    assert section.to_bytes() == b"v=0\ns=-\na=inactive\n"


@pytest.mark.parametrize("value", ["1\r\na=injected", "1\n", "\0"])
def test_one_line_is_one_line(value: str) -> None:
    """A value from elsewhere cannot add lines."""
    with pytest.raises(LocalProtocolError):
        Section(DATA).set_attribute("y", value)
    with pytest.raises(LocalProtocolError):
        Section(DATA).set("i", value)
