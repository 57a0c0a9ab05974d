"""Properties of every message: legal in any spelling, or torn, or no message at all."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.wire import (
    Message,
    Request,
    SipUri,
    check_headers,
    message_parts,
    parse_message,
    parse_uri,
    response_to,
)
from tests.wire.strategies import Plain, plain_requests, spelled, torn


@given(st.data(), plain_requests)
def test_every_spelling_says_the_same(data: Any, plain: Plain) -> None:
    """RFC 3261 7.3.1: folds, white space, case, compact forms and order mean nothing."""
    octets = data.draw(spelled(plain))
    message = parse_message(octets)
    assert isinstance(message, Request)
    assert message.to_bytes() == octets
    assert (message.method, message.uri_text) == (plain.method, plain.uri)
    assert [(via.transport, via.branch) for via in message.vias] == [
        (transport.upper(), branch) for transport, _, branch in plain.vias
    ]
    assert [via.host for via in message.vias] == [host.strip("[]").lower() for _, host, _ in plain.vias]
    for address, (display, uri) in ((message.from_, plain.from_[:2]), (message.to, plain.to)):
        # A fold is white space, so white space is all that may change within quotes.
        assert address.display == display
        assert str(address.uri) == uri
    assert (message.from_tag, message.to_tag) == (plain.from_[2], None)
    assert message.call_id == plain.call_id
    assert message.cseq == (plain.cseq, plain.method)
    assert message.content_length == len(plain.body)
    assert message.body == plain.body
    assert message.get("x-filler") == 'a ,\t"b"'
    assert check_headers(message) == []
    assert str(parse_uri(plain.uri)) == plain.uri


@given(st.data(), plain_requests)
def test_the_short_way_and_the_long_way_agree(data: Any, plain: Plain) -> None:
    """The patterns for ordinary forms read the same values as the complete parsers."""
    quick = parse_message(data.draw(spelled(plain)))
    # Written anew from its parts, every field is in the ordinary form.
    plainly = Request.build(
        plain.method,
        plain.uri,
        [("Via", via) for via in quick.vias]
        + [
            ("From", quick.from_.replace()),
            ("To", quick.to.replace()),
            ("Call-ID", quick.call_id),
            ("CSeq", quick.cseq),
        ],
        plain.body,
    )
    again = parse_message(plainly.to_bytes())
    for one, other in zip(quick.vias, again.vias, strict=True):
        assert str(one) == str(other)
    assert (again.from_tag, again.from_.display) == (quick.from_tag, quick.from_.display)
    assert str(again.to.uri) == str(quick.to.uri)
    assert again.cseq == quick.cseq


@given(st.data(), plain_requests)
def test_responses_to_any_request(data: Any, plain: Plain) -> None:
    """RFC 3261 8.2.6: legal, with the same Vias, and matching the request."""
    request = parse_message(data.draw(spelled(plain)))
    assert isinstance(request, Request)
    response = parse_message(response_to(request, 200, to_tag="here").to_bytes())
    assert [str(via) for via in response.vias] == [str(via) for via in request.vias]
    assert (response.from_tag, response.to_tag) == (request.from_tag, "here")
    assert (response.call_id, response.cseq) == (request.call_id, request.cseq)


def use(message: Message) -> None:
    """Read all there is: only RemoteProtocolError may come of it."""
    readers = [
        "via",
        "vias",
        "reply_via",
        "from_",
        "to",
        "call_id",
        "cseq",
        "contacts",
        "routes",
        "expires",
        "uri",
    ]
    for name in [*readers, "record_routes", "paths", "max_forwards", "content_type", "require", "supported"]:
        with contextlib.suppress(RemoteProtocolError, AttributeError):
            getattr(message, name)
    with contextlib.suppress(RemoteProtocolError):
        message_parts(message)
    for key in dict.fromkeys(message.keys):
        message.get(key)
        message.values(key)
    check_headers(message)
    if isinstance(message, Request):
        response_to(message, 400, to_tag="t").to_bytes()
    message.copy().to_bytes()


def try_octets(octets: bytes, *, datagram: bool) -> None:
    try:
        message: Message | None = parse_message(octets, datagram=datagram)
    except RemoteProtocolError as error:
        message = error.message
    else:
        assert message is not None
        sent = message.to_bytes()
        assert octets.lstrip(b"\r\n").startswith(sent)
        assert parse_message(sent).to_bytes() == sent
        assert isinstance(message.from_.uri, SipUri) or str(message.from_.uri)
    if message is not None:
        use(message)


@given(st.data(), plain_requests, st.booleans())
def test_torn_messages(data: Any, plain: Plain, datagram: bool) -> None:
    """A message or a RemoteProtocolError, and nothing else, whatever is cut or put in."""
    try_octets(data.draw(torn(data.draw(spelled(plain)))), datagram=datagram)


@given(st.binary(max_size=200), st.booleans())
def test_any_octets(octets: bytes, datagram: bool) -> None:
    """The same for no message at all."""
    try_octets(octets, datagram=datagram)
    try_octets(b"OPTIONS sip:h SIP/2.0\r\n" + octets, datagram=datagram)
    try_octets(b"SIP/2.0 200 OK\r\n" + octets + b"\r\n\r\n", datagram=datagram)
