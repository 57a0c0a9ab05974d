"""Which media types a watcher takes (RFC 6665 3.1.3, RFC 3261 20.1)."""

from __future__ import annotations

import pytest

from sansip.modules.events import Package
from sansip.modules.events.screening import accepted_types
from sansip.wire import Request


class Two(Package):
    event = "two"
    types = ("a/one", "a/two", "b/three")


@pytest.mark.parametrize(
    ("accept", "types"),
    [
        (None, ("a/one",)),
        ("a/two", ("a/two",)),
        ("b/three, A/One", ("b/three", "a/one")),
        ("*/*", ("a/one",)),
        ("b/*", ("b/three",)),
        ("a/one;q=0, a/two", ("a/two",)),
        ("x/y", None),
        ("", None),
        (", ".join(f"x/{number}" for number in range(1000)) + ", a/one", None),
    ],
)
def test_accept(accept: str | None, types: tuple[str, ...] | None) -> None:
    """The watcher's order counts; without the field it is the package's default; a flood of values is cut."""
    headers = [] if accept is None else [("Accept", accept)]
    assert accepted_types(Request.build("SUBSCRIBE", "sip:x@y.test", headers), Two()) == types
