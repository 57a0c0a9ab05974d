"""The parts of a URI that say where it leads (RFC 3261 12.2.1.1, 19.1.1, 19.1.4)."""

from __future__ import annotations

import pytest

from sansip.proxy.dialog_mark import address_of, contact_of, uri_of
from sansip.wire import Request, parse_message
from tests.rig import request


@pytest.mark.parametrize(
    ("contact", "asked"),
    [
        ("sip:bob@192.0.2.2", "sip:bob@192.0.2.2"),
        ("sip:bob@Phone.Example:5070", "sip:bob@phone.example:5070"),
        ("sip:bob@192.0.2.2;method=INVITE?Subject=x", "sip:bob@192.0.2.2"),
        ("sip:bob@192.0.2.2;transport=TCP;ob", "sip:bob@192.0.2.2;x=y;transport=tcp"),
        ("sip:b%6Fb@192.0.2.2", "sip:bob@192.0.2.2"),
        ("sip:[2001:DB8::2]:5060", "sip:[2001:db8::2]:5060"),
        ("sip:192.0.2.2:5070", "sip:192.0.2.2:5070"),
        ("sip:bob;x=@192.0.2.2", "sip:bob;x=@192.0.2.2"),
    ],
)
def test_the_same_place(contact: str, asked: str) -> None:
    """The forms of a Contact that a user agent may put into its Request-URI."""
    assert address_of(contact) == address_of(asked)


@pytest.mark.parametrize(
    "other",
    [
        "sip:bob@192.0.2.3",
        "sip:bob@192.0.2.2:5061",
        "sips:bob@192.0.2.2",
        "sip:carol@192.0.2.2",
        "sip:192.0.2.2",
        "sip:bob@192.0.2.2;transport=tcp",
        "sip:bob@192.0.2.2;maddr=203.0.113.9",
        "sip:bob@192.0.2.2;MADDR=203.0.113.9",
        "sip:bob@192.0.2.2;%6Daddr=203.0.113.9",
        "sip:bob@192.0.2.2;x;maddr=203.0.113.9?y=z",
        "sip:bob@192.0.2.2;gr=urn:uuid:1",
        "sip:bob@192.0.2.2@203.0.113.9",
        "tel:bob@192.0.2.2",
    ],
)
def test_another_place(other: str) -> None:
    """Each part that decides the way counts, in any spelling."""
    assert address_of(other) != address_of("sip:bob@192.0.2.2")


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("<sip:a@b.c>", "sip:a@b.c"),
        ("Alice <sip:a@b.c>;expires=3", "sip:a@b.c"),
        ('"<sip:x@y.z>" <sip:a@b.c>;q=0.5', "sip:a@b.c"),
        ('<sip:a@b.c>;x="<sip:x@y.z>"', "sip:a@b.c"),
        ("sip:a@b.c;expires=3", "sip:a@b.c"),
        ('"broken', ""),
    ],
)
def test_the_uri_of_a_value(value: str, uri: str) -> None:
    """RFC 3261 25.1: a display name may hold anything, and without brackets parameters are the field's."""
    assert uri_of(value) == uri
    for line in (("Contact", value), ("m", value)):
        message = parse_message(request(headers=[line]))
        assert isinstance(message, Request)
        assert contact_of(message) == uri


def test_the_first_contact() -> None:
    """RFC 3261 8.1.1.8: there is one; of more the first counts. And none is none."""
    message = parse_message(request(headers=[("Contact", "<sip:a@b.c>, <sip:d@e.f>")]))
    assert contact_of(message) == "sip:a@b.c"
    assert contact_of(parse_message(request())) == ""
