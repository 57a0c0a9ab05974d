"""Followers of the events of a running server, in addition to its log.

Theory of operation: without a follower an event costs one test. With followers it becomes an object of JSON
once. Each follower keeps a bounded number of events that were not fetched yet; dropped events are counted.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any

from sansip.module.commands import plain_result
from sansip.native import mypyc_attr

__all__ = ["Follower", "Followers", "described"]

# Characters of one text in an event: strangers write some of them.
TEXT = 1_000


class Follower:
    """One follower; ``ring`` is called when there is an event to fetch."""

    def __init__(self, ring: Callable[[], None], most: int) -> None:
        self._ring = ring
        self._events: deque[dict[str, Any]] = deque(maxlen=most)
        self._missed = 0

    def tell(self, event: dict[str, Any]) -> None:
        """Keep ``event``; drop the oldest if there is no room."""
        if len(self._events) == self._events.maxlen:
            self._missed += 1
        self._events.append(event)
        if len(self._events) == 1:
            self._ring()

    def next(self) -> dict[str, Any] | None:
        """Return the oldest event, with the number of events ``missed`` before it, if any."""
        if not self._events:
            return None
        event = self._events.popleft()
        if self._missed:
            event = {**event, "missed": self._missed}
            self._missed = 0
        return event


@mypyc_attr(allow_interpreted_subclasses=True)
class Followers:
    """Called with each event: tells the followers and ``log``."""

    def __init__(self, log: Callable[[Any], None]) -> None:
        self._log = log
        self._all: list[Follower] = []

    def __call__(self, event: Any) -> None:
        if self._all:
            shown = described(event)
            for follower in self._all:
                follower.tell(shown)
        self._log(event)

    def add(self, ring: Callable[[], None], most: int) -> Follower:
        """Add a follower, which fetches events by ``next``; at most ``most`` wait for that."""
        follower = Follower(ring, most)
        self._all.append(follower)
        return follower

    def remove(self, follower: Follower) -> None:
        """Remove a follower."""
        self._all.remove(follower)


def described(event: Any) -> dict[str, Any]:
    """Return an event as JSON holds it: its kind, and its fields."""
    shown = {"event": type(event).__name__}
    if dataclasses.is_dataclass(event):
        for one in dataclasses.fields(event):
            shown[one.name] = _plain(getattr(event, one.name))
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    value = plain_result(value)
    return value[:TEXT] if isinstance(value, str) else value
