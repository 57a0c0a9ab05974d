"""docs/configuration.md says what the program does, because the program wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from sansip_server.config.reference import PAGES, configuration_page, documentation

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    """A key without documentation, or with yesterday's, fails here."""
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run python -m sansip_server.config.reference"


def test_every_default_is_shown() -> None:
    """A reader looks up the default first."""
    page = configuration_page()
    for text in (
        "default `65_535`",
        "default `false`",
        'default `"auto"`',
        "unset by default",
        "default `0.5`",
    ):
        assert text in page


@dataclass
class Sample:
    """One.

    Attributes:
        a: first
            and more.
        b: second.

    Not an attribute:
        c: nothing.
    """

    a: int = 1
    b: int = 2
    # Third,
    # in two lines.
    c: int = 3
    d: int = 4

    e: int = 5


def test_documentation_of_fields() -> None:
    """Comments above fields and ``Attributes:`` lists both count; neighbours share a comment."""
    assert documentation(Sample) == {
        "a": "first and more.",
        "b": "second.",
        "c": "Third, in two lines.",
        "d": "Third, in two lines.",
    }


def test_undocumented_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no way to add a key and forget to say what it is for."""
    monkeypatch.setattr("sansip_server.config.reference.Settings", Sample)
    with pytest.raises(LookupError, match=r"Sample\.e has no documentation"):
        configuration_page()
