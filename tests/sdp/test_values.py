"""The values of o= and c= (RFC 8866 5.2, 5.7)."""

from __future__ import annotations

import pytest

from sansip.errors import RemoteProtocolError
from sansip.sdp.values import parse_connection, parse_origin


def test_origin() -> None:
    """It reads and writes alike."""
    text = "jdoe 3724394400 3724394405 IN IP6 2001:db8::1"
    origin = parse_origin(text)
    assert (origin.username, origin.session, origin.version, origin.family) == (
        "jdoe",
        "3724394400",
        3724394405,
        "IP6",
    )
    assert str(origin) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b c IN IP4 x",
        "a b 1 IN IP4",
        "a b 1 IN  x y",
        "a b " + "1" * 21 + " IN IP4 x",
        "a b ² IN IP4 x",
        "a b 1 IN IP4 x\ry",
        "a\0 b 1 IN IP4 x",
    ],
)
def test_malformed_origin(text: str) -> None:
    """RFC 8866 5.2: six fields, the third a number."""
    with pytest.raises(RemoteProtocolError, match="o="):
        parse_origin(text)


def test_connection() -> None:
    """RFC 8866 5.7: a TTL is not part of the address; RFC 3264 8.4: zeros held a call."""
    connection = parse_connection("IN IP4 224.2.1.1/127/3")
    assert (connection.family, connection.host, connection.held) == ("IP4", "224.2.1.1", False)
    assert str(connection) == "IN IP4 224.2.1.1/127/3"
    assert parse_connection("IN IP4 0.0.0.0").held
    assert parse_connection("IN IP6 ::").held
    for text in ("", "IN IP4", "IP4 x y", "IN IP4 x y", "IN IP4 x\ry", "IN IP4 \0"):
        with pytest.raises(RemoteProtocolError, match="c="):
            parse_connection(text)
