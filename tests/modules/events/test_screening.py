"""Which media types a watcher takes (RFC 6665 3.1.3, RFC 3261 20.1)."""

from __future__ import annotations

import pytest

from sansip.modules.events import Package
from sansip.modules.events.screening import accepted_types
from sansip.wire import Request
from tests.modules.events.weather import bench, watcher


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


def test_a_refresh_that_says_something_else_is_judged_anew() -> None:
    """What was read of a SUBSCRIBE holds for the next one only if that says the same (RFC 6665 4.2.1)."""
    rig = bench()
    one = watcher(rig)
    assert one.subscribe(600) == 200
    assert one.subscribe(600) == 200
    # RFC 3261 21.4.7, 8.2.2.3; RFC 6665 8.2.1
    assert one.subscribe(600, [("Accept", "image/png")]) == 406
    assert one.subscribe(600, [("Require", "unknown")]) == 420
    assert one.subscribe(600, [("Event", "weather;id=7")]) == 481
    assert one.subscribe(600) == 200
    one.user = "mallory"
    assert one.subscribe(600) == 403
    one.user = "alice"
    assert one.subscribe(600, [("Event", "weather"), ("Event", "weather")]) == 400
    assert one.subscribe(600) == 200
