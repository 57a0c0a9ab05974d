"""The joined octets equal those of a copy with the same edits."""

from __future__ import annotations

import pytest

from sansip.proxy.copying import copy_for
from sansip.proxy.octets import forwarded, trying
from sansip.proxy.target import Target
from sansip.wire import Request, parse_message, parse_uri, response_to

BODIES = ["", "Content-Length: 4\n", "l: 4\n"]
HEADS = [
    "Via: SIP/2.0/UDP a.test;branch=z9hG4bK1\nMax-Forwards: 9\n",
    "Record-Route: <sip:x.test;lr>\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1, SIP/2.0/UDP b.test\n",
    "Subject: é\n folded\nv: SIP/2.0/UDP a.test;branch=z9hG4bK1\nRecord-Route: <sip:x.test;lr>\n",
    "Max-Breadth: 7\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1\nVia: SIP/2.0/UDP b.test\nTimestamp: 3\n",
]


def read(head: str, body: str) -> Request:
    rest = "From: <sip:a@a.test>;tag=1\nTo: <sip:b@b.test>\nCall-ID: 1\nCSeq: 1 INVITE\n"
    text = f"INVITE sip:b@b.test SIP/2.0\n{head}{rest}{body}\nbody"
    message = parse_message(text.replace("\n", "\r\n").encode())
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "recorded", [(), ("Record-Route: <sip:near>",), ("Record-Route: 1", "Record-Route: 2")]
)
def test_a_forwarded_request_is_what_a_copy_would_be(head: str, body: str, recorded: tuple[str, ...]) -> None:
    """RFC 3261 16.6: each unedited line leaves octet for octet as it came, at any place."""
    request = read(head, body)
    uri = parse_uri("sip:b@192.0.2.2")
    copy = copy_for(request, Target(uri), 30)
    for line in recorded:
        copy.prepend_line("record-route", line)
    copy.prepend_line("via", "Via: ours")
    if not copy.has("content-length"):
        copy.append("Content-Length", len(copy.body))
    octets = forwarded(request, str(uri), request.max_forwards, 30, "Via: ours", recorded)
    assert copy.to_bytes() == octets
    assert "Via: ours" not in request.lines


@pytest.mark.parametrize("head", HEADS)
def test_a_100_is_what_a_response_would_be(head: str) -> None:
    """RFC 3261 8.2.6.1: the 100 has no To tag, and the Timestamp of the request."""
    request = read(head, "")
    assert response_to(request, 100, to_tag=None).to_bytes() == trying(request)
