"""Hold and resume: a call's direction (RFC 3264 8.4)."""

from __future__ import annotations

import pytest

from sansip.errors import RemoteProtocolError
from sansip.sdp import direction_of, parse, with_direction
from tests.sdp.texts import PHONE, lines


def test_hold() -> None:
    """All media get it, the version rises (RFC 3264 8), and nothing else changes."""
    held = with_direction(PHONE, "sendonly")
    assert direction_of(held) == "sendonly"
    assert parse(held).origin.version == 8
    assert held == PHONE.replace(b"4526 7 IN", b"4526 8 IN").replace(b"a=sendrecv", b"a=sendonly")
    assert direction_of(with_direction(held, "sendrecv")) == "sendrecv"
    with pytest.raises(ValueError, match="both"):
        with_direction(PHONE, "both")


def test_of_the_first_used() -> None:
    """RFC 3264 6: a medium with port 0 says nothing; RFC 3264 8.4: the address 0.0.0.0 was hold."""
    base = ("v=0", "o=- 1 1 IN IP4 x", "s=-", "t=0 0", "a=recvonly")
    assert (
        direction_of(lines(*base, "m=audio 0 RTP/AVP 0", "a=inactive", "m=audio 2 RTP/AVP 0")) == "recvonly"
    )
    assert direction_of(lines(*base)) == "recvonly"
    assert direction_of(lines("v=0", "c=IN IP4 0.0.0.0", "m=audio 2 RTP/AVP 0")) == "sendonly"
    assert direction_of(b"") == "sendrecv"
    assert direction_of(lines("v=0", "m=audio x RTP/AVP 0")) == "sendrecv"


def test_no_origin() -> None:
    """A version that cannot be read is not raised."""
    text = lines("v=0", "o=x", "m=audio 2 RTP/AVP 0")
    assert with_direction(text, "inactive") == text + b"a=inactive\r\n"
    with pytest.raises(RemoteProtocolError):
        with_direction(b"", "inactive")
