"""Limits reached, told once a second each."""

from __future__ import annotations

from sansip.actions import Action, Notify
from sansip.events import LimitReached
from sansip.notices import LimitNotices


def told(out: list[Action]) -> list[tuple[str, str]]:
    events = [action.event for action in out if isinstance(action, Notify)]
    out.clear()
    return [(event.name, event.source) for event in events if isinstance(event, LimitReached)]


def test_once_a_second_for_each_limit_and_source() -> None:
    """A flood costs one event, not one for each request; another limit or source is told as well."""
    out: list[Action] = []
    notices = LimitNotices(out, 100)
    for number in range(50):
        notices.reached("source_rate", "192.0.2.1", 7.0 + number / 100)
    notices.reached("transactions", "192.0.2.1", 7.6)
    notices.reached("source_rate", "192.0.2.2", 7.6)
    assert told(out) == [
        ("source_rate", "192.0.2.1"),
        ("transactions", "192.0.2.1"),
        ("source_rate", "192.0.2.2"),
    ]
    notices.reached("source_rate", "192.0.2.1", 8.0)
    assert told(out) == [("source_rate", "192.0.2.1")]


def test_notices() -> None:
    """limits.notices: beyond it nothing is told or remembered in that second, whatever the sources."""
    out: list[Action] = []
    notices = LimitNotices(out, 10)
    for number in range(10_000):
        notices.reached("source_rate", f"10.0.{number // 256}.{number % 256}", 7.0)
    assert len(told(out)) == 10
    assert len(notices._told) == 10
    notices.reached("source_rate", "192.0.2.1", 8.0)
    assert told(out) == [("source_rate", "192.0.2.1")]
