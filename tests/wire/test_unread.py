"""A message that nobody has read is read at the first look, and is an ordinary one from then on."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.wire import Request, Response, parse_message
from sansip.wire.unread import LAZY, is_unread, read_later, unread_request, unread_response

REQUEST = b"""MESSAGE sip:bob@biloxi.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa
Max-Forwards: 70
From: <sip:alice@atlanta.test>;tag=a
To: <sip:bob@biloxi.test>
Call-ID: a
CSeq: 1 MESSAGE
Content-Length: 4

body""".replace(b"\n", b"\r\n")
RESPONSE = REQUEST.replace(b"MESSAGE sip:bob@biloxi.test SIP/2.0", b"SIP/2.0 180 Ringing")

pytestmark = pytest.mark.skipif(not LAZY, reason="the compiled build reads each message at once")


def request() -> Request:
    return unread_request("MESSAGE", (parse_message, REQUEST))


def response() -> Response:
    return unread_response(180, (parse_message, RESPONSE))


@pytest.mark.parametrize(("make", "kind"), [(request, Request), (response, Response)])
@pytest.mark.parametrize(
    "look",
    [
        lambda message: message.keys,
        lambda message: message.via,
        lambda message: message.body,
        lambda message: message.get("subject"),
        lambda message: message.to_bytes(),
        lambda message: message.copy(),
        str,
        repr,
        lambda message: message.contacts,
        lambda message: message.start_line,
    ],
)
def test_any_look_reads_it(make: Any, kind: type, look: Any) -> None:
    """What a hook sees is what it would see of a message that was read at once."""
    data = REQUEST if kind is Request else RESPONSE
    message: Any = make()
    read = parse_message(data)
    assert isinstance(make(), kind)
    assert is_unread(message)
    seen = look(message)
    assert not is_unread(message)
    assert [type(message)] == [kind]
    assert str(seen) == str(look(read))
    assert message.to_bytes() == data


def test_what_is_known_is_read_without_octets() -> None:
    """Method and status are what hooks ask for first."""
    assert request().method == "MESSAGE"
    assert response().status == 180
    message = request()
    assert message.method
    assert is_unread(message)


def test_what_is_set_first_is_not_lost() -> None:
    """An edit without a look before it is an edit of the message as it came."""
    message = request()
    message.body = b"else"
    assert message.to_bytes() == REQUEST.replace(b"body", b"else")
    message = request()
    message.set_uri("sip:carol@biloxi.test")
    message.set_body(b"long body")
    assert message.to_bytes() == REQUEST.replace(b"bob@biloxi.test SIP", b"carol@biloxi.test SIP").replace(
        b"Content-Length: 4\r\n\r\nbody", b"Content-Length: 9\r\n\r\nlong body"
    )
    answer = response()
    answer.set_status(183)
    assert answer.to_bytes().startswith(b"SIP/2.0 183 Session Progress\r\nVia")


def test_a_missing_attribute_is_missing() -> None:
    """``hasattr`` asks for it; and a fault of an edit is that of any message."""
    message: Any = request()
    assert not hasattr(message, "status")
    assert not is_unread(message)
    with pytest.raises(LocalProtocolError):
        request().append("X", "a\r\nb")


def test_it_can_be_read_otherwise() -> None:
    """A step before the first look is taken at that look."""
    message = request()
    read_later(message, (lambda data: parse_message(data.replace(b"70", b"7")), REQUEST))
    assert message.max_forwards == 7
