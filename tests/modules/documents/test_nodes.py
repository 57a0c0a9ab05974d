"""What other nodes changed: the last changes, all of them after a long absence."""

from __future__ import annotations

from typing import Any

from sansip.modules.documents import Documents
from sansip.modules.documents.module import NEWS
from sansip.testing import ModuleBench

BOB = "sip:bob@example.com"


def put(bench: ModuleBench[Documents], name: str, body: str) -> Any:
    return bench.command("documents.put", auid="rules", user=BOB, body=body, document=name)


def shown(bench: ModuleBench[Documents], name: str) -> Any:
    return bench.command("documents.show", auid="rules", user=BOB, document=name)


def test_a_change_and_a_deletion() -> None:
    """The other node has both within a second or so, also of a document that it never read."""
    here: ModuleBench[Documents] = ModuleBench(Documents)
    there = here.beside()
    put(here, "a", "first")
    here.wait(1.0)
    there.wait(1.5)
    assert shown(there, "a") == "first"
    put(there, "a", "second")
    there.wait(1.0)
    here.wait(1.5)
    assert shown(here, "a") == "second"
    here.command("documents.delete", auid="rules", user=BOB, document="a")
    here.wait(1.0)
    there.wait(1.5)
    assert "has no a" in str(shown(there, "a"))


def test_more_than_the_value_holds() -> None:
    """A node that was away reads all documents, and drops those that are gone."""
    here: ModuleBench[Documents] = ModuleBench(Documents)
    there = here.beside()
    put(here, "a", "first")
    here.wait(1.0)
    there.wait(1.5)
    here.command("documents.delete", auid="rules", user=BOB, document="a")
    for number in range(600):
        put(here, "b", str(number))
    here.wait(1.0)
    there.wait(1.5)
    assert shown(there, "b") == "599"
    assert "has no a" in str(shown(there, "a"))


def test_names() -> None:
    """The live value is the module's own."""
    assert NEWS.name.startswith("documents_")
