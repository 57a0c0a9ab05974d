"""The parts of a URI that say where it leads (RFC 3261 12.2.1.1, 19.1.1, 19.1.4)."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest

from sansip.proxy.dialog_mark import (
    CALLER,
    GUARDED,
    Marks,
    Reading,
    address_of,
    contact_of,
    hour_of,
    uri_of,
)
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


def test_a_mark_is_the_same_on_every_node() -> None:
    """Its seals are keyed hashes of their texts: nodes of several versions read each other's marks."""
    marks = Marks(b"a secret of the whole site", 3600.0, 10)
    own = blake2b(b"a secret of the whole site", digest_size=32, person=b"sansip-marks").digest()
    first = f"{0x8123 | 0x4000:04x}"
    text = f"{first}\nc1\n1a\n1b\n"
    for _ in range(2):
        # The second one is not changed by the first.
        assert marks.make(0x8123, ("c1", "1a", "1b", ""), "sip:bob@192.0.2.2", "alice 192.0.2.1") == (
            first
            + blake2b(text.encode(), key=own, digest_size=6).hexdigest()
            + blake2b(
                f"{text}\nsip:bob@192.0.2.2\nalice 192.0.2.1".encode(), key=own, digest_size=7
            ).hexdigest()
        )


def test_the_gateway_of_a_dialog() -> None:
    """A mark of a call with one gateway leads to no other, wherever the phone is (RFC 3261 12.2.1)."""
    marks = Marks(b"secret", 3600.0, 10)
    head = CALLER | GUARDED | hour_of(0.0)
    dialog = ("c1", "1a", "1b", "")
    mark = marks.make(head, dialog, address_of("sip:gw@192.0.2.21"), "alice@biloxi.test 192.0.2.1")

    def asked(uri: str) -> Any:
        names = {"call_id": "c1", "from_tag": "1a"}
        return parse_message(request("INVITE", uri, to="<sip:4711@biloxi.test>;tag=1b", **names))

    same, other = asked("sip:gw@192.0.2.21"), asked("sip:gw@192.0.2.22")
    # From where it was when it called, and from elsewhere.
    for who, reading in (
        ("alice@biloxi.test 192.0.2.1", Reading.WHOLE),
        ("alice@biloxi.test ::1", Reading.OURS),
    ):
        assert marks.read(mark, same, who, 0.0) is reading
        assert marks.leads_to_gateway(mark, same)
        assert marks.read(mark, other, who, 0.0) is Reading.OURS
        assert not marks.leads_to_gateway(mark, other)
    assert marks.is_whole(mark, "c1", "1a", "1b", "sip:gw@192.0.2.21", "alice@biloxi.test 192.0.2.1", 0.0)
    # Whatever its sender proves, and a friend's answer says, it leads there only by the gateway's own word.
    marks.note_sender(other, "alice@biloxi.test ::1")
    marks.note("c1", "1a", "1b", address_of("sip:gw@192.0.2.22"))
    assert marks.noted(other)
    assert not marks.leads_to_gateway(mark, other)
    marks.note("c1", "1a", "1b", address_of("sip:gw@192.0.2.22"), guarded=True)
    assert marks.leads_to_gateway(mark, other)
    # A mark of another call has no such word.
    plain = marks.make(CALLER | hour_of(0.0), dialog, address_of("sip:bob@192.0.2.2"), "")
    assert not marks.leads_to_gateway(plain, other)
