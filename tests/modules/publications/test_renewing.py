"""What is read of a PUBLISH in brief; ``tests/routing/test_usages.py`` compares the answers."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.presence_core import Bench
from sansip.limits import Limits
from sansip.modules.presence.pidf import TYPE
from sansip.modules.publications import Publications
from sansip.modules.publications.renewing import read_renewal
from sansip.modules.publications.settings import PublicationsSettings
from sansip.wire.usage import Usage, read_usage


class _Arrived:
    """A PUBLISH of nobody who proves anything."""

    proves = False
    aor = "sip:bob@biloxi.test"

    def __init__(self, usage: Usage) -> None:
        self.usage = usage


def usage_of(more: str, body: str = "", to: str = "") -> Usage:
    data = (
        "PUBLISH sip:bob@biloxi.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:bob@biloxi.test>;tag=a\r\nTo: <sip:bob@biloxi.test>{to}\r\n"
        f"Call-ID: a\r\nCSeq: 1 PUBLISH\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    usage = read_usage(data, Limits())
    assert usage is not None
    return usage


def read(more: str, body: str = "", to: str = "") -> tuple[str, str, int | None, str, str] | None:
    found = read_renewal(usage_of(more, body, to), PublicationsSettings(size=100))
    if found is None:
        return None
    return found.event, found.etag, found.seconds, found.type, found.contact


def test_a_refresh_and_a_modification() -> None:
    """RFC 3903 4.2, 4.3: the entity-tag names the publication."""
    plain = "Event: presence\r\nSIP-If-Match: abc\r\n"
    assert read(plain) == ("presence", "abc", None, "", "")
    full = f"{plain}Expires: 60\r\nContact: <sip:bob@192.0.2.1>\r\nContent-Type: text/plain\r\n"
    assert read(full, "x") == ("presence", "abc", 60, "text/plain", "Contact: <sip:bob@192.0.2.1>")


@pytest.mark.parametrize(
    ("more", "body", "to"),
    [
        ("Event: presence\r\n", "", ""),
        ("SIP-If-Match: abc\r\n", "", ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\nExpires: x\r\n", "", ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\nExpires: 1234567890\r\n", "", ""),
        ("Event:presence\r\nSIP-If-Match: abc\r\n", "", ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\n", "x" * 101, ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\n", "", ";tag=b"),
    ],
)
def test_more_is_the_modules(more: str, body: str, to: str) -> None:
    """What is not plain, or too large, is looked at on the long way."""
    assert read(more, body, to) is None


def test_what_is_not_known_letter_by_letter() -> None:
    """A package, an entity-tag, a media type or a Contact that is written otherwise is for the long way."""
    bench = Bench()
    etag = bench.publish("bob", "", "open")
    renewing: Any = bench.stack.modules.get(Publications)
    body = (
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@biloxi.test">'
        '<tuple id="a"><status><basic>open</basic></status></tuple></presence>'
    )

    def taken(event: str = "presence", tag: str = etag, contact: str = "<sip:b@c>", kind: str = TYPE) -> bool:
        more = f"Event: {event}\r\nSIP-If-Match: {tag}\r\nContact: {contact}\r\nContent-Type: {kind}\r\n"
        return renewing.usage_received(_Arrived(usage_of(more, body)), 100.0) is not None

    assert taken()
    assert not taken(event="presence;a=b")
    assert not taken(tag=f"{etag} b")
    assert not taken(contact="x")
    assert not taken(kind=f"{TYPE};charset=x")
    # The next one is known by its letters.
    bench.publish("bob", etag, "closed")
    (one,) = renewing.of("presence", "sip:bob@biloxi.test")
    assert one.contact == "Contact: <sip:watcher@192.0.2.1>"
