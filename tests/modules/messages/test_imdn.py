"""Notices of delivery: what a message/cpim asks for, and what the server says (RFC 5438)."""

from __future__ import annotations

import pytest
from lxml import etree

from sansip.modules.messages.imdn import asked, notice

IM = (
    b"From: Alice <im:alice@example.com>\r\nTo: Bob <im:bob@example.com>\r\n"
    b"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\n"
    b"DateTime: 2006-04-04T12:16:49-05:00\r\n"
    b"imdn.Disposition-Notification: positive-delivery, negative-delivery, Processing\r\n"
    b"\r\nContent-type: text/plain\r\nContent-length: 12\r\n\r\nHello World\r\n"
)


def test_what_a_message_asks_for() -> None:
    """The example of RFC 5438 7.1.1.3, with another prefix of the namespace, too (RFC 3862 3.5)."""
    for body in (IM, IM.replace(b"imdn.", b"d.").replace(b"NS: imdn ", b"NS: d ")):
        found = asked(body)
        assert found is not None
        assert (found.id, found.sender, found.recipient) == (
            "34jk324j", "im:alice@example.com", "im:bob@example.com",
        )  # fmt: skip
        assert found.kinds == {"positive-delivery", "negative-delivery", "processing"}
        assert found.date == "2006-04-04T12:16:49-05:00"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        IM.replace(b"imdn.Disposition-Notification", b"other.Disposition-Notification"),
        IM.replace(b"imdn.Message-ID", b"X-ID"),
        # RFC 5438 8: the notice would go to an address that the sender names.
        IM.replace(b"DateTime:", b"imdn.IMDN-Record-Route: <sip:victim@example.net>\r\nDateTime:"),
        # What it asks for stands behind the header.
        IM.replace(b"\r\nDateTime", b"\r\n\r\nDateTime"),
        IM.replace(b"34jk324j", b"34\x01"),
        IM.replace(b"2006-04", b"2006\x0104"),
    ],
)
def test_nothing_is_asked_for(body: bytes) -> None:
    """No notice for what is no request for one."""
    assert asked(body) is None


def test_a_long_header() -> None:
    """What the look costs is bounded, whatever a stranger sends."""
    assert asked(b"X: y\r\n" * 100_000 + IM) is None


def test_what_the_server_says() -> None:
    """RFC 5438 7.2.1.1: message/cpim with a document; no request for a notice of the notice."""
    found = asked(IM.replace(b"34jk324j", b"<34&>"))
    assert found is not None
    head, mime, document = notice(found, "processing", "stored", "n1", 1_700_000_000).split(b"\r\n\r\n", 2)
    assert b"Disposition-Notification" not in head
    assert b"To: <im:alice@example.com>" in head
    # RFC 5438 7.2.1
    assert b"Content-Disposition: notification" in mime
    assert f"Content-Length: {len(document)}".encode() in mime
    tree = etree.fromstring(document)
    names = {etree.QName(one).localname: one.text for one in tree.iter()}
    assert names["message-id"] == "<34&>"
    # RFC 5438 11.1.2: when the message was sent, not the notice.
    assert names["datetime"] == "2006-04-04T12:16:49-05:00"
    assert names["recipient-uri"] == names["original-recipient-uri"] == "im:bob@example.com"
    assert [etree.QName(one).localname for one in tree[-1].iter()] == [
        "processing-notification", "status", "stored",
    ]  # fmt: skip
