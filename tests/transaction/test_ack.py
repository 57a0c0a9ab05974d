"""RFC 3261 9.1 and 17.1.1.3: the requests that are made from an INVITE."""

from __future__ import annotations

from sansip.transaction import build_cancel
from sansip.transaction.ack import build_ack
from sansip.wire import Request, parse_message
from tests.rig import request
from tests.transaction.bench import response


def invite(**changes: object) -> Request:
    message = parse_message(request(**changes))
    assert isinstance(message, Request)
    return message


def test_cancel() -> None:
    """9.1: Request-URI, Call-ID, To, From and the number of CSeq are the same; one Via; all Routes."""
    headers = [
        ("Via", "SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKbelow"),
        ("Route", "<sip:p1.test;lr>"),
        ("Route", "<sip:p2.test;lr>"),
        ("Require", "100rel"),
        ("Proxy-Require", "foo"),
        ("Contact", "<sip:alice@192.0.2.1>"),
    ]
    made = build_cancel(invite(headers=headers, cseq=77, to_tag="again", body=b"v=0\r\n"))
    assert made.to_bytes() == (
        b"CANCEL sip:bob@biloxi.test SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1\r\n"
        b"Route: <sip:p1.test;lr>\r\n"
        b"Route: <sip:p2.test;lr>\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:alice@biloxi.test>;tag=alice\r\n"
        b"To: <sip:bob@biloxi.test>;tag=again\r\n"
        b"Call-ID: call@192.0.2.1\r\n"
        b"CSeq: 77 CANCEL\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_cancel_with_a_reason() -> None:
    """RFC 3326 2: in any CANCEL."""
    reason = 'SIP;cause=200;text="Call completed elsewhere"'
    assert build_cancel(invite(), reason).get("reason") == reason


def test_the_top_via_of_several_on_one_line() -> None:
    """7.3.1: a comma separates Via values as well as a line does."""
    message = invite(via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa1, SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKbelow")
    assert build_cancel(message).get_all("via") == ["SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa1"]


def test_ack() -> None:
    """17.1.1.3: as above, with the To of the response."""
    made = build_ack(invite(cseq=5), response(486, "INVITE"))
    assert made.get("to") == "<sip:bob@biloxi.test>;tag=bob"
    assert made.get("cseq") == "5 ACK"
    assert made.get_all("via") == ["SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1"]


def test_octets_that_are_not_utf_8_survive() -> None:
    """The field of a peer goes back as it came, in any encoding."""
    made = build_cancel(invite(sender='"Al\\"<é" <sip:alice@biloxi.test>'))
    assert '"Al\\"<é" <sip:alice@biloxi.test>;tag=alice'.encode() in made.to_bytes()
