"""A user's state is composed of all that is known, in the order of RFC 4479 3."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sansip.modules.presence.composing import STATE, Composing
from sansip.modules.presence.pidf import parse_pidf
from sansip.modules.presence.settings import PresenceSettings
from sansip.modules.publications.held import Publication
from sansip.modules.publications.shelf import Shelf

BOB = "sip:bob@biloxi.test"


def document(id: str, basic: str) -> bytes:
    return (
        f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{BOB}"><tuple id="{id}">'
        f"<status><basic>{basic}</basic></status></tuple></presence>"
    ).encode()


def composing(
    *published: bytes, written: bytes = b"", there: bool = False, busy: bool = False, **settings: Any
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return kinds and ids of what is composed, and what failed."""
    failed: list[str] = []
    core: Any = SimpleNamespace(
        location=SimpleNamespace(lookup=lambda aor, now: ["a phone"] if there else []),
        ua=SimpleNamespace(now=1.0),
        failed=lambda what, error: failed.append(what),
    )
    shelf = Shelf()
    for number, body in enumerate(published):
        parts = parse_pidf(body)
        shelf.put(Publication("presence", BOB, f"e{number}", "", body, parts, 10.0, float(number)))
    documents: Any = {}
    if written:
        documents = {STATE[0]: {BOB: {STATE[1]: SimpleNamespace(body=written)}}}
    made = Composing(core, shelf, documents, {BOB} if busy else set(), PresenceSettings(**settings))
    return [(part.kind, part.id) for part in made.composed(BOB)], failed


def test_what_is_known() -> None:
    """The newest publication is first, then what the user wrote; registrations count without these."""
    one, other, own = document("a", "open"), document("b", "closed"), document("c", "open")
    assert composing(one, other, written=own)[0] == [("tuple", "b"), ("tuple", "a"), ("tuple", "c")]
    assert composing(one, there=True)[0] == [("tuple", "a")]
    assert composing(there=True)[0] == [("tuple", "registered")]
    assert composing(there=True, registrations=False)[0] == [("tuple", "none")]
    assert composing()[0] == [("tuple", "none")]


def test_calls() -> None:
    """RFC 4480 3.2: who is on the phone is shown so, unless the settings say otherwise."""
    one = document("a", "open")
    assert composing(one, busy=True)[0] == [("tuple", "a"), ("person", "call")]
    assert composing(one, busy=True, calls=False)[0] == [("tuple", "a")]


def test_an_id_that_is_none() -> None:
    """RFC 5261: selectors need plain ids, so another one is given, also where there is one part alone."""
    assert composing(document("1 a", "open"))[0] == [("tuple", "tuple0-0")]


def test_a_document_that_cannot_be_read() -> None:
    """It counts for nothing, and is told of."""
    assert composing(document("a", "open"), written=b"<") == ([("tuple", "a")], ["state"])
