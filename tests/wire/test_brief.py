"""What is read in brief is what the reader reads: an answer made of it fits the request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.limits import DEFAULT
from sansip.transaction import server_key
from sansip.wire import Request, SipUri
from sansip.wire import brief as brief_module
from sansip.wire.brief import read_brief
from sansip.wire.reader import read_message
from tests.wire.head_messages import MESSAGES
from tests.wire.in_brief import InBrief
from tests.wire.strategies import plain_requests, spelled, torn

REGISTER = b"""REGISTER sip:biloxi.test:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.7:0506;rport;branch=z9hG4bK1
Max-Forwards: 70
To: "Bob, X" <sip:bob@BILOXI.test;user=phone>
From: Bob <sip:bob@biloxi.test>;tag=1
Call-ID: one@192.0.2.7
CSeq: 0007 REGISTER
Contact: <sip:bob@192.0.2.7:5061;transport=udp>;expires=60
Expires: 3600
Allow: INVITE, ACK
User-Agent:  phone
Supported: path
Content-Length:   0

""".replace(b"\n", b"\r\n")
OPTIONS = b"""OPTIONS sip:biloxi.test SIP/2.0
Via: SIP/2.0/UDP phone.test;branch=z9hG4bK1;rport
From: <sip:biloxi.test>
To: <sip:biloxi.test>
Call-ID: 1
CSeq: 1 OPTIONS
Content-Length: 0

""".replace(b"\n", b"\r\n")


READ = ("via", "from", "to", "call-id", "cseq", "max-forwards", "contact", "expires", "content-length",
        "user-agent", "supported")  # fmt: skip


pytestmark = pytest.mark.usefixtures("reader")


def agree(data: bytes) -> bool:
    """Assert that what is read in brief is what the reader reads; return whether it was."""
    read = read_brief(data, DEFAULT)
    if read is None:
        return False
    brief, lines = read
    message = read_message(data, DEFAULT, True)
    assert isinstance(message, Request)
    # RFC 3261 7.3.1: a field that is read stands once; what no answer needs may be a list.
    assert not [key for key in READ if message.keys.count(key) > 1]
    assert lines == tuple(
        line
        for key, line in zip(message.keys, message.lines, strict=True)
        if key in ("via", "from", "to", "call-id", "cseq")
    )
    uri: Any = message.uri
    assert isinstance(uri, SipUri)
    assert (uri.scheme, uri.password, uri.params, uri.headers) == ("sip", None, {}, [])
    assert (brief.method, brief.user, brief.host.lower()) == (message.method, uri.user, uri.host)
    assert (None if brief.port is None else int(brief.port)) == uri.port
    via = message.via
    assert len(message.vias) == 1
    assert (brief.sent_host.lower(), brief.branch) == (via.host, via.branch)
    assert (brief.sent_by, brief.key) == (via.sent_by, server_key(message))
    assert (None if brief.sent_port is None else int(brief.sent_port)) == via.port
    assert ("rport" in via.params) == (brief.rport is not None or brief.rport_behind is not None)
    assert set(via.params) <= {"branch", "rport"}
    sender: Any = message.from_.uri
    assert brief.from_host.lower() == sender.host
    to: Any = message.to.uri
    assert message.to_tag is None
    assert (brief.to_user, brief.to_host.lower()) == (to.user, to.host)
    assert (None if brief.to_port is None else int(brief.to_port)) == to.port
    assert (brief.call_id, int(brief.cseq)) == (message.call_id, message.cseq.number)
    assert message.max_forwards is None or message.max_forwards > 0
    assert not message.body
    for key in ("route", "require", "proxy-require", "path"):
        assert not message.has(key)
    contacts: Any = message.contacts
    if brief.contact_line is None:
        assert contacts == []
    else:
        (contact,) = contacts
        assert brief.contact_line == message.first_line("contact")
        assert brief.contact == str(contact.uri)
        assert (brief.contact_user, brief.contact_host.lower()) == (contact.uri.user, contact.uri.host)
        assert (None if brief.contact_port is None else int(brief.contact_port)) == contact.uri.port
        expected = {} if brief.contact_expires is None else {"expires": brief.contact_expires}
        assert contact.params == expected
    for text, name in (
        (brief.expires, "expires"),
        (brief.agent, "user-agent"),
        (brief.supported, "supported"),
    ):
        assert message.get(name) == (None if text is None else text.strip(" \t"))
    return True


def test_plain_requests() -> None:
    """These are what phones and SIPp send."""
    assert agree(REGISTER)
    assert agree(OPTIONS)
    read = read_brief(REGISTER, DEFAULT)
    assert read is not None
    parts, lines = read
    assert lines == (parts.via, parts.to, parts.from_, parts.call_id_line, parts.cseq_line)


SOURCES = [REGISTER, OPTIONS, *MESSAGES]


class TestInBrief(InBrief):
    """REGISTER and OPTIONS."""

    agree = staticmethod(agree)
    read = staticmethod(read_brief)
    plain = (REGISTER, OPTIONS)
    several = (b"Allow",)
    # Some fields change with their absence what is read of others.
    optional = None
    size = 300
    count = 10
    pieces = (*InBrief.pieces, b"Via", b"User-Agent: x\r\n")
    begun = (b"OPTIONS ", b"OPTIONS sip:", *[REGISTER[:at] for at in (60, 100, 150, -2)])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_odd_and_torn_requests(data: st.DataObject) -> None:
    """Whatever the spelling, whatever is missing."""
    octets = data.draw(plain_requests.flatmap(spelled) | st.sampled_from(SOURCES))
    if data.draw(st.booleans()):
        octets = data.draw(torn(octets))
    agree(octets)


def test_few_lines_are_remembered() -> None:
    """A stranger's lines take at most two megabytes: so many of them, of messages that are not long."""
    read, kept = brief_module._read_plainly, brief_module._other
    kept.cache_clear()
    head = REGISTER[:-2]
    for number in range(brief_module._REMEMBERED + 10):
        assert read(head + b"X: %d\r\n\r\n" % number) is not None
    assert kept.cache_info().currsize == brief_module._REMEMBERED
    kept.cache_clear()
    assert read(head + b"X: %s\r\n\r\n" % (b"x" * brief_module._MEMORABLE)) is not None
    assert kept.cache_info().currsize == 0


def test_rport_twice() -> None:
    """RFC 3261 7.3.1: the reader refuses it, so that a failure of it later would leave the stack."""
    data = OPTIONS.replace(b";branch", b";rport;branch")
    assert agree(OPTIONS)
    assert not agree(data)
