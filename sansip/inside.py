"""Questions that the stack answers itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Callback", "Inside"]

Callback = Callable[[Any, float], None]


class Inside:
    """A question that the stack answers itself: it is put to no one outside, and has a time of its own."""

    __slots__ = ()

    def put(self, callback: Callback, now: float) -> None:
        """Ask; ``callback(result or exception, now)`` is called once, now or later."""
        raise NotImplementedError
