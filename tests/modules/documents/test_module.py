"""Documents of users: stored durably, checked, told of."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Module, Use
from sansip.modules.documents import DocumentChanged, Documents, DocumentsSettings
from sansip.testing import ModuleBench, check_module


class Reader(Module):
    """Reads the documents of one application."""

    name = "reader"
    requires = (Documents,)
    events = (DocumentChanged,)

    def start(self, core: Any, now: float) -> None:
        self.heard: list[tuple[str, str]] = []
        core.module(Documents).check_with("rules", self._check)

    def _check(self, body: bytes) -> None:
        if body == b"bad":
            raise ValueError("no rules")

    def event_received(self, event: Any, now: float) -> None:
        self.heard.append((event.user, event.name))


def bench(**settings: Any) -> ModuleBench[Documents]:
    return ModuleBench(Documents, DocumentsSettings(**settings), others=[Use(Reader)])


def put(
    one: ModuleBench[Documents], body: str = "good", user: str = "sip:bob@example.com", **given: Any
) -> Any:
    return one.command("documents.put", auid="rules", user=user, body=body, **given)


def test_contract() -> None:
    """What every module promises."""
    check_module(Documents)


def test_written_read_deleted() -> None:
    """Each write has another entity-tag, a restart finds the document, its reader hears of each change."""
    one = bench()
    first, second = put(one), put(one, "better")
    assert first != second
    assert one.stack.modules.get(Reader).heard == [("sip:bob@example.com", "index")] * 2
    one = one.restarted()
    assert one.stack.modules.get(Reader).heard == [("sip:bob@example.com", "index")]
    given = {"auid": "rules", "user": "sip:bob@example.com"}
    assert one.command("documents.show", **given) == "better"
    assert one.command("documents.list", **given) == [{"name": "index", "octets": 6, "etag": second}]
    assert one.command("documents.delete", **given) is True
    assert one.command("documents.delete", **given) is False
    assert "has no index" in str(one.command("documents.show", **given))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"body": "bad"}, "no rules"),
        ({"body": "x" * 200}, "documents.size"),
        ({"user": "nobody"}, "no SIP URI"),
        ({"document": "third"}, "documents.most_of_user"),
    ],
)
def test_refused(given: Any, error: str) -> None:
    """What cannot be read, or is too much, is not stored, and the command says why."""
    one = bench(size=100, most_of_user=2)
    put(one, document="first")
    put(one, document="second")
    assert error in str(put(one, **given))


def test_most() -> None:
    """The number of all documents is bounded."""
    one = bench(most=1)
    put(one)
    assert "documents.most)" in str(put(one, user="sip:carol@example.com"))


def test_a_store_that_is_down() -> None:
    """What is not durable is not there."""
    one = bench()
    one.broken = True
    assert isinstance(put(one), Exception)
    one.broken = False
    assert one.command("documents.list", auid="rules", user="sip:bob@example.com") == []


def test_octets_of_user() -> None:
    """All documents are in memory: a user has so many octets of one application, and may have fewer."""
    one = bench(octets_of_user=100)
    put(one, "x" * 60, document="first")
    put(one, "x" * 40, document="second")
    assert "documents.octets_of_user" in str(put(one, "x", document="third"))
    assert "documents.octets_of_user" in str(put(one, "x" * 41, document="second"))
    put(one, "x" * 39, document="second")
    put(one, "x", document="third")
    put(one, "x" * 100, user="sip:carol@example.com")
